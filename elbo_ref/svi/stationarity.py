"""The Newton decrement: whether a point is a maximum of its own exact objective.

With gradient g and Hessian H in unconstrained coordinates, Newton's step is -H^-1 g and the maximum
of the local quadratic is lambda^2/2 = -g^T H^-1 g / 2 nats higher (Boyd & Vandenberghe 2004,
section 9.5.1, where lambda is called the Newton decrement).
H is an arrow: the prior's two parameters touch all latents, a latent's parameters only each other
and the prior. So the gradient at a handful of shifted points gives all of it (each shifts one
parameter of *every* latent), and elimination of the latents leaves a matrix of the prior alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._format.sentences import run as sentences
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.svi.parameters import ParameterVector

_SHIFT = 1e-3
_TRUSTED = 1e-9
DECREMENT, NEAR = 1e-10, 1e-3
STEP = 1e-4

Kind: TypeAlias = Literal["maximum", "near", "far", "drifting", "unknown"]
Gradients: TypeAlias = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


class Stationarity(NamedTuple):
    """The distance of a point from the nearest maximum, as Newton's method estimates it.

    Both are inf where H is not negative definite, or not by enough to be told from its own error,
    1e-9 of its largest element: nothing can be said where a concentration is many thousand times
    the counts, or of a guide with concentrations above about 1e9.

    `decrement` is lambda^2/2 in nats; `step` the largest component of Newton's step in
    unconstrained coordinates, so for a concentration its relative change.
    """

    decrement: float
    step: float

    @property
    def holds(self) -> bool:
        """At most 1e-10 nats to gain, and no parameter to change by more than 1e-4 of itself.

        The second matters: on the way to a supremum at infinity the gain tends to zero as well,
        but Newton's step does not.
        """
        return self.decrement <= DECREMENT and self.step <= STEP

    @property
    def kind(self) -> Kind:
        """The verdict, in one word.

        ``"maximum"``: it holds; ``"drifting"``: hardly anything to gain nearby, but Newton's step
        does not shrink; ``"near"`` and ``"far"``: at most 1e-3 nats to gain, or more;
        ``"unknown"``: nothing can be said.
        """
        if self.holds:
            return "maximum"
        if np.isinf(self.decrement):
            return "unknown"
        if self.decrement <= DECREMENT:
            return "drifting"
        return "near" if self.decrement <= NEAR else "far"

    def sentence(self) -> str:
        """Put the verdict in words."""
        return sentences.stationarity(self)


def stationarity(parameters: ParameterVector, vector: FloatArray) -> Stationarity:
    """Newton's view of a vector, on the exact objective."""
    task = parameters.task
    idle = task.weights == 0
    if not task.guide.has_prior:
        idle = idle | (task.counts.total_count == 0)

    if task.guide.shared:
        nothing = np.zeros((0, idle.size))

        def dense(vector: FloatArray, _: FloatArray) -> tuple[FloatArray, FloatArray]:
            return parameters.exact_gradient(vector), nothing

        return newton_decrement(dense, vector, nothing, idle)

    p = parameters.num_prior

    def gradient(prior: FloatArray, params: FloatArray) -> tuple[FloatArray, FloatArray]:
        flat = parameters.exact_gradient(np.concatenate([prior, params.ravel()]))
        return flat[:p], parameters.free_guide(flat)

    return newton_decrement(gradient, vector[:p], parameters.free_guide(vector), idle)


def newton_decrement(
    gradient: Gradients, prior: FloatArray, params: FloatArray, idle: NDArray[np.bool_]
) -> Stationarity:
    """Newton's view of unconstrained parameters.

    Parameters
    ----------
    gradient : callable
        From unconstrained parameters (p,) and (k, G) to the gradient of the objective in the same
        shapes; p is 0 where the prior is fixed.
    prior : ndarray, shape (p,)
    own : ndarray, shape (k, G)
    idle : bool ndarray, shape (G,)
        The latents on which the objective does not depend at all.
    """
    p, k = prior.size, params.shape[0]
    g_prior, g_own = gradient(prior, params)
    corner = np.zeros((p, p))
    arm = np.zeros((params.shape[1], k, p))
    blocks = np.zeros((params.shape[1], k, k))
    for j, shift in enumerate(np.eye(p)):
        by_prior, by_params = _slope(gradient, prior, params, shift, np.zeros((k, 1)))
        corner[:, j], arm[:, :, j] = by_prior, by_params.T
    for j, shift in enumerate(np.eye(k)):
        _, by_params = _slope(gradient, prior, params, np.zeros(p), shift[:, None])
        blocks[:, :, j] = by_params.T
    blocks[idle] = -np.eye(k)
    blocks = (blocks + blocks.swapaxes(1, 2)) / 2
    if not _negative_definite(blocks, np.abs(blocks).max(axis=(1, 2), initial=0.0)):
        return Stationarity(np.inf, np.inf)
    solved = np.linalg.solve(blocks, np.concatenate([arm, g_own.T[:, :, None]], axis=2))
    reduced = corner - np.einsum("gkp,gkq->pq", arm, solved[:, :, :p])
    reduced = (reduced + reduced.T) / 2
    if p and not _negative_definite(reduced, np.abs(corner).max()):
        return Stationarity(np.inf, np.inf)
    rest = g_prior - np.einsum("gkp,gk->p", arm, solved[:, :, p])
    prior_step = -np.linalg.solve(reduced, rest)
    own_step = -(solved[:, :, p] + solved[:, :, :p] @ prior_step)
    gain = (g_prior @ prior_step + np.sum(g_own.T * own_step)) / 2
    largest = max(np.abs(prior_step).max(initial=0.0), np.abs(own_step).max(initial=0.0))
    return Stationarity(float(max(gain, 0.0)), float(largest))


def _slope(
    gradient: Gradients,
    prior: FloatArray,
    params: FloatArray,
    by_prior: FloatArray,
    by_params: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Differentiate the gradient in a direction, by central differences of fourth order."""

    def at(shift: float) -> tuple[FloatArray, FloatArray]:
        return gradient(prior + shift * by_prior, params + shift * by_params)

    far, near, ahead, further = (at(h * _SHIFT) for h in (-2, -1, 1, 2))
    prior_slope, param_slope = (
        (8 * (c - b) - (d - a)) / (12 * _SHIFT)
        for a, b, c, d in zip(far, near, ahead, further, strict=True)
    )
    return prior_slope, param_slope


def _negative_definite(matrices: FloatArray, scale: FloatArray) -> bool:
    """Tell whether all are, by more than the error of the differences, which is as `scale`."""
    if not np.isfinite(matrices).all():
        return False
    highest = np.linalg.eigvalsh(matrices).max(axis=-1, initial=-np.inf)
    return bool((highest < -_TRUSTED * scale).all())
