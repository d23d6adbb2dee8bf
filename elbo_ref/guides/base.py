r"""`Guide`: where c is drawn from, and which log densities one particle counts.

One particle's estimate of a latent's objective is

    f = log p(x | c) + prior_weight log p(c) - source_weight log q(c) + jacobian log c (1 - c),

with c drawn from a *source* q (`elbo_ref.distributions.base`): a distribution with parameters of
its own, the prior, or the exact posterior. Everything else follows from these fields, once for all.
With outcomes (K, F), the concentrations (a0, b0) of the prior and the exponents (e1, e0) of the
source, f is the linear form A log c + D log(1 - c) + residual + normalizer + logC, whose *tilt* is

    (A, D) = outcomes + prior_weight (prior - 1) - source_weight (exponents - 1) + jacobian,

and its gradient is, J' being the transposed derivative of the source's parameters by the prior's,

    prior_weight score(prior) + J' [through the draw - source_weight score(source)].

Where prior and source have parameters in common these are formed so that what cancels is 0 exactly.

Arrays have one row for each parameter and one column for each latent: `prior` is (2, 1) or (2, G),
rows concentration1 and concentration0; `parameters`, a guide's own, constrained, are (k, G), and of
a guide that is the posterior they are the outcomes; `outcomes` is (2, G), successes and failures. A
*source gradient* has one row for each parameter of the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, check_fits
from elbo_ref.distributions.base import Center, Source
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA, beta_deviance
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.point import Delta, Parameter, PointSource
from elbo_ref.guides.constraints import EXP, REAL, SOFTPLUS, Constraint, of_rows
from elbo_ref.guides.optimum import best_parameters
from elbo_ref.special import log_beta_remainder

GuideValue = Beta | LogitNormal | Delta | Parameter
"""The value that a guide has reached, or starts from; a `Delta` is a `Parameter`."""

_START = {
    "concentration1": 1.0,
    "concentration0": 1.0,
    "loc": 0.0,
    "scale": 0.1,
    "logits": 0.0,
}


@dataclass(frozen=True, eq=False)
class Guide:
    """A way to fit the model.

    Attributes
    ----------
    name : str
    source : Source
        The family that c is drawn from.
    kind : type
        The class of the value that ``run.guide`` is.
    origin : "own", "prior" or "posterior"
        The owner of the source's parameters.
    prior_weight, source_weight, jacobian : int
        How often log p(c) is counted, log q(c) subtracted and log c (1 - c) added.
    shared : bool
        Whether all latents share one set of parameters; G is then 1 in the shape of these.
    detached : bool
        Whether no gradient passes through the source.
    positive : Constraint
        The constraint of its concentrations.
    outcomes : ndarray, shape (2, G)
        The data, of a guide that depends on them.
    """

    name: str
    source: Source
    kind: type[GuideValue]
    origin: Literal["own", "prior", "posterior"] = "own"
    prior_weight: int = 1
    source_weight: int = 1
    jacobian: int = 0
    shared: bool = False
    detached: bool = False
    positive: Constraint = field(default=EXP, repr=False)
    outcomes: FloatArray | None = field(default=None, repr=False)

    # -- what follows from the fields -----------------------------------------------------------

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """The k parameters that each latent has of its own."""
        return self.source.names if self.origin == "own" else ()

    @property
    def is_point(self) -> bool:
        """True if c is a parameter itself, not drawn."""
        return isinstance(self.source, PointSource)

    @property
    def has_prior(self) -> bool:
        """True if the prior is part of the model at all."""
        return self.prior_weight != 0

    @property
    def has_score(self) -> bool:
        """True if c is drawn from a density with parameters of its own."""
        return self.origin == "own" and not self.is_point

    @property
    def is_elbo(self) -> bool:
        """True if the objective is a lower bound of the evidence."""
        return self.has_prior and self.prior_weight == self.source_weight and not self.jacobian

    @cached_property
    def density_weight(self) -> int:
        """The multiple of log c and log(1 - c), centered, that is in the source gradient.

        They are the score of a Beta: without expectation, but not zero draw by draw.
        """
        if self.origin == "own":
            return -self.source_weight if self.source.has_exponents else 0
        return 0 if self.detached else self.prior_weight - self.source_weight

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """The constraint of each parameter; Pyro's guides hold a scale by softplus."""
        of = {"loc": REAL, "logits": REAL, "scale": SOFTPLUS}
        return tuple(of.get(name, self.positive) for name in self.parameter_names)

    # -- the guide on some data, and as an objective sees it ------------------------------------

    def on(self, outcomes: FloatArray) -> Guide:
        """Return the guide for these outcomes; most are the same for all."""
        if self.origin == "posterior" or (self.is_point and self.kind is LogitNormal):
            return replace(self, outcomes=outcomes)
        return self

    def under(self, positive: Constraint) -> Guide:
        """Return the guide with this constraint of its concentrations."""
        return self if positive is self.positive else replace(self, positive=positive)

    def without_jacobian(self) -> Guide:
        """Return the guide with its density of the logit taken for one of c, as Pyro's mean field.

        Only the logit-normal and `laplace` count a density of the logit.
        """
        on_logit = self.jacobian + (0 if self.source.has_exponents else self.source_weight)
        return replace(self, jacobian=self.jacobian - 1) if on_logit else self

    # -- parameters -----------------------------------------------------------------------------

    def start(self, value: object, size: int) -> FloatArray:
        """Return unconstrained parameters (k, size) at a `GuideValue`, else at the default."""
        rows = [_START[name] for name in self.parameter_names]
        if isinstance(value, GuideValue) and rows:
            check_fits("guide", value.shape, size)
            if isinstance(value, LogitNormal) and self.is_point:
                value = Parameter(logits=value.loc)
            rows = [getattr(value, name) for name in self.parameter_names]
        constrained = np.array([np.broadcast_to(row, (size,)) for row in rows])
        return self.unconstrain(constrained.reshape(-1, size))

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        """Map unconstrained parameters (k, ..., G) to constrained ones."""
        if self.origin == "posterior":
            assert self.outcomes is not None
            rows = np.expand_dims(self.outcomes, tuple(range(1, unconstrained.ndim - 1)))
            return np.broadcast_to(rows, (2, *unconstrained.shape[1:]))
        return self._constraint.constrain(unconstrained)

    def unconstrain(self, parameters: FloatArray) -> FloatArray:
        """Map constrained parameters to unconstrained ones."""
        return self._constraint.unconstrain(parameters[: len(self.parameter_names)])

    def slope(self, parameters: FloatArray) -> FloatArray:
        """Differentiate the constrained by the unconstrained parameters."""
        return self._constraint.slope(parameters[: len(self.parameter_names)])

    @cached_property
    def _constraint(self) -> Constraint:
        return of_rows(self.constraints)

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the parameters at which the exact objective is highest under one prior (2, 1).

        `weights` (G,) is how often each entry counts. nan where one that counts has no parameters
        that attain the supremum; where it does not count any will do.
        """
        if self.origin == "posterior":
            return outcomes
        if self.origin == "prior":
            return np.zeros((0, outcomes.shape[1]))
        if self.shared:
            outcomes = (outcomes @ weights / max(weights.sum(), 1.0))[:, None]
        exponents = self._tilt_beside_source(prior, outcomes)
        if self.source_weight > 1:
            exponents = exponents / self.source_weight
        best = best_parameters(self.source, exponents)
        return best if self.shared else np.where(weights > 0, best, 1.0)

    def source_parameters(self, prior: FloatArray, parameters: FloatArray) -> FloatArray:
        """Return the parameters of the source, (k, ..., G)."""
        if self.origin == "own":
            return parameters
        return prior if self.origin == "prior" else prior + parameters

    def value(self, prior: Beta, parameters: FloatArray) -> GuideValue | None:
        """Return the value that ``run.guide`` is; None if the guide has no sample statement."""
        a, b = prior.arrays()
        if self.origin == "prior":
            return prior if self.source_weight else None
        if prior.shape:
            a, b = a[..., None], b[..., None]
        if self.origin == "posterior":
            return Beta(a + parameters[0], b + parameters[1])
        if not self.is_point:
            return self.kind(*parameters)
        (logits,) = parameters
        if issubclass(self.kind, Parameter):
            return self.kind(logits=logits)
        assert self.outcomes is not None
        total = a + b + self.outcomes.sum(axis=0)
        curvature = total * sc.expit(logits) * sc.expit(-logits)
        return LogitNormal(logits, 1 / np.sqrt(np.maximum(curvature, 1e-200)))

    # -- the linear form ------------------------------------------------------------------------

    def tilt(self, prior: FloatArray, parameters: FloatArray, outcomes: FloatArray) -> FloatArray:
        """Return (A, D), broadcast from what it depends on."""
        tilt = self._tilt_beside_source(prior, outcomes)
        if self._subtracts_parameters:
            tilt = tilt - _times(self.source_weight, parameters)
        return tilt

    def _tilt_beside_source(self, prior: FloatArray, outcomes: FloatArray) -> FloatArray:
        """Return the tilt without the source's own exponents; the prior's in it are cancelled."""
        tilt = outcomes + self._constant_exponent if self._constant_exponent else outcomes
        return _times(self._prior_exponents, prior) + tilt if self._prior_exponents else tilt

    @cached_property
    def _constant_exponent(self) -> int:
        return self.jacobian - self.prior_weight + self.source_weight

    @cached_property
    def _prior_exponents(self) -> int:
        return self.prior_weight - (0 if self.origin == "own" else self.source_weight)

    @cached_property
    def _subtracts_parameters(self) -> bool:
        counted = self.source.has_exponents and self.source_weight != 0
        return counted and self.origin != "prior"

    @cached_property
    def _distinct_weights(self) -> tuple[int, int]:
        """The weights of prior and source; where they are one distribution, all is the source's."""
        if self.origin == "prior":
            return 0, self.source_weight - self.prior_weight
        return self.prior_weight, self.source_weight

    def normalizer(self, prior: FloatArray, parameters: FloatArray) -> FloatArray | float:
        """Return the counted log densities in expectation, less the tilt's part of them."""
        prior_weight, source_weight = self._distinct_weights
        total: FloatArray | float = 0.0
        if source_weight:
            x = self.source_parameters(prior, parameters)
            total = _times(source_weight, self.source.log_normalizer(x))
        if prior_weight:
            total = total - _times(prior_weight, BETA.log_normalizer(prior))
        return total

    def counted_at_center(self, prior: FloatArray, center: Center) -> FloatArray | float:
        """Return the counted log densities at the center of the source, nats for each latent."""
        prior_weight, source_weight = self._distinct_weights
        counted = _times(source_weight, center.remainder) if source_weight else 0.0
        if prior_weight:
            a, b = prior
            counted = counted - _times(prior_weight, log_beta_remainder(a, b))
            counted = counted - _times(prior_weight, beta_deviance(a, b, center))
        if self._constant_exponent:
            counted = counted + self._constant_exponent * center.log_jacobian()
        return counted

    def residual(self, logit: FloatArray, x: FloatArray) -> FloatArray | None:
        """Return the source's residual at draws, as often as it is counted; None if it has none."""
        residual = self.source.residual(logit, x)
        return None if residual is None else _times(self.source_weight, residual)

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, parameters: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the gradient of one latent of each entry, by the prior and by the parameters.

        Parameters
        ----------
        source : ndarray, shape (..., k, G)
            The source gradient, `density_weight` times the centered logarithms included.
        logs : ndarray, shape (..., 2, G)
            log c and log(1 - c), averaged over draws or in expectation.
        prior : ndarray, shape (2, 1) or (2, G)
        parameters : ndarray, shape (k, G)

        Returns
        -------
        tuple of ndarray, shapes (..., 2, G) and (..., k, G)
            By constrained parameters.
        """
        if self.origin == "prior":
            return source, source[..., :0, :]
        expected = BETA.expected_logs(prior) if self.prior_weight else 0.0
        if self.origin == "posterior" and not self.detached:
            gained = BETA.expected_logs(self.source_parameters(prior, parameters)) - expected
            by_prior = source + _times(self.prior_weight, gained)
            return by_prior, by_prior[..., :0, :]
        by_prior = _times(self.prior_weight, logs - expected)
        if self.origin == "posterior":
            return by_prior, by_prior[..., :0, :]
        constant = self.source.residual_gradient(parameters)
        by_params = source if constant is None else source + _times(self.source_weight, constant)
        if self.shared:
            by_prior = np.broadcast_to(by_prior, (*by_params.shape[:-2], 2, by_params.shape[-1]))
        return by_prior, by_params


def _times(weight: int, x: Any) -> Any:
    """Return weight x, at no cost for the weight that most have."""
    return x if weight == 1 else weight * x
