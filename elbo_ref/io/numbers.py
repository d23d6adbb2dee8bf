"""Numbers as texts write them: counts, and the losses of a run, one a line.

A count is `12`, `+12` or `12.0`: ASCII digits that stand for less than 2**63. A loss may be NaN or
infinite, as a run that diverged prints it, but not too large for a float64.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.errors import DataError, short
from elbo_ref.io.stream import reading

_COUNT = re.compile(r" *\+?([0-9]+)(?:\.0+)? *")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)",
    re.IGNORECASE | re.ASCII,
)
_ENDLESS = re.compile(r"[+-]?inf", re.IGNORECASE)


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
    """
    if _COUNT.fullmatch(text):
        return "is not below 2**63"
    if text.startswith("-") and _COUNT.fullmatch(text[1:]):
        return "is negative"
    return "is not a whole number" if text else "is blank"


def read_numbers(source: str | Path) -> FloatArray:
    r"""Read the numbers in a text file.

    Parameters
    ----------
    source : str or Path
        A text of one number a line, which may be quoted; ``"-"`` is standard input. A first line
        that begins with a letter, `_` or `#` and is no number is a header. Blank lines may follow
        the last number.

    Returns
    -------
    ndarray of float64, shape (T,)

    Raises
    ------
    DataError
        If a line is something else, or there is no number.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "losses.csv")
    ...     _ = path.write_text("loss\n-1.5\n2e3\nnan\n")
    ...     read_numbers(path)
    array([-1.5e+00,  2.0e+03,      nan])
    """
    with reading(source) as stream:
        data = stream.rest(stream.read_block())
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"line {line} is not UTF-8 text") from None
        lines = [_unquoted(line) for line in text.split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        first = 1 if lines and _is_header(lines[0]) else 0
        if len(lines) == first:
            raise DataError("the file holds no number")
        return np.array([_number(i, lines[i]) for i in range(first, len(lines))])


def _unquoted(line: str) -> str:
    """Strip the spaces and quotes around a line."""
    stripped = line.removesuffix("\r").strip(" \t")
    if len(stripped) > 1 and stripped[0] == stripped[-1] == '"':
        return stripped[1:-1].strip(" \t")
    return stripped


def _is_header(line: str) -> bool:
    return (line[:1].isalpha() or line[:1] in ("_", "#")) and not _NUMBER.fullmatch(line)


def _number(i: int, line: str) -> float:
    if not line:
        raise DataError(f"line {i + 1} is blank")
    if not _NUMBER.fullmatch(line):
        raise DataError(f"line {i + 1}: {short(line)} is not a number")
    number = float(line)
    if math.isinf(number) and not _ENDLESS.match(line):
        raise DataError(f"line {i + 1}: {short(line)} is too large for a float")
    return number
