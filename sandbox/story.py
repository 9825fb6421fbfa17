"""The story: what happens in an account in a bad week, told with real calls of real IAM users.

Each scene says what must follow. Whoever plays it checks that it does.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from botocore.exceptions import ClientError

from sandbox.cast import GROUP
from sandbox.emulator import REGION
from sandbox.evidence import Alert, Evidence, Mail
from sandbox.records import Json
from sandbox.stage import Stage
from sandbox.timelapse import pass_days


@dataclass(frozen=True)
class Since:
    """What has been seen since a scene began, and the state the table is in now."""

    evidence: Evidence
    mails_before: int
    alerts_before: int
    records_before: int

    @classmethod
    def now(cls, evidence: Evidence) -> "Since":
        """Begin."""
        return cls(evidence, len(evidence.mails), len(evidence.alerts), len(evidence.records))

    @property
    def mails(self) -> list[Mail]:
        """The mails of this scene."""
        return self.evidence.mails[self.mails_before :]

    @property
    def alerts(self) -> list[Alert]:
        """The alerts of this scene."""
        return self.evidence.alerts[self.alerts_before :]

    @property
    def records(self) -> list[Json]:
        """The CloudTrail records of this scene."""
        return [entry["record"] for entry in self.evidence.records[self.records_before :]]

    def user(self, name: str) -> Json:
        """The watcher's record of a user; empty if it has none."""
        return next((item for item in self.evidence.kind("USER") if item["name"] == name), {})

    def requests(self, name: str) -> list[Json]:
        """The change requests about a user."""
        return [item for item in self.evidence.kind("REQUEST") if item["subject_name"] == name]


@dataclass(frozen=True)
class Expectation:
    """Something that must be true at the end of a scene."""

    claim: str
    holds: Callable[[Since], bool]


@dataclass(frozen=True)
class Scene:
    """One thing that happens. What `act` returns is shown, if anything."""

    title: str
    text: str
    act: Callable[[Stage], str | None]
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


def standing(name: str, value: str) -> Expectation:
    """The watcher's record of a user says how he stands."""
    return Expectation(
        f"{name} is {value}", lambda since: since.user(name).get("standing") == value
    )


def quarantined(name: str, *, shut_in: bool) -> Expectation:
    """The quarantine policy is attached to a user, or is not."""

    def holds(since: Since) -> bool:
        iam = since.evidence.account.root.client("iam")
        found = iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]
        return any("Quarantine" in policy["PolicyName"] for policy in found) is shut_in

    return Expectation(f"{name} can do {'nothing but enrol' if shut_in else 'as before'}", holds)


def finding(name: str, *, opened: bool) -> Expectation:
    """A user's finding is open, or closed."""
    return Expectation(
        f"{name}'s finding is {'open' if opened else 'closed'}",
        lambda since: (
            bool(since.user(name).get("finding"))
            and (since.user(name)["finding"].get("closed_at") is None) is opened
        ),
    )


def request(name: str, *, violation: bool = False) -> Expectation:
    """Exactly one open change request about a user."""

    def holds(since: Since) -> bool:
        found = since.requests(name)
        return (
            len(found) == 1 and found[0]["state"] == "open" and found[0]["violation"] is violation
        )

    return Expectation(f"one {'violation' if violation else 'change request'} about {name}", holds)


def unknown(name: str) -> Expectation:
    """Nobody found anything wrong with a user."""
    return Expectation(
        f"nothing is held against {name}",
        lambda since: not since.user(name).get("finding") and not since.requests(name),
    )


# --- the scenes ---------------------------------------------------------------------------------


def bob_signs_in(stage: Stage) -> None:
    """Sign in as bob."""
    stage.account.sign_in("bob", source_ip=stage.cast["bob"].source_ip)


def alice_joins(stage: Stage) -> None:
    """Olivia makes alice's user and gives it a password."""
    olivia = stage.cast["olivia"]
    stage.cast.hire("alice", by=olivia)
    olivia.client("iam").add_user_to_group(GroupName=GROUP, UserName="alice")
    stage.cast.give_console_access("alice", by=olivia)


def alice_signs_in(stage: Stage) -> None:
    """Alice signs in for the first time and sets a password of her own."""
    alice = stage.cast["alice"]
    stage.account.sign_in("alice", source_ip=alice.source_ip)
    alice.client("iam").change_password(OldPassword="as given", NewPassword="of her own")


def alice_enrols(stage: Stage) -> None:
    """Alice registers her phone and signs in with it."""
    stage.cast.enrol("alice", device="alice-phone")
    stage.account.sign_in("alice", source_ip=stage.cast["alice"].source_ip)


def carol_tries(stage: Stage) -> None:
    """Carol does what the console's "Remove" does: two calls, both denied."""
    iam, serial = stage.cast["carol"].client("iam"), stage.cast.serial("carol-phone")
    denied(iam.deactivate_mfa_device, UserName="carol", SerialNumber=serial)
    denied(iam.delete_virtual_mfa_device, SerialNumber=serial)


def all_comes_again(stage: Stage) -> str:
    """Deliver everything that matched a rule ten times more, in any order."""
    matched = [entry["record"]["eventID"] for entry in stage.evidence.records if entry["rules"]]
    again = matched * 10
    random.shuffle(again)
    stage.account.deliver_again(again)
    return f"{len(again)} deliveries of {len(matched)} events, in random order"


def olivia_removes(stage: Stage) -> None:
    """Olivia takes dave's device away without asking anybody."""
    iam, serial = stage.cast["olivia"].client("iam"), stage.cast.serial("dave-phone")
    iam.deactivate_mfa_device(UserName="dave", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)


def a_bot_works(stage: Stage) -> None:
    """A service account gets a key, and uses it."""
    stage.cast.hire("deploy-bot", by=stage.cast["olivia"])
    denied(stage.cast["deploy-bot"].client("iam").list_users)


def root_signs_in(stage: Stage) -> None:
    """Sign in as root."""
    stage.account.sign_in(source_ip="198.51.100.99")


def olivia_blinds(stage: Stage) -> None:
    """Olivia disables the rule that feeds sign-ins, and enables it again."""
    events = stage.cast["olivia"].client("events")
    events.disable_rule(Name=stage.evidence.stack["SignInRuleName"])
    events.enable_rule(Name=stage.evidence.stack["SignInRuleName"])


def frank_is_exempted(stage: Stage) -> str:
    """Olivia exempts frank with the product's command line, then gives him a password."""
    olivia = stage.cast["olivia"]
    until = f"{datetime.now(UTC) + timedelta(days=27):%Y-%m-%d}"
    command = [
        *("exemptions", "grant", "frank", "--until", until),
        *("--reason", "his security key is on its way"),
    ]
    subprocess.run(
        [sys.executable, "-m", "mfa_watcher", *command],
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        | {
            "AWS_ENDPOINT_URL": olivia.endpoint,
            "AWS_ACCESS_KEY_ID": olivia.access_key_id,
            "AWS_SECRET_ACCESS_KEY": olivia.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
        },
        stdout=subprocess.DEVNULL,
        check=True,
    )
    stage.cast.give_console_access("frank", by=olivia)
    return f"python -m mfa_watcher {' '.join(command)}"


def days_pass(days: int, *functions: str) -> Callable[[Stage], str]:
    """Let days pass, then run what the schedules run: the reminders at least."""

    def act(stage: Stage) -> str:
        said = pass_days(stage, days) if days else "an hour passes"
        for function in ("RemindFunction", *functions):
            stage.run(function)
        return said

    return act


def enrols(name: str, device: str) -> Callable[[Stage], None]:
    """Somebody registers a device."""
    return lambda stage: stage.cast.enrol(name, device=device)


def a_minute_passes(stage: Stage) -> None:
    """Run what the schedule runs every minute."""
    stage.run("QuarantineFunction")


def gina_joins(stage: Stage) -> None:
    """Olivia makes gina's user with an address that does not exist."""
    olivia = stage.cast["olivia"]
    stage.cast.hire("gina", by=olivia, email="bounce+gina@example.com")
    stage.cast.give_console_access("gina", by=olivia)


SCENES: Final = (
    Scene(
        "bob signs in without MFA",
        "He has had a console password for years, and no device.",
        bob_signs_in,
        (
            finding("bob", opened=True),
            mailed("bob"),
            alerted("sign_in_without_mfa", naming="bob"),
        ),
    ),
    Scene(
        "alice joins",
        "olivia, an administrator, makes her a user with a password to be changed.",
        alice_joins,
        (finding("alice", opened=True), mailed("alice"), alerted()),
    ),
    Scene(
        "alice signs in for the first time",
        "Without MFA: there is no other way to enrol. The grace period covers it.",
        alice_signs_in,
        (finding("alice", opened=True), mailed(), alerted()),
    ),
    Scene(
        "alice enrols",
        "She registers an authenticator app, and signs in with it.",
        alice_enrols,
        (finding("alice", opened=False), mailed("alice"), alerted()),
    ),
    Scene(
        "carol wants her device removed",
        "The guard policy denies both calls that the console's Remove makes.",
        carol_tries,
        (request("carol"), mailed("carol"), alerted("removal_denied", naming="carol")),
    ),
    Scene(
        "olivia removes dave's device",
        "No policy stops an administrator, and no change request was approved.",
        olivia_removes,
        (
            finding("dave", opened=True),
            request("dave", violation=True),
            mailed("dave"),
            alerted("removal_unapproved", naming="dave"),
        ),
    ),
    Scene(
        "deploy-bot gets a key",
        "A service account without a console password: none of the watcher's business.",
        a_bot_works,
        (unknown("deploy-bot"), mailed(), alerted()),
    ),
    Scene(
        "root signs in",
        "Reported in every case.",
        root_signs_in,
        (mailed(), alerted("root_activity", naming="root")),
    ),
    Scene(
        "olivia blinds the watcher",
        "She disables the rule that feeds sign-ins.",
        olivia_blinds,
        (mailed(), alerted("watcher_disturbed", naming="olivia")),
    ),
    Scene(
        "everything comes ten times",
        "EventBridge promises at least once, and no order.",
        all_comes_again,
        (
            finding("bob", opened=True),
            finding("alice", opened=False),
            request("carol"),
            request("dave", violation=True),
            mailed(),
            alerted(),
        ),
    ),
    Scene(
        "frank is exempt for a while",
        "olivia says so, with a reason and an end. Then he gets a password.",
        frank_is_exempted,
        (standing("frank", "exempt"), mailed(), alerted()),
    ),
    Scene(
        "a day later",
        "bob and dave still have no device. alice has one, frank is exempt.",
        days_pass(1),
        (mailed("bob", "dave"), alerted()),
    ),
    Scene(
        "dave enrols a new phone",
        "That ends the reminders, and whatever the schedule does, he gets no other.",
        enrols("dave", "dave-new-phone"),
        (finding("dave", opened=False), mailed("dave"), alerted()),
    ),
    Scene(
        "day 3",
        "The second reminder.",
        days_pass(2),
        (mailed("bob"), alerted()),
    ),
    Scene(
        "day 7",
        "The final warning; his manager gets a copy.",
        days_pass(4),
        (mailed("bob"), copied("bob", to="olivia"), alerted()),
    ),
    Scene(
        "day 14",
        "Another reminder, and the security team gets the case.",
        days_pass(7),
        (mailed("bob", "security"), alerted()),
    ),
    Scene(
        "day 21",
        "The quarantine, which is off unless it is switched on. And frank's exemption ends soon.",
        days_pass(7, "QuarantineFunction"),
        (
            quarantined("bob", shut_in=True),
            mailed("bob", "security"),
            alerted("quarantined", naming="bob"),
        ),
    ),
    Scene(
        "bob enrols after all",
        "It is all that he can do.",
        enrols("bob", "bob-phone"),
        (finding("bob", opened=False), mailed("bob"), alerted()),
    ),
    Scene(
        "a minute later",
        "The quarantine ends by itself.",
        a_minute_passes,
        (quarantined("bob", shut_in=False), mailed(), alerted()),
    ),
    Scene(
        "gina's address does not exist",
        "Her welcome comes back, and no other address of hers is known.",
        gina_joins,
        (finding("gina", opened=True), mailed("bounce+gina"), alerted("mail_undeliverable")),
    ),
    Scene(
        "an hour later",
        "Whom no address leads to is told to the security team, all in one mail.",
        days_pass(0),
        (mailed("security"), alerted()),
    ),
)
