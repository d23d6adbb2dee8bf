"""`elbo_ref.readers`: tables to counts.

Good tables in every dress, a round trip over generated counts, and every refusal with file, line,
column, value and rule in one line of text.
"""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elbo_ref as er
from elbo_ref.readers import DataError, read_counts

FIELDS = ("successes", "total_count", "multiplicity", "log_split")


@pytest.fixture
def write(tmp_path):
    """Put text or bytes into a file; its path."""

    def put(content):
        path = tmp_path / "counts.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def assert_same(got, wanted):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), name)
    assert got.labels == wanted.labels


# -- good tables -------------------------------------------------------------------------------

PLAIN = er.Counts([3, 0, 7], [10, 4, 7])

DRESSES = {
    "plain": "successes,total_count\n3,10\n0,4\n7,7\n",
    "byte order mark": "\ufeffsuccesses,total_count\n3,10\n0,4\n7,7\n",
    "CRLF": "successes,total_count\r\n3,10\r\n0,4\r\n7,7\r\n",
    "BOM and CRLF": "\ufeffsuccesses,total_count\r\n3,10\r\n0,4\r\n7,7\r\n",
    "CR": "successes,total_count\r3,10\r0,4\r7,7\r",
    "no final newline": "successes,total_count\n3,10\n0,4\n7,7",
    "quoted": '"successes","total_count"\n"3","10"\n0,"4"\n"7",7\n',
    "quoted after a BOM": '\ufeff"successes","total_count"\n3,10\n0,4\n7,7\n',
    "other order": "total_count,successes\n10,3\n4,0\n7,7\n",
    "spaces": " successes , total_count \n 3, 10\n0 ,4 \n7,7\n",
    "extra columns": 'id,successes,note,total_count\nx,3,"a, b",10\ny,0,,4\nz,7,ü,7\n',
    "repeated extra column": "x,successes,total_count,x\n,3,10,\n,0,4,\n1,7,7,2\n",
    "line break in a note": 'successes,note,total_count\n3,"a\nb",10\n0,,4\n7,,7\n',
    "blank lines": "\n\nsuccesses,total_count\n\n3,10\n0,4\n\n\n7,7\n\n",
    "blank CRLF lines": "successes,total_count\r\n\r\n3,10\r\n0,4\r\n7,7\r\n\r\n",
    "lines of spaces": "  \nsuccesses,total_count\n3,10\n   \n0,4\n7,7\n \n",
    "plus signs": "successes,total_count\n+3,+10\n0,4\n7,7\n",
    "leading zeros": "successes,total_count\n03,010\n00,4\n0000000000000000000000007,7\n",
    "multiplicity of one": "successes,total_count,multiplicity\n3,10,1\n0,4,1\n7,7,1\n",
}


@pytest.mark.parametrize("text", DRESSES.values(), ids=DRESSES)
def test_dresses(write, text):
    assert_same(read_counts(write(text)), PLAIN)
    assert_same(read_counts(str(write(text))), PLAIN)


def test_multiplicity(write):
    path = write("multiplicity,successes,total_count\n40,0,2\n0,1,2\n50,2,2\n")
    assert_same(read_counts(path), er.Counts([0, 1, 2], 2, multiplicity=[40, 0, 50]))


def test_shared(write):
    path = write("successes,total_count,ward\n3,10,a\n0,4,b\n1,5,a\n")
    assert_same(read_counts(path, shared=True), er.Counts.shared([3, 0, 1], [10, 4, 5]))


def test_group(write):
    path = write("successes,total_count,ward\n3,10,a\n0,4,b\n1,5,a\n")
    wanted = er.Counts.grouped([3, 0, 1], [10, 4, 5], ["a", "b", "a"])
    assert_same(read_counts(path, group="ward"), wanted)
    assert wanted.log_split[0] != 0


def test_labels_keep_their_text(write):
    """Commas, quotes, other scripts; numbers are text, so 1 and 01 are two groups."""
    text = (
        "Ärztin,successes,total_count\n"
        '"Graz, West",1,2\n東京,0,3\n"Graz, West",1,4\n"""x""",2,2\n1,0,1\n01,1,1\n'
    )
    counts = read_counts(write(text), group="Ärztin")
    assert counts.labels == ("Graz, West", "東京", '"x"', "1", "01")
    assert counts.successes.tolist() == [2, 0, 2, 0, 1]
    assert counts.total_count.tolist() == [6, 3, 2, 1, 1]


def test_largest_numbers(write):
    path = write(f"successes,total_count\n{2**62 + 1},{2**63 - 1}\n")
    counts = read_counts(path)
    assert (counts.successes[0], counts.total_count[0]) == (2**62 + 1, 2**63 - 1)


TOTALS = st.integers(0, 20) | st.integers(0, 2**63 - 1)
ROWS = st.lists(
    TOTALS.flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(0, 10**6))),
    min_size=1,
    max_size=8,
)
LABELS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8
).filter(lambda text: text.strip(" ") == text)
STYLES = st.fixed_dictionaries(
    {
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }
)


def table(columns, rows, style):
    out = io.StringIO(newline="")
    writer = csv.writer(out, **style)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "counts.csv"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=ROWS, style=STYLES, order=st.permutations(range(3)), mark=st.booleans())
def test_round_trip(one_file, rows, style, order, mark):
    names = ("successes", "total_count", "multiplicity")
    text = table([names[i] for i in order], [[row[i] for i in order] for row in rows], style)
    one_file.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    k, n, w = (list(column) for column in zip(*rows, strict=True))
    assert_same(read_counts(one_file), er.Counts(k, n, w))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), style=STYLES)
def test_round_trip_with_labels(one_file, data, style):
    rows = [(k % 1000, k % 1000 + n % 1000) for k, n, _ in data.draw(ROWS)]
    pool = data.draw(st.lists(LABELS, min_size=1, max_size=3))
    labels = data.draw(st.lists(st.sampled_from(pool), min_size=len(rows), max_size=len(rows)))
    lines = [(label, *row) for label, row in zip(labels, rows, strict=True)]
    text = table(["group", "successes", "total_count"], lines, style)
    one_file.write_bytes(text.encode())
    k, n = (list(column) for column in zip(*rows, strict=True))
    assert_same(read_counts(one_file, group="group"), er.Counts.grouped(k, n, labels))
    assert_same(read_counts(one_file, shared=True), er.Counts.shared(k, n))


# -- refusals ----------------------------------------------------------------------------------


def refusal(path, **options):
    """The message, which must be one line that opens with the file."""
    with pytest.raises(DataError) as caught:
        read_counts(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    assert len(message.splitlines()) == 1, message
    assert caught.value.__cause__ is None
    return message.removeprefix(f"{path}: ")


HEADER = "successes,total_count\n"


@pytest.mark.parametrize(
    "cell",
    [
        "1.5", ".5", "-0.5", "1e1", "1E1", "0x1", "0b1", "1_0", "1,0", "NaN", "nan", "inf",
        "-", "+", "++1", "+ 1", "1 0", "one", "NA", "None", "True", "1\t", "1\u00a0",
        "\u0661", "\u0661\u0662", "\u00b2", "\uff11", "\u22121", "1;2", "'1'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["successes", "total_count", "multiplicity"])
def test_a_cell_that_is_not_a_whole_number(write, column, cell):
    names = ["successes", "total_count", "multiplicity"]
    bad = [f'"{cell}"' if name == column else "9" for name in names]
    path = write("\n".join([",".join(names), "1,2,3", "", ",".join(bad), "1,2,3"]))
    message = refusal(path)
    assert f"line 4, column {column}: " in message
    assert repr(cell) in message
    assert "whole number" in message


@pytest.mark.parametrize(
    ("cell", "rule"),
    [("-1", "'-1' is negative"), ("-1.0", "'-1.0' is negative"), ("", "'' is blank")],
)
def test_a_cell_that_is_negative_or_blank(write, cell, rule):
    assert refusal(write(f"{HEADER}1,2\n{cell},2\n")) == f"line 3, column successes: {rule}"


@pytest.mark.parametrize("cell", ["3", "+3", "3.0", "3.", "003", "+3.000"])
def test_the_ways_to_write_three(write, cell):
    assert read_counts(write(f"{HEADER}{cell},7\n")) == er.Counts(3, 7)


@pytest.mark.parametrize(
    "cell", [2**63, 2**64, 10**25, 10**400], ids=["2**63", "2**64", "25", "400"]
)
@pytest.mark.parametrize("column", [0, 1])
def test_a_cell_above_int64(write, column, cell):
    bad = [cell, 1] if column == 0 else [1, cell]
    message = refusal(write(f"{HEADER}1,2\n{bad[0]},{bad[1]}\n"))
    assert f"line 3, column {HEADER.strip().split(',')[column]}: " in message
    assert str(cell)[:15] in message
    assert "2**63" in message


def test_successes_above_the_total(write):
    message = refusal(write(f"{HEADER}1,2\n12,10\n"))
    assert message.startswith("line 3, column successes: 12 ")
    assert "exceeds total_count" in message
    assert "10" in message


def test_lines_are_counted_as_an_editor_does(write):
    """Blank lines and line breaks in quotes count."""
    message = refusal(write('\r\nnote,successes,total_count\r\n\r\n"a\r\nb",1,2\r\nc,-1,2\r\n'))
    assert message.startswith("line 6, column successes: '-1' ")


@pytest.mark.parametrize(("row", "cells"), [("1", 1), ("1,2,3", 3), ("1,2,", 3), ("1,2,3,4", 4)])
def test_a_ragged_row(write, row, cells):
    message = refusal(write(f"{HEADER}1,2\n{row}\n"))
    assert message.startswith("line 3 ")
    assert "cell" in message
    assert re.findall(r"\b\d\b", message) == ["3", str(cells), "2"]


@pytest.mark.parametrize("row", ["1\x00,2,a", "1,2,\x00", "1,2,a\x00b"])
def test_a_nul_byte(write, row):
    for options in ({}, {"group": "ward"}):
        message = refusal(write(f"successes,total_count,ward\n\n{row}\n"), **options)
        assert "line 3" in message
        assert "NUL" in message


def test_a_blank_label(write):
    path = write('ward,successes,total_count\na,1,2\n"",1,2\n')
    message = refusal(path, group="ward")
    assert message.startswith("line 3, column ward: ")
    assert "blank" in message
    assert_same(read_counts(path), er.Counts([1, 1], 2))


def test_messages_are_short_and_on_one_line(write):
    """Whatever the file holds: a header over two lines, a cell of thousands of digits."""
    assert "line 1 " in refusal(write('"succ\nesses",total_count\n1,2\n'))
    for cell in ("9" * 5000, "x" * 5000, '"a\nb"'):
        message = refusal(write(f"{HEADER}{cell},2\n"))
        assert "line 2, column successes" in message
        assert len(message) < 200
    wide = ",".join(f"column{i}" for i in range(1000))
    assert len(refusal(write(f"{wide}\n{wide}\n"))) < 200


@pytest.mark.parametrize("header", ["successes;total_count", "successes\ttotal_count", "x"])
def test_another_separator_is_hinted_at(write, header):
    assert "comma" in refusal(write(f"{header}\n1\n"))


@pytest.mark.parametrize("content", ["", "\n", "\r\n\r\n", "\ufeff"])
def test_an_empty_file(write, content):
    assert "empty" in refusal(write(content))


@pytest.mark.parametrize("content", ["successes,total_count", HEADER, HEADER + "\n\n"])
def test_a_header_only(write, content):
    message = refusal(write(content))
    assert "header" in message
    assert "no row" in message


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("successes", "total_count"),
        ("total_count,x", "successes"),
        ("Successes,total_count", "successes"),
        ("successes;total_count", "successes"),
        ("1,2", "successes"),
        ("success,total_count", "successes"),
    ],
)
def test_a_missing_column(write, header, name):
    message = refusal(write(f"{header}\n1,2\n"))
    assert message.startswith("line 1 ")
    assert repr(name) in message
    assert "no column" in message
    assert all(part in message for part in header.split(","))


@pytest.mark.parametrize("name", ["successes", "total_count", "multiplicity"])
def test_a_repeated_column(write, name):
    message = refusal(write(f"successes,total_count,multiplicity,{name}\n1,2,1,1\n"))
    assert message.startswith("line 1 ")
    assert "repeats" in message
    assert repr(name) in message


def test_a_missing_or_repeated_group_column(write):
    path = write("ward,successes,total_count,ward\na,1,2,b\n")
    message = refusal(path, group="ward")
    assert "repeats" in message
    assert "'ward'" in message
    message = refusal(path, group="clinic")
    assert "no column 'clinic'" in message
    assert "ward" in message


@pytest.mark.parametrize("options", [{"shared": True}, {"group": "ward"}])
def test_multiplicity_wants_one_latent_per_row(write, options):
    path = write("ward,successes,total_count,multiplicity\na,1,2,3\n")
    assert "'multiplicity'" in refusal(path, **options)


@pytest.mark.parametrize(
    "content",
    [
        HEADER.encode() + b"1,2\n\xff,3\n",
        "successes,total_count,ort\n1,2,Köln\n".encode("latin-1"),
        HEADER.encode("utf-16"),
        b"\x80",
    ],
)
def test_not_utf8(write, content):
    assert "UTF-8" in refusal(write(content))


def test_broken_quotes(write):
    assert "line 2" in refusal(write(f'{HEADER}"1"x,2\n'))
    assert "line" in refusal(write(f'{HEADER}"1,2\n3,4\n'))


def test_sums_that_do_not_fit(write):
    path = write(f"{HEADER}1,{2**62}\n1,{2**62}\n")
    assert_same(read_counts(path), er.Counts([1, 1], 2**62))
    assert "total_count" in refusal(path, shared=True)
    path = write(f"successes,total_count,multiplicity\n1,2,{2**62}\n1,2,{2**62}\n")
    assert "multiplicity" in refusal(path)


def test_shared_and_group_exclude_each_other(write):
    with pytest.raises(ValueError, match=r"shared.*group"):
        read_counts(write(HEADER + "1,2\n"), shared=True, group="successes")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_counts(tmp_path / "missing.csv")
    with pytest.raises(OSError):
        read_counts(tmp_path)


def test_the_file_is_closed_after_an_error(write):
    """A file left open warns, and warnings are errors."""
    for content in (HEADER + "1,2\n3,x\n1,1\n", b"\xff", "", "x\n"):
        refusal(write(content))
