"""`maximize_evidence`: the maximum-likelihood prior, or the proof that there is none.

The kinds of answer, and how they are told apart, are in `elbo_ref.mle.solve`. Here they are what
people expect around a maximum-likelihood estimate: standard errors from the observed information

    I = -(Hessian of the log evidence),     covariance I^-1,

taken in (logit m, log s), where it keeps its digits near the binomial limit, and turned into that
of a, b, m and s by the delta method; intervals; AIC and BIC.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, overload

import numpy as np
from scipy import special as sc

from elbo_ref._format.documents import Document, document, put, to_json
from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray, check_type, scalar, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.base import Interval
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.candidates import Candidate, Kind, Proof
from elbo_ref.mle.intervals import (
    CONCENTRATIONS,
    IN_RANGE,
    LEAST_MEAN,
    PARAMETERS,
    ConfidenceRegion,
    Parameter,
)
from elbo_ref.mle.profile_likelihood import Profile
from elbo_ref.mle.solve import prove


@underflow_is_zero
@dataclass(frozen=True)
class EvidenceMaximum:
    """The highest log evidence that any Beta prior gives some counts, attained or not.

    Attributes
    ----------
    counts : Counts
    fixed : dict
        What was held fixed, by name; empty, or one entry.
    proof : Proof
        ``lower`` and ``upper`` bounds of the highest log evidence, ``decided``, ``how`` it was
        reached, and the ``candidates``.
    """

    counts: Counts
    fixed: dict[str, float] = field(hash=False)
    proof: Proof = field(repr=False)

    @property
    def _best(self) -> Candidate:
        return self.proof.candidates[0]

    @property
    def kind(self) -> Kind:
        """``"no_information"``, ``"degenerate"``, ``"unidentified"``, ``"all_or_none"``,
        ``"binomial"`` or ``"interior"``; `elbo_ref.mle.solve` says what they mean."""
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
        """Of the prior there, or in the limit; None where any will do."""
        return self._best.mean

    @property
    def concentration(self) -> float | None:
        """a + b there; inf or 0.0 in the limit, None where any will do."""
        return self._best.concentration

    @property
    def relative_error(self) -> float | None:
        """Estimated, of both concentrations of the prior: what rounding leaves open."""
        return None if self.prior is None else self._best.relative_error

    @property
    def attained(self) -> bool:
        """Whether some prior has this evidence."""
        return self.kind in ("interior", "unidentified", "no_information")

    @property
    def place(self) -> str:
        """Where the evidence is highest, in words."""
        return self._best.place

    # -- what people expect around a maximum-likelihood estimate ---------------------------------

    @property
    def covariance(self) -> FloatArray:
        """The inverse observed information, of (concentration1, concentration0), shape (2, 2).

        With something held fixed it is that of moving along what is left.

        Raises
        ------
        ValueError
            If there is no interior maximum.
        """
        slopes = np.array([self._slope("concentration1"), self._slope("concentration0")])
        return np.asarray(slopes @ self._spread() @ slopes.T, np.float64)

    def standard_error(self, of: Parameter) -> float:
        """The standard error of one of `PARAMETERS`, by the delta method.

        Examples
        --------
        >>> maximum = maximize_evidence(Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]))
        >>> round(maximum.standard_error("mean"), 6)
        0.039345
        """
        _check_parameter("of", of)
        slope, spread = self._slope(of), self._spread()
        return 0.0 if of in self.fixed else float(np.sqrt(slope @ spread @ slope))

    def _spread(self) -> FloatArray:
        """The covariance of (logit m, log s)."""
        if self._best.spread is None:
            raise ValueError(f"no standard errors: {self.sentence}")
        logit, both, log = self._best.spread
        return np.array([[logit, both], [both, log]])

    def _slope(self, of: Parameter) -> FloatArray:
        """The derivatives of a parameter with respect to (logit m, log s)."""
        if self.prior is None:
            raise ValueError(f"no standard errors: {self.sentence}")
        a, b = map(float, self.prior.arrays())
        s = a + b
        return {
            "concentration1": a * np.array([b / s, 1.0]),
            "concentration0": b * np.array([-a / s, 1.0]),
            "mean": a / s * (b / s) * np.array([1.0, 0.0]),
            "concentration": s * np.array([0.0, 1.0]),
        }[of]

    @overload
    def interval(
        self, kind: Literal["profile"] = "profile", of: Parameter = "mean", prob: float = 0.95
    ) -> ConfidenceRegion: ...

    @overload
    def interval(
        self, kind: Literal["wald"], of: Parameter = "mean", prob: float = 0.95
    ) -> Interval: ...

    def interval(
        self,
        kind: Literal["wald", "profile"] = "profile",
        of: Parameter = "mean",
        prob: float = 0.95,
    ) -> Interval:
        """A confidence interval of one parameter of the prior.

        Parameters
        ----------
        kind : {"profile", "wald"}
            Profile: all values at which the highest log evidence is within half a chi-square
            quantile (one degree of freedom) of the maximum, or the supremum. Wald: the estimate
            plus and minus a normal quantile of standard errors, which may leave the parameter's
            range.
        of : {"concentration1", "concentration0", "mean", "concentration"}
        prob : float
            The coverage, asymptotically.

        Returns
        -------
        Interval
            ``lower`` and ``upper``. An end of 0.0, 1.0 or inf is open: the profile never falls
            far enough on that side. For a profile it is a `ConfidenceRegion`: where the profile
            dips below the level between two maxima the values are several ``intervals``, and
            ``lower`` and ``upper`` the ends of their hull.

        Raises
        ------
        ValueError
            If the parameter is held fixed; for Wald, if there is no interior maximum.

        Examples
        --------
        >>> maximum = maximize_evidence(Counts([3, 4, 9], 10))
        >>> [round(end, 4) for end in maximum.interval("profile", of="concentration")]
        [0.5547, inf]
        >>> k, n = [0, 3, 15, 26, 34], [3, 3, 30, 60, 60]
        >>> maximum = maximize_evidence(Counts(k, n, multiplicity=[15, 15, 5, 5, 5]))
        >>> print(maximum.interval("profile", of="concentration"))
        concentration, 95%: several intervals: 0.53327 to 6.0208; 17.672 to inf
        """
        if not isinstance(kind, str) or kind not in ("wald", "profile"):
            raise ValueError(f"kind = {kind!r} must be 'wald' or 'profile'")
        _check_parameter("of", of)
        prob = scalar("prob", prob, lambda p: 0 < p < 1, "must lie strictly between 0 and 1")
        if of in self.fixed:
            raise ValueError(f"of = {of!r} is held fixed at {self.fixed[of]}")
        if kind == "wald":
            away = float(sc.ndtri((1 + prob) / 2)) * self.standard_error(of)
            assert self.prior is not None
            centre = PARAMETERS[of](*map(float, self.prior.arrays()))
            return Interval(centre - away, centre + away)
        return Profile(self.counts, of, self.fixed).region(self._best, prob)

    def profile(self, of: Parameter, value: float) -> float:
        """The highest log evidence with one parameter of the prior at a value.

        Examples
        --------
        >>> maximum = maximize_evidence(Counts([3, 4, 9], 10))
        >>> round(maximum.profile("mean", 0.5), 6)
        -6.949475
        """
        _check_parameter("of", of)
        if of in self.fixed:
            raise ValueError(f"of = {of!r} is held fixed at {self.fixed[of]}")
        return Profile(self.counts, of, self.fixed)(_value(of, value))[0]

    @property
    def num_parameters(self) -> int:
        """How many parameters were free: 2, or 1."""
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

    # -- words and documents ---------------------------------------------------------------------

    @property
    def sentence(self) -> str:
        """The kind of answer and where it is, in a sentence."""
        return self._best.sentence

    def summary(self) -> str:
        """The answer in a few lines of text."""
        lines = [f"{self.counts.summary()}{self._held()}", f"{self.kind}: {self.sentence}"]
        lines.append(f"log evidence: {self.log_evidence:.13g}")
        if self.prior is not None:
            for name, of in PARAMETERS.items():
                value = of(*map(float, self.prior.arrays()))
                lines.append(f"{name}: {value:.13g}{self._plus_minus(name)}")
        proof = self.proof
        lines.append(f"proof: to {proof.width:.2g} nats ({proof.how})")
        if not proof.decided:
            lines.append(f"undecided: {proof.undecided}")
        return "\n".join(lines)

    def _held(self) -> str:
        return "".join(f", {name} held at {value:g}" for name, value in self.fixed.items())

    def _plus_minus(self, of: Parameter) -> str:
        if of in self.fixed or self._best.spread is None:
            return ""
        return f" +- {number(self.standard_error(of))}"

    def to_dict(self) -> Document:
        """The answer as a document of plain values; see docs/results.md."""
        return {**document("evidence_maximum"), "counts": self.counts.to_dict(), **self.body()}

    def body(self) -> Document:
        """The part of `to_dict` that is not the counts."""
        body: Document = {
            **self._best.body(),
            "attained": self.attained,
            "fixed": dict(self.fixed),
            "sentence": self.sentence,
            "aic": self.aic,
            "bic": self.bic,
            "proof": self.proof.body(),
        }
        errors = None
        if self._best.spread is not None:
            errors = {of: self.standard_error(of) for of in PARAMETERS if of not in self.fixed}
        put(body, "standard_errors", errors, "there is no interior maximum")
        return body

    def to_json(self) -> str:
        """The same as text."""
        return to_json(self.to_dict())

    def __repr__(self) -> str:
        held = f", fixed={self.fixed}" if self.fixed else ""
        return (
            f"EvidenceMaximum(kind={self.kind!r}, log_evidence={self.log_evidence!r}, "
            f"prior={self.prior!r}{held})"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"


@underflow_is_zero
def maximize_evidence(counts: Counts, fixed: Mapping[str, float] | None = None) -> EvidenceMaximum:
    """Find the highest log evidence over all Beta priors, and prove it.

    Parameters
    ----------
    counts : Counts
    fixed : mapping, optional
        One thing to hold: ``{"mean": m}``, ``{"concentration": s}`` (the total a + b),
        ``{"concentration1": a}`` or ``{"concentration0": b}``.

    Returns
    -------
    EvidenceMaximum
        With ``kind``, ``prior``, ``log_evidence``, ``mean``, ``concentration`` and ``proof``.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; if more than one thing is to be held, or a value is out
        of range: a mean must lie in [1e-80, 1), a concentration in [1e-12, 1e15].

    Notes
    -----
    For total counts up to 1e4 the proof's bounds are within 1e-14 of the log evidence, or 1e-9.
    Above that they may be wider where the counts are nearly binomial; `proof` says how wide.

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
            raise TypeError(f"fixed must be a mapping, not {type(fixed).__name__}")
        if len(fixed) != 1:
            raise ValueError(f"fixed must hold one thing, not {len(fixed)}")
        ((name, value),) = fixed.items()
        _check_parameter("fixed", name)
        held[name] = _value(name, value)
    return EvidenceMaximum(counts, held, _remembered(counts, next(iter(held.items()), None)))


_remembered = lru_cache(maxsize=4)(prove)


def _check_parameter(argument: str, name: object) -> None:
    if not isinstance(name, str) or name not in PARAMETERS:
        raise ValueError(f"{argument}: {name!r} must be one of {', '.join(PARAMETERS)}")


def _value(name: str, value: float) -> float:
    if name == "mean":
        mean = scalar(name, value, lambda m: 0 < m < 1, "must lie strictly between 0 and 1")
        rule = f"must be at least {LEAST_MEAN:g}: a concentration would be too small for a Beta"
        return scalar(name, mean, lambda m: m >= LEAST_MEAN, rule)
    low, high = CONCENTRATIONS
    return scalar(name, value, lambda x: low <= x <= high, IN_RANGE)
