"""Findings, and the verdict that they add up to."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.findings import (
    EXIT_CODES,
    NOT_AGREEMENT,
    ORDER,
    ComparedLosses,
    Finding,
    Verdict,
    in_order,
)

OF = {
    "agrees": Finding("losses", "mean loss", 3.25, 3.0, 0.5, "Monte Carlo"),
    "mistake": Finding("wrong_sign", "times -1", -3.0, 3.0, status="mistake", rivals=("x",)),
    "optimum": Finding("drifting", "3 nats below", status="optimum"),
    "untested": Finding("untested", "the losses", status="untested"),
    "note": Finding("names", "a was taken", status="note", of="a"),
    "outside": Finding("outside_model", "a hyperprior", status="outside"),
}
GRAVEST = (
    ("outside", "outside_model", 6), ("mistake", "mistake", 4), ("optimum", "not_at_optimum", 3),
    ("agrees", "agrees", 0),
)  # fmt: skip


def verdict(*statuses, **fields):
    return Verdict("a run", tuple(OF[x] for x in statuses), **fields)


def test_differences():
    assert OF["agrees"].difference == 0.25
    assert (
        Finding("x", "y", theirs=1.0).difference is Finding("x", "y", ours=1.0).difference is None
    )
    assert Finding("x", "y", 0.0, 0.0).difference == 0.0


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_the_gravest_decides(size):
    for statuses in itertools.combinations(OF, size):
        one = verdict(*statuses)
        name, code = next(((x, y) for status, x, y in GRAVEST if status in statuses),
                          ("too_little_to_tell", 5))  # fmt: skip
        assert (one.outcome, one.exit_code) == (name, code), statuses
        assert one.tested == ("agrees" in statuses)
        assert one.genuine == ("agrees" in statuses and not {"mistake", "outside"} & {*statuses})
    assert [*EXIT_CODES.values()] == [0, 5, 3, 4, 6]


@pytest.mark.parametrize("name", NOT_AGREEMENT)
def test_what_agrees_and_tests_nothing(name):
    one = Verdict("a run", (Finding(name, "the maximum"),))
    assert not one.tested and not one.genuine and one.outcome == "too_little_to_tell"


def test_the_order_of_findings():
    """Graver ones first; those of a status as they came."""
    twice = [OF[x] for x in sorted(OF)] + [OF["note"]._replace(name="other")]
    found = in_order(twice)
    assert [x.status for x in found] == [x for y in ORDER for x in [y] * (1 + (y == "note"))]
    assert [x.name for x in found if x.status == "note"] == ["names", "other"]


def test_a_verdict_holds_its_findings():
    one = verdict("mistake", "agrees", "note")
    assert len(one) == 3 and list(one) == list(one.findings)
    assert one["losses"] is OF["agrees"]
    again = one.findings + (OF["agrees"]._replace(quantity="another"),)
    assert Verdict("a run", again)["losses"] is OF["agrees"], "the first"
    with pytest.raises(KeyError, match="'x': no finding has this name"):
        one["x"]
    assert one.having("note") == (OF["note"],) and one.having("outside") == ()
    assert hash(one) == hash(verdict("mistake", "agrees", "note"))
    assert hash(one) != hash(verdict("mistake", "agrees"))


def test_mistakes_are_named_once():
    more = (OF["mistake"], OF["mistake"]._replace(name="wrong_latents"), OF["mistake"])
    assert Verdict("a run", more).mistakes == ("wrong_sign", "wrong_latents")


def test_a_table_has_a_row_for_each():
    table = verdict("mistake", "note").to_dict()["findings"]
    assert [x["name"] for x in table] == ["wrong_sign", "names"]
    text = str(verdict("mistake", "note").table())
    assert text.splitlines()[0].split() == [
        "name", "quantity", "of", "status", "theirs", "ours", "difference", "allowance", "reason"
    ]  # fmt: skip
    assert "times -1" in text and "-6" in text


def test_documents():
    """Every number, or why there is none."""
    found = OF["agrees"].to_dict()
    assert {x: found[x] for x in ("name", "quantity", "reason", "status", "of", "rivals")} == {
        "name": "losses", "quantity": "mean loss", "reason": "Monte Carlo", "status": "agrees",
        "of": "", "rivals": [],
    }  # fmt: skip
    assert (found["theirs"], found["ours"], found["difference"], found["allowance"]) == (
        3.25, 3.0, 0.25, 0.5
    )  # fmt: skip
    assert found["label"] == OF["agrees"].label
    none = OF["note"].to_dict()
    assert none["theirs"] is None and none["theirs_reason"] == "there is no such number"
    assert OF["mistake"].to_dict()["rivals"] == ["x"]
    one = verdict(
        "mistake", "agrees", exact={"elbo": -3.0, "gap": None}, ruled_out=("a",), advice=("b",),
        posterior=er.Beta([1.0, 2.0], 3.0),
    )  # fmt: skip
    body = one.to_dict()
    assert body["schema"].startswith("elbo_ref/verdict/")
    assert body["exact"] == {"elbo": -3.0, "gap": None, "gap_reason": "there is no such number"}
    assert (body["subject"], body["outcome"], body["exit_code"]) == ("a run", "mistake", 4)
    assert (body["ruled_out"], body["advice"], body["mistakes"]) == (["a"], ["b"], ["wrong_sign"])
    assert body["posterior"] == {"concentration1": [1.0, 2.0], "concentration0": [3.0, 3.0]}
    assert body["answer"] == one.answer and body["paragraph"] == one.paragraph
    assert json.loads(one.to_json()) == json.loads(json.dumps(body))
    bare = verdict("note").to_dict()
    assert bare["posterior"] is None and bare["posterior_reason"].startswith("no prior")


def test_texts():
    one = verdict("mistake", "agrees")
    assert str(one) == one.summary() and "\x1b" not in str(one)
    assert "\x1b" in one.summary(colour=True)
    assert "wrong_sign" in one._repr_html_() and one._repr_html_().count("<table") >= 1
    assert OF["agrees"].line().startswith("agrees    losses: mean loss: 3.25, should be 3")


def test_compared_losses_are_values():
    x = np.arange(3.0)
    one, same = (ComparedLosses(("a", "b", "c"), x.copy(), x, x) for _ in range(2))
    assert one == same and one != same._replace(mistake="wrong_sign")
    assert one.mistake == "" and one.mistaken_mean is None
    assert verdict("note", losses=one) == verdict("note"), "they do not count"
