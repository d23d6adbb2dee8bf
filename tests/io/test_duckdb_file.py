"""`elbo_ref.io.duckdb_file`: Parquet by DuckDB, which is locked up."""

import io
import sys

import numpy as np
import pytest
from tables import assert_same, refusal

import elbo_ref as er
from elbo_ref.io import duckdb_file
from elbo_ref.io.counts_file import DataError, Layout, read, read_counts

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

NAMES = {"successes": "k", "total_count": "n"}


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    n = rng.integers(0, 6, 500)
    k = rng.binomial(n, 0.3)
    ward = np.array(["a", "b", "ü"])[rng.integers(0, 3, 500)]
    p = np.round(k / np.maximum(n, 1), 2)
    return {"k": k, "n": n, "f": n - k, "p": p, "y": rng.integers(0, 2, 500) == 1, "ward": ward}


def parquet(path, columns):
    from pyarrow import parquet, table

    parquet.write_table(table(columns), path)
    return path


def test_the_same_counts_as_of_the_frame(tmp_path, table):
    from pyarrow import table as frame

    path = parquet(tmp_path / "it's 1.parquet", table)
    data = frame(table)
    rates = {"proportion": "p", "total_count": "n"}
    for names in (NAMES, {"failures": "f", "total_count": "n"}, rates, {"outcome": "y"}):
        assert read_counts(path, **names) == er.Counts.from_frame(data, **names)
        grouped = er.Counts.from_frame(data, **names, group="ward")
        assert read_counts(path, **names, group="ward") == grouped
        assert (
            read_counts(path, **names, shared=True) == er.Counts.from_frame(data, **names).pooled()
        )


@pytest.mark.parametrize("name", ["a*b?.parquet", "counts[1].csv", "-"])
def test_files_that_duckdb_would_take_for_a_pattern_and_open_ones(
    tmp_path, table, name, monkeypatch
):
    path = parquet(tmp_path / name, table)
    data = path.read_bytes()
    wanted = read_counts(path, **NAMES)
    assert wanted.num_latents == 500
    got = read(path, Layout(**NAMES))
    assert (got.source.format, got.source.rows, got.source.dropped) == ("parquet", 500, 0)
    assert read_counts(io.BytesIO(data), **NAMES) == wanted
    assert len(got.source.sha256) == 64


def test_values_are_refused_as_of_a_frame(tmp_path):
    path = parquet(tmp_path / "counts.parquet", {"k": [1.5, 2, None], "n": [2, 2, 2]})
    message = 'column "k" has no value in 1 of 3 rows; add na="drop"'
    assert refusal(path, **NAMES) == message
    message = (
        'column "k" is not a whole number in 1 of 2 rows: 1.5; mend or leave out such rows first'
    )
    assert refusal(path, **NAMES, na="drop") == message
    assert "its columns are" in refusal(path, successes="hits")
    assert "cannot be had of a parquet file" in refusal(path, **NAMES, in_order=True)


def test_a_damaged_file(tmp_path, table):
    path = parquet(tmp_path / "counts.parquet", table)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert refusal(path, **NAMES).startswith("DuckDB cannot read it: ")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_file_that_is_packed_once_more(tmp_path, table, kind):
    import pyarrow

    path = parquet(tmp_path / "counts.parquet", table)
    with pyarrow.CompressedOutputStream(tmp_path / "packed", kind) as file:
        file.write(path.read_bytes())
    assert_same(read_counts(tmp_path / "packed", **NAMES), read_counts(path, **NAMES))


def test_a_text_may_begin_as_parquet_does():
    text = b"PAR1,k,n\n4,3,10\n"
    assert_same(read_counts(io.BytesIO(text), **NAMES), er.Counts(3, 10))


def test_duckdb_is_locked_up(tmp_path, table):
    """It reads the file that it is given, and none of these."""
    path = parquet(tmp_path / "counts.parquet", table)
    other = parquet(tmp_path / "other.parquet", table)
    with duckdb_file.locked_up(duckdb, str(path)) as connection:
        assert connection.read_parquet(str(path)).shape == (500, 6)
        for query in (
            f"SELECT * FROM read_parquet('{other}')",
            f"SELECT * FROM read_parquet('{tmp_path}/*.parquet')",
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM read_parquet('https://example.org/counts.parquet')",
            "INSTALL httpfs",
            "LOAD httpfs",
            f"COPY (SELECT 1) TO '{tmp_path}/new.csv'",
            f"ATTACH '{tmp_path}/new.db'",
            "SET memory_limit = '99GB'",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(query).fetchall()
    assert sorted(x.name for x in tmp_path.iterdir()) == ["counts.parquet", "other.parquet"]


def test_without_duckdb_the_error_names_the_extra(tmp_path, table, monkeypatch):
    path = parquet(tmp_path / "counts.parquet", table)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[duckdb\]'"):
        read_counts(path, **NAMES)


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "counts.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=f"^{path}: DuckDB cannot read it: "):
        read_counts(path)
