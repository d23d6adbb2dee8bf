"""Our Adam against torch.optim.Adam, our ClippedAdam against Pyro's, over 10,000 steps.

Both sides see the same gradients, which do not depend on the parameters: dense at many scales,
sparse, of mixed scales, of constant sign, and zero. They agree to 1e-12 of a parameter, or of the
distance it has gone. Weight decay makes the parameters matter, and is kept small: a parameter with
nothing but decay jitters about zero under Adam, and strong decay makes its rounding errors grow.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

import elbo_ref as er
from tiers import few

pytestmark = pytest.mark.live
STEPS = 10_000

ADAMS = {
    "default": er.Adam(),
    "betas": er.Adam(lr=0.1, betas=(0.5, 0.9)),
    "weight decay": er.Adam(weight_decay=0.01),
    "amsgrad": er.Adam(lr=0.01, amsgrad=True),
    "all": er.Adam(0.05, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.01, amsgrad=True),
}
CLIPPED_ADAMS = {
    "default": er.ClippedAdam(),
    "lrd": er.ClippedAdam(lr=0.1, lrd=0.999),
    "clip norm": er.ClippedAdam(lr=0.01, clip_norm=0.1),
    "weight decay": er.ClippedAdam(weight_decay=0.01),
    "all": er.ClippedAdam(
        0.05, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.01, clip_norm=1.0, lrd=0.9995
    ),
}


@pytest.fixture(scope="module")
def gradients():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((STEPS, 8))
    sparse = dense[:, :2] * (rng.random((STEPS, 2)) < 0.01)
    mixed = dense[:, :2] * 10.0 ** rng.uniform(-12, 12, (STEPS, 2))
    scales = [1.0, 1e100, 1e-100, 1e3, 1e-3, 1e-8, 1e-5, 1e10]
    return np.hstack([dense * scales, sparse, mixed, np.abs(dense[:, :1]), 0 * dense[:, :1]])


def ours(optimizer, gradients):
    x = np.linspace(-2.0, 3.0, gradients.shape[1])
    state, rows = optimizer.init(x), []
    for gradient in gradients:
        x, state = optimizer.update(state, x, gradient)
        rows.append(x)
    return np.array(rows)


def theirs(torch, make, gradients):
    x = torch.linspace(-2.0, 3.0, gradients.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer, rows = make([x]), []
    for gradient in torch.tensor(gradients):
        x.grad = gradient.clone()
        optimizer.step()
        rows.append(x.detach().numpy().copy())
    return np.array(rows)


def error(found, wanted):
    """The largest difference, relative to a parameter or the distance it has gone."""
    gone = np.cumsum(np.abs(np.diff(wanted, axis=0, prepend=wanted[:1])), axis=0)
    return np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), gone))


def check(torch, make, gradients, optimizer, wrong):
    """`optimizer` follows, and so is told apart from `wrong`, the negative control."""
    wanted = theirs(torch, lambda x: make(x, **asdict(optimizer)), gradients)
    assert error(ours(optimizer, gradients), wanted) < 1e-12
    first = slice(500)
    assert error(ours(wrong, gradients[first]), wanted[first]) > 1e-6


@pytest.mark.parametrize("name", few(ADAMS))
def test_adam_is_pytorchs(torch, gradients, name):
    """Controls: a default setting instead, or for the default eps before the bias correction."""
    optimizer = ADAMS[name]
    wrong = er.ClippedAdam(clip_norm=1e300) if name == "default" else er.Adam(lr=optimizer.lr)
    check(torch, torch.optim.Adam, gradients, optimizer, wrong)


@pytest.mark.parametrize("name", few(CLIPPED_ADAMS))
def test_clipped_adam_is_pyros(torch, pyro, gradients, name):
    """Controls: a default setting instead, or for the default no clamping."""
    optimizer = CLIPPED_ADAMS[name]
    clip_norm = 1e300 if name == "default" else 10.0
    wrong = er.ClippedAdam(lr=optimizer.lr, clip_norm=clip_norm)
    check(torch, pyro.optim.clipped_adam.ClippedAdam, gradients, optimizer, wrong)
