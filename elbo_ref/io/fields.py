"""JSON that is not trusted, against a table of what each field may be.

A table is data: a nest of the checks below, which reads as the document does. A check is given the
place of a value and the value, and raises a ValueError of one line, as

    runs[0].generator.state.pos = 100000000 must be a whole number of [0, 624]

After it the document has the types, names and ranges that the table says, to the last leaf.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any, TypeAlias

from elbo_ref.io.errors import DataError, short

Check: TypeAlias = Callable[[str, Any], None]
"""Raises ValueError unless the value at a place is what it should be."""

_MOST_DEPTH = 32
_MOST_DIGITS = 4300
_MOST_TEXT = 200
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class _RepeatedNameError(ValueError):
    """A JSON object has a name twice; the name is the only argument."""


def parse(text: str) -> Any:
    """Read a JSON text whose objects repeat no name and whose numbers are finite.

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
            object_pairs_hook=_distinct,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"its JSON is damaged: {error}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except _RepeatedNameError as error:
        raise ValueError(f"the JSON repeats the name {_SHORT.repr(error.args[0])}") from None


def read_json(data: bytes, number: Callable[[str], object]) -> Any:
    """Read the JSON in a file, its numbers as the caller wants them.

    Parameters
    ----------
    data : bytes
        A text that opens with a brace or a bracket.
    number : callable
        Makes a value of each number as it is written, NaN and Infinity too.

    Raises
    ------
    DataError
        If it is not JSON, or repeats a name.

    Examples
    --------
    >>> read_json(b'{"a": [1, 2.50]}', str)
    {'a': ['1', '2.50']}
    """

    def made(text: str) -> object:  # in Python, so that an interrupt comes through
        return number(text)

    try:
        return json.loads(
            data.decode("utf-8-sig"),
            parse_int=made,
            parse_float=made,
            parse_constant=made,
            object_pairs_hook=_distinct,
        )
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, character {error.colno}"
        raise DataError(f"{place} is not JSON: {error.msg}") from None
    except RecursionError:
        raise DataError("the file nests its JSON too deeply") from None
    except _RepeatedNameError as error:
        raise DataError(f"the file repeats the key {short(error.args[0])}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of the pairs that `json.loads` hands over; none may be lost."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _RepeatedNameError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return document


def _whole(written: str) -> int:
    if len(written) > _MOST_DIGITS:
        raise ValueError(f"the JSON holds a number of {len(written)} digits")
    return int(written)


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"the JSON holds {written:.60}, which is not a finite number")
    return value


def _must(rule: str, good: Callable[[Any], bool]) -> Check:
    """Check by a predicate; the rule goes on after the place and the value."""

    def check(place: str, value: Any) -> None:
        if not good(value):
            raise ValueError(f"{place} = {_SHORT.repr(value)} must be {rule}")

    return check


def whole(low: int, high: int | None = None) -> Check:
    """Check for a whole number of [low, high]."""
    bounds = f"of [{low}, {high}]" if high is not None else f"of at least {low}"
    return _must(
        f"a whole number {bounds}",
        lambda x: _is_real(x, int) and x >= low and (high is None or x <= high),
    )


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """Check for a real number of [low, high] that a float can be."""
    bounds = "" if (low, high) == (-math.inf, math.inf) else f" of [{low:g}, {high:g}]"
    return _must(
        f"a number{bounds}",
        lambda x: _is_real(x, int, float) and low <= x <= high and _is_finite(x),
    )


def _is_real(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    return abs(value) <= 2**1023 if isinstance(value, int) else math.isfinite(value)


def text(*known: str) -> Check:
    """Check for one of the texts that are known; without any, a short one that can be printed."""
    return _must(
        f"one of {', '.join(map(repr, known))}" if known else "a short plain text",
        lambda x: (
            isinstance(x, str)
            and len(x) <= _MOST_TEXT
            and x.isprintable()
            and (not known or x in known)
        ),
    )


def anything(_place: str, _value: Any) -> None:
    """Accept any value, of a type that is checked elsewhere."""


def can_be_encoded(text: str) -> bool:
    """Tell whether a text can be written to a file: no half of a character is in it."""
    return not _SURROGATE.search(text)


name = _must("a text", lambda x: isinstance(x, str) and can_be_encoded(x))
"""Any text that can be encoded."""

flag = _must("true or false", lambda x: type(x) is bool)
"""True or False."""


_scalar = _must("a plain value", lambda x: isinstance(x, bool | int | float | None))
_object = _must("an object", lambda x: isinstance(x, Mapping))


def plain(place: str, value: Any, depth: int = 0) -> None:
    """Accept any JSON value that is not nested deeply."""
    if depth > _MOST_DEPTH:
        raise ValueError(f"{place[:60]}... is nested more than {_MOST_DEPTH} deep")
    if isinstance(value, Mapping):
        _check_object(place, value)
        for key, one in value.items():
            plain(_inside(place, key), one, depth + 1)
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            plain(f"{place}[{i}]", one, depth + 1)
    elif isinstance(value, str):
        name(place, value)
    else:
        _scalar(place, value)


def optional(check: Check) -> Check:
    """Accept None, or what another check accepts."""

    def checked(place: str, value: Any) -> None:
        if value is not None:
            check(place, value)

    return checked


_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
}


def typed(checks: Mapping[type, Check]) -> Check:
    """Choose the check by the type of the value."""
    kinds = ", ".join(_KINDS[kind] for kind in checks)
    known = _must(f"one of these: {kinds}", lambda x: type(x) in checks)

    def check(place: str, value: Any) -> None:
        known(place, value)
        checks[type(value)](place, value)

    return check


def items(each: Check, count: int | None = None) -> Check:
    """Check each value of a list, of so many."""
    rule = "a list" if count is None else f"a list of {count}"
    listed = _must(rule, lambda x: isinstance(x, list | tuple) and count in (None, len(x)))

    def check(place: str, value: Any) -> None:
        listed(place, value)
        for i, one in enumerate(value):
            each(f"{place}[{i}]", one)

    return check


def named(each: Check) -> Check:
    """Check each value of an object, whatever its names."""

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
    """Check an object field by field; other fields need a check of their own."""
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
    """Check an object whose field `key` says which others it has."""
    tag = text(*records)
    checks = {kind: record({key: tag, **fields}) for kind, fields in records.items()}

    def check(place: str, value: Any) -> None:
        _check_object(place, value)
        tag(_inside(place, key), value.get(key))
        checks[value[key]](place, value)

    return check


def _inside(place: str, key: Any) -> str:
    shown = key if type(key) is str and key.isidentifier() and len(key) < 60 else _SHORT.repr(key)
    return f"{place}.{shown}" if place else shown


def _check_object(place: str, value: Any) -> None:
    _object(place or "the document", value)
    for key in value:
        name(f"a name in {place or 'the document'}", key)
