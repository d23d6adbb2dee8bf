"""`elbo_ref.estimates.posterior_frame`: columns of the posterior, in every engine."""

import math

import numpy as np
import pytest

import elbo_ref as er
from engines import EACH, of_pandas, of_polars, of_pyarrow

nw = pytest.importorskip("narwhals")

PRIOR = er.Beta(2.0, 8.0)
COLUMNS = {
    "row": list(range(8)),
    "k": [3, 0, 3, 1, 5, 0, 3, 2],
    "n": [10, 40, 10, 1, 9, 0, 12, 2],
    "f": [7, 40, 7, 0, 4, 0, 9, 0],
}
ADDED = ("mean", "lower", "upper", "shrinkage")


def rows_of(frame):
    """The frame as rows, by the number of the row."""
    found = nw.from_native(frame)
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    return sorted(found.rows(named=True), key=lambda row: row["row"])


@EACH
def test_each_row_has_the_posterior_of_its_counts(engine):
    table = er.posterior_table(PRIOR, er.Counts(COLUMNS["k"], COLUMNS["n"]), prob=0.9)
    for names in (
        {"successes": "k", "total_count": "n"},
        {"successes": "k", "failures": "f"},
        {"failures": "f", "total_count": "n"},
    ):
        columns = {**COLUMNS, "f": [n - k for k, n in zip(COLUMNS["k"], COLUMNS["n"], strict=True)]}
        frame = engine(columns)
        got = er.with_posterior(frame, PRIOR, **names, prob=0.9)
        if engine.__name__ != "of_xarray":
            assert type(got) is type(frame)
        rows = rows_of(got)
        assert [row["row"] for row in rows] == columns["row"]
        for name in ADDED:
            assert [row[name] for row in rows] == getattr(table, name).tolist()


@EACH
@pytest.mark.parametrize("prior", ["averaged", "mle"])
def test_the_prior_comes_from_all_rows(engine, prior):
    """With as many latents as rows: pairs that are there twice count twice."""
    table = er.estimate(er.Counts(COLUMNS["k"], COLUMNS["n"]), prior, level=0.9)
    names = {"successes": "k", "total_count": "n", "prob": 0.9}
    rows = rows_of(er.with_posterior(engine(COLUMNS), prior, **names))
    for name in ADDED:
        assert [row[name] for row in rows] == getattr(table, name).tolist()


@EACH
def test_a_missing_count_has_a_missing_posterior(engine):
    frame = engine({"row": [0, 1, 2], "k": [1.0, None, 1.0], "n": [2.0, 2.0, None]})
    got = rows_of(er.with_posterior(frame, PRIOR, successes="k", total_count="n"))
    assert got[0]["mean"] == 0.25
    for row in got[1:]:
        assert all(row[name] is None or math.isnan(row[name]) for name in ADDED)


def test_pandas_keeps_its_index_and_order():
    frame = of_pandas({"k": [3, 0, 1], "n": [5, 5, 5]}).set_axis(["c", "a", "b"])
    got = er.with_posterior(frame, PRIOR, successes="k", total_count="n")
    assert list(got.index) == ["c", "a", "b"]
    assert got["mean"].tolist() == [5 / 15, 2 / 15, 3 / 15]
    assert list(frame.columns) == ["k", "n"]


@pytest.mark.parametrize("made", [of_polars, of_pyarrow])
def test_frames_in_memory_keep_their_order(made):
    rng = np.random.default_rng(3)
    n = rng.integers(0, 9, 3000)
    columns = {"k": rng.binomial(n, 0.3), "n": n, "id": rng.permutation(3000)}
    got = nw.from_native(er.with_posterior(made(columns), PRIOR, successes="k", total_count="n"))
    assert got["id"].to_list() == columns["id"].tolist()
    assert got["mean"].to_list() == ((2 + columns["k"]) / (10 + n)).tolist()


def test_a_relation_leaves_no_table_behind():
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.execute('CREATE TABLE t AS SELECT 1 AS "a ""k""", 2 AS n, 0 AS small')
    got = er.with_posterior(connection.table("t"), PRIOR, successes='a "k"', total_count="n")
    assert got.fetchall() == [(1, 2, 0, 0.25, *got.fetchall()[0][4:])]
    assert connection.execute("SHOW TABLES").fetchall() == [("t",)]
    assert got.filter("mean > 0.2").shape == (1, 7)


def test_what_is_wrong_is_named():
    frame = of_pyarrow({"k": [1], "n": [2], "mean": [0.5]})
    with pytest.raises(ValueError, match="'mean' already"):
        er.with_posterior(frame, PRIOR, successes="k", total_count="n")
    frame = of_pyarrow({"k": [3], "n": [2]})
    with pytest.raises(ValueError, match='column "k" exceeds "n"'):
        er.with_posterior(frame, PRIOR, successes="k", total_count="n")
    with pytest.raises(ValueError, match="one Beta, not an array of shape"):
        er.with_posterior(frame, er.Beta([1.0, 2.0], 1.0), successes="k", total_count="n")
    with pytest.raises(TypeError, match=r"prior must be 'averaged', 'mle' or a Beta, .* not int"):
        er.with_posterior(frame, 3, successes="k", total_count="n")
    with pytest.raises(TypeError, match="frame"):
        er.with_posterior([1], PRIOR, successes="k", total_count="n")


@EACH
@pytest.mark.parametrize("named", [None, "multiplicity"])
def test_a_row_counts_as_often_as_it_says(engine, named):
    """As in `Counts.from_frame`; rows of one pair with several multiplicities are added up."""
    columns = {
        "row": [0, 1, 2, 3],
        "k": [1, 2, 1, 0],
        "n": [3, 4, 3, 9],
        "multiplicity": [50, 1, 30, 0],
    }
    counts = er.Counts([1, 2, 0], [3, 4, 9], [80, 1, 0])
    want = dict(zip([1, 2, 0], er.estimate(counts).mean, strict=True))
    found = er.with_posterior(engine(columns), successes="k", total_count="n", multiplicity=named)
    got = er.Counts.from_frame(engine(columns), successes="k", total_count="n")
    assert got.num_latents == 81
    rows = rows_of(found)
    assert len(rows) == 4
    for row in rows:
        assert row["mean"] == pytest.approx(want[row["k"]], rel=1e-12)


def test_the_rows_are_read_once_for_the_estimates():
    """One group_by in the engine, whatever columns there are; the join reads them again."""
    polars = pytest.importorskip("polars")
    read = []

    def noted(frame):
        read.append(frame.height)
        return frame

    rows = {"k": [1, 2, 1, 0], "n": [3, 4, 3, 9], "w": [50, 1, 30, None]}
    frame = polars.DataFrame(rows).lazy().map_batches(noted, schema=polars.DataFrame(rows).schema)
    names = {"successes": "k", "total_count": "n", "multiplicity": "w"}
    found = er.with_posterior(frame, **names)
    assert read == [4]
    table = er.estimate(er.Counts([1, 2, 0], [3, 4, 9], [80, 1, 0]))
    assert found.sort("k").collect()["mean"].to_list()[0] == pytest.approx(table.mean[2])


def test_other_layouts_and_names_that_are_known():
    """Proportions and outcomes, as refusals advise; what is known by its name is said."""
    frame = of_pandas({"rate": [0.3, 0.0], "n": [10, 4]})
    got = er.with_posterior(frame, PRIOR, proportion="rate", total_count="n")
    assert got["mean"].tolist() == [5 / 20, 2 / 14]
    got = er.with_posterior(of_pandas({"hit": [True, False]}), PRIOR, outcome="hit")
    assert got["mean"].tolist() == [3 / 11, 2 / 11]
    with pytest.warns(UserWarning, match='known by their names: successes="hits", total_count="at'):
        er.with_posterior(of_pandas({"hits": [3], "at_bats": [10]}), PRIOR)
