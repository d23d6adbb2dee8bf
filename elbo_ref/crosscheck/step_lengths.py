"""Lengths of the steps between the entries of a history, in the coordinates that are moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.guides.constraints import Constraint

_MOST_COLUMNS = 50
"""Coordinates of a parameter that are looked at."""
_ALIKE = 1e-2
"""Relative difference of steps that are equally long."""
_WHOLE = 1e-3
"""Relative difference of a step from the learning rate."""
_STILL = 1e-3
"""A first step shorter than this part of the longest is that of a gradient of zero."""
_FEW = 12
"""Steps that do not tell whether each goes on where the one before went."""


class StepLengths(NamedTuple):
    """Steps in free coordinates, and their lengths.

    Attributes
    ----------
    names : tuple of str
        Roles of the n coordinates, with the latent where there are several.
    signed : ndarray of shape (n, T)
    positive : Constraint
        The map by which parameters are taken to be held positive, where nothing says it.
    """

    names: tuple[str, ...]
    signed: FloatArray
    positive: Constraint

    @classmethod
    def between(
        cls, model: LossModel, coordinates: Coordinates, positive: Constraint
    ) -> StepLengths:
        """Measure the steps between the columns of a model."""
        rows = by_latent(coordinates.free(model, positive))
        signed = np.array([np.diff(row) for row in rows.values()])
        return cls(tuple(rows), signed, positive)

    @property
    def lengths(self) -> FloatArray:
        """Lengths of the steps, (n, T)."""
        return np.abs(self.signed)

    def reversals(self, rate: float) -> int:
        """Count the times that a coordinate goes back at once by all of the learning rate."""
        whole = np.abs(self.lengths / rate - 1) <= _WHOLE
        back = self.signed[:, 1:] * self.signed[:, :-1] < 0
        return int(np.sum(whole[:, 1:] & whole[:, :-1] & back))

    @property
    def goes_on(self) -> float:
        """Part of a step in the next, of late steps about their mean; 1 where these are few."""
        late = self.signed[:, self.signed.shape[1] // 2 :]
        if late.shape[1] < _FEW:
            return 1.0
        away = late - late.mean(axis=1, keepdims=True)
        before = float((away[:, :-1] ** 2).sum())
        return float((away[:, 1:] * away[:, :-1]).sum()) / before if before > 0 else 1.0

    @property
    def first(self) -> FloatArray:
        """First steps of the coordinates that move; a gradient of zero makes none."""
        first = self.lengths[:, 0]
        return np.asarray(first[first > _STILL * first.max()])

    def begin_with(self, rate: float) -> bool:
        """Return True if most first steps have a length."""
        return bool(np.mean(np.abs(self.first / rate - 1) <= _ALIKE) > 0.5)

    @property
    def rate(self) -> float | None:
        """The learning rate if the first step is Adam's: equally long in most coordinates."""
        typical = float(np.median(self.first)) if self.first.size > 1 else 0.0
        return typical if typical > 0 and self.begin_with(typical) else None


def by_latent(coordinates: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Take the coordinates of each role apart, (..., 1 or G), by latent."""
    return {
        f"{role}[{g}]" if values.shape[-1] > 1 else role: values[..., g]
        for role, values in coordinates.items()
        for g in range(min(values.shape[-1], _MOST_COLUMNS))
    }
