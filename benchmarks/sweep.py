"""What a sweep costs: calls to IAM, time, memory, and whether it finds exactly who it must.

    python -m benchmarks.sweep --peers DIR -n 100 1000 5000

DIR holds a seeded account on a moto server (``seed_account.py``, which counts calls and knows the
truth), the tools to set beside ours (``run_peers.py``), and the environments both need. Three
sweeps are measured, each in a process of its own, with the functions' own wiring:

first
    An empty table, and no credential report yet.
later
    The same table; one user in a hundred has changed since, no event told of it, and the report
    that IAM gives out is older than the changes.
first, old report
    An empty table, and a report older than those changes.

The table is the tests' table in memory, behind DynamoDB's protocol, in a process of its own.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.mailer import ROOT, LocalAws, local_aws
from tests.template.cloudformation import Template

LIVE_PEERS = ("prowler", "c7n-mfa-device")
"""Those that read live state; the others take the report's word for it."""


@dataclass(frozen=True)
class Figures:
    """What was measured of one scan."""

    name: str
    users: int
    calls: int
    wall_s: float
    """From the start of the process to its end, less what passed in a queue."""
    cpu_s: float
    """Of the process alone, which a busy machine does not lengthen much."""
    rss_mb: int
    precision: float | None
    recall: float
    waiting_s: float = 0.0
    working_s: float | None = None
    invocations: int = 0
    by_action: dict[str, int] = field(default_factory=dict)
    ours: dict[str, float] = field(default_factory=dict)
    """Messages and DynamoDB's request units."""

    @property
    def reads_live_state(self) -> bool:
        """Return whether a peer looks at what is true now."""
        return self.name in LIVE_PEERS


@dataclass(frozen=True)
class SeededAccount:
    """The account of the peers' bench."""

    url: str

    def ask(self, path: str, method: str = "POST") -> Any:  # noqa: ANN401 - JSON
        """Ask its control interface."""
        with urlopen(Request(f"{self.url}/_peers/{path}", method=method)) as answer:  # noqa: S310
            return json.load(answer)


@contextmanager
def seeded_account(peers: Path, users: int, latency_ms: float) -> Iterator[SeededAccount]:
    """Run the account's server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(peers / "venvs/moto/bin/python"),
        str(peers / "seed_account.py"),
        *("--users", str(users), "--port", str(port), "--latency-ms", str(latency_ms)),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            if not (process.stdout and process.stdout.readline().startswith("ready")):
                sys.exit("the seeded account's server did not start")
            yield SeededAccount(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def environment(account: SeededAccount, aws: LocalAws) -> dict[str, str]:
    """Return the template's environment: IAM is the seeded account's, the rest is ours."""
    return {
        **Template.read().environment("Sweep"),
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ENDPOINT_URL_IAM": account.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
        "TABLE_NAME": "table",
        "ACCOUNT_ID": "123456789012",
        "SWEEP_QUEUE_URL": f"{aws.url}/123456789012/sweep",
        "DEAD_LETTER_QUEUE_URL": f"{aws.url}/123456789012/dead",
    }


def sweep(name: str, users: int, account: SeededAccount, aws: LocalAws, **asked: object) -> Figures:
    """Sweep once in a process of its own."""
    before, ours = account.ask("stats", "GET")["calls"], aws.counts()
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sweep_once", json.dumps(asked)],
        cwd=ROOT,
        env=environment(account, aws),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if process.returncode:
        sys.exit(f"the sweep ended with {process.returncode}")
    told = json.loads(said)
    after = account.ask("stats", "GET")["calls"]
    by_action = {one: after[one] - before.get(one, 0) for one in after}
    truth, found = set(account.ask("truth", "GET")), set(aws.unprotected())
    return Figures(
        name,
        users,
        sum(by_action.values()),
        wall - told["waiting_s"],
        used.ru_utime + used.ru_stime,
        _megabytes(used),
        len(found & truth) / len(found) if found else None,
        len(found & truth) / len(truth),
        told["waiting_s"],
        told["working_s"],
        told["invocations"],
        {action: calls for action, calls in by_action.items() if calls},
        _ours(ours, aws.counts()),
    )


def _ours(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    spent = {name: after[name] - before.get(name, 0) for name in after}
    return {
        "messages": spent.get("message", 0),
        "read_units": spent.get("read_units_x2", 0) / 2,
        "write_units": spent.get("write_units", 0),
    }


def _megabytes(used: resource.struct_rusage) -> int:
    return round(used.ru_maxrss / 1024)


def measure_ours(peers: Path, users: int, latency_ms: float) -> list[Figures]:
    """Measure the three sweeps."""
    changes = max(1, users // 200)  # each takes a device from one user and gives one to another
    with seeded_account(peers, users, latency_ms) as account, local_aws() as aws:
        account.ask("reset?report=none")
        measured = [sweep("ours, first", users, account, aws)]
        account.ask(f"change?k={changes}")
        measured.append(sweep("ours, later", users, account, aws, at_once=True))
        account.ask("reset?report=keep")
        with local_aws() as empty:
            measured.append(sweep("ours, first, old report", users, account, empty, at_once=True))
    return measured


def measure_peers(peers: Path, users: int, latency_ms: float, names: str) -> list[Figures]:
    """Measure the peers with their own script, each on a seeded account as ours is."""
    command = [
        *(sys.executable, str(peers / "run_peers.py"), str(users), "--peers", names),
        *("--latency-ms", str(latency_ms)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or not lines:
        sys.exit(f"the peers did not run:\n{done.stderr[-2000:]}")
    return [
        Figures(
            line["name"],
            line["N"],
            line["api_calls"],
            line["wall_s"],
            line["cpu_s"],
            line["rss_mb"],
            line["precision"],
            line["recall"],
            by_action=line["by_action"],
        )
        for line in lines
    ]


HEADER = (
    f"{'':<26}{'users':>6}{'IAM calls':>11}{'wall s':>9}{'CPU s':>8}{'in queue s':>12}{'MB':>6}"
    f"{'precision':>11}{'recall':>8}"
)


def row(one: Figures) -> str:
    """Write one line of the table."""
    precision = "-" if one.precision is None else f"{one.precision:.4f}"
    return (
        f"{one.name:<26}{one.users:>6}{one.calls:>11}{one.wall_s:>9.2f}{one.cpu_s:>8.2f}"
        f"{one.waiting_s:>12.0f}"
        f"{one.rss_mb:>6}{precision:>11}{one.recall:>8.4f}"
    )


def verdict(measured: list[Figures]) -> str | None:
    """Set ours beside the best peer that reads live state and finds exactly who it must."""
    first, later, *_ = measured
    iam_state = [
        one for one in measured if one.reads_live_state and one.precision == one.recall == 1
    ]
    if not iam_state:
        return None
    calls = min(one.calls for one in iam_state)
    wall, cpu = min(one.wall_s for one in iam_state), min(one.cpu_s for one in iam_state)
    return (
        f"{'':<26}{first.users:>6}  first sweep: {calls / first.calls:.1f} x fewer calls,"
        f" {wall / first.wall_s:.1f} x less time ({cpu / first.cpu_s:.1f} x less CPU);"
        f" later: {calls / later.calls:.0f} x fewer calls"
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="The figures are of this machine."
    )
    parser.add_argument("-n", "--users", type=int, nargs="+", default=[100, 1000])
    parser.add_argument(
        "--peers",
        type=Path,
        default=os.environ.get("PEERS_DIR"),
        help="the folder with the seeded account and the tools; also from PEERS_DIR",
    )
    parser.add_argument(
        "--beside",
        default="c7n-mfa-device,c7n-credential,floor-report,floor-fresh,prowler",
        help="which tools to measure, none if empty (%(default)s)",
    )
    parser.add_argument(
        "--slow",
        type=int,
        default=1000,
        metavar="USERS",
        help="leave prowler out above so many users: it takes many minutes (%(default)s)",
    )
    parser.add_argument("--latency-ms", type=float, default=0, help="added to each call to IAM")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    asked = parser.parse_args()
    if asked.peers is None:
        parser.error("--peers names no folder with a seeded account; nothing can be measured")
    print(HEADER, flush=True)
    everything = []
    for users in asked.users:
        measured = measure_ours(asked.peers, users, asked.latency_ms)
        print("\n".join(row(one) for one in measured), flush=True)
        quick = users <= asked.slow
        if asked.beside:
            names = [one for one in asked.beside.split(",") if one != "prowler" or quick]
            measured += measure_peers(asked.peers, users, asked.latency_ms, ",".join(names))
            print("\n".join(row(one) for one in measured[3:]))
            print(verdict(measured) or "", flush=True)
        everything += measured
    if asked.json:
        asked.json.write_text(json.dumps([vars(one) for one in everything], indent=1))


if __name__ == "__main__":
    main()
