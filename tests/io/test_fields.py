"""`elbo_ref.io.fields`: each check accepts its values, and refuses others in one line."""

import math

import pytest

from elbo_ref.io.errors import DataError
from elbo_ref.io.fields import (
    anything,
    flag,
    items,
    name,
    named,
    number,
    optional,
    parse,
    plain,
    read_json,
    record,
    tagged,
    text,
    typed,
    whole,
)

POINT = record({"x": number(), "y": number(0.0)}, {"label": name})
SHAPE = tagged("kind", {"circle": {"radius": number(0.0)}, "square": {"side": whole(1)}})
DEEP = [[]]
for _ in range(40):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (whole(0, 3), [0, 3]),
        (whole(-1), [-1, 10**400]),
        (number(), [0, -1.5, 2**1023, -(10**300)]),
        (number(0.0, 1.0), [0, 1.0, 0.5]),
        (text("a", "b"), ["a", "b"]),
        (text(), ["", "x" * 200]),
        (name, ["\x1b\n", "x" * 1000]),
        (flag, [True, False]),
        (plain, [None, [1, {"a": ["b", None, 1.5, True]}]]),
        (anything, [None, object()]),
        (optional(flag), [None, True]),
        (typed({int: whole(0), str: text()}), [3, "x"]),
        (items(flag), [[], [True], (False,)]),
        (items(flag, 2), [[True, False]]),
        (named(whole(0)), [{}, {"a b": 3}]),
        (POINT, [{"x": 1, "y": 0}, {"x": -1, "y": 2.5, "label": "here"}]),
        (record({}, others=whole(0)), [{"a": 1}]),
        (SHAPE, [{"kind": "circle", "radius": 0.5}, {"kind": "square", "side": 1}]),
    ],
)
def test_what_is_accepted(check, good):
    for value in good:
        check("place", value)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (whole(0, 3), 4, "a = 4 must be a whole number of [0, 3]"),
        (whole(0, 3), True, "a = True must be a whole number of [0, 3]"),
        (whole(0), -1, "a = -1 must be a whole number of at least 0"),
        (whole(0), 1.0, "a = 1.0 must be a whole number of at least 0"),
        (number(), math.nan, "a = nan must be a number"),
        (number(), "1", "a = '1' must be a number"),
        (number(), 10**400, f"a = 1{'0' * 27}...{'0' * 29} must be a number"),
        (number(0, 1), 1.5, "a = 1.5 must be a number of [0, 1]"),
        (text("a", "b"), "c", "a = 'c' must be one of 'a', 'b'"),
        (text(), "x" * 201, f"a = '{'x' * 27}...{'x' * 28}' must be a short plain text"),
        (text(), "\x1b", r"a = '\x1b' must be a short plain text"),
        (name, "\ud800", r"a = '\ud800' must be a text"),
        (flag, 1, "a = 1 must be true or false"),
        (plain, {1, 2}, "a = {1, 2} must be a plain value"),
        (plain, DEEP, f"a{'[0]' * 19}[0... is nested more than 32 deep"),
        (plain, {"b": {"c": object}}, "a.b.c = <class 'object'> must be a plain value"),
        (typed({bool: flag, str: name}), 2, "a = 2 must be one of these: true or false, a text"),
        (items(flag, 2), [True], "a = [True] must be a list of 2"),
        (items(flag), [True, 0], "a[1] = 0 must be true or false"),
        (items(flag), {}, "a = {} must be a list"),
        (named(whole(0)), {"b c": -1}, "a['b c'] = -1 must be a whole number of at least 0"),
        (POINT, {"x": 1}, "a.y is missing"),
        (POINT, {"x": 1, "y": 1, "z": 1}, "a.z is no field of it"),
        (POINT, [], "a = [] must be an object"),
        (POINT, {"x": 1, "y": 1, "label": 3}, "a.label = 3 must be a text"),
        (SHAPE, {"kind": "line"}, "a.kind = 'line' must be one of 'circle', 'square'"),
        (SHAPE, {"kind": "square", "side": 0}, "a.side = 0 must be a whole number of at least 1"),
        (SHAPE, {"kind": "circle", "side": 1}, "a.radius is missing"),
    ],
)  # fmt: skip
def test_what_is_refused(check, value, message):
    with pytest.raises(ValueError) as caught:
        check("a", value)
    assert str(caught.value) == message


def test_a_document_has_no_place():
    with pytest.raises(ValueError, match=r"^the document = 3 must be an object$"):
        POINT("", 3)
    with pytest.raises(ValueError, match=r"^x = None must be a number$"):
        POINT("", {"x": None, "y": 1})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{", "its JSON is damaged: Expecting property name"),
        ("[" * 10**5, "its JSON is nested too deeply"),
        ('{"a": 1, "a": 2}', "the JSON repeats the name 'a'"),
        ("[1e999]", "the JSON holds 1e999, which is not a finite number"),
        ("[-Infinity]", "the JSON holds -Infinity, which is not a finite number"),
        ("9" * 4301, "the JSON holds a number of 4301 digits"),
    ],
)
def test_parse(written, message):
    with pytest.raises(ValueError) as caught:
        parse(written)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": }', "line 1, character 7 is not JSON: Expecting value"),
        (b'{"a": "\xff"}', "the file is not UTF-8 text; save it as UTF-8"),
        (b'{"a": ' + b"[" * 10**5, "the file nests its JSON too deeply"),
        (b'{"a": {"b": 1, "b": 2}}', "the file repeats the key 'b'"),
    ],
)
def test_read_json(data, message):
    with pytest.raises(DataError) as caught:
        read_json(data, float)
    assert str(caught.value) == message


def test_numbers_are_what_the_caller_makes_of_them():
    written = b'\xef\xbb\xbf{"a": [1, 2.50, NaN, -Infinity], "b": "3"}'
    assert read_json(written, str) == {"a": ["1", "2.50", "NaN", "-Infinity"], "b": "3"}
