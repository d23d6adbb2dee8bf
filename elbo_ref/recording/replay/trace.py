"""A recording as it is replayed: parameters in their roles, draws, data, and how they are scaled.

`casting.py` makes one of a recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.parameters import ParameterRoles, roles_of
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, Objective, Renyi
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.batches import Batch
from elbo_ref.recording.replay.bound import Bound
from elbo_ref.recording.replay.program import Columns, Program
from elbo_ref.svi.parameters import NAMES

LOSSES = {
    "Trace_ELBO": "trace",
    "TraceGraph_ELBO": "trace_graph",
    "TraceEnum_ELBO": "trace_enum",
    "TraceMeanField_ELBO": "trace_mean_field",
    "RenyiELBO": "renyi",
}
PLAYED = tuple(LOSSES.values())
"""The losses whose every value follows from the draws."""

_BLOCK = 200_000
"""Draws that are looked at together."""


@dataclass(frozen=True)
class Tape:
    """A recording, read.

    Attributes
    ----------
    recording : Recording
    program : Program
    loss : str
    reading : ParameterRoles
    site : str
        The latent's.
    draws : array, (T, P, L)
    logits : array, (T, P, L)
    outcomes : array, (2, T or 1, L)
        Successes and failures of each latent that was drawn.
    log_coefficient, coefficient_size : array, (T or 1, L)
    batch : Batch or None
        The minibatches, if there are any.
    power : int
        How often they are scaled.
    bound : Bound or None
        Of the particles, where the loss is not their mean.
    """

    recording: Recording
    program: Program
    loss: str
    reading: ParameterRoles
    site: str
    draws: NDArray[Any]
    logits: FloatArray
    outcomes: FloatArray
    log_coefficient: FloatArray
    coefficient_size: FloatArray
    batch: Batch | None = None
    power: int = 1
    bound: Bound | None = None

    @property
    def scale(self) -> float:
        """Of all terms, where minibatches are of latents."""
        latents = self.batch is not None and self.batch.of_latents
        return self.batch.scale**self.power if self.batch and latents else 1.0

    @property
    def data_scale(self) -> float:
        """Of the terms of the data, where minibatches are of a shared latent's rows."""
        latents = self.batch is None or self.batch.of_latents
        return self.batch.scale**self.power if self.batch and not latents else 1.0

    @property
    def own(self) -> FloatArray:
        """The guide's parameters of the latents that were drawn, (k, T, L or 1)."""
        own = self.reading.guide_parameters
        return own if self.batch is None else self.batch.seen(own)

    def of_all(self, values: FloatArray, width: int) -> FloatArray:
        """Of the latents that were drawn, (..., T, L), in the places of all of them or of none."""
        if width == 1:
            return np.asarray(values.sum(axis=-1, keepdims=True))
        return values if self.batch is None else self.batch.placed(values)

    @property
    def guide(self) -> Guide:
        """Of the program."""
        return self.program.guide

    @property
    def objective(self) -> Objective:
        """What the loss is of; a `trace` where that is not known here."""
        if self.bound is not None:
            return Renyi(self.bound.alpha, self.draws.shape[1])
        return OBJECTIVES.get(self.loss, OBJECTIVES["trace"])

    @property
    def num_latents(self) -> int:
        """L."""
        return int(self.draws.shape[2])

    def learned(self) -> Iterator[tuple[int, str, str]]:
        """Row in `Parts`, role and name of each parameter that the optimizer had."""
        shift = 0 if self.guide.has_prior else 2
        for row, role in enumerate(roles_of(self.guide)):
            name = self.reading.names.get(role, "")
            if name in self.recording.before:
                yield row + shift, role, name

    @property
    def derived(self) -> tuple[str, ...]:
        """Roles that are computed from parameters, and move."""
        arguments, names = self.recording.arguments, self.reading.names
        unknown = self.recording.num_steps == 1 and bool(self.without_role)
        return tuple(
            role
            for role, name in names.items()
            if name in arguments and (unknown or np.any(arguments[name] != arguments[name][:1]))
        )

    @property
    def without_role(self) -> tuple[str, ...]:
        """Parameters that are none of ours."""
        named = self.reading.names.values()
        return tuple(name for name in self.recording.before if name not in named)

    def swapped(self, prior: bool, own: bool) -> Tape:
        """With the two concentrations exchanged, of the prior, of the guide or of both."""
        reading, names = self.reading, dict(self.reading.names)
        for exchanged, owner in ((prior, "prior"), (own, "guide")):
            one, zero = (f"{owner}.{name}" for name in NAMES)
            if exchanged:
                was = dict(names)
                names.pop(one, None), names.pop(zero, None)
                names |= {new: was[old] for new, old in ((one, zero), (zero, one)) if old in was}
        reading = reading._replace(
            prior=reading.prior[::-1] if prior else reading.prior,
            guide_parameters=reading.guide_parameters[::-1] if own else reading.guide_parameters,
            names=names,
        )
        return replace(self, reading=reading)

    def columns(self, steps: slice) -> Columns:
        """Some steps side by side."""
        c, y = self.draws[steps], self.logits[steps]
        count, particles, latents = c.shape

        def flat(x: FloatArray) -> FloatArray:
            wide = np.broadcast_to(x[:, steps], (len(x), count, latents))
            return wide.reshape(len(x), count * latents)

        def data(x: FloatArray) -> FloatArray:
            wide = np.broadcast_to(x, (*x.shape[:-2], self.recording.num_steps, latents))
            return (self.data_scale * wide[..., steps, :]).reshape(*x.shape[:-2], -1)

        columns = Columns(
            c=c.transpose(1, 0, 2).reshape(particles, -1),
            logit=y.transpose(1, 0, 2).reshape(particles, -1),
            prior=flat(self.reading.prior),
            own=flat(self.own),
            outcomes=data(self.outcomes),
            log_coefficient=data(self.log_coefficient),
            coefficient_size=data(self.coefficient_size),
            weights=np.full((particles, 1), 1 / particles),
        )
        return columns if self.bound is None else self._weighted(columns, self.bound)

    def _weighted(self, columns: Columns, bound: Bound) -> Columns:
        terms, scale = self.program.terms(columns), self.scale
        if self.recording.header.get("framework") == "numpyro":
            scale = 1.0  # the bound is scaled there, not its log weights
        f = scale * terms.objective().reshape(len(columns.c), -1, self.num_latents)
        size = terms.size.max(axis=0).reshape(f.shape[1:])
        if bound.together:
            size = np.broadcast_to(size.sum(axis=1, keepdims=True), size.shape)
        found = bound.of(f)
        return columns._replace(
            weights=found.weights.reshape(columns.c.shape),
            excess=found.excess.ravel() / scale,
            haze=abs(1 - bound.alpha) * scale * size.ravel(),
        )

    def over_steps(self, look: Callable[[Columns], FloatArray]) -> FloatArray:
        """Something of each latent, (..., C), for all steps: (..., T, L)."""
        size = max(1, _BLOCK // max(1, self.draws[0].size))
        found = []
        for start in range(0, self.recording.num_steps, size):
            values = look(self.columns(slice(start, start + size)))
            found.append(values.reshape(*values.shape[:-1], -1, self.num_latents))
        return np.concatenate(found, axis=-2)
