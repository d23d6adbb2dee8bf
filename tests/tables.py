"""Tables of counts for the tests of `elbo_ref.io`, and a slow twin of its reader of text.

The twin holds the rules byte by byte, and shares nothing but the names of options.
"""

import io
import re
import string

import numpy as np
import pytest
from hypothesis import strategies as st

import elbo_ref as er
from elbo_ref.counts.columns import Columns
from elbo_ref.io.counts_file import DataError, Layout, read, read_counts
from elbo_ref.special import log_choose

COLUMNS = ("successes", "total_count", "multiplicity", "labels")


def assert_same(got, wanted):
    """Equal counts; log_split to 1e-12 of its terms, of which log C(N, K) is the largest."""
    for name in COLUMNS:
        assert np.array_equal(getattr(got, name), getattr(wanted, name)), (name, got, wanted)
    room = 1e-12 * (1 + log_choose(got.successes, got.total_count))
    error = np.abs(got.log_split - wanted.log_split)
    assert (error <= room).all(), (got.log_split, wanted.log_split, error, room)


def refusal(path, **options):
    """The message, which must be one short line that opens with the file."""
    with pytest.raises(DataError) as caught:
        read_counts(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    message = message.removeprefix(f"{path}: ")
    assert len(message.splitlines()) == 1, message
    assert message.isprintable(), message
    assert len(message) <= 300, message
    assert caught.value.__cause__ is None
    return message


class RefusedError(Exception):
    """Names the line, if it is about one."""


def slow_cells(line, separator):
    """Cells of a line, by a machine with three states; None if quotes do not match."""
    cells, cell, state = [], "", "start"
    for sign in line + separator:
        if state == "quoted":
            state = "closed" if sign == '"' else state
            cell += "" if sign == '"' else sign
        elif sign == separator:
            cells.append(cell)
            cell, state = "", "start"
        elif sign == '"' and state == "start":
            state = "quoted"
        elif sign == '"' and state == "closed":
            cell, state = cell + sign, "quoted"
        elif state == "closed":
            return None
        else:
            cell, state = cell + sign, "plain"
    return None if state == "quoted" else [cell.strip(" ") for cell in cells]


def slow_count(cell):
    digits, _, zeros = cell.removeprefix("+").partition(".")
    if not digits or set(digits) - set(string.digits) or set(zeros) - {"0"} or cell[-1] == ".":
        return None
    return int(digits) if int(digits) < 2**63 else None


def slow_lines(data):
    """Each line with its number; a line that is not text ends them."""
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        ended = number < len(lines)
        if not ended and not line:
            return
        line = line.removesuffix(b"\r") if ended else line
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise RefusedError(number) from None
        text = text.removeprefix("\ufeff") if number == 1 else text
        if "\0" in text or "\r" in text or len(text) > 65536:
            raise RefusedError(number)
        yield number, text


def slow_layout(text, layout):
    """Separator, names and roles of the columns, from the first line."""
    given = {layout.successes, layout.total_count, layout.group, layout.multiplicity} - {None}
    wanted = given or {"successes", "total_count"}
    readings = {sign: slow_cells(text, sign) for sign in ",\t;"}
    if layout.columns is not None:
        fits = [x for x, cells in readings.items() if cells and len(cells) == len(layout.columns)]
        names = list(layout.columns)
    else:
        if {len(cells or [0]) for cells in readings.values()} == {1}:
            readings[" "] = slow_cells(text, " ")
        readings = {sign: cells for sign, cells in readings.items() if cells}
        fits = sorted(readings, key=lambda x: (not wanted <= {*readings[x]}, -len(readings[x])))[:1]
        names = readings[fits[0]] if fits else []
    if len(fits) != 1 or len(set(names)) != len(names):
        raise RefusedError(1)
    roles = {x: getattr(layout, x) for x in ("successes", "total_count", "group", "multiplicity")}
    try:
        columns, _ = Columns(**roles).resolved(names)
    except ValueError:
        raise RefusedError(1) from None
    assert columns.failures is columns.outcome is None
    return fits[0], names, [getattr(columns, role) for role in roles]


def slow_read(data, layout):
    """Rows (k, n, w, label), and how many were dropped."""
    rows, dropped, separator, names = [], 0, None, ()
    for number, text in slow_lines(data):
        if separator is None:
            separator, names, roles = slow_layout(text, layout)
            if layout.columns is None:
                continue
        if not text.strip(" ") and layout.na == "drop":
            dropped += 1
            continue
        cells = slow_cells(text, separator)
        of_r = layout.columns is None and number == 2  # rows that begin with names of their own
        if of_r and cells and len(cells) == len(names) + 1 and cells[-1]:
            names = names if "" in names else ["", *names]
        if cells is None or len(cells) != len(names):
            raise RefusedError(number)
        k, n, label, w = (None if x is None else cells[names.index(x)] for x in roles)
        if layout.na == "drop" and {k, n, w, label} & {"", "NA"}:
            dropped += 1
            continue
        k, n, w = slow_count(k), slow_count(n), 1 if w is None else slow_count(w)
        if k is None or n is None or w is None or k > n or label == "":
            raise RefusedError(number)
        rows.append((k, n, w, label))
    if not rows:
        raise RefusedError
    return rows, dropped


def counts_of(rows, layout):
    """What rows amount to: a histogram, or groups."""
    k, n, w, labels = (list(column) for column in zip(*rows, strict=True))
    try:
        if layout.shared or layout.group is not None:
            return er.Counts(k, n, w).pooled(None if layout.shared else labels)
        times = {}
        for k, n, w, _ in rows:
            times[k, n] = times.get((k, n), 0) + w
        k, n = (list(column) for column in zip(*times, strict=True))
        return er.Counts(k, n, list(times.values()))
    except ValueError:
        raise RefusedError from None


def is_json(data):
    """Whether a file is taken for JSON, by its first signs."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"{") or re.match(rb"\[\s*[{\]]", start) is not None


def check_against_twin(path, data, **options):
    """The same counts, rows and dropped rows; or a refusal of the same line."""
    path.write_bytes(data)
    layout = Layout(**options)
    if is_json(data):
        refusal(path, **options)
        return
    try:
        rows, dropped = slow_read(data, layout)
        wanted = counts_of(rows, layout)
    except RefusedError as error:
        message = refusal(path, **options)
        place = f"line {error.args[0]}" if error.args else "the "
        assert re.match(rf"{place}\b", message), (message, place, data)
    else:
        got = read(path, layout)
        assert_same(got.counts, wanted)
        assert (got.source.rows, got.source.dropped) == (len(rows), dropped)


PLAIN = er.Counts([3, 0, 7], [10, 4, 7])

HEADER = "successes,total_count\n"

BIG = 2**62

DAMAGE = st.tuples(
    st.sampled_from(["flip", "insert", "delete", "double", "cut"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 7),
    st.sampled_from(b'0123456789,;\t"\r\n +-.eExN\0\xef\xff') | st.integers(0, 255),
)


def damaged(data, damages):
    data = bytearray(data)
    for kind, place, bit, byte in damages:
        at = int(place * len(data))
        if kind == "insert":
            data.insert(at, byte)
        elif kind == "flip" and data:
            data[at] ^= 1 << bit
        elif kind == "delete":
            del data[at : at + 1 + bit // 4]
        elif kind == "double":
            data[at:at] = data[at : at + 1 + bit]
        elif kind == "cut":
            del data[at:]
    return bytes(data)


WARDS = b"""ward,successes,total_count,multiplicity
a,3,10,1
"b, c",0,4,2
a,1,5,1
NA,7,7,1
"""


def npz(**columns):
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()
