"""`elbo_ref._format.result`: every result is shown alike, and leaves as the same table.

`RESULTS` has one of each kind that the package returns; a class of `Result` without one is a
failure. Words of `print` and of the notebook are compared as sets, tables cell by cell. Frames are
held against the CSV, which `test_table` reads back bit by bit.
"""

import csv
import datetime
import html
import io
import re
import sys
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref._format import frames
from elbo_ref._format.result import Result, Rows, Shown, Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.extras import PACKAGES, need
from elbo_ref.counts.levels import levelled
from elbo_ref.diagnostics.importance import ParetoK
from elbo_ref.estimates.maxima import maxima_by
from elbo_ref.recording import replay  # noqa: F401  (brings every class of a result)

COUNTS = er.Counts.grouped([3, 0, 1, 4], [10, 4, 5, 9], ["<north>", "south", "east", "a & b"])
LABELS = {
    "int": [3, 1, 2],
    "str": ["b", "", "a\n"],
    "bool": [True, False, "neither"],
    "mixed": ["1", 1, 2.5],
    "float": [0.5, 1.5, -2.0],
    "wide": [2**80, 1, 2],
    "numpy": [np.int32(4), np.int32(7), np.int32(5)],
    "day": [datetime.date(2020, 1, day) for day in (3, 1, 2)],
    "datetime64": list(np.array(["2020-01-03", "2020-01-01", "2020-01-02"], "datetime64[D]")),
    "pair": [("b", 1), ("a", 1), ("a", 2)],
    "uneven": [("b", 1), ("a",), ()],
    "object": [frozenset({1}), frozenset(), frozenset({2})],
}


def leveled(counts):
    """Counts with a level for each entry."""
    return levelled(counts, "arm", ["<a>", "b", "<a>", "b"])


def all_results():
    run = er.maximize_elbo(COUNTS, loss="exact", num_steps=3)
    maximum = er.maximize_evidence(er.Counts([3, 4, 9], 10))
    store = {"a0": 1.0, "b0": 1.0, "a": 4.0, "b": 8.0}
    roles = {"prior.concentration1": "a0", "prior.concentration0": "b0"}
    roles |= {"guide.concentration1": "a", "guide.concentration0": "b"}
    one = er.Counts(3, 10)
    by = ["<a>", "b", "<a>", "b"]
    apart = er.estimate(er.Counts([3, 4, 9, 1], 10), er.Beta(2.0, 3.0), by=by)
    return {
        "Table": Table(
            [Column(["<b>", "c"], "k", "key"), Column([0.5, None], "x", "value")], "<i>"
        ),
        "PosteriorTable": run.posterior_table(),
        "Counts": leveled(COUNTS),
        "Estimates": er.estimate(COUNTS),
        "EstimateTable": er.estimate_table(one, er.Beta(2.0, 3.0)),
        "ExpectedCounts": er.expected_counts(maximum),
        "EvidenceMaxima": maxima_by(COUNTS, ["<a>", "b", "<a>", "b"]),
        "EvidenceMaximum": maximum,
        "limit": er.maximize_evidence(one),
        "ConfidenceRegion": maximum.confidence_interval("concentration"),
        "TestResult": er.likelihood_ratio_test(COUNTS),
        "Verdict": er.cross_check(one, store, names=roles, evaluations=[-2.3, -2.3]),
        "Run": run,
        "Diagnosis": er.diagnose(run),
        "Difference": apart.difference(0, 1),
        "Prediction": apart.predict(3, 0),
        "GradientVariance": er.gradient_variance(er.Beta(2.0, 3.0), er.Beta(1.0, 1.0), one),
        "ParetoK": ParetoK(("<a>", "b"), np.array([0.5, -np.inf]), np.array([0.6, -np.inf])),
        "PriorParameter": apart.rho["<a>"],
        "PriorParameters": apart.prior_parameters["b"],
        "Priors": apart.prior_parameters,
        "priors of one kind": apart.prior_mean,
    }


RESULTS = all_results()
TABLES = {name: x for name, x in RESULTS.items() if isinstance(x, Rows)}


def classes(kind):
    return {kind} | {x for sub in kind.__subclasses__() for x in classes(sub)}


def test_every_kind_is_here():
    bases = {Shown, Rows, Result, Tabular}
    assert classes(Shown) - bases == {type(x) for x in RESULTS.values()}


@pytest.mark.parametrize("name", RESULTS)
def test_a_notebook_shows_what_print_shows(name):
    result = RESULTS[name]
    text, page = str(result), result._repr_html_()
    assert "<north>" not in page and "<i>" not in page
    shown = html.unescape(re.sub(r"</?[a-z]+[^>]*>", " ", page))

    def words(text):
        return set(re.findall(r"[^\s;:.,()]+", text))

    left_out = words(text) - words(shown)
    rows_by_number = {"1", "2", "3", "4"}
    assert not left_out - rows_by_number, (left_out, text, page)
    assert words(shown) - words(text) <= {"#", "details", "why"}


@pytest.mark.parametrize("name", TABLES)
def test_length_rows_and_labels_agree_with_the_csv(name):
    result = TABLES[name]
    table = result.table()
    rows = list(csv.reader(io.StringIO(table.to_csv(), newline="")))
    assert result.to_csv() == table.to_csv() and len(rows) == 1 + len(table)
    names = [column.name for column in table.columns if column.name]
    assert rows[0] == names == list(next(iter(table))._fields)
    for row, texts in zip(table, rows[1:], strict=True):
        assert ["" if x is None else str(x) for x in row] == texts
        assert table[row[0] if table.key == 1 else row[: table.key]] == row
    if not isinstance(result, er.ConfidenceRegion):  # the pair of its ends
        assert len(result) == len(table) == len(list(result))
    with pytest.raises(KeyError, match="no row"):
        table["no such label"]


@pytest.mark.parametrize("name", TABLES)
def test_frames_hold_the_table(name):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    table = TABLES[name].table()
    wanted = [tuple(map(str, row)) for row in table]
    of_pandas = TABLES[name].to_pandas().astype(object)
    of_pandas = of_pandas.where(pandas.notna(of_pandas), None)
    of_polars = TABLES[name].to_polars()
    of_arrow = pyarrow.RecordBatchReader.from_stream(TABLES[name]).read_all()
    assert pyarrow.table(TABLES[name]) == of_arrow
    assert polars.DataFrame(TABLES[name]).equals(of_polars)
    if hasattr(pandas.DataFrame, "from_arrow"):
        taken = pandas.DataFrame.from_arrow(TABLES[name])
        assert pyarrow.Table.from_pandas(taken).to_pylist() == of_arrow.to_pylist()
    assert list(of_pandas) == of_polars.columns == of_arrow.column_names
    each = of_pandas.itertuples(index=False, name=None), of_polars.rows()
    for rows in (*each, zip(*of_arrow.to_pydict().values(), strict=True)):
        assert [tuple(map(str, row)) for row in rows] == wanted
    assert polars.DataFrame(table).equals(of_polars)


@pytest.mark.parametrize("name", ["Estimates", "Priors", "Verdict"])
def test_polars_alone_makes_the_stream(name, monkeypatch):
    polars = pytest.importorskip("polars")
    wanted = TABLES[name].to_polars()
    monkeypatch.setattr(frames, "find_spec", {"pyarrow": None, "polars": polars.__spec__}.get)
    monkeypatch.setattr(frames, "need", lambda module, _: {"polars": polars}[module])
    assert polars.DataFrame(TABLES[name]).equals(wanted)


def test_a_csv_is_written_to_a_path(tmp_path):
    table = TABLES["Estimates"]
    text = table.to_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == text.encode() == table.to_csv().encode()


@pytest.mark.parametrize("name", TABLES)
def test_duckdb_reads_a_result_where_it_stands(name):
    duckdb = pytest.importorskip("duckdb")
    result = TABLES[name]
    found = duckdb.sql("SELECT * FROM result")
    assert found.columns == list(next(iter(result.table()))._fields)
    assert [tuple(map(str, row)) for row in found.fetchall()] == [
        tuple(map(str, row)) for row in result.table()
    ]


@pytest.mark.parametrize("kind", LABELS)
def test_labels_keep_their_types(kind):
    pytest.importorskip("pandas"), pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    labels = LABELS[kind]
    table = er.posterior_table(
        er.Beta(2.0, 8.0), er.Counts.from_columns([3, 0, 1], [10, 4, 5], labels=labels)
    )
    for i, (row, label) in enumerate(zip(table, labels, strict=True)):
        assert row.label is label and table[label] == row
        assert row.successes == [3, 0, 1][i] and type(row.mean) is float
    of_pandas, of_polars = table.to_pandas(), table.to_polars()
    if kind == "pair":
        assert list(of_pandas)[:2] == of_polars.columns[:2] == ["label_0", "label_1"]
        assert of_pandas["label_1"].dtype.kind == "i" and of_polars["label_1"].dtype.is_integer()
        assert list(zip(of_polars["label_0"], of_polars["label_1"], strict=True)) == labels
        return
    assert of_pandas["label"].tolist() == labels
    if kind in ("bool", "mixed", "wide", "uneven", "object"):
        assert of_polars["label"].to_list() == list(map(str, labels))
    else:
        assert of_polars["label"].to_list() == [getattr(x, "item", lambda x=x: x)() for x in labels]


def test_whole_numbers_stay_whole_beside_what_does_not_exist():
    pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = Table([Column([1, None], "i"), Column([True, None], "b"), Column([0.5, None], "x")])
    frame = table.to_pandas()
    assert [str(x) for x in frame.dtypes] == ["Int64", "boolean", "float64"]
    assert table.to_polars().rows() == [(1, True, 0.5), (None, None, None)]


class Watched(Sequence):
    """Values that count how often one is asked for."""

    def __init__(self, size):
        self.size, self.asked = size, 0

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        self.asked += 1
        return i


def test_a_long_table_costs_its_lines():
    watched = Watched(10**9)
    table = Table([Column(watched, "i", "i")])
    assert "999999960 more" in str(table) and "999999960 more" in table._repr_html_()
    assert watched.asked == 2 * 40


@pytest.mark.parametrize("size", [10**2, 10**5])
def test_printing_a_posterior_takes_the_memory_of_its_lines(size):
    k = np.arange(size) % 40
    table = er.posterior_table(er.Beta(2.0, 8.0), er.Counts(k, 40, multiplicity=1 + k % 2))
    tracemalloc.start()
    text, page = str(table), table._repr_html_()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text.splitlines()) == 43 and page.count("<tr>") == 42
    assert peak < 200_000


@pytest.mark.parametrize("method", ["to_pandas", "to_polars", "__arrow_c_stream__"])
def test_a_missing_package_is_named_with_a_command_for_a_clone(method, monkeypatch):
    for module in PACKAGES:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(frames, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"in a clone pip install '\.\[(\w+)\]'$"):
        getattr(RESULTS["Table"], method)()


def test_the_extras_that_errors_name_are_in_setup():
    import configparser
    from pathlib import Path

    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    extras = config["options.extras_require"]
    for package, extra in PACKAGES.values():
        assert package in re.split(r"[>=\s]+", extras[extra]), (package, extra)
    assert need("numpy", "this") is np
