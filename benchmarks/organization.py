"""What sweeping an organization costs, computed from what one account was measured to cost.

    python -m benchmarks.sweep --peers DIR -n 1000 --beside "" --latency-ms 20 --json measured.json
    python -m benchmarks.organization measured.json --accounts 1000 --users 1000

Each account is swept by a message of its own, so a thousand cost a thousand times one. Prices are
those of us-east-1 without any free tier; IAM's calls cost nothing. Mails and alerts, which the
first sweep's findings cause, are not counted: they are what the product is for, and cost the same
however users are found.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GB_SECOND = 0.0000133334
"""Lambda, arm64."""
INVOCATION = 0.20 / 1_000_000
MESSAGE_REQUEST = 0.40 / 1_000_000
"""SQS: to send a message, to receive and to delete it are three."""
READ_UNIT = 0.125 / 1_000_000
WRITE_UNIT = 0.625 / 1_000_000
"""DynamoDB on demand."""

MEMORY_GB = 0.5
"""What template.yaml gives a function."""
CORES = 512 / 1769
"""What comes with that memory (Lambda developer guide, "Configure function memory")."""
REQUESTS_A_MESSAGE = 3
SWEEPS_A_DAY = 6
DAYS_A_MONTH = 30
CONCURRENCY = 20
"""How many accounts template.yaml has swept at a time."""


@dataclass(frozen=True)
class Cost:
    """What one sweep of all accounts takes."""

    messages: float
    iam_calls: float
    lambda_s: float
    invocations: float
    read_units: float
    write_units: float

    @property
    def dollars(self) -> float:
        """Return what it costs."""
        return (
            self.lambda_s * MEMORY_GB * GB_SECOND
            + self.invocations * INVOCATION
            + self.messages * REQUESTS_A_MESSAGE * MESSAGE_REQUEST
            + self.read_units * READ_UNIT
            + self.write_units * WRITE_UNIT
        )

    @property
    def minutes(self) -> float:
        """Return how long it takes, as many accounts at a time as the template allows."""
        return self.lambda_s / CONCURRENCY / 60


def cost(measured: dict[str, Any], accounts: int) -> Cost:
    """Multiply one account's figures."""
    ours = measured["ours"]
    return Cost(
        accounts * ours["messages"],
        accounts * measured["calls"],
        accounts * max(measured["working_s"], measured["cpu_s"] / CORES),
        accounts * (measured["invocations"] - 1) + 1,  # the schedule's own is one for all
        accounts * ours["read_units"],
        accounts * ours["write_units"],
    )


def main() -> None:
    """Compute, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, help="what benchmarks.sweep wrote with --json")
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--users", type=int, default=1000, help="in each account, as measured")
    asked = parser.parse_args()
    figures = json.loads(asked.measured.read_text())
    one = {figure["name"]: figure for figure in figures if figure["users"] == asked.users}
    if not {"ours, first", "ours, later"} <= one.keys():
        parser.error(f"{asked.measured} has no sweeps of {asked.users} users")
    first = cost(one["ours, first"], asked.accounts)
    later = cost(one["ours, later"], asked.accounts)
    print(f"{asked.accounts} accounts of {asked.users} users{'first sweep':>24}{'later sweep':>16}")
    for name, value in (
        ("messages", "messages"),
        ("calls to IAM", "iam_calls"),
        ("Lambda invocations", "invocations"),
        ("Lambda seconds", "lambda_s"),
        ("DynamoDB read units", "read_units"),
        ("DynamoDB write units", "write_units"),
        ("minutes, 20 accounts at a time", "minutes"),
        ("dollars", "dollars"),
    ):
        cells = [getattr(one, value) for one in (first, later)]
        shown = [
            f"{cell:,.2f}" if value in {"dollars", "minutes"} else f"{cell:,.0f}" for cell in cells
        ]
        print(f"{name:<38}{shown[0]:>14}{shown[1]:>16}")
    month = later.dollars * SWEEPS_A_DAY * DAYS_A_MONTH
    print(f"\nA month of sweeps, one user in a hundred changed before each: {month:,.2f} dollars")


if __name__ == "__main__":
    main()
