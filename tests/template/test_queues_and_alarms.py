from __future__ import annotations

from typing import Any

import pytest

from tests.template.cloudformation import Template

TEMPLATE = Template.read()
QUEUES = TEMPLATE.of_type("AWS::SQS::Queue")
DEAD_LETTERS = [name for name in QUEUES if name.endswith("DeadLetters")]
SOURCES = [name for name in QUEUES if name not in DEAD_LETTERS]
FUNCTIONS = TEMPLATE.of_type("AWS::Serverless::Function")
NESTED = TEMPLATE.nested("Alarms")
ALARMS = {
    name: NESTED.resolve(alarm["Properties"])
    for name, alarm in NESTED.of_type("AWS::CloudWatch::Alarm").items()
}
TWO_WEEKS = 14 * 24 * 3600


def _consumer(queue: str) -> dict[str, Any]:
    """The function that a queue feeds."""
    [consumer] = [
        function["Properties"]
        for function in FUNCTIONS.values()
        for event in function["Properties"].get("Events", {}).values()
        if event["Properties"].get("Queue") == {"Fn::GetAtt": [queue, "Arn"]}
    ]
    return consumer  # type: ignore[no-any-return]  # properties are plain YAML


def _alarmed(metric: str, on: Any) -> list[str]:
    """Return the alarms on one metric of one queue or function."""
    return [
        name
        for name, alarm in ALARMS.items()
        if alarm.get("MetricName") == metric
        and alarm["Dimensions"][0]["Value"] == TEMPLATE.resolve(on)
    ]


@pytest.mark.parametrize("name", QUEUES)
def test_queue_is_encrypted_and_keeps_for_two_weeks(name: str) -> None:
    properties = QUEUES[name]["Properties"]
    assert properties["SqsManagedSseEnabled"] is True
    assert properties["MessageRetentionPeriod"] == TWO_WEEKS


@pytest.mark.parametrize("name", SOURCES)
def test_queue_hides_a_message_for_six_times_its_functions_timeout(name: str) -> None:
    timeout = _consumer(name).get("Timeout", TEMPLATE.body["Globals"]["Function"]["Timeout"])
    assert QUEUES[name]["Properties"]["VisibilityTimeout"] >= 6 * timeout


@pytest.mark.parametrize("name", SOURCES)
def test_function_sets_aside_long_before_sqs_does_and_in_the_same_queue(name: str) -> None:
    redrive = QUEUES[name]["Properties"]["RedrivePolicy"]
    variables = _consumer(name)["Environment"]["Variables"]
    # Receives that Lambda throttles count for SQS but reach no function, so SQS allows more.
    assert 4 * int(variables["MAX_RECEIVE_COUNT"]) <= redrive["maxReceiveCount"]
    assert redrive["deadLetterTargetArn"]["Fn::GetAtt"] == [
        variables["DEAD_LETTER_QUEUE_URL"]["Ref"],
        "Arn",
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_one_bad_message_does_not_bring_back_its_batch(name: str) -> None:
    [event] = [one for one in _consumer(name)["Events"].values() if one["Type"] == "SQS"]
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("name", TEMPLATE.of_type("AWS::SQS::QueuePolicy"))
def test_queue_takes_messages_from_its_own_rules_alone(name: str) -> None:
    statements = TEMPLATE.properties(name)["PolicyDocument"]["Statement"]
    allowed = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert all(one["Principal"] == {"Service": "events.amazonaws.com"} for one in allowed)
    sources = [one["Condition"]["ArnEquals"]["aws:SourceArn"] for one in allowed]
    [senders] = TEMPLATE.resolve(sources) or [[]]
    queues = [
        TEMPLATE.resolve({"Fn::GetAtt": [q["Ref"], "Arn"]})
        for q in TEMPLATE.properties(name)["Queues"]
    ]
    targeting = {
        template.resolve({"Fn::GetAtt": [rule, "Arn"]})
        for template in TEMPLATE.all()
        for rule, resource in template.of_type("AWS::Events::Rule").items()
        if template.resolve(resource["Properties"]["Targets"][0]["Arn"]) in queues
    }
    assert ({senders} if isinstance(senders, str) else set(senders)) == targeting


@pytest.mark.parametrize("name", DEAD_LETTERS)
def test_dead_letters_raise_an_alarm(name: str) -> None:
    assert _alarmed("ApproximateNumberOfMessagesVisible", {"Fn::GetAtt": [name, "QueueName"]})


@pytest.mark.parametrize("name", SOURCES)
def test_waiting_messages_raise_an_alarm(name: str) -> None:
    assert _alarmed("ApproximateAgeOfOldestMessage", {"Fn::GetAtt": [name, "QueueName"]})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_failing_function_raises_an_alarm(name: str) -> None:
    assert _alarmed("Errors", {"Ref": name}), (
        f"alarms.yaml: declare {name} as a parameter and add {name}ErrorsAlarm;"
        f" template.yaml, Alarms: pass on {name}: !Ref {name}"
    )


@pytest.mark.parametrize("metric", ["IntentsFailed", "SendingStopped"])
def test_what_needs_a_person_raises_an_alarm_under_the_service_that_powertools_reports(
    metric: str,
) -> None:
    variables = TEMPLATE.body["Globals"]["Function"]["Environment"]["Variables"]
    alarm = ALARMS[f"{metric}Alarm"]
    assert alarm["MetricName"] == metric
    assert alarm["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    assert alarm["Dimensions"] == [
        {"Name": "service", "Value": TEMPLATE.resolve(variables["POWERTOOLS_SERVICE_NAME"])}
    ]


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_reaches_the_alert_topic(name: str) -> None:
    assert ALARMS[name]["AlarmActions"] == [TEMPLATE.resolve({"Ref": "AlertTopic"})]


def test_alarms_may_publish_to_the_encrypted_topic() -> None:
    service = {"Service": "cloudwatch.amazonaws.com"}
    key = TEMPLATE.properties("Key")["KeyPolicy"]["Statement"]
    topic = TEMPLATE.properties("AlertTopicPolicy")["PolicyDocument"]["Statement"]
    assert [s["Sid"] for s in key if s["Principal"] == service] == ["AlarmsPublish"]
    assert [s["Sid"] for s in topic if s["Principal"] == service] == ["AlarmsPublish"]


def test_table_and_topic_are_encrypted_with_our_key() -> None:
    assert TEMPLATE.properties("Table")["SSESpecification"]["SSEType"] == "KMS"
    assert TEMPLATE.properties("AlertTopic")["KmsMasterKeyId"] == {"Ref": "Key"}


def test_evidence_outlives_the_stack() -> None:
    for name in ("Key", "Table"):
        resource = TEMPLATE.body["Resources"][name]
        kept = (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
        # A first deployment that fails leaves nothing behind that costs money.
        assert kept == ("RetainExceptOnCreate", "Retain")
    table = TEMPLATE.properties("Table")
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_stream_never_waits_for_ever_on_a_bad_record() -> None:
    stream = TEMPLATE.properties("Deliver")["Events"]["Outbox"]["Properties"]
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 0 < stream["MaximumRetryAttempts"] < 10
    assert stream["DestinationConfig"]["OnFailure"]["Type"] == "SQS"
