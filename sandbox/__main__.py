"""The sandbox's command line."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

from rich.console import Console
from rich.markup import escape

from sandbox import doctor_story, local, report
from sandbox.account import Account
from sandbox.command_line import api_urls
from sandbox.deploy import DeployError
from sandbox.emulator import DEFAULT_PORT, REGION, Emulator, EmulatorError, home_of
from sandbox.observations import Observations
from sandbox.scenarios import SCENARIOS
from sandbox.setup import Sandbox
from sandbox.timeline import ScenarioResult, Timeline

EPILOG = """\
examples:
  python -m sandbox demo                 run the story, check it, write mails and alerts to files
  python -m sandbox demo --keep          ... and keep the account running afterwards
  python -m sandbox up                   an account with the watcher in it, for your own AWS CLI
  python -m sandbox sign-in bob          sign in to the console of the running account as bob
  python -m sandbox sign-in              ... as root
  python -m sandbox invoke OnSignIn events/on_sign_in/iam_user_without_mfa.json
                                         one function in Docker, against the running account
                                         (needs `make build`, and `up --bind` on Linux)
"""


def main() -> int:
    """Run the command line, and return the exit code."""
    arguments = _parser().parse_args()
    # A signal must also stop the account: `with Emulator` must come to its end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(record=True, width=None if sys.stdout.isatty() else 120)
    try:
        match arguments.command:
            case "demo":
                return demo(console, arguments.port, arguments.out, keep=arguments.keep)
            case "up":
                return up(console, arguments.port, arguments.bind)
            case "invoke":
                account = _running(arguments.port)
                local.invoke(account, arguments.port, arguments.function, arguments.event)
                return 0
            case _:
                return sign_in(console, arguments.port, arguments.user, mfa=arguments.mfa)
    except (EmulatorError, DeployError, local.InvocationError) as error:
        for line in [str(error), *getattr(error, "__notes__", [])]:
            console.print(f"[bold red]{escape(line)}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def demo(console: Console, port: int, out: Path | None, *, keep: bool) -> int:
    """Run the story; return 0 if everything followed that should, and nothing else."""
    began = time.monotonic()
    with Sandbox.running(Emulator(port, home_of(port)), _progress(console)) as sandbox:
        timeline = Timeline(console)
        results = timeline.run(SCENARIOS, sandbox)
        observations = sandbox.observations
        wrong = _verdict(console, results, observations, doctor_story.run(console, sandbox))
        folder = out or sandbox.emulator.home / "out"
        page = report.write(observations, console.export_text(clear=False), folder)
        console.print(
            f"\n{len(observations.mails)} mails, {len(observations.kind('REQUEST'))} change "
            f"requests, {len(observations.alerts)} alerts: open [bold]{escape(str(page))}[/]"
            f"\nThe demo took {time.monotonic() - began:.0f} s.",
            highlight=False,
            soft_wrap=True,
        )
        if keep:
            _invite(console, sandbox)
            timeline.watch(observations)
        else:
            console.print("To try it yourself, with your own AWS CLI: [bold]make sandbox[/]")
    return 1 if wrong else 0


def up(console: Console, port: int, bind: str | None) -> int:
    """Keep an account with the watcher running until interrupted."""
    with Sandbox.running(Emulator(port, home_of(port), bind), _progress(console)) as sandbox:
        _invite(console, sandbox)
        Timeline(console).watch(sandbox.observations)
    return 0


def _progress(console: Console) -> Callable[[str], None]:
    console.print("Starting the account and deploying the watcher into it", style="bold")
    return lambda line: console.print(line, style="dim", highlight=False)


def sign_in(console: Console, port: int, user: str, *, mfa: bool | None) -> int:
    """Post a console sign-in to a running account."""
    console.print_json(data=_running(port).sign_in(user, mfa=mfa)["record"])
    return 0


def _running(port: int) -> Account:
    """Return the account that runs in another terminal."""
    account = Account(Emulator(port).endpoint)
    try:
        account.records()
    except URLError as error:
        raise EmulatorError(f"no sandbox at port {port}: start one with `make sandbox`") from error
    return account


def _verdict(
    console: Console,
    results: list[ScenarioResult],
    observations: Observations,
    misjudged: list[str],
) -> bool:
    """Print what did not go as expected, and return whether there is anything."""
    wrong = [
        f"{one.scenario.title}: {claim.claim}: not seen" for one in results for claim in one.missing
    ]
    wrong += [
        f"denied by its own role: {refusal['principal_arn'].split('/')[1]} needs "
        f"{refusal['action']} on {refusal['resource']}"
        for refusal in observations.refusals()
    ]
    wrong += [f"logged by {error[:600]}" for error in observations.errors()]
    wrong += [
        f"in a dead-letter queue: {letter['Body'][:200]}" for letter in observations.dead_letters()
    ]
    wrong += misjudged
    console.print()
    console.rule("[bold]verdict", align="left", style="dim")
    for line in wrong:
        console.print(f"[bold red]✗[/] {escape(line)}", highlight=False)
    if not wrong:
        claims = sum(len(one.scenario.expected) for one in results)
        console.print(f"[green]✓[/] all {claims} expected effects followed, and nothing else")
    return bool(wrong)


def _invite(console: Console, sandbox: Sandbox) -> None:
    """Print how to go on with one's own AWS CLI."""
    emulator, actors = sandbox.emulator, sandbox.actors
    config, credentials = emulator.home / "aws-config", emulator.home / "aws-credentials"
    people = actors.people | {
        "petra-mfa": actors.as_approver("petra"),
        "service-desk": actors.in_service_desk_role("lena"),
    }
    config.write_text(
        "".join(
            f"[profile {name}]\nregion = {REGION}\nendpoint_url = {emulator.endpoint}\n\n"
            for name in people
        )
    )
    credentials.write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {who.access_key_id}\n"
            f"aws_secret_access_key = {who.secret_access_key}\n"
            + (f"aws_session_token = {who.session_token}\n\n" if who.session_token else "\n")
            for name, who in people.items()
        )
    )
    port = "" if emulator.port == DEFAULT_PORT else f" --port {emulator.port}"
    console.print()
    console.rule("[bold]your turn", align="left", style="dim")
    console.print(
        f"""\
The account runs at {emulator.endpoint} until Ctrl-C. In another terminal:

  export AWS_CONFIG_FILE={config} AWS_SHARED_CREDENTIALS_FILE={credentials}
  aws --profile carol iam list-mfa-devices --user-name carol
  aws --profile carol iam deactivate-mfa-device --user-name carol \\
      --serial-number {actors.serial("carol-phone")}
  aws --profile olivia iam create-login-profile --user-name … --password …
  python -m sandbox sign-in bob{port}      # sign in to the console, for which there is no API

And at the change desk, whose URLs are outputs of the stack:

{"".join(f"  export {name}={url}{chr(10)}" for name, url in api_urls(sandbox.stack).items())}\
  python -m mfa_watcher requests open --profile carol
  python -m mfa_watcher requests list --profile petra-mfa

Profiles: {", ".join(people)}
(olivia is an administrator, petra-mfa an approver with MFA, service-desk is lena in that role).
Log: {emulator.log}
What you do is shown below.
""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="An AWS account on this machine, with the real stack deployed into it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port of the account (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo_ = commands.add_parser("demo", parents=[common], help="run the story and check it")
    demo_.add_argument("--keep", action="store_true", help="keep the account running afterwards")
    demo_.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for mails and alerts (default: .sandbox/out)",
    )
    kept = commands.add_parser("up", parents=[common], help="keep an account running until Ctrl-C")
    kept.add_argument(
        "--bind", metavar="ADDRESS", help=f"listen there too, for containers: {local.HOST} on Linux"
    )
    signed = commands.add_parser("sign-in", parents=[common], help="sign in to the console")
    signed.add_argument("user", nargs="?", default="", help="IAM user; without one, root signs in")
    signed.add_argument(
        "--mfa",
        action=argparse.BooleanOptionalAction,
        help="whether a device was used (default: if the user has one)",
    )
    invoked = commands.add_parser(
        "invoke", parents=[common], help="sam local invoke one function, on Lambda's image"
    )
    invoked.add_argument("function", help="logical id in template.yaml: OnSignIn, Deliver, …")
    invoked.add_argument("event", type=Path, help="file under events/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
