"""Events that are lost, and the sweep that finds what changed."""

import time
from collections import Counter
from dataclasses import replace
from typing import Any, Final

from sandbox.account import Account
from sandbox.actors import Actors
from sandbox.emulator import ACCOUNT_ID, MEMBER_ID
from sandbox.expectations import Expectation, Scenario, Since
from sandbox.records import Json
from sandbox.setup import OBSERVE_EVERY_SECONDS, Sandbox

LOST_ONE_IN: Final = 5
SWEPT_WITHIN_SECONDS: Final = 90
ACCOUNTS: Final = (ACCOUNT_ID, MEMBER_ID)


def a_busy_day(sandbox: Sandbox) -> str:
    """Create users in both accounts; some enrol, are deleted, or lose their password."""
    before = len(sandbox.account.records())
    sandbox.account.lose_events(LOST_ONE_IN)
    try:
        _create_users(sandbox.actors, "olivia", "zora", count=10)
        _create_users(sandbox.other_accounts.actors, "lars", "lola", count=4)
        iam = sandbox.actors["olivia"].client("iam")
        for name in ("zora-2", "zora-7"):
            iam.delete_login_profile(UserName=name)
        _delete_users(sandbox.actors, "olivia", "zora-3", "zora-9")
        iam.update_user(UserName="zora-4", NewUserName="zora-married")
        _delete_users(sandbox.actors, "olivia", "zora-5")
        iam.create_user(UserName="zora-5")
    finally:
        sandbox.account.lose_events(0)
    entries = sandbox.account.records()[before:]
    lost = Counter(entry["record"]["eventName"] for entry in entries if entry["lost"])
    came = sum(bool(entry["rules"]) for entry in entries)
    named = ", ".join(f"{name} {count}" for name, count in sorted(lost.items()))
    return f"{came + lost.total()} events that a rule asks for, {lost.total()} lost: {named}"


def _create_users(actors: Actors, by: str, name: str, *, count: int) -> None:
    administrator = actors[by]
    for number in range(count):
        person = f"{name}-{number}"
        actors.create_user(person, by=administrator)
        actors.grant_console_access(person, by=administrator)
        if number % 2:
            administrator.client("iam").put_user_policy(
                UserName=person, PolicyName="enrol", PolicyDocument=_ENROL
            )
            actors.enrol(person, device=f"{person}-phone")


def _delete_users(actors: Actors, by: str, *names: str) -> None:
    """Delete users with all that belongs to them, as the console does it."""
    iam = actors[by].client("iam")
    for name in names:
        for device in iam.list_mfa_devices(UserName=name)["MFADevices"]:
            iam.deactivate_mfa_device(UserName=name, SerialNumber=device["SerialNumber"])
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_login_profile(UserName=name)
        iam.delete_user(UserName=name)


def sweep(sandbox: Sandbox) -> str:
    """Run the sweep as its schedule does, and wait until it is done with both accounts."""
    sandbox.observations.update()
    wrong = len(differences(Since.now(sandbox.observations)))
    before = {number: _last_sweep(sandbox, number).get("at") for number in ACCOUNTS}
    sandbox.run("Sweep")
    deadline = time.monotonic() + SWEPT_WITHIN_SECONDS
    swept: dict[str, Json] = {}
    while time.monotonic() < deadline:
        swept = {number: _last_sweep(sandbox, number) for number in ACCOUNTS}
        if all(swept[number].get("at") != before[number] for number in ACCOUNTS):
            break
        time.sleep(OBSERVE_EVERY_SECONDS)
    sandbox.observations.update()
    still = len(differences(Since.now(sandbox.observations)))
    calls = " and ".join(str(one.get("iam_calls", "?")) for one in swept.values())
    return (
        f"users whose state in the table differed from IAM: {wrong} before, {still} after; "
        f"{calls} IAM calls"
    )


def _last_sweep(sandbox: Sandbox, number: str) -> Json:
    sandbox.observations.update()
    return next(
        (
            item
            for item in sandbox.observations.items
            if (item["pk"], item["sk"]) == (f"ACCOUNT#{number}", "SWEEP")
        ),
        {},
    )


def differences(since: Since) -> list[str]:
    """Return how the watcher's table differs from IAM at present, in both accounts."""
    return [
        found
        for number in ACCOUNTS
        for found in _differences(since, since.observations.account, number)
    ]


def _differences(since: Since, hub: Account, number: str) -> list[str]:
    iam = replace(hub, number=number).root.client("iam")
    known = {
        item["pk"]: item
        for item in since.observations.kind("USER")
        if item["pk"].startswith(f"USER#{number}#") and "gone_at" not in item
    }
    found = []
    for page in iam.get_paginator("list_users").paginate():
        for user in page["Users"]:
            name = user["UserName"]
            item = known.pop(f"USER#{number}#{user['UserId']}", None)
            if item is None:
                found.append(f"{name} is not known")
            elif item["name"] != name:
                found.append(f"{name} is known as {item['name']}")
            elif item["mfa_status"] not in _possible_statuses(iam, name, item):
                found.append(f"{name} is not {item['mfa_status']}")
    return found + [f"{item['name']} is gone" for item in known.values()]


def _possible_statuses(client: Any, name: str, item: Json) -> set[str]:  # noqa: ANN401 - boto3's own
    devices = client.list_mfa_devices(UserName=name)["MFADevices"]
    try:
        client.get_login_profile(UserName=name)
    except client.exceptions.NoSuchEntityException:
        # A user with a device counts as protected: the watcher does not ask for their password.
        return {"no_console_access", "protected"} if devices else {"no_console_access"}
    if devices:
        return {"protected"}
    return {"exempt"} if item.get("exemption") else {"unprotected"}


EXACT: Final = Expectation(
    "the table is exact: it agrees with IAM about every user of both accounts",
    lambda since: differences(since) == [],
)

WRONG: Final = Expectation(
    "the table differs from IAM: events alone are not enough",
    lambda since: differences(since) != [],
)

_ENROL: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:*MFADevice",'
    ' "Resource": ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:mfa/*"]}]}'
)

SCENARIOS: Final = (
    Scenario(
        "a busy day, and one event in five is lost",
        "Users are created, enrol, leave and are renamed, in both accounts.",
        a_busy_day,
        (WRONG,),
    ),
    Scenario(
        "the sweep",
        "All users of both accounts are compared; IAM is read again for those that differ.",
        sweep,
        (EXACT,),
    ),
)
