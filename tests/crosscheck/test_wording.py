"""Verdicts: outcomes from findings, and the sentences that are made of them."""

from __future__ import annotations

import html
import json
import re
from importlib import resources

import pytest

from elbo_ref.crosscheck import Finding, Verdict
from elbo_ref.crosscheck.advice import advise
from elbo_ref.crosscheck.findings import EXIT_CODES, OPTIMUM
from elbo_ref.crosscheck.mistakes import MISTAKES
from elbo_ref.crosscheck.wording import MAY_BE_NOISE, OUTCOMES, _distance, details, tables

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
    below = lines.index("objective")
    assert lines[below - 1].startswith("exact") and lines[below + 1].strip() == "-2.5"
    assert "ruled out  wrong_latents" in lines and "checked    somebody's run" in lines
    assert lines[-2:] == ["", "Correct that first."]
    for text in (
        MISTAKES["wrong_sign"].meaning,
        "Equally possible: kernel_error.",
        "Could not be tested: the",
    ):
        assert text in verdict.paragraph
    assert max(map(len, lines)) <= 120


def test_what_no_role_uses_is_in_the_answer():
    unused = Finding("unused", "tau: no role uses it", status="note", of="tau")
    tied = Finding("tied", "prior and guide are the same parameters", status="note", of="a, b")
    assert "same parameters (a, b)" in Verdict("somebody's run", (AGREES, tied)).answer
    assert "but no role uses tau" in Verdict("somebody's run", (AGREES, unused)).answer
    assert "tau" not in Verdict("somebody's run", (WRONG, unused)).answer


def test_colours_are_of_outcome_and_statuses_alone():
    verdict = Verdict("somebody's run", (WRONG, AWAY, AGREES, BLIND))
    plain, painted = verdict.summary(), verdict.summary(colour=True)
    assert "\x1b" not in plain and re.sub("\x1b\\[[0-9]*m", "", painted) == plain
    assert painted.startswith("\x1b[31mverdict: a mistake.\x1b[0m These")
    assert "\n3  \x1b[32magrees\x1b[0m   losses" in painted
    assert "\n2  \x1b[33mtoo low\x1b[0m  objective" in painted
    assert "\n\x1b[2muntested\x1b[0m   the losses" in painted
    assert painted.count("\x1b[0m") == 5


def test_the_line_of_the_optimum_does_not_repeat_the_answer():
    """The kind and the reason alone; the quantity is in the answer."""
    away = AWAY._replace(reason="all trials end alike")
    text = Verdict("somebody's run", (away, AGREES)).summary()
    assert text.count(AWAY.quantity) == 1
    assert "\n1          drifting: all trials end alike\n" in text
    assert AWAY.quantity in away.line()


def test_advice_for_every_state():
    for name in OPTIMUM:
        (text,) = advise([Finding(name, "", status="optimum")], has_losses=True)
        assert "ore steps" in text
    (text,) = advise([AWAY._replace(name="not_converged", of=MAY_BE_NOISE)], has_losses=True)
    assert "--lr" in text
    assert len(advise([WRONG, AWAY], has_losses=True)) == 2
    undone = Finding("exact", "the exact numbers are those with the mistake undone", status="note")
    assert advise([WRONG, AWAY, undone], has_losses=True)[2].startswith("More steps only go on")
    decay = Finding("weight_decay", "weight decay 0.1", status="note")
    slow = AWAY._replace(name="not_converged")
    (text,) = advise([slow, decay], has_losses=True)
    assert "set it to 0" in text and advise([AGREES, decay], has_losses=True) == ()
    still = Finding("stands_still", "the learning rate is 1e-69", status="note")
    assert "scheduler" in advise([slow, still], has_losses=True)[0]
    bare = AWAY._replace(name="unbounded", of="scale_unbounded")
    assert "Trace_ELBO" in advise([bare], has_losses=True)[0]
    (text,) = advise([WRONG._replace(name="kernel_error", rivals=())], has_losses=True)
    assert text.startswith("Your program is right")
    assert advise([AGREES], has_losses=True) == ()
    (text,) = advise([BLIND], has_losses=False)
    assert text.startswith("Evaluate the loss")
    (text,) = advise([BLIND], has_losses=True)
    assert text.startswith("A recording")
    (text,) = advise([BLIND._replace(status="outside")], has_losses=True)
    assert text.startswith("If that is meant it is no mistake")


def test_advice_on_a_recording_asks_for_no_other():
    for findings in ([WRONG], [BLIND], [WRONG, AWAY]):
        texts = advise(findings, has_losses=True, recorded=True)
        assert not any("recording" in text or "evaluations" in text for text in texts)


EXTREME = (-2.34567e-23, -1.23456e-99, 9.87654e-99)


def _every_kind():
    """Findings of every name and status that have a row, with numbers of most digits."""
    for name in MISTAKES:
        yield Finding(name, "q", *EXTREME, "r", "mistake")
    for name in OPTIMUM:
        yield Finding(name, "q", *EXTREME, "r", "optimum")
    for name in ("losses", "evaluations", "draws", "first_step", "at_optimum", "with_mistake"):
        yield Finding(name, "q", *EXTREME, "r")
    for owner in ("prior", "guide"):
        yield Finding("gradients", "q", *EXTREME, "r", of=f"{owner}.concentration1")
    for name in ("prior.concentration1", "guide.encoder.layers.0.linear.weight"):
        yield Finding("updates", "q", *EXTREME, "r", of=name)
    for name in ("draws", "draw_mismatch"):
        yield Finding(name, "q", 1.23456e-200, None, None, "r")


def test_no_row_of_the_table_is_wider_than_80():
    """Whatever the kind, the numbers and, from 100 rows on, the digits of the row's own."""
    kinds = list(_every_kind())
    for start in range(0, len(kinds), 15):
        some = kinds[start : start + 15]
        for findings in (some, [AGREES] * 100 + some):
            exact = dict.fromkeys(("objective", "elbo", "gap", "log_evidence"), -1.23456e-123)
            exact["highest_log_evidence"] = -1.23456e-123
            for table in tables(Verdict("somebody's run", tuple(findings), exact)):
                assert max(map(len, table.to_text().splitlines()[1:])) <= 80


def test_a_parameter_in_the_table_keeps_the_end_of_its_name():
    long = Finding("updates", "q", of="guide.encoder.layers.0.linear.weight")
    assert long.label.startswith("update ...") and long.label.endswith("linear.weight")
    assert long._replace(of="guide.concentration0").label == "update guide.concentration0"


def test_every_row_has_its_detail_and_every_finding_its_line():
    """The number of a row is the key of its detail; what has no row stands under its kind."""
    note = Finding("parameters", "exp applied", status="note")
    findings = (WRONG, AWAY, AGREES._replace(reason=""), note, BLIND)
    verdict = Verdict("somebody's run", findings, ruled_out=("wrong_latents",))
    keys = [key for key, _ in details(verdict)]
    assert keys == ["1", "2", "3", "note", "untested", "ruled out", "checked"]
    (table,) = tables(verdict)
    assert [int(x) for x in table.columns[0].values] == [1, 2, 3]
    for key, finding in zip(keys, findings, strict=False):
        text = dict(details(verdict))[key]
        assert finding.quantity in text
    assert [finding.label for finding in findings[:3]] == list(table.columns[2].values)


def test_a_quantity_needs_no_number_after_it():
    """Some end in the stop before a number, which a detail does not have."""
    for stop in (",", ":", ";", ""):
        finding = AGREES._replace(quantity=f"mean loss{stop}")
        text = dict(details(Verdict("somebody's run", (finding,))))["1"]
        assert text == "losses: mean loss (Monte Carlo)"
        assert "mean loss: 3.25, should be 3 +- 0.5" in finding.line()


def test_a_notebook_and_json_have_the_content_of_the_text():
    verdict = Verdict(
        "<b>", (WRONG, AWAY, AGREES, BLIND), {"gap": 0.5}, ("wrong_latents",), ("Do that.",)
    )
    shown, said = verdict._repr_html_(), verdict.to_dict()
    assert shown.count("<table>") == 3 and "<b>" not in shown.replace("<b>verdict", "")
    texts = [verdict.answer, *verdict.advice, *(text for _, text in details(verdict))]
    for text in texts:
        assert html.escape(text) in shown
    assert said["answer"] == verdict.answer and said["advice"] == ["Do that."]
    assert [x["label"] for x in said["findings"]] == [x.label for x in verdict.findings]
    for finding in verdict.findings:
        assert f"<td>{html.escape(finding.label)}</td>" in shown or finding.theirs is None


def test_the_schema_knows_every_outcome():
    schema = json.loads(resources.files("elbo_ref").joinpath("schema.json").read_text())
    of_verdict = schema["$defs"]["verdict"]["properties"]
    assert set(of_verdict["outcome"]["enum"]) == set(EXIT_CODES)
    assert set(of_verdict["exit_code"]["enum"]) == set(EXIT_CODES.values())
    finding = AGREES.to_dict()
    assert set(finding) == set(of_verdict["findings"]["items"]["required"])


def test_gradients_that_all_agree_share_a_row():
    """That of the farthest; where one does not agree each has its own."""
    near = Finding("gradients", "all steps, at step 3", 1.0, 1.01, 0.1, status="agrees", of="a")
    far = near._replace(of="b", theirs=1.09)
    (table, *_) = tables(Verdict("somebody's run", (near, far)))
    assert table.to_text().count("gradients") == 1
    (row,) = (x for x in table.to_text().splitlines() if "gradients" in x)
    assert "1.09" in row
    (text,) = (text for _, text in details(Verdict("a run", (near, far))) if "farthest" in text)
    assert text == "gradients: of 2, that of b is farthest off"
    off = far._replace(name="gradient_mismatch", status="mistake")
    (table, *_) = tables(Verdict("somebody's run", (near, off, near._replace(of="c"))))
    assert "gradient_mismatch" in table.to_text() and "gradients" in table.to_text()


def test_a_distance_beside_a_mistake_is_that_of_what_was_handed_in():
    handed = Finding("as_handed_in", "the exact numbers are of what was handed in", status="note")
    assert "As handed in, they are not at a maximum" in Verdict("", (WRONG, AWAY, handed)).answer
    assert "As handed in" not in Verdict("", (WRONG, AWAY)).answer


def test_what_noise_may_explain_is_said_to_be_possible():
    away = AWAY._replace(name="not_converged", of=MAY_BE_NOISE)
    verdict = Verdict("somebody's run", (away, AGREES))
    assert verdict.summary().startswith("verdict: perhaps not at an optimum. ")
    assert "They may not be at a maximum" in verdict.answer


def test_lines_but_the_first_are_indented():
    """By four, of details by eleven, as wide as their key."""
    long = "word " * 40
    verdict = Verdict("somebody's run", (WRONG._replace(quantity=long),), {}, (), (long,))
    lines = verdict.summary().splitlines()
    starts = [len(x) - len(x.lstrip()) for x in lines if x.strip().startswith("word word")]
    assert set(starts) == {0, 4, 11}


@pytest.mark.parametrize(
    ("allowance", "words"), [(None, "."), (1e-3, "."), (2e-3, ", but for noise.")]
)
def test_a_maximum_is_one_but_for_noise_where_more_is_allowed(allowance, words):
    here = Finding("at_optimum", "so far", -12.0, -11.9, allowance, "why", "agrees")
    verdict = Verdict("somebody's run", (AGREES, here))
    assert f"They are at a maximum{words[:-1]}: so far." in " ".join(verdict.answer.split())


def test_how_far_numbers_are_apart():
    """In their allowance, or in nats; what is not known counts as 0."""
    for theirs, ours, allowance, wanted in (
        (3.0, 2.0, 0.5, 2.0), (2.0, 3.0, None, 1.0), (3.0, None, 0.5, 6.0), (None, 3.0, 2.0, 1.5)
    ):  # fmt: skip
        assert _distance(Finding("losses", "", theirs, ours, allowance)) == wanted
