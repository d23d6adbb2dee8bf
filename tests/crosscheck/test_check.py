"""`cross_check` on numbers: each mistake recognised where it can be seen, and nothing else.

The losses come from a slow twin: draws by NumPy, densities by SciPy's distributions, one step after
the other. Seeds are fixed; a clean run is called wrong in 1% of all seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from tiers import few

K, N = np.array([3, 11, 0, 7, 5, 9]), np.array([10, 20, 6, 7, 30, 12])
STEPS, EVALUATIONS = 60, 30
ROLES = ("prior.concentration1", "prior.concentration0")
OWN = ("guide.concentration1", "guide.concentration0")


def path(k, n, seed=1):
    """Parameters that wander near the posterior: (2, STEPS + 1) and (2, STEPS + 1, G)."""
    rng = np.random.default_rng(seed)
    prior = np.exp(np.array([[0.7], [1.2]]) + np.cumsum(rng.normal(0, 0.02, (2, STEPS + 1)), 1))
    steps = np.cumsum(rng.normal(0, 0.02, (2, STEPS + 1, k.size)), 1)
    return prior, 1.1 * np.exp(steps) * (np.array([2.0, 3.3])[:, None] + [k, n - k])[:, None]


def densities(c, prior, own, k, n, guide="beta"):
    """log p(x, c) - log q(c) of draws (..., G), by SciPy."""
    found = stats.binom.logpmf(k, n, c)
    if guide != "tied":
        found = found + stats.beta.logpdf(c, *prior)
    if guide in ("beta", "beta_shared"):
        found = found - stats.beta.logpdf(c, *own)
    return found


def one_loss(prior, own, k, n, rng, guide="beta", particles=1):
    """One step's loss."""
    source = own if guide in ("beta", "beta_shared") else prior[:, None]
    c = rng.beta(*np.broadcast_to(source[:, None], (2, particles, k.size)))
    return -densities(c, prior, own, k, n, guide).sum(axis=-1).mean()


def numbers(loss, prior, own, level):
    """What somebody hands in: a loss for each step, or evaluations of the last."""
    if level == "history":
        given = {"losses": [loss(prior[:, t], own[:, t]) for t in range(STEPS)]}
        first, second = prior, own
    else:
        given = {"evaluations": [loss(prior[:, -1], own[:, -1]) for _ in range(EVALUATIONS)]}
        first, second = prior[:, -1], own[:, -1]
    values = (*first, *second)
    return {"params": dict(zip(ROLES + OWN, values, strict=True)), **given}


def planted(name, level, **options):
    """The verdict on numbers with a mistake in them."""
    rng, counts = np.random.default_rng(0), er.Counts(K, N)
    k, n, prior, own = K, N, *path(K, N)
    size = options.get("subsample_size")

    def batch():
        return rng.permutation(K.size)[:3]

    losses = {
        "clean": lambda p, q: one_loss(p, q, k, n, rng),
        "swapped_concentrations": lambda p, q: one_loss(p[::-1], q, k, n, rng),
        "latent_not_in_guide": lambda p, q: one_loss(p, q, k, n, rng, "empty"),
        "wrong_sign": lambda p, q: -one_loss(p, q, k, n, rng),
        "normalised_loss": lambda p, q: one_loss(p, q, k, n, rng) / N.sum(),
        "missing_coefficients": lambda p, q: (
            one_loss(p, q, k, n, rng) + counts.log_coefficient.sum()
        ),
        "unexplained_constant": lambda p, q: one_loss(p, q, k, n, rng) + 7.25,
        "wrong_total_count": lambda p, q: one_loss(p, q, k, n + 4, rng),
        "wrong_latents": lambda p, q: _pooled(p, q, k, n, rng),
        "unconstrained_values": lambda p, q: one_loss(p, q, k, n, rng),
    }
    if name in losses:
        loss = losses[name]
    else:
        scale = 1.0 if name == "subsample_unscaled" else (K.size / 3) ** 2

        def loss(p, q):
            seen = batch()
            return scale * one_loss(p, q[:, seen], k[seen], n[seen], rng)

        options.setdefault("subsample_size", size)
    if name == "wrong_latents":
        _, own = path(K.sum(keepdims=True), N.sum(keepdims=True))
        own = np.repeat(own, K.size, axis=2)
    given = numbers(loss, prior, own, level)
    if name == "unconstrained_values":
        given["params"] = {key: np.log(value) for key, value in given["params"].items()}
    return er.cross_check(counts, optimizer=None, **given, **options)


def _pooled(prior, own, k, n, rng):
    c = rng.beta(*own[:, 0])
    prior_and_guide = stats.beta.logpdf(c, *prior) - stats.beta.logpdf(c, *own[:, 0])
    return -(prior_and_guide + stats.binom.logpmf(k, n, c).sum())


NAMES = (
    "swapped_concentrations",
    "latent_not_in_guide",
    "wrong_sign",
    "normalised_loss",
    "unexplained_constant",
    "wrong_total_count",
    "wrong_latents",
    "unconstrained_values",
    "subsample_unscaled",
    "subsample_scaled_twice",
)


UNDECIDED = {
    ("swapped_concentrations", "evaluations"),
    ("unexplained_constant", "history"),
    ("unexplained_constant", "evaluations"),
    ("wrong_total_count", "history"),
    ("wrong_total_count", "evaluations"),
    ("subsample_unscaled", "evaluations"),
    ("subsample_scaled_twice", "evaluations"),
}
"""Mistakes that forty losses do not tell from others that move their mean as much."""


@pytest.mark.parametrize("level", few(["history", "evaluations"]))
@pytest.mark.parametrize("name", few(NAMES))
def test_a_mistake_is_named(name, level):
    """Where the losses decide; where they do not, it is one that it may be."""
    found = planted(name, level)
    if (name, level) in UNDECIDED:
        (finding,) = found.having("mistake")
        assert finding.name == "loss_mismatch"
        assert name in finding.rivals
        return
    assert found.mistakes[0] == name


@pytest.mark.parametrize("level", few(["history", "evaluations"]))
def test_losses_without_coefficients_are_genuine(level):
    """They are those of single trials: a note says so."""
    found = planted("missing_coefficients", level)
    assert (found.mistakes, found.genuine) == ((), True)
    assert "single trials" in found.having("note")[0].quantity


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["subsample_unscaled", "subsample_scaled_twice"])
def test_a_minibatch_that_was_told(name):
    verdict = planted(name, "history", subsample_size=3)
    assert verdict.mistakes == (name,)


@pytest.mark.thorough
@pytest.mark.parametrize(("size", "name"), [(40, "wrong_sign"), (1, "loss_mismatch")])
def test_one_loss_names_no_mistake_alone(size, name):
    """One loss says that something is wrong; forty say what."""
    rng, prior, own = np.random.default_rng(3), *(x[:, -1] for x in path(K, N))
    params = dict(zip(ROLES + OWN, (*prior, *own), strict=True))
    losses = _evaluations(lambda: -one_loss(prior, own, K, N, rng), size)
    verdict = er.cross_check(er.Counts(K, N), params, evaluations=losses)
    (finding,) = verdict.having("mistake")
    assert finding.name == name
    assert ("wrong_sign" in finding.rivals) == (size == 1)
    assert "wrong_sign" in verdict.paragraph.split("Ruled out")[0]
    assert ("one of these" in verdict.paragraph) == (size == 1)


@pytest.mark.parametrize("level", ["history", "evaluations"])
def test_a_clean_run_agrees(level):
    verdict = planted("clean", level)
    assert verdict.mistakes == ()
    assert "swapped_concentrations" in verdict.ruled_out


def _evaluations(loss, size=EVALUATIONS):
    return [loss() for _ in range(size)]


@pytest.mark.thorough
def test_a_symmetric_swap_is_not_suggested():
    """Beta(2, 2) swapped is Beta(2, 2): it can neither be named nor ruled out."""
    rng, prior, own = np.random.default_rng(0), np.array([2.0, 2.0]), np.array([[3.0], [4.0]])
    k, n = np.array([3]), np.array([7])
    params = dict(zip(ROLES + OWN, (*prior, *own[:, 0]), strict=True))
    for added in (0.0, 5.0):
        given = _evaluations(lambda added=added: one_loss(prior, own, k, n, rng) + added)
        verdict = er.cross_check(er.Counts(k, n), params, evaluations=given)
        prior_alone = [f for f in verdict.findings if "the prior's:" in f.quantity]
        assert not prior_alone
    assert "swapped_concentrations" not in verdict.mistakes


@pytest.mark.thorough
def test_single_trials_have_no_coefficients_to_miss():
    """A constant in them is unexplained."""
    rng, prior, own = np.random.default_rng(0), np.array([2.0, 3.0]), np.full((2, 5), 2.0)
    k, n = np.array([1, 0, 0, 1, 0]), np.ones(5, int)
    params = dict(zip(ROLES + OWN, (*prior, *own), strict=True))
    given = _evaluations(lambda: one_loss(prior, own, k, n, rng) + 30.0)
    assert er.cross_check(er.Counts(k, n), params, evaluations=given).mistakes[0] != (
        "missing_coefficients"
    )


@pytest.mark.thorough
def test_pooled_rows_are_a_constant_of_their_own():
    """The coefficient of the totals stands where those of the rows are meant: no mistake."""
    rng, prior, own = np.random.default_rng(0), np.array([2.0, 3.0]), np.array([[9.0], [11.0]])
    total = (np.array([K.sum()]), np.array([N.sum()]))
    params = dict(zip(ROLES + OWN, (*prior, *own[:, 0]), strict=True))
    given = _evaluations(lambda: one_loss(prior, own, *total, rng))
    found = er.cross_check(er.Counts.shared(K, N), params, evaluations=given)
    assert (found.mistakes, found.genuine) == ((), True)
    assert "meaning" in {finding.name for finding in found.having("note")}
    assert er.cross_check(er.Counts(*total), params, evaluations=given).mistakes == ()


@pytest.mark.thorough
def test_a_left_out_latent_shows_in_losses_of_a_store_without_a_guide():
    """Losses of c in the model; without any nobody can say which program left such a store."""
    params, rng = dict(zip(ROLES, (6.0, 9.0), strict=True)), np.random.default_rng(0)
    prior = np.array([6.0, 9.0])
    for guide, name in (("empty", "latent_not_in_guide"), ("tied", "shared_parameter")):
        given = _evaluations(lambda guide=guide: one_loss(prior, None, K, N, rng, guide))
        found = er.cross_check(er.Counts(K, N), params, evaluations=given)
        assert found.mistakes == (name,)
    assert er.cross_check(er.Counts(K, N), params).outcome == "too_little_to_tell"


def test_losses_that_have_settled_tell_a_marginal_likelihood():
    """They have no noise; those that still fall, or are of something else, do not tell."""
    params = dict(zip(ROLES, (2.0, 3.0), strict=True))
    value = -stats.betabinom.logpmf(K, N, 2.0, 3.0).sum()
    settled = value + np.exp(-np.arange(40.0))
    told = [settled, value + np.linspace(3.0, 0.0, 40), settled + 0.5]
    found = [er.cross_check(er.Counts(K, N), params, losses=x).genuine for x in told]
    assert found == [True, False, False]


def test_a_store_without_the_prior_is_no_left_out_latent():
    with pytest.raises(ValueError, match=r"which parameter is prior\.concentration1"):
        er.cross_check(er.Counts(K, N), {"alpha_q": 2.0, "beta_q": 3.0})


def test_a_marginal_likelihood_is_a_model():
    """Every loss is minus the log evidence: no guide is missed (E12); a constant away it is one."""
    params = dict(zip(ROLES, (2.0, 3.0), strict=True))
    value = -stats.betabinom.logpmf(K, N, 2.0, 3.0).sum()
    for guide in ("beta", "empty"):
        found = er.cross_check(er.Counts(K, N), params, guide=guide, evaluations=[value] * 2)
        assert found.outcome == "not_at_optimum" and "BetaBinomial" in found.subject
    found = er.cross_check(er.Counts(K, N), params, evaluations=[value + 0.01] * 2)
    assert found.outcome == "too_little_to_tell"


def test_a_guide_that_is_a_network():
    """Only the prior can be judged: too little to tell, and no mistake."""
    rng = np.random.default_rng(0)
    params = {"a0": 2.0, "b0": 3.0, "enc.0.weight": np.ones((8, 2)), "enc.0.bias": np.ones(8)}
    names = dict(zip(ROLES, ("a0", "b0"), strict=True))
    prior, own = np.array([2.0, 3.0]), np.array([2.2 + K, 3.1 + N - K])
    given = _evaluations(lambda: one_loss(prior, own, K, N, rng))
    found = er.cross_check(er.Counts(K, N), params, names=names, evaluations=given)
    assert found.outcome == "too_little_to_tell"
    assert "log evidence of the prior" in str(found)


@pytest.mark.thorough
def test_impossible_losses_show_without_parameters():
    """Below minus the supremum of the evidence, where no draw is clamped."""
    lowest = -er.maximize_evidence(er.Counts(K, N)).log_evidence
    prior, own = path(K, N)
    params = dict(zip(ROLES + OWN, (*prior[:, -1], *own[:, -1]), strict=True))
    rng = np.random.default_rng(0)
    last = one_loss(prior[:, -1], own[:, -1], K, N, rng)
    losses = [*(lowest - 5 + rng.normal(0, 0.5, 60)), last]
    last_fits = er.cross_check(er.Counts(K, N), params, losses=losses)
    assert last_fits.mistakes == ("loss_mismatch",)


@pytest.mark.thorough
def test_losses_of_totals_are_not_impossible():
    """Totals have larger coefficients than rows: a constant that no parameter feels."""
    counts = er.Counts.shared(K, N)
    lowest = -er.maximize_evidence(counts).log_evidence
    params = dict(zip(ROLES + OWN, (2.0, 3.0, 2.0 + K.sum(), 3.0 + (N - K).sum()), strict=True))
    exact = -er.log_evidence(er.Beta(2.0, 3.0), counts)
    split, rng = float(counts.log_split.sum()), np.random.default_rng(0)
    for below, mistakes in ((split, ()), (2 * split, ("loss_mismatch",))):
        losses = [*(lowest + 0.5 + below + rng.normal(0, 0.1, 60)), exact]
        assert er.cross_check(counts, params, losses=losses).mistakes == mistakes


@pytest.mark.parametrize("shape", [(), (1,), (STEPS,), (STEPS, 1)])
def test_a_parameter_for_each_latent(shape):
    """`a_*` is a_0, a_1, ... in the order of their numbers, whatever else there is."""
    counts, own = er.Counts(np.arange(12), 15), np.arange(1.0, 25.0).reshape(2, 12)
    prior = {"a0": np.full(shape, 2.0), "b0": np.full(shape, 3.0)}
    roles = dict(zip(ROLES, prior, strict=True))
    each = {
        f"{name}_{i}": np.full(shape, own[j, i]) for j, name in enumerate("ab") for i in range(12)
    }
    one = er.cross_check(
        counts, prior | each, names=roles | dict(zip(OWN, ("a_*", "b_*"), strict=True))
    )
    whole = {
        name: np.multiply.outer(np.ones(shape), row) for name, row in zip("ab", own, strict=True)
    }
    other = er.cross_check(counts, prior | whole, names=roles | dict(zip(OWN, "ab", strict=True)))
    assert one.exact == other.exact
    with pytest.raises(ValueError, match=r"there is no parameter 'z_\*'"):
        er.cross_check(counts, prior | each, names=roles | dict.fromkeys(OWN, "z_*"))


def test_latents_by_shape():
    """Six pairs where the counts have one latent, in a history and at its end."""
    prior, own = path(K, N)
    for values in ((*prior, *own), (*prior[:, -1], *own[:, -1])):
        params = dict(zip(ROLES + OWN, values, strict=True))
        assert er.cross_check(er.Counts.shared(K, N), params).mistakes == ("wrong_latents",)


@pytest.mark.thorough
def test_few_digits_do_no_harm():
    """Losses as they are printed: two decimals, of parameters near the posterior."""
    rng, counts = np.random.default_rng(0), er.Counts(K, N)
    prior, size = np.array([2.0, 3.0]), 40
    own = prior[:, None] + [K, N - K]
    params = dict(zip(ROLES + OWN, (*prior, *own), strict=True))
    given = [round(one_loss(prior, own, K, N, rng), 2) for _ in range(size)]
    assert er.cross_check(counts, params, evaluations=given).mistakes == ()


def fitted(optimizer, steps=80, **options):
    """A run of ours: its history and losses."""
    run = er.maximize_elbo(er.Counts(K, N), optimizer=optimizer, num_steps=steps, rng=0, **options)
    rows = (*run.history.prior.arrays(), *run.history.guide.arrays())
    return dict(zip(ROLES + OWN, rows, strict=True)), run.losses


def checked(params, losses, lr=0.05):
    return er.cross_check(er.Counts(K, N), params, losses=losses, optimizer=er.Adam(lr=lr))


def test_the_right_optimizer_agrees():
    assert checked(*fitted(er.Adam(lr=0.05))).mistakes == ()


@pytest.mark.thorough
def test_another_learning_rate():
    assert checked(*fitted(er.Adam(lr=0.1))).mistakes == ("optimizer_settings",)


@pytest.mark.thorough
def test_a_decaying_learning_rate():
    """Also where the decay starts with the first step, as in ClippedAdam."""
    decaying = er.ClippedAdam(lr=0.05, lrd=0.02 ** (1 / 80))
    assert checked(*fitted(decaying)).mistakes == ("learning_rate_decay",)


@pytest.mark.thorough
def test_a_decay_is_not_told_by_a_model_that_is_wrong():
    """Its gradients are not those of the run."""
    params, losses = fitted(er.ExponentialLR(er.Adam(lr=0.05), gamma=0.02 ** (1 / 80)))
    assert checked(params, losses).mistakes == ("learning_rate_decay",)
    assert "learning_rate_decay" not in checked(params, -losses).mistakes


@pytest.mark.thorough
def test_softplus_is_no_mistake():
    """Steps of a parameter held positive by softplus are alike in other coordinates."""
    run = fitted(er.Adam(lr=0.05), constraint="softplus_positive", prior=er.Beta(0.5, 2.0))
    assert checked(*run).mistakes == ()


@pytest.mark.parametrize("row", few([0, 1]))
def test_a_detached_parameter(row):
    other = "concentration0" if row == 0 else "concentration1"
    verdict = checked(*fitted(er.Adam(lr=0.05), learn_prior=other))
    assert verdict.mistakes == ("gradient_detached",)
    moving, still = ROLES[1 - row], ROLES[row]
    finding = verdict.having("mistake")[0].quantity
    assert finding.startswith(still)
    assert moving not in finding


@pytest.mark.thorough
def test_a_detached_prior_by_its_mean_and_total():
    """What stays still does so in any coordinates; one that moves is the negative control."""
    for learned in (False, True):
        params, losses = fitted(er.Adam(lr=0.05), learn_prior=learned)
        a, b = (params.pop(name) for name in ROLES)
        params |= {"mean": a / (a + b), "total": a + b}
        names = {"prior.mean": "mean", "prior.concentration": "total"}
        names |= dict(zip(OWN, OWN, strict=True))
        claims = {"names": names, "losses": losses, "optimizer": er.Adam(lr=0.05)}
        found = er.cross_check(er.Counts(K, N), params, **claims).mistakes
        assert found == (() if learned else ("gradient_detached",))


@pytest.mark.thorough
def test_a_history_recorded_after_each_step():
    """Entries belong to the loss after theirs; this is said, and no mistake."""
    optimizer = er.Adam(lr=0.1)
    run = er.maximize_elbo(
        er.Counts(K, N), guide=er.Delta(np.full(K.size, 0.5)), optimizer=optimizer, num_steps=50
    )
    rows = (*run.history.prior.arrays(), run.history.guide.mean)
    names = (*ROLES, "guide.probs")
    params = {name: row[1:] for name, row in zip(names, rows, strict=True)}
    verdict = er.cross_check(
        er.Counts(K, N), params, guide="delta", losses=run.losses, optimizer=optimizer
    )
    assert verdict.mistakes == ()
    assert "recorded_after" in {finding.name for finding in verdict.having("note")}
    before = {name: row[:-1] for name, row in zip(names, rows, strict=True)}
    verdict = er.cross_check(er.Counts(K, N), before, guide="delta", losses=run.losses)
    assert "recorded_after" not in {finding.name for finding in verdict.findings}


@pytest.mark.parametrize("loss", few(["trace", "renyi"]))
@pytest.mark.parametrize("guide", few(["beta_shared", "beta", "conjugate", "laplace"]))
def test_runs_of_other_guides_agree(guide, loss):
    counts = er.Counts([3, 7, 12], [10, 9, 40])
    run = er.maximize_elbo(
        counts, guide, loss=loss, optimizer=er.Adam(lr=0.05), num_steps=40, num_particles=3, rng=1
    )
    a, b = run.history.prior.arrays()
    params = {"prior.concentration1": a, "prior.concentration0": b}
    if guide.startswith("beta"):
        for name in ("concentration1", "concentration0"):
            params[f"guide.{name}"] = getattr(run.history.guide, name)
    if guide == "laplace":
        params["guide.logits"] = run.history.guide.loc
    verdict = er.cross_check(
        counts,
        params,
        guide=guide,
        loss=loss,
        num_particles=3,
        losses=run.losses,
        optimizer=er.Adam(lr=0.05),
    )
    assert verdict.genuine, verdict


@pytest.mark.thorough
def test_claims_that_are_none_are_refused_by_name():
    store = {"prior.concentration1": 2.0, "prior.concentration0": 5.0}
    given = {"counts": er.Counts(3, 10), "params": store, "guide": "conjugate", "losses": [9.3]}
    assert er.cross_check(**given).outcome != "too_little_to_tell"
    for name, values in {
        "names": (["a"], {1: "a"}, {"prior.concentration1": 3}, 3),
        "prior": (3, er.Beta([1.0, 2.0], 1.0)),
        "optimizer": (3, er.Adam),
        "losses": ("x", [1j], [None]),
    }.items():
        for value in values:
            with pytest.raises(TypeError, match=f"^{name} must be"):
                er.cross_check(**{**given, name: value})


@pytest.mark.parametrize(("factor", "told"), [(1.05, True), (30.0, False)])
def test_noise_is_not_told_from_distance_without_the_rate(factor, told):
    """Advice asks for the learning rate where a usual one could explain the distance."""
    counts, prior = er.Counts([3, 11, 1, 7], [10, 20, 6, 9]), er.Beta(2.0, 3.0)
    own = factor * (np.array([[2.0], [3.0]]) + [counts.successes, counts.failures])
    params = dict(zip(("guide.concentration1", "guide.concentration0"), own, strict=True))
    verdict = er.cross_check(counts, params, prior=prior)
    assert [x.name for x in verdict.having("optimum")] == ["not_converged"]
    assert any("--lr" in text for text in verdict.advice) is told
    assert any(text.startswith("More steps") for text in verdict.advice) is not told


@pytest.mark.thorough
def test_many_losses_are_shown_beside_the_mistake_that_explains_them():
    """Those that were tested, where they fit nothing given, each by its own name."""
    run = er.maximize_elbo(er.Counts([3, 1, 7, 0], 10), optimizer=er.Adam(lr=0.05), num_steps=300)
    history = run.history
    params = {
        "prior.concentration1": history.prior.concentration1,
        "prior.concentration0": history.prior.concentration0,
        "guide.concentration1": history.guide.concentration1,
        "guide.concentration0": history.guide.concentration0,
    }
    found = er.cross_check(run.counts, params, losses=run.losses / 3)
    assert found.mistakes == ("normalised_loss",)
    shown = found.losses
    steps = [int(label.removeprefix("loss of step ")) for label in shown.labels]
    assert 100 < len(steps) < 300
    np.testing.assert_array_equal(shown.values, run.losses[steps] / 3)
    assert shown.mistake == "normalised_loss"
    np.testing.assert_allclose(shown.mistaken_mean, shown.mean / 3, rtol=1e-9)


@pytest.mark.parametrize(
    "guide", few(["none", "normal", "beta", "beta_shared", "tied", "empty", "conjugate", "laplace"])
)
def test_exact_losses_have_no_noise(guide):
    """Those of `loss="exact"` follow from the parameters to rounding; others do not."""
    optimizer = er.Adam(lr=0.05)
    run = er.maximize_elbo(er.Counts(K, N), guide, loss="exact", optimizer=optimizer, num_steps=20)
    params = dict(zip(ROLES, run.history.prior.arrays(), strict=True)) if run.has_prior else {}
    own = run.history.guide
    if guide.startswith("beta"):
        params |= dict(zip(OWN, own.arrays(), strict=True))
    elif guide == "normal":
        params |= {"guide.loc": own.loc, "guide.scale": own.scale}
    elif guide in ("laplace", "none"):
        params["guide.logits"] = own.loc if guide == "laplace" else own.logits
    for losses, found in (
        (run.losses, ()),
        (-run.losses, ("wrong_sign",)),
        (run.losses + 0.01 * np.cos(np.arange(20)), ("loss_mismatch",)),
    ):
        verdict = er.cross_check(run.counts, params, guide=guide, loss="exact", losses=losses)
        assert verdict.mistakes == found, verdict
        assert verdict.genuine == (not found)


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [1, 200])
def test_losses_that_rise_are_noted_where_the_parameters_are_those_of_the_end(steps):
    """A history shows by itself where the objective was higher."""
    counts, size, prior = er.Counts([3, 11, 1, 7], [10, 20, 6, 9]), 200, er.Beta(2.0, 3.0)
    far = np.exp(np.linspace(0.0, 3.0, size))[-steps:]
    exact = 2.0 + counts.successes, 3.0 + counts.failures
    rising = -er.elbo(er.Beta(*exact), prior, counts) + np.linspace(0.0, 40.0, size)
    own = [np.outer(far, x) for x in exact]
    params = dict(zip(OWN, own if steps > 1 else [x[-1] for x in own], strict=True))
    verdict = er.cross_check(counts, params, prior=prior, losses=rising)
    words = [x.quantity for x in verdict.having("note") if x.name == "moved_away"]
    assert any(x.startswith("the losses from step") for x in words) == (steps == 1)
