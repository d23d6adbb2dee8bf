"""`maximize_evidence`: the maximum-likelihood prior, or the proof that there is none.

The kinds of answer, and how they are told apart, are in `elbo_ref.mle.solve`. Here they are what
people expect around a maximum-likelihood estimate: standard errors from the observed information

    I = -(Hessian of the log evidence),     covariance I^-1,

taken in (logit m, log s), where it keeps its digits near the binomial limit, and turned into that
of a, b, m and s by the delta method; intervals; AIC and BIC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from scipy import special as sc

from elbo_ref._format.documents import Document, Documented, document, put
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Table
from elbo_ref._validation.arguments import FloatArray, check_type, probability, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.base import Interval
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.candidates import Candidate, Kind, Proof
from elbo_ref.mle.intervals import (
    PARAMETERS,
    Asked,
    ConfidenceRegion,
    Method,
    Parameter,
    check_parameter,
    check_value,
    parameter_of,
)  # fmt: skip
from elbo_ref.mle.profile_likelihood import ProfileLikelihood
from elbo_ref.mle.solve import solve
from elbo_ref.mle.summary import parameters, summary


@underflow_is_zero
@dataclass(frozen=True)
class EvidenceMaximum(Documented, Tabular):
    """The highest log evidence that any Beta prior gives some counts, attained or not.

    Returned by `elbo_ref.maximize_evidence`.

    Attributes
    ----------
    counts : Counts
    fixed : dict
        The parameter that was held fixed, and its value; empty if none was.
    proof : Proof
        ``lower`` and ``upper`` bounds of the highest log evidence, ``decided``, ``how`` it was
        reached, and the ``candidates``.

    Notes
    -----
    Standard errors and intervals rest on the asymptotics of maximum likelihood: many latents.
    """

    counts: Counts
    fixed: dict[str, float] = field(hash=False)
    proof: Proof = field(repr=False)

    @property
    def _best(self) -> Candidate:
        return self.proof.candidates[0]

    @property
    def kind(self) -> Kind:
        """The kind of answer.

        One of ``"no_information"``, ``"degenerate"``, ``"unidentified"``, ``"all_or_none"``,
        ``"binomial"`` and ``"interior"``; `elbo_ref.mle.solve` says what they mean.
        """
        return self._best.kind

    @property
    def log_evidence(self) -> float:
        """The maximum, or the supremum, in nats."""
        return self._best.log_evidence

    @property
    def prior(self) -> Beta | None:
        """The maximiser, where there is exactly one."""
        return self._best.prior

    @property
    def mean(self) -> float | None:
        """The prior's mean, or that in the limit; None where any will do."""
        return self._best.mean

    @property
    def concentration(self) -> float | None:
        """The prior's a + b; inf or 0.0 in the limit, None where any will do."""
        return self._best.concentration

    @property
    def rho(self) -> float | None:
        """The correlation of two trials of one latent, 1/(1 + a + b); None where any will do."""
        return None if self.concentration is None else 1 / (1 + self.concentration)

    @property
    def relative_error(self) -> float | None:
        """The estimated error of both concentrations: what rounding leaves open of them."""
        return None if self.prior is None else self._best.relative_error

    @property
    def attained(self) -> bool:
        """True if some prior has this evidence."""
        return self.kind in ("interior", "unidentified", "no_information")

    # -- standard errors, intervals, criteria ----------------------------------------------------

    @cached_property
    def _regions(self) -> dict[tuple[Parameter, float], ConfidenceRegion]:
        """The profile regions that were asked for, each found once."""
        return {}

    @property
    def covariance(self) -> FloatArray:
        """The inverse observed information, of (concentration1, concentration0).

        With something held fixed it is that of moving along what is left.

        Returns
        -------
        float64 ndarray, shape (2, 2)

        Raises
        ------
        ValueError
            If there is no interior maximum.
        """
        return self._best.covariance_of("concentration1", "concentration0")

    @property
    def standard_errors(self) -> dict[Parameter, float]:
        """The standard errors of the four parameters by name, by the delta method.

        That of what is held fixed is 0.0.

        Raises
        ------
        ValueError
            If there is no interior maximum.

        Examples
        --------
        >>> maximum = maximize_evidence(Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]))
        >>> round(maximum.standard_errors["mean"], 6)
        0.039345
        """
        variance = {
            of: 0.0 if of in self.fixed else self._best.covariance_of(of)[0, 0] for of in PARAMETERS
        }
        return {of: float(np.sqrt(value)) for of, value in variance.items()}

    def confidence_interval(
        self, parameter: Asked = "mean", *, method: Method = "profile", level: float = 0.95
    ) -> ConfidenceRegion:
        """Compute a confidence interval of one parameter of the prior.

        Parameters
        ----------
        parameter : {"mean", "concentration", "concentration1", "concentration0", "rho"}
        method : {"profile", "wald"}
            Profile: all values at which the highest log evidence is within half a chi-square
            quantile (one degree of freedom) of the maximum, or the supremum. Wald: the estimate
            plus and minus a normal quantile of standard errors, which may leave the parameter's
            range.
        level : float
            The coverage, asymptotically; in (0, 1).

        Returns
        -------
        ConfidenceRegion
            ``low, high = region`` are its ends. An end of 0.0, 1.0 or inf is open: the profile
            never falls far enough on that side. Where the profile dips below the threshold between
            two maxima the values are several ``intervals``, and the ends those of their hull.

        Raises
        ------
        ValueError
            If the parameter is held fixed; for Wald, if there is no interior maximum.

        References
        ----------
        Wilks, S. S. (1938). Annals of Mathematical Statistics 9, 60.

        Examples
        --------
        >>> maximum = maximize_evidence(Counts([3, 4, 9], 10))
        >>> [round(end, 4) for end in maximum.confidence_interval("concentration")]
        [0.5547, inf]
        """
        if not isinstance(method, str) or method not in ("wald", "profile"):
            raise ValueError(f"method = {method!r} must be 'wald' or 'profile'")
        check_parameter("parameter", parameter, "rho")
        of_rho = parameter == "rho"
        if of_rho and method == "profile":
            return self.confidence_interval("concentration", level=level).of_rho()
        of: Parameter = "concentration" if of_rho else parameter  # type: ignore[assignment]
        self._check_free(of)
        level = probability("level", level)
        if method == "profile":
            if (of, level) not in self._regions:
                likelihood = ProfileLikelihood(self.counts, of, self.fixed)
                self._regions[of, level] = likelihood.region(self._best, level)
            return self._regions[of, level]
        away = float(sc.ndtri((1 + level) / 2)) * self.standard_errors[of]
        assert self.prior is not None
        centre = parameter_of(self.prior, of)
        if of_rho:
            centre, away = 1 / (1 + centre), away / (1 + centre) ** 2
        interval = Interval(centre - away, centre + away)
        return ConfidenceRegion((interval,), parameter, "wald", level, True)

    def profile(self, parameter: Parameter, value: float) -> float:
        """Compute the highest log evidence with one parameter of the prior at a value.

        Parameters
        ----------
        parameter : {"mean", "concentration", "concentration1", "concentration0"}
        value : float
            A mean in [1e-80, 1), or a concentration in [1e-12, 1e15].

        Returns
        -------
        float
            In nats; -inf where no prior has the value beside what is held fixed.

        Raises
        ------
        ValueError
            If the parameter is held fixed, or the value is out of range.

        Examples
        --------
        >>> maximum = maximize_evidence(Counts([3, 4, 9], 10))
        >>> round(maximum.profile("mean", 0.5), 6)
        -6.949475
        """
        self._check_free(parameter)
        likelihood = ProfileLikelihood(self.counts, parameter, self.fixed)
        return likelihood(check_value(parameter, value))[0]

    def _check_free(self, parameter: Parameter) -> None:
        check_parameter("parameter", parameter)
        if parameter in self.fixed:
            raise ValueError(f"parameter = {parameter!r} is held fixed at {self.fixed[parameter]}")

    @property
    def num_parameters(self) -> int:
        """The number of free parameters: 2, or 1."""
        return 2 - len(self.fixed)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 parameters - 2 log evidence (of the supremum, if not attained)."""
        return 2 * self.num_parameters - 2 * self.log_evidence

    @property
    def bic(self) -> float:
        """Schwarz's criterion, log(latents with trials) parameters - 2 log evidence."""
        counts = self.counts
        latents = int(counts.multiplicity @ (counts.total_count > 0))
        return float(np.log(max(latents, 1))) * self.num_parameters - 2 * self.log_evidence

    @property
    def where(self) -> str:
        """The maximiser, or the limit that the evidence is approached in, in words."""
        return self._best.where

    @property
    def sentence(self) -> str:
        """The kind of answer and where it is, in a sentence."""
        return self._best.sentence

    def table(self) -> Table:
        """Lay out the parameters of the prior, with 95 % profile intervals.

        Standard errors are there where two of them stay above 0.
        """
        return self._table

    @cached_property
    def _table(self) -> Table:
        return parameters(self, self.free_errors)

    def blocks(self) -> Sequence[Block]:
        """Return the answer in a few lines of text."""
        return [summary(self, self.free_errors)]

    @property
    def free_errors(self) -> dict[Parameter, float]:
        """The standard errors of what is not held; empty without an interior maximum."""
        known = self._best.covariance is not None
        errors = self.standard_errors if known else {}
        return {name: error for name, error in errors.items() if name not in self.fixed}

    def to_dict(self) -> Document:
        """Turn the answer into a document of plain values; see docs/results.md."""
        body: Document = {
            **document("evidence_maximum"),
            "counts": self.counts.to_dict(),
            **self._best.body(),
            "attained": self.attained,
            "fixed": dict(self.fixed),
            "sentence": self.sentence,
            "aic": self.aic,
            "bic": self.bic,
            "proof": self.proof.body(),
        }
        put(body, "standard_errors", self.free_errors or None, "there is no interior maximum")
        return body

    def __repr__(self) -> str:
        held = f", fixed={self.fixed}" if self.fixed else ""
        return (
            f"EvidenceMaximum(kind={self.kind!r}, log_evidence={self.log_evidence!r}, "
            f"prior={self.prior!r}{held})"
        )


@underflow_is_zero
def maximize_evidence(counts: Counts, fixed: Mapping[str, float] | None = None) -> EvidenceMaximum:
    """Find the highest log evidence over all Beta priors, and prove it.

    Parameters
    ----------
    counts : Counts
    fixed : mapping, optional
        One parameter to hold: ``{"mean": m}``, ``{"concentration": s}`` (the total a + b),
        ``{"concentration1": a}`` or ``{"concentration0": b}``.

    Returns
    -------
    EvidenceMaximum
        With ``kind``, ``prior``, ``log_evidence``, ``mean``, ``concentration`` and ``proof``.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; if more than one parameter is to be held, or a value is
        out of range: a mean must lie in [1e-80, 1), a concentration in [1e-12, 1e15].

    See Also
    --------
    elbo_ref.likelihood_ratio_test, elbo_ref.tarone_test : tests of the binomial with one c.
    elbo_ref.estimate : each latent, at the maximum or averaged; a prior for each level.
    elbo_ref.estimate_table : the maximum beside other estimates.

    Notes
    -----
    The log evidence (E1) is maximised by branch and bound on its profile over 1/(a + b) and over
    a + b (E10); docs/evidence.md explains the proof.

    The proof's bounds are within 1e-14 of the log evidence, or 1e-9, for total counts up to 1e18;
    `proof` says how wide.

    Examples
    --------
    >>> counts = Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
    >>> print(maximize_evidence(counts).summary())  # doctest: +ELLIPSIS
    130 of 240 trials succeed, latents 120
    interior: the evidence has its maximum -129.31 at Beta(0.5493, 0.46479)
    log evidence: -129.306759248
    concentration1: 0.5492957746479 +- 0.18029
    concentration0: 0.4647887323944 +- 0.15206
    mean: 0.5416666666667 +- 0.039345
    concentration: 1.014084507042 +- 0.32256
    rho: 0.4965034965035 +- 0.079516
    proof: to 1e-12 nats (branch and bound over ... intervals)
    >>> maximize_evidence(Counts(3, 10)).kind
    'binomial'
    >>> held = maximize_evidence(Counts(3, 10), fixed={"concentration0": 3.0})
    >>> round(held.prior.concentration1, 6)
    1.733693
    """
    check_type("counts", counts, Counts)
    held: dict[str, float] = {}
    if fixed is not None:
        if not isinstance(fixed, Mapping):
            raise TypeError(
                f"fixed must be a mapping, as {{'mean': 0.2}}, not {type(fixed).__name__}"
            )
        if len(fixed) != 1:
            raise ValueError(f"fixed must hold one thing, not {len(fixed)}")
        ((name, value),) = fixed.items()
        check_parameter("fixed", name)
        held[name] = check_value(name, value)
    return EvidenceMaximum(counts, held, _remembered(counts, next(iter(held.items()), None)))


_remembered = lru_cache(maxsize=4)(solve)
