"""A recorded run as a loss model: the loss by its class, and the rates of its steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from elbo_ref.guides import GUIDES
from elbo_ref.recording.replay.check import _rate, _ratio_of_rates
from elbo_ref.recording.replay.trace import _loss


def noted(framework="pyro", **loss):
    return SimpleNamespace(header={"loss": loss, "framework": framework} if loss else {})


LOSSES = {
    "nothing": ({}, "trace", None),
    "a class": ({"class": "Trace_ELBO"}, "trace", None),
    "a subclass": (
        {"class": "Mine", "bases": ["Other", "TraceMeanField_ELBO"]}, "trace_mean_field", None
    ),
    "none that is known": ({"class": "Mine", "bases": ["Other"]}, "Mine", None),
    "a bound": ({"class": "RenyiELBO", "alpha": 0.5}, "renyi", 0.5),
    "a bound of order one": ({"class": "RenyiELBO", "alpha": 1.0}, "trace", None),
    "a bound of order nought": ({"class": "RenyiELBO", "alpha": 0}, "renyi", 0.0),
    "a bound without an order": ({"class": "RenyiELBO"}, "trace", None),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_losses_by_their_classes(case):
    loss, name, alpha = LOSSES[case]
    assert _loss(noted(**loss), GUIDES["beta"]) == (name, alpha)


@pytest.mark.parametrize("guide", ["beta", "normal"])
@pytest.mark.parametrize("framework", ["pyro", "numpyro"])
def test_numpyro_counts_the_jacobian_of_a_normal_guide(framework, guide):
    for kind, name in (("TraceMeanField_ELBO", "trace_mean_field"), ("Trace_ELBO", "trace")):
        found = _loss(noted(framework, **{"class": kind}), GUIDES[guide])
        counted = (framework, guide) == ("numpyro", "normal")
        assert found == ("trace" if counted else name, None)


def rates(*of_each):
    return SimpleNamespace(lr={str(i): np.array(x, float) for i, x in enumerate(of_each)})


def test_the_factor_by_which_rates_fall():
    """In every step alike, to a thousandth; of the first parameter whose rates are all known."""
    assert _ratio_of_rates(rates([0.1, 0.09, 0.081])) == pytest.approx(0.9)
    assert _ratio_of_rates(rates([0.1, 0.2])) == 2.0
    assert _ratio_of_rates(rates([np.nan, 0.1], [0.1, 0.05])) == 0.5
    for steady in ([0.1, 0.1, 0.1], [0.1], [0.1, 0.09, 0.09], [0.1, np.nan]):
        assert _ratio_of_rates(rates(steady)) == 1.0
    assert _ratio_of_rates(rates()) == 1.0
    for off, alike in ((0.9e-3, True), (1.1e-3, False)):
        last = 0.9 * (1 + off)
        found = _ratio_of_rates(rates([1.0, 0.9, 0.9 * last]))
        assert found == (pytest.approx(last) if alike else 1.0)


def test_the_rate_of_the_last_step():
    """The largest that is known: another parameter may be held by a rate of 0."""
    assert _rate(rates([0.1, 0.05], [0.1, 0.2])) == 0.2
    assert _rate(rates([0.1, np.nan], [np.nan, 0.2])) == 0.2
    assert _rate(rates([0.1, np.inf])) is None and _rate(rates()) is None
