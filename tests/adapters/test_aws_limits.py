"""The checker itself: a call just below each limit passes, and one just beyond it does not."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import aws_limits
from tests.support.account import Account, client
from tests.support.aws_limits import (
    LIMITS,
    answer_faults,
    faults,
    item_faults,
    item_size,
    operation,
)
from tests.support.dynamodb import MemoryDynamo

Params = dict[str, Any]
TABLE = "table"
KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
EMPTY_ITEM = item_size({**KEY, "text": {"S": ""}})


def item(size: int) -> Params:
    """Return an item of so many bytes, as AWS counts."""
    return {**KEY, "text": {"S": "x" * (size - EMPTY_ITEM)}}


def put(size: int) -> Params:
    return {"TableName": TABLE, "Item": item(size)}


def update(**fields: Any) -> Params:
    return {"TableName": TABLE, "Key": KEY, "UpdateExpression": "SET a = :a", **fields}


def key(pk: str = "p", sk: str = "s") -> Params:
    return {"TableName": TABLE, "Key": {"pk": {"S": pk}, "sk": {"S": sk}}}


def writes(number: int, size: int = 100) -> Params:
    """Return a transaction of so many items, of so many bytes each."""
    sized = item(size)
    return {
        "TransactItems": [
            {"Put": {"TableName": TABLE, "Item": {**sized, "sk": {"S": chr(0x21 + n)}}}}
            for n in range(number)
        ]
    }


def twice(*keys: str) -> Params:
    return {"TransactItems": [{"Delete": key(sk=one)} for one in keys]}


def nested(depth: int) -> Params:
    value: Params = {"S": "x"}
    for _ in range(depth):
        value = {"L": [value]}
    return {"TableName": TABLE, "Item": {**KEY, "deep": value}}


def attribute(text: str = "x", kind: str = "String") -> Params:
    return {"DataType": kind, "StringValue": text}


def publish(message: Any = "m", subject: Any = "s", **attributes: Any) -> Params:
    return {
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:t",
        "Message": message,
        "Subject": subject,
        "MessageAttributes": attributes,
    }


def send_message(body: Any = "m", delay: Any = 0, **attributes: Any) -> Params:
    return {
        "QueueUrl": "https://sqs.us-east-1.amazonaws.com/111122223333/q",
        "MessageBody": body,
        "DelaySeconds": delay,
        "MessageAttributes": attributes,
    }


def mail(  # noqa: PLR0913 - the parts of a mail, each by its name
    *,
    to: tuple[str, ...] = ("ana@example.com",),
    subject: str = "s",
    text: str = "t",
    charset: str | None = "UTF-8",
    headers: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Params:
    named = {"Charset": charset} if charset else {}
    return {
        "FromEmailAddress": "watcher@example.com",
        "Destination": {"ToAddresses": list(to)},
        "Content": {
            "Simple": {
                "Subject": {"Data": subject},
                "Body": {"Text": {"Data": text, **named}},
                "Headers": [{"Name": n, "Value": v} for n, v in (headers or {}).items()],
            }
        },
        "EmailTags": [{"Name": n, "Value": v} for n, v in (tags or {}).items()],
    }


def entries(size: int) -> Params:
    named = {"Source": "s", "DetailType": "t"}
    return {"Entries": [{**named, "Detail": "x" * (size - len("st"))}]}


SIGNED_IN = {"RoleArn": "arn:aws:iam::111122223333:role/reader"}
USER = {"UserName": "ana", "SerialNumber": "arn:aws:iam::111122223333:mfa/phone"}

LIMITED: dict[str, tuple[tuple[str, str], Params, Params, str]] = {
    # what: the call, one that AWS takes, one that it refuses, and why
    "dynamodb: an item": (
        ("dynamodb", "PutItem"),
        put(400 * 1024),
        put(400 * 1024 + 1),
        "an item has 409601 bytes",
    ),
    "dynamodb: a partition key": (
        ("dynamodb", "GetItem"),
        key(pk="\u00e4" * 1024),
        key(pk="\u00e4" * 1024 + "x"),
        "the key pk has 2049 bytes",
    ),
    "dynamodb: a sort key": (
        ("dynamodb", "UpdateItem"),
        update(Key={"pk": {"S": "p"}, "sk": {"S": "x" * 1024}}),
        update(Key={"pk": {"S": "p"}, "sk": {"S": "x" * 1025}}),
        "the key sk has 1025 bytes",
    ),
    "dynamodb: an empty key": (
        ("dynamodb", "DeleteItem"),
        key(pk="x"),
        key(pk=""),
        "the key pk has 0 bytes",
    ),
    "dynamodb: actions of a transaction": (
        ("dynamodb", "TransactWriteItems"),
        writes(100),
        writes(101),
        "a transaction has 101 actions",
    ),
    "dynamodb: bytes of a transaction": (
        ("dynamodb", "TransactWriteItems"),
        writes(16, 256 * 1024),
        writes(17, 256 * 1024),
        "a transaction has 4456448 bytes",
    ),
    "dynamodb: an item in a transaction": (
        ("dynamodb", "TransactWriteItems"),
        writes(1, 400 * 1024),
        writes(1, 400 * 1024 + 1),
        "an item has 409601 bytes",
    ),
    "dynamodb: two actions on one item": (
        ("dynamodb", "TransactWriteItems"),
        twice("a", "b"),
        twice("a", "b", "a"),
        "two actions on one item",
    ),
    "dynamodb: an expression": (
        ("dynamodb", "UpdateItem"),
        update(UpdateExpression=f"SET {'a' * (4096 - 9)} = :a"),
        update(UpdateExpression=f"SET {'a' * (4097 - 9)} = :a"),
        "UpdateExpression has 4097 bytes",
    ),
    "dynamodb: operators": (
        ("dynamodb", "UpdateItem"),
        update(UpdateExpression="SET " + ", ".join(["a = :a"] * 300)),
        update(UpdateExpression="SET " + ", ".join(["a = :a"] * 301)),
        "UpdateExpression has 301 operators",
    ),
    "dynamodb: an expression's values": (
        ("dynamodb", "UpdateItem"),
        update(ExpressionAttributeValues={":a": {"S": "x" * (2 * 1024 * 1024 - 2)}}),
        update(ExpressionAttributeValues={":a": {"S": "x" * (2 * 1024 * 1024 - 1)}}),
        "values have 2097153 bytes",
    ),
    "dynamodb: a number": (
        ("dynamodb", "UpdateItem"),
        update(ExpressionAttributeValues={":a": {"N": "-" + "1" * 38 + "000"}}),
        update(ExpressionAttributeValues={":a": {"N": "1" * 39}}),
        "39 digits",
    ),
    "dynamodb: depth": (("dynamodb", "PutItem"), nested(31), nested(32), "more than 32 levels"),
    "dynamodb: a set": (
        ("dynamodb", "PutItem"),
        {"TableName": TABLE, "Item": {**KEY, "set": {"SS": ["x"]}}},
        {"TableName": TABLE, "Item": {**KEY, "set": {"SS": []}}},
        "an empty set",
    ),
    "sns: a message": (
        ("sns", "Publish"),
        publish("\u00e4" * (128 * 1024)),
        publish("\u00e4" * (128 * 1024) + "x"),
        "the message has 262145 bytes",
    ),
    "sns: a message with attributes": (
        ("sns", "Publish"),
        publish("x" * (256 * 1024 - 11), kind=attribute()),
        publish("x" * (256 * 1024 - 10), kind=attribute()),
        "the message has 262145 bytes",
    ),
    "sns: an empty message": (("sns", "Publish"), publish("x"), publish(""), "is empty"),
    "sns: a subject": (
        ("sns", "Publish"),
        publish(subject="x" * 99),
        publish(subject="x" * 100),
        "the subject has 100 characters",
    ),
    "sns: a subject's characters": (
        ("sns", "Publish"),
        publish(subject="a"),
        publish(subject="\u00e4"),
        "not ASCII",
    ),
    "sns: a subject's lines": (
        ("sns", "Publish"),
        publish(subject="a b"),
        publish(subject="a\nb"),
        "not ASCII on one line",
    ),
    "sns: a subject's beginning": (
        ("sns", "Publish"),
        publish(subject="[a"),
        publish(subject=" a"),
        "does not begin with",
    ),
    "sns: an empty attribute": (
        ("sns", "Publish"),
        publish(kind=attribute("x")),
        publish(kind=attribute("")),
        "the attribute kind is empty",
    ),
    "sns: an attribute's name": (
        ("sns", "Publish"),
        publish(**{"a.b": attribute()}),
        publish(**{"AWS.b": attribute()}),
        "no name of an attribute",
    ),
    "sns: an attribute's type": (
        ("sns", "Publish"),
        publish(kind=attribute(kind="String.Array")),
        publish(kind=attribute(kind="Text")),
        "no type of an attribute",
    ),
    "sqs: a message": (
        ("sqs", "SendMessage"),
        send_message("x" * (256 * 1024 - 11), kind=attribute()),
        send_message("x" * (256 * 1024 - 10), kind=attribute()),
        "the message has 262145 bytes",
    ),
    "sqs: a message's characters": (
        ("sqs", "SendMessage"),
        send_message("\t\n\r\ufffd\U0001f600"),
        send_message("\uffff"),
        "the message has the character",
    ),
    "sqs: a message's controls": (
        ("sqs", "SendMessage"),
        send_message(kind=attribute(" ")),
        send_message(kind=attribute("\x00")),
        "the attribute kind has the character",
    ),
    "sqs: attributes": (
        ("sqs", "SendMessage"),
        send_message(**{f"a{n}": attribute() for n in range(10)}),
        send_message(**{f"a{n}": attribute() for n in range(11)}),
        "11 attributes",
    ),
    "sqs: the delay": (
        ("sqs", "SendMessage"),
        send_message(delay=900),
        send_message(delay=901),
        "the delay is 901 s",
    ),
    "ses: a mail": (
        ("sesv2", "SendEmail"),
        mail(text="x" * (10 * 1024 * 1024 * 3 // 4 - 2)),
        mail(text="x" * (10 * 1024 * 1024 * 3 // 4 + 2)),
        "the mail has 10485",
    ),
    "ses: recipients": (
        ("sesv2", "SendEmail"),
        mail(to=("ana@example.com",) * 50),
        mail(to=("ana@example.com",) * 51),
        "51 recipients",
    ),
    "ses: no recipient": (("sesv2", "SendEmail"), mail(), mail(to=()), "0 recipients"),
    "ses: an address": (
        ("sesv2", "SendEmail"),
        mail(to=("o'hara+x@example.com",)),
        mail(to=("\u00e4@example.com",)),
        "no address in ASCII",
    ),
    "ses: an address's name": (
        ("sesv2", "SendEmail"),
        mail(to=("ana@example.com",)),
        mail(to=("Ana <ana@example.com>, bob@example.com",)),
        "no address in ASCII",
    ),
    "ses: an address's local part": (
        ("sesv2", "SendEmail"),
        mail(to=("x" * 64 + "@example.com",)),
        mail(to=("x" * 65 + "@example.com",)),
        "longer than (64, 320)",
    ),
    "ses: tags": (
        ("sesv2", "SendEmail"),
        mail(tags={f"t{n}": "v" for n in range(50)}),
        mail(tags={f"t{n}": "v" for n in range(51)}),
        "51 tags",
    ),
    "ses: a tag": (
        ("sesv2", "SendEmail"),
        mail(tags={"intent": "x" * 256}),
        mail(tags={"intent": "x" * 257}),
        "no name or value of a tag",
    ),
    "ses: a tag's characters": (
        ("sesv2", "SendEmail"),
        mail(tags={"in-tent_1": "v"}),
        mail(tags={"intent": "a.b@c"}),
        "no name or value of a tag",
    ),
    "ses: headers": (
        ("sesv2", "SendEmail"),
        mail(headers={f"X-{n}": "v" for n in range(15)}),
        mail(headers={f"X-{n}": "v" for n in range(16)}),
        "Headers has 16, at most 15",
    ),
    "ses: a header": (
        ("sesv2", "SendEmail"),
        mail(headers={"Xy": "x" * 994}),
        mail(headers={"Xy": "x" * 995}),
        "the header Xy has 997",
    ),
    "ses: a header's characters": (
        ("sesv2", "SendEmail"),
        mail(headers={"X": "a b"}),
        mail(headers={"X": "a\r\nBcc: everybody@example.com"}),
        "does not match",
    ),
    "ses: a header twice": (
        ("sesv2", "SendEmail"),
        mail(headers={"References": "a"}),
        mail(headers={"References": "a", "references": "b"}),
        "a header is there twice",
    ),
    "ses: a charset": (
        ("sesv2", "SendEmail"),
        mail(text="\u00e4"),
        mail(text="\u00e4", charset=None),
        "names no charset",
    ),
    "ses: the subject's lines": (
        ("sesv2", "SendEmail"),
        mail(subject="a b"),
        mail(subject="a\nb"),
        "the subject has a line break",
    ),
    "events: the entries": (
        ("events", "PutEvents"),
        entries(256 * 1024),
        entries(256 * 1024 + 1),
        "the entries have 262145 bytes",
    ),
    "the model: a longest length": (
        ("iam", "AttachUserPolicy"),
        {"UserName": "x" * 64, "PolicyArn": "arn:aws:iam::aws:policy/x"},
        {"UserName": "x" * 65, "PolicyArn": "arn:aws:iam::aws:policy/x"},
        "UserName has 65, at most 64",
    ),
    "the model: a shortest length": (
        ("iam", "DeactivateMFADevice"),
        {**USER, "SerialNumber": "GAKT12345"},
        {**USER, "SerialNumber": "GAKT1234"},
        "SerialNumber has 8, at least 9",
    ),
    "the model: a pattern": (
        ("iam", "DeactivateMFADevice"),
        {**USER, "UserName": "o.hara+x=y,z@example-1"},
        {**USER, "UserName": "o'hara"},
        "does not match",
    ),
    "the model: a pattern is ASCII's": (
        ("sts", "AssumeRole"),
        {**SIGNED_IN, "RoleSessionName": "mfa-watcher"},
        {**SIGNED_IN, "RoleSessionName": "mfa-w\u00e4tcher"},
        "does not match",
    ),
    "the model: allowed values": (
        ("dynamodb", "UpdateItem"),
        update(ReturnValues="ALL_NEW"),
        update(ReturnValues="ALL"),
        "ReturnValues is 'ALL'",
    ),
    "the model: a number": (
        ("iam", "ListMFADevices"),
        {"MaxItems": 1000},
        {"MaxItems": 1001},
        "MaxItems has 1001, at most 1000",
    ),
    "half a character": (
        ("sqs", "SendMessage"),
        send_message("\U0001f600"),
        send_message("\ud83d"),
        "half a character",
    ),
}


@pytest.mark.parametrize("what", LIMITED)
def test_a_call_within_a_limit_passes_and_one_beyond_it_does_not(what: str) -> None:
    (service, name), within, beyond, why = LIMITED[what]
    assert faults(operation(service, name), within) == []
    found = faults(operation(service, name), beyond)
    assert any(why in one for one in found), found


def test_each_call_with_documented_limits_is_among_the_examples() -> None:
    tried = {aws_limits.call_name(operation(*call)) for call, *_ in LIMITED.values()}
    assert aws_limits.DOCUMENTED - {"dynamodb:Query", "dynamodb:Scan"} <= tried


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "\u00e4"}, 2),
        ({"N": "0"}, 1),
        ({"N": "7"}, 2),
        ({"N": "-123.40"}, 4),
        ({"N": "1700000000"}, 2),
        ({"B": b"abc"}, 3),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"S": "c"}]}, 3 + 2 + 3),
        ({"M": {"k": {"S": "v"}}}, 3 + 1 + 2),
        ({"SS": ["ab", "c"]}, 3),
        ({"NS": ["1", "22"]}, 4),
        ({"BS": [b"ab"]}, 2),
    ],
)
def test_a_value_has_the_size_that_dynamodb_counts(value: Params, size: int) -> None:
    """Developer guide, "DynamoDB item sizes and formats"."""
    assert item_size({"name": value}) == len("name") + size


def test_an_item_in_an_index_has_short_enough_keys() -> None:
    keys = [("due_shard", "due_at")]
    for size, fits in ((1024, True), (1025, False)):
        indexed = {**KEY, "due_shard": {"S": "x"}, "due_at": {"S": "x" * size}}
        assert (list(item_faults(indexed, keys)) == []) is fits


def test_an_answer_of_a_function_has_six_megabytes() -> None:
    assert list(answer_faults("x" * 6 * 1024 * 1024)) == []
    assert list(answer_faults("x" * (6 * 1024 * 1024 + 1))) != []


def test_patterns_of_the_products_calls_can_be_read() -> None:
    """Python does not know all of Java's: a pattern that it cannot read checks nothing."""
    unread = {
        (service, name)
        for service, name in PRODUCTS_CALLS
        for pattern in patterns(operation(service, name).input_shape)
        if aws_limits.readable_pattern(pattern) is None
    }
    assert unread == {("sts", "AssumeRole")}  # for the tags of a session; the product sends none


PRODUCTS_CALLS = (
    ("dynamodb", "DeleteItem"),
    ("dynamodb", "GetItem"),
    ("dynamodb", "PutItem"),
    ("dynamodb", "Query"),
    ("dynamodb", "Scan"),
    ("dynamodb", "TransactWriteItems"),
    ("dynamodb", "UpdateItem"),
    ("iam", "AttachUserPolicy"),
    ("iam", "DeactivateMFADevice"),
    ("iam", "DeleteVirtualMFADevice"),
    ("iam", "DetachUserPolicy"),
    ("iam", "GetUser"),
    ("iam", "ListMFADevices"),
    ("iam", "UpdateLoginProfile"),
    ("organizations", "DescribeAccount"),
    ("sesv2", "SendEmail"),
    ("sns", "Publish"),
    ("sqs", "SendMessage"),
    ("sts", "AssumeRole"),
)


def patterns(shape: Any, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return all patterns in a shape of a model."""
    if shape is None or shape.name in seen:
        return set()
    inner = {
        "structure": lambda: list(shape.members.values()),
        "list": lambda: [shape.member],
        "map": lambda: [shape.key, shape.value],
    }.get(shape.type_name, list)()
    own = {shape.metadata["pattern"]} if "pattern" in shape.metadata else set()
    return own.union(*(patterns(one, seen | {shape.name}) for one in inner))


# In the sessions of the tests ---------------------------------------------------------------------


def test_a_call_of_the_product_beyond_a_limit_is_refused_as_aws_does_and_noted(
    account: Account,
) -> None:
    with pytest.raises(ClientError, match=r"InvalidParameter.*100 characters"):
        client("sns").publish(TopicArn=account.topic_arn, Message="m", Subject="x" * 100)
    [noted] = LIMITS.take()
    assert noted.startswith("sns:Publish: the subject has 100 characters")
    assert account.calls.made == ["sns:Publish"]
    assert account.alerts() == []


def test_calls_of_the_product_are_looked_at(account: Account) -> None:
    before = LIMITS.calls
    client("sns").publish(TopicArn=account.topic_arn, Message="m", Subject="x" * 99)
    assert LIMITS.calls == before + 1


def test_a_name_that_nobody_can_have_is_for_iam_to_judge(account: Account) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        client("iam").get_user(UserName="no legal name!")
    assert LIMITS.take() == []
    assert account.calls.made == ["iam:GetUser"]


def indexed(size: int) -> Params:
    return {**KEY, "due_shard": {"S": "x"}, "due_at": {"S": "x" * size}}


def grow(table: MemoryDynamo, size: int) -> None:
    half = item(size // 2)
    table.put_item(TableName=TABLE, Item=half)
    rest = size - item_size(half) - len("more")
    table.update_item(
        **update(
            UpdateExpression="SET more = :more",
            ExpressionAttributeValues={":more": {"S": "x" * rest}},
        )
    )


CALLS: dict[str, tuple[Callable[[MemoryDynamo], object], Callable[[MemoryDynamo], object]]] = {
    "an item": (lambda t: t.put_item(**put(409_600)), lambda t: t.put_item(**put(409_601))),
    "a key": (
        lambda t: t.get_item(**key(pk="x" * 2048)),
        lambda t: t.get_item(**key(pk="x" * 2049)),
    ),
    "actions": (
        lambda t: t.transact_write_items(**writes(100)),
        lambda t: t.transact_write_items(**writes(101)),
    ),
    "bytes": (
        lambda t: t.transact_write_items(**writes(16, 256 * 1024)),
        lambda t: t.transact_write_items(**writes(17, 256 * 1024)),
    ),
    "an index's key": (
        lambda t: t.put_item(TableName=TABLE, Item=indexed(1024)),
        lambda t: t.put_item(TableName=TABLE, Item=indexed(1025)),
    ),
    "an item that an update makes too large": (
        lambda t: grow(t, 409_600),
        lambda t: grow(t, 409_601),
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_the_table_in_memory_has_the_same_limits(what: str) -> None:
    within, beyond = CALLS[what]
    within(MemoryDynamo())
    with pytest.raises(ClientError, match="ValidationException"):
        beyond(MemoryDynamo())
