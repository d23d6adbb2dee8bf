"""Observed rows added up for each latent, and counts compared with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.distribution_kinds import TRIALS
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.counts import compare_counts, compare_in_orders
from elbo_ref.recording.rows import Data, Place, _batch, _counted, data_by_hand, data_of
from recorded import COUNTS, K, N, betas, site, stated

PLACES = {"c": Place(0, 3)}
C, BETAS = np.full((4, 2, 3), 0.25), betas((2.0, 5.0), ([4.0, 8.0, 15.0], [9.0, 6.0, 30.0]))


def rows_site(name="k", kind="Binomial", **changed):
    rows = {"rows": 3, "elements": 3, "latent": "c", "complement": False, "observed": True}
    return site("model", name, kind, **{**rows, **changed})


def data(value=K[None], total=N[None], index=((0, 1, 2),), places=PLACES, **described):
    loss = described.pop("loss", None)
    more = described.pop("more", {})
    found = rows_site(**described)
    observed = {"k.value": value, "k.total_count": total, "k.index": np.array(index)}
    observed = {name: np.asarray(x, float) for name, x in observed.items()}
    steps = max(map(len, observed.values()))
    made = Recording(
        losses=np.zeros(steps), observed=observed | more, header={"sites": [found], "loss": loss}
    )
    return data_of(made, [found], places, sum(place.size for place in places.values()))


def data_of_all(kinds):
    """One row of each kind, each of a latent of its own."""
    places = {f"c{i}": Place(i, 1) for i in range(len(kinds))}
    sites = [rows_site(f"k{i}", kind, latent=f"c{i}", rows=1, elements=1)
             for i, kind in enumerate(kinds)]  # fmt: skip
    observed = {}
    for i in range(len(kinds)):
        row = {"value": 1.0, "total_count": 1.0, "index": 0.0}
        observed |= {f"k{i}.{key}": np.array([[x]]) for key, x in row.items()}
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    return data_of(made, sites, places, len(kinds))


def test_a_row_for_each_latent():
    made = data()
    assert made.successes.tolist() == [K.tolist()] and made.total_count.tolist() == [N.tolist()]
    np.testing.assert_allclose(made.log_coefficient[0], COUNTS.log_coefficient, rtol=1e-14)
    magnitude = sum(special.gammaln(x + 1.0) for x in (K, N, N - K))
    np.testing.assert_allclose(made.coefficient_magnitude[0], magnitude, rtol=1e-14)
    assert made.constant and made.exact and not made.findings and made.counts() == COUNTS
    np.testing.assert_array_equal(made.outcomes[:, 0], (K, N - K))


def test_rows_of_a_latent_are_added_up():
    """A column of group numbers, in any order; one that no row belongs to has no trials."""
    made = data([[1, 2, 3, 4]], [[9]], [[2, 0, 2, 2]], rows=4, elements=4)
    assert made.successes.tolist() == [[2, 0, 8]] and made.total_count.tolist() == [[9, 0, 27]]
    coefficient = special.binom(9, [1, 3, 4])
    assert made.log_coefficient[0, 2] == pytest.approx(np.log(coefficient).sum(), rel=1e-14)
    assert made.log_coefficient[0, 1] == 0


def test_single_trials_have_no_coefficients():
    value = [[1, 0, 1, 1, 0, 0]]
    trials = {"kind": "Bernoulli", "rows": 6, "elements": 6}
    made = data(value, [[1]], [[0, 1, 2, 0, 1, 2]], **trials)
    assert made.successes.tolist() == [[2, 0, 1]] and made.total_count.tolist() == [[2, 2, 2]]
    assert made.trials and not made.log_coefficient.any()
    assert made.as_counted().log_coefficient == pytest.approx(0.0, abs=1e-15)
    assert data().as_counted() == data().counts()
    assert not data().trials


@pytest.mark.parametrize(
    ("mask", "rows", "trials", "bare"),
    [
        ([1, 1, 1, 1], 0, "", 0),
        ([0, 1, 1, 1], 1, "1 of 9", 0),
        ([1, 0, 1, 1], 1, "2 of 9", 1),
        ([1, 1, 0, 1], 0, "", 0),  # a row of no trials, as padding has
        ([0, 0, 0, 0], 3, "7 of 27", 2),
    ],
)
@pytest.mark.parametrize("complement", [False, True])
def test_masked_rows_are_said(mask, rows, trials, bare, complement):
    """Rows of latents 2, 0, 0, 2, of which the third has no trials."""
    value = np.array([1, 2, 0, 4]) if not complement else np.array([8, 7, 0, 5])
    made = data(
        value[None], [[9, 9, 0, 9]], [[2, 0, 0, 2]], rows=4, elements=4, complement=complement,
        more={"model.k.mask": np.array([mask], float)},
    )  # fmt: skip
    found = [x for x in made.findings if x.name == "masked"]
    assert len(found) == bool(rows)
    for finding in found:
        start = f"a mask leaves out {rows} row{'s' * (rows != 1)} ({trials} trials succeed there)"
        assert finding.quantity.startswith(start)
        assert finding.quantity.endswith(f"all data of {bare} of 3 latents") == bool(bare)
        assert bool(finding.of) == bool(bare)


def test_masked_rows_are_of_the_latents_of_their_site():
    """A mask on the third row of the second site: its latent is the last of five."""
    places = {"a": Place(0, 2), "c": Place(2, 3)}
    sites = [rows_site("j", latent="a", rows=2, elements=2), rows_site("k")]
    observed = {"model.k.mask": np.array([[1.0, 1.0, 0.0]])}
    for name, size in (("j", 2), ("k", 3)):
        row = {"value": K, "total_count": N, "index": np.arange(3)}
        observed |= {f"{name}.{key}": np.asarray(x, float)[None, :size] for key, x in row.items()}
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    (finding,) = (x for x in data_of(made, sites, places, 5).findings if x.name == "masked")
    assert finding.quantity.endswith("and with them all data of 1 of 5 latents")


def test_single_trials_that_a_mask_leaves_out():
    """A latent that keeps one of its trials has data."""
    for mask, bare in (([0.0, 1.0], ""), ([0.0, 0.0], "and with them all data of 1 of 1 latents")):
        made = data([[1, 0]], [[1, 1]], [[0, 0]], {"c": Place(0, 1)}, kind="Bernoulli", rows=2,
                    elements=2, more={"model.k.mask": np.array([mask])})  # fmt: skip
        (finding,) = (x for x in made.findings if x.name == "masked")
        assert finding.quantity.endswith(bare) and finding.of.endswith(bare)
        assert bool(finding.of) == bool(bare)


def test_masked_rows_are_those_of_the_first_step():
    made = data(np.array([K, K[::-1]]), np.array([N, N[::-1]]),
                more={"model.k.mask": np.array([[0.0, 1.0, 1.0]])})  # fmt: skip
    (finding,) = made.findings
    assert finding.quantity.startswith("a mask leaves out 1 row (3 of 10 trials succeed there)")


def test_masked_rows_are_said_beside_rows_that_are_drawn():
    sites = [{**rows_site("new"), "observed": False}, rows_site("k")]
    observed = {"model.k.mask": np.array([[1.0, 0.0, 1.0]])}
    for name in ("new", "k"):
        row = {"value": K, "total_count": N, "index": np.arange(3)}
        observed |= {f"{name}.{key}": np.asarray(x, float)[None] for key, x in row.items()}
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    (finding,) = (x for x in data_of(made, sites, PLACES, 3).findings if x.name == "masked")
    assert finding.quantity.startswith("a mask leaves out 1 row (7 of 9 trials succeed there)")


def test_rows_of_failures_are_turned_round():
    made = data(complement=True)
    assert made.successes[0].tolist() == (N - K).tolist()
    np.testing.assert_allclose(made.log_coefficient[0], COUNTS.log_coefficient, rtol=1e-14)


def test_rows_that_a_mask_leaves_out_do_not_count():
    made = data(more={"model.k.mask": np.array([[1.0, 0.0, 1.0]])})
    assert made.successes.tolist() == [[3, 0, 12]] and made.total_count.tolist() == [[10, 0, 40]]
    assert made.log_coefficient[0, 1] == 0
    kept = made.select(np.array([True, False, True]))
    assert kept.counts() == er.Counts([3, 12], [10, 40])


def test_sites_stand_side_by_side():
    """Those of a loop: each with a latent of its own."""
    places = {"c_0": Place(0, 1), "c_1": Place(1, 2)}
    sites = [
        rows_site("k_0", latent="c_0", rows=1, elements=1),
        rows_site("k_1", latent="c_1", rows=2, elements=2, kind="Bernoulli"),
    ]
    observed = {
        "k_0.value": [[3.0]], "k_0.total_count": [[10.0]], "k_0.index": [[0.0]],
        "k_1.value": [[1.0, 0.0]], "k_1.total_count": [[1.0]], "k_1.index": [[1.0, 0.0]],
    }  # fmt: skip
    made = Recording(losses=[1.0], observed=observed, header={"sites": sites})
    found = data_of(made, sites, places, 3)
    assert found.counts() == er.Counts([3, 0, 1], [10, 1, 1]) and not found.trials


def test_rows_that_change_from_step_to_step():
    made = data(np.array([K, K[::-1]]), np.array([N, N[::-1]]))
    assert not made.constant and made.successes.tolist() == [K.tolist(), K[::-1].tolist()]
    assert made.counts_of_steps(2) == [COUNTS, er.Counts(K[::-1], N[::-1])]
    assert made.as_counted() == COUNTS, "those of the first step"
    assert data().counts_of_steps(2) == [COUNTS, COUNTS]


@pytest.mark.parametrize(
    ("made", "pyro", "numpyro"),
    [
        (data(), "binomial", "binomial"),
        (data(logits=True), "logits", "logits"),
        (data(kind="Bernoulli"), "trials", "binomial"),
        (data_of_all(TRIALS), "trials", "binomial"),
        (data_of_all((*TRIALS, "Binomial")), "binomial", "binomial"),
        (data(kind="Bernoulli", logits=True), "trials", "logits"),
        (Data.of(COUNTS), "by_hand", "by_hand"),
    ],
)
def test_the_way_in_which_a_likelihood_is_computed(made, pyro, numpyro):
    assert (made.form(numpyro=False), made.form(numpyro=True)) == (pyro, numpyro)


@pytest.mark.parametrize(
    ("value", "status", "words"),
    [
        (K + 0.5, "outside", "not whole numbers"),
        (N + 1, "mistake", "row 0 of 'k' has 11 successes of 10"),
        (-K, "mistake", "has -3 successes"),
        ([3, -1, 12], "mistake", "row 1 of 'k' has -1 successes of 9"),
    ],
)
def test_values_that_are_no_counts_are_said_to_be_none(value, status, words):
    """And no loss is made of them, whatever the steps have for one."""
    made = data(np.asarray(value)[None])
    (finding,) = made.findings
    assert (finding.status, made.possible) == (status, False) and words in finding.quantity
    assert not data(N[None]).findings and data(N[None]).possible
    rows = {"k.value": np.asarray(value, float)[None]}
    verdict = replay(stated(C, BETAS).with_observed(rows), er.Counts(K, N))
    assert verdict.having("untested")[0].reason == "the rows are no counts", verdict
    assert (verdict.outcome == "outside_model") == (status == "outside"), verdict


def test_values_that_a_mask_hides_are_none():
    mask = {"model.k.mask": np.array([[1.0, 0.0, 1.0]])}
    assert data(np.array([[3.0, -1.0, 12.0]]), more=mask).possible


def test_coefficients_of_another_total():
    """NumPyro's Multinomial has the factorial of its total_count, whatever the row has."""
    other = {"k.coefficient_total": np.array([[40.0]])}
    made, plain = data(K[None], more=other), data(K[None])
    np.testing.assert_array_equal(made.total_count, plain.total_count)
    extra = special.gammaln(41) - special.gammaln(N + 1.0)
    np.testing.assert_allclose(made.log_coefficient - plain.log_coefficient, [extra])
    assert made.as_counted() == made.counts(), "of more orders than there are, counts know none"
    assert [x.status for x in made.findings] == ["note"]


def test_values_that_stand_against_several_latents_each():
    """Observations of shape (3, 1) against latents of shape (3,): nine rows, three values."""
    index = [[0, 1, 2] * 3]
    made = data(np.repeat(K, 3)[None], [[40.0]], index, rows=9, elements=3)
    (finding,) = made.findings
    assert (finding.name, finding.status) == ("broadcast_observations", "mistake")
    assert finding.quantity == "'k' has 3 values and 9 rows"
    assert finding.reason.startswith("each value is held against several of the 3 latents")
    few = data([[3.0, 7.0] * 2], [[40.0]], [[0, 0, 1, 1]], {"c": Place(0, 2)}, rows=4, elements=2)
    assert few.findings[0].reason.startswith("each value is held against several of the 2 latents")
    whole = data(np.repeat(K, 3)[None], [[40.0]], index, rows=9, elements=9)
    assert not whole.findings
    one = data([[3.0]], [[40.0]], rows=3, elements=1)  # one number for all: no shape to mistake
    assert not one.findings and one.successes.tolist() == [[3, 3, 3]]


@pytest.mark.parametrize("latents", [2, 3])
def test_values_that_a_plate_repeats(latents):
    """Each of the values ten times, for its own latent: they weigh ten times as much."""
    k, n = K[:latents], N[:latents]
    rows = [np.tile(x, 10)[None].astype(float) for x in (k, n, np.arange(latents))]
    made = data(*rows, {"c": Place(0, latents)}, rows=10 * latents, elements=latents)
    (finding,) = made.findings
    assert (finding.name, finding.theirs, finding.ours) == ("likelihood_weight", 10.0, 1.0)
    assert made.successes.tolist() == [(10 * k).tolist()]


@pytest.mark.parametrize("k", [[3, 7], [3, 3]])
def test_values_in_several_rows_of_one_latent(k):
    """Shapes that make a square of a column and a row."""
    made = data([2 * k], [[10.0]], [[0.0]], {"c": Place(0, 1)}, rows=4, elements=2)
    (finding,) = made.findings
    assert (finding.name, finding.status) == ("broadcast_observations", "mistake")
    assert finding.reason == "each value is held in several rows: compare the shapes"


def test_a_site_that_is_masked_altogether_is_none():
    """Such as the unobserved part of a site whose `obs_mask` is true everywhere."""
    mask = {"model.k.mask": np.zeros((1, 3))}
    none = data(np.array([K, K]), np.array([N, N]), observed=False, more=mask)
    assert not none.findings and none.successes.tolist() == [[0, 0, 0]]


def test_rows_that_are_drawn_are_no_observations():
    made = data(np.array([K, K]), np.array([N, N]), observed=False)
    (finding,) = made.findings
    assert (finding.name, finding.status) == ("observations_missing", "mistake")
    assert made.exact
    assert not data(observed=False, loss={"num_particles": 2}).exact


@pytest.mark.parametrize(
    ("loss", "exact"),
    [
        (None, True),
        ({"num_particles": 1}, True),
        ({"num_particles": 2}, False),
        ({"num_particles": 2, "vectorize_particles": True}, True),
    ],
)
def test_particles_with_a_minibatch_each_have_data_of_their_own(loss, exact):
    assert data(more={"plate.rows": np.zeros((1, 3))}, loss=loss).exact == exact
    assert data(loss=loss).exact


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_coefficients_are_as_precise_as_the_data(kind):
    """A run in float64 whose data are float32 has its coefficients in float32."""
    found = rows_site()
    arrays = {"k.value": K[None], "k.total_count": N[None], "k.index": np.arange(3)[None]}
    observed = {name: x.astype(kind) for name, x in arrays.items()}
    draws = {"c": np.full((1, 1, 3), 0.5)}
    made = Recording(losses=[1.0], draws=draws, observed=observed, header={"sites": [found]})
    seen = data_of(made, [found], PLACES, 3)
    times = 2.0**29 if kind is np.float32 else 1.0
    wanted = times * data().coefficient_magnitude
    np.testing.assert_allclose(seen.coefficient_magnitude, wanted, rtol=1e-6)


def test_data_of_counts():
    made = Data.of(COUNTS)
    assert made.counts() == COUNTS and made.constant and made.exact
    np.testing.assert_array_equal(made.log_coefficient[0], COUNTS.log_coefficient)


def test_counts_of_a_likelihood_that_was_written_by_hand():
    """Of all latents, or in each step of the rows of its minibatch, if these are known."""
    rows = np.array([[0.0, 2.0], [2.0, 1.0], [1.0, 0.0]])
    batches = Recording(losses=np.ones(3), observed={"plate.rows": rows})
    assert data_by_hand(batches, COUNTS, 3).counts() == COUNTS
    made = data_by_hand(batches, COUNTS, 2)
    np.testing.assert_array_equal(made.successes, K[rows.astype(int)])
    np.testing.assert_array_equal(made.total_count, N[rows.astype(int)])
    assert (made.batched, made.whole, made.by_hand, made.constant) == (True, 3, True, False)
    np.testing.assert_array_equal(made.log_coefficient, COUNTS.log_coefficient[rows.astype(int)])
    magnitude = Data.of(COUNTS).coefficient_magnitude[0]
    np.testing.assert_array_equal(made.coefficient_magnitude, magnitude[rows.astype(int)])
    assert data_by_hand(Recording(losses=np.ones(3)), COUNTS, 2) is None
    assert data_by_hand(batches, er.Counts(K[:2], N[:2]), 1) is None, "other rows"
    assert data_by_hand(batches, er.Counts(K[:1], N[:1]), 2) is None, "of more rows than there are"
    more = er.Counts([*K, 1], [*N, 2])
    assert data_by_hand(batches, more, 2) and data_by_hand(batches, more, 3) is None
    two = replace(batches, observed={"plate.rows": rows, "other.rows": rows})
    assert data_by_hand(two, COUNTS, 2) is None, "of which plate?"


# -- counts beside the rows ------------------------------------------------------------------------


def test_counts_that_are_the_data():
    assert compare_counts(data(), COUNTS, 1.0) == []


@pytest.mark.parametrize(
    ("counts", "name", "quantity", "theirs", "ours"),
    [
        (er.Counts(K, N + [0, 1, 0]), "wrong_total_count", "total_count of latent 1", 9, 10),
        (er.Counts(K + [0, 0, 1], N), "wrong_counts", "successes of latent 2", 12, 13),
        (er.Counts(K[[1, 0, 2]], N[[1, 0, 2]]), "permuted_rows", "the row of latent 0", None, None),
        (er.Counts(K[[0, 2, 1]], N[[0, 2, 1]]), "permuted_rows", "the row of latent 1", None, None),
        (er.Counts(K[:2], N[:2]), "wrong_counts", "number of latents", 3, 2),
        (COUNTS.pooled(), "wrong_latents", "number of latents", 3, 1),
    ],
)
def test_counts_that_are_others(counts, name, quantity, theirs, ours):
    (finding,) = compare_counts(data(), counts, 1.0)
    assert (finding.name, finding.quantity, finding.status) == (name, quantity, "mistake")
    assert (finding.theirs, finding.ours) == (theirs, ours)


INDEX = np.array([[0, 2], [1, 0], [2, 1]])


def batches():
    return data(K[INDEX], N[INDEX], ((0, 1),), {"c": Place(0, 2)}, rows=2, elements=2)


@pytest.mark.parametrize(
    ("counts", "scale", "names"),
    [
        (COUNTS, 1.5, []),
        (er.Counts(K[::-1], N[::-1]), 1.5, []),  # the order of a batch's rows is its own
        (er.Counts(K, N + 1), 1.5, ["wrong_total_count"]),
        (er.Counts(K + [0, 0, 1], N), 1.5, ["wrong_counts"]),
        (COUNTS, 1.0, ["subsample_unscaled"]),
        (COUNTS, 1.5**2, ["subsample_scaled_twice"]),
        (COUNTS, 2.0, []),  # batches of an epoch
        (COUNTS, 4.0, ["normalised_loss"]),  # a scale that is neither
        (COUNTS, 1 / 1.5, ["subsample_unscaled"]),  # upside down
    ],
)
def test_counts_beside_minibatches(counts, scale, names):
    found = compare_counts(batches(), counts, scale)
    assert [x.name for x in found] == names
    assert all(x.status == "mistake" for x in found)


NUMBERED = {"plate.rows": INDEX.astype(float)}


def numbered(k=K, n=N, steps=3):
    """Minibatches of two of three latents whose numbers are known."""
    index, places = ((0, 1),), {"c": Place(0, 2)}
    value, total = np.asarray(k)[INDEX], np.asarray(n)[INDEX]
    found = rows_site(rows=2, elements=2)
    observed = {"k.value": value, "k.total_count": total, "k.index": index, **NUMBERED}
    observed = {name: np.asarray(x, float)[:steps] for name, x in observed.items()}
    header = {"sites": [found], "plates": {"plate": 3}}
    made = Recording(losses=np.zeros(steps), observed=observed, header=header)
    return data_of(made, [found], places, 2)


@pytest.mark.parametrize(
    ("counts", "names", "quantity"),
    [
        (COUNTS, [], None),
        (er.Counts(K[::-1], N[::-1]), ["permuted_rows"], "the row of latent 0"),
        (er.Counts(K, N + [0, 0, 1]), ["wrong_total_count"], "total_count of latent 2"),
        (er.Counts(K + [0, 1, 0], N), ["wrong_counts"], "successes of latent 1"),
        (er.Counts(K[:2], N[:2]), ["wrong_counts"], "number of latents"),
    ],
)
def test_minibatches_of_known_numbers_are_compared_row_by_row(counts, names, quantity):
    found = compare_counts(numbered(), counts, 1.5)
    assert [x.name for x in found] == names
    assert not names or found[0].quantity == quantity


def test_a_minibatch_is_not_all_the_data():
    """Also where it is the only one, or all have the same values."""
    one = numbered(steps=1)
    assert not one.constant and one.whole == 3 and compare_counts(one, COUNTS, 1.5) == []
    alike = numbered(k=[3, 3, 3], n=[10, 10, 10])
    assert not alike.constant and compare_counts(alike, er.Counts([3] * 3, 10), 1.5) == []
    assert data().constant


def test_a_minibatch_of_everything_has_no_scale():
    order = np.array([[0, 1, 2], [2, 1, 0]])
    made = data(K[order], N[order])
    assert compare_counts(made, COUNTS, 1.0) == []


# -- groups beside the rows ------------------------------------------------------------------------

LABELS = {
    "numbers": ([10, 2, 1], [2, 1, 0]),  # labels as they first appear, and the order of the latents
    "digits": (["10", "9", "1"], [2, 1, 0]),
    "digits as text": (["10", "9", "1"], [2, 0, 1]),
    "text": (["c", "a", "b"], [1, 2, 0]),
    "numbers of the latents": ([2, 0, 1], [1, 2, 0]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_groups_in_any_order_of_their_labels_are_the_data(kind):
    """The run has the latents in a sorted order; the file in that of first appearance."""
    labels, order = LABELS[kind]
    counts = er.Counts.grouped(K, N, labels)
    for made in (data(K[None, order], N[None, order]), numbered(K[order], N[order])):
        (finding,) = compare_in_orders(made, counts, 1.5)
        assert (finding.name, finding.status) == ("labels", "note")
        assert str(labels[order[0]]) in finding.quantity
        assert compare_in_orders(made, er.Counts(K[order], N[order]), 1.5) == []
        bare = compare_in_orders(made, er.Counts(K, N), 1.5)
        assert [x.name for x in bare] == ["permuted_rows"]
    assert compare_in_orders(data(), counts, 1.0) == []


@pytest.mark.parametrize("start", [0, 1])
def test_latents_without_rows_have_no_group(start):
    """Where a label is the number of a latent, some of which nothing is observed of."""
    made = data([[5, 2, 7]], [[9, 4, 8]], [[3, 0, 1]], {"c": Place(0, 4)})
    counts = er.Counts.grouped([5, 2, 7], [9, 4, 8], [3 + start, start, 1 + start])
    (finding,) = compare_in_orders(made, counts, 1.0)
    assert (finding.name, finding.status) == ("labels", "note")
    other = er.Counts.grouped([5, 2, 7], [9, 4, 8], [2 + start, start, 1 + start])
    assert [x.status for x in compare_in_orders(made, other, 1.0)] == ["mistake"]


@pytest.mark.parametrize("order", [[0, 2, 1], [1, 0, 2]])
def test_groups_in_no_order_of_their_labels_are_permuted(order):
    """And values that differ are in no order the data."""
    counts = er.Counts.grouped(K, N, ["a", "b", "c"])
    (finding,) = compare_in_orders(data(K[None, order], N[None, order]), counts, 1.0)
    assert (finding.name, finding.status) == ("permuted_rows", "mistake")
    other = er.Counts.grouped(K + [0, 1, 0], N, ["c", "a", "b"])
    assert [x.name for x in compare_in_orders(data(), other, 1.0)] == ["wrong_counts"]


def test_rows_that_the_model_draws_beside_the_data():
    """A predictive site: its log probability is in the loss."""
    sites = [rows_site("k"), {**rows_site("new"), "observed": False}]
    observed = {}
    for name in ("k", "new"):
        row = {"value": K, "total_count": N, "index": np.arange(3)}
        observed |= {f"{name}.{key}": np.asarray(x, float)[None] for key, x in row.items()}
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    (finding,) = (x for x in data_of(made, sites, PLACES, 3).findings if x.status == "mistake")
    assert finding.name == "latent_not_in_guide"
    assert finding.quantity == "the model draws 'new' beside the data"


def test_a_plate_of_minibatches_that_is_larger_than_the_counts():
    """All rows are in every batch, and count so much too often."""
    every = data(more={"plate.rows": np.tile(np.arange(3.0), (1, 1))})
    seen = every._replace(batched=True, whole=6, numbers=np.arange(3)[None])
    (finding,) = compare_counts(seen, COUNTS, 2.0)
    assert (finding.name, finding.theirs, finding.ours) == ("normalised_loss", 6.0, 3.0)


@pytest.mark.parametrize(("k", "same"), [(N - K, True), (K, False)])
def test_successes_and_failures_that_are_observed_apart(k, same):
    """The failures of a table beside its successes are the same rows."""
    sites = [rows_site("s"), {**rows_site("f"), "complement": True}]
    observed = {}
    for name, x in {"s": K, "f": k}.items():
        row = {"value": x, "total_count": N, "index": np.arange(3)}
        observed |= {f"{name}.{key}": np.asarray(y, float)[None] for key, y in row.items()}
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    found = data_of(made, sites, PLACES, 3)
    assert [x.name for x in found.findings] == ["same_rows"] * same
    np.testing.assert_array_equal(found.total_count[0], 2 * N)


@pytest.mark.parametrize(
    ("counts", "name", "rivals"),
    [
        (er.Counts(3 * K, 3 * N), "wrong_counts", ()),
        (er.Counts([3, 7, 12, 5], [10, 9, 40, 8]), "wrong_counts", ("subsample_unscaled",)),
        (er.Counts([3, 7, 12] * 2, [10, 9, 40] * 2), "subsample_unscaled", ("wrong_counts",)),
        (er.Counts([3, 7, 11, 5], [10, 9, 40, 8]), "wrong_counts", ()),
    ],
)
def test_rows_that_are_some_of_the_counts(counts, name, rivals):
    (finding,) = compare_in_orders(data(), counts, 1.0)
    assert (finding.name, finding.rivals, finding.status) == (name, rivals, "mistake")


@pytest.mark.parametrize("times", [2, 3])
def test_rows_that_count_several_times(times):
    several = data()._replace(successes=times * K[None] + 0.0, total_count=times * N[None] + 0.0)
    (finding,) = compare_in_orders(several, er.Counts(K, N), 1.0)
    assert (finding.name, finding.theirs, finding.ours) == ("likelihood_weight", times, 1.0)


@pytest.mark.parametrize(
    ("k", "n", "index", "same"),
    [
        (K, N, [0, 1, 2], True),
        (K, N, [1, 0, 2], False),
        (K[:1].repeat(3), N, [0, 1, 2], False),
        (K[::-1], N[::-1], [0, 1, 2], False),
        (K, N + 1, [0, 1, 2], False),
    ],
)
def test_one_table_that_is_observed_under_two_names(k, n, index, same):
    """The same rows of the same latents are noted; other rows, or rows of others, are not."""
    sites = [rows_site("k1"), rows_site("k2")]
    columns = {"k1": (K, N, [0, 1, 2]), "k2": (k, n, index)}
    observed = {
        f"{name}.{key}": np.asarray(x, float)[None]
        for name, column in columns.items()
        for key, x in zip(("value", "total_count", "index"), column, strict=True)
    }
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    found = data_of(made, sites, PLACES, 3).findings
    assert [(x.name, x.status) for x in found] == [("same_rows", "note")] * same
    if same:
        assert found[0].quantity == "the rows of 'k1' and 'k2' are the same"
        assert found[0].reason == "each counts twice, if that was not meant"


@pytest.mark.parametrize(
    ("k", "n", "table"),
    [
        ([4, 4, 4], [9, 9, 9], False),
        ([4, 2], [9, 8], False),
        ([4, 4, 4], [9, 8, 7], True),
        ([4, 3, 2], [9, 9, 9], True),
    ],
)
def test_equal_rows_and_few_are_no_table(k, n, table):
    """Rows are unlike that have other successes, or other totals."""
    rows = len(k)
    sites = [rows_site(name, rows=rows, elements=rows) for name in ("k1", "k2")]
    columns = {"value": k, "total_count": n, "index": range(rows)}
    observed = {
        f"{site['name']}.{key}": np.array([[*x]], float)
        for site in sites
        for key, x in columns.items()
    }
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    assert bool(data_of(made, sites, PLACES, 3).findings) is table


def test_a_table_that_is_observed_twice_beside_another_latent_s():
    """Whatever stands between the two."""
    places = {"c": Place(0, 3), "d": Place(3, 3)}
    sites = [rows_site("k1"), rows_site("k2", latent="d"), rows_site("k3")]
    observed = {
        f"{name}.{key}": np.asarray(x, float)[None]
        for name in ("k1", "k2", "k3")
        for key, x in zip(("value", "total_count", "index"), (K, N, [0, 1, 2]), strict=True)
    }
    made = Recording(losses=np.zeros(1), observed=observed, header={"sites": sites})
    (found,) = data_of(made, sites, places, 6).findings
    assert found.quantity == "the rows of 'k1' and 'k3' are the same"


def test_rows_that_a_mask_leaves_out_are_no_trials():
    mask = np.array([[1.0, 0.0, 1.0]])
    observed = {"k.value": K[None], "k.total_count": N[None], "model.k.mask": mask}
    observed = {name: np.asarray(x, float) for name, x in observed.items()}
    k, n, seen = _counted(Recording(losses=np.zeros(1), observed=observed), rows_site())
    np.testing.assert_array_equal(k, K * mask)
    np.testing.assert_array_equal(n, N * mask)
    np.testing.assert_array_equal(seen, mask)


@pytest.mark.parametrize(("size", "known"), [(1, False), (2, True)])
def test_a_plate_of_one_latent_is_none_of_latents(size, known):
    """It may be that of its trials."""
    rows = {"data.rows": np.arange(2.0 * size).reshape(2, size)}
    made = Recording(losses=np.zeros(2), observed=rows, header={"plates": {"data": 9}})
    whole, numbers = _batch(made, size)
    assert (whole, numbers is not None) == ((9, True) if known else (None, False))
