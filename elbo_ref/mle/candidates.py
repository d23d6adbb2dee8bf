"""Candidates for the highest log evidence, and the proof among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from elbo_ref._format.documents import Document, put
from elbo_ref._format.numbers import pair
from elbo_ref._format.sentences import evidence as sentences
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.intervals import Parameter

Kind = Literal[
    "no_information", "degenerate", "unidentified", "all_or_none", "binomial", "interior"
]
ProofMethod = Literal["closed_form", "concave_in_mean", "one_latent", "branch_and_bound"]


class Candidate(NamedTuple):
    """A maximum of the log evidence, or a limit that nothing near it exceeds.

    Attributes
    ----------
    kind : str
        One of the six that `elbo_ref.EvidenceMaximum.kind` names.
    log_evidence : float
        Its height, in nats.
    mean, concentration : float or None
        None where any will do; a concentration may be inf or 0.0.
    prior : Beta or None
        None for a limit, and where it is not one prior.
    relative_error : float
        Estimated, of the prior's concentrations; 0.0 without a prior.
    covariance : tuple or None
        The inverse observed information of (logit m, log s): variance, covariance, variance.
    """

    kind: Kind
    log_evidence: float
    mean: float | None
    concentration: float | None
    prior: Beta | None
    relative_error: float = 0.0
    covariance: tuple[float, float, float] | None = None

    @property
    def mirrored(self) -> Candidate:
        """The candidate with successes and failures exchanged."""
        mean, prior, covariance = self.mean, self.prior, self.covariance
        if prior is not None:
            prior = Beta(prior.concentration0, prior.concentration1)
            mean = float(prior.mean)
        elif mean is not None:
            mean = 1 - mean
        if covariance is not None:
            covariance = covariance[0], -covariance[1], covariance[2]
        return self._replace(mean=mean, prior=prior, covariance=covariance)

    def covariance_of(self, *parameters: Parameter) -> FloatArray:
        """Compute the covariance of some parameters by the delta method, shape (P, P)."""
        if self.prior is None or self.covariance is None:
            raise ValueError(f"no standard errors: {self.sentence}")
        a, b = map(float, self.prior.arrays())
        s = a + b
        slopes = {
            "concentration1": a * np.array([b / s, 1.0]),
            "concentration0": b * np.array([-a / s, 1.0]),
            "mean": a / s * (b / s) * np.array([1.0, 0.0]),
            "concentration": s * np.array([0.0, 1.0]),
        }
        logit, both, log = self.covariance
        jacobian = np.array([slopes[parameter] for parameter in parameters])
        return np.asarray(jacobian @ np.array([[logit, both], [both, log]]) @ jacobian.T)

    @property
    def where(self) -> str:
        """The prior, or the limit that the evidence is approached in, in words."""
        return sentences.where(self)

    @property
    def sentence(self) -> str:
        """The kind of answer and where it is, in a sentence."""
        return sentences.candidate(self)

    def body(self) -> Document:
        """Turn it into a part of a document, as plain values."""
        body: Document = {"kind": self.kind, "log_evidence": self.log_evidence}
        put(body, "mean", self.mean, "any mean")
        limit = "it tends to infinity" if self.concentration == np.inf else "any concentration"
        put(body, "concentration", self.concentration, limit)
        put(body, "prior", self.prior and pair(self.prior), "no single prior attains it")
        error = None if self.prior is None else self.relative_error
        put(body, "relative_error", error, "there is no maximiser")
        return body


@dataclass(frozen=True)
class Proof:
    """The bounds of the highest log evidence, and what may attain it.

    Attributes
    ----------
    lower, upper : float
        It lies between them, rounding included.
    decided : bool
        Whether one candidate is certainly the highest.
    method : {"closed_form", "concave_in_mean", "one_latent", "branch_and_bound"}
    candidates : tuple of Candidate
        Those that cannot be told from the highest, which is the first; one where it is decided.
    intervals, left_over : int
        The number of intervals that branch and bound looked at, and of those that 53 bits could
        not tell from flat.
    """

    lower: float
    upper: float
    decided: bool
    method: ProofMethod
    candidates: tuple[Candidate, ...] = field(repr=False)
    intervals: int = 0
    left_over: int = 0

    @property
    def width(self) -> float:
        """The difference upper - lower, in nats."""
        return self.upper - self.lower

    @property
    def how(self) -> str:
        """The way to the proof, in words."""
        return sentences.way(self)

    @property
    def undecided(self) -> str:
        """The doubt that is left, in words; empty where it is decided."""
        return sentences.undecided(self)

    def body(self) -> Document:
        """Turn it into a part of a document, as plain values."""
        return {
            "lower": self.lower,
            "upper": self.upper,
            "decided": self.decided,
            "how": self.how,
            "candidates": [candidate.body() for candidate in self.candidates],
        }
