r"""The losses of a run, in whatever form a person has kept them.

A text of one number a line; lines that a loop has printed, as ``step 10 loss: 73.8``; a table with
a header; JSON: a list, records, or an object with one list of losses, however deep; an array in
npy or npz. A loss may be NaN or infinite, as a run that diverged prints it, but not too large for a
float64. Where two columns may be meant neither is taken.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.archive import is_npy, most_unpacked, read_array, read_arrays
from elbo_ref.io.errors import DataError, short
from elbo_ref.io.foreign import PARAMETER_STORE, is_parameter_store
from elbo_ref.io.stream import is_zip, reading

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)",
    re.IGNORECASE | re.ASCII,
)
_AFTER_NAME = re.compile(
    rf"(?<![a-z_])([a-z_]*(?:loss|elbo))\s*[:=]?\s*({_NUMBER.pattern})(?![\w.])",
    re.IGNORECASE | re.ASCII,
)
_AFTER_STEP = re.compile(
    rf"\W{{0,8}}(?:(?:step|iter|iteration|epoch|batch)\W{{0,8}})?[0-9]+(?:/[0-9]+)?\W{{0,8}}?[:\]]\s*({_NUMBER.pattern})\W{{0,8}}",
    re.IGNORECASE | re.ASCII,
)
_PLAIN = ("loss", "losses", "evaluation", "evaluations")
_LIKE = re.compile(r"loss|elbo|evaluation")
_INDICES = (
    *("", "step", "steps", "iteration", "iter", "epoch", "batch", "index", "i", "t", "unnamed: 0"),
    *("time", "wall time", "timestamp"),
)
_MOST_NAMES = 8
"""Names of columns that a message lists."""
_MOST_DEPTH, _MOST_PRINTED = 8, 2**10
"""Objects within each other, and characters of a printed line, that are looked at."""
_ENDLESS = re.compile(r"[+-]?inf", re.IGNORECASE)
_WANTED = "write one number for each step, as [73.8, 73.1], or one a line"


def read_numbers(source: str | Path, column: str | None = None) -> FloatArray:
    r"""Read the numbers in a file: the losses of a run.

    Parameters
    ----------
    source : str or Path
        A text of one number a line, which may be quoted; ``"-"`` is standard input. A first line
        that begins with a letter, `_` or `#` and is no number is a header. Blank lines may follow
        the last number. Or printed lines, each with the name of the loss or the number of the step
        before a number. A table with a header has a column `loss`, one whose name says that it is
        one, or a single one beside step, epoch and time. Or JSON: a list of numbers or records, or
        an object with such columns; an array in npy, or an npz.
    column : str, optional
        The column of a table, of records, of an object, or the array of an npz.

    Returns
    -------
    ndarray of float64, shape (T,)

    Raises
    ------
    DataError
        If a line is something else, there is no number, or several columns may be meant.
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
            if column is not None:
                raise DataError(f"the file is one array, without a column {short(column)}")
            return _of_array(read_array(data))
        if is_parameter_store(data):
            raise DataError(f"the file is {PARAMETER_STORE}; of losses {_WANTED}")
        if is_zip(data):
            return _of_npz(data, column)
        if data.startswith(b"\x80"):
            raise DataError(f"the file is a pickle, which is not opened; {_WANTED}")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"line {line} is not UTF-8 text") from None
        return _of_text(text, column)


def _of_text(text: str, column: str | None) -> FloatArray:
    lines = text.split("\n")
    while lines and not _unquoted(lines[-1]):
        lines.pop()
    if _is_printed(lines):
        return np.array([_printed(i, line, column) for i, line in enumerate(lines)])
    if text.lstrip()[:1] in ("[", "{"):
        return _of_json(text, lines, column)
    cells = [_unquoted(line) for line in _cells(lines, column)]
    first = 1 if cells and _is_header(cells[0]) else 0
    if len(lines) == first:
        raise DataError("the file holds no number")
    return np.array([_number(i, cells[i]) for i in range(first, len(lines))])


def _meant(names: Sequence[str]) -> list[int]:
    """List the places of what may be the losses among columns: one, if it is clear."""
    plain = [name.rpartition(".")[2].strip().lower() for name in names]
    called = [i for i, name in enumerate(plain) if name in _PLAIN]
    alike = [i for i, name in enumerate(plain) if _LIKE.search(name)]
    return called or alike or [i for i, name in enumerate(plain) if name not in _INDICES]


def _chosen(names: Sequence[str], column: str | None) -> int:
    """Return the place of the losses among columns."""
    if column is not None:
        found = [i for i, name in enumerate(names) if name.strip() == column]
        if len(found) != 1:
            rule = f"{len(found)} are called {short(column)}"
            raise DataError(f"the columns are {_listed(names)}: {rule}")
        return found[0]
    meant = _meant(names)
    if len(meant) == 1:
        return meant[0]
    rule = "one of them must be called loss, or all others step, epoch or time"
    raise _undecided(f"the columns are {_listed(names)}: {rule}", [names[i] for i in meant])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(short, names[:_MOST_NAMES])) + ", ..." * (len(names) > _MOST_NAMES)


def _undecided(text: str, names: Sequence[str]) -> DataError:
    return DataError(text, when="to say which", column=names[0]) if names else DataError(text)


def _of_npz(data: bytes, column: str | None) -> FloatArray:
    arrays = read_arrays(io.BytesIO(data), most_unpacked(len(data)))
    if column is None and len(arrays) != 1:
        meant = _meant([*arrays])
        if len(meant) != 1:
            listed = ", ".join(arrays) or "none"
            text = f"the archive holds {len(arrays)} arrays where one is needed: {listed}"
            raise _undecided(text, [*arrays])
    place = 0 if column is None and len(arrays) == 1 else _chosen([*arrays], column)
    return _of_array([*arrays.values()][place])


def _of_array(array: NDArray[Any]) -> FloatArray:
    """Take the numbers of an array with one axis that is longer than one."""
    if array.dtype.kind not in "fiu":
        raise DataError(f"the file holds dtype {array.dtype}, not real numbers")
    if not array.size:
        raise DataError("the file holds no number")
    if array.size != max(array.shape, default=1):
        raise DataError(f"the file has shape {array.shape}: one number for each step is needed")
    return array.reshape(-1).astype(np.float64)


def _of_json(text: str, lines: Sequence[str], column: str | None) -> FloatArray:
    """Read what is in JSON, or a record on each line; NaN and Infinity are those of Python's."""
    records = len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines)
    try:
        values = json.loads(f"[{','.join(lines)}]" if records else text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the file is no JSON list: {error!s:.120}; {_WANTED}") from None
    if isinstance(values, list) and values and all(isinstance(x, dict) for x in values):
        values = _of_records(values, column)
    elif isinstance(values, dict):
        values = _of_object(values, column)
    elif column is not None:
        raise DataError(f"the file is one list, without a column {short(column)}")
    if len(values) == 1 and isinstance(values[0], list):
        (values,) = values
    elif all(isinstance(x, list) and len(x) == 1 for x in values):
        values = [x[0] for x in values]
    for i, value in enumerate(values):
        if type(value) not in (int, float):
            raise DataError(f"number {i} of the list is {short(repr(value))}; {_WANTED}")
    try:
        array = np.array(values, np.float64)
    except OverflowError:
        raise DataError("the list holds an integer too large for a float") from None
    return _of_array(array)


def _of_records(records: Sequence[Mapping[str, Any]], column: str | None) -> list[Any]:
    """Take the losses out of a record for each step."""
    names = [*dict.fromkeys(name for record in records for name in record)]
    if not names:
        raise DataError(f"the records are empty; {_WANTED}")
    name = names[_chosen(names, column)]
    for i, record in enumerate(records):
        if name not in record:
            raise DataError(f"record {i} has no {short(name)}")
    return [record[name] for record in records]


def _of_object(values: Mapping[str, Any], column: str | None) -> list[Any]:
    """Take the one list, or the one that is called so, out of an object and those within it."""
    lists = [*_lists(values)]
    names = [name for name, _ in lists]
    if column is None and len(lists) == 1:
        return lists[0][1]
    if column is None and len(_meant(names)) != 1:
        text = f"the JSON object has {len(lists)} lists where one is needed: "
        text += _listed(names) if names else f"none; {_WANTED}"
        raise _undecided(text, names)
    return lists[_chosen(names, column)][1]


def _lists(
    values: Mapping[str, Any], within: str = "", depth: int = 0
) -> Iterator[tuple[str, list[Any]]]:
    """Yield all lists with their names, those of inner objects before a dot."""
    for name, value in values.items():
        if isinstance(value, list):
            yield within + name, value
        elif isinstance(value, dict) and depth < _MOST_DEPTH:
            yield from _lists(value, f"{within}{name}.", depth + 1)


def _is_printed(lines: Sequence[str]) -> bool:
    """Return True if the first lines are those that a loop prints of its steps."""
    short_ones = bool(lines) and max(map(len, lines[:2])) <= _MOST_PRINTED
    return short_ones and all(
        _AFTER_NAME.search(line) or _AFTER_STEP.fullmatch(line.strip()) for line in lines[:2]
    )


def _printed(i: int, line: str, column: str | None) -> float:
    """Read the loss in a printed line: after its name, or after the number of the step."""
    named = _AFTER_NAME.findall(line[:_MOST_PRINTED])
    if named:
        return _number(i, named[_chosen([name for name, _ in named], column)][1])
    step = None if column else _AFTER_STEP.fullmatch(line.strip()[:_MOST_PRINTED])
    if step is None:
        raise DataError(f"line {i + 1}: {short(line)} has no loss, as 'step 10 loss: 73.8' has")
    return _number(i, step[1])


def _cells(lines: Sequence[str], column: str | None) -> Sequence[str]:
    """Take the column of the losses of a table with a header; other lines are as they are."""
    head = lines[0].removesuffix("\r") if lines else ""
    mark = next((x for x in "\t;," if x in head), "")
    names = [_unquoted(cell) for cell in head.split(mark)] if mark else [_unquoted(head)]
    if len(names) < 2 or all(_NUMBER.fullmatch(name) for name in names):
        if column is not None and names != [column]:
            raise DataError(f"the file is no table with a column {short(column)}")
        return lines
    place = _chosen(names, column)
    rows = [line.removesuffix("\r").split(mark) for line in lines]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(f"line {i + 1} has {len(row)} columns, the header {len(names)}")
    return [_PLAIN[0], *(row[place] for row in rows[1:])]


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
