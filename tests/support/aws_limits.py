"""What AWS refuses, and neither botocore nor moto does.

botocore checks the types of a call's values and their smallest lengths. It does not check the
longest lengths, patterns and allowed values that its own model of the service holds, and nothing
holds the limits that only the documentation names. This module checks both. ``LIMITS`` sees each
call of the product from inside botocore, refuses it as AWS would, and notes it; the fixture that
uses it then fails the test. The table in memory uses the same figures.

Where AWS has raised a limit lately, the older and lower one is used.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.model import OperationModel, Shape
from botocore.session import Session

Params = Mapping[str, Any]
KB = 1024

# DynamoDB developer guide: "Quotas in Amazon DynamoDB"; API reference: TransactWriteItems.
LONGEST_ITEM = 400 * KB
LONGEST_KEYS = (2048, 1024)
"""Bytes of a partition key and of a sort key; the same holds for the keys of an index."""
MOST_IN_A_TRANSACTION = 100
LONGEST_TRANSACTION = 4 * KB * KB
LONGEST_EXPRESSION = 4 * KB
LONGEST_VALUES = 2 * KB * KB
MOST_OPERATORS = 300
MOST_DIGITS = 38
DEEPEST = 32
"""Levels, that of the innermost value included."""

# SNS API reference: Publish. SQS developer guide: "Amazon SQS message quotas".
LONGEST_MESSAGE = 256 * KB
"""Bytes of an SNS or SQS message with its attributes. SQS takes 1 MB since 2026-01-29, SNS if the
topic says so."""
LONGEST_SUBJECT = 99
"""The API reference says "less than 100 characters long"."""
MOST_ATTRIBUTES = 10
LONGEST_DELAY = 900

# SES developer guide: "Service quotas"; API reference v2: MessageTag, MessageHeader, Destination.
LONGEST_MAIL = 10 * KB * KB
"""Bytes after base64 encoding. The API of version 2 takes 40 MB, and slows down above 10."""
MOST_RECIPIENTS = 50
MOST_TAGS = 50
"""No number is documented for a mail's tags; this is that of a resource's."""
LONGEST_TAG = 256
LONGEST_HEADER = 996
"""Characters of a header's name and value together."""
LONGEST_ADDRESS = (64, 320)
"""Characters of the part before the @ (RFC 5321, 4.5.3.1), and of the whole."""

# EventBridge user guide: "EventBridge quotas". Lambda developer guide: "Lambda quotas".
LONGEST_ENTRIES = 256 * KB
LONGEST_ANSWER = 6 * KB * KB

_TAG = re.compile(r"[A-Za-z0-9_-]+")
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ADDRESS = re.compile(r"(?P<local>[!#-'*+\-./-9=?A-Z^-~]+)@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What SQS takes in no message (API reference: SendMessage); SNS hands its messages to SQS."""
_OPERATORS = re.compile(r"<>|<=|>=|[=<>+]|\b(AND|OR|NOT|BETWEEN|IN)\b|\w+\(")


# The model ----------------------------------------------------------------------------------------


def beyond_the_model(shape: Shape, value: Any, where: str = "") -> Iterator[str]:
    """Yield what the service's own model does not allow: lengths, patterns, allowed values."""
    match shape.type_name:
        case "structure":
            members = shape.members  # type: ignore[attr-defined]
            for name, one in value.items():
                if name in members:
                    yield from beyond_the_model(members[name], one, f"{where}.{name}")
        case "list":
            yield from _beyond_length(shape, len(value), where)
            for one in value:
                yield from beyond_the_model(shape.member, one, f"{where}[]")  # type: ignore[attr-defined]
        case "map":
            yield from _beyond_length(shape, len(value), where)
            for name, one in value.items():
                yield from beyond_the_model(shape.key, name, f"{where}.key")  # type: ignore[attr-defined]
                yield from beyond_the_model(shape.value, one, f"{where}.{name}")  # type: ignore[attr-defined]
        case "string":
            yield from _beyond_text(shape, value, where)
        case "integer" | "long" | "float" | "double":
            yield from _beyond_length(shape, value, where)


def _beyond_text(shape: Shape, value: str, where: str) -> Iterator[str]:
    yield from _beyond_length(shape, len(value), where)
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{where} is {value!r}, not one of {allowed}"
    pattern = readable_pattern(shape.metadata.get("pattern", ""))
    if pattern and not pattern.fullmatch(value):
        yield f"{where} is {value[:80]!r}, which does not match {pattern.pattern}"
    if not _is_whole(value):
        yield f"{where} has half a character"


def _beyond_length(shape: Shape, length: float, where: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and length < least:
        yield f"{where} has {length}, at least {least}"
    if most is not None and length > most:
        yield f"{where} has {length}, at most {most}"


@cache
def readable_pattern(text: str) -> re.Pattern[str] | None:
    """Return a pattern of a model for Python, or None if Python cannot read it."""
    # STS writes the characters beyond four digits so, which neither Java nor Python reads as that.
    python = text.replace(r"\u10000-\u10FFFF", r"\U00010000-\U0010FFFF")
    try:
        return re.compile(python, re.ASCII) if text else None
    except re.error:
        return None


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# DynamoDB -----------------------------------------------------------------------------------------


def item_size(item: Params) -> int:
    """Return the bytes of an item in DynamoDB's form.

    Source: DynamoDB developer guide, "DynamoDB item sizes and formats".
    """
    return sum(_bytes(name) + _value_size(value) for name, value in item.items())


def _value_size(value: Params) -> int:
    [(kind, content)] = value.items()
    measure = _SIZES.get(kind)
    return measure(content) if measure else 1


def _number_size(text: str) -> int:
    return (len(_digits(text)) + 1) // 2 + 1 + text.startswith("-")


def _digits(text: str) -> str:
    mantissa = text.lower().partition("e")[0].lstrip("+-")
    return mantissa.replace(".", "").strip("0")


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


_SIZES: dict[str, Callable[[Any], int]] = {
    "S": _bytes,
    "N": _number_size,
    "B": len,
    "M": lambda of: 3 + sum(1 + _bytes(name) + _value_size(one) for name, one in of.items()),
    "L": lambda of: 3 + sum(1 + _value_size(one) for one in of),
    "SS": lambda of: sum(map(_bytes, of)),
    "NS": lambda of: sum(map(_number_size, of)),
    "BS": lambda of: sum(map(len, of)),
}
"""The bytes of a value by its type; all others take one."""


def item_faults(item: Params, index_keys: Iterable[tuple[str, str]] = ()) -> Iterator[str]:
    """Yield what DynamoDB does not take in an item: of the table's keys, and of each index's."""
    # Characters as they are written here are no fewer than a quarter of the bytes they take.
    if len(repr(item)) * 4 > LONGEST_ITEM and (size := item_size(item)) > LONGEST_ITEM:
        yield f"an item has {size} bytes, at most {LONGEST_ITEM}"
    yield from key_faults(item, ("pk", "sk"))
    for keys in index_keys:
        yield from key_faults(item, keys)
    for name, value in item.items():
        if "S" not in value:
            yield from _value_faults(value, name)


def key_faults(key: Params, names: tuple[str, str]) -> Iterator[str]:
    """Yield what DynamoDB does not take in the keys of a table or of an index."""
    for name, longest in zip(names, LONGEST_KEYS, strict=True):
        if name in key and not 0 < (size := _bytes(key[name].get("S", ""))) <= longest:
            yield f"the key {name} has {size} bytes, at least 1 and at most {longest}"


def _value_faults(value: Params, where: str, depth: int = 1) -> Iterator[str]:
    [(kind, content)] = value.items()
    match kind:
        case "S" | "BOOL" | "NULL":
            return
        case "N" if len(_digits(content)) > MOST_DIGITS:
            yield f"{where} has {len(_digits(content))} digits, at most {MOST_DIGITS}"
        case "M" | "L" if depth >= DEEPEST:
            yield f"{where} has more than {DEEPEST} levels"
        case "M":
            for name, one in content.items():
                yield from _value_faults(one, f"{where}.{name}", depth + 1)
        case "L":
            for one in content:
                yield from _value_faults(one, f"{where}[]", depth + 1)
        case "SS" | "NS" | "BS" if not content:
            yield f"{where} is an empty set"


def expression_faults(params: Params) -> Iterator[str]:
    """Yield what DynamoDB does not take in a call's expressions and their values."""
    for name, text in params.items():
        if not name.endswith("Expression"):
            continue
        if (size := _bytes(text)) > LONGEST_EXPRESSION:
            yield f"{name} has {size} bytes, at most {LONGEST_EXPRESSION}"
        if (operators := len(_OPERATORS.findall(text))) > MOST_OPERATORS:
            yield f"{name} has {operators} operators, at most {MOST_OPERATORS}"
    values = params.get("ExpressionAttributeValues", {})
    if len(repr(values)) * 4 > LONGEST_VALUES and (size := item_size(values)) > LONGEST_VALUES:
        yield f"the expression's values have {size} bytes, at most {LONGEST_VALUES}"
    for name, value in values.items():
        yield from _value_faults(value, name)


def transaction_faults(writes: Iterable[Params], size: int = 0) -> Iterator[str]:
    """Yield what DynamoDB does not take in a transaction whose items have so many bytes."""
    keys = []
    for write in writes:
        [call] = write.values()
        found = call.get("Key") or call["Item"]
        keys.append((call.get("TableName"), *(repr(found.get(name)) for name in ("pk", "sk"))))
    if len(keys) > MOST_IN_A_TRANSACTION:
        yield f"a transaction has {len(keys)} actions, at most {MOST_IN_A_TRANSACTION}"
    for key in {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else ():
        yield f"a transaction has two actions on one item: {key[1:]}"
    if size > LONGEST_TRANSACTION:
        yield f"a transaction has {size} bytes, at most {LONGEST_TRANSACTION}"


def _put_item(params: Params) -> Iterator[str]:
    yield from item_faults(params["Item"])
    yield from expression_faults(params)


def _with_key(params: Params) -> Iterator[str]:
    yield from key_faults(params["Key"], ("pk", "sk"))
    yield from expression_faults(params)


def _transact(params: Params) -> Iterator[str]:
    writes, size = params["TransactItems"], 0
    for write in writes:
        [(kind, call)] = write.items()
        yield from (_put_item if kind == "Put" else _with_key)(call)
        # An update's item is not known here; its values are. The table in memory knows the item.
        size += item_size(call["Item"] if kind == "Put" else call["Key"])
        size += item_size(call.get("ExpressionAttributeValues", {}))
    yield from transaction_faults(writes, size)


# Messages -----------------------------------------------------------------------------------------


def _publish(params: Params) -> Iterator[str]:
    yield from _message_faults(params["Message"], params.get("MessageAttributes", {}))
    subject = params.get("Subject")
    if subject is None:
        return
    if len(subject) > LONGEST_SUBJECT:
        yield f"the subject has {len(subject)} characters, at most {LONGEST_SUBJECT}"
    if not (subject.isascii() and subject.isprintable()):
        yield f"the subject {subject!r} is not ASCII on one line"
    if not subject or subject[0].isspace():
        yield "the subject does not begin with a letter, a number or a punctuation mark"


def _send_message(params: Params) -> Iterator[str]:
    attributes = params.get("MessageAttributes", {})
    yield from _message_faults(params["MessageBody"], attributes)
    if len(attributes) > MOST_ATTRIBUTES:
        yield f"the message has {len(attributes)} attributes, at most {MOST_ATTRIBUTES}"
    if not 0 <= params.get("DelaySeconds", 0) <= LONGEST_DELAY:
        yield f"the delay is {params['DelaySeconds']} s, at most {LONGEST_DELAY}"


def _message_faults(body: str, attributes: Mapping[str, Params]) -> Iterator[str]:
    size = _bytes(body)
    yield from _text_faults(body, "the message")
    for name, one in attributes.items():
        text, kind = one.get("StringValue", ""), one["DataType"]
        size += _bytes(name) + _bytes(kind) + _bytes(text) + len(one.get("BinaryValue", b""))
        if not (_ATTRIBUTE_NAME.fullmatch(name) and len(name) <= LONGEST_TAG):
            yield f"{name!r} is no name of an attribute"
        if kind.partition(".")[0] not in {"String", "Number", "Binary"}:
            yield f"{kind!r} is no type of an attribute"
        if "BinaryValue" not in one:
            yield from _text_faults(text, f"the attribute {name}")
    if size > LONGEST_MESSAGE:
        yield f"the message has {size} bytes, at most {LONGEST_MESSAGE}"


def _text_faults(text: str, where: str) -> Iterator[str]:
    if not text:
        yield f"{where} is empty"
    if found := _NOT_XML.search(text):
        yield f"{where} has the character {found[0]!r}"


def _send_email(params: Params) -> Iterator[str]:
    destination = params.get("Destination", {})
    recipients = [address for addresses in destination.values() for address in addresses]
    if not 0 < len(recipients) <= MOST_RECIPIENTS:
        yield f"the mail has {len(recipients)} recipients, at least 1 and at most {MOST_RECIPIENTS}"
    for address in (*recipients, params.get("FromEmailAddress", "")):
        yield from _address_faults(address)
    tags = params.get("EmailTags", ())
    if len(tags) > MOST_TAGS:
        yield f"the mail has {len(tags)} tags, at most {MOST_TAGS}"
    for part in (text for tag in tags for text in tag.values()):
        if not (_TAG.fullmatch(part) and len(part) <= LONGEST_TAG):
            yield f"{part!r} is no name or value of a tag"
    simple = params["Content"]["Simple"]
    headers = simple.get("Headers", ())
    for name, value in ((header["Name"], header["Value"]) for header in headers):
        if len(name) + len(value) > LONGEST_HEADER:
            yield f"the header {name} has {len(name) + len(value)}, at most {LONGEST_HEADER}"
    names = [header["Name"].casefold() for header in headers]
    if len(set(names)) < len(names):
        yield f"a header is there twice: {names}"
    yield from _content_faults(simple)


def _address_faults(address: str) -> Iterator[str]:
    found = _ADDRESS.fullmatch(address)
    if not found:
        yield f"{address!r} is no address in ASCII"
    elif len(found["local"]) > LONGEST_ADDRESS[0] or len(address) > LONGEST_ADDRESS[1]:
        yield f"the address {address!r} is longer than {LONGEST_ADDRESS}"


def _content_faults(simple: Params) -> Iterator[str]:
    parts = {"Subject": simple["Subject"], **simple["Body"]}
    for name, part in parts.items():
        if "Charset" not in part and not part["Data"].isascii():
            yield f"{name} is not ASCII and names no charset"
    if "\n" in simple["Subject"]["Data"] or "\r" in simple["Subject"]["Data"]:
        yield "the subject has a line break"
    size = sum(_bytes(part["Data"]) for part in parts.values()) * 4 // 3
    if size > LONGEST_MAIL:
        yield f"the mail has {size} bytes, at most {LONGEST_MAIL}"


def _put_events(params: Params) -> Iterator[str]:
    size = sum(
        _bytes(value)
        if isinstance(value, str)
        else 14
        if name == "Time"
        else sum(map(_bytes, value))
        for entry in params["Entries"]
        for name, value in entry.items()
        if name in {"Source", "DetailType", "Detail", "Resources", "Time"}
    )
    if size > LONGEST_ENTRIES:
        yield f"the entries have {size} bytes, at most {LONGEST_ENTRIES}"


_DOCUMENTED: dict[str, Callable[[Params], Iterator[str]]] = {
    "dynamodb:DeleteItem": _with_key,
    "dynamodb:GetItem": _with_key,
    "dynamodb:PutItem": _put_item,
    "dynamodb:Query": expression_faults,
    "dynamodb:Scan": expression_faults,
    "dynamodb:TransactWriteItems": _transact,
    "dynamodb:UpdateItem": _with_key,
    "events:PutEvents": _put_events,
    "ses:SendEmail": _send_email,
    "sns:Publish": _publish,
    "sqs:SendMessage": _send_message,
}


DOCUMENTED = _DOCUMENTED.keys()
"""Calls with limits that the models do not hold."""


def faults(operation: OperationModel, params: Params) -> list[str]:
    """Return why AWS would refuse a call; none if nothing is known against it."""
    found = list(beyond_the_model(operation.input_shape, params)) if operation.input_shape else []
    return found + list(_DOCUMENTED.get(call_name(operation), lambda _: ())(params))


def answer_faults(answer: str) -> Iterator[str]:
    """Yield what Lambda does not take as a function's answer, in JSON."""
    if (size := _bytes(answer)) > LONGEST_ANSWER:
        yield f"the function's answer has {size} bytes, at most {LONGEST_ANSWER}"


def call_name(operation: OperationModel) -> str:
    """Return a call's name as permissions have it: ``iam:GetUser``."""
    return f"{operation.service_model.signing_name}:{operation.name}"


# The calls of the product -------------------------------------------------------------------------

_REFUSALS = {
    "iam": "ValidationError",
    "organizations": "InvalidInputException",
    "ses": "BadRequestException",
    "sns": "InvalidParameter",
    "sqs": "InvalidParameterValue",
    "sts": "ValidationError",
}
"""The code with which a service refuses what its model does not allow; else ValidationException."""

FOR_AWS_TO_JUDGE = frozenset({"iam:GetUser", "iam:ListMFADevices", "iam:GetLoginProfile"})
"""Calls that the product makes with any text of a record as the user's name. IAM's refusal is its
answer that there is no such user (``mfa_watcher.adapters.iam``), so it is no fault."""


@dataclass
class Limits:
    """Refuses calls beyond AWS's limits as AWS does, and notes them."""

    found: list[str] = field(default_factory=list)
    """What was called, and what is wrong with it."""
    calls: int = 0
    """How many calls were looked at."""

    def watch(self, events: Any) -> None:
        """Look at all calls of a botocore or boto3 session's clients made from now on."""
        events.register_last("before-parameter-build", self._check)
        events.register_last("before-call", self._refuse)

    def take(self) -> list[str]:
        """Return what was noted, and forget it."""
        found = list(self.found)
        self.found.clear()
        return found

    def _check(
        self, params: Params, model: OperationModel, context: dict[str, Any], **_: object
    ) -> None:
        self.calls += 1
        context["beyond_limits"] = found = faults(model, params)
        if found and call_name(model) not in FOR_AWS_TO_JUDGE:
            self.found += [f"{call_name(model)}: {one}" for one in found]

    def _refuse(
        self, model: OperationModel, context: dict[str, Any], **_: object
    ) -> tuple[AWSResponse, Any] | None:
        if not context.get("beyond_limits"):
            return None
        code = _REFUSALS.get(str(model.service_model.signing_name), "ValidationException")
        headers: Any = {}
        error = {"Code": code, "Message": "; ".join(context["beyond_limits"])}
        said = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return AWSResponse("", 400, headers, None), said


LIMITS = Limits()


def operation(service: str, name: str) -> OperationModel:
    """Return botocore's model of a call."""
    return _session().get_service_model(service).operation_model(name)


@cache
def _session() -> Session:
    return Session()
