"""How long does a histogram of counts take in each engine, and how much beyond its own query?

    python benchmarks/engines.py [ROWS] [ENGINE ...]

A Parquet file of ROWS rows (1e7 by default) with two columns, K of N with N up to 40, is made once
by DuckDB. Each engine runs in a process of its own. In each of five rounds every engine in turn is
timed on the query that somebody would write by hand there and on `Counts.from_frame`, which has to
give as much, so that all of them meet the same other work of the machine; of each the best of five
is printed. The peak of the memory is that of the process, with the engine's own import in it.
"""

import contextlib
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


def timed(engine, path):
    """Answer each line of the standard input by the seconds of the engine's own query, and ours."""
    import elbo_ref as er

    names = {"successes": "k", "total_count": "n"}
    if engine == "read_counts":
        own, _ = duckdb_of(path)
        ours = functools.partial(er.read_counts, path, **names)
    else:
        own, frame = globals()[f"{engine}_of"](path)

        def ours():
            return er.Counts.from_frame(frame(), **names)

    for _ in sys.stdin:
        (theirs, rows), (mine, counts) = seconds(own), seconds(ours)
        assert len(rows) == len(counts)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = {"own": theirs, "ours": mine, "peak": peak, "latents": counts.num_latents}
        print(json.dumps(found), flush=True)


def started(engine, path, stack):
    """Start the process of an engine."""
    command = [sys.executable, __file__, "--one", engine, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, **pipes)
    return stack.enter_context(process)


def answer(process):
    """Time an engine once; None if its process has ended."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write("\n")
        process.stdin.flush()
    line = process.stdout.readline()
    return json.loads(line) if line else None


def main():
    if "--one" in sys.argv:
        timed(sys.argv[2], Path(sys.argv[3]))
        return
    rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**7
    path = made(rows)
    with contextlib.ExitStack() as stack:
        processes = {x: started(x, path, stack) for x in sys.argv[2:] or ENGINES}
        rounds = [{x: answer(p) for x, p in processes.items()} for _ in range(TIMES)]
        for process in processes.values():
            process.stdin.close()
    print(f"{rows:.0e} rows, {path.stat().st_size / 2**20:.0f} MiB of Parquet")
    print("engine       own query   from_frame   ratio   to DuckDB   peak MB")
    base = None
    for engine in processes:
        found = [x[engine] for x in rounds]
        if None in found:
            print(f"{engine:12} ended: python {__file__} --one {engine} {path} says why")
            continue
        assert {x["latents"] for x in found} == {rows}
        own, ours = (min(x[name] for x in found) for name in ("own", "ours"))
        base = base or own
        print(
            f"{engine:12} {own:8.3f} s   {ours:8.3f} s   {ours / own:5.2f}   {ours / base:9.2f}"
            f"   {found[-1]['peak']:7.0f}"
        )


if __name__ == "__main__":
    main()
