"""Runs with different guides, side by side, in about a dozen lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from elbo_ref._format.numbers import number
from elbo_ref._format.table import Column, Table
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.report.document import concluded, runs_of, sentence_of
from elbo_ref.svi.result import Run

_WIDTH = 120


def comparison(title: str, results: Sequence[Diagnosis | Run], names: Mapping[str, str]) -> str:
    """A table of the guides, a sentence on each, the noise, and the conclusion.

    Parameters
    ----------
    title : str
        What the data are.
    results : sequence of Diagnosis or Run
        One for each guide, on the same counts with the same settings; a run is one without a
        diagnosis.
    names : mapping
        The data's own names of ``"concentration1"`` and ``"concentration0"``, where they have some.
    """
    first = runs_of(results)[0]
    diagnoses = [x for x in results if isinstance(x, Diagnosis)]
    paragraphs = []
    for result, run in zip(results, runs_of(results), strict=True):
        paragraphs.append((f"{run.guide_name}: ", f"{sentence_of(result)}."))
    if diagnoses and first.loss_name != "exact":
        paragraphs.append(("noise: ", f"{_noise(diagnoses)}."))
    paragraphs.append(("conclusion: ", f"{concluded(results)}."))
    wrapped = [
        textwrap.fill(text, _WIDTH, initial_indent=head, subsequent_indent="    ")
        for head, text in paragraphs
    ]
    facts = f"{first.counts.summary()}, {first.settings()}"
    return "\n".join([title, facts, "", str(_table(results, names)), "", *wrapped])


def _table(results: Sequence[Diagnosis | Run], names: Mapping[str, str]) -> Table:
    headings = ["guide"]
    for name in ("concentration1", "concentration0"):
        headings.append(f"{name} ({names[name]})" if name in names else name)
    headings += ["objective", "log evidence", "gap", "std of a loss"]
    columns = zip(*map(_row, results), strict=True)
    return Table(
        [
            Column(values, heading=heading, left=heading == "guide")
            for heading, values in zip(headings, columns, strict=True)
        ]
    )


def _row(result: Diagnosis | Run) -> tuple[str | float | None, ...]:
    run = result.run if isinstance(result, Diagnosis) else result
    a, b = (x.item() for x in run.prior.arrays()) if run.has_prior else (None, None)
    if isinstance(result, Run):
        return run.guide_name, a, b, None, None, None, None
    return run.guide_name, a, b, result.objective, result.log_evidence, result.gap, run.step_std


def _noise(diagnoses: Sequence[Diagnosis]) -> str:
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
