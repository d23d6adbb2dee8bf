"""JSON that is not trusted, against a table of what each field may be.

A table is data: a nest of the checks below, which reads as the document does. A check is given the
place of a value and the value, and raises a ValueError of one line, as

    runs[0].generator.state.pos = 100000000 must be a whole number of [0, 624]

What has passed has the types, names and ranges that the table says, to the last leaf.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[str, Any], None]
"""Raises ValueError unless the value at a place is what it should be."""

_MOST_DEPTH = 32
_MOST_DIGITS = 4300
_MOST_TEXT = 200
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def parse(text: str) -> Any:
    """The value of a JSON text whose objects repeat no key and whose numbers are finite.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse('{"a": 1, "a": 1e999}')
    Traceback (most recent call last):
    ValueError: the JSON holds 1e999, which is not a finite number
    """
    try:
        return json.loads(
            text,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=distinct,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"its JSON is damaged: {error}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except RepeatedNameError as error:
        raise ValueError(f"the JSON repeats the name {_SHORT.repr(error.args[0])}") from None


class RepeatedNameError(ValueError):
    """A JSON object has a name twice; the name is the only argument."""


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of the pairs that `json.loads` hands over; none of them may be lost."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise RepeatedNameError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return document


def whole(low: int, high: int | None = None) -> Check:
    """A whole number of [low, high]."""
    rule = f"of [{low}, {high}]" if high is not None else f"of at least {low}"

    def check(place: str, value: Any) -> None:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= low
        if not good or (high is not None and value > high):
            raise _wrong(place, value, f"must be a whole number {rule}")

    return check


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A real number of [low, high] that a float can be."""
    rule = "" if (low, high) == (-math.inf, math.inf) else f" of [{low:g}, {high:g}]"

    def check(place: str, value: Any) -> None:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not low <= value <= high or not _is_finite(value):
            raise _wrong(place, value, f"must be a number{rule}")

    return check


def text(*known: str) -> Check:
    """One of the texts that are known; without any, a short one that can be printed."""
    rule = (
        f"must be one of {', '.join(map(repr, known))}" if known else "must be a short plain text"
    )

    def check(place: str, value: Any) -> None:
        good = isinstance(value, str) and len(value) <= _MOST_TEXT and value.isprintable()
        if not good or (known and value not in known):
            raise _wrong(place, value, rule)

    return check


def anything(place: str, value: Any) -> None:
    """Any value of a type that is checked elsewhere."""


def name(place: str, value: Any) -> None:
    """Any text that can be encoded."""
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise _wrong(place, value, "must be a text")


def flag(place: str, value: Any) -> None:
    """True or False."""
    if type(value) is not bool:
        raise _wrong(place, value, "must be true or false")


def plain(place: str, value: Any) -> None:
    """Any JSON value, not nested deeply."""
    _plain(place, value, 0)


def optional(check: Check) -> Check:
    """None, or what another check says."""

    def checked(place: str, value: Any) -> None:
        if value is not None:
            check(place, value)

    return checked


def typed(checks: Mapping[type, Check]) -> Check:
    """What the check for its type says."""
    kinds = ", ".join(_KINDS[kind] for kind in checks)

    def check(place: str, value: Any) -> None:
        if type(value) not in checks:
            raise _wrong(place, value, f"must be one of these: {kinds}")
        checks[type(value)](place, value)

    return check


def items(each: Check, count: int | None = None) -> Check:
    """A list of so many values, each of which a check agrees to."""
    rule = "a list" if count is None else f"a list of {count}"

    def check(place: str, value: Any) -> None:
        if not isinstance(value, list | tuple) or count not in (None, len(value)):
            raise _wrong(place, value, f"must be {rule}")
        for i, one in enumerate(value):
            each(f"{place}[{i}]", one)

    return check


def named(each: Check) -> Check:
    """An object of any names, each of whose values a check agrees to."""

    def check(place: str, value: Any) -> None:
        _check_object(place, value)
        for key, one in value.items():
            each(f"{place}[{_SHORT.repr(key)}]", one)

    return check


def record(
    required: Mapping[str, Check],
    optional: Mapping[str, Check] | None = None,
    others: Check | None = None,
) -> Check:
    """An object of these fields; of others too, if there is a check for those."""
    known = {**required, **(optional or {})}

    def check(place: str, value: Any) -> None:
        _check_object(place, value)
        for key in required:
            if key not in value:
                raise ValueError(f"{_inside(place, key)} is missing")
        for key, one in value.items():
            field = known.get(key, others)
            if field is None:
                raise ValueError(f"{_inside(place, key)} is no field of it")
            field(_inside(place, key), one)

    return check


def tagged(key: str, records: Mapping[str, Mapping[str, Check]]) -> Check:
    """An object whose field `key` says which others it has."""
    tag = text(*records)
    checks = {kind: record({key: tag, **fields}) for kind, fields in records.items()}

    def check(place: str, value: Any) -> None:
        _check_object(place, value)
        tag(_inside(place, key), value.get(key))
        checks[value[key]](place, value)

    return check


_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
}


def _wrong(place: str, value: Any, rule: str) -> ValueError:
    return ValueError(f"{place} = {_SHORT.repr(value)} {rule}")


def _inside(place: str, key: Any) -> str:
    shown = key if type(key) is str and key.isidentifier() and len(key) < 60 else _SHORT.repr(key)
    return f"{place}.{shown}" if place else shown


def _check_object(place: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(place or "the document", value, "must be an object")
    for key in value:
        name(f"a name in {place or 'the document'}", key)


def _is_finite(value: float) -> bool:
    return abs(value) <= 2**1023 if isinstance(value, int) else math.isfinite(value)


def _plain(place: str, value: Any, depth: int) -> None:
    if depth > _MOST_DEPTH:
        raise ValueError(f"{place[:60]}... is nested more than {_MOST_DEPTH} deep")
    if isinstance(value, Mapping):
        _check_object(place, value)
        for key, one in value.items():
            _plain(_inside(place, key), one, depth + 1)
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            _plain(f"{place}[{i}]", one, depth + 1)
    elif isinstance(value, str):
        name(place, value)
    elif not isinstance(value, bool | int | float | None):
        raise _wrong(place, value, "must be a plain value")


def _whole(written: str) -> int:
    if len(written) > _MOST_DIGITS:
        raise ValueError(f"the JSON holds a number of {len(written)} digits")
    return int(written)


def _finite(written: str) -> float:
    found = float(written)
    if not math.isfinite(found):
        raise ValueError(f"the JSON holds {written:.60}, which is not a finite number")
    return found
