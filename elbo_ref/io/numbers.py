"""Numbers as files hold them, in ASCII digits.

Counts are `12`, `+12` or `12.0`, less than 2**63; proportions `0.35`, `.35`, `1` or `3.5e-1`.
"""

from __future__ import annotations

import re
from functools import lru_cache

_COUNT = re.compile(r" *\+?([0-9]+)(?:\.0+)? *")
_NUMBER = re.compile(r" *[+-]?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})? *")
_SEPARATED = re.compile(r"\d{1,3}([,_' \u00a0]\d{3})+")


BLANK = ("", "NA")
"""Texts of no value, in any column."""


def is_missing(text: str) -> bool:
    """Return True if a text stands for no number: blank, NA, or NaN.

    Examples
    --------
    >>> is_missing("NA"), is_missing(" "), is_missing("nan"), is_missing("None"), is_missing("0")
    (True, True, True, False, False)
    """
    text = text.strip(" ")
    return text in BLANK or text.lower() == "nan"


@lru_cache(maxsize=2**12)
def whole(text: str) -> int | None:
    """Read a count; None if the text writes none. Spaces around it do not matter.

    Examples
    --------
    >>> whole("+12.0"), whole("1e1"), whole("9223372036854775808")
    (12, None, None)
    """
    match = _COUNT.fullmatch(text)
    digits = match[1].lstrip("0") if match else ""
    if not match or len(digits) > 19:
        return None
    value = int(digits or "0")
    return value if value < 2**63 else None


def flaw(text: str) -> str:
    """Say why a text writes no count.

    Examples
    --------
    >>> flaw("1e1"), flaw("-3"), flaw("")
    ('is not a whole number', 'is negative', 'is blank')
    >>> flaw("1,234")
    'is not a whole number; write it without separators of thousands'
    """
    if _COUNT.fullmatch(text):
        return "is not below 2**63"
    if text.startswith("-") and _COUNT.fullmatch(text[1:]):
        return "is negative"
    if _SEPARATED.fullmatch(text):
        return "is not a whole number; write it without separators of thousands"
    return "is not a whole number" if text else "is blank"


@lru_cache(maxsize=2**12)
def proportion(text: str) -> float | None:
    """Read a number of [0, 1]; None if the text writes none. Spaces around it do not matter.

    Examples
    --------
    >>> proportion("0.35"), proportion(" 1e-05"), proportion("35"), proportion("0,35")
    (0.35, 1e-05, None, None)
    """
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    return value if 0 <= value <= 1 else None


def is_fraction(text: str) -> bool:
    """Return True if a text writes a number between 0 and 1."""
    return 0 < (proportion(text) or 0) < 1


def flaw_of_proportion(text: str) -> str:
    """Say why a text writes no proportion.

    Examples
    --------
    >>> flaw_of_proportion("35"), flaw_of_proportion("x")
    ('is not in [0, 1]; divide per cents by 100', 'is not a number')
    >>> flaw_of_proportion("0,35")
    'is not a number; write decimals with a point'
    """
    text = text.strip(" ")
    number = text.removesuffix("%")
    if _NUMBER.fullmatch(number):
        per_cent = number != text or 1 < float(number) <= 100
        return "is not in [0, 1]" + "; divide per cents by 100" * per_cent
    if _NUMBER.fullmatch(text.replace(",", ".", 1)):
        return "is not a number; write decimals with a point"
    return "is not a number" if text else "is blank"
