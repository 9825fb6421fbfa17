"""What must follow from what happens, with the real template, real policies and real functions."""

from collections import Counter

import pytest

from sandbox.scenarios import SCENARIOS
from sandbox.setup import Sandbox
from sandbox.timeline import ScenarioResult


@pytest.mark.parametrize("title", [scenario.title for scenario in SCENARIOS])
def test_each_scene_has_the_expected_effects_and_no_others(
    results: dict[str, ScenarioResult], title: str
) -> None:
    assert [expectation.claim for expectation in results[title].missing] == []


def test_denied_removal_is_denied_by_the_guard_policy_and_by_nothing_else(sandbox: Sandbox) -> None:
    guard = sandbox.stack["GuardPolicyArn"]
    denied = [
        entry["record"]
        for entry in sandbox.observations.records
        if entry["record"].get("errorCode") == "AccessDenied"
    ]
    assert {record["eventName"] for record in denied} == {
        "DeactivateMFADevice",
        "DeleteVirtualMFADevice",
        "PurgeQueue",
    }
    assert all(
        record["errorMessage"].endswith(
            f"with an explicit deny in an identity-based policy: {guard}"
        )
        and record["requestParameters"] is None
        for record in denied
    )


def test_ten_duplicates_in_any_order_have_each_effect_once(sandbox: Sandbox) -> None:
    meant = [one for one in sandbox.observations.kind("INTENT") if one["id"].startswith("mail-")]
    sent = Counter(one["sent_to"] for one in meant if one["status"] == "sent")
    assert Counter(mail.to for mail in sandbox.observations.mails) == sent
    active = [item for item in sandbox.observations.kind("REQUEST") if item["state"] != "cancelled"]
    subjects = Counter(item["subject_name"] for item in active)
    assert subjects == {"alice": 1, "carol": 1, "dave": 1, "mia": 2}


def test_no_message_ends_in_a_dead_letter_queue(sandbox: Sandbox) -> None:
    assert sandbox.observations.dead_letters() == []
