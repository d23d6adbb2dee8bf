"""Numbers from a text, one a line: the losses of a run, or many evaluations of one.

A first line that begins with a letter, `_` or `#` and is no number is a header. NaN and infinities
are numbers, as a run that diverged prints them; what a float64 cannot hold is none.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.layout import DataError, short
from elbo_ref.io.stream import opened

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)",
    re.IGNORECASE | re.ASCII,
)
_ENDLESS = re.compile(r"[+-]?inf", re.IGNORECASE)


def read_numbers(source: str | Path) -> FloatArray:
    """The numbers in a file, shape (T,).

    Parameters
    ----------
    source : str or Path
        A text of one number a line, which may be quoted, with or without a header; ``"-"`` is
        standard input. Blank lines may follow the last.

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
    ...     _ = path.write_text("loss\\n-1.5\\n2e3\\nnan\\n")
    ...     read_numbers(path)
    array([-1.5e+00,  2.0e+03,      nan])
    """
    with opened(source) as stream:
        try:
            return _parse(stream.rest(stream.read_block()))
        except DataError as error:
            raise DataError(f"{stream.name}: {error}") from None


def _parse(data: bytes) -> FloatArray:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"line {_line(data, error.start)} is not UTF-8 text") from None
    lines = [_bare(line) for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    first = 1 if lines and _is_header(lines[0]) else 0
    if len(lines) == first:
        raise DataError("the file holds no number")
    return np.array([_number(i, lines[i]) for i in range(first, len(lines))])


def _line(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def _bare(line: str) -> str:
    """The line without the spaces and quotes around it."""
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
