"""`elbo_ref.counts.engines`: any name of a column, in every engine, and zeros of either sign."""

import math

import pytest

import elbo_ref as er
from elbo_ref.counts.engines import identifier
from engines import EACH, ENGINES, library, of_pandas

nw = pytest.importorskip("narwhals")

ODD = ["n.total", 'a"b', "a`b", "with space", "select", "a'b", "rows", "successes", "k.", "ä{}%s"]
CLASHING = ["n_right", "k_right", "row", "small", "elbo_ref_small", "elbo_ref_frame", "column_0"]
PRIOR = er.Beta(2.0, 8.0)


def collected(frame):
    found = nw.from_native(frame)
    return found.collect() if isinstance(found, nw.LazyFrame) else found


def with_names(engine, names):
    """Counts under three names, with columns beside them that nothing is asked of."""
    k, n, g = names
    beside = {name: [5, 6, 7] for name in [*ODD, *CLASHING] if name not in names}
    return engine({**beside, k: [3, 0, 1], n: [10, 4, 5], g: ["a", "b", "a"]})


@EACH
@pytest.mark.parametrize("role", range(3))
def test_a_column_may_have_any_name(engine, role):
    """The role of each odd name is taken in turn, so that all are asked for in every engine."""
    for start in range(role, len([*ODD, *CLASHING]), 3):
        names = ["k", "n", "g"]
        names[role] = [*ODD, *CLASHING][start]
        k, n, g = names
        frame = with_names(engine, names)
        got = er.Counts.from_frame(frame, successes=k, total_count=n, group=g)
        assert (got.labels, got.successes.tolist()) == (("a", "b"), [4, 0]), names
        assert got.total_count.tolist() == [15, 4]


@EACH
def test_a_posterior_beside_any_name(engine):
    rows = [(3, 10), (0, 4), (1, 5)]
    wanted = {k: (2 + k) / (10 + n) for k, n in rows}
    for names in (
        ["k", "n", "g"],
        ["n.total", 'a"b', "a`b"],
        ["with space", "select", "g"],
        ["successes", "n_right", "row"],
        ["elbo_ref_successes", "column_0", "n"],
        ["total_count", "successes", "rows"],
    ):
        frame = with_names(engine, names)
        found = er.with_posterior(frame, PRIOR, successes=names[0], total_count=names[1])
        before = nw.from_native(frame.to_dataframe() if "xarray" in engine.__name__ else frame)
        columns = before.collect_schema().names()
        got = collected(found)
        added = ["mean", "lower", "upper", "shrinkage"]
        assert [x for x in got.columns if x != "index"] == [*columns, *added]
        means = dict(zip(got[names[0]].to_list(), got["mean"].to_list(), strict=True))
        assert means == pytest.approx(wanted), names
        assert got["with space"].to_list() != [] and len(got) == 3


@EACH
def test_a_column_without_a_name(engine):
    """DuckDB, and with it Ibis, has none: there it is another column, or nobody's."""
    if engine.__name__ in ("of_duckdb", "of_ibis"):
        pytest.skip("DuckDB has no such column")
    frame = engine({"": [3, 0], "n": [10, 4]})
    got = er.Counts.from_frame(frame, successes="", total_count="n")
    assert got.successes.tolist() == [0, 3]
    found = collected(er.with_posterior(frame, PRIOR, successes="", total_count="n"))
    assert sorted(found["mean"].to_list()) == [2 / 14, 5 / 20]
    frame = engine({"": ["a", "b"], "k": [3, 0], "n": [10, 4]})
    assert er.Counts.from_frame(frame, successes="k", total_count="n").successes.tolist() == [0, 3]
    found = collected(er.with_posterior(frame, PRIOR, successes="k", total_count="n"))
    assert sorted(found["mean"].to_list()) == [2 / 14, 5 / 20]


@pytest.mark.parametrize("name", ODD)
def test_a_parquet_file_may_have_any_name(name, tmp_path):
    pa, parquet = library("pyarrow"), library("pyarrow.parquet")
    library("duckdb")
    path = tmp_path / "counts.parquet"
    parquet.write_table(pa.table({"k": [3, 0], name: [10, 4]}), path)
    got = er.read_counts(path, successes="k", total_count=name)
    assert got.total_count.tolist() == [4, 10]
    parquet.write_table(pa.table({name: ["a", "b"], "x": [3, 0], "y": [10, 4]}), path)
    got = er.read_counts(path, successes="x", total_count="y", group=name)
    assert got.labels == ("a", "b")


def test_a_name_that_an_engine_takes_for_a_new_one_is_refused():
    frame = ENGINES["duckdb"]({"k": [3], "n": [10], "Mean": [1.0]})
    with pytest.raises(ValueError, match="column 'Mean' already: rename it"):
        er.with_posterior(frame, PRIOR, successes="k", total_count="n")
    frame = ENGINES["pandas"]({"k": [3], "n": [10], "Mean": [1.0]})
    assert er.with_posterior(frame, PRIOR, successes="k", total_count="n")["mean"].item() == 0.25


def test_a_table_of_the_connection_is_not_taken_for_the_estimates():
    connection = library("duckdb").connect()
    connection.execute("CREATE TABLE small AS SELECT 3 successes, 10 total_count, 9.0 mean")
    frame = connection.sql("SELECT 3 AS k, 10 AS n")
    got = er.with_posterior(frame, PRIOR, successes="k", total_count="n")
    assert got.fetchall()[0][2] == 0.25


@EACH
def test_zeros_of_either_sign_are_one_count(engine):
    zeros = {"k": [3.0, -0.0, 0.0, -0.0], "n": [10.0, 4.0, 4.0, 4.0]}
    frames = [engine(zeros)]
    if engine.__name__ in ("of_pandas", "of_dask", "of_dask_cluster"):
        library("pyarrow")
        kinds = [of_pandas(zeros).astype(x) for x in ("float64", "Float64", "float64[pyarrow]")]
        frames = [engine(frame) for frame in kinds]
        if "dask" in engine.__name__:  # of which the engine of the tests makes whole numbers
            frames = [library("dask.dataframe").from_pandas(x, npartitions=2) for x in kinds]
    for frame in frames:
        got = er.Counts.from_frame(frame, successes="k", total_count="n")
        assert got == er.Counts([0, 3], [4, 10], [3, 1])
        found = collected(er.with_posterior(frame, PRIOR, successes="k", total_count="n"))
        means = [math.nan if x is None else x for x in found["mean"].to_list()]
        assert sorted(means) == [2 / 14] * 3 + [5 / 20]


def test_identifiers_are_quoted():
    assert identifier('a"; DROP TABLE t; --') == '"a""; DROP TABLE t; --"'
