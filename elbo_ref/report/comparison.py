"""Runs with different guides on the same counts, side by side: as text, document and table.

A run that no diagnosis was made of, because of an interrupt, stands for itself: the numbers of its
diagnosis are null, with that reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elbo_ref._format.documents import Document, document, put
from elbo_ref._format.numbers import number
from elbo_ref._format.table import Column, Table, joined, wrapped
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.distributions.base import Distribution
from elbo_ref.report.sentences import conclusion
from elbo_ref.svi.parameters import NAMES
from elbo_ref.svi.result import Run

NOT_DIAGNOSED = "interrupted before it was worked out"

_PROB = 0.95
"""Probability of the intervals."""

_OF_DIAGNOSIS = (
    "arrived",
    "case",
    "distance",
    "evidence_supremum",
    "gap",
    "log_evidence",
    "noise_floor",
    "objective",
    "objective_supremum",
    "passes_at",
    "posterior",
    "shortfall",
)


@dataclass(frozen=True)
class Comparison:
    """Results with the same settings, one for each guide.

    Attributes
    ----------
    results : sequence of Diagnosis or Run
        A run is one without a diagnosis.
    not_begun : sequence of str
        The guides that were asked for and not begun, because of an interrupt.
    """

    results: Sequence[Diagnosis | Run]
    not_begun: Sequence[str] = ()

    @property
    def runs(self) -> list[Run]:
        """The runs, diagnosed or not."""
        return [_run(result) for result in self.results]

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """The diagnoses that were made."""
        return [result for result in self.results if isinstance(result, Diagnosis)]

    @property
    def complete(self) -> bool:
        """True if every run is diagnosed."""
        return len(self.diagnoses) == len(self.results)

    @property
    def interrupted(self) -> bool:
        """True if something that was asked for is missing because of an interrupt."""
        ended = any(run.ending == "interrupted" for run in self.runs)
        return bool(self.not_begun) or not self.complete or ended

    @property
    def conclusion(self) -> str:
        """The results taken together, in words, if all are diagnosed."""
        return conclusion(self.diagnoses) if self.complete else NOT_DIAGNOSED

    def text(self, title: str, names: Mapping[str, str]) -> str:
        """Format the conclusion, a table of the guides, a sentence on each, and the noise.

        Parameters
        ----------
        title : str
            Of the data.
        names : mapping
            The data's own names of ``"concentration1"`` and ``"concentration0"``, where they have
            some.
        """
        first = self.runs[0]
        return "\n".join(
            [
                title,
                f"{first.counts.summary()}, {first.settings()}",
                "",
                wrapped(f"conclusion: {self.conclusion}."),
                "",
                self.table(names).to_text(),
                "",
                *(f"{self._of_guide(run).to_text()}\n" for run in self.runs if _holds(run)),
                *(wrapped(f"{name}: {sentence}.") for name, sentence in self.said().items()),
            ]
        )

    def said(self) -> dict[str, str]:
        """Return a sentence on each guide by its name, and one on the noise."""
        said = {_run(result).guide_name: _sentence(result) for result in self.results}
        if self.diagnoses and self.runs[0].loss_name != "exact":
            said["noise"] = _noise(self.diagnoses)
        return said

    def document(self, source: Document) -> Document:
        """Collect all numbers and words, as ``python -m elbo_ref.fit --json`` prints them.

        Parameters
        ----------
        source : Document
            Where the counts came from.
        """
        return {
            **document("fit"),
            "conclusion": self.conclusion,
            "converged": not self.not_begun
            and self.complete
            and all(run.stopped == "converged" for run in self.runs),
            "counts": self.runs[0].counts.to_dict(),
            "diagnoses": [x.body() if isinstance(x, Diagnosis) else _body(x) for x in self.results],
            "input": source,
            "interrupted": self.interrupted,
            "not_begun": list(self.not_begun),
        }

    def posteriors(self) -> Table:
        """Tabulate the posterior of each latent under the prior of each guide, beside the guide."""
        tables = {}
        for result in self.results:
            run = _run(result)
            if run.has_prior:
                known = result.posterior if isinstance(result, Diagnosis) else None
                exact = (known or run.posterior_table()).table()
                columns = [*exact.columns, *_guide_columns(run)]
                tables[run.guide_name] = replace(exact, columns=columns)
        return joined("guide", tables)

    def _of_guide(self, run: Run) -> Table:
        """Tabulate where a guide ended beside the posterior of each latent."""
        exact = run.posterior_table().table()
        columns = [x for x in exact.columns if x.heading and x.heading != "shrinkage"]
        caption = exact.caption.replace("posterior of each latent", "the exact posterior", 1)
        caption = f"guide {run.guide_name} beside {caption}"
        return Table([*columns, *_guide_columns(run)], caption)

    def table(self, names: Mapping[str, str]) -> Table:
        """Tabulate the guides below the exact answer; `names` are as for `text`."""
        headings = ["guide"]
        for name in NAMES:
            headings.append(f"{name} ({names[name]})" if name in names else name)
        headings += ["objective", "log evidence", "gap", "std of a loss"]
        rows = [*map(_exact_row, self.diagnoses[:1]), *map(_row, self.results)]
        columns = zip(*rows, strict=True)
        return Table(
            [
                Column(values, heading=heading, left=heading == "guide")
                for heading, values in zip(headings, columns, strict=True)
            ]
        )


def _holds(run: Run) -> bool:
    """Tell whether a run holds the prior, so that its guide is what it has found."""
    return run.has_prior and not run.learn_prior and run.guide is not None


def _guide_columns(run: Run) -> list[Column]:
    """Make the columns of where the guide ended, for each latent; empty cells without a guide."""
    size, guide = len(run.counts), run.guide
    values: list[Any] = [None] * 3
    if isinstance(guide, Distribution):
        values = [guide.mean, *guide.interval(_PROB)]
    wide = [[None] * size if x is None else np.broadcast_to(x, (size,)) for x in values]
    headings = ("guide mean", f"{100 * _PROB:g}% from", "to")
    names = ("guide_mean", "guide_lower", "guide_upper")
    return [Column(*column) for column in zip(wide, names, headings, strict=True)]


def _run(result: Diagnosis | Run) -> Run:
    return result.run if isinstance(result, Diagnosis) else result


def _exact_row(diagnosis: Diagnosis) -> tuple[str | float | None, ...]:
    """Make the row of the exact answer: the evidence's maximum, or the posterior's evidence."""
    run, highest = diagnosis.run, diagnosis.supremum
    prior, height = highest.prior, diagnosis.log_evidence
    if _holds(run):
        prior = run.prior
    else:
        height = highest.log_evidence
    a, b = (None, None) if prior is None else (x.item() for x in prior.arrays())
    return "exact", a, b, None, height, None, None


def _row(result: Diagnosis | Run) -> tuple[str | float | None, ...]:
    run = _run(result)
    a, b = (x.item() for x in run.prior.arrays()) if run.has_prior else (None, None)
    if isinstance(result, Run):
        return run.guide_name, a, b, None, None, None, None
    return run.guide_name, a, b, result.objective, result.log_evidence, result.gap, run.step_std


def _sentence(result: Diagnosis | Run) -> str:
    """Put a result into words; without a diagnosis, its ending."""
    if isinstance(result, Diagnosis):
        return result.sentence
    return f"{_message(result)}; not diagnosed"


def _message(run: Run) -> str:
    return run.message if run.ending != "completed" else f"completed at step {len(run.losses)}"


def _noise(diagnoses: Sequence[Diagnosis]) -> str:
    """Put into words the noise of a step's loss beside the differences between guides, in words."""
    known = [d.run.step_std for d in diagnoses if d.run.step_std is not None]
    if not known:
        return "the standard deviation of a step's loss is not known"
    noises = sorted(map(number, set(known)), key=float)
    text = f"a step's loss has standard deviation {noises[0]}"
    if len(noises) > 1:
        text += f" to {noises[-1]}"
    if len(diagnoses) == 1:
        return text
    objectives = [d.objective for d in diagnoses]
    spread = max(objectives) - min(objectives)
    text += f", objectives differ by {number(spread)}"
    if spread < min(known):
        text += ": seeds differ more than guides"
    return text


def _body(run: Run) -> Document:
    """Make the document of a run that has no diagnosis."""
    stationarity = Document()
    body: Document = {"run": run.record() | {"message": _message(run), "stopped": run.ending}}
    for name in ("objective", "step_std"):
        put(body["run"], name, None, NOT_DIAGNOSED)
    for name in ("decrement", "step"):
        put(stationarity, name, None, NOT_DIAGNOSED)
    body["run"]["stationarity"] = stationarity
    body["sentence"] = _sentence(run)
    for name in _OF_DIAGNOSIS:
        put(body, name, None, NOT_DIAGNOSED)
    return body
