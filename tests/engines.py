"""Data frames of every library that is installed, made of the same columns.

`ELBO_REF_REQUIRE_ENGINES`, a list of names separated by commas, lets a missing one fail.
"""

import functools
import importlib
import os

import numpy as np
import pytest

REQUIRED = os.environ.get("ELBO_REF_REQUIRE_ENGINES", "").split(",")


def library(name):
    """Import a library, or skip the test."""
    if name.split(".")[0] in REQUIRED:
        return importlib.import_module(name)
    return pytest.importorskip(name)


def of_pandas(columns):
    return library("pandas").DataFrame(columns)


def of_nullable_pandas(columns):
    with np.errstate(invalid="ignore"):  # pandas 2 tries infinity as a whole number
        return of_pandas(columns).convert_dtypes()


def of_pandas_arrow(columns):
    library("pyarrow")
    return of_pandas(columns).convert_dtypes(dtype_backend="pyarrow")


def of_polars(columns):
    return library("polars").DataFrame(columns, strict=False)


def of_lazy_polars(columns):
    return of_polars(columns).lazy()


def of_pyarrow(columns):
    return library("pyarrow").table(columns)


def of_duckdb(columns):
    table = of_pyarrow(columns)
    connection = library("duckdb").connect()
    return connection.from_arrow(table)


def of_ibis(columns):
    return library("ibis").memtable(of_pyarrow(columns))


def of_xarray(columns):
    return library("xarray").Dataset.from_dataframe(of_pandas(columns))


def of_dask(columns):
    return library("dask.dataframe").from_pandas(of_nullable_pandas(columns), npartitions=2)


@functools.cache
def dask_client():
    """A cluster of two processes, for as long as the tests run."""
    distributed = library("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    return distributed.Client(cluster)


def of_dask_cluster(columns):
    dask_client()
    return of_dask(columns)


@functools.cache
def spark_session():
    """Spark with two cores of this machine, for as long as the tests run."""
    builder = library("pyspark.sql").SparkSession.builder.master("local[2]")
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def of_spark(columns):
    rows = list(zip(*columns.values(), strict=True))
    return spark_session().createDataFrame(rows, list(columns))


FAST = {
    "pandas": of_pandas,
    "pandas, nullable": of_nullable_pandas,
    "pandas, Arrow": of_pandas_arrow,
    "polars": of_polars,
    "polars, lazy": of_lazy_polars,
    "pyarrow": of_pyarrow,
    "duckdb": of_duckdb,
}
SLOW = {
    "xarray": of_xarray,
    "ibis": of_ibis,
    "dask": of_dask,
    "dask, cluster": of_dask_cluster,
    "spark": of_spark,
}
ENGINES = FAST | SLOW
EACH = pytest.mark.parametrize(
    "engine",
    [*FAST.values(), *(pytest.param(x, marks=pytest.mark.thorough) for x in SLOW.values())],
    ids=ENGINES,
)
