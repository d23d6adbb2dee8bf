"""Where draws come from, and what the precision does to them: by hand and by quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from elbo_ref.guides import find
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.draws import (
    LEVEL,
    _interval,
    _loss_std,
    _p_value,
    _uniform,
    clip_bias,
    compare_draws,
)
from recorded import COUNTS, K, N, betas, site, stated, trace_of


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0.02, 3.0), (2.0, 5.0), (300.0, 400.0)])
def test_draws_of_the_guide_and_of_others(shape, dtype):
    """In float32 a Beta(0.02, 3) has a sixth of its draws at the least float, and passes."""
    rng, (a, b) = np.random.default_rng(1), shape
    x = betas((1.0, 1.0), ([a] * 3, [b] * 3))
    info = np.finfo(dtype)

    def drawn(a, b):
        c = np.clip(rng.beta(a, b, (50, 2, 3)), info.tiny, 1 - info.epsneg)
        return np.clip(c.astype(dtype), info.tiny, dtype(1 - info.epsneg))

    first = compare_draws(trace_of(stated(drawn(a, b), x)))[0]
    assert (first.name, first.status) == ("draws", "agrees") and first.theirs >= LEVEL
    first = compare_draws(trace_of(stated(drawn(2 * a, b), x)))[0]
    assert (first.name, first.status) == ("draw_mismatch", "mistake") and first.theirs < LEVEL
    first = compare_draws(trace_of(stated(drawn(1.0, 1.0), x)))[0]
    assert (first.name, first.reason) == ("latent_not_in_guide", "they are draws from the prior")


def test_the_p_value_is_that_of_scipy():
    c = np.random.default_rng(3).beta(2.0, 5.0, (60, 1, 3))
    found = compare_draws(trace_of(stated(c, betas((2.0, 5.0), (2.0, 5.0)))))[0].theirs
    wanted = stats.kstest(c.ravel(), stats.beta(2.0, 5.0).cdf).pvalue
    assert found == pytest.approx(wanted, abs=0.02)  # an asymptotic formula, and an exact one


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p_values_of_clean_recordings_are_uniform(dtype):
    """Of 200 recordings, by Kolmogorov and Smirnov at 0.1%; a tenth more of one concentration is
    refused. In float32 a sixth of the draws of Beta(0.02, 3) stands at the least float."""
    rng, shape = np.random.default_rng(5), (20, 2, 3)
    own = np.array([0.02, 2.0, 40.0]), np.array([3.0, 5.0, 60.0])
    info, x = np.finfo(dtype), betas((1.0, 1.0), own)

    def p_values(share):
        found = []
        for _ in range(200):
            c = np.clip(rng.beta(own[0] * share, own[1], shape), info.tiny, 1 - info.epsneg)
            c = np.clip(c.astype(dtype), info.tiny, dtype(1 - info.epsneg))
            found.append(compare_draws(trace_of(stated(c, x)))[0].theirs)
        return found

    assert stats.kstest(p_values(1.0), "uniform").pvalue > 1e-3
    assert stats.kstest(p_values(1.1), "uniform").pvalue < 1e-3


def test_a_point_has_no_draws():
    sites = [site("model", "c"), site("guide", "c", "Delta")]
    arguments = {**betas((1.0, 1.0)), "guide.c.v": [0.25] * 3}
    trace = trace_of(stated(np.full((4, 1, 3), 0.25), arguments, sites=sites))
    assert trace.guide.is_point and compare_draws(trace) == []


def saturating(dtype, at, tied=True):
    """A run of one step whose draws stand at the end of a precision."""
    prior = dtype(0.005), dtype(5.0)
    c = np.array([[[at, 0.3, 0.3]]], dtype)
    loss = -np.sum(special.xlogy(K, np.maximum(c, np.finfo(dtype).eps)) + (N - K) * np.log1p(-c))
    arguments = betas(prior, prior if tied else None)
    return stated(c, arguments, losses=[loss - COUNTS.log_coefficient.sum()])


def test_draws_at_the_ends_of_a_precision():
    for dtype, status in ((np.float32, "mistake"), (np.float64, "note")):
        tiny = np.finfo(dtype).tiny
        verdict = replay(saturating(dtype, tiny))
        (finding,) = (f for f in verdict.findings if f.name == "float32_saturation")
        assert finding.status == status and finding.quantity.startswith("1 of 3 draws")
        assert "losses" in {f.name for f in verdict.having("agrees")}
        off = replay(saturating(dtype, 4 * tiny))
        assert not [f for f in off.findings if f.name == "float32_saturation"]


@pytest.mark.parametrize("kind", ["tied", "empty"])
def test_the_bias_of_clipping_by_quadrature(kind):
    trace = trace_of(saturating(np.float32, 0.3, tied=kind == "tied"))
    assert trace.guide.name == kind
    a, b = trace.model.prior[:, 0, 0]
    info = np.finfo(np.float32)

    def raised(a, b, t):
        """E[log max(c, t) - log c], over s = a log(t / c)."""

        def part(s):
            c = t * np.exp(-s / a)
            return s * np.exp(-s) * (1 - c) ** (b - 1)

        return t**a / a**2 * integrate.quad(part, 0, np.inf)[0] / special.beta(a, b)

    gain = K.sum() * raised(a, b, info.eps) + (N - K).sum() * raised(b, a, info.eps)
    if kind == "empty":
        gain += 3 * ((a - 1) * raised(a, b, info.tiny) + (b - 1) * raised(b, a, info.epsneg))
    np.testing.assert_allclose(clip_bias(trace), [-gain], rtol=1e-5)


def test_a_seed_that_is_set_in_every_step():
    """The same quantiles of other distributions."""
    a = np.linspace(2.0, 3.0, 30)[:, None, None] * np.ones(3)
    c = stats.beta.ppf(np.random.default_rng(3).random((1, 2, 3)), a, 4.0)
    arguments = betas((1.0, 1.0), (a[:, 0], [4.0] * 3))
    first = compare_draws(trace_of(stated(c, arguments)))[0]
    assert (first.name, first.status) == ("repeated_draws", "mistake")
    assert (first.theirs, first.ours) == (1.0, 0.04)


# -- the parts, spelled out ------------------------------------------------------------------------


def kolmogorov(x):
    """Kolmogorov's tail by its series."""
    return 2 * sum((-1) ** (j - 1) * np.exp(-2 * (j * x) ** 2) for j in range(1, 60))


@pytest.mark.parametrize(
    ("sample", "distance"),
    [
        ([0.5], 0.5),
        ([0.7], 0.7),
        ([0.2, 0.9], 0.4),
        ([0.9, 0.2], 0.4),
        ([0.1, 0.3, 0.4], 0.6),
        ([[0.75, 0.5], [0.25, 0.95]], 0.25),
    ],
)
def test_the_p_value_of_a_few_numbers(sample, distance):
    """The farthest of the steps from the line, as Stephens scales it."""
    root = np.sqrt(np.size(sample))
    wanted = kolmogorov((root + 0.12 + 0.11 / root) * distance)
    assert _p_value(np.array(sample)) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_interval_that_is_rounded_to_a_draw(dtype):
    """Half way to either neighbour; the ends stand for everything beyond them."""
    info, half = np.finfo(dtype), float(np.finfo(dtype).epsneg) / 2
    c = np.array([info.tiny, 0.25, 0.5, 1 - info.epsneg, 1 - info.eps], dtype)
    low, high = _interval(c)
    below = [0.0, 0.25 - half / 4, 0.5 - half / 2]
    np.testing.assert_array_equal(low[:3], below)
    np.testing.assert_array_equal(high[1:4], [0.25 + half / 2, 0.5 + half, 1.0])
    if dtype == np.float32:  # in float64 a middle is rounded to an end
        assert low[3] == 1 - 3 * half and high[4] == 1 - 3 * half
        assert high[0] == float(info.tiny) * (1 + 2.0**-24)


def test_draws_are_spread_over_their_interval():
    """Of a Beta(0.02, 3) in float32 those at the least float are uniform below its share."""
    tiny = np.finfo(np.float32).tiny
    c = np.full((50, 1, 3), tiny, np.float32)
    trace = trace_of(stated(c, betas((0.02, 3.0))))
    uniform = _uniform(trace, trace.model.prior)
    share = special.betainc(np.float32(0.02), 3.0, tiny * (1 + 2.0**-24))
    assert uniform.shape == c.shape and uniform.min() > 0 and uniform.max() <= share
    assert stats.kstest(uniform.ravel() / share, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(uniform, _uniform(trace, trace.model.prior))
    inside = trace_of(stated(np.full((2, 1, 3), 0.25), betas((2.0, 5.0))))
    np.testing.assert_allclose(
        _uniform(inside, inside.model.prior), stats.beta(2.0, 5.0).cdf(0.25), rtol=1e-12
    )


def quantiles(steps, spread):
    """Draws of other distributions at nearly the same quantiles."""
    a = np.linspace(2.0, 3.0, steps)[:, None, None] * np.ones(3)
    u = np.array([0.2, 0.5, 0.9]) + spread * (np.arange(steps) % 2)[:, None, None] * [0, 0, 1.0]
    return stated(stats.beta.ppf(u, a, 4.0), betas((1.0, 1.0), (a[:, 0], [4.0] * 3)))


@pytest.mark.parametrize(
    ("steps", "spread", "same"),
    [(5, 0.0, True), (3, 0.0, False), (20, 0.019, True), (20, 0.021, True), (4, 0.021, False)],
)
def test_that_quantiles_stay_is_no_accident(steps, spread, same):
    """One of three that moves leaves two; of few steps it is not said."""
    finding = compare_draws(trace_of(quantiles(steps, spread)))[0]
    assert (finding.name == "repeated_draws") is same


def test_draws_of_one_seed_whose_quantiles_move_with_the_parameters():
    """A sampler that rejects takes other numbers for some draws once its parameters have moved."""
    rng = np.random.default_rng(11)
    walk = np.cumsum(rng.normal(0.0, 0.003, (30, 2, 3)), axis=0)
    jumps = rng.random((30, 2, 3)) < 0.1
    u = np.where(jumps, rng.random((30, 2, 3)), np.clip(rng.random((2, 3)) + walk, 1e-3, 0.999))
    c = stats.beta.ppf(u, 2.0, 4.0)
    own = betas((1.0, 1.0), ([2.0] * 3, [4.0] * 3))
    assert compare_draws(trace_of(stated(c, own)))[0].name == "repeated_draws"
    fresh = stats.beta.ppf(rng.random((30, 2, 3)), 2.0, 4.0)
    assert compare_draws(trace_of(stated(fresh, own)))[0].name == "draws"
    far = betas((1.0, 1.0), ([400.0] * 3, [4.0] * 3))
    assert compare_draws(trace_of(stated(fresh, far)))[0].name == "draw_mismatch"


def at_level(p_value):
    """Twenty steps of uniform draws, shifted so far that the test has this p-value."""
    u = (np.arange(60) + 0.5) / 60
    root = np.sqrt(60)

    def of(shift):
        return kolmogorov((root + 0.12 + 0.11 / root) * (0.5 / 60 + shift)) - p_value

    shift = optimize.brentq(of, 0.05, 0.6, xtol=1e-12)
    u = np.clip(u + shift, 0.0, 1 - 1e-9 * np.arange(1, 61))
    return np.random.default_rng(0).permutation(u).reshape(20, 1, 3)


@pytest.mark.parametrize(("p_value", "status"), [(1.1e-5, "agrees"), (0.9e-5, "mistake")])
def test_the_level(p_value, status):
    trace = trace_of(stated(at_level(p_value), betas((1.0, 1.0), ([1.0] * 3, [1.0] * 3))))
    source = trace.guide.source_parameters(trace.model.prior, trace.model.guide_parameters)
    assert _p_value(_uniform(trace, source)) == pytest.approx(p_value, rel=1e-6)
    finding = compare_draws(trace)[0]
    assert (finding.status, finding.theirs) == (status, pytest.approx(p_value, rel=1e-6))


def test_of_the_prior_is_said_of_draws_that_all_latents_could_have():
    """One latent that is neither's has another cause; a guide that is the prior has no other."""
    rng = np.random.default_rng(7)
    c = rng.beta(1.0, 1.0, (60, 2, 3))
    own = betas((1.0, 1.0), ([40.0] * 3, [4.0] * 3))
    names = [compare_draws(trace_of(stated(c, own)))[0].name]
    one = c.copy()
    one[:, :, 1] = rng.beta(6.0, 6.0, (60, 2))
    names.append(compare_draws(trace_of(stated(one, own)))[0].name)
    tied = betas((40.0, 4.0), (40.0, 4.0))
    names.append(compare_draws(trace_of(stated(c, tied)))[0].name)
    assert names == ["latent_not_in_guide", "draw_mismatch", "draw_mismatch"]


def test_draws_of_a_normal_guide():
    """Where a prior is no Beta's draw; saturation of a sigmoid is a note."""
    rng = np.random.default_rng(8)
    loc, scale = np.array([-0.5, 0.2, 1.0]), np.array([0.5, 1.0, 0.2])
    y = rng.normal(loc, scale, (60, 2, 3))
    trace = trace_of(stated(special.expit(y), betas((1.0, 1.0))))
    model = trace.model._replace(
        guide=find("normal"),
        prior=np.ones((2, 60, 1)),
        guide_parameters=np.array([loc, scale])[:, None].repeat(60, 1),
    )
    normal = replace(trace, model=model, draws=trace.draws._replace(logit=y))
    source = normal.guide.source_parameters(model.prior, model.guide_parameters)
    np.testing.assert_allclose(_uniform(normal, source), stats.norm(loc, scale).cdf(y), rtol=1e-12)
    assert [x.name for x in compare_draws(normal)] == ["draws"]
    off = replace(normal, draws=normal.draws._replace(logit=y + 0.5))
    assert [x.name for x in compare_draws(off)] == ["draw_mismatch"]
    ends = np.full_like(y, 0.5)
    ends[3, 1] = [np.finfo(float).tiny, 1 - np.finfo(float).eps, 0.5]
    ended = replace(normal, draws=normal.draws._replace(c=ends))
    (_, note) = compare_draws(ended)
    assert (note.name, note.status, note.theirs) == ("float32_saturation", "note", None)
    assert note.quantity == "2 of 360 draws at the ends of float64"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_at_either_end_are_counted(dtype):
    info = np.finfo(dtype)
    for value, count in (
        (info.tiny, 1), (1 - info.epsneg, 1), (2 * info.tiny, 0), (1 - 2 * info.epsneg, 0),
    ):  # fmt: skip
        c = np.array([[[value, 0.3, 0.3]], [[0.3, 0.4, 0.3]]], dtype)
        found = compare_draws(trace_of(stated(c, betas((2.0, 5.0)))))[1:]
        assert [x.quantity.split(" draws")[0] for x in found] == ["1 of 6"] * count


def test_a_tenth_of_a_standard_deviation_matters():
    """Of one step's loss, at the worst of the steps; in float64 nothing does."""
    seen = []
    for a in (0.01, 0.19, 0.194, 0.196, 0.2, 0.3):
        c = np.full((2, 1, 3), 0.3, np.float32)
        c[0, 0, 0] = np.finfo(np.float32).tiny
        a_of = np.array([[a], [2.0]])
        trace = trace_of(stated(c, betas((a_of, 5.0), (a_of, 5.0))))
        (finding,) = compare_draws(trace)[1:]
        share = clip_bias(trace)[0] / _loss_std(trace)[0]
        assert finding.theirs == pytest.approx(share, rel=1e-12) and "at step 0" in finding.quantity
        assert finding.status == ("mistake" if abs(share) > 0.1 else "note")
        assert (finding.ours, finding.allowance) == (0.0, 0.1)
        seen.append(abs(share))
    assert min(x for x in seen if x > 0.1) < 0.103 and max(x for x in seen if x < 0.1) > 0.097


def test_the_standard_deviation_of_a_loss():
    """(E5), added up over latents and divided by particles; small where the guide is nearly the
    posterior."""
    prior, psi1 = np.array([2.0, 5.0]), lambda x: special.polygamma(1, x)
    for off in (0.05, 3.0):
        a, b = prior[0] + K + off, prior[1] + N - K
        c = np.full((4, 2, 3), 0.3)
        found = _loss_std(trace_of(stated(c, betas(prior, (a, b)))))
        variance = off**2 * (psi1(a) - psi1(a + b))  # A = -off, D = 0
        np.testing.assert_allclose(found, np.sqrt(variance.sum() / 2) * np.ones(4), rtol=1e-9)
