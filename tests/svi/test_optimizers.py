"""Adam (Kingma & Ba 2015, algorithm 1) and ClippedAdam: closed forms, a slow twin, variants.

The comparison with PyTorch and Pyro themselves is tests/live/test_optimizers.py.
"""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

import elbo_ref as er
from tiers import few

KINDS = (er.Adam, er.ClippedAdam)


def path(optimizer, x, gradients):
    """Parameters after each update."""
    x, rows = np.array(x, dtype=float), []
    state = optimizer.init(x)
    for gradient in gradients:
        x, state = optimizer.update(state, x, np.asarray(gradient, dtype=float))
        rows.append(x)
    return np.array(rows)


def first_move(optimizer, gradient):
    return float(path(optimizer, 0.0, [gradient])[0])


# Closed forms


@given(gradient=st.floats(-1e30, 1e30), lr=st.floats(1e-6, 10.0), eps=st.floats(1e-12, 1.0))
def test_first_step(gradient, lr, eps):
    """m/(1 - beta1) = g and v/(1 - beta2) = g^2, so the first step is -lr g/(|g| + eps)."""
    wanted = -lr * gradient / (abs(gradient) + eps)
    moved = first_move(er.Adam(lr=lr, eps=eps), gradient)
    assert moved == pytest.approx(wanted, rel=1e-9, abs=1e-300)  # below that floats lose digits


@given(gradient=st.floats(-1e3, 1e3), lrd=st.floats(0.1, 2.0), eps=st.floats(1e-12, 1.0))
def test_first_clipped_step(gradient, lrd, eps):
    """lrd counts already, g is clamped, and eps is worth eps/sqrt(1 - beta2)."""
    g = max(min(gradient, 10.0), -10.0)
    wanted = -0.1 * lrd * g / (abs(g) + eps / math.sqrt(0.001))
    optimizer = er.ClippedAdam(lr=0.1, lrd=lrd, eps=eps)
    assert first_move(optimizer, gradient) == pytest.approx(wanted, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_under_a_constant_gradient_every_step_is_the_learning_rate(kind):
    moved = path(kind(lr=0.1, eps=0.0), [0.0, 0.0], [[3.0, -1e-5]] * 200)
    steps = 0.1 * np.arange(1, 201)[:, None]
    np.testing.assert_allclose(moved, steps * [-1.0, 1.0], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_scale_of_the_gradient_does_not_matter_without_eps(kind):
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((100, 3))
    there = path(kind(lr=0.1, eps=0.0), np.zeros(3), gradients)
    np.testing.assert_allclose(path(kind(lr=0.1, eps=0.0), np.zeros(3), gradients / 8), there)
    assert not np.allclose(path(kind(lr=0.1, eps=0.1), np.zeros(3), gradients / 8), there)


# The slow twin


def slow(optimizer, x, gradients):
    """One parameter in plain floats: the averages written out as sums over all steps so far."""
    beta1, beta2 = optimizer.betas
    clipped = isinstance(optimizer, er.ClippedAdam)
    seen, rows, largest, lr = [], [], 0.0, optimizer.lr
    for t, g in enumerate(gradients, start=1):
        if clipped:
            g = min(max(g, -optimizer.clip_norm), optimizer.clip_norm)
            lr *= optimizer.lrd
        seen.append(g + optimizer.weight_decay * x)
        m = (1 - beta1) * math.fsum(beta1 ** (t - i) * g for i, g in enumerate(seen, start=1))
        v = (1 - beta2) * math.fsum(beta2 ** (t - i) * g**2 for i, g in enumerate(seen, start=1))
        if not clipped and optimizer.amsgrad:
            v = largest = max(largest, v)
        m_hat, root = m / (1 - beta1**t), math.sqrt(1 - beta2**t)
        if clipped:
            x -= lr * m_hat / ((math.sqrt(v) + optimizer.eps) / root)
        else:
            x -= lr * m_hat / (math.sqrt(v) / root + optimizer.eps)
        rows.append(x)
    return rows


VARIANTS = [
    er.Adam(lr=0.1),
    er.Adam(lr=0.1, betas=(0.0, 0.5)),
    er.Adam(lr=0.1, eps=0.5),
    er.Adam(lr=0.1, weight_decay=0.3),
    er.Adam(lr=0.1, betas=(0.9, 0.9), amsgrad=True),
    er.ClippedAdam(lr=0.1),
    er.ClippedAdam(lr=0.1, eps=0.5),
    er.ClippedAdam(lr=0.1, weight_decay=0.3, clip_norm=1.0),
    er.ClippedAdam(lr=0.1, lrd=0.97),
]


def gradient_sequence():
    rng = np.random.default_rng(1)
    return rng.standard_normal((300, 4)) * [1.0, 1e-4, 20.0, 1.0] + [1.0, 0.0, 0.0, -0.3]


@pytest.mark.parametrize("optimizer", few(VARIANTS, 4), ids=str)
def test_slow_twin(optimizer):
    """Controls: another variant of the twin is told apart, wherever it differs."""
    gradients, x = gradient_sequence(), [0.5, -2.0, 0.0, 3.0]
    ours = path(optimizer, x, gradients)
    twin = np.transpose([slow(optimizer, *each) for each in zip(x, gradients.T, strict=True)])
    np.testing.assert_allclose(ours, twin, rtol=1e-11, atol=1e-13)
    for other in VARIANTS:
        if other == optimizer:
            continue
        wrong = np.transpose([slow(other, *each) for each in zip(x, gradients[:50].T, strict=True)])
        assert not np.allclose(ours[:50], wrong, rtol=1e-6, atol=0), other


# What tells the variants apart


def test_where_eps_stands():
    """With g = eps the three placements that are about differ by far in the first step."""
    eps = g = 1e-4
    outside = -g / (abs(g) + eps)
    inside_the_root = -g / math.sqrt(g**2 + eps)
    before_the_correction = -g / (abs(g) + eps / math.sqrt(0.001))
    assert first_move(er.Adam(lr=1.0, eps=eps), g) == pytest.approx(outside)
    assert first_move(er.ClippedAdam(lr=1.0, eps=eps), g) == pytest.approx(before_the_correction)
    apart = np.diff(sorted([outside, inside_the_root, before_the_correction]))
    assert (apart > 0.01).all()


def test_learning_rate_decays_before_the_first_step():
    halving = path(er.ClippedAdam(lr=1.0, lrd=0.5, eps=0.0), 0.0, [1.0] * 5)
    np.testing.assert_allclose(-halving, np.cumsum([0.5, 0.25, 0.125, 0.0625, 0.03125]))
    assert not np.allclose(-halving, np.cumsum([1.0, 0.5, 0.25, 0.125, 0.0625]))


@pytest.mark.parametrize("optimizer", VARIANTS, ids=str)
def test_elements_do_not_see_each_other(optimizer):
    """So clip_norm clamps elements and is no norm: one huge gradient leaves the others alone."""
    gradients = gradient_sequence()
    gradients[3, 2] = 1e6
    apart = [path(optimizer, [1.0], column[:, None]) for column in gradients.T]
    np.testing.assert_array_equal(path(optimizer, np.ones(4), gradients), np.hstack(apart))


def test_clamp():
    """Beyond clip_norm a gradient counts as clip_norm, infinity too; a nan stays one."""
    optimizer = er.ClippedAdam(lr=0.1, clip_norm=2.0)
    gradients = np.array([[5.0, -5.0, 1.0, np.inf], [1.0, -9.0, -1.0, 0.5]])
    clamped = np.clip(gradients, -2.0, 2.0)
    moved = path(optimizer, np.zeros(4), gradients)
    np.testing.assert_array_equal(moved, path(optimizer, np.zeros(4), clamped))
    by_norm = clamped * 2.0 / np.linalg.norm(clamped, axis=1, keepdims=True)
    assert not np.allclose(moved, path(optimizer, np.zeros(4), by_norm))
    assert np.isnan(first_move(optimizer, np.nan))


def test_weight_decay_comes_after_the_clamp():
    """g = 20 at x = 100 counts as 10 + 100/10; ClippedAdam's eps = 10 makes that show."""
    optimizer = er.ClippedAdam(lr=1.0, weight_decay=0.1, eps=10.0)
    moved = float(path(optimizer, 100.0, [20.0])[0]) - 100.0
    scale = 10.0 / math.sqrt(0.001)
    assert moved == pytest.approx(-20.0 / (20.0 + scale))
    assert moved != pytest.approx(-10.0 / (10.0 + scale))


def test_amsgrad_remembers_the_largest():
    """After one large gradient plain Adam recovers its pace, amsgrad does not."""
    gradients = [100.0] + [1.0] * 300
    settings = {"lr": 0.1, "betas": (0.9, 0.9)}
    plain, cautious = (
        path(er.Adam(**settings, amsgrad=amsgrad), 0.0, gradients) for amsgrad in (False, True)
    )
    assert plain[-2] - plain[-1] == pytest.approx(0.1, rel=1e-6)
    assert cautious[-2] - cautious[-1] == pytest.approx(0.1 / math.sqrt(1000), rel=1e-6)
    rising = np.arange(1.0, 50.0)
    same = [path(er.Adam(**settings, amsgrad=amsgrad), 0.0, rising) for amsgrad in (False, True)]
    np.testing.assert_array_equal(*same)


# Purity and settings


@pytest.mark.parametrize("optimizer", VARIANTS, ids=str)
def test_update_is_pure(optimizer):
    """Read-only arrays go in, the same update twice gives the same, and a state can be resumed."""
    gradients, x = gradient_sequence()[:6], np.ones(4)
    x.setflags(write=False)
    gradients.setflags(write=False)
    state = optimizer.init(x)
    for step, gradient in enumerate(gradients, start=1):
        before = [np.copy(part) for part in (x, *state)]
        moved, after = optimizer.update(state, x, gradient)
        again, _ = optimizer.update(state, x, gradient)
        np.testing.assert_array_equal(moved, again)
        for kept, part in zip(before, (x, *state), strict=True):
            np.testing.assert_array_equal(kept, part)
        assert after.step == step
        x, state = moved, after
        for array in (x, *state[1:]):
            array.setflags(write=False)
    np.testing.assert_array_equal(x, path(optimizer, np.ones(4), gradients)[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_settings_are_frozen_values(kind):
    assert kind(lr=0.5) == kind(lr=0.5) != kind(lr=0.6)
    assert {kind(): 1}[kind()] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().lr = 1.0
    with pytest.raises(TypeError, match="positional"):
        kind(0.5, True)


def test_a_decay_is_a_frozen_value_with_a_factor_up_to_one():
    decay = er.ExponentialLR(er.Adam(lr=0.5), 1)
    assert (decay.gamma, decay.lr, decay.lrd) == (1.0, 0.5, 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        decay.gamma = 0.5
    for gamma in (0.0, -0.5, 1.5, math.nan):
        message = f"gamma = {gamma} must lie in (0, 1]"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            er.ExponentialLR(er.Adam(), gamma)


def test_defaults_are_pytorchs_and_pyros():
    assert dataclasses.astuple(er.Adam()) == (1e-3, (0.9, 0.999), 1e-8, 0.0, False)
    assert dataclasses.astuple(er.ClippedAdam()) == (1e-3, (0.9, 0.999), 1e-8, 0.0, 10.0, 1.0)


BAD = [
    ({"lr": 0.0}, "lr = 0.0 must be positive"),
    ({"lr": -0.1}, "lr = -0.1 must be positive"),
    ({"lr": math.nan}, "lr = nan must be positive"),
    ({"lr": math.inf}, "lr = inf must be positive"),
    ({"betas": (1.0, 0.9)}, "betas[0] = 1.0 must lie in [0, 1)"),
    ({"betas": (-0.1, 0.9)}, "betas[0] = -0.1 must lie in [0, 1)"),
    ({"betas": (0.9, 1.0)}, "betas[1] = 1.0 must lie in [0, 1)"),
    ({"betas": (0.9, math.nan)}, "betas[1] = nan must lie in [0, 1)"),
    ({"betas": (0.9,)}, "betas = (0.9,) must be two numbers"),
    ({"betas": (0.9, 0.9, 0.9)}, "betas = (0.9, 0.9, 0.9) must be two numbers"),
    ({"eps": -1e-8}, "eps = -1e-08 must not be negative"),
    ({"eps": math.nan}, "eps = nan must not be negative"),
    ({"weight_decay": -0.1}, "weight_decay = -0.1 must not be negative"),
    ({"weight_decay": math.inf}, "weight_decay = inf must not be negative"),
]
BAD_CLIPPED = [
    ({"clip_norm": 0.0}, "clip_norm = 0.0 must be positive"),
    ({"clip_norm": math.nan}, "clip_norm = nan must be positive"),
    ({"lrd": 0.0}, "lrd = 0.0 must be positive"),
    ({"lrd": math.inf}, "lrd = inf must be positive"),
]


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [(kind, *bad) for kind in KINDS for bad in BAD] + [(er.ClippedAdam, *x) for x in BAD_CLIPPED],
)
def test_bad_setting(kind, setting, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(**setting)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", [{"lr": "0.1"}, {"eps": None}, {"betas": (0.9, "x")}], ids=str)
def test_setting_of_a_wrong_type(kind, setting):
    (name,) = setting
    with pytest.raises(TypeError, match=name):
        kind(**setting)
