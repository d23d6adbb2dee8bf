"""What a guide is, to everything that uses one.

Whatever the guide, one particle's estimate of the objective is, for each latent, a linear form in
the two logarithms of the draw,

    f = A log c + D log(1 - c) + normalizer + logC,

and the guides differ in three ways only: where c is drawn from, which densities of c are counted,
and which parameters the draw depends on. With A' = a0 + K and D' = b0 + F of the posterior:

    guide        c drawn from   counted                A         D         own density
    beta         the guide      + log p - log q        A' - a    D' - b    -1
    beta_shared  one for all    + log p - log q        A' - a    D' - b    -1
    conjugate    the posterior  + log p - log q        0         0         0 (see there)
    empty        the prior      + log p                A' - 1    D' - 1    +1
    tied         the prior      + log p - log p        K         F         0
    normal       the guide      + log p - log q        A'        D'        0 (see there)
    delta        (a point)      + log p                A' - 1    D' - 1
    laplace      (a point)      + log p of the logit   A'        D'
    none         (a parameter)                         K         F

(A, D) is called the *tilt*; the expectation of f is f at a center m, the mean of a Beta, less A and
D times the gaps log m - E log c and log(1 - m) - E log(1 - c). The last column counts the log
density of what c is drawn from, as far as its parameters are differentiated in it. So a guide
supplies the tilt, the normalizer, draws (as logits) with their pathwise derivatives, the expected
logarithms with theirs, and `collect`, which says to whose parameters the derivatives belong.
Objectives do the rest.

Arrays have one row per parameter and one column per latent: `prior` is (2, 1) or (2, G), rows
concentration1 and concentration0; `own`, the guide's constrained parameters, is (k, G); `outcomes`
is (2, G), successes and failures. A *source gradient* has one row per parameter of the distribution
that c is drawn from.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.positive import Positive

ANY_REAL = (-1e300, 1e300)


class Draw(Protocol):
    """A value that c is drawn from: what the expected log likelihood needs of it."""

    @property
    def mean(self) -> float | FloatArray: ...

    def center_pair(self) -> tuple[FloatArray, FloatArray]:
        """The center m and 1 - m, each to full relative precision."""

    def center_difference(self, successes: Any, failures: Any) -> FloatArray:
        """successes (1 - m) - failures m, formed exactly where that is possible."""

    def log_gaps(self) -> tuple[FloatArray, FloatArray]:
        """log m - E log c, and the same for 1 - c."""

    def tilt_variance(self, tilt1: Any, tilt0: Any) -> float | FloatArray:
        """Var[tilt1 log c + tilt0 log(1 - c)] (E5)."""


class Guide(Protocol):
    """A way to fit the model; stateless."""

    @property
    def name(self) -> str: ...

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The k parameters that each latent has of its own."""

    @property
    def own_ranges(self) -> tuple[tuple[float, float], ...]:
        """Where each of the k unconstrained parameters must stay."""

    @property
    def shared(self) -> bool:
        """Whether all latents share the k parameters; G is then 1 in the shapes of `own`."""

    @property
    def has_prior(self) -> bool:
        """Whether the prior is part of the model at all."""

    @property
    def origin(self) -> Literal["own", "prior", "posterior"]:
        """Whose parameters the distribution that c is drawn from has."""

    @property
    def is_point(self) -> bool:
        """Whether c is a parameter itself, not drawn."""

    @property
    def prior_weight(self) -> int:
        """How often log p(c) is counted."""

    @property
    def source_weight(self) -> int:
        """How often log q(c) is subtracted."""

    @property
    def jacobian(self) -> int:
        """How often log c (1 - c) is added."""

    @property
    def detached(self) -> bool:
        """Whether no gradient passes through the source."""

    @property
    def is_elbo(self) -> bool:
        """Whether the objective is a lower bound of the evidence."""

    @property
    def own_density(self) -> int:
        """How often the log density of what c is drawn from is counted: -1, 0 or 1.

        Its derivative at a draw, `logs` less `log_moments`, has expectation zero.
        """

    def on(self, outcomes: FloatArray) -> Guide:
        """The guide for these outcomes; most are the same for all."""

    def under(self, positive: Positive) -> Guide:
        """The guide with its concentrations held positive so; most have none of their own."""

    def without_jacobian(self) -> Guide:
        """The guide as `trace_mean_field` sees it."""

    def start(self, value: object, size: int) -> FloatArray:
        """Unconstrained parameters (k, size) for a value of this family, or for None."""

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        """Constrained from unconstrained parameters, any shape."""

    def unconstrain(self, own: FloatArray) -> FloatArray:
        """The inverse."""

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        """The own parameters at which the exact objective is highest under one prior (2, 1).

        `weights` (G,) is how often each entry counts. nan where nothing attains the supremum.
        """

    def slope(self, own: FloatArray) -> FloatArray:
        """Derivative of the constrained with respect to the unconstrained parameters."""

    def draw(self, prior: Beta, own: FloatArray) -> Draw:
        """The value that c is drawn from; `own` is (k, ..., G)."""

    def value(self, prior: Beta, own: FloatArray) -> Any:
        """What `run.guide` shows; None if the guide is empty."""

    def counted_at_center(self, prior: Beta, draw: Any) -> Any:
        """The counted log densities at the center of `draw`, nats per latent."""

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        """(A, D), shape (2, G)."""

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        """What remains of the counted log densities beside the tilt, in expectation."""

    def placed(
        self, center: FloatArray, away: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The logit and own parameters of draws so far from a center, for what is asked below.

        Those of a draw moved together, where only their difference counts: it keeps its digits.
        """

    def residual(self, logit: FloatArray, own: FloatArray) -> FloatArray | float:
        """What remains at a draw, less its expectation: it does not depend on any parameter."""

    def variance(self, draw: Any, tilt: FloatArray) -> Any:
        """Variance of one particle's f."""

    def stuck(self, logit: FloatArray, own: FloatArray) -> FloatArray:
        """What sticking the landing adds to the part through the draw, of k parameters."""

    @property
    def has_score(self) -> bool:
        """Whether c is drawn from a density with parameters of its own."""

    def score(self, logit: FloatArray, logs: FloatArray, own: FloatArray) -> FloatArray:
        """d log q(c) / d(own parameter) at draws, (k, particles, latents)."""

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
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The gradient of one latent of each entry, for the prior's and its own parameters.

        `source` is the whole source gradient, `logs` are log c and log(1 - c), averaged over draws
        or in expectation; the result is (2, G) and (k, G), constrained parameters. For many draws
        at once all have axes before these two.
        """


_AnyGuide = TypeVar("_AnyGuide", bound="GuideDefaults")


def bound(guide: _AnyGuide, outcomes: FloatArray) -> _AnyGuide:
    """A guide of the same kind that knows the outcomes of each entry."""
    knowing = type(guide)()
    knowing._outcomes = outcomes  # type: ignore[attr-defined]
    return knowing


class GuideDefaults:
    """What most guides have in common."""

    origin: Literal["own", "prior", "posterior"] = "own"
    is_point = False
    prior_weight = 1
    source_weight = 1
    jacobian = 0
    detached = False

    @property
    def is_elbo(self) -> bool:
        counted = self.prior_weight == self.source_weight and not self.jacobian
        return self.has_prior and counted

    @property
    def has_prior(self) -> bool:
        return self.prior_weight != 0

    own_density = 0
    shared = False
    has_score = False

    def on(self, outcomes: FloatArray) -> Any:
        return self

    def under(self, positive: Positive) -> Any:
        return self

    def without_jacobian(self) -> Any:
        return self

    def placed(
        self, center: FloatArray, away: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return center + away, own

    def residual(self, logit: FloatArray, own: FloatArray) -> FloatArray | float:
        return 0.0

    def stuck(self, logit: FloatArray, own: FloatArray) -> FloatArray:
        return np.zeros((len(own), *logit.shape))

    def score(self, logit: FloatArray, logs: FloatArray, own: FloatArray) -> FloatArray:
        raise NotImplementedError

    def variance(self, draw: Any, tilt: FloatArray) -> Any:
        return draw.tilt_variance(*tilt)
