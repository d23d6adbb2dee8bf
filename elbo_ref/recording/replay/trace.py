r"""A recording as it is replayed: parameters in their roles, draws, data, and their scales.

The particles of a step make one number, the mean of their log weights f or a Renyi bound

    log mean exp((1 - alpha) f) / (1 - alpha) = sum w f + excess,       w ~ exp((1 - alpha) f),

whose gradient, as Pyro estimates it, is sum w df: a mean as well, with other weights.

Shapes: T steps, P particles, L latents drawn in a step, k parameters of the guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.parameters import ParameterRoles, roles_of
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, Objective, Renyi
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.program import Columns, Program
from elbo_ref.recording.replay.rows import Batch
from elbo_ref.svi.parameters import NAMES

LOSSES = {
    "Trace_ELBO": "trace",
    "TraceGraph_ELBO": "trace_graph",
    "TraceEnum_ELBO": "trace_enum",
    "TraceMeanField_ELBO": "trace_mean_field",
    "RenyiELBO": "renyi",
}
"""The losses whose every value follows from the draws, by their classes."""

_BLOCK = 200_000
"""Draws that are evaluated together."""


def from_numpyro(recording: Recording) -> bool:
    """Tell whether the run is one of NumPyro."""
    return bool(recording.header.get("framework") == "numpyro")


class Bound(NamedTuple):
    """A Renyi bound.

    Attributes
    ----------
    alpha : float
        Its order, not 1.
    together : bool
        Whether it is that of all latents' weights multiplied, as Pyro takes it where they are not
        in one plate.
    """

    alpha: float
    together: bool = False

    def weights(self, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compute the particles' weights, (P, T, L), and the bound less their mean, (T, L).

        `f` are log weights, (P, T, L); of a bound together each latent has a share.

        Examples
        --------
        >>> weights, excess = Bound(0.0).weights(np.log([[[1.0]], [[3.0]]]))
        >>> weights.ravel(), np.exp(excess + weights.T @ np.log([1, 3])).ravel()
        (array([0.25, 0.75]), array([2.]))
        """
        order, latents = 1 - self.alpha, f.shape[2]
        form = f.sum(axis=2, keepdims=True) if self.together else f
        weights = sc.softmax(order * form, axis=0)
        bound = (sc.logsumexp(order * form, axis=0) - np.log(len(f))) / order
        excess = (bound - (weights * form).sum(axis=0)) / (latents if self.together else 1)
        return np.broadcast_to(weights, f.shape), np.broadcast_to(excess, f.shape[1:])


@dataclass(frozen=True)
class ReplayTrace:
    """A recording with its parameters in their roles, and its rows, draws and scales.

    Attributes
    ----------
    recording : Recording
    program : Program
    loss : str
    roles : ParameterRoles
        The parameters by role: the prior's (2, T, 1), the guide's (k, T, 1 or all latents).
    draws : array, (T, P, L)
    logits : array, (T, P, L)
    outcomes : array, (2, T or 1, L)
        Successes and failures of each latent that was drawn.
    log_coefficient, coefficient_magnitude : array, (T or 1, L)
    batch : Batch or None
        The minibatches, if there are any.
    power : int
        How often they are scaled.
    bound : Bound or None
        The bound of the particles, where the loss is not their mean.
    """

    recording: Recording
    program: Program
    loss: str
    roles: ParameterRoles
    draws: NDArray[Any]
    logits: FloatArray
    outcomes: FloatArray
    log_coefficient: FloatArray
    coefficient_magnitude: FloatArray
    batch: Batch | None = None
    power: int = 1
    bound: Bound | None = None

    @property
    def scales(self) -> tuple[float, float]:
        """Scale of all terms, minibatches being of latents; of the data's, of a latent's rows."""
        if self.batch is None:
            return 1.0, 1.0
        scale = self.batch.scale**self.power
        return (scale, 1.0) if self.batch.of_latents else (1.0, scale)

    @property
    def guide_parameters(self) -> FloatArray:
        """The guide's parameters of the latents that were drawn, (k, T, L or 1)."""
        params = self.roles.guide_parameters
        return params if self.batch is None else self.batch.select(params)

    def of_all(self, values: FloatArray, width: int) -> FloatArray:
        """Put values of the latents drawn, (..., T, L), in the places of all, or add them up."""
        if width == 1:
            return np.asarray(values.sum(axis=-1, keepdims=True))
        return values if self.batch is None else self.batch.spread(values)

    @property
    def guide(self) -> Guide:
        """The guide of the program."""
        return self.program.guide

    @property
    def from_numpyro(self) -> bool:
        """Tell whether the run is one of NumPyro."""
        return from_numpyro(self.recording)

    @property
    def objective(self) -> Objective:
        """The objective behind the loss; a `trace` where that is not known here."""
        if self.bound is not None:
            return Renyi(self.bound.alpha, self.draws.shape[1])
        return OBJECTIVES.get(self.loss, OBJECTIVES["trace"])

    @property
    def num_latents(self) -> int:
        """The number of latents, L."""
        return int(self.draws.shape[2])

    def learned(self) -> Iterator[tuple[int, str, str]]:
        """Yield the row in `Parts`, role and name of each parameter that the optimizer had."""
        shift = 0 if self.guide.has_prior else 2
        for row, role in enumerate(roles_of(self.guide)):
            name = self.roles.names.get(role, "")
            if name in self.recording.before:
                yield row + shift, role, name

    @property
    def computed(self) -> tuple[str, ...]:
        """Roles whose values move and are no parameter, so computed from parameters."""
        arguments = self.recording.arguments
        unknown = self.recording.num_steps == 1 and bool(self.without_role)
        return tuple(
            role
            for role, name in self.roles.names.items()
            if name in arguments and (unknown or np.any(arguments[name] != arguments[name][:1]))
        )

    @property
    def without_role(self) -> tuple[str, ...]:
        """Parameters that have no role."""
        named = self.roles.names.values()
        return tuple(name for name in self.recording.before if name not in named)

    def swapped(self, *owners: str) -> ReplayTrace:
        """Exchange the two concentrations, of the ``"prior"`` or ``"guide"``."""
        roles, names = self.roles, dict(self.roles.names)
        for owner in owners:
            one, zero = (f"{owner}.{name}" for name in NAMES)
            pairs = ((one, zero), (zero, one))
            names |= {new: names.pop(old) for new, old in pairs if old in names}
        roles = roles._replace(
            prior=roles.prior[::-1] if "prior" in owners else roles.prior,
            guide_parameters=roles.guide_parameters[::-1]
            if "guide" in owners
            else roles.guide_parameters,
            names=names,
        )
        return replace(self, roles=roles)

    def over_steps(self, evaluate: Callable[[Columns], FloatArray]) -> FloatArray:
        """Evaluate something of each latent, (..., C), at all steps: (..., T, L)."""
        size = max(1, _BLOCK // max(1, self.draws[0].size))
        blocks = []
        for start in range(0, self.recording.num_steps, size):
            values = evaluate(self._columns(slice(start, start + size)))
            blocks.append(values.reshape(*values.shape[:-1], -1, self.num_latents))
        return np.concatenate(blocks, axis=-2)

    def _columns(self, steps: slice) -> Columns:
        c, y = self.draws[steps], self.logits[steps]
        count, particles, latents = c.shape

        def flat(x: FloatArray, scale: float = 1.0) -> FloatArray:
            wide = np.broadcast_to(x, (*x.shape[:-2], self.recording.num_steps, latents))
            return (scale * wide[..., steps, :]).reshape(*x.shape[:-2], count * latents)

        scale = self.scales[1]
        columns = Columns(
            c=c.transpose(1, 0, 2).reshape(particles, -1),
            logit=y.transpose(1, 0, 2).reshape(particles, -1),
            prior=flat(self.roles.prior),
            guide_parameters=flat(self.guide_parameters),
            outcomes=flat(self.outcomes, scale),
            log_coefficient=flat(self.log_coefficient, scale),
            coefficient_magnitude=flat(self.coefficient_magnitude, scale),
            weights=np.full((particles, 1), 1 / particles),
        )
        return columns if self.bound is None else self._weighted(columns, self.bound)

    def _weighted(self, columns: Columns, bound: Bound) -> Columns:
        """Weight the columns by a bound; NumPyro scales the bound, Pyro its weights."""
        terms, scale = self.program.terms(columns), 1.0 if self.from_numpyro else self.scales[0]
        f = scale * terms.objective().reshape(len(columns.c), -1, self.num_latents)
        magnitude = terms.magnitude.max(axis=0).reshape(f.shape[1:])
        if bound.together:
            magnitude = np.broadcast_to(magnitude.sum(axis=1, keepdims=True), magnitude.shape)
        weights, excess = bound.weights(f)
        return columns._replace(
            weights=weights.reshape(columns.c.shape),
            excess=excess.ravel() / scale,
            weight_error=abs(1 - bound.alpha) * scale * magnitude.ravel(),
        )
