"""Verdicts: outcomes from findings, and the sentences that are made of them."""

from __future__ import annotations

import re

import pytest

from elbo_ref.crosscheck import Finding, Verdict
from elbo_ref.crosscheck.findings import EXIT_CODES, OPTIMUM
from elbo_ref.crosscheck.mistakes import MISTAKES
from elbo_ref.crosscheck.wording import OUTCOMES, advice

AGREES = Finding("losses", "mean loss", 3.25, 3.0, 0.5, "Monte Carlo")
AWAY = Finding("drifting", "the objective is 3 nats below its supremum", status="optimum")
WRONG = Finding(
    "wrong_sign", "times -1: mean", -3.0, 3.0, status="mistake", rivals=("kernel_error",)
)
BLIND = Finding("untested", "the losses (none were given)", status="untested")
OUTCOME = {
    (): "too_little_to_tell",
    (BLIND,): "too_little_to_tell",
    (AGREES, BLIND): "agrees",
    (AWAY, AGREES): "not_at_optimum",
    (WRONG, AWAY, AGREES): "mistake",
}


@pytest.mark.parametrize("findings", OUTCOME)
def test_the_gravest_finding_decides(findings):
    verdict = Verdict("somebody's run", findings)
    assert verdict.outcome == OUTCOME[findings]
    assert verdict.exit_code == EXIT_CODES[verdict.outcome]
    assert verdict.summary().startswith(f"verdict: {OUTCOMES[verdict.outcome]}. ")
    assert verdict.genuine == (verdict.outcome in ("agrees", "not_at_optimum"))


def test_the_answer_comes_first_and_the_advice_last():
    verdict = Verdict(
        "somebody's run",
        (WRONG, AWAY, BLIND),
        {"objective": -2.5, "gap": None},
        ("wrong_latents",),
        ("Correct that first.",),
    )
    lines = verdict.summary().splitlines()
    assert lines[0].startswith("verdict: a mistake. These numbers are not what they are taken for:")
    assert [line for line in lines if line.startswith("exact")] == ["exact: objective -2.5"]
    assert lines[-2:] == ["Ruled out: wrong_latents.", "Correct that first."]
    for text in (
        MISTAKES["wrong_sign"].meaning,
        "Equally possible: kernel_error.",
        "Could not be tested: the",
    ):
        assert text in verdict.paragraph
    assert max(map(len, lines)) <= 120


def test_colours_are_of_outcome_and_statuses_alone():
    verdict = Verdict("somebody's run", (WRONG, AWAY, AGREES, BLIND))
    plain, painted = verdict.summary(), verdict.summary(colour=True)
    assert "\x1b" not in plain and re.sub("\x1b\\[[0-9]*m", "", painted) == plain
    assert painted.startswith("\x1b[31mverdict: a mistake.\x1b[0m These")
    assert "\n\x1b[32magrees\x1b[0m    losses" in painted


def test_the_line_of_the_optimum_does_not_repeat_the_answer():
    """The kind and the reason alone; the quantity is in the answer."""
    away = AWAY._replace(reason="all trials end alike")
    text = Verdict("somebody's run", (away, AGREES)).summary()
    assert text.count(AWAY.quantity) == 1
    assert "\noptimum   drifting: all trials end alike\n" in text
    assert AWAY.quantity in away.line()


def test_advice_for_every_state():
    for name in OPTIMUM:
        (text,) = advice([Finding(name, "", status="optimum")], has_losses=True)
        assert text.startswith("More steps")
    assert len(advice([WRONG, AWAY], has_losses=True)) == 3
    assert advice([AGREES], has_losses=True) == ()
    (text,) = advice([BLIND], has_losses=False)
    assert text.startswith("Evaluate the loss")
