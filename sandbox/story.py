"""The story: what happens in an account in a bad week, told with real calls of real IAM users.

Each scene says what must follow. Whoever plays it checks that it does.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox import desk_story, watch_story
from sandbox.cast import GROUP
from sandbox.expectations import (
    Scene,
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
from sandbox.stage import Stage
from sandbox.timelapse import days_pass


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
    stage.account.sign_in(
        "alice", source_ip=stage.cast["alice"].source_ip, password=stage.cast.passwords["alice"]
    )
    stage.cast.change_password("alice")


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
    events.disable_rule(Name=stage.evidence.stack["SignInRule"])
    events.enable_rule(Name=stage.evidence.stack["SignInRule"])


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
        | olivia.environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    stage.cast.give_console_access("frank", by=olivia)
    return f"python -m mfa_watcher {' '.join(command)}"


def enrols(name: str, device: str) -> Callable[[Stage], None]:
    """Somebody registers a device."""
    return lambda stage: stage.cast.enrol(name, device=device)


def a_minute_passes(stage: Stage) -> None:
    """Run what the schedule runs every minute."""
    stage.run("Quarantine")


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
    *desk_story.CAROL,
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
    *desk_story.DAVE,
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
    *watch_story.SCENES,
    Scene(
        "everything comes ten times",
        "EventBridge promises at least once, and no order.",
        all_comes_again,
        (
            finding("bob", opened=True),
            finding("alice", opened=False),
            request("carol", "closed"),
            request("dave", "closed", violation=True),
            mailed(),
            alerted(),
        ),
    ),
    Scene(
        "frank is exempt for a while",
        "olivia says so, with a reason and an end. Then he gets a password.",
        frank_is_exempted,
        (mfa_status("frank", "exempt"), mailed(), alerted()),
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
        days_pass(7, "Quarantine"),
        (
            quarantined("bob", quarantine=True),
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
        (quarantined("bob", quarantine=False), mailed(), alerted()),
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
    *desk_story.ALICE,
)
