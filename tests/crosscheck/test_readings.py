"""What somebody handed in, read as it is meant: constraints, names, shapes, histories, bounds.

Most numbers are those of a guide that is the exact posterior: every loss is then minus the log
evidence, to rounding, and each wrong reading is rejected. Where losses are drawn, seeds are fixed
and the false-alarm rate is that of a cross-check, 1%.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special as sc, stats

import elbo_ref as er
from tiers import few

K, N = np.array([3, 11, 0, 7, 5, 9]), np.array([10, 20, 6, 7, 30, 12])
COUNTS = er.Counts(K, N)
PRIOR = np.array([2.0, 3.0])
OWN = PRIOR[:, None] + [K, N - K]
EXACT = [-er.log_evidence(er.Beta(*PRIOR), COUNTS)] * 3
PRIOR_ROLES = ("prior.concentration1", "prior.concentration0")
GUIDE_ROLES = ("guide.concentration1", "guide.concentration0")


def inverse_softplus(x):
    return x + np.log(-np.expm1(-x))


def store(*names, change=lambda x: x):
    """The four parameters under these names."""
    return dict(zip(names, map(change, (*PRIOR, *OWN)), strict=True))


def roles(*names):
    return dict(zip(PRIOR_ROLES + GUIDE_ROLES, names, strict=True))


def checked(params, **options):
    return er.cross_check(COUNTS, params, **{"evaluations": EXACT} | options)


def live(values, **constraints):
    """What the reader sees of a live store of Pyro's."""

    class Store:
        def items(self):
            return values.items()

        def get_state(self):
            kinds = {
                name: type(kind, (), {"__module__": "torch.distributions.constraints"})()
                for name, kind in constraints.items()
            }
            return {"params": {}, "constraints": kinds}

    return Store()


AS_NAMED = {
    "log": (("log_a", "log_b", "log_a_q", "log_b_q"), np.log),
    "joined": (("logAlpha", "logBeta", "log_alpha_q", "log_beta_q"), np.log),
    "unconstrained, exp": (
        [f"m.{x}_unconstrained" for x in ("alpha", "beta", "alpha_q", "beta_q")],
        np.log,
    ),
    "raw, softplus": (("raw_a", "raw_b", "raw_a_q", "raw_b_q"), inverse_softplus),
    "in spite of the name": (("log_a", "log_b", "log_a_q", "log_b_q"), lambda x: x),
}


@pytest.mark.parametrize("kind", few(AS_NAMED))
def test_functions_that_names_announce(kind):
    """Applied as the name says, or as the losses do where it does not say which; and told."""
    names, change = AS_NAMED[kind]
    verdict = checked(store(*names, change=change), names=roles(*names))
    assert verdict.genuine, verdict
    assert "reading" in {finding.name for finding in verdict.having("note")}
    left = [x for x in verdict.having("note") if "left unconstrained" in x.quantity]
    assert not left


@pytest.mark.thorough
def test_rows_of_one_parameter_share_a_function():
    """Also where only some of its values could be concentrations as they are."""
    raw = inverse_softplus(np.array([0.4, 3.0]))
    params = {"raw": raw, "c": 0.4 + K, "d": 3.0 + N - K}
    value = -er.log_evidence(er.Beta(0.4, 3.0), COUNTS)
    assert raw[0] < 0 < raw[1]
    for order in (("raw[0]", "raw[1]"), ("softplus(raw[0])", "softplus(raw[1])")):
        assert checked(params, names=roles(*order, "c", "d"), evaluations=[value] * 3).genuine


@pytest.mark.thorough
def test_unannounced_logarithms_are_a_mistake():
    names = ("a", "b", "c", "d")
    for change in (np.log, inverse_softplus):
        verdict = checked(store(*names, change=lambda x, f=change: f(x / 9)), names=roles(*names))
        assert verdict.mistakes[:1] == ("unconstrained_values",)


@pytest.mark.thorough
def test_a_store_is_believed():
    """Values that a store holds positive are; real ones may have a function in the program."""
    names = ("a", "b", "c", "d")
    real = live(store(*names, change=np.log), **dict.fromkeys(names, "_Real"))
    assert checked(real, names=roles(*names), evaluations=EXACT[:1]).genuine
    positive = live(store(*names, change=np.log), **dict.fromkeys(names, "_GreaterThan"))
    verdict = checked(positive, names=roles(*names), evaluations=EXACT * 10)
    assert verdict.mistakes == ("unconstrained_values",)
    assert "exp is applied once more" in verdict.having("mistake")[0].quantity


@pytest.mark.thorough
def test_a_held_prior_is_left_alone():
    params = {"log_c": np.log(OWN[0]), "log_d": np.log(OWN[1])}
    names = dict(zip(GUIDE_ROLES, params, strict=True))
    assert checked(params, names=names, prior=er.Beta(*PRIOR)).genuine
    params = {"a": 2.0, "c": OWN[0], "d": OWN[1]}
    names = dict(zip((PRIOR_ROLES[0], *GUIDE_ROLES), params, strict=True))
    assert checked(params, names=names, prior=er.Beta(9.0, 3.0)).genuine


MEAN, TOTAL = PRIOR[0] / PRIOR.sum(), PRIOR.sum()
EXPRESSIONS = {
    "rows": ({"ab": PRIOR, "cd": OWN}, roles("ab[0]", "ab[1]", "cd[0]", "cd[1]")),
    "columns": ({"ab": PRIOR, "cd": OWN.T}, roles("ab[0]", "ab[1]", "cd[:,0]", "cd[:,1]")),
    "mean and total": (
        {"m": sc.logit(MEAN), "t": np.log(TOTAL), "c": OWN[0], "d": OWN[1]},
        {"prior.mean": "sigmoid(m)", "prior.concentration": "exp(t)"}
        | dict(zip(GUIDE_ROLES, "cd", strict=True)),
    ),
    "of the guide": (
        {"a": 2.0, "b": 3.0, "m": OWN[0] / OWN.sum(0), "t": OWN.sum(0)},
        {"guide.mean": "m", "guide.concentration": "t"} | dict(zip(PRIOR_ROLES, "ab", strict=True)),
    ),
    "both in one": (
        {"p": PRIOR, "q": OWN.T},
        {"prior.concentrations": "p", "guide.concentrations": "q"},
    ),
    "around the role": (
        {"x": np.log(PRIOR), "c": OWN[0], "d": OWN[1]},
        {f"log({PRIOR_ROLES[i]})": f"x[{i}]" for i in (0, 1)}
        | dict(zip(GUIDE_ROLES, "cd", strict=True)),
    ),
    "a number": ({"a": 2.0, "c": OWN[0], "d": OWN[1]}, roles("a", "3.0", "c", "d")),
    "a column of latents": (
        {"a": [2.0], "b": [3.0], "c": OWN[0][:, None], "d": OWN[1][:, None]},
        roles(*"abcd"),
    ),
    "a grid of latents": (
        {"a": 2.0, "b": 3.0, "c": OWN[0].reshape(2, 3), "d": OWN[1].reshape(2, 3)},
        roles(*"abcd"),
    ),
}


@pytest.mark.parametrize("kind", few(EXPRESSIONS))
def test_expressions_and_shapes(kind):
    params, names = EXPRESSIONS[kind]
    verdict = checked(params, names=names)
    assert verdict.genuine, verdict


@pytest.mark.thorough
@pytest.mark.parametrize("kind", EXPRESSIONS)
def test_expressions_of_other_losses(kind):
    params, names = EXPRESSIONS[kind]
    assert not checked(params, names=names, evaluations=[x + 0.1 for x in EXACT]).genuine


def test_one_parameter_for_both_concentrations():
    own = 2.0 + np.array([K, N - K])
    params = {"s": 2.0, "c": own[0], "d": own[1]}
    value = -er.log_evidence(er.Beta(2.0, 2.0), COUNTS)
    verdict = checked(params, names=roles("s", "s", "c", "d"), evaluations=[value] * 3)
    assert (
        verdict.genuine and "that this parametrisation can reach, with mean 0.5" in verdict.answer
    )
    highest = er.maximize_evidence(COUNTS, {"mean": 0.5}).log_evidence
    assert verdict["not_converged"].ours == highest


@pytest.mark.thorough
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_pairs_without_names(order):
    """Two concentrations in one array, or names in a and b: in the order that the losses fit."""
    pair = {"conc": PRIOR[order], "q_conc": OWN[order].T}
    letters = dict(zip(("a0", "b0", "a_q", "b_q"), (*PRIOR[order], *OWN[order]), strict=True))
    for params in (pair, letters):
        verdict = checked(params)
        assert verdict.genuine, verdict
        assert "names" in {finding.name for finding in verdict.having("note")}
    with pytest.raises(ValueError, match="does not say which parameter"):
        checked(letters, evaluations=None)
    wrong = checked(letters, evaluations=[x + away for x in EXACT for away in (0.3, 1.0)])
    assert wrong.outcome == "mistake"  # is judged as one where the losses fit is
    assert any("as no order fits the losses better" in x.quantity for x in wrong.having("note"))


def drawn(prior, own, rng, particles=1):
    c = rng.beta(*np.broadcast_to(own[:, None], (2, particles, K.size)))
    found = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *prior) - stats.beta.logpdf(c, *own)
    return -found


def test_one_pair_for_all_latents_is_a_guide():
    """Its optimum is that of one pair, not of one for each latent."""
    rng, params = np.random.default_rng(0), {"a": 2.0, "b": 3.0, "c": 4.0, "d": 6.0}
    own = np.repeat([[4.0], [6.0]], K.size, axis=1)
    losses = [drawn(PRIOR, own, rng).sum() for _ in range(20)]
    verdict = checked(params, names=roles(*"abcd"), evaluations=losses)
    assert verdict.genuine, verdict
    assert verdict.subject.startswith("beta_shared guide")


def test_a_parameter_of_model_and_guide():
    verdict = checked({"a": 2.0, "b": 3.0}, names=roles("a", "b", "a", "b"), evaluations=None)
    assert verdict.mistakes == ("shared_parameter",)


@pytest.mark.thorough
@pytest.mark.parametrize("losses", [7, 60])
def test_a_history_that_cannot_be_paired(losses):
    """Every tenth step, or of some parameters only: the end is judged, and it is said."""
    thinned = {name: np.multiply.outer(np.ones(4), x) for name, x in store(*"abcd").items()}
    some = store(*"abcd") | {"a": np.linspace(5.0, 2.0, losses)}
    for params in (thinned, some):
        values = np.linspace(90.0, EXACT[0], losses)
        verdict = checked(params, names=roles(*"abcd"), losses=values)
        assert verdict.genuine, verdict
        assert "history" in {finding.name for finding in verdict.having("note")}


NORMAL = {
    "Pyro's": ("AutoNormal.locs.p", "AutoNormal.scales.p"),
    "Pyro's in a list": ("AutoGuideList.0.locs.p", "AutoGuideList.0.scales.p"),
    "Pyro's of all": ("AutoDiagonalNormal.loc", "AutoDiagonalNormal.scale"),
    "NumPyro's": ("p_auto_loc", "p_auto_scale"),
    "NumPyro's of all": ("auto_loc", "auto_scale"),
}


def normal_losses(size=30):
    rng = np.random.default_rng(0)
    loc, scale = sc.logit((K + 1) / (N + 2)), np.full(K.size, 0.4)
    u = loc + scale * rng.normal(size=(size, K.size))
    c = sc.expit(u)
    density = stats.norm.logpdf(u, loc, scale) - np.log(c * (1 - c))
    found = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *PRIOR) - density
    return loc, scale, -found.sum(axis=1)


@pytest.mark.parametrize("kind", few(NORMAL))
def test_names_of_autoguides(kind):
    loc, scale, losses = normal_losses()
    params = {"alpha": 2.0, "beta": 3.0} | dict(zip(NORMAL[kind], (loc, scale), strict=True))
    verdict = checked(params, guide="AutoNormal", loss="Trace_ELBO", evaluations=losses)
    assert verdict.genuine, verdict


@pytest.mark.thorough
def test_the_jacobian_of_a_normal_guide_by_framework():
    """NumPyro's loss of that name is Pyro's other one: by names, as it was said, or tried."""
    loc, scale, losses = normal_losses()
    given = {"guide": "normal", "loss": "TraceMeanField_ELBO", "evaluations": losses}
    for name in ("p_auto", "guide"):
        params = {"alpha": 2.0, "beta": 3.0, f"{name}_loc": loc, f"{name}_scale": scale}
        verdict = checked(params, **given)
        assert verdict.genuine, verdict
        assert any("NumPyro's" in finding.quantity for finding in verdict.having("note"))
    jacobian = float(np.sum(np.log(sc.expit(loc) * sc.expit(-loc))))
    dropped = er.cross_check(COUNTS, params, **given | {"framework": "pyro"})
    assert jacobian < 0 and dropped.mistakes == ("other_objective",)
    for names in (("AutoNormal.locs.c", "AutoNormal.scales.c"), ("locs.c_unconstrained", "scale")):
        params = {"alpha": 2.0, "beta": 3.0, **dict(zip(names, (loc, scale), strict=True))}
        roles = {"guide.loc": names[0], "guide.scale": names[1]}
        (note,) = (
            x for x in checked(params, names=roles, **given).findings if x.name == "framework"
        )
        assert "as Pyro's" in note.quantity


def renyi_losses(alpha, samples, size=16):
    rng, own = np.random.default_rng(1), 0.6 * OWN
    found = []
    for _ in range(size):
        f = -drawn(PRIOR, own, rng, samples)
        power = 1 - alpha
        bound = (sc.logsumexp(power * f, axis=0) - np.log(samples)) / power
        found.append(-bound.sum())
    return dict(zip("abcd", (*PRIOR, *own), strict=True)), found


@pytest.mark.thorough
def test_the_order_of_a_renyi_bound_of_single_trials():
    """Its losses lack the coefficients: that is no other order."""
    params, losses = renyi_losses(0.0, 4)
    given = np.array(losses) + COUNTS.log_coefficient.sum()
    verdict = checked(
        params, loss="renyi", num_particles=4, names=roles(*"abcd"), evaluations=given
    )
    assert verdict.genuine, verdict
    assert "without the binomial coefficients" in " ".join(str(verdict).split())


@pytest.mark.thorough
def test_the_order_of_a_renyi_bound_that_was_said():
    params, losses = renyi_losses(0.0, 4)
    given = {"names": roles(*"abcd"), "evaluations": losses}
    assert checked(params, loss=er.Renyi(0.0, 4), **given).genuine
    assert not checked(params, loss=er.Renyi(6.0, 4), **given).genuine


@pytest.mark.thorough
@pytest.mark.parametrize("alpha", [0.5, 0.0, -2.0])
def test_the_order_of_a_renyi_bound_that_nobody_said(alpha):
    params, losses = renyi_losses(alpha, 4)
    given = {"names": roles(*"abcd"), "evaluations": losses}
    verdict = checked(params, loss="RenyiELBO", num_particles=4, **given)
    assert verdict.genuine, verdict
    assert any("no --alpha was given" in finding.quantity for finding in verdict.having("note"))


@pytest.mark.thorough
def test_a_number_of_particles_that_nobody_said():
    """A mistake only if another one was said."""
    rng, own = np.random.default_rng(2), 0.6 * OWN
    params = dict(zip("abcd", (*PRIOR, *own), strict=True))
    losses = [drawn(PRIOR, own, rng, 50).sum(axis=1).mean() for _ in range(40)]
    verdict = checked(params, names=roles(*"abcd"), evaluations=losses)
    assert verdict.genuine, verdict
    assert any(x.name == "num_particles" for x in verdict.having("note"))
    assert "if a loss is the mean of 50 particles" in verdict.answer


def test_a_guide_at_the_end_of_an_interval():
    class Interval:
        lower_bound, upper_bound = 0.0, 1.0

    Interval.__module__, Interval.__name__ = "torch.distributions.constraints", "_Interval"
    values = store(*"abcd") | {"c": np.full(K.size, 0.97)}

    def held(high):
        end = Interval()
        end.lower_bound, end.upper_bound = 0.0, high
        found = live(values)
        found.get_state = lambda: {"constraints": {"c": end}}
        return checked(found, names=roles(*"abcd"), evaluations=None)

    assert held(1.0).mistakes == ("guide_at_constraint",)
    assert held(100.0).mistakes == ()


@pytest.mark.thorough
def test_a_reading_without_a_mistake_comes_before_one_that_fits_with_one():
    """An empty guide may be meant, or a marginal likelihood, which any loss fits with a factor."""
    counts, prior = er.Counts.shared([1, 1, 0, 1, 1], [1] * 5), (60.0891, 7.0419)
    c = np.random.default_rng(14).beta(*prior)
    loss = -stats.binom.logpmf(4, 5, c) - stats.beta.logpdf(c, *prior)
    names = {"prior.concentration1": "a", "prior.concentration0": "b"}
    params = dict(zip("ab", prior, strict=True))
    losses = loss + np.array([1.0, -0.3, 0.0])
    verdict = er.cross_check(counts, params, guide="empty", names=names, losses=losses)
    assert not verdict.mistakes, verdict


@pytest.mark.thorough
def test_a_prior_for_each_latent_is_another_model():
    """Also in a history; where there is a loss for each of as many steps it is a history."""
    each = dict(zip("abcd", (*np.repeat(PRIOR[:, None], K.size, axis=1), *OWN), strict=True))
    assert checked(each, names=roles(*"abcd")).outcome == "outside_model"
    steps = {name: np.repeat(x[None], 9, axis=0) for name, x in each.items()}
    assert checked(steps, names=roles(*"abcd"), losses=EXACT * 3).outcome == "outside_model"
    assert checked(each, names=roles(*"abcd"), losses=EXACT * 2).outcome != "outside_model"


def test_two_sites_are_another_model():
    values = {f"{x}0_{site}": 2.0 for x in "ab" for site in "ct"}
    values |= {f"{x}_{site}": np.full(3, 4.0) for x in "ab" for site in "ct"}
    assert checked(values).outcome == "outside_model"


RATE = 0.05


def walk(size, seed=0):
    """Steps to either side, the first of the learning rate, as Adam's is, in each coordinate."""
    rng = np.random.default_rng(seed)
    steps = RATE * rng.choice([-1, 1], (size, 12)) * rng.uniform(0.5, 0.9, (size, 12))
    steps[:, 0] = np.sign(steps[:, 0]) * RATE
    return np.cumsum(np.hstack([np.zeros((size, 1)), steps]), axis=1)


def test_steps_of_a_mean_and_a_total_are_not_those_of_concentrations():
    """Both move a concentration; those of the concentrations themselves are held to the rate."""
    mean, total = sc.expit(-0.4 + walk(2)[0]), 7 * np.exp(walk(2)[1])
    roles = {"prior.mean": "m", "prior.concentration": "s"}
    said = {"guide": "empty", "optimizer": er.Adam(lr=RATE, betas=(0.9, 0.99))}
    verdict = er.cross_check(COUNTS, {"m": mean, "s": total}, names=roles, **said)
    assert not verdict.mistakes, verdict
    pair = {"prior.concentration1": mean * total, "prior.concentration0": (1 - mean) * total}
    assert er.cross_check(COUNTS, pair, **said).mistakes == ("optimizer_settings",)


@pytest.mark.thorough
def test_a_history_of_one_guide_for_all_with_a_prior_that_is_held():
    """Its length is that of the losses, or one more; no other parameter tells."""
    own = {"guide.concentration1": 4 * np.exp(walk(2)[0]), "guide.concentration0": 9 + walk(2)[1]}
    for more in (0, 1):
        params = {name: values[: 12 + more] for name, values in own.items()}
        verdict = er.cross_check(COUNTS, params, prior=er.Beta(2, 3), losses=np.arange(12.0))
        assert "beta_shared" in verdict.subject, verdict


def one_latent(rng, own, particles=1):
    """A loss of one latent for all rows."""
    c = rng.beta(*own, (particles, 1))
    rest = stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *own)
    return -(stats.binom.logpmf(K, N, c).sum(axis=1) + rest[:, 0]).mean()


def rows_apart(rng, own, particles=1):
    """A loss of a latent for each row, of one guide for all."""
    c = rng.beta(*own, (particles, K.size))
    densities = stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *own)
    return -(stats.binom.logpmf(K, N, c) + densities).sum(axis=1).mean()


@pytest.mark.parametrize(
    ("loss", "particles", "mistakes"),
    few([(rows_apart, 3, ()), (one_latent, 1, ("wrong_latents",))]),
)
def test_a_number_of_particles_that_nobody_said_is_no_excuse_for_a_mistake(
    loss, particles, mistakes
):
    """One latent for all rows varies less, as three particles do; these are the control."""
    rng, own = np.random.default_rng(4), (20.0, 29.0)
    found = [loss(rng, own, particles) for _ in range(30)]
    params = dict(zip("abcd", (*PRIOR, *own), strict=True))
    assert checked(params, names=roles(*"abcd"), evaluations=found).mistakes == mistakes
