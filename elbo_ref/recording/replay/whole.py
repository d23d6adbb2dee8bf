"""All the latents of a run on minibatches, put together of the batches that it saw.

A batch has the rows and the guide's parameters of some latents. Where a plate, or the rows of a
parameter that a gradient reaches, say which these are, the run's last parameters can be judged on
all the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.expressions import forms_of
from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.rows import Data
from elbo_ref.recording.statement import Statement

_ROUNDING = 1e-5
"""Relative difference of an argument and what a program computes of its parameters in float32."""


def whole_run(
    statement: Statement, data: Data, counts: Counts | None
) -> tuple[Statement, Data] | str:
    """Put the last step together for all latents; or say why that cannot be done.

    Parameters
    ----------
    statement : Statement
        Of a run on minibatches.
    data : Data
        Its rows.
    counts : Counts, optional
        All the data, if they were given: one entry for each latent.
    """
    if statement.num_latents == 1 and counts is not None and len(counts) == 1:
        return statement, Data.of(counts)
    if counts is None:
        if any(x.name in ("observations_missing", "latent_not_in_guide") for x in data.findings):
            return "the rows are drawn anew in every step"
        if data.numbers is None or data.whole is None:
            return "minibatches: which rows they have is not recorded; give the counts"
        counts = _seen_counts(data, data.numbers, data.whole)
        if counts is None:
            return "minibatches: some rows are in none of these; give the counts"
    arguments = dict(statement.arguments)
    for role, argument in arguments.items():
        if role.startswith("guide."):
            wide = _of_all(statement, argument, data.numbers, len(counts))
            if wide is None:
                return f"minibatches: {role} is known of the latents of a batch alone"
            arguments[role] = argument._replace(values=wide)
    return replace(statement, arguments=arguments), Data.of(counts)


def _seen_counts(data: Data, numbers: IntArray, size: int) -> Counts | None:
    """Collect the rows of all batches; None if some latent is in none."""
    wide = np.broadcast_shapes(numbers.shape, data.successes.shape)
    at = np.broadcast_to(numbers, wide)
    k, n = np.full((2, size), -1, np.int64)
    k[at], n[at] = (np.broadcast_to(x, wide).astype(np.int64) for x in data[:2])
    return None if (k < 0).any() else Counts(k, n)


def _of_all(
    statement: Statement, argument: Argument, numbers: IntArray | None, size: int
) -> FloatArray | None:
    """Return the values of an argument for all latents, (T, 1 or size), where they are known."""
    values = argument.values
    if values.shape[1] == 1 and statement.num_latents > 1:
        return np.asarray(values, np.float64)
    known = [statement.recording.constrained[name] for name in argument.sources]
    if numbers is None:
        for all_values in _columns(known[0], size) if len(known) == 1 else ():
            pairs = zip(all_values.tolist(), values.tolist(), strict=True)
            if all({*whole} >= {*part} for whole, part in pairs):
                return all_values.astype(np.float64)
        return None
    for computed in _computed(known, size):
        seen = np.take_along_axis(computed, numbers, axis=1)
        if np.allclose(seen, values, rtol=_ROUNDING, atol=0.0):
            return computed
    return None


def _computed(parameters: Sequence[NDArray[Any]], size: int) -> Iterator[FloatArray]:
    """Yield what may be computed for each latent, (T, size): of a parameter, or mean and total."""
    each: list[list[FloatArray]] = []
    for known in parameters:
        forms = (forms_of(x.astype(np.float64)) for x in _columns(known, size))
        each.append([x for alike in zip(*forms, strict=True) for x in alike])
    if len(each) == 1:
        yield from each[0]
    for x, y in product(*each) if len(each) == 2 else ():
        with np.errstate(all="ignore"):
            found = x * y, (1 - x) * y, x * (1 - y)
        yield from found


def _columns(parameter: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """Yield what a parameter, alone or stacked with others, has for each latent, (T, size)."""
    steps = len(parameter)
    if parameter[0].size == size:
        yield parameter.reshape(steps, size)
    for axis in range(1, parameter.ndim):
        if parameter.shape[axis] == size:
            last = np.moveaxis(parameter, axis, -1).reshape(steps, -1, size)
            yield from last.swapaxes(0, 1)
