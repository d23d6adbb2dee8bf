"""Whole verdicts of `replay`: what is planted is named, and all that is said is as it was.

The recordings are those of `recorded.py`, changed by hand. What a verdict must name is known from
what was changed; the rest stands in `reference/verdicts.json`. PyTorch is another one: absent, or
a kernel that is the exact derivative of a Beta draw but for a part that is known.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import golden
import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from recorded import (
    COUNTS,
    LOGC,
    NAMES,
    PARTICLES,
    STEPS,
    K,
    Made,
    N,
    betas,
    exact_but_for,
    hide_pytorch,
    site,
    stand_in_for_pytorch,
    stated,
)
from tiers import few


@cache
def made(kind="beta", **more):
    return Made(kind, **more)


def run(kind="beta", *, like=None, claims=None, error=None, counts=COUNTS, **changed):
    """A replay of a run of Beta sites, changed; a kernel with an error stands in for PyTorch."""
    it = made(kind) if like is None else Made(kind, **like)

    def replayed(monkeypatch):
        if error is None:
            hide_pytorch(monkeypatch)
        else:
            stand_in_for_pytorch(monkeypatch, exact_but_for(error))
        return it.replay(it.recording(**changed), counts, **(claims or {}))

    return replayed


def of(recording, counts=COUNTS, **claims):
    """A replay of another recording, without PyTorch."""

    def replayed(monkeypatch):
        hide_pytorch(monkeypatch)
        return er.replay(recording(), counts, **claims)

    return replayed


def gradients(change):
    """Gradients of the parameters by a function of their parts, for those that it names."""

    def changed(recording):
        parts = {name: made().gradient(name) for name in ("density", "through", "score")}
        return {**recording.gradients, **change(parts)}

    return changed


def at(steps, value):
    def change(recording):
        losses = recording.losses.copy()
        losses[steps] = value(losses[steps])
        return losses

    return change


POINT = np.array([0.31, 0.72, 0.28])


def points(kind="Delta", offset=0.0):
    """Steps of a point guide: the losses have no noise."""
    logit = special.logit(POINT) + np.linspace(0.3, 0.0, 20)[:, None]
    c = special.expit(logit)
    density = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, 2.0, 5.0)
    arguments = {**betas((2.0, 5.0)), "guide.c.v": c}
    sites = [site("model", "c"), site("guide", "c", kind)]
    losses = -density.sum(axis=1) + offset
    return stated(c[:, None], arguments, sites=sites, losses=losses)


def held(prior=(2.0, 5.0), scale=1.0, weight=1.0, seed=0):
    """Steps of a guide that is nearly the posterior, under a prior that does not move."""
    rng = np.random.default_rng(seed)
    own = 1.2 * (np.array(prior)[:, None] + np.array((K, N - K)))
    c = rng.beta(*own, size=(30, PARTICLES, 3))
    f = weight * stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *prior)
    f = f - stats.beta.logpdf(c, *own)
    return stated(c, betas(prior, own), losses=-scale * f.sum(axis=2).mean(axis=1))


def marginal(offset=0.0, factor=1.0):
    """Steps of a model whose likelihood is a BetaBinomial."""
    a, b = np.linspace(2.0, 3.0, 5), np.linspace(5.0, 4.0, 5)
    pairs = zip(a, b, strict=True)
    exact = -factor * np.array([er.log_evidence_gradient(er.Beta(*x), COUNTS) for x in pairs])
    rows = {"rows": 3, "elements": 3, "observed": True}
    rows["sources"] = {"concentration1": ["a"], "concentration0": ["b"]}
    losses = -np.sum([stats.betabinom.logpmf(k, n, a, b) for k, n in zip(K, N, strict=True)], 0)
    names = ("concentration1", "concentration0")
    return er.recording.Recording(
        losses=losses + offset,
        arguments={f"model.k.{x}": v[:, None] for x, v in zip(names, (a, b), strict=True)},
        argument_gradients={f"model.k.{x}": exact[:, i : i + 1] for i, x in enumerate(names)},
        observed={"k.value": K[None], "k.total_count": N[None]},
        header={"sites": [site("model", "k", "BetaBinomial", **rows)]},
    )


def rates(recording):
    """Each update a tenth shorter than the one before would be."""
    falling = 0.9 ** np.arange(STEPS)
    moved = {}
    for name in recording.before:
        steps = recording.after[name] - recording.before[name]
        wide = falling.reshape(-1, *[1] * (steps.ndim - 1))
        moved[name] = recording.before[name] + wide * steps
    return moved


CASES = {
    # -- nothing is wrong
    "clean": ((), run()),
    "clean, a kernel that is exact": ((), run(error=0.0)),
    "clean, a kernel that is nearly so": (None, run(error=1e-3)),
    "clean, a kernel that is far off": (None, run(error=0.5)),
    "clean, empty": ((), run("empty")),
    "clean, tied": ((), run("tied")),
    "clean, empty, a kernel": (None, run("empty", error=1e-3)),
    "clean, tied, a kernel": (None, run("tied", error=1e-3)),
    "without coefficients": ((), run(losses=lambda r: r.losses + LOGC)),
    "no counts": ((), run(counts=None)),
    "points": ((), of(points)),
    "a prior that is held": ((), of(held, prior=er.Beta(2.0, 5.0))),
    "a marginal model": ((), of(marginal)),
    # -- the losses are others
    "two losses off": (("loss_mismatch",), run(losses=at([7, 9], lambda x: x + 1e-8))),
    "wrong sign": (("wrong_sign",), run(losses=lambda r: -r.losses)),
    "divided": (("normalised_loss",), run(losses=lambda r: r.losses / 59)),
    "a constant": (("unexplained_constant",), run(losses=lambda r: r.losses + 1.0)),
    "a weight": (("likelihood_weight",), run(like={"likelihood": 0.25})),
    "a weight, tied": (("normalised_loss",), run("tied", like={"likelihood": 4.0})),
    "a weight, a kernel": (("likelihood_weight",), run(like={"likelihood": 0.25}, error=1e-4)),
    "all zero": (None, run(losses=lambda r: 0 * r.losses)),
    "one that is nan": (None, run(losses=at([30], lambda x: x * np.nan))),
    "the first is nan": (None, run(losses=at([0], lambda x: x * np.nan))),
    "points off": (None, of(lambda: points(offset=3.0))),
    "a marginal model off": (("loss_mismatch",), of(lambda: marginal(1e-3))),
    "a marginal model's gradients": (("gradient_mismatch",), of(lambda: marginal(0.0, 1.01))),
    "a scale": (None, of(lambda: held(scale=3.0))),
    "a weight of rows": (None, of(lambda: held(weight=2.0))),
    # -- the gradients are others
    "zero": (None, run(gradients=gradients(lambda x: {"qa": 0 * x["density"]["qa"]}))),
    "zero, a kernel": (
        None,
        run(error=1e-4, gradients=gradients(lambda x: {"qa": 0 * x["density"]["qa"]})),
    ),
    "without the draws, a kernel": (
        None,
        run(error=1e-4, gradients=gradients(lambda x: {"qa": x["density"]["qa"]})),
    ),
    "without the densities, a kernel": (
        None,
        run(error=1e-4, gradients=gradients(lambda x: {"qb": x["through"]["qb"]})),
    ),
    "of the score function, a kernel": (
        None,
        run(error=1e-4, gradients=gradients(lambda x: {"qa": x["score"]["qa"]})),
    ),
    "tripled, a kernel": (
        None,
        run(
            error=1e-4,
            gradients=gradients(lambda x: {"qa": 3 * (x["density"]["qa"] + x["through"]["qa"])}),
        ),
    ),
    "nothing known, a kernel": (
        None,
        run(
            error=1e-4,
            gradients=gradients(lambda x: {"qa": x["density"]["qa"] + x["through"]["qa"] + 0.1}),
        ),
    ),
    "of the prior": (
        None,
        run(gradients=lambda r: {n: 2 * g if n == "a" else g for n, g in r.gradients.items()}),
    ),
    "of a hook": (
        None,
        run(
            argument_gradients=lambda r: {
                n: 0.5 * g if n.startswith("model") else g for n, g in r.argument_gradients.items()
            }
        ),
    ),
    # -- the rest
    "draws of another Beta": (
        ("draw_mismatch",),
        run(like={"source": lambda x: (x["qa"] * 1.5, x["qb"])}),
    ),
    "draws of the prior": (
        ("latent_not_in_guide",),
        run(like={"source": lambda x: (x["a"], x["b"])}),
    ),
    "draws at the ends": (None, run(like={"source": lambda _: (0.02, 5.0)})),
    "updates that fall": (("learning_rate_decay",), run(after=rates)),
    "updates that stand": (None, run(after=lambda r: r.before)),
    "other totals": (("wrong_total_count",), run(counts=er.Counts(K, N + 2))),
    "other rows": (("wrong_counts",), run(counts=er.Counts(K + [0, 0, 1], N))),
    "rows the other way round": (("permuted_rows",), run(counts=er.Counts(K[::-1], N[::-1]))),
    "fewer rows": (("wrong_latents",), run(counts=er.Counts([3, 19], [10, 49]))),
    "another guide": (("another_guide",), run(claims={"guide": "delta"})),
    "another loss": (("another_loss",), run(claims={"loss": "trace_mean_field"})),
    "another prior": (("wrong_fixed_prior",), run(claims={"prior": er.Beta(1.0, 1.0)})),
    "another optimizer": (("optimizer_settings",), run(claims={"optimizer": er.Adam(lr=0.3)})),
    "names exchanged": (
        ("swapped_concentrations",),
        run(
            claims={
                "names": {
                    **NAMES, "prior.concentration1": "b", "prior.concentration0": "a",
                }
            }
        ),
    ),
    "one step": (None, lambda monkeypatch: _one_step(monkeypatch)),
}  # fmt: skip


def _one_step(monkeypatch):
    """The first step alone, whose loss is off by a constant that nothing tells from others."""
    hide_pytorch(monkeypatch)
    whole = made().recording()
    groups = {
        name: {key: x[:1] for key, x in getattr(whole, name).items()}
        for name in (
            *("draws", "before", "constrained", "gradients", "after"),
            *("arguments", "argument_gradients"),
        )
    }
    return er.replay(replace(whole, losses=whole.losses[:1] + 1.0, **groups), COUNTS)


@pytest.mark.parametrize("name", few(CASES, 4))
def test_a_whole_verdict(name, monkeypatch):
    """`None`: what it names is no mistake that has a name of its own; it is then as it was."""
    mistakes, replayed = CASES[name]
    verdict = replayed(monkeypatch)
    if mistakes is not None:
        assert verdict.mistakes == mistakes, verdict
    golden.check(f"replay: {name}", golden.plain(verdict))
