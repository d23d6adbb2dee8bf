"""A probability at a point, as a value."""

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.distributions.point import POINT


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "Parameter takes exactly one of probs and logits"),
        (
            {"probs": 0.5, "logits": 0.0},
            TypeError,
            "Parameter takes exactly one of probs and logits",
        ),
        ({"probs": [0.5, 1.0]}, ValueError, "probs[1] = 1.0 must be inside (0, 1)"),
        ({"probs": -0.5}, ValueError, "probs = -0.5 must lie in [0, 1]"),
        ({"logits": [0.0, np.inf]}, ValueError, "logits[1] = inf is not finite"),
    ],
)
def test_a_parameter_that_is_no_probability(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        er.Parameter(**arguments)


def test_a_parameter_as_a_value():
    one, other = er.Parameter(probs=0.25), er.Parameter(logits=special.logit(0.25))
    assert (one, hash(one), one.shape, repr(one)) == (other, hash(other), (), repr(other))
    with pytest.raises(FrozenInstanceError):
        one.logits = 1.0
    assert one != er.Parameter(probs=0.75)
    assert one != 0.25
    assert one.mean == pytest.approx(0.25, rel=1e-15)
    far = er.Parameter(logits=[-700.0, 700.0])
    c, rest = POINT.center(far.logits[None]).pair
    assert c[0] == rest[1] > 0
