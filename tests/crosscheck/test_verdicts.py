"""Whole verdicts of `cross_check`: what is planted is named, and all that is said is as it was.

Runs are ours, changed by hand: their losses, their parameters, or what is claimed of them. What a
verdict must name is known from what was changed (the middle column); the rest of it, every finding
with its numbers, the advice and what is ruled out, stands in `reference/verdicts.json`.
"""

from __future__ import annotations

import copy
from functools import cache

import golden
import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from tiers import few

K, N = np.array([3, 11, 0, 7, 5, 9]), np.array([10, 20, 6, 7, 30, 12])
COUNTS = er.Counts(K, N)
ROLES = ("prior.concentration1", "prior.concentration0")
PAIR = ("concentration1", "concentration0")
STEPS, LR = 40, 0.05
ADAM = er.Adam(lr=LR)


@cache
def fitted(guide="beta", loss="trace", particles=1, steps=STEPS, *pairs, **more):
    options = {"optimizer": ADAM, "prior": er.Beta(1.5, 2.5), "rng": 1, **dict(pairs), **more}
    return er.maximize_elbo(
        COUNTS, guide, loss=loss, num_particles=particles, num_steps=steps, **options
    )


def own_of(guide):
    """The parameters of a guide by role."""
    if isinstance(guide, er.Beta):
        return {f"guide.{x}": getattr(guide, x) for x in PAIR}
    if isinstance(guide, er.LogitNormal):
        return {"guide.loc": guide.loc, "guide.scale": guide.scale}
    return {} if guide is None else {"guide.logits": np.asarray(guide.logits)}


def history(run):
    """Parameters by role, with an entry for each loss."""
    found = dict(zip(ROLES, run.history.prior.arrays(), strict=True))
    if run.guide_name in ("empty", "tied") or run.guide_name.startswith("conjugate"):
        return found
    if run.guide_name == "laplace":
        return found | {"guide.logits": run.history.guide.loc}
    return (found if run.has_prior else {}) | own_of(run.history.guide)


def last(run):
    return {name: np.array(x[-1]) for name, x in history(run).items()}


def of_run(*settings, change=None, level="history", **claims):
    """A cross-check of a run of these settings, changed."""
    run = fitted(*settings)
    given = {"guide": run.guide_name, "loss": run.loss_name}
    given["num_particles"] = run.config.num_particles
    if level == "history":
        given |= {"params": history(run), "losses": run.losses, "optimizer": ADAM}
    else:
        given |= {"params": last(run), "losses": run.losses}
    given |= change(given) if change else {}
    return er.cross_check(**{"counts": COUNTS, **given, **claims})


def losses(function):
    return lambda given: {"losses": function(np.asarray(given["losses"]))}


def params(function):
    return lambda given: {"params": function(dict(given["params"]))}


def exchanged(owner):
    one, zero = (f"{owner}.{x}" for x in PAIR)
    return params(lambda x: {**x, one: x[zero], zero: x[one]})


def in_rows(order):
    return params(
        lambda x: {k: v[..., order] if k.startswith("guide") else v for k, v in x.items()}
    )


def renamed(names):
    """Under somebody's names; those are handed in, or guessed."""
    return lambda given: {
        "params": {names.get(role, role): x for role, x in given["params"].items()}
    }


THEIRS = dict(zip((*ROLES, "guide.concentration1", "guide.concentration0"), "abcd", strict=True))
GUESSED = dict(zip(THEIRS, ("alpha0", "beta0", "alpha_q", "beta_q"), strict=True))
STEADY = 7.0


def evaluations(draw, params=None, size=30, prior=(1.3, 2.4), own=None, **claims):
    """Losses at one point, drawn by NumPy and SciPy, of a guide near the posterior."""
    rng = np.random.default_rng(5)
    a, b = np.array([[1.7], [2.5]]) + [K, N - K] if own is None else own
    values = [draw(rng, np.array(prior), a, b) for _ in range(size)]
    store = dict(zip(THEIRS, (*prior, a, b), strict=True)) if params is None else params
    return er.cross_check(COUNTS, store, evaluations=values, **claims)


def elbo(rng, prior, a, b, k=K, n=N, particles=1, weight=1.0, guided=True):
    c = rng.beta(a, b, (particles, a.size))
    rest = stats.beta.logpdf(c, *prior) - guided * stats.beta.logpdf(c, a, b)
    return -(weight * stats.binom.logpmf(k, n, c) + rest).sum(axis=1).mean()


def bound(rng, prior, a, b, samples=4):
    """A bound of order 0 of each latent."""
    c = rng.beta(a, b, (samples, a.size))
    weights = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *prior)
    weights = weights - stats.beta.logpdf(c, a, b)
    return -(special.logsumexp(weights, axis=0) - np.log(samples)).sum()


def in_batches(rng, prior, a, b, scale=2.0):
    seen = rng.permutation(K.size)[:3]
    return scale * elbo(rng, prior, a[seen], b[seen], K[seen], N[seen])


def swapped(rng, prior, a, b):
    return elbo(rng, prior[::-1], a, b)


CASES = {
    # -- nothing is wrong
    "clean": ((), lambda: of_run()),
    "clean, last values": ((), lambda: of_run(level="last")),
    "clean, two particles": ((), lambda: of_run("beta", "trace", 2)),
    "clean, one pair for all": ((), lambda: of_run("beta_shared")),
    "clean, empty": ((), lambda: of_run("empty")),
    "clean, tied": ((), lambda: of_run("tied")),
    "clean, conjugate": ((), lambda: of_run("conjugate")),
    "clean, normal": ((), lambda: of_run("normal")),
    "clean, laplace": ((), lambda: of_run("laplace")),
    "clean, delta": ((), lambda: of_run("delta")),
    "clean, none": ((), lambda: of_run("none")),
    "clean, mean field": ((), lambda: of_run("beta", "trace_mean_field")),
    "clean, normal by mean field": (
        (),
        lambda: of_run("normal", "trace_mean_field", framework="pyro"),
    ),
    "clean, exact": ((), lambda: of_run("beta", "exact")),
    "clean, Renyi": ((), lambda: of_run("beta", "renyi", 3, 12)),
    "clean, score function": ((), lambda: of_run("beta", "score_function")),
    "clean, in float32": (
        (),
        lambda: of_run(
            change=lambda x: {
                "params": {n: v.astype("float32") for n, v in x["params"].items()},
                "losses": x["losses"].astype("float32"),
            }
        ),
    ),
    "clean, two decimals": ((), lambda: of_run(change=losses(lambda x: x.round(2)))),
    "clean, recorded after": (
        (),
        lambda: of_run("delta", change=params(lambda x: {n: v[1:] for n, v in x.items()})),
    ),
    "clean, their names": (
        (),
        lambda: of_run(change=renamed(THEIRS), names=THEIRS, level="last"),
    ),
    "clean, names to guess": ((), lambda: of_run(change=renamed(GUESSED), level="last")),
    "clean, prior held": (
        (),
        lambda: er.cross_check(
            COUNTS, own_of(er.posterior(er.Beta(1.5, 2.5), COUNTS)), prior=er.Beta(1.5, 2.5)
        ),
    ),
    "clean, as Pyro's classes": (
        (),
        lambda: of_run("normal", guide="AutoNormal", loss="Trace_ELBO", level="last"),
    ),
    "evaluations": ((), lambda: evaluations(elbo)),
    "evaluations of batches": ((), lambda: evaluations(in_batches, subsample_size=3)),
    "evaluations without coefficients": (
        (),
        lambda: evaluations(
            lambda *x: elbo(*x) + COUNTS.log_coefficient.sum(),
        ),
    ),
    "a marginal model": (
        (),
        lambda: er.cross_check(
            COUNTS,
            dict(zip(ROLES, (1.3, 2.4), strict=True)),
            evaluations=[-stats.betabinom.logpmf(K, N, 1.3, 2.4).sum()] * 2,
        ),
    ),
    "parameters alone": ((), lambda: of_run(losses=None, level="last")),
    "one loss": ((), lambda: of_run(change=losses(lambda x: x[-1:]), level="last")),
    # -- the losses are others
    "wrong sign": (("wrong_sign",), lambda: of_run(change=losses(lambda x: -x))),
    "divided": (("normalised_loss",), lambda: of_run(change=losses(lambda x: x / N.sum()))),
    "tripled": (None, lambda: of_run(change=losses(lambda x: 3 * x))),
    "a constant": (("loss_mismatch",), lambda: of_run(change=losses(lambda x: x + 55.0))),
    "another run's": (None, lambda: of_run(change=losses(lambda x: x[::-1] + 25))),
    "one of them is nan": (None, lambda: of_run(change=losses(lambda x: _with(x, np.nan)))),
    "one of them is infinite": (None, lambda: of_run(change=losses(lambda x: _with(x, np.inf)))),
    "minus infinity": (None, lambda: of_run(change=losses(lambda x: _with(x, -np.inf)))),
    "they do not move": (None, lambda: of_run(change=losses(lambda x: 0 * x + 31.0))),
    "impossible": (None, lambda: of_run(change=losses(lambda x: x - 60), level="last")),
    "evaluations swapped": (
        ("swapped_concentrations",),
        lambda: evaluations(swapped, size=120),
    ),
    "evaluations without a guide": (
        ("latent_not_in_guide",),
        lambda: evaluations(
            lambda rng, prior, a, b: elbo(rng, prior, *np.outer(prior, np.ones(6)), guided=False)
        ),
    ),
    "evaluations of another weight": (
        ("likelihood_weight",),
        lambda: evaluations(lambda *x: elbo(*x, weight=0.1), size=60),
    ),
    "evaluations of one row for all": (
        None,
        lambda: evaluations(lambda *x: elbo(*x, k=np.minimum(K, 1))),
    ),
    "evaluations of other totals": (None, lambda: evaluations(lambda *x: elbo(*x, n=N + K))),
    "evaluations of fifty particles": (
        None,
        lambda: evaluations(lambda *x: elbo(*x, particles=50), size=60),
    ),
    "evaluations of a bound": (None, lambda: evaluations(bound)),
    "evaluations of batches that are not scaled": (
        None,
        lambda: evaluations(lambda *x: in_batches(*x, scale=1.0), subsample_size=3),
    ),
    "evaluations all alike": (None, lambda: evaluations(lambda *_: STEADY)),
    "evaluations of nothing known": (None, lambda: evaluations(lambda *x: 0.8 * elbo(*x) - 4.4)),
    # -- the parameters are others
    "prior swapped": (None, lambda: of_run(change=exchanged("prior"))),
    "guide swapped": (None, lambda: of_run(change=exchanged("guide"))),
    "rows permuted": (None, lambda: of_run(change=in_rows([1, 0, 2, 3, 4, 5]))),
    "unconstrained": (
        ("unconstrained_values",),
        lambda: of_run(change=params(lambda x: {n: np.log(v) for n, v in x.items()})),
    ),
    "one latent too few": (
        ("wrong_counts",),
        lambda: of_run(change=in_rows([0, 1, 2, 3, 4]), losses=None, optimizer=None),
    ),
    "one pair for each of six where one is": (
        ("wrong_latents",),
        lambda: of_run(counts=er.Counts.shared(K, N), losses=None, level="last"),
    ),
    "a parameter that is nan": (
        None,
        lambda: of_run(change=params(lambda x: {**x, ROLES[0]: x[ROLES[0]] * np.nan})),
    ),
    "the prior alone": (
        None,
        lambda: er.cross_check(COUNTS, dict(zip(ROLES, (1.3, 2.4), strict=True))),
    ),
    "a network for a guide": (
        None,
        lambda: er.cross_check(
            COUNTS,
            {"a0": 2.0, "b0": 3.0, "enc.0.weight": np.ones((8, 2)), "enc.0.bias": np.ones(8)},
            names=dict(zip(ROLES, ("a0", "b0"), strict=True)),
            evaluations=[33.0, 34.0],
        ),
    ),
    "a detached concentration": (
        ("gradient_detached",),
        lambda: _of_other_run(learn_prior="concentration0"),
    ),
    "a prior for each latent": (
        None,
        lambda: er.cross_check(
            COUNTS,
            {
                **dict(zip(ROLES, (np.arange(1.0, 7.0), 2.0), strict=True)),
                **own_of(er.posterior(er.Beta(1.5, 2.5), COUNTS)),
            },
        ),
    ),
    # -- what is claimed is wrong
    "another guide": (None, lambda: of_run("beta", guide="empty", level="last")),
    "another loss": (None, lambda: of_run("normal", loss="trace_mean_field")),
    "fewer particles": (None, lambda: of_run("beta", "trace", 2, num_particles=40)),
    "another prior held": (
        None,
        lambda: er.cross_check(
            COUNTS, own_of(er.posterior(er.Beta(6.0, 1.5), COUNTS)), prior=er.Beta(1.3, 2.4)
        ),
    ),
    "another rate": (("optimizer_settings",), lambda: of_run(optimizer=er.Adam(lr=LR / 3))),
    "a rate that decays": (
        ("learning_rate_decay",),
        lambda: _of_other_run(optimizer=er.ClippedAdam(lr=LR, lrd=0.02 ** (1 / STEPS))),
    ),
    "a guide of another family": (
        None,
        lambda: er.cross_check(COUNTS, {"x": 1.0}, guide="AutoMultivariateNormal"),
    ),
    "mean and total for concentrations": (
        None,
        lambda: of_run(
            change=params(
                lambda x: {
                    **x,
                    ROLES[0]: x[ROLES[0]] / (x[ROLES[0]] + x[ROLES[1]]),
                    ROLES[1]: x[ROLES[0]] + x[ROLES[1]],
                }
            )
        ),
    ),
    "mean and total by their names": (
        (),
        lambda: of_run(
            change=params(
                lambda x: {
                    **{n: v for n, v in x.items() if n not in ROLES},
                    "m": x[ROLES[0]] / (x[ROLES[0]] + x[ROLES[1]]),
                    "s": x[ROLES[0]] + x[ROLES[1]],
                }
            ),
            names={"prior.mean": "m", "prior.concentration": "s"}
            | {f"guide.{x}": f"guide.{x}" for x in PAIR},
        ),
    ),
    # -- the rest of what can be handed in
    "losses and evaluations": ((), lambda: both()),
    "losses right and evaluations wrong": (None, lambda: both(of_evaluations=lambda x: -x)),
    "losses wrong and evaluations right": (("wrong_sign",), lambda: both(of_losses=lambda x: -x)),
    "losses and evaluations divided": (
        ("normalised_loss",),
        lambda: both(lambda x: x / N.sum(), lambda x: x / N.sum()),
    ),
    "evaluations of more particles than the losses": (None, lambda: both(particles=30)),
    "a history without copies": (
        ("stale_history",),
        lambda: of_run(
            change=lambda x: {
                "params": {n: np.repeat(v[-1:], STEPS, axis=0) for n, v in x["params"].items()},
                "losses": x["losses"] + 40 * np.exp(-np.arange(STEPS) / 8),
            },
            optimizer=None,
        ),
    ),
    "a parameter for each latent": (
        (),
        lambda: of_run(
            level="last",
            change=params(
                lambda x: {
                    **{f"p{i}": x[ROLES[i]] for i in range(2)},
                    **{f"q{i}_{j}": x[f"guide.{PAIR[i]}"][j] for i in range(2) for j in range(6)},
                }
            ),
            names={
                ROLES[0]: "p0",
                ROLES[1]: "p1",
                "guide.concentration1": "q0_*",
                "guide.concentration0": "q1_*",
            },
        ),
    ),
    "expressions": (
        (),
        lambda: of_run(
            level="last",
            change=params(
                lambda x: {
                    "logs": np.log([x[name] for name in ROLES]),
                    "own": np.stack([x[f"guide.{name}"] for name in PAIR]),
                }
            ),
            names={
                ROLES[0]: "exp(logs[0])",
                ROLES[1]: "exp(logs[1])",
                "guide.concentration1": "own[0]",
                "guide.concentration0": "own[1]",
            },
        ),
    ),
    "both concentrations in one array": (
        (),
        lambda: of_run(
            level="last",
            change=params(
                lambda x: {
                    "prior": np.stack([x[name] for name in ROLES]),
                    "own": np.stack([x[f"guide.{name}"] for name in PAIR], axis=-1),
                }
            ),
            names={"prior.concentrations": "prior", "guide.concentrations": "own"},
        ),
    ),
    "numbers that are held": (
        None,
        lambda: of_run(
            level="last",
            names={ROLES[0]: "1.5", ROLES[1]: "2.5", **{f"guide.{x}": f"guide.{x}" for x in PAIR}},
        ),
    ),
    "probabilities of a point": (
        (),
        lambda: of_run(
            "delta",
            level="last",
            change=params(
                lambda x: {**{n: x[n] for n in ROLES}, "c": special.expit(x["guide.logits"])}
            ),
            names={ROLES[0]: ROLES[0], ROLES[1]: ROLES[1], "guide.probs": "c"},
        ),
    ),
    "several of each": (
        (),
        lambda: er.cross_check(
            er.Counts(K, N, multiplicity=[1, 2, 1, 3, 1, 1]), last(fitted()), optimizer=ADAM
        ),
    ),
    "groups that a program has sorted": (
        (),
        lambda: er.cross_check(
            er.Counts.grouped(K, N, ["c", "a", "b", "f", "e", "d"]),
            {"guide.probs": ((K + 1.0) / (N + 3.0))[[1, 2, 0, 5, 4, 3]]},
            guide="delta",
            prior=er.Beta(2.0, 3.0),
            evaluations=[
                -(
                    stats.binom.logpmf(K, N, (K + 1.0) / (N + 3.0))
                    + stats.beta.logpdf((K + 1.0) / (N + 3.0), 2.0, 3.0)
                ).sum()
            ]
            * 3,
        ),
    ),
    "a bound whose order is looked for": (
        None,
        lambda: evaluations(bound, loss="renyi", num_particles=4, size=20),
    ),
    "minibatches of a run": (
        (),
        lambda: of_run("beta", "trace", 1, STEPS, ("subsample_size", 3), subsample_size=3),
    ),
    "minibatches that nobody mentioned": (
        None,
        lambda: of_run("beta", "trace", 1, STEPS, ("subsample_size", 3)),
    ),
    "as NumPyro has it": ((), lambda: of_run("normal", framework="numpyro", level="last")),
    "in float32, said so": ((), lambda: of_run(dtype="float32", level="last")),
    "softplus": (
        (),
        lambda: of_run("beta", "trace", 1, STEPS, ("constraint", "softplus_positive")),
    ),
    "far from a maximum": (
        None,
        lambda: er.cross_check(
            COUNTS,
            dict(
                zip(
                    THEIRS.values(),
                    (
                        1.5,
                        2.5,
                        *(
                            30.0 * er.posterior(er.Beta(1.5, 2.5), COUNTS).arrays()[i]
                            for i in range(2)
                        ),
                    ),
                    strict=True,
                )
            ),
            names=THEIRS,
            optimizer=ADAM,
        ),
    ),
    "a prior from numbers, at its maximum": (
        None,
        lambda: er.cross_check(
            COUNTS,
            {
                **dict(zip(ROLES, (0.81351, 0.9164), strict=True)),
                **own_of(er.posterior(er.Beta(0.81351, 0.9164), COUNTS)),
            },
            optimizer=ADAM,
        ),
    ),
}


def both(of_losses=lambda x: x, of_evaluations=lambda x: x, particles=1):
    """A run's losses, and as many of its last parameters."""
    run = fitted()
    rng, prior = np.random.default_rng(11), np.array(run.prior.arrays())
    a, b = run.guide.arrays()
    drawn = np.array([elbo(rng, prior, a, b, particles=particles) for _ in range(STEPS)])
    return er.cross_check(
        COUNTS, history(run), losses=of_losses(run.losses), evaluations=of_evaluations(drawn),
        optimizer=ADAM,
    )  # fmt: skip


def _with(values, bad):
    found = np.array(values)
    found[3] = bad
    return found


def _of_other_run(**settings):
    run = fitted("beta", "trace", 1, 80, **settings)
    return er.cross_check(COUNTS, history(run), losses=run.losses, optimizer=ADAM)


@pytest.mark.parametrize("name", few(CASES, 6))
def test_a_whole_verdict(name):
    """`None`: what it names depends on the draws; it is then as it was."""
    mistakes, made = CASES[name]
    verdict = made()
    if mistakes is not None:
        assert verdict.mistakes == mistakes, verdict
    golden.check(f"cross-check: {name}", golden.plain(verdict))


@cache
def _one_loss():
    return golden.plain(CASES["one loss"][1]())


def _first(name, times):
    return lambda x: x["findings"][0].update({name: x["findings"][0][name] * times})


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (_first("theirs", 1 + 1e-5), True),
        (_first("theirs", 1 + 1e-9), False),
        (lambda x: x["findings"].pop(), True),
        (lambda x: x["advice"].append("More."), True),
        (lambda x: x.update(exit_code=x["exit_code"] + 1), True),
        (lambda x: x.update(answer=x["answer"].replace("genuine", "right")), True),
        (lambda x: x.update(subject=x["subject"].replace("35 of 85", "36 of 85")), True),
    ],
)
def test_a_change_would_be_noticed(change, seen):
    """Negative control of the comparison."""
    document = _one_loss()
    other = copy.deepcopy(document)
    change(other)
    assert other != document
    assert bool(golden.differences(other, document)) == seen
