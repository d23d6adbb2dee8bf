"""Sentences of a verdict, made of its kinds and numbers."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import describe, number, some_of
from elbo_ref._format.table import WIDTH, Column, Table
from elbo_ref._format.terminal import painted
from elbo_ref.crosscheck.mistakes import MISTAKES
from elbo_ref.svi.convergence import ARRIVED

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
    "too low": _YELLOW,
    "too_little_to_tell": _YELLOW,
    "mistake": _RED,
    "outside_model": _RED,
    "outside": _RED,
    "note": _DIM,
    "untested": _DIM,
}
"""Colours of outcomes and statuses on a terminal."""

_LABELS = {
    "at_optimum": "objective",
    "first_step": "first step",
    "draws": "draws (p-value)",
    "draw_mismatch": "draw_mismatch (p-value)",
    "with_mistake": "losses with the mistake",
}
"""Rows of the table that are not called by the names of their findings."""

_OF_EACH = {"gradients": "grad", "updates": "update"}
"""The same for those of a parameter or a role each, where not all of them agree."""

_WIDEST = 27
"""Characters of them; with numbers from 1e-99, and 100 rows, 80 to the line."""

_EXACT = "exact, in nats (the objective is minus the expected loss):"

MAY_BE_NOISE = "may_be_noise"
"""Kind of a distance from the maximum that noise explains, if the learning rate is a usual one."""

ON_ITS_WAY = "on_its_way"
"""Kind of a distance that noise seldom makes, of a run that passes for at its maximum."""

OTHER_STEPS = "other_steps"
"""The same of a run whose optimizer's noise is not known."""

_HELD_BACK = ("stands_still", "moved_away")
"""Notes that say why numbers are not at a maximum."""


def line(finding: Finding) -> str:
    """Put a finding on one line."""
    text = f"{finding.status:8}  {_named_quantity(finding)}"
    if finding.theirs is not None and finding.status != "optimum":
        text += f": {number(finding.theirs)}"
        if finding.ours is not None:
            text += f", should be {number(finding.ours)}"
        if finding.allowance is not None:
            text += f" +- {number(finding.allowance)}"
    return f"{text} ({finding.reason})" if finding.reason else text


def label(finding: Finding) -> str:
    """Say in a word or two what a finding compares, for its row of the table.

    Examples
    --------
    >>> from elbo_ref.crosscheck.findings import Finding
    >>> label(Finding("drifting", "", status="optimum")), label(Finding("wrong_sign", ""))
    ('objective (drifting)', 'wrong_sign')
    """
    if finding.status == "optimum":
        return f"objective ({finding.name})"
    if finding.of and finding.name in _OF_EACH:
        kind = _OF_EACH[finding.name]
        room = _WIDEST - len(kind) - 1
        return f"{kind} {finding.of if len(finding.of) <= room else '...' + finding.of[3 - room :]}"
    return _LABELS.get(finding.name, finding.name)


def _named_quantity(finding: Finding) -> str:
    name = "" if finding.name == finding.status else f"{finding.name}: "
    return name + finding.quantity.rstrip(",:;")  # which a number followed


def paragraph(verdict: Verdict) -> str:
    """Say all that a verdict comes to."""
    untested = "; ".join(finding.quantity for finding in verdict.having("untested"))
    parts = [answer(verdict), _ruled_out(verdict)]
    parts += [f"Could not be tested: {untested}."] if untested else []
    return " ".join(part for part in (*parts, *verdict.advice) if part)


def answer(verdict: Verdict) -> str:
    """Say if numbers are genuine, and if they are a maximum."""
    away = verdict.having("optimum")
    sentences = [_genuine(verdict)]
    if away:
        kind = "may not be" if _may_be_noise(verdict) else "are not"
        handed = any(x.name == "as_handed_in" for x in verdict.findings)
        who = "As handed in, they" if handed else "They"
        sentences.append(f"{who} {kind} at a maximum: {'; '.join(x.quantity for x in away)}.")
        held = [x.quantity for x in verdict.findings if x.name in _HELD_BACK and x.status == "note"]
        sentences += map(_sentence, held)
    at = [x for x in verdict.having("agrees") if x.name == "at_optimum"]
    sentences += [f"They are at a maximum{_noise(x)}: {x.quantity}." for x in at[:1]]
    unknown = [x.reason for x in verdict.having("untested") if x.name == "objective"]
    sentences += [f"Whether they are at a maximum is not known: {x}." for x in unknown]
    return " ".join(sentences)


def head(verdict: Verdict) -> str:
    """Name the outcome."""
    perhaps = "perhaps " if verdict.outcome == "not_at_optimum" and _may_be_noise(verdict) else ""
    return f"verdict: {perhaps}{OUTCOMES[verdict.outcome]}."


def _may_be_noise(verdict: Verdict) -> bool:
    """Return True if noise may be all that keeps numbers from their maximum."""
    away = verdict.having("optimum")
    return bool(away) and all(x.of in (MAY_BE_NOISE, OTHER_STEPS) for x in away)


def _noise(finding: Finding) -> str:
    """Say that a maximum may lack what noise costs, where it is allowed more than to arrive."""
    if finding.of == ON_ITS_WAY:
        return ", or still on their way to it"
    return ", but for noise" if (finding.allowance or 0.0) > ARRIVED else ""


def _ruled_out(verdict: Verdict) -> str:
    listed = _excluded(verdict)
    return f"Ruled out: {listed}." if listed else ""


def _excluded(verdict: Verdict) -> str:
    """List what is ruled out; beside a mistake without a name each by itself."""
    alone = "each by itself: " if "loss_mismatch" in verdict.mistakes else ""
    return alone + ", ".join(verdict.ruled_out) if verdict.ruled_out else ""


def _genuine(verdict: Verdict) -> str:
    outside = verdict.having("outside")
    if outside:
        what = "; ".join(finding.quantity for finding in outside)
        return f"This is another model than the Beta-Binomial: {what}."
    if verdict.mistakes:
        return f"These numbers are not what they are taken for: {_named(verdict)}"
    if verdict.genuine:
        return (
            f"These numbers are genuine: everything that could be compared agrees{_but(verdict)}."
        )
    return "There is too little here to say whether these numbers are genuine."


_CONDITIONS = {
    "recording": "; but {} steps, of other shapes or scales, are not in the recording",
    "last_losses": "; but {}",
    "elements_left": "; but {}",
    "masked": "; but {}",
    "no_parameter": "; but {}",
    "scale": "; but {}",
    "no_elbo": "; but {}",
    "unused": "; but no role uses {}, of which nothing is known",
    "num_particles": ", if a loss is the mean of {} particles, which nothing but its spread says",
    "spread": ", if a loss is {}, which nothing but its spread says",
    "common_source": "; but prior and guide are both computed from {}: neither is free",
    "tied": "; but prior and guide are the same parameters ({}), so that no posterior is learned",
}
"""Notes without which an answer that numbers are genuine would say too much."""


def _but(verdict: Verdict) -> str:
    """Say on what it rests that numbers are genuine."""
    found = {x.name: x for x in verdict.having("note") if x.name in _CONDITIONS and x.of}
    if "num_particles" in found:
        found.pop("spread", None)
    noted = found.values()
    return "".join(_CONDITIONS[x.name].format(some_of(x.of.split(", "), 4)) for x in noted)


def _named(verdict: Verdict) -> str:
    """Name the mistakes; beside one without a name, those that it may be."""
    named = "; ".join(f"{name} ({_meaning(name)})" for name in verdict.mistakes)
    rivals = dict.fromkeys(x for f in verdict.having("mistake") for x in f.rivals)
    others = [name for name in rivals if name not in verdict.mistakes]
    mismatch = [x for x in verdict.having("mistake") if x.name == "loss_mismatch"]
    if mismatch and mismatch[0].theirs is None:
        return named.replace(_meaning("loss_mismatch"), mismatch[0].quantity) + "."
    if "loss_mismatch" not in verdict.mistakes:
        return f"{named}." + (f" Equally possible: {', '.join(others)}." if others else "")
    other_run = "of another model than the Beta-Binomial, or of other counts or parameters"
    another = f" Or the run is {other_run}." * any(x.name == "tried" for x in verdict.findings)
    if not others:
        return f"{named}. None of the known mistakes explains the losses well.{another}"
    listed = "; ".join(f"{name} ({_meaning(name)})" for name in others)
    return f"{named}. It may be one of these, or none of the known mistakes: {listed}.{another}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _meaning(name: str) -> str:
    return MISTAKES[name].meaning if name in MISTAKES else name.replace("_", " ")


def tables(verdict: Verdict) -> list[Table]:
    """Make the table of what was compared and that of the exact numbers, if there are any."""
    rows = _compared(verdict)
    columns = [
        Column(range(1, len(rows) + 1), heading="#"),
        Column([_word(row) for row in rows], heading="outcome", left=True),
        Column([label(row) for row in rows], heading="compared", left=True),
        Column([row.theirs for row in rows], heading="yours"),
        Column([row.ours for row in rows], heading="should be"),
        Column([row.allowance for row in rows], heading="+-"),
    ]
    numbers = {name: x for name, x in verdict.exact.items() if x is not None}
    exact = [Column([x], heading=name.replace("_", " ")) for name, x in numbers.items()]
    made = (Table(columns) if rows else None, Table(exact, _EXACT) if exact else None)
    return [table for table in made if table is not None]


def _has_row(finding: Finding) -> bool:
    """Return True for findings that decide, and those with numbers."""
    return finding.status in ("mistake", "optimum", "agrees") or finding.theirs is not None


def _compared(verdict: Verdict) -> list[Finding]:
    """List the findings that have a row; gradients, or updates, that all agree share one."""
    rows = [x for x in verdict.findings if _has_row(x)]
    for name in _OF_EACH:
        each = [x for x in rows if x.name == name]
        if each and all(x.status == "agrees" for x in each):
            farthest = max(each, key=_distance)
            of_several = f"of {len(each)}, that of {farthest.of} is farthest off"
            what = of_several if len(each) > 1 else farthest.quantity
            rows[rows.index(each[0])] = farthest._replace(of="", quantity=what)
            rows = [x for x in rows if x not in each]
    return rows


def _distance(finding: Finding) -> float:
    """Measure how far two numbers are apart, in what they may be."""
    apart = abs((finding.theirs or 0.0) - (finding.ours or 0.0))
    return apart / (finding.allowance or 1.0)


def _word(finding: Finding) -> str:
    return "too low" if finding.status == "optimum" else finding.status


def details(verdict: Verdict) -> list[tuple[str, str]]:
    """List what stands behind the rows, by their numbers, and what has none, by its kind."""
    rows = _compared(verdict)
    found = [(str(i), _detail(row)) for i, row in enumerate(rows, 1)]
    without = (x for x in verdict.findings if not _has_row(x) and x.status != "outside")
    found += [(x.status, _detail(x)) for x in without]
    found += [("ruled out", _excluded(verdict))] if verdict.ruled_out else []
    after = verdict.posterior
    if after is not None and np.size(after.concentration1) == 1:
        found.append(("posterior", describe(after)))
    return [*found, ("checked", verdict.subject)]


def _detail(finding: Finding) -> str:
    """Say all of a finding but its numbers; an optimum's quantity is in the answer."""
    if finding.reason and (finding.status == "optimum" or finding.name == "at_optimum"):
        return f"{finding.name}: {finding.reason}"
    text = _named_quantity(finding)
    return f"{text} ({finding.reason})" if finding.reason else text


def summary(verdict: Verdict, *, colour: bool = False) -> str:
    """Put the answer first, then the tables, then the details one a line, then the advice."""
    start = head(verdict)
    first = _wrapped(f"{start} {answer(verdict)}")
    blocks = [_painted(first, start, verdict.outcome) if colour else first]
    for table in tables(verdict):
        lines = table.to_text().splitlines()
        blocks.append([_painted_row(x) for x in lines] if colour else lines)
    blocks.append([x for key, text in details(verdict) for x in _listed(key, text, colour)])
    blocks.append([x for text in verdict.advice for x in _wrapped(text)])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def as_html(verdict: Verdict) -> str:
    """Make the same of it for a notebook."""
    keys, texts = zip(*details(verdict), strict=True)
    more = Table([Column(keys, heading="#", left=True), Column(texts, heading="details")])
    parts = [f"<p><b>{head(verdict)}</b> {html.escape(answer(verdict))}</p>"]
    parts += [table.to_html() for table in (*tables(verdict), more)]
    return "".join([*parts, *(f"<p>{html.escape(text)}</p>" for text in verdict.advice)])


def _listed(key: str, text: str, colour: bool) -> list[str]:
    """Put a detail on lines of its own, its key before it."""
    lines = _wrapped(f"{key:9}  {text}", 11)
    return _painted(lines, key, key) if colour else lines


def _painted_row(row: str) -> str:
    """Colour the outcome in a row of the table, which stands after its number."""
    place, word = [*row.lstrip().split("  "), ""][:2]
    return row.replace(word, _paint(word, word), 1) if place.isdigit() else row


def _painted(lines: list[str], start: str, kind: str) -> list[str]:
    """Colour the start of the first line by an outcome or a status."""
    first, *others = lines
    return [_paint(start, kind) + first[len(start) :], *others]


def _paint(text: str, kind: str) -> str:
    return painted(text, _COLOURS[kind]) if kind in _COLOURS else text


def _wrapped(text: str, indent: int = 4) -> list[str]:
    """Break a text into lines that fit a terminal, all but the first indented."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
