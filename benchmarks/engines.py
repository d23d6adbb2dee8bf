"""How long does a histogram of counts take in each engine, and how much beyond its own query?

    python benchmarks/engines.py [ROWS] [ENGINE ...]

A Parquet file of ROWS rows (1e7 by default) with two columns, K of N with N up to 40, is made once
by DuckDB. Each engine runs in a process of its own: in turn the query that somebody would write by
hand there and `Counts.from_frame`, which has to give as much; the best of five of each. The peak of
the memory is that of the process, with the engine's own import in it.
"""

import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(tempfile.gettempdir())
TIMES = 5
ENGINES = ("duckdb", "read_counts", "polars", "pyarrow", "pandas", "dask", "spark")
QUERY = "SELECT k, n, count(*) FROM '{}' GROUP BY k, n"


def made(rows):
    """The file, which is kept for the next time."""
    import duckdb

    path = FOLDER / f"engines_{rows}.parquet"
    if not path.exists():
        n = "(hash(i) % 41)::INTEGER"
        k = f"least({n}, (hash(i + 7) % 1000003 / 1000003.0 * ({n} + 1))::INTEGER)"
        query = f"COPY (SELECT {k} AS k, {n} AS n FROM range({rows}) AS r(i)) TO '{path}'"
        duckdb.connect(config={"memory_limit": "1GB"}).execute(query)
    return path


def duckdb_of(path):
    import duckdb

    connection = duckdb.connect(config={"memory_limit": "300MB"})
    return (
        lambda: connection.sql(QUERY.format(path)).fetchall(),
        lambda: connection.read_parquet(str(path)),
    )


def polars_of(path):
    import polars as pl

    def own():
        return pl.scan_parquet(path).group_by("k", "n").agg(pl.len()).collect().rows()

    return own, lambda: pl.scan_parquet(path)


def pyarrow_of(path):
    from pyarrow import parquet

    def own():
        table = parquet.read_table(path)
        return table.group_by(["k", "n"]).aggregate([([], "count_all")]).to_pylist()

    return own, lambda: parquet.read_table(path)


def pandas_of(path):
    import pandas as pd

    def own():
        return pd.read_parquet(path).groupby(["k", "n"]).size().reset_index().to_numpy()

    return own, lambda: pd.read_parquet(path)


def dask_of(path):
    import warnings

    import dask.dataframe as dd

    warnings.simplefilter("ignore", FutureWarning)

    def own():
        return dd.read_parquet(path).groupby(["k", "n"]).size().compute()

    return own, lambda: dd.read_parquet(path)


def spark_of(path):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()

    def own():
        return session.read.parquet(str(path)).groupBy("k", "n").count().collect()

    return own, lambda: session.read.parquet(str(path))


def seconds(function):
    before = time.perf_counter()
    result = function()
    return time.perf_counter() - before, result


def measured(engine, path):
    """Seconds of the engine's own query, of ours, and the peak of memory in MB."""
    import elbo_ref as er

    names = {"successes": "k", "total_count": "n"}
    if engine == "read_counts":
        own, _ = duckdb_of(path)
        ours = functools.partial(er.read_counts, path, **names)
    else:
        own, frame = globals()[f"{engine}_of"](path)

        def ours():
            return er.Counts.from_frame(frame(), **names)

    times = {"own": [], "ours": []}
    for _ in range(TIMES):  # one after the other, for the machine may be busy
        (theirs, rows), (mine, counts) = seconds(own), seconds(ours)
        times["own"].append(theirs)
        times["ours"].append(mine)
    assert len(rows) == len(counts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {x: min(y) for x, y in times.items()} | {"peak": peak, "latents": counts.num_latents}


def main():
    if "--one" in sys.argv:
        print(json.dumps(measured(sys.argv[2], Path(sys.argv[3]))))
        return
    rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**7
    path = made(rows)
    print(f"{rows:.0e} rows, {path.stat().st_size / 2**20:.0f} MiB of Parquet")
    print("engine       own query   from_frame   ratio   to DuckDB   peak MB")
    base = None
    for engine in sys.argv[2:] or ENGINES:
        command = [sys.executable, __file__, "--one", engine, str(path)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            print(f"{engine:12} {run.stderr.splitlines()[-1][:70]}")
            continue
        found = json.loads(run.stdout.splitlines()[-1])
        assert found["latents"] == rows
        base = base or found["own"]
        own, ours = found["own"], found["ours"]
        print(
            f"{engine:12} {own:8.3f} s   {ours:8.3f} s   {ours / own:5.2f}   {ours / base:9.2f}"
            f"   {found['peak']:7.0f}"
        )


if __name__ == "__main__":
    main()
