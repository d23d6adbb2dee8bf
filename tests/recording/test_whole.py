"""All latents of a run on minibatches, put together from its batches."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.replay.whole import _columns, _of_all, _seen_counts, whole_run
from elbo_ref.recording.statement import read_statement
from recorded import COUNTS, K, N, betas, site, stated

INDEX = np.array([[0, 2, 1], [1, 0, 2], [2, 1, 0], [0, 1, 2]])
ONE, ZERO = np.arange(1.0, 13.0).reshape(4, 3), np.arange(21.0, 33.0).reshape(4, 3)


def seen(parameter=ONE, wide=None, sources=("q",)):
    """Four steps whose batches are all three latents in another order, and their guide."""
    own = np.take_along_axis(ONE, INDEX, axis=1) if wide is None else wide
    arguments = betas((2.0, 5.0), (own, np.full((4, 1), 7.0)))
    named = {"concentration1": list(sources), "concentration0": []}
    sites = [site("model", "c"), site("guide", "c", sources=named)]
    parameters = {"q": parameter, "r": ZERO}
    groups = dict.fromkeys(("before", "constrained", "gradients", "after"), parameters)
    recording = stated(np.full((4, 1, 3), 0.25), arguments, sites=sites, **groups)
    statement = read_statement(recording)
    data = statement.data._replace(
        successes=K[INDEX].astype(float), total_count=N[INDEX].astype(float),
        batched=True, whole=3, numbers=INDEX,
    )  # fmt: skip
    return statement, data


def test_rows_and_parameters_in_the_order_of_the_latents():
    statement, data = seen()
    for counts in (None, COUNTS):
        whole, rows = whole_run(statement, data, counts)
        assert rows.counts() == COUNTS and rows.constant
        values = {name: x.values for name, x in whole.arguments.items()}
        np.testing.assert_array_equal(values["guide.concentration1"], ONE)
        np.testing.assert_array_equal(values["guide.concentration0"], np.full((4, 1), 7.0))
        np.testing.assert_array_equal(values["prior.concentration1"], np.full((4, 1), 2.0))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_parameter_that_is_stacked_with_others(axis):
    """Along any axis after the steps, beside what it is not."""
    stacked = np.stack([ZERO, ONE], axis=1)[:, :, None]  # (4, 2, 1, 3)
    moved = np.moveaxis(stacked, 3, axis)
    whole, _ = whole_run(*seen(moved), None)
    np.testing.assert_array_equal(whole.arguments["guide.concentration1"].values, ONE)
    assert len(list(_columns(moved, 3))) == 2
    assert next(x.tolist() for x in _columns(ONE[:, :, None], 3)) == ONE.tolist()
    assert list(_columns(ONE, 4)) == []
    assert [x.tolist() for x in _columns(ONE[:1], 3)] == [ONE[:1].tolist()] * 2


def test_without_their_numbers_a_batch_is_some_of_the_values():
    statement, data = seen()
    unknown = data._replace(numbers=None, whole=None)
    whole, _ = whole_run(statement, unknown, COUNTS)
    np.testing.assert_array_equal(whole.arguments["guide.concentration1"].values, ONE)
    other, _ = seen(ONE + np.array([[0.0, 0.0, 1.0]]))
    alone = "minibatches: guide.concentration1 is known of the latents of a batch alone"
    assert whole_run(other, unknown, COUNTS) == alone


MEAN = ONE / 50

COMPUTED = {
    "a mean times a total": (MEAN, ("q", "r"), MEAN * ZERO),
    "the rest of a mean": (MEAN, ("q", "r"), (1 - MEAN) * ZERO),
    "a total before its mean": (MEAN, ("r", "q"), (1 - MEAN) * ZERO),
    "the exponential of a logarithm": (np.log(ONE), ("q",), ONE),
    "both": (special.logit(MEAN), ("q", "r"), MEAN * ZERO),
}


@pytest.mark.parametrize("case", COMPUTED)
def test_an_argument_that_is_computed_for_each_latent(case):
    parameter, sources, wanted = COMPUTED[case]
    own = np.take_along_axis(wanted, INDEX, axis=1)
    whole, _ = whole_run(*seen(parameter, own, sources), None)
    values = whole.arguments["guide.concentration1"].values
    np.testing.assert_allclose(values, wanted, rtol=1e-12)
    alone = "minibatches: guide.concentration1 is known of the latents of a batch alone"
    assert whole_run(*seen(parameter, own * (1 + 2e-5), sources), None) == alone


@pytest.mark.parametrize("sources", [(), ("r", "r"), ("q", "r", "r")])
def test_what_is_no_parameter_or_several_is_known_of_a_batch_alone(sources):
    alone = "minibatches: guide.concentration1 is known of the latents of a batch alone"
    assert whole_run(*seen(sources=sources), None) == alone
    assert whole_run(*seen(2 * ONE), None) == alone


def test_what_cannot_be_put_together():
    statement, data = seen()
    few = data._replace(whole=4)
    assert whole_run(statement, few, None) == (
        "minibatches: some rows are in none of these; give the counts"
    )
    for lacking in ({"numbers": None}, {"whole": None}):
        assert whole_run(statement, data._replace(**lacking), None) == (
            "minibatches: which rows they have is not recorded; give the counts"
        )
    drawn = data._replace(findings=(Finding("observations_missing", "x", status="mistake"),))
    assert whole_run(statement, drawn, None) == "the rows are drawn anew in every step"
    noted = data._replace(findings=(Finding("coefficients", "x", status="note"),))
    assert not isinstance(whole_run(statement, noted, None), str)


def test_one_latent_of_all_rows_is_that_of_the_counts():
    """A latent that every row shares has its parameters in every batch."""
    c = np.full((4, 1, 1), 0.25)
    made = stated(np.full((4, 1, 3), 0.25), betas((2.0, 5.0)))
    rows = {"k.index": np.zeros((1, 3))}
    one = read_statement(replace(made, draws={"c": c}, observed={**made.observed, **rows}))
    assert one.num_latents == 1
    pooled = er.Counts.shared(K, N)
    statement, data = whole_run(one, one.data, pooled)
    assert statement is one and data.counts() == er.Counts(K.sum(), N.sum())


def test_rows_that_a_batch_sees_again_are_the_same_latents():
    """Each number's rows, from whichever step; zero successes are seen."""
    k, n = np.array([[0.0, 7.0], [12.0, 0.0]]), np.array([[10.0, 9.0], [40.0, 10.0]])
    numbers = np.array([[0, 1], [2, 0]])
    found = _seen_counts(Rows(k, n), numbers, 3)
    assert found == er.Counts([0, 7, 12], [10, 9, 40])
    assert _seen_counts(Rows(k[:1], n[:1]), numbers[:1], 3) is None
    one = _seen_counts(Rows(k[:1], n[:1]), np.array([[0, 1], [0, 1]]), 2)
    assert one == er.Counts([0, 7], [10, 9])


class Rows(tuple):
    """Successes and total counts, as the first two of a recording's data."""

    def __new__(cls, *arrays):
        return super().__new__(cls, arrays)

    @property
    def successes(self):
        return self[0]


def test_columns_of_a_parameter_that_is_one_step():
    """Alone, or along each axis that has as many entries as there are latents."""
    square = np.arange(9.0).reshape(1, 3, 3)
    found = [x.tolist() for x in _columns(square, 3)]
    assert found == [[[0, 3, 6]], [[1, 4, 7]], [[2, 5, 8]], [[0, 1, 2]], [[3, 4, 5]], [[6, 7, 8]]]
    flat = [x.tolist() for x in _columns(np.arange(4.0).reshape(1, 2, 2), 4)]
    assert flat == [[[0, 1, 2, 3]]]
    assert list(_columns(np.ones((3, 1)), 3)) == [], "steps are no latents"


def test_a_batch_of_one_latent_has_its_own_value():
    """Which is a column of the parameter, and no value of all latents."""
    numbers = np.array([[0], [2], [1], [0]])
    own = np.take_along_axis(ONE, numbers, axis=1)
    for num_latents, wanted in ((1, ONE), (3, own)):
        statement = SimpleNamespace(
            num_latents=num_latents, recording=SimpleNamespace(constrained={"q": ONE})
        )
        found = _of_all(statement, Argument(own, None, ("q",)), numbers, 3)
        np.testing.assert_array_equal(found, wanted)
    other = SimpleNamespace(num_latents=1, recording=SimpleNamespace(constrained={"q": 2 * ONE}))
    assert _of_all(other, Argument(own, None, ("q",)), numbers, 3) is None
