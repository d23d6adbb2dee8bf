"""Counts that were given beside the rows that a run observed, latent by latent."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording.replay.counts import compare_counts, compare_in_orders
from elbo_ref.recording.rows import Data

K, N = np.array([3, 7, 12]), np.array([10, 9, 40])
COUNTS = er.Counts(K, N)


def rows(k=K, n=N, **fields):
    """Data of all steps alike, or of minibatches."""
    k, n = np.atleast_2d(np.asarray(k, float)), np.atleast_2d(np.asarray(n, float))
    zeros = np.zeros_like(k)
    return Data(k, n, zeros, zeros, trials=False, by_logit=False, by_hand=False, **fields)


def found(data, counts=COUNTS, scale=1.0):
    findings = compare_counts(data, counts, scale)
    assert all(x.status in ("mistake", "note") for x in findings)
    return [(x.name, x.quantity) for x in findings]


def test_rows_that_are_the_counts():
    assert found(rows()) == []


def test_another_row():
    """The first that differs, and how many do."""
    ((name, quantity),) = found(rows(k=[3, 8, 13]))
    assert (name, quantity) == ("wrong_counts", "successes of latent 1")
    (one,) = compare_counts(rows(k=[3, 8, 13]), COUNTS, 1.0)
    assert (one.theirs, one.ours, one.allowance) == (8.0, 7.0, 0.0)
    assert one.reason == "as observed; 2 of 3 are others than the counts"
    (one,) = compare_counts(rows(n=[10, 9, 41]), COUNTS, 1.0)
    assert (one.name, one.quantity, one.theirs) == (
        "wrong_total_count",
        "total_count of latent 2",
        41,
    )
    assert found(rows(k=[3, 8, 12], n=[10, 9, 41]))[0] == ("wrong_counts", "successes of latent 1")


def test_rows_in_another_order():
    """All of them, with their totals: the first that stands elsewhere."""
    order = [0, 2, 1]
    assert found(rows(K[order], N[order])) == [("permuted_rows", "the row of latent 1")]
    assert found(rows(K[order], N))[0][0] == "wrong_counts"
    one_total = er.Counts([3, 7], [10, 10])
    assert found(rows([7, 3], [10, 10]), one_total) == [("permuted_rows", "the row of latent 0")]
    of_one_total = er.Counts([3, 7, 5], 10)
    assert found(rows([3, 5, 7], [10] * 3), of_one_total) == [
        ("permuted_rows", "the row of latent 1")
    ]
    alike = er.Counts([3, 3, 12], [10, 9, 40])
    assert found(rows([3, 3, 12], [9, 10, 40]), alike) == [("permuted_rows", "the row of latent 0")]


def test_latents_without_a_row():
    """The counts of those that observe one are all; masked the other way they are others."""
    k, n = [3, 0, 7, 12, 0], [10, 0, 9, 40, 0]
    assert found(rows(k, n)) == []
    assert found(rows([3, 0, 8, 12, 0], n)) == [("wrong_counts", "successes of latent 2")]
    both = er.Counts(k, n)
    assert found(rows(k, n), both) == found(rows(K, N), COUNTS) == []
    (one,) = compare_counts(rows([0, 0, 5, 0, 0], [0, 0, 8, 0, 0]), COUNTS, 1.0)
    assert (one.name, one.theirs, one.ours) == ("wrong_counts", 1.0, 3.0)
    assert one.quantity == "number of latents that observe a row"
    assert one.reason == "4 of 5 observe none, as where they are masked"
    numbers = np.array([[0, 1], [3, 4], [2, 0], [3, 1]])
    batches = rows(np.take(k, numbers), np.take(n, numbers), whole=5, numbers=numbers)
    assert found(batches, scale=2.5) == []


def test_another_number_of_latents():
    """Regrouped where the sums are those of the counts, or one latent stands for all."""
    for data, name in (
        (rows([10, 12], [19, 40]), "wrong_latents"),
        (rows([22], [59]), "wrong_latents"),
        (rows([1], [9]), "wrong_latents"),
        (rows([10, 13], [19, 40]), "wrong_counts"),
        (rows([10, 12], [19, 41]), "wrong_counts"),
    ):
        assert found(data) == [(name, "number of latents")]
    (one,) = compare_counts(rows([10, 13], [19, 40]), COUNTS, 1.0)
    assert (one.theirs, one.ours) == (2.0, 3.0)
    assert one.allowance == 0.0
    assert found(rows([1, 2], [3, 4]), er.Counts(3, 10))[0][0] == "wrong_latents"


def batches(of, **changes):
    """Steps of minibatches of two of the latents."""
    of = np.asarray(of)
    return rows(K[of], N[of], **({"batched": True, "whole": 3, "numbers": of} | changes))


STEPS = [[0, 1], [2, 0], [1, 2]]


def test_minibatches_of_numbered_latents():
    """Each latent that was seen is compared, and the scale."""
    assert found(batches(STEPS), scale=1.5) == []
    data = batches(STEPS)
    data.successes[1, 0] = 13.0
    assert found(data, scale=1.5) == [("wrong_counts", "successes of latent 2")]
    assert found(batches([[0, 1], [1, 0]]), er.Counts([3, 7, 99], [10, 9, 99]), 1.5) == []
    assert found(batches(STEPS, whole=4), scale=1.5) == [("wrong_counts", "number of latents")]


def test_minibatches_of_the_same_rows():
    """Data of all steps alike beside numbers of each step."""
    numbers = np.array([[0, 1], [0, 1]])
    one = rows(K[:2], N[:2], batched=True, whole=3, numbers=numbers)
    assert found(one, scale=1.5) == []


def test_minibatches_of_which_nothing_is_numbered():
    """Each row is like one of the counts, or none is."""
    fields = {"numbers": None, "whole": None}
    assert found(batches(STEPS, **fields), scale=1.5) == []
    for change, name in (
        (("successes", 8.0), "wrong_counts"),
        (("total_count", 50.0), "wrong_total_count"),
    ):
        data = batches(STEPS, **fields)
        getattr(data, change[0])[1, 1] = change[1]
        ((named, quantity),) = found(data, scale=1.5)
        assert (named, quantity) == (name, "the total count of row 1 of the batch of step 1")
    single = rows([[3], [8]], [[10], [9]], batched=True)
    assert found(single, er.Counts([3, 7], [10, 9]), 2.0) == [], "of one latent's trials"
    many = batches(STEPS, numbers=np.array([[0, 3], [2, 0], [1, 2]]))
    many.successes[0, 1] = 8.0
    assert found(many, scale=1.5)[0][0] == "wrong_counts", "numbers beyond the counts are not used"


UNSCALED, TWICE = "subsample_unscaled", "subsample_scaled_twice"
SCALES = (
    (1.5, ""), (2.0, ""), (1.5 * (1 - 1e-6), ""), (2 * (1 + 1e-6), ""), (2.25, TWICE),
    (1.0, UNSCALED), (2.1, "normalised_loss"), (0.9, UNSCALED), (2 * (1 + 2e-5), "normalised_loss"),
    (1.5 * (1 - 2e-5), UNSCALED),
)  # fmt: skip


@pytest.mark.parametrize(("scale", "name"), SCALES)
def test_the_scale_of_minibatches(scale, name):
    """Of two of three latents: one and a half, or as many as the whole batches of an epoch."""
    words = "the scale of minibatches of 2 of 3 latents"
    assert found(batches(STEPS), scale=scale) == [(name, words)] * bool(name)


def test_the_scale_of_larger_data():
    """Of two of seven latents: three, three and a half or four; a whole batch has none."""
    k = np.arange(7)
    seven = er.Counts(k, 10)
    numbers = np.array([[0, 1], [2, 3], [4, 5], [5, 6]])
    data = rows(k[numbers], np.full((4, 2), 10), batched=True, whole=7, numbers=numbers)
    for scale, good in ((3.0, True), (3.5, True), (4.0, True), (2.9, False), (4.1, False)):
        assert (found(data, seven, scale) == []) is good
    whole = rows(K[None].repeat(2, 0), N[None].repeat(2, 0), batched=True, whole=3,
                 numbers=np.array([[0, 1, 2]] * 2))  # fmt: skip
    assert found(whole, scale=9.0) == []


def test_minibatches_of_trials_are_scaled_about_as_many():
    """Of five of ten trials of one latent: from one to four times."""
    one = er.Counts(3, 10)
    data = rows([[1], [2]], [[5], [5]], batched=True)
    for scale, good in ((2.0, True), (3.9, True), (4.1, False), (1.9, False)):
        assert (found(data, one, scale) == []) is good, scale
    few = rows([[1], [0]], [[2], [2]], batched=True)
    for scale, good in ((2.6, True), (9.9, True), (2.4, False), (10.1, False)):
        assert (found(few, one, scale) == []) is good, scale


LABELS = ["4", "0", "10"]


def labelled(labels=LABELS):
    return er.Counts.grouped(K, N, labels)


def test_an_order_of_labels_that_agrees_is_a_note():
    """As text, or as numbers; the counts' own order needs none, and another one is a mistake."""
    assert compare_in_orders(rows(), labelled(), 1.0) == []
    for order in ([1, 0, 2], [1, 2, 0]):
        (note,) = compare_in_orders(rows(K[order], N[order]), labelled(), 1.0)
        assert (note.name, note.status) == ("labels", "note")
    (one,) = compare_in_orders(rows(K[[2, 1, 0]], N[[2, 1, 0]]), labelled(), 1.0)
    assert one.name == "permuted_rows"
    assert compare_in_orders(rows(K[[1, 0, 2]], N[[1, 0, 2]]), COUNTS, 1.0)[0].status == "mistake"


@pytest.mark.parametrize("start", [0, 1])
def test_labels_that_are_the_numbers_of_latents(start):
    """From 0 or 1 on, with latents that have no trials between them."""
    k, n = np.zeros((2, 5), int)
    at = [4, 0, 3]
    k[at], n[at] = K, N
    labels = [str(x + start) for x in at]
    (note,) = compare_in_orders(rows(k, n), labelled(labels), 1.0)
    assert note.quantity == f"a group's label is the number of its latent, from {start} on"
    around = rows(K[[1, 2, 0]], N[[1, 2, 0]])  # as if the first of three were the last
    assert compare_in_orders(around, labelled(["0", "1", "2"]), 1.0)[0].name == "permuted_rows"
    words = ["x", "y", "z"]
    assert compare_in_orders(rows(k, n), labelled(words), 1.0)[0].status == "mistake"
    beyond = [*labels[:2], "9"]
    assert compare_in_orders(rows(k, n), labelled(beyond), 1.0)[0].status == "mistake"


def test_rows_that_are_observed_several_times():
    """The same rows under several names: how often, and what is no multiple of all."""
    (one,) = compare_counts(rows(2 * K, 2 * N), COUNTS, 1.0)
    assert (one.name, one.theirs, one.ours, one.allowance) == ("likelihood_weight", 2.0, 1.0, 0.0)
    for k, n in ((2 * K, 2 * N + [1, -1, 0]), (2 * K + [1, -1, 0], 2 * N), (K, 2 * N)):
        assert compare_counts(rows(k, n), COUNTS, 1.0)[0].name in (
            "wrong_counts",
            "wrong_total_count",
        )
    half = er.Counts(2 * K, 2 * N)
    assert compare_counts(rows(), half, 1.0)[0].name == "wrong_counts"


def test_several_rows_that_are_all_among_the_counts():
    """A batch; one row alone, or one row twice, may be anything."""
    (part,) = compare_counts(rows(K[:2], N[:2]), COUNTS, 1.0)
    assert (part.name, part.rivals) == ("wrong_counts", ("subsample_unscaled",))
    (batch,) = compare_counts(rows(K[:2], N[:2]), er.Counts([*K, 5], [*N, 8]), 1.0)
    assert batch.name == "subsample_unscaled", "half of the counts at most"
    assert (batch.theirs, batch.ours, batch.rivals) == (2.0, 4.0, ("wrong_counts",))
    assert found(rows(K[:1], N[:1])) == [("wrong_latents", "number of latents")]
    assert found(rows([3, 3], [10, 10]))[0][0] == "wrong_counts"
    twice = er.Counts([3, 3, 12], [10, 10, 40])
    assert found(rows([3, 3], [10, 10]), twice)[0][0] != "subsample_unscaled"
    assert found(rows([3, 3, 12], [10, 10, 40]), er.Counts([3, 12, 7, 9], [10, 40, 9, 9]))[0][
        0
    ] == ("wrong_counts")


ENTRIES = {
    "as they are": (er.Counts([3, 7, 12], [10, 9, 40], [2, 1, 5]), []),
    "written out": (er.Counts([3, 3, 7, *[12] * 5], [10, 10, 9, *[40] * 5]), []),
    "written out in another order": (er.Counts([*[12] * 5, 7, 3, 3], [*[40] * 5, 9, 10, 10]), []),
    "another multiplicity": (er.Counts([3, 7, 12], [10, 9, 40], [2, 2, 5]), ["wrong_counts"]),
    "another row": (er.Counts([3, 8, 12], [10, 9, 40], [2, 1, 5]), ["wrong_counts"]),
    "in another order": (er.Counts([7, 3, 12], [9, 10, 40], [1, 2, 5]), ["permuted_rows"]),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_entries_that_stand_for_several_latents(case):
    """By the scales of their sites."""
    counts, names = ENTRIES[case]
    scaled = rows([[3, 7, 12]], [[10, 9, 40]], multiplicity=np.array([2, 1, 5]))
    assert [x.name for x in compare_in_orders(scaled, counts, 1.0)] == names


def test_a_run_without_scales_has_one_of_each_entry():
    (one,) = compare_in_orders(rows(), er.Counts(K, N, [1, 2, 1]), 1.0)
    assert (one.name, one.quantity, one.theirs, one.ours) == (
        "wrong_counts", "multiplicity of entry 1", 1.0, 2.0
    )  # fmt: skip


def test_the_first_row_that_is_like_none_is_told():
    data = batches([[0, 1], [2, 0], [1, 2]], numbers=None, whole=None)
    data.successes[1, 1] = 8.0
    data.successes[2, 0] = 9.0
    assert found(data, scale=1.5)[0][1] == "the total count of row 1 of the batch of step 1"


@pytest.mark.parametrize(("scale", "names"), [(1.5, []), (1.0, [UNSCALED])])
def test_minibatches_of_entries_are_scaled_too(scale, names):
    data = batches(STEPS, multiplicity=np.ones(3, int))
    assert [x.name for x in compare_in_orders(data, COUNTS, scale)] == names
