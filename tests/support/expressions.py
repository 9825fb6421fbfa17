"""DynamoDB's expressions, as far as the product uses them: conditions, filters, keys, updates."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

Wire = dict[str, Any]
"""An item, or a part of one, as the API writes it: each value under the name of its type."""
Holds = Callable[[Wire, Wire, Wire], bool]
"""Whether a condition holds of an item, with the names and values that stand for placeholders."""

_TOKEN = re.compile(r"\s*(<=|>=|[=<>(),+-]|[#:]?\w+(?:\.[#\w]+)*)")
_VERBS = ("SET", "REMOVE", "ADD")
_WORDS = {
    *("AND", "OR", "NOT", "BETWEEN", "attribute_exists", "attribute_not_exists", "begins_with"),
    *_VERBS,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class ExpressionError(ValueError):
    """DynamoDB refuses the expression."""


@dataclass(frozen=True)
class Used:
    """The placeholders of an expression."""

    names: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()

    def __or__(self, other: "Used") -> "Used":
        """Return the placeholders of both."""
        return Used(self.names | other.names, self.values | other.values)


@dataclass(frozen=True)
class Condition:
    """A condition, ready to be asked of items."""

    holds: Holds
    used: Used
    equal: dict[str, str]
    """The placeholders that attributes have to be equal to."""


@dataclass(frozen=True)
class Update:
    """The clauses of an update: a verb, and the rest in tokens."""

    clauses: tuple[tuple[str, tuple[str, ...]], ...]
    used: Used

    def applied_to(self, before: Wire, names: Wire, values: Wire) -> tuple[Wire, list[str]]:
        """Return the item as it is afterwards, and the names of what was changed."""
        after, touched = dict(before), []
        for verb, (target, *rest) in self.clauses:
            name = names.get(target, target)
            touched.append(name)
            match verb, rest:
                case "REMOVE", []:
                    after.pop(name, None)
                case "ADD", [value]:
                    after[name] = _sum(before.get(name, {"N": "0"}), values[value])
                case "SET", ["=", one]:
                    after[name] = _value(one, before, names, values)
                case "SET", ["=", one, "+", other]:
                    summands = (_value(part, before, names, values) for part in (one, other))
                    after[name] = _sum(*summands)
                case _:
                    raise ExpressionError(f"{verb} {target} {rest}")
        return after, touched


@cache
def condition(text: str) -> Condition:
    """Parse a condition, a filter or the condition of a query."""
    tokens = _tokens(text)
    used = _used(tokens)
    triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
    equal = {one: other for one, operator, other in triples if operator == "="}
    holds = _either(tokens)
    if tokens:
        raise ExpressionError(text)
    return Condition(holds, used, equal)


@cache
def update(text: str) -> Update:
    """Parse an update."""
    tokens = _tokens(text)
    clauses: list[tuple[str, list[str]]] = []
    for token in tokens:
        if token in _VERBS:
            clauses.append((token, []))
        elif token == ",":  # noqa: S105 - a token of an expression
            clauses.append((clauses[-1][0], []))
        else:
            clauses[-1][1].append(token)
    return Update(tuple((verb, tuple(rest)) for verb, rest in clauses), _used(tokens))


def _tokens(text: str) -> list[str]:
    found = _TOKEN.findall(text)
    if "".join(found) != re.sub(r"\s", "", text):
        raise ExpressionError(text)
    return found


def _used(tokens: Iterable[str]) -> Used:
    names, values = set(), set()
    for token in tokens:
        if token.startswith(":"):
            values.add(token)
        elif token[0] == "#" or (token[0].isalpha() and token not in _WORDS):
            for part in token.split("."):
                if part.startswith("#"):
                    names.add(part)
                elif part.upper() in _reserved():
                    raise ExpressionError(f"{part} is a reserved word")
    return Used(frozenset(names), frozenset(values))


@cache
def _reserved() -> frozenset[str]:
    return frozenset(ReservedKeywords.get_reserved_keywords())


def _value(token: str, item: Wire, names: Wire, values: Wire) -> Any:
    if token[0] == ":":
        return values[token]
    first, *rest = token.split(".")
    found = item.get(names.get(first, first))
    for part in rest:
        found = ((found or {}).get("M") or {}).get(names.get(part, part))
    return found


def _comparable(value: Wire) -> Any:
    return Decimal(value["N"]) if "N" in value else next(iter(value.values()))


def _sum(one: Wire | None, other: Wire) -> Wire:
    if one is None or "N" not in one or "N" not in other:
        raise ExpressionError("what is no number cannot be added")
    return {"N": str(Decimal(one["N"]) + Decimal(other["N"]))}


def _either(tokens: list[str]) -> Holds:
    parts = [_both(tokens)]
    while tokens[:1] == ["OR"]:
        tokens.pop(0)
        parts.append(_both(tokens))
    return parts[0] if len(parts) == 1 else lambda *what: any(part(*what) for part in parts)


def _both(tokens: list[str]) -> Holds:
    parts = [_one(tokens)]
    while tokens[:1] == ["AND"]:
        tokens.pop(0)
        parts.append(_one(tokens))
    return parts[0] if len(parts) == 1 else lambda *what: all(part(*what) for part in parts)


def _one(tokens: list[str]) -> Holds:
    first = tokens.pop(0)
    match first:
        case "(":
            inner = _either(tokens)
            tokens.pop(0)
            return inner
        case "NOT":
            negated = _one(tokens)
            return lambda *what: not negated(*what)
        case "attribute_exists" | "attribute_not_exists":
            _, path, _ = (tokens.pop(0) for _ in range(3))
            there = first == "attribute_exists"
            return lambda item, names, values: (
                (_value(path, item, names, values) is not None) is there
            )
        case "begins_with":
            _, path, _, start, _ = (tokens.pop(0) for _ in range(5))
            return lambda item, names, values: str(
                (_value(path, item, names, values) or {}).get("S", "")
            ).startswith(values[start]["S"])
        case _:
            return _comparison(first, tokens.pop(0), tokens)


def _comparison(one: str, operator: str, tokens: list[str]) -> Holds:
    if operator == "BETWEEN":
        low, _, high = (tokens.pop(0) for _ in range(3))
        not_below, not_above = _compared(one, ">=", low), _compared(one, "<=", high)
        return lambda *what: not_below(*what) and not_above(*what)
    return _compared(one, operator, tokens.pop(0))


def _compared(one: str, operator: str, other: str) -> Holds:
    compare = _COMPARISONS[operator]

    def holds(item: Wire, names: Wire, values: Wire) -> bool:
        left, right = (_value(token, item, names, values) for token in (one, other))
        if left is None or right is None or left.keys() != right.keys():
            return False
        return compare(_comparable(left), _comparable(right))

    return holds
