"""`elbo_ref.diagnostics.diagnosis`: the oracle's view of a run, in numbers and in words.

The gap is held against evidence minus objective (E4), the suprema against scipy and the kinds'
definitions, the step at which an empty guide passes the evidence's supremum against a plain loop.
Of the sentences only numbers and key words are asserted, and that they change with the data.
"""

import dataclasses

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref._format.numbers import number
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.svi.convergence import ARRIVED
from kinds import GUIDES, KINDS, OVERDISPERSED
from tiers import few

FAST = er.Adam(lr=0.1)
FORUM = er.datasets.load("forum")
RATS = er.datasets.load("rat_tumors")


def exact(counts, guide="beta", num_steps=100, **settings):
    settings = {"optimizer": FAST, **settings}
    return er.maximize_elbo(counts, guide=guide, loss="exact", num_steps=num_steps, **settings)


def says_converged(text):
    return "converged" in text and "not converged" not in text and "far from" not in text


# -- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guide", GUIDES)
def test_every_guide_on_every_kind(kind, guide):
    """Nothing passes its supremum, no gap is negative, and the parts fit together."""
    counts = KINDS[kind]
    run = exact(counts, guide, num_steps=60, prior=er.Beta(0.7, 2.5))
    seen = er.diagnose(run)
    assert seen.run is run
    assert seen.supremum == maximize_evidence(counts)
    assert seen.supremum.kind == kind
    assert seen.objective == run.objective
    assert seen.shortfall == seen.optimum.value - seen.objective
    assert seen.shortfall > -1e-10
    assert (seen.passes_at is not None) <= (guide == "empty")
    assert seen.sentence in seen.summary()
    if guide == "none":
        assert (seen.log_evidence, seen.distance, seen.gap) == (None, None, None)
        return
    assert seen.log_evidence == er.log_evidence(run.prior, counts)
    assert seen.distance == seen.supremum.log_evidence - seen.log_evidence
    assert seen.distance > -1e-10
    if guide == "empty":
        assert seen.gap is None
        assert seen.shortfall == seen.optimum.value == np.inf
        assert not seen.arrived
    else:
        assert seen.gap >= 0
        np.testing.assert_allclose(seen.gap, seen.log_evidence - seen.objective, atol=1e-10)


GAP_DATA = [er.Counts(3, 10), OVERDISPERSED, RATS, er.Counts.grouped([1, 2, 0], 3, list("aba"))]


@pytest.mark.parametrize("counts", GAP_DATA)
@pytest.mark.parametrize("guide", ["beta", "tied"])
@pytest.mark.parametrize("loss", ["exact", "trace"])
def test_gap_is_evidence_minus_elbo(counts, guide, loss):
    """(E4), multiplicities and the rows' coefficients included."""
    run = er.maximize_elbo(
        counts, guide=guide, loss=loss, optimizer=FAST, num_steps=15, num_particles=2, rng=3
    )
    seen = er.diagnose(run)
    elbo = er.elbo(run.guide, run.prior, counts)
    np.testing.assert_allclose(seen.objective, elbo, rtol=1e-12)
    np.testing.assert_allclose(seen.gap, seen.log_evidence - elbo, rtol=1e-9, atol=1e-11)
    each = run.guide.kl(er.posterior(run.prior, counts))
    np.testing.assert_allclose(seen.gap, np.sum(counts.multiplicity * each), rtol=1e-12)
    assert seen.gap > 1e-3


@pytest.mark.parametrize("guide", ["beta", "tied"])
def test_a_swapped_guide_has_another_gap(guide):
    """Negative control: the identity is not one that any guide value meets."""
    run = exact(OVERDISPERSED, guide, num_steps=15)
    swapped = er.Beta(*run.guide.arrays()[::-1])
    elbo = er.elbo(swapped, run.prior, OVERDISPERSED)
    assert abs(er.diagnose(run).gap - (er.log_evidence(run.prior, OVERDISPERSED) - elbo)) > 0.1


@pytest.mark.parametrize("counts", KINDS.values(), ids=KINDS)
def test_supremum_of_each_objective(counts):
    """Evidence for a Beta guide, infinity for an empty one, else a binomial likelihood."""
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    trials = w @ n
    pooled = w @ stats.binom.logpmf(k, n, (w @ k) / trials) if trials else 0.0
    rows = w @ stats.binom.logpmf(k, n, k / np.maximum(n, 1))
    wanted = {
        "beta": maximize_evidence(counts).log_evidence,
        "empty": np.inf,
        "tied": pooled,
        "none": rows,
    }
    for guide, height in wanted.items():
        seen = er.diagnose(exact(counts, guide, num_steps=2))
        np.testing.assert_allclose(seen.optimum.value, height, rtol=1e-12, atol=1e-12)


def test_a_fixed_prior():
    """Then the highest ELBO is that prior's own log evidence, met at the posterior (E2)."""
    counts = er.Counts([3, 9], [10, 12])
    short, long = (
        er.diagnose(exact(counts, num_steps=steps, learn_prior=False, prior=er.Beta(2.0, 8.0)))
        for steps in (10, 1500)
    )
    evidence = er.log_evidence(er.Beta(2.0, 8.0), counts)
    for seen in (short, long):
        assert seen.log_evidence == seen.optimum.value == evidence
        assert seen.distance == maximize_evidence(counts).log_evidence - evidence
        np.testing.assert_allclose(seen.shortfall, seen.gap, rtol=1e-9, atol=1e-12)
        assert number(evidence) in seen.sentence
        assert "posterior" in seen.sentence
    assert (short.arrived, long.arrived) == (False, True)
    assert not says_converged(short.sentence)
    assert says_converged(long.sentence)
    np.testing.assert_allclose(long.gap, 0, atol=1e-9)
    np.testing.assert_allclose(long.run.guide.concentration1, [5, 11], rtol=1e-4)


def test_no_latent():
    """Without a latent the objective is the likelihood, highest at K/N: the classical MLE."""
    counts = er.Counts([3, 4], [10, 5])
    short, long = (er.diagnose(exact(counts, "none", num_steps=steps)) for steps in (3, 1500))
    best = stats.binom.logpmf([3, 4], [10, 5], [0.3, 0.8]).sum()
    np.testing.assert_allclose([short.optimum.value, long.objective], best, rtol=1e-10)
    np.testing.assert_allclose(long.run.guide.mean, [0.3, 0.8], rtol=1e-4)
    assert (short.arrived, long.arrived) == (False, True)
    assert says_converged(long.sentence)
    assert "classical MLE" in long.sentence
    assert number(best) in long.sentence


# -- the step at which an empty guide passes the supremum ----------------------------------------


def first_above(height, counts, start, optimizer, most=2000):
    """A plain loop: parameters, objective, gradient, update."""
    x = np.log(start)
    state = optimizer.init(x)
    for step in range(most):
        prior = er.Beta(*np.exp(x))
        if er.empty_guide_objective(prior, counts) > height:
            return step
        gradient = np.exp(x) * np.array(er.empty_guide_objective_gradient(prior, counts))
        x, state = optimizer.update(state, x, -gradient)
    return None


def test_forum_passes_at_step_141():
    assert first_above(0.0, FORUM, (1.0, 1.0), er.Adam(lr=0.1)) == 141
    seen = er.diagnose(exact(FORUM, "empty"))
    assert seen.passes_at == 141
    assert seen.supremum.log_evidence == 0.0
    assert "at step 141" in seen.sentence
    assert "not an ELBO" in seen.sentence
    assert "unbounded" in seen.sentence


@pytest.mark.parametrize(
    ("counts", "start", "optimizer"),
    few(
        [
            (FORUM, (1.0, 1.0), er.Adam(lr=0.3)),
            (FORUM, (2.0, 3.0), er.Adam(lr=0.1)),
            (er.Counts(3, 10), (1.0, 1.0), er.Adam(lr=0.1)),
            (er.Counts(3, 10), (1.0, 1.0), er.Adam(lr=0.01)),
            (er.Counts(3, 10), (4.0, 1.0), er.ClippedAdam(lr=0.05)),
            (OVERDISPERSED, (1.0, 1.0), er.Adam(lr=0.05, betas=(0.8, 0.99))),
            (RATS, (1.0, 1.0), er.Adam(lr=0.1)),
            (er.Counts([0, 2, 5], [2, 2, 5]), (0.5, 0.5), er.Adam(lr=0.1)),
        ],
        3,
    ),
)
def test_passing_depends_on_data_start_and_optimizer(counts, start, optimizer):
    wanted = first_above(maximize_evidence(counts).log_evidence, counts, start, optimizer)
    assert wanted is not None
    run = exact(counts, "empty", num_steps=3, prior=er.Beta(*start), optimizer=optimizer)
    seen = er.diagnose(run)
    assert seen.passes_at == wanted
    assert f"at step {wanted}" in seen.sentence
    assert number(seen.supremum.log_evidence) in seen.sentence


def test_passing_does_not_depend_on_the_run_itself():
    """It is a fact about the exact path, so a noisy or a short run has the same one."""
    runs = [
        er.maximize_elbo(FORUM, guide="empty", optimizer=FAST, num_steps=n, rng=n) for n in (1, 30)
    ]
    assert {er.diagnose(run).passes_at for run in runs} == {141}


def test_passed_from_the_start():
    seen = er.diagnose(exact(FORUM, "empty", num_steps=2, prior=er.Beta(1e-6, 1.0)))
    assert seen.passes_at == 0


@pytest.mark.thorough
def test_too_slow_to_pass():
    seen = er.diagnose(exact(FORUM, "empty", num_steps=2, optimizer=er.Adam(lr=1e-7)))
    assert seen.passes_at is None
    assert "10000" in seen.sentence.replace(",", "")
    assert "None" not in seen.sentence


# -- arrived, and the words for it ---------------------------------------------------------------


@pytest.mark.thorough
def test_converged_on_rat_tumors():
    seen = er.diagnose(exact(RATS, num_steps=2500))
    assert seen.run.stopped == "converged"
    assert seen.arrived
    assert says_converged(seen.sentence)
    assert says_converged(seen.summary())
    assert "-156.57" in seen.sentence
    assert "Beta(2.3416, 14.115)" in seen.sentence
    np.testing.assert_allclose([seen.distance, seen.shortfall, seen.gap], 0, atol=1e-8)


def test_far_from_converged():
    seen = er.diagnose(exact(RATS, num_steps=10))
    assert not seen.arrived
    assert seen.shortfall > 1
    assert not says_converged(seen.sentence)
    assert number(seen.shortfall) in seen.sentence


def test_arrived_without_converging():
    """Near enough to a supremum that is not attained: as good as there, but never converged."""
    for counts, guide in [(KINDS["all_or_none"], "beta"), (er.Counts(3, 10), "tied")]:
        quick = er.Adam(lr=0.3)
        early, late = (
            er.diagnose(exact(counts, guide, num_steps=n, optimizer=quick)) for n in (20, 1500)
        )
        assert late.run.stopped == "completed"
        assert 0 < late.shortfall <= ARRIVED < early.shortfall
        assert (early.arrived, late.arrived) == (False, True)
        assert not says_converged(late.sentence)
        assert number(late.shortfall) in late.sentence
        assert early.sentence != late.sentence


PLACES = {
    "degenerate": ["supremum 0", "mean", "0"],
    "unidentified": ["maximum -1.9095", "mean", "0.66667", "any"],
    "all_or_none": ["supremum -1.9095", "0.66667", "concentration"],
    "binomial": ["supremum", "concentration", "inf", "0.33333"],
    "interior": ["maximum -129.31", "Beta(0.5493, 0.46479)"],
    "no_information": ["maximum 0", "any prior"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_where_a_beta_guide_leads(kind):
    text = er.diagnose(exact(KINDS[kind], num_steps=5)).sentence
    for part in ["ELBO", *PLACES[kind]]:
        assert part in text, text


@pytest.mark.parametrize("kind", ["degenerate", "unidentified", "all_or_none", "binomial"])
def test_where_a_tied_guide_leads(kind):
    """The pooled likelihood at K/N (E8)."""
    counts = KINDS[kind]
    seen = er.diagnose(exact(counts, "tied", num_steps=5))
    text = seen.sentence
    assert "classical MLE" in text
    assert "supremum" in text
    assert number(counts.successes.sum() / counts.total_count.sum()) in text
    assert number(seen.optimum.value) in text


@pytest.mark.parametrize("guide", few(sorted(GUIDES, key=["empty"].count), 3))
def test_words_without_trials(guide):
    """K/N is 0/0 then."""
    seen = er.diagnose(exact(KINDS["no_information"], guide, num_steps=3))
    assert "nan" not in seen.summary()
    assert "None" not in seen.summary()


@pytest.mark.parametrize("guide", ["beta", "empty", "tied"])
def test_a_run_that_ended_early_says_so(guide):
    run = exact(er.Counts(3, 10), guide, num_steps=20, optimizer=er.Adam(lr=100.0))
    assert (run.stopped, len(run.losses)) == ("unbounded", 0)
    seen = er.diagnose(run)
    assert run.message in seen.sentence
    assert not seen.arrived
    assert seen.passes_at is None


def test_sentences_are_computed():
    """No two runs on other data, or of other lengths, read alike."""
    data = [er.Counts(3, 10), er.Counts(4, 10), OVERDISPERSED, KINDS["all_or_none"]]
    for guide in ("beta", "tied"):
        texts = [
            er.diagnose(exact(counts, guide, num_steps=n)).sentence
            for counts in data
            for n in (5, 50)
        ]
        assert len(set(texts)) == len(texts)
    texts = [er.diagnose(exact(counts, "empty", num_steps=2)).sentence for counts in data]
    assert len(set(texts)) == len(texts)


def test_summary():
    run = exact(er.Counts(3, 10), num_steps=5)
    seen = er.diagnose(run)
    text = seen.summary()
    for value in (seen.objective, seen.log_evidence):
        assert f"{value:.9g}" in text
    assert f"{seen.gap:.6g}" in text
    assert run.message in text
    none = er.diagnose(exact(er.Counts(3, 10), "none", num_steps=5)).summary()
    assert "None" not in none


# -- odds and ends -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 3, "run", OVERDISPERSED])
def test_only_a_run_can_be_diagnosed(value):
    with pytest.raises(TypeError, match="Run"):
        er.diagnose(value)


def test_frozen():
    seen = er.diagnose(exact(er.Counts(3, 10), num_steps=2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.gap = 0.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-129.30675, "-129.31"),
        (1e-9, "1e-09"),
        (1e16, "1e+16"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_the_step_of_passing_is_that_of_the_whole_data():
    """The pooled shortcut of many latents against the exact path on all of them."""
    for name in ("rat_tumors", "colds_father", "litters_control"):
        counts = er.datasets.load(name)
        path = exact(counts, "empty", num_steps=120)
        direct = int(np.argmax(-path.losses > maximize_evidence(counts).log_evidence))
        noisy = er.maximize_elbo(counts, "empty", optimizer=path.config.optimizer, num_steps=2)
        assert er.diagnose(noisy).passes_at == direct > 0, name


@pytest.mark.parametrize("lr", [1e3, 1e308])
def test_a_run_thrown_out_of_range_is_not_at_its_noise_floor(lr):
    """Its rate would allow any distance, but it has never been near."""
    run = er.maximize_elbo(er.Counts([3, 0, 9], 10), optimizer=er.Adam(lr=lr), num_steps=5)
    diagnosis = er.diagnose(run)
    assert run.stopped == "unbounded"
    assert diagnosis.case == "not_converged"
    assert "noise floor" not in diagnosis.sentence


# -- words --------------------------------------------------------------------------------------


def test_repr_has_the_numbers_and_not_the_run():
    seen = er.diagnose(exact(OVERDISPERSED, num_steps=5))
    assert repr(seen) == (
        f"Diagnosis(log_evidence={seen.log_evidence!r}, gap={seen.gap!r}, "
        f"objective={seen.objective!r}, optimum={seen.optimum.value!r}, case='not_converged')"
    )


@pytest.mark.parametrize(
    ("successes", "prior", "words"),
    [
        ([3, 0, 1], er.Beta(1.0, 1.0), "(c from 0.2 to 0.3, 1 at 0): the mode of the joint "
         "density, at an end for some latents; not an ELBO, as no entropy is counted"),
        ([0, 0, 0], er.Beta(1.0, 1.0), "(c = 0): the mode of the joint density, at an end; not an "
         "ELBO, as no entropy is counted"),
        ([3, 0, 1], er.Beta(0.5, 2.0), "data and c: not an ELBO: the joint density of a latent "
         "grows without bound as its c goes to an end"),
    ],
)  # fmt: skip
def test_modes_at_an_end_in_words(successes, prior, words):
    counts = er.Counts(successes, [10, 4, 5])
    run = exact(counts, "delta", num_steps=5, prior=prior, learn_prior=False)
    assert er.diagnose(run).sentence.endswith(words)


@pytest.mark.parametrize(("loss", "words"), [
    ("trace", "data and logit c, "),
    ("trace_mean_field", "data and logit c without its Jacobian, "),
])  # fmt: skip
def test_laplace_without_its_jacobian_in_words(loss, words):
    counts = er.Counts([3, 2], [10, 4])
    run = er.maximize_elbo(counts, "laplace", loss=loss, learn_prior=False, num_steps=5)
    assert f"maximises the joint density of {words}" in er.diagnose(run).sentence
