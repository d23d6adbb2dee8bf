"""The posterior of each row, as columns of the data frame that the counts are from.

The distinct pairs of counts come back from the frame's engine, get their posterior here, and are
joined to the frame there: neither the rows nor what is computed for them pass through this process,
unless the frame is in its memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

from elbo_ref._validation.advice import as_arguments
from elbo_ref._validation.arguments import probability, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.counts.columns import Columns
from elbo_ref.counts.frames import Rows, Tally, distinct_rows, histogram, opened, tallied, unused
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.posterior_table import PosteriorTable, posterior_table
from elbo_ref.estimates.estimate import check_prior, estimate
from elbo_ref.estimates.result import Estimates

ADDED = ("mean", "lower", "upper", "shrinkage")
"""The columns that are added."""


@underflow_is_zero
def with_posterior(
    frame: Any,
    prior: Literal["averaged", "mle"] | Beta = "averaged",
    *,
    successes: str | None = None,
    total_count: str | None = None,
    failures: str | None = None,
    outcome: str | None = None,
    proportion: str | None = None,
    multiplicity: str | None = None,
    prob: float = 0.95,
) -> Any:
    """Put the estimate of each row on a data frame: mean, interval and shrinkage.

    Parameters
    ----------
    frame : data frame
        Of any kind that `Counts.from_frame` takes.
    prior : {"averaged", "mle"} or Beta
        As for `estimate`: averaged over all that these counts allow, that of their highest
        evidence, or a known one, such as other counts gave.
    successes, total_count, failures, outcome, proportion : str, optional
        The columns of counts, one latent each row, as for `Counts.from_frame`; without any, those
        whose names leave no doubt, with a warning that says which.
    multiplicity : str, optional
        A column that says for how many equal rows a row stands, as for `Counts.from_frame`.
    prob : float
        The probability of the equal-tailed intervals, strictly between 0 and 1.

    Returns
    -------
    data frame
        Of the same kind, lazy if that was, with the columns ``mean``, ``lower``, ``upper`` and
        ``shrinkage``, which are missing where a count is. A frame in memory keeps its order (and a
        pandas frame its index); an engine has none.

    Raises
    ------
    TypeError
        If the frame is none, or an argument is of another kind.
    ValueError
        If the columns hold no counts, as `Counts.from_frame` says it, the frame has one of the
        new columns already, or the prior is none of these.

    See Also
    --------
    estimate : The same of counts that are there.
    elbo_ref.Counts.from_frame : The counts alone.

    Notes
    -----
    The distinct pairs (K, N) and how often there is each are fetched, and a table of their
    estimates is joined to the frame in its own engine. Under a Beta the posterior is
    Beta(a0 + K, b0 + N - K) (E2); else see `estimate`.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"ward": ["north", "south"], "k": [3, 0], "n": [10, 40]})
    >>> print(with_posterior(frame, Beta(2.0, 8.0), successes="k", total_count="n").round(3))
        ward  k   n  mean  lower  upper  shrinkage
    0  north  3  10  0.25  0.091  0.456        0.5
    1  south  0  40  0.04  0.005  0.109        0.2
    """
    check_prior(prior)
    nw = import_module("narwhals")
    found = opened(frame)
    names = found.collect_schema().names()
    there = [name for name in ADDED if name in names]
    if there:
        raise ValueError(f"frame has the column {there[0]!r} already: rename it")
    asked = Columns(
        successes, failures, total_count, outcome, proportion, multiplicity=multiplicity
    )
    columns, guess = asked.resolved(names)
    if guess:
        warnings.warn(f"columns known by their names: {as_arguments(guess)}", stacklevel=3)
    tally = tallied(found, columns)
    rows = distinct_rows(tally, Columns(**columns.counted), "drop")
    counts, prob = _weighted(tally, columns, rows), probability("prob", prob)
    table: PosteriorTable | Estimates
    if isinstance(prior, Beta):
        table = posterior_table(prior, counts, prob=prob)
    else:
        table = estimate(counts, prior, level=prob)
    small = rows.table.with_columns(
        *(
            nw.new_series(name, getattr(table, name), backend=rows.table.implementation)
            for name in ADDED
        )
    )
    native = nw.from_native(frame, pass_through=True)
    index = nw.maybe_get_index(native) if isinstance(native, nw.DataFrame) else None
    return _joined(nw, found, small, list(columns.counted.values()), index)


def _weighted(tally: Tally, columns: Columns, rows: Rows) -> Counts:
    """Make counts of distinct rows, by how many rows each stands for."""
    k, n = rows.pair()
    if columns.multiplicity is None:
        return Counts(k, n, rows.times)
    found = histogram(tally, columns, "drop")
    pairs = zip(found.successes.tolist(), found.total_count.tolist(), strict=True)
    times = dict(zip(pairs, found.multiplicity.tolist(), strict=True))
    each = [times.pop(pair, 0) for pair in zip(k.tolist(), n.tolist(), strict=True)]
    return Counts(k, n, each)


def _joined(nw: Any, frame: Any, small: Any, keys: list[str], index: Any) -> Any:
    """Join a small table to a frame, in the frame's engine."""
    kind = str(frame.implementation.value)
    if isinstance(frame, nw.DataFrame):
        place = unused("row", [*frame.columns, *ADDED])
        rows = frame.with_row_index(place).join(small, on=keys, how="left")
        joined = rows.sort(place).drop(place).to_native()
        return joined if index is None else joined.set_axis(index)
    if kind == "duckdb":
        return _joined_in_duckdb(frame.to_native(), small.to_native(), keys)
    lazy = nw.from_native(_LAZY[kind](frame.to_native(), small))
    return frame.join(lazy, on=keys, how="left").to_native()


def _joined_in_duckdb(relation: Any, small: Any, keys: list[str]) -> Any:  # noqa: ARG001
    """Join in the connection of the relation, which sees ``small`` by the name of this variable."""
    name = "elbo_ref_frame"
    pairs = " AND ".join(
        f'{name}."{key}" = small."{key}"' for key in (x.replace('"', '""') for x in keys)
    )
    added = ", ".join(f"small.{column}" for column in ADDED)
    query = f"SELECT {name}.*, {added} FROM {name} LEFT JOIN small ON {pairs}"
    return relation.query(name, query)


def _in_dask(_frame: Any, small: Any) -> Any:
    return import_module("dask.dataframe").from_pandas(small.to_pandas(), npartitions=1)


def _in_ibis(_frame: Any, small: Any) -> Any:
    return import_module("ibis").memtable(small.to_arrow())


def _in_polars(_frame: Any, small: Any) -> Any:
    return small.to_native().lazy()


def _in_spark(frame: Any, small: Any) -> Any:
    types = import_module("pyspark.sql.types")
    double = types.DoubleType()
    fields = [field for field in frame.schema.fields if field.name in small.columns]
    fields = sorted(fields, key=lambda field: small.columns.index(field.name))
    schema = types.StructType([*fields, *(types.StructField(x, double) for x in ADDED)])
    return frame.sparkSession.createDataFrame(small.rows(), schema)


_LAZY: dict[str, Callable[[Any, Any], Any]] = {
    "dask": _in_dask,
    "ibis": _in_ibis,
    "polars": _in_polars,
    "pyspark": _in_spark,
}
"""The small table as a lazy frame of an engine, by the name narwhals has for it."""
