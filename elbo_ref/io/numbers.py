"""Counts as files hold them: `12`, `+12` or `12.0`, ASCII digits that stand for less than 2**63."""

from __future__ import annotations

import re
from functools import lru_cache

_COUNT = re.compile(r" *\+?([0-9]+)(?:\.0+)? *")
_PROPORTION = re.compile(r"0?\.[0-9]*[1-9][0-9]*")
_SEPARATED = re.compile(r"\d{1,3}([,_' \u00a0]\d{3})+")


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
    if _PROPORTION.fullmatch(text):
        return "is not a whole number; proportions are for frames, Counts.from_frame(proportion=)"
    return "is not a whole number" if text else "is blank"
