"""A count as it is written: `12`, `+12` or `12.0`, ASCII digits that stand for less than 2**63."""

from __future__ import annotations

import re
from functools import lru_cache

_WRITTEN = re.compile(r" *\+?([0-9]+)(?:\.0+)? *")


@lru_cache(maxsize=2**12)
def whole(text: str) -> int | None:
    """The count that a text writes, if it writes one; spaces around it do not matter.

    Examples
    --------
    >>> whole("+12.0"), whole("1e1"), whole("9223372036854775808")
    (12, None, None)
    """
    match = _WRITTEN.fullmatch(text)
    digits = match[1].lstrip("0") if match else ""
    if not match or len(digits) > 19:
        return None
    value = int(digits or "0")
    return value if value < 2**63 else None


def flaw(text: str) -> str:
    """What is wrong with a text that writes no count.

    Examples
    --------
    >>> flaw("1e1"), flaw("-3"), flaw("")
    ('is not a whole number', 'is negative', 'is blank')
    """
    if _WRITTEN.fullmatch(text):
        return "is not below 2**63"
    if text.startswith("-") and _WRITTEN.fullmatch(text[1:]):
        return "is negative"
    return "is not a whole number" if text else "is blank"
