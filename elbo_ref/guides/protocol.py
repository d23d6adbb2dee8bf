"""What a guide is, to everything that uses one.

Whatever the guide, one particle's estimate of the objective is, for each latent, a linear form in
the two logarithms of the draw,

    f = A log c + D log(1 - c) + normalizer + logC,

and the guides differ in three ways only: where c is drawn from, which densities of c are counted,
and which parameters the draw depends on.

    guide    c drawn from   counted                A               D
    beta     the guide      + log p - log q        a0 + K - a      b0 + F - b
    empty    the prior      + log p                K + a0 - 1      F + b0 - 1
    tied     the prior      + log p - log p        K               F
    none     (a parameter)                         K               F

(A, D) is called the *tilt*; the expectation of f is f at the mean less A and D times the Jensen
gaps of `elbo_ref.beta`. So a guide supplies the tilt, the normalizer, draws (as logits) with
their pathwise derivatives, the expected logarithms with theirs, and `collect`, which says where
the two kinds of derivative go. Objectives do the rest.

Arrays have one row per parameter and one column per latent: `prior` is (2, 1) or (2, G), rows
concentration1 and concentration0; `own`, the guide's constrained parameters, is (k, G); `outcomes`
is (2, G), successes and failures. A *source gradient* has one row per parameter of the distribution
that c is drawn from.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta

LOG_RANGE = (math.log(1e-12), math.log(1e15))
"""Where the logarithm of a concentration may wander; a run that leaves it is stopped."""


class Draw(Protocol):
    """A value that c is drawn from: what the expected log likelihood needs of it."""

    @property
    def mean(self) -> float | FloatArray: ...

    def mean_pair(self) -> tuple[FloatArray, FloatArray]:
        """E c and E (1 - c), each to full relative precision."""

    def mean_difference(self, successes: Any, failures: Any) -> FloatArray:
        """successes E(1 - c) - failures E c, formed exactly where that is possible."""

    def jensen_gaps(self) -> tuple[FloatArray, FloatArray]:
        """log E c - E log c, and the same for 1 - c."""

    def tilt_variance(self, tilt1: Any, tilt0: Any) -> float | FloatArray:
        """Var[tilt1 log c + tilt0 log(1 - c)] (E5)."""


class Parts(NamedTuple):
    """What the gradient of an objective is made of; all but `weights` for one latent of each entry.

    `through_draw` is the source gradient of the linear form with its tilt held fixed; `logs` are
    log c and log(1 - c), averaged over draws or in expectation, and `expected` their expectations,
    so that `logs - expected` is the derivative of the draw's own log density; `weights` counts the
    equal latents of each entry.
    """

    through_draw: FloatArray
    logs: FloatArray
    expected: FloatArray
    weights: FloatArray


class Guide(Protocol):
    """A way to fit the model; stateless."""

    @property
    def name(self) -> str: ...

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The k parameters that each latent has of its own."""

    @property
    def own_range(self) -> tuple[float, float]:
        """Where the guide's unconstrained parameters must stay."""

    @property
    def has_prior(self) -> bool:
        """Whether the prior is part of the model at all."""

    def start(self, value: object, size: int) -> FloatArray:
        """Unconstrained parameters (k, size) for a value of this family, or for None."""

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        """Constrained from unconstrained parameters, any shape."""

    def slope(self, own: FloatArray) -> FloatArray:
        """Derivative of the constrained with respect to the unconstrained parameters."""

    def draw(self, prior: Beta, own: FloatArray) -> Draw:
        """The value that c is drawn from; `own` is (k, ..., G)."""

    def value(self, prior: Beta, own: FloatArray) -> Any:
        """What `run.guide` shows; None if the guide is empty."""

    def counted_at_mean(self, prior: Beta, own: FloatArray) -> Any:
        """The counted log densities at the mean of what c is drawn from, nats per latent."""

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        """(A, D), shape (2, G)."""

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        """What remains of the counted log densities beside the tilt."""

    def log_moments(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        """E log c and E log(1 - c), shape (2, G) or (2, 1)."""

    def pull_back(self, tilt: FloatArray, prior: FloatArray, own: FloatArray) -> FloatArray:
        """Source gradient of E[A log c + D log(1 - c)] with the tilt held fixed."""

    def sample_logit(
        self, prior: FloatArray, own: FloatArray, shape: tuple[int, int], rng: np.random.Generator
    ) -> FloatArray:
        """Draws of c as logits, shape (particles, G)."""

    def pathwise(self, logit: FloatArray, prior: FloatArray, own: FloatArray) -> FloatArray:
        """Derivatives of the draws' logits, (rows of the source gradient, particles, G)."""

    def collect(
        self, parts: Parts, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The gradient with respect to the constrained parameters, (2,) and (k, G)."""
