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
from elbo_ref.counts.engines import identifier, keys, kind_of, numbered, renumbered, same_name
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
    there = [same_name(found, name, names) for name in ADDED]
    if taken := [name for name in there if name is not None]:
        raise ValueError(f"frame has the column {taken[0]!r} already: rename it")
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
    return _joined(nw, found, small, columns.counted, index)


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


def _joined(nw: Any, frame: Any, small: Any, counted: dict[str, str], index: Any) -> Any:
    """Join a small table, of columns by role, to a frame, in the frame's engine."""
    kind, names = kind_of(frame), frame.collect_schema().names()
    if kind == "duckdb":
        return _joined_in_duckdb(frame.to_native(), small.to_native(), counted)
    if kind == "pyspark":
        return _joined_in_spark(frame, small, counted)
    new = {unused(f"elbo_ref_{role}", names): name for role, name in counted.items()}
    small = small.rename(dict(zip(counted, new, strict=True)))
    keyed, on = frame.with_columns(*keys(frame, new)), list(new)
    if isinstance(frame, nw.DataFrame):
        place = unused("elbo_ref_row", names)
        rows = keyed.with_row_index(place).join(small, on=on, how="left")
        joined = rows.sort(place).drop(place, *on).to_native()
        return joined if index is None else joined.set_axis(index)
    lazy = nw.from_native(_LAZY[kind](small))
    return keyed.join(lazy, on=on, how="left").select(*names, *ADDED).to_native()


def _joined_in_duckdb(
    relation: Any,
    elbo_ref_small: Any,  # noqa: ARG001
    counted: dict[str, str],
) -> Any:
    """Join in the connection of the relation, which sees the table by the name of this argument."""
    name, small = "elbo_ref_frame", "elbo_ref_small"
    pairs = " AND ".join(
        f"{name}.{identifier(key)} = {small}.{role}" for role, key in counted.items()
    )
    added = ", ".join(f"{small}.{column}" for column in ADDED)
    query = f"SELECT {name}.*, {added} FROM {name} LEFT JOIN {small} ON {pairs}"
    return relation.query(name, query)


def _joined_in_spark(frame: Any, small: Any, counted: dict[str, str]) -> Any:
    """Join by the places of the columns: a name that is none of Spark's then does no harm."""
    types, native = import_module("pyspark.sql.types"), frame.to_native()
    names, double = native.columns, types.DoubleType()
    fields = [
        types.StructField(role, native.schema.fields[names.index(name)].dataType)
        for role, name in counted.items()
    ]
    schema = types.StructType([*fields, *(types.StructField(name, double) for name in ADDED)])
    made = native.sparkSession.createDataFrame(small.rows(), schema)
    rows = renumbered(frame).to_native()
    places = {role: rows[numbered(names.index(name))] for role, name in counted.items()}
    joined = rows.join(made, [place == made[role] for role, place in places.items()], "left")
    return joined.drop(*counted).toDF(*names, *ADDED)


def _in_dask(small: Any) -> Any:
    return import_module("dask.dataframe").from_pandas(small.to_pandas(), npartitions=1)


def _in_ibis(small: Any) -> Any:
    return import_module("ibis").memtable(small.to_arrow())


def _in_polars(small: Any) -> Any:
    return small.to_native().lazy()


_LAZY: dict[str, Callable[[Any], Any]] = {
    "dask": _in_dask,
    "ibis": _in_ibis,
    "polars": _in_polars,
}
"""The small table as a lazy frame of an engine, by the name narwhals has for it."""
