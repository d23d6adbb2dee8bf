r"""A recording as it is replayed: parameters in their roles, draws, data, and their scales.

The particles of a step make one number, the mean of their log weights f or a Renyi bound

    log mean exp((1 - alpha) f) / (1 - alpha) = sum w f + excess,       w ~ exp((1 - alpha) f),

whose gradient, as Pyro estimates it, is sum w df: a mean as well, with other weights.

Shapes: T steps, P particles, L latents drawn in a step, k parameters of the guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.class_names import LOSS_CLASSES
from elbo_ref.crosscheck.float_ends import probability_ends
from elbo_ref.crosscheck.parameters import roles_of
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, Objective, RenyiBound
from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.replay.program import (
    Columns,
    Program,
    binomial,
    from_logits,
    single_trials,
    unclamped,
)
from elbo_ref.recording.rows import Data
from elbo_ref.recording.statement import Statement
from elbo_ref.svi.parameters import NAMES

LOSSES = {name: own for name, own in LOSS_CLASSES.items() if name != "ELBO"}
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
    """A recorded run with the formula that its losses and gradients are made by.

    Attributes
    ----------
    recording : Recording
    program : Program
    loss : str
    prior : array, (2, T, 1 or L)
    guide_parameters : array, (k, T, 1 or L)
    arguments : mapping of roles to `Argument`
    draws, logits : array, (T, P, L)
    data : Data
    scale, likelihood_weight : float
        Factor of all terms, and a further one of the likelihood.
    bound : Bound or None
        The bound of the particles, where the loss is not their mean.
    vector : str
        The guide's site that draws all logits together, if there is one.
    """

    recording: Recording
    program: Program
    loss: str
    prior: FloatArray
    guide_parameters: FloatArray
    arguments: Mapping[str, Argument]
    draws: NDArray[Any]
    logits: FloatArray
    data: Data
    scale: float = 1.0
    likelihood_weight: float = 1.0
    bound: Bound | None = None
    vector: str = ""

    @classmethod
    def of(cls, statement: Statement, data: Data) -> ReplayTrace:
        """Choose the formula for a statement."""
        recording, guide = statement.recording, statement.guide
        loss, bound = _loss(recording, guide)
        numpyro = from_numpyro(recording)
        likelihood = unclamped if data.by_hand else binomial
        if data.trials and not numpyro:
            likelihood = single_trials
        elif data.by_logit:
            likelihood = from_logits
        return cls(
            recording=recording,
            program=Program(
                guide,
                recording.dtype,
                loss == "trace_mean_field",
                ends=probability_ends(recording.dtype, numpyro=numpyro),
                likelihood=likelihood,
            ),
            loss=loss,
            prior=statement.prior,
            guide_parameters=data.outcomes
            if guide.origin == "posterior"
            else statement.guide_parameters,
            arguments=statement.arguments,
            draws=statement.draws,
            logits=statement.logits,
            data=data,
            scale=statement.scale,
            likelihood_weight=statement.likelihood_weight,
            bound=bound,
            vector=statement.vector,
        )

    def of_all(self, values: FloatArray, width: int) -> FloatArray:
        """Keep values of the latents, (..., T, L), or add them up to one."""
        return np.asarray(values.sum(axis=-1, keepdims=True)) if width == 1 else values

    @property
    def reparameterized(self) -> bool:
        """Tell whether draws have derivatives in the guide, or without one in the model."""
        sites = self.recording.sites("guide") or self.recording.sites("model")
        latents = [x for x in sites if not x["observed"]]
        return all(x.get("reparameterized", True) for x in latents)

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
            return RenyiBound(self.bound.alpha, self.draws.shape[1])
        return OBJECTIVES.get(self.loss, OBJECTIVES["trace"])

    @property
    def num_latents(self) -> int:
        """The number of latents, L."""
        return int(self.draws.shape[2])

    def learned(self) -> Iterator[tuple[int, str, FloatArray]]:
        """Yield the row in `Parts`, the role and the recorded gradient of each argument."""
        for row, role in enumerate(roles_of(self.guide)):
            gradient = self.arguments[role].gradient
            if gradient is not None:
                yield row, role, gradient

    def swapped(self, *owners: str) -> ReplayTrace:
        """Exchange the two concentrations, of the ``"prior"`` or ``"guide"``."""
        arguments = dict(self.arguments)
        for owner in owners:
            one, zero = (f"{owner}.{name}" for name in NAMES)
            arguments[one], arguments[zero] = arguments[zero], arguments[one]
        prior, params = self.prior, self.guide_parameters
        return replace(
            self,
            prior=prior[::-1] if "prior" in owners else prior,
            guide_parameters=params[::-1] if "guide" in owners else params,
            arguments=arguments,
        )

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

        weight, data = self.likelihood_weight, self.data
        columns = Columns(
            c=c.transpose(1, 0, 2).reshape(particles, -1),
            logit=y.transpose(1, 0, 2).reshape(particles, -1),
            prior=flat(self.prior),
            guide_parameters=flat(self.guide_parameters),
            outcomes=flat(data.outcomes, weight),
            log_coefficient=flat(data.log_coefficient, weight),
            coefficient_magnitude=flat(data.coefficient_magnitude, weight),
            weights=np.full((particles, 1), 1 / particles),
        )
        return columns if self.bound is None else self._weighted(columns, self.bound)

    def _weighted(self, columns: Columns, bound: Bound) -> Columns:
        """Weight the columns by a bound; NumPyro scales the bound, Pyro its weights."""
        terms, scale = self.program.terms(columns), 1.0 if self.from_numpyro else self.scale
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


def _loss(recording: Recording, guide: Guide) -> tuple[str, Bound | None]:
    """Name the loss by the first of class and bases that is known; and its bound."""
    noted = recording.header.get("loss") or {}
    kinds = [noted.get("class"), *noted.get("bases", [])]
    loss = next((LOSSES[kind] for kind in kinds if kind in LOSSES), str(kinds[0] or "trace"))
    if loss == "renyi":
        alpha = float(noted.get("alpha", 1.0))
        return ("trace", None) if alpha == 1 else (loss, Bound(alpha))
    jacobian = guide.without_jacobian() is not guide
    if loss == "trace_mean_field" and from_numpyro(recording) and jacobian:
        return "trace", None  # NumPyro counts the Jacobian there, which Pyro drops
    return loss, None


def loss_of(statement: Statement) -> str:
    """Name the loss of a statement."""
    return _loss(statement.recording, statement.guide)[0]
