"""A recording as it is replayed: the model of its losses, its draws, and arguments in their roles.

Shapes: T steps, P particles, L latents drawn in a step, k parameters of the guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.class_names import LOSS_CLASSES
from elbo_ref.crosscheck.given_draws import Columns, Draws, over_steps
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.parameters import roles_of
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, RenyiBound
from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.rows import Data
from elbo_ref.recording.statement import Statement
from elbo_ref.svi.parameters import NAMES

LOSSES = {name: own for name, own in LOSS_CLASSES.items() if name != "ELBO"}
"""The losses whose every value follows from the draws, by their classes."""


def from_numpyro(recording: Recording) -> bool:
    """Tell whether the run is one of NumPyro."""
    return bool(recording.header.get("framework") == "numpyro")


@dataclass(frozen=True)
class ReplayTrace:
    """A recorded run with the model that its losses and gradients follow from.

    Attributes
    ----------
    recording : Recording
    model : LossModel
        With an entry for each latent.
    draws : Draws
        (T, P, L).
    arguments : mapping of roles to `Argument`
    data : Data
    loss : str
        The name of the loss, which may be none whose formula is known here.
    vector : str
        The guide's site that draws all logits together, if there is one.
    sizes : tuple of int
        The number of latents of each site.
    """

    recording: Recording
    model: LossModel
    draws: Draws
    arguments: Mapping[str, Argument]
    data: Data
    loss: str
    vector: str = ""
    sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, statement: Statement, data: Data) -> ReplayTrace:
        """Choose the model for a statement."""
        recording, guide = statement.recording, statement.guide
        loss, alpha = _loss(recording, guide)
        draws = Draws(statement.draws, statement.logits)
        steps, particles, latents = draws.c.shape
        params = data.outcomes if guide.origin == "posterior" else statement.guide_parameters
        numpyro = from_numpyro(recording)
        objective = OBJECTIVES.get(loss, OBJECTIVES["trace"])
        model = LossModel(
            counts=data.counts(),
            guide=guide,
            loss=objective if alpha is None else RenyiBound(alpha, particles),
            num_particles=particles if alpha is None else 1,
            prior=statement.prior,
            guide_parameters=np.broadcast_to(params, (len(params), steps, params.shape[2])),
            dtype=recording.dtype,
            likelihood=data.form(numpyro=numpyro),
            numpyro=numpyro,
            likelihood_weight=statement.likelihood_weight,
            batch=None if data.constant else latents,
            batch_scale=statement.scale,
            one_draw=data.multiplicity is not None,
            bound="scaled_after" if numpyro else "each",
            constrained=("prior", "guide"),
            seen=data.seen,
        )
        arguments, sizes = statement.arguments, statement.sizes
        return cls(recording, model, draws, arguments, data, loss, statement.vector, sizes)

    def under(self, model: LossModel) -> ReplayTrace:
        """Take another model; arguments whose values it has exchanged are exchanged."""
        arguments = dict(self.arguments)
        before = {"prior": self.model.prior, "guide": self.model.guide_parameters}
        after = {"prior": model.prior, "guide": model.guide_parameters}
        for owner, values in before.items():
            same = np.array_equal(values, after[owner])
            if not same and np.array_equal(values[::-1], after[owner]):
                one, zero = (f"{owner}.{name}" for name in NAMES)
                arguments[one], arguments[zero] = arguments[zero], arguments[one]
        return replace(self, model=model, arguments=arguments)

    def of_all(self, values: FloatArray, width: int) -> FloatArray:
        """Keep values of the latents, (..., T, L), or add them up for each site, or to one."""
        if width == 1:
            return np.asarray(values.sum(axis=-1, keepdims=True))
        if width == len(self.sizes) != values.shape[-1]:
            return np.asarray(values @ np.repeat(np.eye(width), self.sizes, axis=0))
        return values

    @property
    def reparameterized(self) -> bool:
        """Tell whether draws have derivatives in the guide, or without one in the model."""
        sites = self.recording.sites("guide") or self.recording.sites("model")
        latents = [x for x in sites if not x["observed"]]
        return all(x.get("reparameterized", True) for x in latents)

    @property
    def guide(self) -> Guide:
        """The guide of the model."""
        return self.model.guide

    @property
    def num_latents(self) -> int:
        """The number of latents, L."""
        return int(self.draws.c.shape[2])

    def learned(self) -> Iterator[tuple[int, str, FloatArray]]:
        """Yield the row in `Parts`, the role and the recorded gradient of each argument."""
        for row, role in enumerate(roles_of(self.guide)):
            gradient = self.arguments[role].gradient
            if gradient is not None:
                yield row, role, gradient

    def over_steps(self, evaluate: Callable[[Columns], FloatArray]) -> FloatArray:
        """Evaluate something of each latent, (..., C), at all steps: (..., T, L)."""
        return over_steps(self.model, self.draws, evaluate)


def _loss(recording: Recording, guide: Guide) -> tuple[str, float | None]:
    """Name the loss by the first of class and bases that is known; of a Renyi bound its order."""
    noted = recording.header.get("loss") or {}
    kinds = [noted.get("class"), *noted.get("bases", [])]
    loss = next((LOSSES[kind] for kind in kinds if kind in LOSSES), str(kinds[0] or "trace"))
    if loss == "renyi":
        alpha = float(noted.get("alpha", 1.0))
        return ("trace", None) if alpha == 1 else (loss, alpha)
    jacobian = guide.without_jacobian() is not guide
    if loss == "trace_mean_field" and from_numpyro(recording) and jacobian:
        return "trace", None  # NumPyro counts the Jacobian there, which Pyro drops
    return loss, None


def loss_of(statement: Statement) -> str:
    """Name the loss of a statement."""
    return _loss(statement.recording, statement.guide)[0]
