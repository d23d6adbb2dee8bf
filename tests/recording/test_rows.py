"""Observed rows and minibatches of small recordings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.rows import (
    Batch,
    NotReplayedError,
    Rows,
    find_batch,
    match_counts,
)
from recorded import COUNTS, K, N

INDEX = np.array([[0, 2], [1, 0], [2, 1]])


def recording(value=K[None], total=N[None], *, kind="Binomial", index=None, size=3):
    site = {"program": "model", "name": "k", "class": kind, "observed": True}
    observed = {"k.value": value} | ({} if total is None else {"k.total_count": total})
    observed |= {} if index is None else {"rows.index": index}
    return Recording(
        losses=np.zeros(3), observed=observed, header={"sites": [site], "plates": {"rows": size}}
    )


def batched(numbered=True):
    return recording(K[INDEX], N[INDEX], index=INDEX if numbered else None)


def test_sites_are_joined():
    made = recording()
    site = {"program": "model", "name": "j", "class": "Bernoulli", "observed": True}
    both = replace(
        made,
        observed={**made.observed, "j.value": np.array([[1, 0]])},
        header={"sites": [*made.header["sites"], site]},
    )
    rows = Rows.observed(both)
    assert rows.value.tolist() == [[*K, 1, 0]] and rows.total_count.tolist() == [[*N, 1, 1]]


@pytest.mark.parametrize(
    "made",
    [
        recording(kind="Normal"),
        recording(K[None] + 0.5),
        recording(N[None] + 1),
        recording(K[None], N[None, :2]),
        recording(np.zeros((1, 0)), np.zeros((1, 0))),
    ],
)
def test_what_is_no_count_is_not_observed(made):
    assert Rows.observed(made) is None
    assert match_counts(made, COUNTS, 3) == (COUNTS, [])


def test_counts_that_are_the_data():
    assert match_counts(recording(), COUNTS, 3) == (COUNTS, [])


@pytest.mark.parametrize(
    ("counts", "name", "quantity"),
    [
        (er.Counts(K, N + [0, 1, 0]), "wrong_total_count", "total_count of latent 1"),
        (er.Counts(K + [0, 0, 1], N), "loss_mismatch", "successes of latent 2"),
    ],
)
def test_counts_that_are_not_the_data_are_replaced(counts, name, quantity):
    used, (finding,) = match_counts(recording(), counts, 3)
    assert used == COUNTS and (finding.name, finding.quantity) == (name, quantity)


def test_other_latents():
    fewer = er.Counts(K[:2], N[:2])
    used, (finding,) = match_counts(recording(), fewer, 3)
    assert used == COUNTS and finding.name == "wrong_latents" and finding.theirs == 3
    assert match_counts(recording(kind="Normal"), fewer, 3)[0] is None
    assert match_counts(recording(), COUNTS, 1)[0] == COUNTS.pooled()


def test_a_run_without_minibatches():
    assert find_batch(recording(), COUNTS, 3) is None


@pytest.mark.parametrize("numbered", [True, False])
def test_a_batch_of_latents(numbered):
    batch = find_batch(batched(numbered), COUNTS, 2)
    assert batch.of_latents and batch.size == 3 and batch.scale == 1.5
    assert (batch.numbers is None) == (not numbered)
    np.testing.assert_array_equal(batch.outcomes, (K[INDEX], (N - K)[INDEX]))
    np.testing.assert_allclose(batch.log_coefficient, COUNTS.log_coefficient[INDEX], rtol=1e-15)
    assert batch.match(COUNTS) == (COUNTS, [])
    (finding,) = batch.match(er.Counts(K, N + 1))[1]
    assert finding.name == "wrong_total_count" and "the batch of step 0" in finding.quantity
    assert batch.match(er.Counts(K[:2], N[:2]))[0] is None


def test_values_of_all_latents_and_of_a_batch():
    batch = find_batch(batched(), COUNTS, 2)
    values = np.arange(9.0).reshape(3, 3)
    seen = batch.select(values)
    np.testing.assert_array_equal(seen, np.take_along_axis(values, INDEX, 1))
    everywhere = batch.spread(seen)
    held = np.zeros((3, 3), bool)
    np.put_along_axis(held, INDEX, True, 1)
    np.testing.assert_array_equal(everywhere, np.where(held, values, 0.0))
    one = np.ones((3, 1))
    assert batch.select(one) is one
    unknown = find_batch(batched(numbered=False), COUNTS, 2)
    assert unknown.select(values) is values and unknown.spread(seen) is seen


def test_a_batch_of_the_rows_of_one_latent():
    pooled = er.Counts.shared(K, N)
    batch = find_batch(batched(), pooled, 1)
    assert not batch.of_latents and batch.match(pooled) == (pooled, [])
    with pytest.raises(NotReplayedError, match="nobody says how many rows"):
        find_batch(batched(numbered=False), pooled, 1)


@pytest.mark.parametrize(
    ("made", "size", "words"),
    [
        (recording(K[INDEX], N[INDEX], index=INDEX + 1), 2, "which rows, and of how many"),
        (recording(K[INDEX], N[INDEX], index=INDEX + 0.5), 2, "which rows, and of how many"),
        (recording(K[INDEX] + 0.5, N[INDEX], index=INDEX), 1, "does not hold what was observed"),
        (batched(), 3, "a part of the rows is in no minibatch"),
    ],
)
def test_batches_that_cannot_be_made_again(made, size, words):
    with pytest.raises(NotReplayedError, match=words):
        find_batch(made, COUNTS, size)


def test_rows_that_were_not_observed_are_taken_by_number():
    made = recording(K[INDEX] + 0.5, N[INDEX], index=INDEX)
    rows = find_batch(made, COUNTS, 2).rows
    assert isinstance(rows, Rows) and rows.value.tolist() == K[INDEX].tolist()
    assert Batch(None, rows, 6, True).scale == 3.0
