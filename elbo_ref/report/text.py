"""Runs with different guides, side by side, in about a dozen lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from elbo_ref.conclusion import conclusion
from elbo_ref.diagnosis import Diagnosis
from elbo_ref.words import number

_WIDTH = 120


def comparison(title: str, diagnoses: Sequence[Diagnosis], names: Mapping[str, str]) -> str:
    """A table of the guides, a sentence on each, the noise, and the conclusion.

    Parameters
    ----------
    title : str
        What the data are.
    diagnoses : sequence of Diagnosis
        One for each guide, on the same counts with the same settings.
    names : mapping
        The data's own names of ``"concentration1"`` and ``"concentration0"``, where they have some.
    """
    paragraphs = [(f"{d.run.guide_name}: ", f"{d.sentence}.") for d in diagnoses]
    if diagnoses[0].run.loss_name != "exact":
        paragraphs.append(("noise: ", f"{_noise(diagnoses)}."))
    paragraphs.append(("conclusion: ", f"{conclusion(diagnoses)}."))
    wrapped = [
        textwrap.fill(text, _WIDTH, initial_indent=head, subsequent_indent="    ")
        for head, text in paragraphs
    ]
    first = diagnoses[0].run
    facts = f"{first.counts.summary()}, {first.settings()}"
    return "\n".join([title, facts, "", *_table(diagnoses, names), "", *wrapped])


def _table(diagnoses: Sequence[Diagnosis], names: Mapping[str, str]) -> list[str]:
    def titled(name: str) -> str:
        return f"{name} ({names[name]})" if name in names else name

    header = ["guide", titled("concentration1"), titled("concentration0"), "objective"]
    header += ["log evidence", "gap", "std of a loss"]
    rows = [header]
    for d in diagnoses:
        has_prior = d.log_evidence is not None
        numbers = [
            d.run.prior.concentration1 if has_prior else None,
            d.run.prior.concentration0 if has_prior else None,
            d.objective,
            d.log_evidence,
            d.gap,
            d.run.step_std,
        ]
        rows.append([d.run.guide_name] + ["-" if x is None else number(x) for x in numbers])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


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
