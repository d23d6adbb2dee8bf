"""`estimate_table`: every point estimate of one data set, side by side.

"The" estimate of c, and of the prior, depends on what is maximised, and over what:

    classical MLE      the likelihood, one c for all latents; the prior plays no part
    MAP                likelihood times prior, for each latent, as a density of c or of logit c:
                       with A = a + K and B = b + N - K the modes are (A-1)/(A+B-2) and A/(A+B),
                       the optima of a `delta` and a `laplace` guide
    posterior mean     A/(A+B) too, from no maximisation
    empirical Bayes    the evidence (E1), over the prior
    a guide of SVI     its own objective, over the guide's parameters and what is learned of the
                       prior (`elbo_ref.optima`)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from elbo_ref._format.documents import Document, Documented, document, put
from elbo_ref._format.numbers import describe, pair
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.sentences import optimum as sentences
from elbo_ref._format.table import Column, Table, wrapped
from elbo_ref._validation.arguments import FloatArray, check_type, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence, posterior
from elbo_ref.guides import GUIDES
from elbo_ref.mle.binomial import pooled_log_likelihood, pooled_mean
from elbo_ref.mle.intervals import CONCENTRATIONS, IN_RANGE
from elbo_ref.optima.find import find_optimum
from elbo_ref.optima.optimum import Optimum, Reason
from elbo_ref.optima.posterior import of_evidence
from elbo_ref.svi.parameters import NAMES, Learned

_LEARNABLE: dict[Learned, str] = {
    False: "-",
    True: "both",
    "concentration1": "concentration1",
    "concentration0": "concentration0",
}


@dataclass(frozen=True, eq=False)
class EstimateTable(Documented, Tabular):
    """Every point estimate of one data set; made by `estimate_table`.

    Attributes
    ----------
    counts : Counts
    prior : Beta
        The prior of the MAP and the posterior mean; its concentrations are held where only the
        other is learnable.
    rows : tuple of Optimum
        One for each estimate, with its name.
    """

    counts: Counts
    prior: Beta
    rows: tuple[Optimum, ...] = field(repr=False)

    def __getitem__(self, key: str | tuple[str, str]) -> Optimum:
        """Return a row by name, or by name and what is learnable: "both", a name, or "-"."""
        name, learnable = key if isinstance(key, tuple) else (key, None)
        for row in self.rows:
            if row.name == name and learnable in (None, _LEARNABLE[row.learned]):
                return row
        raise KeyError(key)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Optimum]:
        return iter(self.rows)

    def table(self) -> Table:
        """Lay out the estimates: the place as numbers where there is one, and in words."""
        cells = self._cells()
        known = [row.c for row in self.rows]
        columns = [Column(cells[name], name, name, left=True) for name in ("estimate", "learnable")]
        columns += [Column([getattr(row, name) for row in self.rows], name) for name in NAMES]
        columns.append(Column([None if c is None or c.ndim else c.item() for c in known], "c"))
        columns += [Column(cells[name], name, name, left=True) for name in ("where", "maximised")]
        heights = [row.value for row in self.rows]
        columns.append(
            Column(heights, "value", "value", left=True, text=cells["value"].__getitem__)
        )
        columns += [
            Column([row.attained for row in self.rows], "attained"),
            Column(cells["why"], "why"),
        ]
        return Table(columns, key=2)

    def _repr_html_(self) -> str:
        """Make the table, each reason in its row."""
        *columns, why = self.table().columns
        why = replace(why, heading="why", left=True)
        return Table([*columns, why], self._caption()).to_html()

    def _cells(self) -> dict[str, list[str]]:
        """Write the columns as text, by heading."""
        return {
            "estimate": [row.name for row in self.rows],
            "learnable": [_LEARNABLE[row.learned] for row in self.rows],
            "where": [sentences.location(row) for row in self.rows],
            "maximised": [sentences.maximised(row) for row in self.rows],
            "value": [sentences.height(row) for row in self.rows],
            "why": [sentences.reason(row) for row in self.rows],
        }

    def blocks(self) -> Sequence[Block]:
        """Return the table, with the reasons below."""
        cells, reasons = self._cells(), dict[str, dict[str, list[str]]]()
        names = cells["estimate"]
        for name, learnable, why in zip(names, cells["learnable"], cells["why"], strict=True):
            reasons.setdefault(why, {}).setdefault(name, []).append(learnable)
        notes = []
        for why, estimates in reasons.items():
            labels = [
                name if names.count(name) == 1 else f"{name} ({', '.join(learnable)})"
                for name, learnable in estimates.items()
            ]
            notes.append(wrapped(f"{'; '.join(labels)}: {why}."))
        return [self._caption(), "", self.table(), "", *notes]

    def _caption(self) -> str:
        return f"{self.counts.summary()}; prior {describe(self.prior)}"

    def to_dict(self) -> Document:
        """Return the table as a document of plain values; see docs/results.md."""
        cells = zip(*self._cells().values(), strict=True)
        return {
            **document("estimates"),
            "counts": self.counts.to_dict(),
            "prior": pair(self.prior),
            "rows": [_plain(row, *texts) for row, texts in zip(self.rows, cells, strict=True)],
        }


def _plain(
    row: Optimum, name: str, learnable: str, place: str, objective: str, _: str, reason: str
) -> Document:
    plain: Document = {
        "name": name,
        "learnable": learnable,
        "place": place,
        "objective": objective,
        "attained": row.attained,
        "reason": reason,
    }
    for key in NAMES:
        value = getattr(row, key)
        why = "it tends to infinity" if value == np.inf else "there is no one value"
        put(plain, key, value, why)
    put(plain, "value", row.value, "it is unbounded")
    c = None
    if row.c is not None:
        c = [float(x) if np.isfinite(x) else None for x in np.atleast_1d(row.c)]
    put(plain, "c", c, "there is no one value")
    return plain


@underflow_is_zero
def estimate_table(counts: Counts, prior: Beta | None = None) -> EstimateTable:
    """Tabulate every estimate: MLE, MAP, posterior mean, empirical Bayes, the optima of SVI.

    Parameters
    ----------
    counts : Counts
    prior : Beta, optional
        For the MAP and the posterior mean, and for what is held where one concentration is
        learnable; Beta(1, 1) by default. One for all latents.

    Returns
    -------
    EstimateTable
        Its `rows` are `Optimum` values; ``table[name]`` or ``table[name, learnable]`` is one.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; if the prior is an array, or a concentration of it is
        outside [1e-12, 1e15].

    See Also
    --------
    elbo_ref.maximize_evidence : the maximum-likelihood prior, with proof.
    elbo_ref.diagnose : the optimum of one run's own objective.

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
    for name in NAMES:
        low, high = CONCENTRATIONS
        if not low <= getattr(prior, name) <= high:
            raise ValueError(f"prior: {name} = {getattr(prior, name)} {IN_RANGE}")
    evidence = of_evidence(counts, prior, True)
    rows = [
        _classical(counts),
        _named("MAP in c", _of("delta", counts, prior, False)),
        _named("MAP in logit c", _of("laplace", counts, prior, False)),
        _posterior_mean(prior, counts),
        _named("empirical Bayes", evidence._replace(maximised="log_evidence")),
    ]
    choices: tuple[Learned, ...] = (True, "concentration1", "concentration0")
    for guide in ("beta", "tied", "empty"):
        rows += [_named(f"guide {guide}", _of(guide, counts, prior, each)) for each in choices]
    rows.append(_named("guide none", _of("none", counts, prior, False)))
    return EstimateTable(counts, prior, tuple(rows))


def _of(guide: str, counts: Counts, prior: Beta, learned: Learned) -> Optimum:
    return find_optimum(GUIDES[guide], counts, prior, learned)


def _named(name: str, row: Optimum) -> Optimum:
    """Name a row; its c may be a prior's mean, and a density be attained at 0 or at 1."""
    if row.c is None:
        return row._replace(name=name, c=None if row.mean is None else np.asarray(row.mean))
    return row._replace(name=name, c=_one(row.c), attained=bool(np.isfinite(row.value)))


def _classical(counts: Counts) -> Optimum:
    mean = pooled_mean(counts)
    why: Reason = "no_trials" if np.isnan(mean) else "pooled_likelihood"
    height = pooled_log_likelihood(counts)
    return Optimum(
        "latents", why, height, True, c=np.asarray(mean), maximised="log_likelihood",
        name="classical MLE",
    )  # fmt: skip


def _posterior_mean(prior: Beta, counts: Counts) -> Optimum:
    c = _one(np.asarray(posterior(prior, counts).mean))
    height = log_evidence(prior, counts)
    return Optimum(
        "latents", "posterior_mean", height, True, c=c, maximised="log_evidence",
        name="posterior mean",
    )  # fmt: skip


def _one(values: FloatArray) -> FloatArray:
    """Return a single value where there is one latent."""
    return values[0] if values.size == 1 else values
