"""Numbers as files hold them: counts, and the losses of a run.

A count is `12`, `+12` or `12.0`: ASCII digits that stand for less than 2**63. A loss may be NaN or
infinite, as a run that diverged prints it, but not too large for a float64.
"""

from __future__ import annotations

import io
import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.archive import is_npy, most_unpacked, read_array, read_arrays
from elbo_ref.io.errors import DataError, short
from elbo_ref.io.stream import is_zip, reading

_COUNT = re.compile(r" *\+?([0-9]+)(?:\.0+)? *")
_PROPORTION = re.compile(r"0?\.[0-9]*[1-9][0-9]*")
_SEPARATED = re.compile(r"\d{1,3}([,_' \u00a0]\d{3})+")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)",
    re.IGNORECASE | re.ASCII,
)
_LOSSES = ("loss", "losses", "evaluation", "evaluations", "train_loss", "elbo_loss")
_INDICES = (
    *("", "step", "steps", "iteration", "iter", "epoch", "batch", "index", "i", "t", "unnamed: 0"),
    *("time", "wall time", "timestamp"),
)
_MOST_NAMES = 8
"""Names of columns that a message lists."""
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


def read_numbers(source: str | Path) -> FloatArray:
    r"""Read the numbers in a file: the losses of a run.

    Parameters
    ----------
    source : str or Path
        A text of one number a line, which may be quoted; ``"-"`` is standard input. A first line
        that begins with a letter, `_` or `#` and is no number is a header. Blank lines may follow
        the last number. A table with a header has a column `loss`, or a single one beside step,
        epoch and time. Or a list in JSON, alone or the one list of an object, an array in npy, or
        an npz with one array.

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
        if is_npy(data):
            return _of_array(read_array(data))
        if is_zip(data):
            return _of_npz(data)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"line {line} is not UTF-8 text") from None
        if text.lstrip()[:1] in ("[", "{"):
            return _of_json(text)
        lines = text.split("\n")
        while lines and not _unquoted(lines[-1]):
            lines.pop()
        cells = [_unquoted(line) for line in _column(lines)]
        first = 1 if cells and _is_header(cells[0]) else 0
        if len(lines) == first:
            raise DataError("the file holds no number")
        return np.array([_number(i, cells[i]) for i in range(first, len(lines))])


def _of_npz(data: bytes) -> FloatArray:
    arrays = read_arrays(io.BytesIO(data), most_unpacked(len(data)))
    if len(arrays) != 1:
        listed = ", ".join(arrays) or "none"
        raise DataError(f"the archive holds {len(arrays)} arrays where one is needed: {listed}")
    return _of_array(next(iter(arrays.values())))


def _of_array(array: NDArray[Any]) -> FloatArray:
    """Take the numbers of an array with one axis that is longer than one."""
    if array.dtype.kind not in "fiu":
        raise DataError(f"the file holds dtype {array.dtype}, not real numbers")
    if not array.size:
        raise DataError("the file holds no number")
    if array.size != max(array.shape, default=1):
        raise DataError(f"the file has shape {array.shape}: one number for each step is needed")
    return array.reshape(-1).astype(np.float64)


def _of_json(text: str) -> FloatArray:
    """Read a list of numbers; NaN and Infinity are those of Python's JSON."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the file is no JSON list: {error!s:.120}") from None
    if isinstance(values, dict):
        lists = {name: x for name, x in values.items() if isinstance(x, list)}
        if len(lists) != 1:
            found = ", ".join(map(short, lists)) or "none"
            raise DataError(f"the JSON object has {len(lists)} lists where one is needed: {found}")
        (values,) = lists.values()
    for i, value in enumerate(values):
        if type(value) not in (int, float):
            raise DataError(f"number {i} of the list is {short(repr(value))}")
    try:
        array = np.array(values, np.float64)
    except OverflowError:
        raise DataError("the list holds an integer too large for a float") from None
    return _of_array(array)


def _column(lines: list[str]) -> list[str]:
    """Take the column of the losses of a table with a header; other lines are as they are."""
    head = lines[0].removesuffix("\r") if lines else ""
    mark = next((x for x in "\t;," if x in head), "")
    names = [_unquoted(cell).lower() for cell in head.split(mark)] if mark else []
    if len(names) < 2 or all(_NUMBER.fullmatch(name) for name in names):
        return lines
    wanted = [i for i, name in enumerate(names) if name in _LOSSES]
    if not wanted:
        wanted = [i for i, name in enumerate(names) if name not in _INDICES]
    if len(wanted) != 1:
        rule = "one of them must be called loss, or all others step, epoch or time"
        first = ", ".join(map(short, names[:_MOST_NAMES])) + ", ..." * (len(names) > _MOST_NAMES)
        raise DataError(f"the columns are {first}: {rule}")
    rows = [line.removesuffix("\r").split(mark) for line in lines]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(f"line {i + 1} has {len(row)} columns, the header {len(names)}")
    return [_LOSSES[0], *(row[wanted[0]] for row in rows[1:])]


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
