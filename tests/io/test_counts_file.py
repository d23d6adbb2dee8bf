"""`elbo_ref.io.counts_file` and what it reads with: files to counts.

Good tables in every dress, and every refusal with file, line, column, value and rule in one line.
Generated tables, and what is left of them after damage, are held against a slow twin that reads
byte by byte; streams in pieces and blocks of any size against the file read at once.
"""

import hashlib
import io
import json
import os
import pickle
import random
import re
import string
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings, strategies as st

import elbo_ref as er
from elbo_ref.cli import fit
from elbo_ref.io import archive as archives, counts_file, stream
from elbo_ref.io.archive import read_arrays
from elbo_ref.io.counts_file import DataError, Layout, read, read_counts
from elbo_ref.special import log_choose

COLUMNS = ("successes", "total_count", "multiplicity", "labels")


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "counts.csv"


@pytest.fixture
def small_blocks(monkeypatch):
    return lambda size: monkeypatch.setattr(stream, "_BLOCK_BYTES", size)


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


# -- a slow twin: the rules, byte by byte ------------------------------------------------------


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
    """Separator and names of the columns, from the first line."""
    needed = {layout.successes, layout.total_count}
    readings = [(sign, slow_cells(text, sign)) for sign in ",\t;"]
    if layout.columns is not None:
        fits = [sign for sign, cells in readings if cells and len(cells) == len(layout.columns)]
        names = list(layout.columns)
    else:
        fits = [sign for sign, cells in readings if cells and needed <= set(cells)]
        names = slow_cells(text, fits[0]) if fits else []
    needed |= {layout.multiplicity, layout.group} - {None}
    if len(fits) != 1 or len(set(names)) != len(names) or not needed <= set(names):
        raise RefusedError(1)
    return fits[0], names


def slow_read(data, layout):
    """Rows (k, n, w, label), and how many were dropped."""
    rows, dropped, separator, names = [], 0, None, ()
    for number, text in slow_lines(data):
        if separator is None:
            separator, names = slow_layout(text, layout)
            weight = layout.multiplicity or ("multiplicity" if "multiplicity" in names else None)
            roles = [layout.successes, layout.total_count, weight, layout.group]
            if layout.columns is None:
                continue
        if not text.strip(" ") and layout.drop_blank:
            dropped += 1
            continue
        cells = slow_cells(text, separator)
        if cells is None or len(cells) != len(names):
            raise RefusedError(number)
        k, n, w, label = (None if x is None else cells[names.index(x)] for x in roles)
        if layout.drop_blank and {k, n, w, label} & {"", "NA"}:
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
    """Whether a file is taken for JSON, by its first sign."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


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


# -- good tables -------------------------------------------------------------------------------

PLAIN = er.Counts([3, 0, 7], [10, 4, 7])

DRESSES = {
    "plain": "successes,total_count\n3,10\n0,4\n7,7\n",
    "tabs": "successes\ttotal_count\n3\t10\n0\t4\n7\t7\n",
    "semicolons": "successes;total_count\n3;10\n0;4\n7;7\n",
    "byte order mark": "\ufeffsuccesses,total_count\n3,10\n0,4\n7,7\n",
    "CRLF": "successes,total_count\r\n3,10\r\n0,4\r\n7,7\r\n",
    "BOM and CRLF": "\ufeffsuccesses,total_count\r\n3,10\r\n0,4\r\n7,7\r\n",
    "LF and CRLF": "successes,total_count\r\n3,10\n0,4\r\n7,7\n",
    "no final newline": "successes,total_count\n3,10\n0,4\n7,7",
    "CRLF but for the last": "successes,total_count\r\n3,10\r\n0,4\r\n7,7",
    "quoted": '"successes","total_count"\n"3","10"\n0,"4"\n"7",7\n',
    "quoted after a BOM": '\ufeff"successes","total_count"\n3,10\n0,4\n7,7\n',
    "other order": "total_count,successes\n10,3\n4,0\n7,7\n",
    "spaces": " successes , total_count \n 3, 10\n0 ,4 \n7,7\n",
    "extra columns": 'id,successes,note,total_count\nx,3,"a, b",10\ny,0,,4\nz,7,ü,7\n',
    "an index without a name": ",successes,total_count\n0,3,10\n1,0,4\n2,7,7\n",
    "other separators in a header": '"a;b","c\td",successes,total_count\n,,3,10\n,;,0,4\n\t,,7,7\n',
    "more of another separator": "a;b;c;d,successes,total_count\n;,3,10\n,0,4\n;;;;,7,7\n",
    "other separators inside": 'note,successes,total_count\n;,3,10\n"\t,;",0,4\n;\t;,7,7\n',
    "quotes inside": 'note,successes,total_count\na"b,3,10\n"a""b",0,4\n"",7,7\n',
    "a key called PK": "PK,successes,total_count\nx,3,10\ny,0,4\nz,7,7\n",
    "plus signs": "successes,total_count\n+3,+10\n0,4\n7,7\n",
    "points": "successes,total_count\n3.0,10.000\n0.0,4\n+7.0,7\n",
    "leading zeros": "successes,total_count\n03,010\n00,4\n0000000000000000000000007,7\n",
    "multiplicity of one": "successes,total_count,multiplicity\n3,10,1\n0,4,1\n7,7,1\n",
}


@pytest.mark.parametrize("text", DRESSES.values(), ids=DRESSES)
def test_dresses(write, text):
    path = write(text)
    assert_same(read_counts(path), PLAIN)
    assert_same(read_counts(str(path)), PLAIN)
    check_against_twin(path, text.encode())


@pytest.mark.parametrize("text", ["3;x;10\n0;y;4\n7;z;7\n", "\ufeff3\tx\t10\r\n0\ty\t4\r\n7\tz\t7"])
def test_without_a_header(write, text):
    assert_same(read_counts(write(text), columns=("successes", "id", "total_count")), PLAIN)


def test_columns_of_other_names(write):
    path = write("n,k,successes,w\n10,3,x,2\n4,0,y,5\n10,3,z,1\n")
    names = {"successes": "k", "total_count": "n"}
    assert_same(read_counts(path, **names), er.Counts([3, 0], [10, 4], [2, 1]))
    assert_same(read_counts(path, **names, multiplicity="w"), er.Counts([3, 0], [10, 4], [3, 5]))
    path = write("multiplicity,total_count\n3,5\n")
    assert_same(read_counts(path, successes="multiplicity"), er.Counts(3, 5))


def test_equal_pairs_are_one_entry(write):
    """In the order of first appearance; a multiplicity of 0 and no trials are legal."""
    path = write("multiplicity,successes,total_count\n40,0,2\n0,1,2\n50,2,2\n2,0,2\n3,0,0\n")
    assert_same(read_counts(path), er.Counts([0, 1, 2, 0], [2, 2, 2, 0], [42, 0, 50, 3]))


def test_shared_and_group(write):
    text = "successes,total_count,ward,multiplicity\n3,10,a,1\n0,4,b,2\n1,5,a,3\n0,0,c,1\n"
    path = write(text)
    rows = er.Counts([3, 0, 1, 0], [10, 4, 5, 0], [1, 2, 3, 1])
    assert_same(read_counts(path, shared=True), rows.pooled())
    grouped = read_counts(path, group="ward")
    assert_same(grouped, rows.pooled(["a", "b", "a", "c"]))
    assert grouped.log_split[0] < 0
    for times in (2, 5):
        again = write(text + "1,5,a,3\n" * times + '"1",5,a,3\n')
        rows = er.Counts([3, 0, 1, 0], [10, 4, 5, 0], [1, 2, 3 * (times + 2), 1])
        assert_same(read_counts(again, group="ward"), rows.pooled(["a", "b", "a", "c"]))
    check_against_twin(path, text.encode(), group="ward")


def test_a_log_split_never_rounds_to_more_than_zero(write):
    """It is a probability: here 1 - 2e-16, whose log has the wrong sign by rounding."""
    path = write(f"successes,total_count\n2,{10**16}\n0,1\n")
    assert -1e-14 < read_counts(path, shared=True).log_split[0] <= 0


def test_labels_keep_their_text(write):
    """Commas, quotes, other scripts; numbers are text, so 1 and 01 are two groups."""
    text = (
        "Ärztin,successes,total_count\n"
        '"Graz, West",1,2\n東京,0,3\n"Graz, West",1,4\n"""x""",2,2\n1,0,1\n01,1,1\nNA,0,1\n'
    )
    counts = read_counts(write(text), group="Ärztin")
    assert counts.labels == ("Graz, West", "東京", '"x"', "1", "01", "NA")
    assert counts.successes.tolist() == [2, 0, 2, 0, 1, 0]
    assert counts.total_count.tolist() == [6, 3, 2, 1, 1, 1]


def test_largest_numbers(write):
    path = write(f"successes,total_count\n{2**62 + 1},{2**63 - 1}.0\n")
    counts = read_counts(path)
    assert (counts.successes[0], counts.total_count[0]) == (2**62 + 1, 2**63 - 1)


@pytest.mark.parametrize("block", [2**20, 2**15, 12345])
def test_the_longest_line(write, small_blocks, block):
    small_blocks(block)
    label = "東" * (2**16 - 4)
    path = write(f"ward,successes,total_count\r\n{label},1,2\r\n{label},0,2")
    assert read_counts(path, group="ward").labels == (label,)
    message = refusal(write(f"ward,successes,total_count\na,1,2\n{label}u,1,2\n"), group="ward")
    assert message == "line 3 is longer than 65536 characters"


@pytest.mark.parametrize("size", [65 * 2**10, 3 * 2**20])
def test_a_line_that_is_too_long(write, size):
    for text in (f"{'x' * size},successes,total_count\nx,1,2\n", "1" * size):
        assert refusal(write(text)) == "line 1 is longer than 65536 characters"
    text = f"ward,successes,total_count\n{'w' * size},1,2\n"
    assert refusal(write(text), group="ward") == "line 2 is longer than 65536 characters"


def test_rows_with_blanks_are_dropped_if_asked(write):
    text = 'g,k,n,x\na,1,2,\na,,2,\na,NA,x,\nNA,1,2,\n,1,2,\n\n   \nb, NA ,"",\nb,0,1,NA\n,,,\n'
    path = write(text)
    names = {"successes": "k", "total_count": "n"}
    got = read(path, Layout(**names, group="g", drop_blank=True))
    assert_same(got.counts, er.Counts.grouped([1, 0], [2, 1], ["a", "b"]))
    assert (got.source.rows, got.source.dropped) == (2, 8)
    assert read(path, Layout(**names, drop_blank=True)).source[3:] == (4, 6)
    assert refusal(path, **names) == "line 3, column k: '' is blank"
    path = write("k,n\n,2\n1,x\n")
    assert "line 3, column n: 'x'" in refusal(path, **names, drop_blank=True)
    path = write("k,n\n,2\n\n")
    message = "the file has no row of counts; 2 blank ones are dropped"
    assert refusal(path, **names, drop_blank=True) == message


def test_where_counts_came_from(write):
    path = write("successes,total_count\n1,2\n1,2\n,2\n")
    source = read(path, Layout(drop_blank=True)).source
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert source == (str(path), "table", digest, 2, 1)


# -- refusals ----------------------------------------------------------------------------------

HEADER = "successes,total_count\n"


@pytest.mark.parametrize(
    "cell",
    [
        "1.5", "2.9999999999999996", ".5", "3.", "3.0.0", "1.00001", "-0.5", "1e1", "1E1", "0x1",
        "0b1", "1_0", "1,0", "NaN", "nan", "inf", "Infinity", "-", "+", "++1", "+-1", "+ 1", "1 0",
        "one", "NA", "None", "True", "1\t", "\u0661", "\u0661\u0662", "\u00b2", "\uff11", "\u22121",
        "1\u00a0", "1;2", "'1'", "1\x0b", "\ufeff1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["successes", "total_count", "multiplicity"])
def test_a_cell_that_is_not_a_whole_number(write, column, cell):
    names = ["successes", "total_count", "multiplicity"]
    bad = [f'"{cell}"' if name == column else "9" for name in names]
    text = "\n".join([",".join(names), "1,2,3", "1,2,3", ",".join(bad), "1,2,3"])
    message = refusal(write(text))
    assert message == f"line 4, column {column}: {cell!r} is not a whole number"
    check_against_twin(write(text), text.encode())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("-1,2", "line 3, column successes: '-1' is negative"),
        ("1,-2.0", "line 3, column total_count: '-2.0' is negative"),
        (",2", "line 3, column successes: '' is blank"),
        ("1,", "line 3, column total_count: '' is blank"),
        ('"  ",2', "line 3, column successes: '' is blank"),
        ("12,10", "line 3, column successes: 12 exceeds total_count = 10"),
        ("1,0", "line 3, column successes: 1 exceeds total_count = 0"),
        (f"{2**63},1", f"line 3, column successes: '{2**63}' is not below 2**63"),
        (f"1,{2**64}.0", f"line 3, column total_count: '{2**64}.0' is not below 2**63"),
        ("", "line 3 is blank"),
        ("  ", "line 3 is blank"),
        ("1", "line 3 has 1 cell where the header has 2; the separator is a comma: '1'"),
        ("1;2", "line 3 has 1 cell where the header has 2; the separator is a comma: '1;2'"),
        ("1,2,", "line 3 has 3 cells where the header has 2; the separator is a comma: '1,2,'"),
        ("\t", "line 3 has 1 cell where the header has 2; the separator is a comma: '\\t'"),
        ('"1,2', "line 3 has quotes that do not match (a cell ends on its line): '\"1,2'"),
        ('"1"x,2', "line 3 has quotes that do not match (a cell ends on its line): '\"1\"x,2'"),
        ("\r1,2", "line 3 holds a carriage return without a line feed: '\\r1,2'"),
        ("1\r,2", "line 3 holds a carriage return without a line feed: '1\\r,2'"),
        ("1,\0", "line 3 holds a NUL byte"),
        ("1,2\udcff", "line 3 is not UTF-8 text"),
    ],
)
def test_a_bad_row(write, row, message):
    """Whatever comes after it, and however the lines end."""
    for end in ("\n", "\r\n"):
        for after in ("", f"1,2{end}", f"x,y{end}", f"\0,{end}"):
            text = end.join(["successes,total_count", "1,2", row, after])
            data = text.encode(errors="surrogateescape")
            path = write(data)
            assert refusal(path) == message
            check_against_twin(path, data)
    path = write(f"1,2\n0,2\n{row}\n".encode(errors="surrogateescape"))
    message = message.replace("the header has", "there are names for")
    assert refusal(path, columns=("successes", "total_count")) == message


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (b"a\rb", "line 3 holds a carriage return without a line feed: 'a\\rb,1,2'"),
        (b"\r", "line 3 holds a carriage return without a line feed: '\\r,1,2'"),
        (b'"a', "line 3 has quotes that do not match (a cell ends on its line): '\"a,1,2'"),
        (b'"a"b', "line 3 has quotes that do not match (a cell ends on its line): '\"a\"b,1,2'"),
        (b"\0", "line 3 holds a NUL byte"),
        (b"\xed\xa0\x80", "line 3 is not UTF-8 text"),
        (b"a,b", "line 3 has 4 cells where the header has 3; the separator is a comma: 'a,b,1,2'"),
        (b"a" * 65533, "line 3 is longer than 65536 characters"),
    ],
    ids=lambda value: value[:9],
)
def test_a_cell_that_is_not_needed_is_not_trusted(write, note, message):
    for other in (b"a", b'"a"', b'"a""b"'):
        data = b"note,successes,total_count\n" + other + b",1,2\n" + note + b",1,2\n"
        assert refusal(write(data + other + b",3,4\n")) == message
        check_against_twin(write(data), data)
        check_against_twin(write(data), data, group="note")


def test_the_longest_messages(write):
    """Whatever the file holds: a cell of thousands of digits, a thousand names, signs unseen."""
    long = "x" * 5000
    for cell in ("9" * 5000, long, "\u2028\x85\x1b", "\U000e0001" * 5000, f'"{long}'):
        refusal(write(f"{HEADER}{cell},2\n"))
        refusal(write(f"{HEADER}{cell}\n"))
        refusal(write(f"{cell}\n1\n"))
        refusal(write(f"successes,{cell}\n1\n"))
        refusal(write(f"{cell},successes,total_count\n1\n"), group=f"{long}\n")
        refusal(write(f"{cell},{cell},successes,total_count\n1\n"))
        refusal(write(f"{long},successes,total_count\n{cell},1,2\n"), successes=long)
        refusal(
            write(f"{cell},1,2\n"), columns=(long, "a\nb", "c"), successes=long, total_count="c"
        )
    wide = ",".join(f"column{i}" for i in range(5000))
    refusal(write(f"{wide}\n{wide}\n"))
    refusal(write(f"{wide},column7\n{wide}\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\ufeff", "line 1 is blank where a header is needed"),
        ("\n", "line 1 is blank where a header is needed"),
        ("\r\n\r\n", "line 1 is blank where a header is needed"),
        ("\n" + HEADER, "line 1 is blank where a header is needed"),
        ("successes,total_count", "the file has no row of counts"),
        (HEADER, "the file has no row of counts"),
        ("\0", "line 1 holds a NUL byte"),
        (b"\x80", "line 1 is not UTF-8 text"),
        (HEADER.encode("utf-16"), "line 1 is not UTF-8 text"),
        (HEADER.encode("utf-16-le"), "line 1 holds a NUL byte"),
        (b"\x1f\x8b\x08\x00", "line 1 is not UTF-8 text"),
        (b"\x93NUMPY\x01\x00", "line 1 is not UTF-8 text"),
        ("successes,total_count,ort\n1,2,Köln\n".encode("latin-1"), "line 2 is not UTF-8 text"),
        ('"succ\nesses",total_count\n', "line 1 has quotes that do not match"),
        ("\ufeff\ufeff" + HEADER, "line 1 has no column 'successes'; it has ['\\ufeffsuccesses', "),
        ("successes,total_count\r1,2\r", "line 1 holds a carriage return without"),
        ("x\n1\n", "line 1 is not separated by one of comma, tab, semicolon: 'x'"),
        ("successes total_count\n1 2\n", "line 1 is not separated by one of comma, tab,"),
        ("successes,x\n", "line 1 has no column 'total_count'; it has ['successes', 'x']"),
        ("total_count;x\n", "line 1 has no column 'successes'; it has ['total_count', 'x']"),
        ("Successes,total_count\n", "line 1 has no column 'successes'; it has ['Successes', "),
        ("success,total_count\n", "line 1 has no column 'successes'; it has ['success', "),
        ("1,2\n1,2\n", "line 1 has no column 'successes'; it has ['1', '2']"),
        ("successes,total_count;x\n", "line 1 has no column 'total_count'; it has ['successes', "),
        ("x,successes,x,total_count\n", "line 1 repeats the column 'x'; it has ['x', 'successes',"),
        (",successes,total_count, \n", "line 1 repeats the column ''; it has ['', 'successes',"),
        ("[1, 2]", "line 1 has no column 'successes'; it has ['[1', '2]']"),
    ],
)
def test_a_bad_file(write, content, message):
    assert refusal(write(content)).startswith(message)


@pytest.mark.parametrize("name", ["successes", "total_count", "multiplicity", "group"])
def test_an_unknown_column(write, name):
    message = refusal(write(HEADER + "1,2\n"), **{name: "clinic"})
    assert message == "line 1 has no column 'clinic'; it has ['successes', 'total_count']"


def test_a_first_row_without_a_header(write):
    columns = ("successes", "total_count")
    for text in ("1 2\n", "1,2,3\n", "1,2;3\n", "\n1,2\n", '"1\n2",2\n'):
        message = refusal(write(text), columns=columns)
        assert message.startswith("line 1 does not have 2 cells separated by one of comma, tab, ")
        assert message.endswith(repr(text.split("\n")[0]))
    message = refusal(write(HEADER), columns=columns)
    assert message == "line 1, column successes: 'successes' is not a whole number"


def test_a_blank_label(write):
    path = write('ward,successes,total_count\na,1,2\n" ",1,2\n')
    assert refusal(path, group="ward") == "line 3, column ward: the label is blank"
    assert_same(read_counts(path), er.Counts([1], 2, 2))


def test_settings_that_contradict_each_other(write):
    path = write(HEADER + "1,2\n")
    for options, words in (
        ({"shared": True, "group": "successes"}, "shared.*group"),
        ({"successes": "total_count"}, "same name"),
        ({"columns": ("a", "b")}, "the table has no column 'successes'"),
        ({"columns": ("successes", "total_count", "successes")}, "repeats the column"),
    ):
        with pytest.raises(ValueError, match=words):
            read_counts(path, **options)


BIG = 2**62


@pytest.mark.parametrize(
    ("rows", "options", "column"),
    [
        (f"1,2,{BIG},a\n1,2,{BIG},a", {}, "multiplicity"),
        (f"1,2,{2**63 - 1},a\n1,2,{2**63 - 1},a\n0,1,1,b", {}, "multiplicity"),
        (f"0,0,{BIG},a\n0,0,{BIG},b", {"group": "ward"}, "multiplicity"),
        (f"0,0,{BIG},a\n0,0,{BIG},b", {"shared": True}, "multiplicity"),
        (f"1,4,{2**61},a\n1,5,1,b", {"group": "ward"}, "total_count for 'a'"),
        (f"1,4,1,a\n1,{BIG},1,b\n2,{BIG},1,b", {"group": "ward"}, "total_count for 'b'"),
        (f"1,{BIG},1,a\n2,{BIG},1,b", {"shared": True}, "total_count"),
        (f"1,{2**63 - 1},1,a\n" * 8 + "0,0,1,a", {"shared": True}, "total_count"),
        (f"0,{2**63 - 1},{2**63 - 1},a\n" * 8 + "0,0,1,a", {"group": "ward"}, "multiplicity"),
    ],
)
def test_sums_never_wrap(write, small_blocks, rows, options, column):
    """However the rows are cut into blocks, and unless a row further on is wrong."""
    header = "successes,total_count,multiplicity,ward\n"
    for size in (1, 10, 45, 2**20):
        small_blocks(size)
        message = refusal(write(f"{header}{rows}\n"), **options)
        assert message == f"the sum of {column} does not fit into 63 bits"
        assert refusal(write(f"{header}{rows}\nx,1,1,c\n"), **options).startswith("line ")
    path = write(f"k,n\n1,{BIG}\n2,{BIG}\n")
    names = {"successes": "k", "total_count": "n"}
    assert refusal(path, **names, shared=True) == "the sum of n does not fit into 63 bits"
    assert_same(read_counts(path, **names), er.Counts([1, 2], BIG))


def test_sums_that_just_fit(write):
    text = f"ward,successes,total_count,multiplicity\na,3,{2**61},3\nb,0,{2**63 - 2**35},1\n"
    counts = read_counts(write(text), group="ward")
    assert counts.total_count.tolist() == [3 * 2**61, 2**63 - 2**35]
    assert counts.successes.tolist() == [9, 0]


def test_nothing_takes_long(write):
    """Cells, headers and rows on which a careless reader is quadratic."""
    begun = time.monotonic()
    for text in (
        HEADER + "0" * 60000 + "x,1\n",
        HEADER + "0" * 60000 + ".0" * 3 + ",1\n",
        HEADER + "1" + " " * 60000 + "x,1\n",
        HEADER + "1." + "0" * 60000 + "1,1\n",
        ",".join(map(str, range(12000))) + "\n",
        HEADER + '"' * 60000 + "\n",
        HEADER + "\n" * 10**6,
        HEADER + "1,2\n" * 10**5 + "x",
    ):
        refusal(write(text))
    assert refusal(write(HEADER + "\n" * 10**6), drop_blank=True).endswith(
        "1000000 blank ones are dropped"
    )
    assert time.monotonic() - begun < 10


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_counts(tmp_path / "missing.csv")
    with pytest.raises(OSError):
        read_counts(tmp_path)


def test_the_file_is_closed_after_an_error(write):
    """A file left open warns, and warnings are errors."""
    for content in (HEADER + "1,2\n3,x\n1,1\n", b"\xff", "", "x\n", "{", b"PK\x03\x04"):
        refusal(write(content))


def test_the_command_refuses_and_writes_nothing(write, tmp_path, capsys):
    path, output = write(f"{HEADER}12,10\n"), tmp_path / "fit.json"
    assert fit.main([str(path), "--output", str(output)]) == 65
    out, err = capsys.readouterr()
    rule = "line 2, column successes: 12 exceeds total_count = 10"
    assert (out, err) == ("", f"elbo_ref: {path}: {rule}\n")
    assert not output.exists()


# -- generated tables --------------------------------------------------------------------------

TOTALS = st.integers(0, 20) | st.integers(0, 2**63 - 1)
ROW = TOTALS.flatmap(lambda n: st.tuples(st.integers(0, n) | st.sampled_from([0, n]), st.just(n)))
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\0", exclude_categories=("Cs",))
    | st.sampled_from(',;\t" 1'),
    max_size=6,
)
LABEL = TEXT.filter(lambda text: text.strip(" ") == text != "")


@st.composite
def tables(draw):
    """The bytes of a table, its rows (k, n, w, label), and how its columns are named."""
    pairs = draw(st.lists(ROW, min_size=1, max_size=4))
    labels = draw(st.lists(LABEL, min_size=1, max_size=3))
    weights = draw(st.booleans())
    weight = st.integers(0, 1000) if weights else st.just(1)
    row = st.tuples(st.sampled_from(pairs), weight, st.sampled_from(labels))
    rows = [(*pair, w, label) for pair, w, label in draw(st.lists(row, min_size=1, max_size=8))]
    names = draw(st.lists(LABEL, min_size=6, max_size=6, unique=True))
    names = [*names[:2], names[2] if weights else None, *names[3:]]
    extra = draw(st.integers(0, 2))
    places = draw(st.permutations([i for i in range(4 + extra) if names[i] is not None]))
    separator, end = draw(st.sampled_from(",\t;")), draw(st.sampled_from(["\n", "\r\n"]))
    style = draw(st.randoms(use_true_random=False))

    def cell(value):
        text = str(value)
        if isinstance(value, int):
            text = style.choice(["", "", "+"]) + "0" * style.choice([0, 0, 2]) + text
            text += style.choice(["", "", ".0", ".000"])
        if any(sign in text for sign in ('"', separator)) or style.random() < 0.2:
            return '"' + text.replace('"', '""') + '"'
        return style.choice(["", "", " "]) + text + style.choice(["", "", " "])

    def line(values):
        return separator.join(cell(values[i]) for i in places)

    header = draw(st.booleans())
    lines = [line(names)] if header else []
    lines += [line([*row, draw(TEXT), draw(TEXT)]) for row in rows]
    text = (
        draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))
    )
    roles = dict(zip(("successes", "total_count", "multiplicity"), names[:3], strict=True))
    if not header:
        roles["columns"] = tuple(names[i] for i in places)
    return text.encode(), rows, roles, names[3]


def fits_another_separator(data, roles):
    """Whether a first row without a header does not say which separator it has."""
    first = data.decode("utf-8-sig").partition("\n")[0].removesuffix("\r")
    cells = [slow_cells(first, sign) for sign in ",\t;"]
    return [len(found or ()) for found in cells].count(len(roles["columns"])) > 1


@pytest.mark.thorough
@settings(max_examples=150)
@given(table=tables())
def test_round_trip(one_file, table):
    """The rows that were written, as a histogram, grouped and pooled; and so says the twin."""
    data, rows, roles, group = table
    assume(not is_json(data))
    one_file.write_bytes(data)
    for how in ({}, {"group": group}, {"shared": True}):
        layout = Layout(**roles, **how)
        if "columns" in roles and fits_another_separator(data, roles):
            assert "separated by one of" in refusal(one_file, **roles, **how)
            return
        try:
            wanted = counts_of(rows, layout)
        except RefusedError:
            assert "does not fit into 63 bits" in refusal(one_file, **roles, **how)
            continue
        got = read(one_file, layout)
        assert_same(got.counts, wanted)
        assert (got.source.rows, got.source.dropped) == (len(rows), 0)
        check_against_twin(one_file, data, **roles, **how)


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
WARD_OPTIONS = (
    {},
    {"group": "ward"},
    {"shared": True, "multiplicity": "multiplicity"},
    {"group": "ward", "drop_blank": True},
    {"columns": ("ward", "successes", "total_count", "multiplicity"), "drop_blank": True},
)


@pytest.mark.thorough
@settings(settings(max_examples=150), max_examples=1500)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3), crlf=st.booleans(), data=st.data())
def test_a_damaged_table(one_file, damages, crlf, data):
    """It is what the twin says it is, right or wrong; and never anything else happens."""
    good = WARDS.replace(b"\n", b"\r\n") if crlf else WARDS
    options = data.draw(st.sampled_from(WARD_OPTIONS))
    if "columns" in options:
        good = good.partition(b"\n")[2]
    check_against_twin(one_file, damaged(good, damages), **options)


def test_a_table_cut_anywhere(one_file):
    for options in WARD_OPTIONS[:4]:
        for size in range(len(WARDS)):
            check_against_twin(one_file, WARDS[:size], **options)


# -- streams and blocks ------------------------------------------------------------------------


class Drips(io.RawIOBase):
    """A file that gives a few bytes at a time."""

    def __init__(self, path, seed):
        self._file, self._random = io.FileIO(path), random.Random(seed)

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._file.read(min(len(buffer), self._random.choice([1, 2, 7, 100, 5000])))
        buffer[: len(data)] = data
        return len(data)

    def fileno(self):
        return self._file.fileno()

    def close(self):
        self._file.close()
        super().close()


class Standard:
    """What stands for `sys.stdin`."""

    def __init__(self, raw):
        self.buffer = raw


@pytest.fixture(scope="module")
def long_table(tmp_path_factory):
    """Thousands of rows, quoted and unquoted, in several small blocks."""
    rng = random.Random(1)
    lines = ["ward;id;successes;total_count"]
    for i in range(20000):
        n = rng.choice([rng.randint(0, 40), rng.randint(0, 10**9)])
        ward = rng.choice(['"w;1"', "w2", "Köln", f"w{i}"])
        lines.append(f"{ward};{i};{rng.randint(0, n)};{n}")
    path = tmp_path_factory.mktemp("long") / "counts.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{}, {"group": "ward"}, {"shared": True}], ids=str)
def test_a_stream_in_pieces_is_the_file(long_table, options, monkeypatch, small_blocks):
    """Bit by bit, log_split included: blocks have one size however the bytes arrive."""
    layout = Layout(**options)
    for size in (2**20, 2**14):
        small_blocks(size)
        wanted = read(long_table, layout)
        for seed in range(2):
            with io.BufferedReader(Drips(long_table, seed)) as buffer:
                monkeypatch.setattr(sys, "stdin", Standard(buffer))
                got = read("-", layout)
            assert got.counts == wanted.counts
            assert got.source == wanted.source._replace(name="standard input")


def trickle(end, data, seed):
    """Write pieces of random sizes into a pipe, and close it."""
    rng = random.Random(seed)
    with open(end, "wb", buffering=0) as pipe:
        while data:
            size = rng.choice([1, 10, 1000, 40000])
            pipe.write(data[:size])
            data = data[size:]
            if rng.random() < 0.05:
                time.sleep(0.002)


def test_a_pipe_is_the_file(long_table, monkeypatch, tmp_path):
    """Also a named one, whose time of change moves as it is written."""
    data, layout = long_table.read_bytes(), Layout(group="ward")
    wanted = read(long_table, layout)
    out, into = os.pipe()
    writer = threading.Thread(target=trickle, args=(into, data, 0))
    writer.start()
    with open(out, "rb") as buffer:
        monkeypatch.setattr(sys, "stdin", Standard(buffer))
        got = read("-", layout)
    writer.join()
    assert got.counts == wanted.counts
    assert got.source == wanted.source._replace(name="standard input")
    named = tmp_path / "pipe"
    os.mkfifo(named)
    writer = threading.Thread(target=trickle, args=(named, data, 1))
    writer.start()
    got = read(named, layout)
    writer.join()
    assert got.counts == wanted.counts
    assert got.source == wanted.source._replace(name=str(named))


def test_standard_input_that_cannot_be_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="closed"):
        read_counts("-")
    out, into = os.pipe()
    os.set_blocking(out, False)
    with open(out, "rb") as buffer, open(into, "wb"):
        monkeypatch.setattr(sys, "stdin", Standard(buffer))
        with pytest.raises(BlockingIOError):
            read_counts("-")


BLOCK_TABLES = [
    ("\ufeff" + WARDS.decode()).replace("\n", "\r\n").encode(),
    "ward,successes,total_count\nKöln,3,10\nKöln,1,4\n東京,2,3\nKöln,0,9\n\n  \nx,,2".encode(),
    b"ward,successes,total_count\na,3,10\na,11,10\nb,0,x\n",
    b"ward,successes,total_count\r\na,3,10\r\n\xff,1,10\r\nb,0,x\r\n",
    b"ward,successes,total_count\na,3,10\na,3\nb\0,0,x\n",
    b"ward,successes,total_count\na,3,10\r\r\nb,0,3\n",
    b'ward,successes,total_count\n"a,3,10\n",0,3\n',
    b"ward,successes\na,3\n",
    b"ward,successes,total_count\n,3,10\n,0,3\n",
]


def attempt(path, options):
    """What is read, or the message."""
    try:
        return read(path, Layout(**options))
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("data", BLOCK_TABLES, ids=range(len(BLOCK_TABLES)))
@pytest.mark.parametrize(
    "options",
    [{}, {"group": "ward"}, {"shared": True}, {"group": "ward", "drop_blank": True}],
    ids=str,
)
def test_blocks_of_every_size(write, data, options, small_blocks):
    """The same counts, rows and message wherever one ends and the next begins."""
    path = write(data)
    wanted = attempt(path, options)
    for size in range(1, len(data) + 2):
        small_blocks(size)
        got = attempt(path, options)
        assert type(got) is type(wanted), (size, got, wanted)
        if isinstance(got, str):
            assert got == wanted
        else:
            assert_same(got.counts, wanted.counts)
            assert got.source == wanted.source


def append(path):
    with path.open("ab") as file:
        file.write(b"1,2\n")


def truncate(path):
    os.truncate(path, 42)


def touch(path):
    os.utime(path, ns=(0, 1))


GROWING = {
    "table": HEADER.encode() + b"1,2\n" * 100,
    "json": json.dumps({"successes": [1] * 100, "total_count": [2] * 100}).encode(),
}


@pytest.mark.parametrize("change", [append, truncate, touch])
@pytest.mark.parametrize("kind", GROWING)
def test_a_file_that_changes_while_it_is_read(write, kind, change, small_blocks, monkeypatch):
    path = write(GROWING[kind])
    assert read(path, Layout()).source.format == kind
    small_blocks(21)
    blocks = []
    plain = stream.Stream.read_block

    def read_block(self):
        blocks.append(plain(self))
        if len(blocks) == 2:
            change(path)
        return blocks[-1]

    monkeypatch.setattr(stream.Stream, "read_block", read_block)
    assert refusal(path) == "the file changed while it was read"


# -- JSON --------------------------------------------------------------------------------------


def test_the_recipes_work(tmp_path, monkeypatch):
    """The lines of the module's documentation, as they stand there."""
    monkeypatch.chdir(tmp_path)
    recipes = re.findall(r"(?:^    .*\n)+", counts_file.__doc__, re.MULTILINE)
    assert len(recipes) == 2
    for recipe, name in zip(recipes, ("counts.json", "counts.npz"), strict=True):
        lines = [line[4:] for line in recipe.splitlines()]
        assert len(lines) == 3
        exec("\n".join(lines), {})
        assert_same(read_counts(name), er.Counts([3, 0], [10, 4]))


@pytest.mark.parametrize(
    "counts",
    [
        er.Counts([3, 0, 3], [10, 4, 10], [5, 0, 1]),
        er.Counts.shared([3, 1], [10, 10**15]),
        er.Counts.grouped([3, 0, 3, 2], [10, 4, 10, 2], ["b", "ä,;", "b", ""]),
        er.Counts.grouped([3, 0, 3, 2], [10, 4, 10, 2], [1, 2.5, 1, -1e20]),
        er.Counts.from_columns([1, 2], [2, 3], log_split=[-1e-17, -1.0625], labels=[True, "True"]),
        er.Counts(2**63 - 1, 2**63 - 1),
    ],
)
def test_counts_read_back(write, counts):
    """`Counts.to_dict` in JSON and in npz, every bit."""
    document = counts.to_dict()
    path = write("\ufeff\n" + json.dumps(document, indent=1))
    assert read_counts(path) == counts
    assert read(path, Layout()).source[1:2] + read(path, Layout()).source[3:] == (
        "json",
        len(counts),
        0,
    )
    if len({type(label) for label in counts.labels or ()}) > 1:
        return
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **document)
        path = write(file.getvalue())
        assert read_counts(path) == counts
        assert read(path, Layout()).source.format == "npz"


@pytest.mark.parametrize("name", ["rat_tumors", "forum", "saxony"])
def test_a_result_reads_back(name, write, capsys):
    arguments = ["--example", name, "--num-steps", "2", "--loss", "exact", "--json"]
    assert fit.main(arguments) == 0
    path = write(capsys.readouterr().out)
    assert read_counts(path) == er.datasets.load(name)


def test_json_pooled_and_renamed(write):
    columns = {"k": [3, 0, 1], "n": [10, 4.0, 5], "ward": ["a", "b", "a"], "w": [1, 2, 1]}
    path = write(json.dumps(columns))
    names = {"successes": "k", "total_count": "n"}
    assert_same(read_counts(path, **names), er.Counts([3, 0, 1], [10, 4, 5]))
    grouped = er.Counts([3, 0, 1], [10, 4, 5], [1, 2, 1]).pooled(["a", "b", "a"])
    assert_same(read_counts(path, **names, group="ward", multiplicity="w"), grouped)
    assert_same(read_counts(path, **names, shared=True), er.Counts.shared([3, 0, 1], [10, 4, 5]))
    assert "names its columns itself" in refusal(path, columns=("successes", "total_count"))


def test_json_rows_with_null_are_dropped_if_asked(write):
    columns = {"successes": [None, 1, 2], "total_count": [1, 2, 3], "ward": ["a", None, "c"]}
    path = write(json.dumps(columns))
    assert refusal(path) == "successes[0] = None is not a whole number"
    got = read(path, Layout(drop_blank=True))
    assert_same(got.counts, er.Counts([1, 2], [2, 3]))
    assert got.source[3:] == (2, 1)
    got = read(path, Layout(drop_blank=True, group="ward"))
    assert_same(got.counts, er.Counts.grouped([2], [3], ["c"]))
    assert got.source[3:] == (1, 2)
    columns["successes"][2] = 4
    message = "successes[2] = 4 exceeds total_count[2] = 3"
    assert refusal(write(json.dumps(columns)), drop_blank=True) == message


NUMBERS = {
    "1e1": "1e1 is not a whole number",
    "10E0": "10E0 is not a whole number",
    "NaN": "NaN is not a whole number",
    "Infinity": "Infinity is not a whole number",
    "true": "True is not a whole number",
    "null": "None is not a whole number",
    '"3"': "'3' is not a whole number",
    "[3]": "[3] is not a whole number",
    "{}": "{} is not a whole number",
    "1.5": "1.5 is not a whole number",
    "2.9999999999999996": "2.9999999999999996 is not a whole number",
    "-1": "-1 is negative",
    "-0": "-0 is negative",
    "12": "12 exceeds total_count[1] = 10",
    f"{2**63}": f"{2**63} is not below 2**63",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_a_json_cell_that_is_no_count(write, text):
    path = write(f'{{"successes": [0, {text}], "total_count": [1, 10]}}')
    assert refusal(path) == f"successes[1] = {NUMBERS[text]}"


NESTED = "[" * 985 + "]" * 985
ONE_ROW = '{"successes": [1], "total_count": [2], '
JSON_FILES = {
    "{": "line 1, character 2 is not JSON: Expecting property name enclosed in double quotes",
    '{"successes": [1],\n "total_count": [2]': "line 2, character 20 is not JSON: Expecting ',' ",
    '{"successes": [1]} x': "line 1, character 20 is not JSON: Extra data",
    '{"successes": [01], "total_count": [2]}': "line 1, character 17 is not JSON: Expecting ',' ",
    '{"a": ' + "[" * 10**5: "the file nests its JSON too deeply",
    '{"a": ' * 10**5: "the file nests its JSON too deeply",
    '{"successes": [' + NESTED + '], "total_count": [2]}': "",
    '{"successes": ' + NESTED + ', "total_count": [2]}': "",
    "{}": "the file has no column 'successes'; it has []",
    '{"counts": {"successes": [1]}}': "the file has no column 'total_count'; it has ['successes']",
    '{"counts": 3}': "the column counts is not a list: 3",
    '{"successes": 1, "total_count": [2]}': "the column successes is not a list: 1",
    '{"successes": [], "total_count": []}': "the file has no row of counts",
    '{"successes": [1, 2], "total_count": [2]}': "total_count has 1 rows where successes has 2",
    '{"successes": [' + "9" * 5000 + '], "total_count": [2]}': "successes[0] = 999999",
    ONE_ROW + '"x": []}': "x has 0 rows where successes has 1",
    ONE_ROW + '"successes": [1]}': "the file repeats the key 'successes'",
    ONE_ROW + '"x": [{"a": 1, "b": 2, "a": 2}]}': "the file repeats the key 'a'",
    ONE_ROW + '"labels": [null]}': "labels[0] = None is not a label",
    ONE_ROW + '"labels": [[1]]}': "labels[0] = [1] is not a label",
    ONE_ROW + '"labels": [NaN]}': "labels[0] = NaN is not a label",
    ONE_ROW + '"labels": [1e999]}': "labels[0] = 1e999 is not a label",
    ONE_ROW + '"labels": ["\\ud800"]}': "labels[0] = '\\ud800' is not a label",
    ONE_ROW + '"log_split": ["0"]}': "log_split[0] = '0' is not a number",
    ONE_ROW + '"log_split": [NaN]}': "log_split[0] = nan must lie in [-log C(N, K), 0]",
    ONE_ROW + '"log_split": [0.5]}': "log_split[0] = 0.5 must lie in [-log C(N, K), 0]",
    '{"successes": [1, 1], "total_count": [2, 2], "labels": ["a", "a"]}': (
        "labels holds 'a' twice, and is not named as the group"
    ),
    f'{{"successes": [1, 1], "total_count": [2, 2], "multiplicity": [{BIG}, {BIG}]}}': (
        "the sum of multiplicity does not fit into 63 bits"
    ),
}


@pytest.mark.parametrize("text", JSON_FILES, ids=lambda text: text[:60])
def test_a_bad_json(write, text):
    assert refusal(write(text)).startswith(JSON_FILES[text])


def test_json_that_is_not_utf8(write):
    assert refusal(write(b'{"successes": ["\xff"]}')) == "the file is not UTF-8 text"


GOOD_JSON = json.dumps(
    {
        "successes": [3, 0, 7],
        "total_count": [10, 4, 7],
        "labels": ["a", 1, 2.5],
        "log_split": [-1, 0, 0],
    }
).encode()


@pytest.mark.thorough
@settings(settings(max_examples=150), max_examples=400)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3))
def test_a_damaged_json(one_file, damages):
    """Whole numbers of a document that Python reads too; or one line."""
    data = damaged(GOOD_JSON, damages)
    one_file.write_bytes(data)
    try:
        counts = read_counts(one_file)
    except DataError:
        refusal(one_file)
        return
    document = json.loads(data)
    for name in ("successes", "total_count"):
        assert getattr(counts, name).tolist() == document[name]


# -- npz ---------------------------------------------------------------------------------------


def npz(**columns):
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()


def archive(members, packing=zipfile.ZIP_DEFLATED):
    """A zip of (name, bytes) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as out:
        for name, content in members:
            out.writestr(name, content)
    return file.getvalue()


def member(header, content=b"", version=b"\x01\x00"):
    """The bytes of an array under a header that may lie."""
    head = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(head).to_bytes(2, "little") + head + content


def header(descr="'<i8'", shape="(2,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


SOUND = member(header(), np.array([3, 0]).tobytes())


@pytest.mark.parametrize(
    "dtype", ["<i8", ">i8", "<u8", "<i4", ">u2", "<i2", "|i1", "|u1", "<f8", ">f4", "<f2"]
)
def test_npz_of_every_type(write, dtype):
    k, n = np.array([3, 0, 7], dtype), np.array([10, 4, 7], dtype)
    assert_same(read_counts(write(npz(successes=k, total_count=n))), PLAIN)


def test_npz_pooled_and_renamed(write):
    data = npz(
        k=[3, 0, 1], n=[10, 4, 5], ward=["a", "bä", "a"], w=[1, 2, 1], x=[0.5, np.nan, np.inf]
    )
    path = write(data)
    names = {"successes": "k", "total_count": "n"}
    assert_same(read_counts(path, **names), er.Counts([3, 0, 1], [10, 4, 5]))
    grouped = er.Counts([3, 0, 1], [10, 4, 5], [1, 2, 1]).pooled(["a", "bä", "a"])
    assert_same(read_counts(path, **names, group="ward", multiplicity="w"), grouped)
    assert_same(read_counts(path, **names, shared=True), er.Counts.shared([3, 0, 1], [10, 4, 5]))
    assert "names its columns itself" in refusal(path, columns=("successes", "total_count"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([3, -1], "successes[1] = -1 is negative"),
        ([3, 12], "successes[1] = 12 exceeds total_count[1] = 10"),
        (np.array([3, 2**63], "u8"), f"successes[1] = {2**63} is not below 2**63"),
        ([3.0, 2.5], "successes[1] = 2.5 is not a whole number"),
        ([3.0, 2.9999999999999996], "successes[1] = 2.9999999999999996 is not a whole number"),
        ([3.0, np.nan], "successes[1] = nan is not a whole number"),
        ([3.0, -np.inf], "successes[1] = -inf is negative"),
        ([3.0, 2.0**53 + 2], "successes[1] = 9007199254740994.0 is a float above 2**53"),
        ([True, False], "successes holds bool, not whole numbers"),
        (["3", "0"], "successes holds <U1, not whole numbers"),
        ([[3], [0]], "successes has 2 dimensions where one is needed"),
        (3, "successes has 0 dimensions where one is needed"),
        ([3, 0, 1], "total_count has 2 rows where successes has 3"),
        ([b"3", b"0"], "the member 'successes.npy' holds the type '|S1', not plain numbers or"),
        ([3j, 0], "the member 'successes.npy' holds the type '<c16', not plain numbers or text"),
        (np.array([3, 0], "M8[s]"), "the member 'successes.npy' holds the type '<M8[s]', not pla"),
        (np.zeros(2, "i4,i4"), "the member 'successes.npy' is not a plain array"),
    ],
)
def test_a_bad_npz_column(write, column, message):
    assert refusal(write(npz(successes=column, total_count=[10, 10]))).startswith(message)


def test_bad_npz_files(write):
    assert refusal(write(npz(successes=[], total_count=[]))) == "the file has no row of counts"
    assert refusal(write(npz())) == "the file has no column 'successes'; it has []"
    message = "the file has no column 'total_count'; it has ['successes']"
    assert refusal(write(npz(successes=[1]))) == message
    path = write(npz(successes=[1], total_count=[2], labels=[np.nan]))
    assert refusal(path) == "labels[0] = nan is not a label"
    path = write(npz(successes=[1], total_count=[2], log_split=["x"]))
    assert "log_split must be real numbers" in refusal(path)
    bad = np.array([0x110000], "<u4").view("<U1")
    path = write(npz(successes=[1], total_count=[2], labels=bad))
    assert refusal(path) == "the member 'labels.npy' holds characters that do not exist"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "is not a plain array"),
        (b"3,0\n", "is not a plain array"),
        (member(header(), SOUND[-16:], b"\x03\x00"), "is not a plain array"),
        (member(header(), b"1234567"), "does not have the size that its header says"),
        (member(header(shape="(3,)"), SOUND[-16:]), "does not have the size that its header says"),
        (member(header(shape=f"({10**17},)"), b""), "does not have the size that its header says"),
        (member(header(shape="(-2,)"), SOUND[-16:]), "is not a plain array"),
        (member(header(shape="(2L,)"), SOUND[-16:]), "is not a plain array"),
        (member(header(shape="(1" + "1" * 9000 + ",)")), "is not a plain array"),
        (member(header(shape="(" + "1" * 60000)), "is not a plain array"),
        (member(header(shape="(" + "-" * 9000 + "2,)")), "is not a plain array"),
        (member(header(shape="(" * 9000)), "is not a plain array"),
        (member(header(shape=f"(0, {10**30})")), "is not a plain array"),
        (member(header("'<U0'", f"({10**9},)")), "holds the type '<U0', not plain numbers or text"),
        (member(header("'|b8'"), SOUND[-16:]), "is not a plain array"),
        (member(header("'|V8'"), SOUND[-16:]), "holds the type '|V8', not plain numbers or text"),
        (member(header("'|O'"), SOUND[-16:]), "holds Python objects, not plain numbers or text"),
        (member(header("[('a', '<i8')]"), SOUND[-16:]), "is not a plain array"),
        (member(header("'__import__'"), SOUND[-16:]), "is not a plain array"),
        (member(header("'\n\\x1b'"), SOUND[-16:]), "is not a plain array"),
    ],
)  # fmt: skip
def test_a_member_that_lies(write, content, rule):
    """Its size is known, and refused, before it is read."""
    path = write(archive([("successes.npy", content), ("total_count.npy", SOUND)]))
    assert refusal(path).startswith(f"the member 'successes.npy' {rule}")


def test_members_that_repeat_or_do_not_belong(write):
    with pytest.warns(UserWarning, match="Duplicate"):
        data = archive([("successes.npy", SOUND)] * 2)
    assert refusal(write(data)) == "the archive holds 'successes' twice"
    data = archive([("successes.npy", SOUND), ("successes", SOUND)])
    assert refusal(write(data)) == "the archive holds 'successes' twice"
    data = archive([("x/y.txt", b"text")])
    assert refusal(write(data)) == "the member 'x/y.txt' is not a plain array"
    data = archive([("x" * 5000 + "\n.npy", b"text")])
    assert refusal(write(data)).endswith("is not a plain array")
    for packing in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = archive([("successes.npy", SOUND)], packing)
        message = "the member 'successes.npy' is packed in a way that NumPy does not use"
        assert refusal(write(data)) == message


def test_fortran_order_and_no_dimensions():
    matrix = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    found = read_arrays(io.BytesIO(npz(matrix=matrix, text=np.array("äb"), none=np.zeros((0, 3)))))
    np.testing.assert_array_equal(found["matrix"], matrix)
    assert str(found["text"]) == "äb"
    assert found["none"].shape == (0, 3)
    found["matrix"][0, 0] = 7.0


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


def test_nothing_is_unpickled(write, tmp_path):
    """Neither under an honest header, nor where the pickle stands for something else."""
    mark = tmp_path / "mark"
    pickled = pickle.dumps(Bomb(mark))
    honest = npz(successes=np.array([Bomb(mark), 1], dtype=object), total_count=[1, 2])
    false = member(header("'|u1'", f"({len(pickled)},)"), pickled)
    plain = member(header("'|u1'", f"({len(pickled)},)"), b"\xff" * len(pickled))
    for data in (honest, archive([("successes.npy", pickled)]), pickled):
        refusal(write(data))
    read_counts(write(archive([("successes.npy", false), ("total_count.npy", plain)])))
    message = "the member 'successes.npy' holds Python objects, not plain numbers or text"
    assert refusal(write(honest)) == message
    assert not mark.exists()
    pickle.loads(pickled)  # the negative control
    assert mark.exists()


def peak(path):
    """The most memory that a refusal takes, in bytes."""
    tracemalloc.start()
    try:
        message = refusal(path)
        return message, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
def test_a_bomb_is_not_unpacked(write, monkeypatch):
    """Zeros a thousand times smaller packed, said to be as large as they are, or to be small."""
    zeros = bytes(2**26)
    content = member(header(shape=f"({2**23},)"), zeros)
    large = archive([("successes.npy", content)])
    assert len(large) < 2**17
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_LEAST_PACKED", 2**25)
        message, memory = peak(write(large))
    rule = "write it with np.savez, which packs nothing"
    assert message == f"the archive unpacks to {len(content)} bytes, more than {2**25}: {rule}"
    assert memory < 2**22
    sound = member(header(shape="(9999,)"), bytes(8 * 9999))
    small = archive([("successes.npy", sound + zeros)])
    size, lie = (x.to_bytes(4, "little") for x in (len(sound) + len(zeros), len(sound)))
    assert small.count(size) == 2
    message, memory = peak(write(small.replace(size, lie)))
    assert message.startswith("the archive is damaged: Bad CRC-32")
    assert memory < 2**22
    message, memory = peak(write(small.replace(size, b"\xfe" * 4)))
    assert message == f"the archive unpacks to 4278124286 bytes, more than {2**26}: {rule}"
    assert memory < 2**22
    with pytest.raises(DataError, match="more than 100"):
        read_arrays(io.BytesIO(npz(x=np.zeros(100))), most_bytes=100)


def test_a_file_too_large_for_memory(write, monkeypatch):
    monkeypatch.setattr(stream, "_MOST_BYTES", 1000)
    message = "the file is larger than 1000 bytes; only a table of counts may be"
    for data in (json.dumps({"successes": [1] * 1000}).encode(), npz(successes=[1] * 1000)):
        assert refusal(write(data)) == message
    assert_same(read_counts(write(HEADER + "1,2\n" * 1000)), er.Counts(1, 2, 1000))


GOOD_NPZ = {
    save.__name__: (lambda file: (save(file, successes=[3, 0], total_count=[10, 4]), file)[1])(
        io.BytesIO()
    ).getvalue()
    for save in (np.savez, np.savez_compressed)
}


@pytest.mark.thorough
@settings(settings(max_examples=150), max_examples=600)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=2), kind=st.sampled_from(sorted(GOOD_NPZ)))
@example([("cut", 0.0, 0, 0)], "savez")
def test_a_damaged_npz(one_file, damages, kind):
    """A checksum stands over every byte that matters; nothing is evaluated, nothing warns."""
    one_file.write_bytes(damaged(GOOD_NPZ[kind], damages))
    try:
        counts = read_counts(one_file)
    except DataError:
        refusal(one_file)
        return
    assert_same(counts, er.Counts([3, 0], [10, 4]))


def test_a_damaged_npz_from_a_path(tmp_path):
    """As `load_run` reads it: an offset before the file is damage, not a missing file."""
    path, rng = tmp_path / "run.npz", random.Random(2)
    data = GOOD_NPZ["savez"]
    for _ in range(300):
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + data[at + rng.randint(1, 9) :])
        with pytest.raises(DataError):
            read_arrays(path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "missing.npz")


# -- ten million rows --------------------------------------------------------------------------

FEED = """
import sys
rows = ["%d,%d,w%d,%d\\n" % (i % 7, 7 + i % 30, i % 1000, i) for i in range(100000)]
block = "".join(rows)
sys.stdout.write("successes,total_count,ward,id\\n")
for _ in range(100):
    sys.stdout.write(block)
"""
DRINK = """
import resource, sys
from elbo_ref.io.counts_file import read_counts
counts = read_counts("-", group="ward" if sys.argv[1:] else None)
used = resource.getrusage(resource.RUSAGE_SELF)
seconds = int(used.ru_utime + used.ru_stime)
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(len(counts), counts.num_latents, counts.total_count.sum(), int(peak) // 1024, seconds)
"""
"""Linux's ru_maxrss would be that of the process which started this one, if it had more."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("group", "entries", "latents"), [([], 210, 10**7), (["ward"], 1000, 1000)]
)
def test_ten_million_rows_in_constant_memory(group, entries, latents):
    """Well under a minute of work, in less than 400 MB, all libraries included."""
    with subprocess.Popen([sys.executable, "-c", FEED], stdout=subprocess.PIPE) as feed:
        drink = [sys.executable, "-c", DRINK, *group]
        done = subprocess.run(drink, stdin=feed.stdout, capture_output=True, text=True, check=True)
    found = [int(x) for x in done.stdout.split()]
    assert found[:2] == [entries, latents]
    if group:
        assert found[2] == 100 * sum(7 + i % 30 for i in range(100000))
    assert found[3] < 400
    assert found[4] < 60
