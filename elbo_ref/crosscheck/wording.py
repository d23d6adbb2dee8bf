"""Sentences of a verdict, made of its kinds and numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import describe, number
from elbo_ref._format.table import WIDTH
from elbo_ref.crosscheck.mistakes import MISTAKES

if TYPE_CHECKING:
    from elbo_ref.crosscheck.findings import Finding, Verdict

OUTCOMES = {
    "agrees": "agrees",
    "not_at_optimum": "not at an optimum",
    "mistake": "a mistake",
    "too_little_to_tell": "too little to tell",
    "outside_model": "outside the model",
}

_GREEN, _YELLOW, _RED, _DIM = "32", "33", "31", "2"
_COLOURS = {
    "agrees": _GREEN,
    "not_at_optimum": _YELLOW,
    "optimum": _YELLOW,
    "too_little_to_tell": _YELLOW,
    "mistake": _RED,
    "outside_model": _RED,
    "outside": _RED,
    "note": _DIM,
    "untested": _DIM,
}
"""Colours of outcomes and statuses on a terminal."""

_ON_OPTIMUM = {
    "unbounded": "More steps do not help: the model or the guide has to change.",
    "drifting": (
        "More steps only go on drifting: hold one concentration or the mean fixed, or take the "
        "supremum for the answer."
    ),
    "not_converged": "More steps, or a smaller learning rate at the end.",
    "noise_floor": (
        "More steps do not help: a smaller learning rate at the end, or more particles."
    ),
}
"""Advice for numbers that are not at a maximum; the first that applies."""


def line(finding: Finding) -> str:
    """Put a finding on one line."""
    name = "" if finding.name == finding.status else f"{finding.name}: "
    text = f"{finding.status:8}  {name}{finding.quantity}"
    if finding.theirs is not None and finding.status != "optimum":
        text += f" {number(finding.theirs)}"
        if finding.ours is not None:
            text += f", should be {number(finding.ours)}"
        if finding.allowance is not None:
            text += f" +- {number(finding.allowance)}"
    return f"{text} ({finding.reason})" if finding.reason else text


def paragraph(verdict: Verdict) -> str:
    """Say all that a verdict comes to."""
    untested = "; ".join(finding.quantity for finding in verdict.having("untested"))
    parts = [_answer(verdict), _ruled_out(verdict)]
    parts += [f"Could not be tested: {untested}."] if untested else []
    return " ".join(part for part in (*parts, *verdict.advice) if part)


def _answer(verdict: Verdict) -> str:
    """Say if numbers are genuine, and if they are a maximum."""
    away = "; ".join(finding.quantity for finding in verdict.having("optimum"))
    at = [x.quantity for x in verdict.having("agrees") if x.name == "at_optimum"]
    maximum = f" They are a maximum: {at[0]}." if at else ""
    return _genuine(verdict) + (f" They are not a maximum: {away}." if away else maximum)


def _ruled_out(verdict: Verdict) -> str:
    return f"Ruled out: {', '.join(verdict.ruled_out)}." if verdict.ruled_out else ""


def _genuine(verdict: Verdict) -> str:
    outside = verdict.having("outside")
    if outside:
        what = "; ".join(finding.quantity for finding in outside)
        return f"This is another model than the Beta-Binomial: {what}."
    if verdict.mistakes:
        return f"These numbers are not what they are taken for: {_named(verdict)}"
    if verdict.genuine:
        return "These numbers are genuine: everything that could be compared agrees."
    return "There is too little here to say whether these numbers are genuine."


def _named(verdict: Verdict) -> str:
    """Name the mistakes; beside one without a name, those that it may be."""
    named = "; ".join(f"{name} ({_meaning(name)})" for name in verdict.mistakes)
    rivals = dict.fromkeys(x for f in verdict.having("mistake") for x in f.rivals)
    others = [name for name in rivals if name not in verdict.mistakes]
    if "loss_mismatch" not in verdict.mistakes:
        return f"{named}." + (f" Equally possible: {', '.join(others)}." if others else "")
    if not others:
        return f"{named}. None of the known mistakes explains the losses well."
    listed = "; ".join(f"{name} ({_meaning(name)})" for name in others)
    return f"{named}. It may be one of these, or none of the known mistakes: {listed}."


def _meaning(name: str) -> str:
    return MISTAKES[name].meaning if name in MISTAKES else name.replace("_", " ")


def summary(verdict: Verdict, *, colour: bool = False) -> str:
    """Put the answer first, then the exact numbers and the findings one a line, then the advice."""
    numbers = {name: x for name, x in verdict.exact.items() if x is not None}
    exact = ", ".join(f"{name.replace('_', ' ')} {number(x)}" for name, x in numbers.items())
    after = verdict.posterior
    if after is not None and np.size(after.concentration1) == 1:
        exact += f", posterior {describe(after)}"
    answer = f"verdict: {OUTCOMES[verdict.outcome]}."
    lines = _painted(answer, _wrapped(f"{answer} {_answer(verdict)}"), verdict.outcome, colour)
    lines += _wrapped(verdict.subject)
    lines += _wrapped(f"exact: {exact}") if exact else []
    for finding in verdict.findings:
        brief = finding.status == "optimum" and finding.reason  # the answer has the quantity
        text = f"optimum   {finding.name}: {finding.reason}" if brief else line(finding)
        lines += _painted(finding.status, _wrapped(text, 10), finding.status, colour)
    for text in (_ruled_out(verdict), *verdict.advice):
        lines += _wrapped(text)
    return "\n".join(lines)


def _painted(start: str, lines: list[str], kind: str, colour: bool) -> list[str]:
    """Colour the start of the first line by an outcome or a status."""
    if not colour or kind not in _COLOURS:
        return lines
    first, *others = lines
    return [f"\x1b[{_COLOURS[kind]}m{start}\x1b[0m{first[len(start) :]}", *others]


def _wrapped(text: str, indent: int = 4) -> list[str]:
    """Break a text into lines that fit a terminal, all but the first indented."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def advice(findings: Sequence[Finding], *, has_losses: bool) -> tuple[str, ...]:
    """Say what to do about findings."""
    sentences = []
    mistakes = [finding for finding in findings if finding.status == "mistake"]
    if any(finding.rivals for finding in mistakes):
        sentences.append("More evaluations, or a history of the parameters, tell them apart.")
    if mistakes:
        sentences.append("Correct that first; a recording of a few steps shows where it enters.")
    elif not has_losses:
        more = "Evaluate the loss some twenty times at these parameters and hand that in."
        sentences.append(more)
    names = {finding.name for finding in findings}
    sentences += [text for name, text in _ON_OPTIMUM.items() if name in names][:1]
    return tuple(sentences)
