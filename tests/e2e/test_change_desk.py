"""The change desk, deployed: what the story left, and what nobody gets past."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.account import Principal
from sandbox.actors import SERVICE_DESK
from sandbox.command_line import run_requests
from sandbox.records import Json
from sandbox.setup import Sandbox


@pytest.fixture
def requests(sandbox: Sandbox) -> dict[str, Json]:
    """The latest change requests of the story, by the user's name."""
    sandbox.observations.update()
    found = sorted(sandbox.observations.kind("REQUEST"), key=lambda item: str(item["opened_at"]))
    return {item["subject_name"]: item for item in found}


def test_password_is_in_no_table_log_mail_or_alert(sandbox: Sandbox) -> None:
    sandbox.observations.update()
    observations = sandbox.observations
    logs = sandbox.account.root.client("logs")
    events = [
        event["message"]
        for group in logs.describe_log_groups()["logGroups"]
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"]
        )
        for event in page["events"]
    ]
    assert any("Fulfilled" in event for event in events)
    written = {
        "logs": "\n".join(events),
        "table": repr(observations.items),
        "mails": repr(observations.mails),
        "alerts": repr(observations.alerts),
        "records": json.dumps(observations.records),
    }
    assert len(sandbox.actors.issued_passwords) == 3
    for password in sandbox.actors.issued_passwords:
        assert len(password) >= 20
        assert [place for place, text in written.items() if password in text] == []


def test_each_state_of_a_request_has_a_history_entry_that_led_to_it(
    sandbox: Sandbox, requests: dict[str, Json]
) -> None:
    for item in requests.values():
        entries = [one for one in sandbox.observations.history_of(item) if one.get("after")]
        moves = {(one.get("before"), one["after"]) for one in entries if _moves(one)}
        reached: set[str | None] = {None}
        while following := {after for before, after in moves if before in reached} - reached:
            reached |= following
        assert item["state"] in reached
        assert {before for before, _ in moves} <= reached


def _moves(entry: Json) -> bool:
    return bool(entry.get("before") != entry["after"])


def test_caller_who_invokes_the_function_directly_is_refused(sandbox: Sandbox) -> None:
    forged = {"requestContext": {"authorizer": {"iam": {"userArn": "arn:aws:iam::1:user/x"}}}}
    for caller in (sandbox.actors.as_approver("petra"), sandbox.actors["carol"]):
        for function in ("ChangeDesk", "ApprovalDesk", "Fulfil"):
            with pytest.raises(ClientError, match="AccessDenied"):
                _invoke(caller, sandbox.stack[function], forged)


def test_function_itself_refuses_a_caller_whom_iam_did_not_authenticate(sandbox: Sandbox) -> None:
    event = json.loads(Path("events/fulfil/caller_missing.json").read_text())
    answer = _invoke(sandbox.account.root, sandbox.stack["Fulfil"], event)
    assert answer["statusCode"] == 403


def _invoke(caller: Principal, function: str, event: Json) -> Json:
    said: Any = caller.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps(event).encode()
    )
    answer: Json = json.loads(said["Payload"].read())
    return answer


def test_service_desk_decides_nothing(sandbox: Sandbox, requests: dict[str, Json]) -> None:
    lena = sandbox.actors.in_service_desk_role("lena")
    command = ("approve", requests["alice"]["id"], "--seen", "1", "--reason", "it is urgent")
    run_requests(
        sandbox.stack, lena, *command, refused="IAM does not allow you to use the approval desk"
    )


def test_role_that_is_no_service_desk_files_for_nobody(sandbox: Sandbox) -> None:
    root = sandbox.account.root.client("iam")
    trust = root.get_role(RoleName=SERVICE_DESK)["Role"]["AssumeRolePolicyDocument"]
    role = root.create_role(RoleName="Interns", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    root.attach_role_policy(RoleName="Interns", PolicyArn=sandbox.stack["RequesterPolicyArn"])
    root.put_user_policy(
        UserName="lena",
        PolicyName="interns",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Resource": role["Arn"],
                },
            }
        ),
    )
    intern = sandbox.actors.in_role("lena", role["Arn"])
    refused = "only IAM users, for themselves, and the service desk's roles"
    run_requests(sandbox.stack, intern, "open", "--user", "bob", refused=refused)


def test_auditor_gets_all_requests_with_their_histories(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.observations.update()
    requests = sandbox.observations.kind("REQUEST")
    file, petra = tmp_path / "requests.csv", sandbox.actors.as_approver("petra")
    period = ("--from", "2020-01-01", "--to", "2099-12-31")
    run_requests(sandbox.stack, petra, "export", *period, "--output", str(file))
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert {line["request"] for line in lines} == {item["id"] for item in requests}
    for item in requests:
        exported = [line["event_id"] for line in lines if line["request"] == item["id"]]
        assert sorted(exported) == sorted(
            one["event_id"] for one in sandbox.observations.history_of(item)
        )


def test_administrator_finds_the_desk_in_the_stack(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.command_line.api_urls", lambda _stack: {})
    assert "alice" in run_requests(sandbox.stack, sandbox.actors["olivia"], "list")
