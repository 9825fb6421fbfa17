"""What must follow from what happens, with the real template, real policies and real functions."""

from collections import Counter

import pytest

from sandbox.scenes import SCENES
from sandbox.stage import Stage
from sandbox.timeline import Played


@pytest.mark.parametrize("title", [scene.title for scene in SCENES])
def test_all_that_should_follow_a_scene_follows_and_nothing_else(
    played: dict[str, Played], title: str
) -> None:
    assert [expectation.claim for expectation in played[title].missing] == []


def test_denied_removal_is_denied_by_the_guard_policy_and_by_nothing_else(stage: Stage) -> None:
    guard = stage.evidence.stack["GuardPolicyArn"]
    denied = [
        entry["record"]
        for entry in stage.evidence.records
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


def test_ten_duplicates_in_any_order_leave_one_of_each(stage: Stage) -> None:
    meant = [one for one in stage.evidence.kind("INTENT") if one["id"].startswith("mail-")]
    sent = Counter(one["sent_to"] for one in meant if one["status"] == "sent")
    assert Counter(mail.to for mail in stage.evidence.mails) == sent
    active = [item for item in stage.evidence.kind("REQUEST") if item["state"] != "cancelled"]
    subjects = Counter(item["subject_name"] for item in active)
    assert subjects == {"alice": 1, "carol": 1, "dave": 1, "mia": 2}


def test_no_message_ends_in_a_dead_letter_queue(stage: Stage) -> None:
    assert stage.evidence.dead_letters() == []
