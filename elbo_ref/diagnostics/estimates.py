"""`estimate_table`: every point estimate of one data set, side by side.

What is "the" estimate of c, and of the prior? It depends on what is maximised, and over what:

    classical MLE      the likelihood, one c for all latents; the prior plays no part
    MAP                likelihood times prior, for each latent, as a density of c or of logit c:
                       with A = a + K and B = b + N - K the modes are (A-1)/(A+B-2) and A/(A+B)
    posterior mean     A/(A+B) too, from no maximisation
    empirical Bayes    the evidence (E1), over the prior
    a guide of SVI     its own objective, over the guide's parameters and what is learnable of the
                       prior: `elbo_ref.optima.prior`
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from elbo_ref._format.documents import Document, document, put, to_json
from elbo_ref._format.numbers import describe, number
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray, check_type, underflow_is_zero
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence, posterior
from elbo_ref.mle.intervals import CONCENTRATIONS, IN_RANGE
from elbo_ref.mle.solve import own_log_likelihood, pooled_log_likelihood, pooled_mean
from elbo_ref.optima.prior import Destination, Learnable, of_empty, of_evidence, of_tied

_WIDTH = 120
_TIGHT = "the guide can be the posterior: the evidence's own maximum, with no gap"


@by_value
class Estimate(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name : str
        What is estimated how.
    learnable : str
        Which of the prior's concentrations are: ``"both"``, one by name, or ``"-"``.
    c : ndarray, shape (), (G,) or None
        The estimate of c: one for all latents, or one each; nan where there is no interior one.
        For what estimates the prior, the prior's mean. None where there is none.
    place : str
        c or the prior in words.
    concentration1, concentration0 : float or None
        The prior's, where it is estimated; inf or 0.0 for a limit, None where there is no one
        value.
    objective : str
        What is maximised.
    value : float
        Its maximum or supremum, in nats; inf where it is unbounded, nan where it is no maximum.
    attained : bool
    reason : str
    """

    name: str
    learnable: str
    c: FloatArray | None
    place: str
    concentration1: float | None
    concentration0: float | None
    objective: str
    value: float
    attained: bool
    reason: str


@dataclass(frozen=True, eq=False)
class EstimateTable:
    """Every point estimate of one data set; made by `estimate_table`.

    Attributes
    ----------
    counts : Counts
    prior : Beta
        The one that the MAP and the posterior mean are under, and whose concentrations are held
        where only the other is learnable.
    rows : tuple of Estimate
    """

    counts: Counts
    prior: Beta
    rows: tuple[Estimate, ...] = field(repr=False)

    def __getitem__(self, key: str | tuple[str, str]) -> Estimate:
        """A row by name, or by name and what is learnable."""
        name, learnable = key if isinstance(key, tuple) else (key, None)
        for row in self.rows:
            if row.name == name and learnable in (None, row.learnable):
                return row
        raise KeyError(key)

    def summary(self) -> str:
        """The table as text, with the reasons below."""
        reasons: dict[str, list[str]] = {}
        for row in self.rows:
            if row.reason:
                label = (
                    row.name if row.learnable in ("-", "both") else f"{row.name}, {row.learnable}"
                )
                reasons.setdefault(row.reason, []).append(label)
        notes = [
            textwrap.fill(f"{'; '.join(names)}: {why}.", _WIDTH, subsequent_indent="    ")
            for why, names in reasons.items()
        ]
        return "\n".join([self._head(), "", self._table().to_text(), "", *notes])

    __str__ = summary

    def _repr_html_(self) -> str:
        why = Column([row.reason for row in self.rows], heading="why", left=True)
        return Table([*self._table().columns, why], self._head()).to_html()

    def _head(self) -> str:
        return f"{self.counts.summary()}; prior {describe(self.prior)}"

    def _table(self) -> Table:
        columns = {
            "estimate": [row.name for row in self.rows],
            "learnable": [row.learnable for row in self.rows],
            "where": [row.place for row in self.rows],
            "maximised": [row.objective for row in self.rows],
            "value": [_value(row) for row in self.rows],
        }
        return Table([Column(each, heading=name, left=True) for name, each in columns.items()])

    def to_dict(self) -> Document:
        """The table as a document of plain values; see docs/results.md."""
        return {
            **document("estimates"),
            "counts": self.counts.to_dict(),
            "prior": {
                "concentration1": self.prior.concentration1,
                "concentration0": self.prior.concentration0,
            },
            "rows": [_plain(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """The same as text."""
        return to_json(self.to_dict())


@underflow_is_zero
def estimate_table(counts: Counts, prior: Beta | None = None) -> EstimateTable:
    """Classical MLE, MAP, posterior mean, empirical Bayes, and where each guide of SVI leads.

    Parameters
    ----------
    counts : Counts
    prior : Beta, optional
        For the MAP and the posterior mean, and for what is held where one concentration is
        learnable; Beta(1, 1) by default. One for all latents.

    Returns
    -------
    EstimateTable

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; if the prior is an array, or a concentration of it is
        outside [1e-12, 1e15].

    Examples
    --------
    >>> table = estimate_table(Counts(3, 10), Beta(2.0, 3.0))
    >>> empty = table["guide empty", "concentration1"]
    >>> round(empty.concentration1, 4), round(empty.value, 6)
    (1.628, -2.249283)
    >>> [round(float(table[name].c), 6) for name in ("MAP in c", "MAP in logit c")]
    [0.307692, 0.333333]
    """
    check_type("counts", counts, Counts)
    prior = Beta(1.0, 1.0) if prior is None else prior
    check_type("prior", prior, Beta)
    if prior.shape:
        raise ValueError(f"prior must be one Beta, not an array of shape {prior.shape}")
    for name in ("concentration1", "concentration0"):
        low, high = CONCENTRATIONS
        if not low <= getattr(prior, name) <= high:
            raise ValueError(f"prior: {name} = {getattr(prior, name)} {IN_RANGE}")
    rows = [_classical(counts), *_maps(prior, counts), _posterior_mean(prior, counts)]
    best = of_evidence(counts, prior, "both")
    rows.append(_row("empirical Bayes", "both", "log evidence", best, best.reason))
    choices: tuple[Learnable, ...] = ("both", "concentration1", "concentration0")
    for each in choices:
        end = of_evidence(counts, prior, each)
        rows.append(_row("guide beta", each, "ELBO", end, _TIGHT))
    for each in choices:
        end = of_tied(counts, prior, each)
        rows.append(_row("guide tied", each, "E_prior[log lik]", end, end.reason))
    for each in choices:
        end = of_empty(counts, prior, each)
        rows.append(_row("guide empty", each, "E_prior[log lik] - H(prior)", end, end.reason))
    rows.append(_none(counts))
    return EstimateTable(counts, prior, tuple(rows))


def _classical(counts: Counts) -> Estimate:
    mean = pooled_mean(counts)
    has = not np.isnan(mean)
    return Estimate(
        "classical MLE",
        "-",
        np.asarray(mean),
        f"c = {number(mean)}" if has else "any c",
        None,
        None,
        "log likelihood",
        pooled_log_likelihood(counts),
        True,
        "one c for all latents and no prior on it" if has else "there are no trials",
    )


def _none(counts: Counts) -> Estimate:
    with np.errstate(invalid="ignore"):
        c = counts.successes / counts.total_count
    return Estimate(
        "guide none",
        "-",
        c,
        _spread(c),
        None,
        None,
        "log likelihood",
        own_log_likelihood(counts),
        True,
        "no latent is drawn: c = K/N is each row's own parameter",
    )


def _maps(prior: Beta, counts: Counts) -> list[Estimate]:
    after = posterior(prior, counts)
    a, b = after.arrays()
    mode, mean = np.asarray(after.mode), np.asarray(after.mean)
    flat, both = (a == 1) & (b == 1), (a < 1) & (b < 1)
    named = np.where(flat, "flat", np.where(both, "both", ""))
    named = np.where((mode == 0) & (named == ""), "at 0", named)
    named = np.where((mode == 1) & (named == ""), "at 1", named)
    says = counts.multiplicity > 0
    at_end = (named != "") & (named != "flat") & ((a < 1) | (b < 1)) & says
    evidence = log_evidence(prior, counts)
    height = np.inf
    if not at_end.any():
        at = np.where(flat, 0.5, mode)
        at = np.where(says, at, 0.5)
        density = np.where(says, np.asarray(after.log_prob(at)), 0.0)
        height = evidence + float(counts.multiplicity @ density)
    edge = "" if not (named != "").any() else "the density has no interior mode there"
    jacobian = np.asarray(after.log_prob(np.clip(mean, 1e-300, 1.0)))
    logit_height = evidence + float(
        counts.multiplicity @ (jacobian + np.log(a / (a + b)) + np.log(b / (a + b)))
    )
    inner = np.where(named == "", mode, np.nan)
    return [
        Estimate(
            "MAP in c", "-", _one(inner), _spread(mode, named), None, None,
            "log p(K, c)", height, not at_end.any(), edge,
        ),
        Estimate(
            "MAP in logit c", "-", _one(mean), _spread(mean), None, None,
            "log p(K, logit c)", logit_height, True,
            "the Jacobian c (1 - c) moves the mode, which is always inside",
        ),
    ]  # fmt: skip


def _posterior_mean(prior: Beta, counts: Counts) -> Estimate:
    mean = np.asarray(posterior(prior, counts).mean)
    return Estimate(
        "posterior mean", "-", _one(mean), _spread(mean), None, None,
        "log evidence", log_evidence(prior, counts), True,
        "nothing is maximised; beside it the log evidence of the prior",
    )  # fmt: skip


def _row(name: str, learnable: str, objective: str, end: Destination, reason: str) -> Estimate:
    return Estimate(
        name, learnable, None if end.mean is None else np.asarray(end.mean), end.place,
        end.concentration1, end.concentration0, objective, end.value, end.attained, reason,
    )  # fmt: skip


def _one(values: FloatArray) -> FloatArray:
    """A single value where there is one latent."""
    return values[0] if values.size == 1 else values


def _spread(c: FloatArray, named: FloatArray | None = None) -> str:
    """Estimates of all latents in a few words."""
    named = np.full(c.shape, "") if named is None else named
    inner = c[(named == "") & np.isfinite(c)]
    words = []
    if inner.size:
        low, high = number(inner.min()), number(inner.max())
        words.append(f"c = {low}" if low == high else f"c from {low} to {high}")
    for name in ("at 0", "at 1", "both", "flat"):
        times = int((named == name).sum())
        if times:
            words.append(name if c.size == 1 else f"{times} {name}")
    return ", ".join(words) or "any c"


def _value(row: Estimate) -> str:
    if row.value == np.inf:
        return "unbounded"
    return number(row.value) + ("" if row.attained else " (not attained)")


def _plain(row: Estimate) -> Document:
    plain: Document = {
        "name": row.name,
        "learnable": row.learnable,
        "place": row.place,
        "objective": row.objective,
        "attained": row.attained,
        "reason": row.reason,
    }
    for name in ("concentration1", "concentration0"):
        value = getattr(row, name)
        reason = "it tends to infinity" if value == np.inf else "there is no one value"
        put(plain, name, value, reason)
    put(plain, "value", row.value, "it is unbounded")
    c = None
    if row.c is not None:
        c = [float(x) if np.isfinite(x) else None for x in np.atleast_1d(row.c)]
    put(plain, "c", c, "there is no one value")
    return plain
