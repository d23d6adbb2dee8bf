"""Runs, diagnoses and tests as tables, as every other result is one."""

from __future__ import annotations

import pytest

import elbo_ref as er

COUNTS = er.Counts([3, 4, 9], 10)


@pytest.mark.parametrize("guide", ["beta", "none"])
def test_a_run_is_a_table_of_its_steps(guide):
    run = er.maximize_elbo(COUNTS, guide=guide, loss="exact", num_steps=6)
    assert len(run) == 7 and [row.step for row in run] == list(range(7))
    assert [row.loss for row in run][:-1] == list(run.losses) and run[6].loss is None
    named = [column.name for column in run.table().columns]
    if guide == "none":
        assert named == ["step", "loss"]
        return
    a, b = run.history.prior.arrays()
    assert [row.concentration1 for row in run] == a.tolist()
    assert (run[6].concentration0, b[-1]) == (b[-1], run.prior.concentration0)


def test_a_diagnosis_is_a_table_of_its_exact_numbers():
    found = er.diagnose(er.maximize_elbo(COUNTS, num_steps=6))
    assert found["gap"].value == found.gap and found["elbo"].value == found.elbo
    assert found["shortfall"].value == found.shortfall and len(found) == 7
    assert found.to_csv().startswith("quantity,value\nobjective,")


def test_a_test_is_a_row():
    found = er.tarone_test(COUNTS)
    (row,) = found
    assert len(found) == 1 and (row.statistic, row.pvalue) == (found.statistic, found.pvalue)
    assert found["binomial"] == row
