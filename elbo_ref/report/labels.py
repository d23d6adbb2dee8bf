"""Labels of rows as they are drawn: on one line, not too long, and different where they differ.

A long label keeps its beginning and its end. Where that makes two of them the same, each shows the
place at which they differ, and where that is not enough, its number among those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from unicodedata import east_asian_width

LONGEST = 32
"""Letters of a label."""
BRIEF = 20
"""Letters of a label in a narrow figure."""
_KEPT = 3
"""Letters before the first difference that are kept."""


def letters(text: str) -> int:
    """Count the letters of a text, of ideographs twice."""
    return sum(_letter(c) for c in text)


def _letter(c: str) -> int:
    return 2 if east_asian_width(c) in "WF" else 1


def _first(text: str, most: int) -> str:
    """Take so many letters at most from the beginning."""
    return text[: sum(size <= most for size in accumulate(map(_letter, text)))]


def plain_text(text: object, most: int = LONGEST) -> str:
    """Write a label on one line, cut in the middle to at most so many letters.

    Examples
    --------
    >>> plain_text("a ward with a very long name, number 1", 20)
    'a ward wit… number 1'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if letters(line) <= most:
        return line
    end = _first(line[::-1], (most - 1) // 2)[::-1]
    return f"{_first(line, most - 1 - letters(end))}…{end}"


def plain_texts(texts: Iterable[object], most: int = LONGEST) -> list[str]:
    """Write labels as `plain_text` does, those that differ differently.

    Examples
    --------
    >>> plain_texts([f"the ward of the clinic number {i}, on the left" for i in (1, 2)], 20)
    ['the w…er 1, on the …', 'the w…er 2, on the …']
    """
    lines = [plain_text(text, 10**9) for text in texts]
    drawn = {line: plain_text(line, most) for line in lines}
    for same in _alike(drawn):
        start = max(_common(min(same), max(same)) - _KEPT, 0)
        drawn |= {line: _from(line, start, most) for line in same}
    for i, line in enumerate((line for same in _alike(drawn) for line in same), 1):
        number = f" ({i})"
        drawn[line] = plain_text(line, most - len(number)) + number
    return [drawn[line] for line in lines]


def _alike(drawn: dict[str, str]) -> list[list[str]]:
    """List the lines that are drawn alike."""
    found = defaultdict[str, list[str]](list)
    for line, text in drawn.items():
        found[text].append(line)
    return [same for same in found.values() if len(same) > 1]


def _common(one: str, other: str) -> int:
    """Count the letters that two lines begin with alike; of a sorted list its ends have fewest."""
    return next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), 0)


def _from(line: str, start: int, most: int) -> str:
    """Write the beginning of a line and what it has from a place on."""
    head = _first(line, most // 4) + "…"
    rest = line[start:]
    room = most - letters(head)
    return head + (rest if letters(rest) <= room else _first(rest, room - 1) + "…")
