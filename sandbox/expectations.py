"""What a scenario is, and what may be expected to follow from one."""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from sandbox.observations import Alert, Mail, Observations
from sandbox.records import Json
from sandbox.setup import Sandbox


@dataclass(frozen=True)
class Since:
    """What has been seen since a scenario began, and the state the table is in now."""

    observations: Observations
    mails_before: int
    alerts_before: int
    records_before: int

    @classmethod
    def now(cls, observations: Observations) -> "Since":
        """Begin."""
        return cls(
            observations,
            len(observations.mails),
            len(observations.alerts),
            len(observations.records),
        )

    @property
    def mails(self) -> list[Mail]:
        """The mails of this scenario."""
        return self.observations.mails[self.mails_before :]

    @property
    def alerts(self) -> list[Alert]:
        """The alerts of this scenario."""
        return self.observations.alerts[self.alerts_before :]

    @property
    def records(self) -> list[Json]:
        """The CloudTrail records of this scenario."""
        return [entry["record"] for entry in self.observations.records[self.records_before :]]

    def user(self, name: str) -> Json:
        """The watcher's record of a user; empty if it has none."""
        return next((item for item in self.observations.kind("USER") if item["name"] == name), {})

    def requests(self, name: str) -> list[Json]:
        """The change requests about a user."""
        return [item for item in self.observations.kind("REQUEST") if item["subject_name"] == name]


@dataclass(frozen=True)
class Expectation:
    """Something that must be true at the end of a scenario."""

    claim: str
    holds: Callable[[Since], bool]


@dataclass(frozen=True)
class Scenario:
    """One thing that happens. What `act` returns is shown, if anything."""

    title: str
    text: str
    act: Callable[[Sandbox], str | None]
    then: tuple[Expectation, ...]


class NotDeniedError(RuntimeError):
    """A call went through that the guard policy should have denied."""


def denied(call: Callable[..., object], **arguments: str) -> None:
    """Make a call that policy evaluation must deny."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            return
        raise
    raise NotDeniedError(f"{arguments} was allowed")


# --- what may be expected -----------------------------------------------------------------------


def mailed(*names: str) -> Expectation:
    """Exactly one new mail for each name, and none else."""
    return Expectation(
        f"one mail to {' and one to '.join(names)}" if names else "no mail",
        lambda since: (
            sorted(mail.to for mail in since.mails)
            == sorted(f"{name}@example.com" for name in names)
        ),
    )


def alerted(*kinds: str, naming: str = "") -> Expectation:
    """Exactly these kinds of alerts, each naming the user."""
    return Expectation(
        f"alert {', '.join(kinds)}{' naming ' + naming if naming else ''}" if kinds else "no alert",
        lambda since: (
            sorted(alert.attributes.get("kind", "") for alert in since.alerts) == sorted(kinds)
            and all(naming in alert.message for alert in since.alerts)
        ),
    )


def copied(name: str, *, to: str) -> Expectation:
    """The mail to somebody went to somebody else, too."""
    return Expectation(
        f"{to} gets a copy of {name}'s mail",
        lambda since: (
            [mail.copy_to for mail in since.mails if mail.to.startswith(f"{name}@")]
            == [f"{to}@example.com"]
        ),
    )


def mfa_status(name: str, value: str) -> Expectation:
    """The watcher's record of a user says how he stands."""
    return Expectation(
        f"{name} is {value}", lambda since: since.user(name).get("mfa_status") == value
    )


def quarantined(name: str, *, restricted: bool) -> Expectation:
    """The quarantine policy is attached to a user, or is not."""

    def holds(since: Since) -> bool:
        iam = since.observations.account.root.client("iam")
        found = iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]
        return any("Quarantine" in policy["PolicyName"] for policy in found) is restricted

    return Expectation(f"{name} can do {'nothing but enrol' if restricted else 'as before'}", holds)


def finding(name: str, *, opened: bool) -> Expectation:
    """A user's finding is open, or closed."""
    return Expectation(
        f"{name}'s finding is {'open' if opened else 'closed'}",
        lambda since: (
            bool(since.user(name).get("finding"))
            and (since.user(name)["finding"].get("closed_at") is None) is opened
        ),
    )


def request(name: str, state: str = "open", *, violation: bool = False) -> Expectation:
    """Exactly one change request about a user, and how it stands."""

    def holds(since: Since) -> bool:
        found = since.requests(name)
        return len(found) == 1 and found[0]["state"] == state and found[0]["violation"] is violation

    kind = "violation" if violation else "change request"
    return Expectation(f"one {kind} about {name}, {state}", holds)


def unknown(name: str) -> Expectation:
    """Nobody found anything wrong with a user."""
    return Expectation(
        f"nothing is held against {name}",
        lambda since: not since.user(name).get("finding") and not since.requests(name),
    )
