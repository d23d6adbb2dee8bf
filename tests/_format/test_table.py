"""`elbo_ref._format.table`: one table as text, HTML and CSV."""

import csv
import html
import io
import re

import numpy as np
import pytest

from elbo_ref._format.table import Column, Table, joined, printable

NASTY = ["<b>north</b>", "a, b", 'say "hi"', "line\nbreak", "\x1b[2J", ""]
TABLE = Table(
    [
        Column(NASTY, "label", "latent", left=True),
        Column(np.arange(6), "k", "successes"),
        Column([1 / 3, None, np.float64(-0.0), np.nan, np.inf, 1e-300], "x", "mean"),
        Column([True] * 6, "only_written"),
        Column("abcdef", heading="only read"),
    ],
    "six <rows>",
)


def test_text_is_aligned_and_on_one_line_each():
    lines = TABLE.to_text().splitlines()
    assert len(lines) == 8 and str(TABLE) == TABLE.to_text()
    assert lines[0] == "six <rows>"
    assert lines[1].split() == ["latent", "successes", "mean", "only", "read"]
    assert {len(line) for line in lines[1:]} == {len(lines[1])}
    assert lines[5].startswith(r"line\nbreak ") and lines[6].startswith(r"\x1b[2J ")
    means = ["0.33333", "-", "0", "nan", "inf", "1e-300"]
    assert [line.split()[-2] for line in lines[2:]] == means


def test_html_is_escaped_and_well_formed():
    page = TABLE.to_html()
    assert page == TABLE._repr_html_()
    assert set(re.findall(r"</?([a-z]+)>", page)) == {"table", "caption", "tr", "th", "td"}
    for tag in ("table", "caption", "tr", "th", "td"):
        assert page.count(f"<{tag}>") == page.count(f"</{tag}>")
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page)]
    assert len(cells) == 6 * 4
    assert cells[::4] == [printable(label) for label in NASTY]


def test_csv_reads_back_to_the_same_bits():
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv(), newline="")))
    assert list(rows[0]) == ["label", "k", "x", "only_written"]
    assert [row["label"] for row in rows] == NASTY
    assert [float(row["x"] or "nan") for row in rows[:1] + rows[5:]] == [1 / 3, 1e-300]
    assert rows[1]["x"] == ""


@pytest.mark.parametrize("size", [0, 1, 40, 41, 1000])
def test_the_middle_of_a_long_table_is_left_out(size):
    table = Table([Column(np.arange(size), "i", "i")])
    shown = re.findall(r"^ *(\d+)$", table.to_text(), re.MULTILINE)
    assert shown == re.findall(r"<td>(\d+)</td>", table.to_html())
    expected = [*range(size)] if size <= 40 else [*range(20), *range(size - 20, size)]
    assert shown == [str(i) for i in expected]
    left_out = f"... {size - 40} more ..."
    assert (left_out in table.to_text()) == (left_out in table.to_html()) == (size > 40)
    assert table.to_csv().split() == ["i", *map(str, range(size))]


def test_joined_tables():
    parts = {name: Table([Column(np.array([0.1, i]), "x")]) for i, name in enumerate("ab")}
    assert joined("guide", parts).to_csv() == "guide,x\na,0.1\na,0.0\nb,0.1\nb,1.0\n"


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_of_pandas_stay_times(zone):
    """A Timestamp or a Timedelta is one in every frame, as a datetime is."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    times = [pandas.Timestamp(f"2025-01-0{day} 10:30", tz=zone) for day in (3, 1)]
    for values in (times, [x - times[1] for x in times], [x.to_pydatetime() for x in times]):
        table = Table([Column(values, "label")])
        assert table.to_pandas()["label"].dtype.kind in "mM"
        assert table.to_pandas()["label"].tolist() == values
        assert table.to_polars()["label"].dtype.is_temporal()
        assert table.to_polars()["label"].to_list() == values
        kind = pyarrow.table(table).schema[0].type
        assert pyarrow.types.is_temporal(kind)
    assert polars.DataFrame(table).equals(table.to_polars())
