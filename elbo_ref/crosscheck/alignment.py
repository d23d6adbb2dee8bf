"""Losses beside the parameters that they belong to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.distribution import expected_by_latent
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.io.parameters import Parameters
from elbo_ref.svi.optimizers import Adam, ClippedAdam

_MOST = 1e100
"""No loss of any model in float64 is larger, in nats."""
_EVALUATION = "evaluation"
_FEWEST = 3
"""Losses below which a history recorded after each step cannot be told from one before it."""
_LATE, _MOVED = 5, 3.0
"""Last losses without noise, and how much more than between these a step may change the next."""
USUAL_RATE = 0.1
"""Adam's learning rate where the caller does not give one: the forum question's."""


class Losses(NamedTuple):
    """N losses and the nats by which each may be off, beside its own distribution.

    Attributes
    ----------
    values : ndarray of shape (N,)
    rounding : ndarray of shape (N,)
        Of the numbers as they are written down.
    moved : ndarray of shape (N,) or float
        By which steps may have changed the loss itself, before any factor.
    """

    values: FloatArray
    rounding: FloatArray
    moved: FloatArray | float = 0.0

    def allowance(self, factor: float) -> FloatArray:
        """Nats by which each may be off if losses are multiplied by a factor."""
        return np.asarray(self.rounding + abs(factor) * self.moved)

    def at(self, rows: NDArray[np.generic]) -> Losses:
        """Choose some of them."""
        moved = np.broadcast_to(self.moved, self.values.shape)
        return Losses(self.values[rows], self.rounding[rows], moved[rows])


class AlignedLosses(NamedTuple):
    """Losses and a model with a column of parameters for each.

    Attributes
    ----------
    model : LossModel
    losses : Losses
    kind : str
        ``"losses"`` or ``"evaluations"``.
    labels : tuple of str
        A name for each loss.
    paired : int
        Number of losses of a history with an entry each, which may be of after the step.
    """

    model: LossModel
    losses: Losses
    kind: str
    labels: tuple[str, ...]
    paired: int

    @property
    def of_evaluations(self) -> NDArray[np.bool_]:
        """True for each loss that is an evaluation."""
        return np.array([label.startswith(_EVALUATION) for label in self.labels])

    def part(self, rows: NDArray[np.bool_]) -> AlignedLosses | None:
        """Take some of the losses; None if there are none."""
        if not rows.any():
            return None
        labels = tuple(label for label, row in zip(self.labels, rows, strict=True) if row)
        kind = "evaluations" if self.of_evaluations[rows].all() else "losses"
        losses = self.losses.at(rows)
        return AlignedLosses(self.model.at(np.flatnonzero(rows)), losses, kind, labels, 0)

    def some(self, number: int) -> AlignedLosses:
        """Take so many of the losses, evenly spread."""
        rows = evenly(self.losses.values.size, number)
        losses = self.losses.at(rows)
        labels = tuple(self.labels[row] for row in rows)
        return AlignedLosses(self.model.at(rows), losses, self.kind, labels, 0)

    def one_later(self) -> AlignedLosses | None:
        """Align as of a history recorded after each step; None if it cannot have been."""
        if self.paired < _FEWEST:
            return None
        kept = np.arange(1, len(self.labels))
        columns = np.where(kept < self.paired, kept - 1, kept)
        model, losses = self.model.at(columns), self.losses.at(kept)
        return AlignedLosses(model, losses, self.kind, self.labels[1:], 0)


def evenly(size: int, most: int) -> NDArray[np.intp]:
    """Numbers of at most so many of `size` things, evenly spread."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.intp))


def align(
    model: LossModel,
    losses: FloatArray,
    evaluations: FloatArray,
    optimizer: Adam | ClippedAdam | None,
) -> AlignedLosses | None:
    """Pair each loss with a column of the model's parameters; None if none can be paired.

    With one set of parameters only the last loss is paired, with an allowance for the step that the
    optimizer has made since; evaluations are at the last set.
    """
    steps, size = model.prior.shape[1], losses.size
    labels = [f"loss of step {t}" for t in range(size)]
    moved = 0.0
    if size and steps == 1:
        moved = _change_in_a_step(model, optimizer)
        drawn = model.loss.random and not model.guide.is_point
        if not drawn or model.guide.origin == "posterior":
            moved = min(moved, _MOVED * _changed_of_late(losses))
        losses, labels = losses[-1:], labels[-1:]
        if moved > _MOST:  # nothing can be said of it
            losses, labels, moved, size = losses[:0], labels[:0], 0.0, 0
    elif size not in (0, steps, steps - 1):
        raise ValueError(
            f"there are {size} losses and {steps} sets of parameters: a history has one for "
            "each step, before it, and may have the last one after it"
        )
    values = np.concatenate([losses, evaluations])
    if not values.size:
        return None
    usual = np.abs(values) <= _MOST
    if not usual.all():
        where = int(np.argmin(usual))
        rule = f"beyond {_MOST:g}" if np.isfinite(values[where]) else "not finite"
        raise ValueError(f"loss {where} is {values[where]}: leave out what is {rule}")
    columns = [*range(losses.size), *[steps - 1] * evaluations.size]
    sizes = (losses.size, evaluations.size)
    rounding = np.repeat((resolution(losses), resolution(evaluations)), sizes)
    return AlignedLosses(
        model.at(np.array(columns, np.intp)),
        Losses(values, rounding, np.repeat((moved, 0.0), sizes)),
        "losses" if size else "evaluations",
        (*labels, *(f"{_EVALUATION} {t}" for t in range(evaluations.size))),
        size if size == steps else 0,
    )


def _changed_of_late(losses: FloatArray) -> float:
    """Largest change between the last losses; infinite where there are too few."""
    late = np.abs(np.diff(losses[-_LATE:]))
    return float(late.max()) if late.size == _LATE - 1 else np.inf


def resolution(values: FloatArray) -> float:
    """Half of the last decimal that was printed; 0 if all were.

    Examples
    --------
    >>> resolution(np.array([1.25, 3.5])), resolution(np.array([1 / 3]))
    (0.005, 0.0)
    """
    for decimals in range(1, 13):
        if values.size and np.array_equal(np.round(values, decimals), values):
            return 0.5 * 10.0**-decimals
    return 0.0


def computed_in(given: Parameters, *numbers: FloatArray) -> str:
    """``"float32"`` if a parameter is, or could be, or every loss could; ``"float64"`` otherwise.

    The mean of particles that were computed one by one is not a number of their type; parameters
    are, also where they were written down as plain numbers.
    """
    if "float32" in given.dtypes.values():
        return "float32"
    plain = [values.ravel() for name, values in given.values.items() if not given.dtypes.get(name)]
    of_float32 = _of_float32(np.concatenate(numbers)) or _of_float32(np.concatenate([*plain, []]))
    return "float32" if of_float32 else "float64"


def _of_float32(values: FloatArray) -> bool:
    """Return True if values, not round ones, are all numbers of float32."""
    values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):  # what is infinite there is not of float32
        short = np.float32(values).astype(np.float64) == values
    return values.size >= 2 and bool(short.all()) and resolution(values) == 0


def _change_in_a_step(model: LossModel, optimizer: Adam | ClippedAdam | None) -> float:
    """Nats by which a step can change the expected loss, each latent for itself.

    Infinite for a learning rate that takes a parameter beyond the numbers of a float.
    """
    rate = 1.5 * (USUAL_RATE if optimizer is None else optimizer.lr)
    weights, guide = model.counts.multiplicity, model.guide

    def each(moved: LossModel) -> FloatArray:
        return np.asarray(expected_by_latent(LinearForm.of(moved))[0])

    here, total = each(model), 0.0
    with np.errstate(all="ignore"):
        for shift in (rate, -rate):
            for row in range(len(model.prior)):
                prior = model.prior.copy()
                prior[row] *= np.exp(shift)
                total += float(np.abs((each(model._replace(prior=prior)) - here) @ weights)) / 2
            for row in range(len(guide.parameter_names)):
                free = guide.unconstrain(model.guide_parameters)
                free[row] += shift
                change = each(model._replace(guide_parameters=guide.constrain(free))) - here
                summed = change @ weights if guide.shared else np.abs(change) @ weights
                total += float(np.abs(summed)) / 2
    return total if np.isfinite(total) else np.inf
