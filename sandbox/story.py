"""The story: what happens in an account in a bad week, with real calls of real IAM users.

Each scenario says what is expected to follow. `timeline.py` checks it.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox import change_request_story, command_line, watch_story
from sandbox.actors import GROUP
from sandbox.expectations import (
    Scenario,
    alerted,
    copied,
    denied,
    finding,
    mailed,
    mfa_status,
    quarantined,
    request,
    unknown,
)
from sandbox.setup import Sandbox
from sandbox.time_shift import days_pass


def bob_signs_in(sandbox: Sandbox) -> None:
    """Sign in as bob."""
    sandbox.account.sign_in("bob", source_ip=sandbox.actors["bob"].source_ip)


def alice_joins(sandbox: Sandbox) -> None:
    """Olivia creates a user for alice, with a password."""
    olivia = sandbox.actors["olivia"]
    sandbox.actors.create_user("alice", by=olivia)
    olivia.client("iam").add_user_to_group(GroupName=GROUP, UserName="alice")
    sandbox.actors.grant_console_access("alice", by=olivia)


def alice_signs_in(sandbox: Sandbox) -> None:
    """Alice signs in for the first time and sets their own password."""
    sandbox.account.sign_in(
        "alice",
        source_ip=sandbox.actors["alice"].source_ip,
        password=sandbox.actors.passwords["alice"],
    )
    sandbox.actors.change_password("alice")


def alice_enrols(sandbox: Sandbox) -> None:
    """Alice registers a phone and signs in with it."""
    sandbox.actors.enrol("alice", device="alice-phone")
    sandbox.account.sign_in("alice", source_ip=sandbox.actors["alice"].source_ip)


def carol_tries(sandbox: Sandbox) -> None:
    """Carol makes the two calls of the console's "Remove" button. Both are denied."""
    iam, serial = sandbox.actors["carol"].client("iam"), sandbox.actors.serial("carol-phone")
    denied(iam.deactivate_mfa_device, UserName="carol", SerialNumber=serial)
    denied(iam.delete_virtual_mfa_device, SerialNumber=serial)


def every_event_comes_again(sandbox: Sandbox) -> str:
    """Deliver every event that matched a rule ten times more, in random order."""
    matched = [
        entry["record"]["eventID"] for entry in sandbox.observations.records if entry["rules"]
    ]
    again = matched * 10
    random.shuffle(again)
    sandbox.account.deliver_again(again)
    return f"{len(again)} deliveries of {len(matched)} events, in random order"


def olivia_removes(sandbox: Sandbox) -> None:
    """Olivia removes dave's device without an approval."""
    iam, serial = sandbox.actors["olivia"].client("iam"), sandbox.actors.serial("dave-phone")
    iam.deactivate_mfa_device(UserName="dave", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)


def a_bot_gets_a_key(sandbox: Sandbox) -> None:
    """A service account gets a key, and uses it."""
    sandbox.actors.create_user("deploy-bot", by=sandbox.actors["olivia"])
    denied(sandbox.actors["deploy-bot"].client("iam").list_users)


def root_signs_in(sandbox: Sandbox) -> None:
    """Sign in as root."""
    sandbox.account.sign_in(source_ip="198.51.100.99")


def olivia_disables_a_rule(sandbox: Sandbox) -> None:
    """Olivia disables the rule for sign-ins, and enables it again."""
    events = sandbox.actors["olivia"].client("events")
    events.disable_rule(Name=sandbox.stack["SignInRule"])
    events.enable_rule(Name=sandbox.stack["SignInRule"])


def frank_is_exempted(sandbox: Sandbox) -> str:
    """Olivia exempts frank with the product's command line, then gives them a password."""
    olivia = sandbox.actors["olivia"]
    until = f"{datetime.now(UTC) + timedelta(days=27):%Y-%m-%d}"
    command = [
        *("exemptions", "grant", "frank", "--until", until),
        *("--reason", "the security key has been ordered"),
    ]
    command_line.run(command, olivia.environment).check_returncode()
    sandbox.actors.grant_console_access("frank", by=olivia)
    return f"python -m mfa_watcher {' '.join(command)}"


def enrols(name: str, device: str) -> Callable[[Sandbox], None]:
    """Somebody registers a device."""
    return lambda sandbox: sandbox.actors.enrol(name, device=device)


def a_minute_passes(sandbox: Sandbox) -> None:
    """Run the quarantine, which the schedule runs every minute."""
    sandbox.run("Quarantine")


def gina_joins(sandbox: Sandbox) -> None:
    """Olivia creates a user for gina with an address that does not exist."""
    olivia = sandbox.actors["olivia"]
    sandbox.actors.create_user("gina", by=olivia, email="bounce+gina@example.com")
    sandbox.actors.grant_console_access("gina", by=olivia)


SCENARIOS: Final = (
    Scenario(
        "bob signs in without MFA",
        "They have had a console password for years, and no MFA device.",
        bob_signs_in,
        (
            finding("bob", opened=True),
            mailed("bob"),
            alerted("sign_in_without_mfa", naming="bob"),
        ),
    ),
    Scenario(
        "alice joins",
        "olivia, an administrator, creates the user, with a password to be changed.",
        alice_joins,
        (finding("alice", opened=True), mailed("alice"), alerted()),
    ),
    Scenario(
        "alice signs in for the first time",
        "Without MFA, since there is no other way to enrol. The grace period allows it.",
        alice_signs_in,
        (finding("alice", opened=True), mailed(), alerted()),
    ),
    Scenario(
        "alice enrols",
        "They register an authenticator app, and sign in with it.",
        alice_enrols,
        (finding("alice", opened=False), mailed("alice"), alerted()),
    ),
    Scenario(
        "carol tries to remove a device",
        "The guard policy denies both calls of the console's Remove button.",
        carol_tries,
        (request("carol"), mailed("carol"), alerted("removal_denied", naming="carol")),
    ),
    *change_request_story.CAROL,
    Scenario(
        "olivia removes dave's device",
        "No policy stops this administrator, and no change request was approved.",
        olivia_removes,
        (
            finding("dave", opened=True),
            request("dave", violation=True),
            mailed("dave"),
            alerted("removal_unapproved", naming="dave"),
        ),
    ),
    *change_request_story.DAVE,
    Scenario(
        "deploy-bot gets a key",
        "A service account without a console password is out of scope.",
        a_bot_gets_a_key,
        (unknown("deploy-bot"), mailed(), alerted()),
    ),
    Scenario(
        "root signs in",
        "This is always reported.",
        root_signs_in,
        (mailed(), alerted("root_activity", naming="root")),
    ),
    Scenario(
        "olivia tampers with the watcher",
        "They disable the rule for sign-ins.",
        olivia_disables_a_rule,
        (mailed(), alerted("watcher_disturbed", naming="olivia")),
    ),
    *watch_story.SCENARIOS,
    Scenario(
        "every event comes ten times more",
        "EventBridge delivers at least once, and in any order.",
        every_event_comes_again,
        (
            finding("bob", opened=True),
            finding("alice", opened=False),
            request("carol", "closed"),
            request("dave", "closed", violation=True),
            mailed(),
            alerted(),
        ),
    ),
    Scenario(
        "frank is exempted until a date",
        "olivia grants it, with a reason and an end. Then frank gets a password.",
        frank_is_exempted,
        (
            mfa_status("frank", "exempt"),
            mailed("frank"),
            alerted("password_set", naming="frank"),
        ),
    ),
    Scenario(
        "a day later",
        "bob and dave still have no device. alice has one, frank is exempt.",
        days_pass(1),
        (mailed("bob", "dave"), alerted()),
    ),
    Scenario(
        "dave enrols a new phone",
        "This ends the reminders.",
        enrols("dave", "dave-new-phone"),
        (finding("dave", opened=False), mailed("dave"), alerted()),
    ),
    Scenario(
        "day 3",
        "The second reminder.",
        days_pass(2),
        (mailed("bob"), alerted()),
    ),
    Scenario(
        "day 7",
        "The final warning, with a copy to the manager.",
        days_pass(4),
        (mailed("bob"), copied("bob", to="olivia"), alerted()),
    ),
    Scenario(
        "day 14",
        "Another reminder, and a mail to the security team.",
        days_pass(7),
        (mailed("bob", "security"), alerted()),
    ),
    Scenario(
        "day 21",
        "The quarantine, which is off by default. And frank's exemption ends soon.",
        days_pass(7, "Quarantine"),
        (
            quarantined("bob", restricted=True),
            mailed("bob", "security"),
            alerted("quarantined", naming="bob"),
        ),
    ),
    Scenario(
        "bob enrols",
        "The quarantine allows nothing else.",
        enrols("bob", "bob-phone"),
        (finding("bob", opened=False), mailed("bob"), alerted()),
    ),
    Scenario(
        "a minute later",
        "The quarantine ends by itself.",
        a_minute_passes,
        (quarantined("bob", restricted=False), mailed(), alerted()),
    ),
    Scenario(
        "gina's address does not exist",
        "The welcome mail bounces, and no other address is known.",
        gina_joins,
        (finding("gina", opened=True), mailed("bounce+gina"), alerted("mail_undeliverable")),
    ),
    Scenario(
        "an hour later",
        "The security team receives a list of the users without a usable address.",
        days_pass(0),
        (mailed("security"), alerted()),
    ),
    *change_request_story.ALICE,
)
