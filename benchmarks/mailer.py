"""How many mails are rendered and handed to SES in a second, and how many are sent twice.

Everything is the product's own: the functions' wiring, botocore's clients, the templates. AWS is
``local_aws.py``, which answers at once. With ``--c7n PYTHON``, an interpreter that has c7n-mailer,
its figures for the same users come from the same run and the same endpoint.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from tests.template.cloudformation import Template

if TYPE_CHECKING:
    from mfa_watcher.domain.notifications.mails import MailAboutUser
    from mfa_watcher.entrypoints.outbox import Deliver

ROOT = Path(__file__).parents[1]
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Figures:
    """What was measured of one mailer."""

    name: str
    handed: float
    """Mails a second that are rendered and handed to SES, nothing else."""
    whole: float
    """Mails a second with all that the mailer does for each."""
    calls: float
    """Calls to AWS for each mail."""
    twice: int
    """Mails for the same input delivered twice."""


@dataclass(frozen=True)
class LocalAws:
    """The endpoint."""

    url: str

    def counts(self) -> dict[str, int]:
        """Return what was counted so far."""
        return self._ask("counts")  # type: ignore[no-any-return]

    def new_mails(self) -> list[str]:
        """Return the intents of mails that were put into the table since last asked."""
        return [one for one in self._ask("inserted") if one.startswith("mail-")]

    def unprotected(self) -> list[str]:
        """Name the users that the table has as unprotected."""
        return self._ask("unprotected")  # type: ignore[no-any-return]

    def _ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        with urlopen(f"{self.url}/{path}") as answer:  # noqa: S310 - our own address
            return json.load(answer)


@contextmanager
def local_aws() -> Iterator[LocalAws]:
    """Run an endpoint in a process of its own: its work is not the client's."""
    command = [sys.executable, "-m", "benchmarks.local_aws"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline()) if process.stdout else 0
            yield LocalAws(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def environment(aws: LocalAws) -> dict[str, str]:
    """Return the functions' environment: the template's, with the endpoint for AWS."""
    template = Template.read(SecurityAddress="security@example.com")
    return {
        **template.environment("OnSignIn"),
        **template.environment("Deliver"),
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "TABLE_NAME": "table",
        "ACCOUNT_ID": ACCOUNT,
        "DEAD_LETTER_QUEUE_URL": f"{aws.url}/{ACCOUNT}/dead",
    }


def measure_ours(aws: LocalAws, users: int) -> Figures:
    """Measure the functions on_sign_in and deliver, each record and each intent twice."""
    os.environ.update(environment(aws))
    logging.disable(logging.CRITICAL)
    # The wiring reads the environment when it is imported.
    from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import (  # noqa: PLC0415
        DynamoDBRecord,
    )
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord  # noqa: PLC0415

    from mfa_watcher import bootstrap  # noqa: PLC0415
    from mfa_watcher.domain.notifications.mails import UserMail  # noqa: PLC0415

    def observe(bodies: list[str]) -> list[str]:
        for body in bodies:
            bootstrap.observe().take(SQSRecord({"body": body}))
        return aws.new_mails()

    def deliver(intents: list[str]) -> float:
        dispatch = bootstrap.deliver()
        began = time.perf_counter()
        for intent in intents:
            keys = {"pk": {"S": f"INTENT#{intent}"}, "sk": {"S": "STATE"}}
            dispatch.take(DynamoDBRecord({"dynamodb": {"Keys": keys}}))
        return time.perf_counter() - began

    with redirect_stdout(StringIO()):  # the metrics
        bodies = [_sign_in(f"user{number}", number) for number in range(users)]
        mails = observe(bodies)
        before = aws.counts()
        took = deliver(mails)
        after = aws.counts()
        deliver(mails + observe(bodies))
        sent = aws.counts()["mails"]
        outbox = bootstrap.deliver().intents.outbox
        found = [outbox.look_up(one) for one in mails]
        acts = [one.intent.act for one in found if one and isinstance(one.intent.act, UserMail)]
        handed = _hand(bootstrap.deliver(), acts)
    return Figures(
        "MFA Watcher",
        len(mails) / handed,
        len(mails) / took,
        (after["calls"] - before["calls"]) / len(mails),
        sent,
    )


def _hand(deliver: "Deliver", mails: "list[MailAboutUser]") -> float:
    """Render and hand over alone, with the parts that ``deliver`` uses."""
    from mfa_watcher.ports.notifications import Message  # noqa: PLC0415

    intents = deliver.intents
    began = time.perf_counter()
    for mail in mails:
        words = intents.renderer.render(mail, None, alias=None)
        to = f"{mail.user_name}@example.com"
        message = Message(to, words.subject, words.html, words.text, thread=mail.reference)
        intents.mailer.send(message)
    return time.perf_counter() - began


def _sign_in(name: str, number: int) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {
        "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin",
        "eventID": f"00000000-0000-0000-0000-{number:012}",
        "eventTime": now,
        "recipientAccountId": ACCOUNT,
        "userIdentity": {
            "type": "IAMUser",
            "principalId": f"AIDA{name}",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
            "accountId": ACCOUNT,
            "userName": name,
        },
        "responseElements": {"ConsoleLogin": "Success"},
        "additionalEventData": {"MFAUsed": "No"},
    }
    return json.dumps({"id": "e", "source": "aws.signin", "detail": record})


def measure_c7n(aws: LocalAws, python: str, users: int) -> Figures:
    """Measure c7n-mailer."""
    script = Path(__file__).with_name("c7n_mailer_peer.py")
    before = aws.counts()
    done = subprocess.run(
        [python, script, aws.url, str(users)],
        env={**os.environ, **environment(aws)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"c7n-mailer did not run:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    after = aws.counts()
    mails = after["mails"] - before.get("mails", 0)
    # All calls but those that handed mails over alone, and those that filled the queue.
    calls = after["calls"] - before.get("calls", 0) - users - 2 * users
    return Figures(
        f"c7n-mailer {found['version']}",
        users / found["handing_s"],
        users / found["whole_s"],
        calls / (2 * users),
        mails - users,
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--users", type=int, default=300)
    parser.add_argument(
        "--c7n",
        metavar="PYTHON",
        default=os.environ.get("C7N_PYTHON"),
        help="an interpreter with c7n-mailer (python -m venv DIR; DIR/bin/pip install c7n"
        " c7n-mailer==0.6.52); also from C7N_PYTHON",
    )
    asked = parser.parse_args()
    with local_aws() as aws:
        measured = [measure_ours(aws, asked.users)]
    if asked.c7n:
        with local_aws() as aws:
            measured.append(measure_c7n(aws, asked.c7n, asked.users))
    print(table(measured, asked.users))
    if not asked.c7n:
        print("\nc7n-mailer is left out: --c7n names no interpreter that has it (see --help)")


def table(measured: list[Figures], users: int) -> str:
    """Put the figures side by side; with two mailers, with their ratio."""
    rows = [
        ("", [one.name for one in measured]),
        ("rendered and handed to SES, mails/s", [f"{one.handed:.0f}" for one in measured]),
        ("the whole way, mails/s", [f"{one.whole:.0f}" for one in measured]),
        ("AWS calls a mail", [f"{one.calls:.1f}" for one in measured]),
        (f"{users} findings twice: mails", [f"{one.twice}" for one in measured]),
    ]
    lines = [f"{name:<38}" + "".join(f"{value:>20}" for value in values) for name, values in rows]
    if len(measured) > 1:
        ours, theirs = measured
        ratios = ("", ours.handed / theirs.handed, ours.whole / theirs.whole, "", "")
        ratios_said = [f"{one:>8.1f} x" if one else "" for one in ratios]
        lines = [line + said for line, said in zip(lines, ratios_said, strict=True)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
