"""The grammar of `names=`: what it takes, and what it refuses in words."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.crosscheck.expressions import of_each_step, parse, role_of, split_pairs

STORE = {
    "ab": np.arange(1.0, 7.0).reshape(2, 3),
    "log_a": np.array([0.0, 1.0]),
    "odd name[0]": np.array(5.0),
    "farm/a": np.array(2.0),
    "exp(x)": np.array(3.0),
}

VALUES = {
    "ab": STORE["ab"],
    "ab[0]": [1.0, 2.0, 3.0],
    "ab[:,0]": [1.0, 4.0],
    "ab[..., -1]": [3.0, 6.0],
    "ab[1, 2]": 6.0,
    "exp(log_a)": np.exp([0.0, 1.0]),
    "softplus( exp(log_a[1]) )": np.log1p(np.exp(np.e)),
    "sigmoid(log_a)": [0.5, 1 / (1 + np.exp(-1.0))],
    "log(ab[0])": np.log([1.0, 2.0, 3.0]),
    "odd name[0]": 5.0,
    "farm/a": 2.0,
    "exp(x)": 3.0,
    "2.5": 2.5,
    "exp(0)": 1.0,
}


@pytest.mark.parametrize("text", VALUES)
def test_values(text):
    found = parse(text, STORE).of(STORE)
    assert np.allclose(found, VALUES[text], rtol=1e-15, atol=0)
    assert found.shape == np.shape(VALUES[text])


REFUSED = {
    "z": "there is no parameter 'z'; the store has: ab, exp",
    "z[0]": "there is no parameter 'z'",
    "gamma(ab)": "'gamma' in 'gamma(ab)' is none of exp, log",
    "ab + 1": "'ab + 1' is not a name, a row such as ab[0]",
    "ab[x]": "'x' in 'ab[x]' is no integer",
    "ab[...,...]": "more than one ...",
    "exp(ab": "is not a name",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refusals(text):
    with pytest.raises(ValueError, match=r"^names: ") as caught:
        parse(text, STORE)
    assert REFUSED[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_not_there():
    with pytest.raises(ValueError, match=r"ab has shape \(2, 3\): there is no such row as ab\[2\]"):
        parse("ab[2]", STORE).of(STORE)


def test_functions_around_roles():
    assert role_of("log(prior.mean)") == ("prior.mean", ("exp",))
    assert role_of("logit( prior.mean )") == ("prior.mean", ("sigmoid",))
    assert role_of("guide.loc") == ("guide.loc", ())
    with pytest.raises(ValueError, match="'softplus' around the role"):
        role_of("softplus(prior.mean)")


def test_commas_in_brackets_do_not_separate():
    assert split_pairs("a=ab[:,0],b=ab[:, 1]") == ["a=ab[:,0]", "b=ab[:, 1]"]


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        ("ab[0]", (60, 2), "ab[:,0]"),
        ("ab[-1]", (61, 2), "ab[:,-1]"),
        ("exp(ab[1])", (60, 2, 5), "exp(ab[:,1])"),
        ("ab[1, 0]", (60, 2, 5), "ab[:,1, 0]"),
        ("ab[0]", (60,), "ab[0]"),
        ("ab[0]", (59, 2), "ab[0]"),
        ("ab[:,0]", (60, 2), "ab[:,0]"),
        ("ab", (60, 2), "ab"),
        ("zz[0]", (60, 2), "zz[0]"),
        ("2.5", (60, 2), "2.5"),
    ],
)
def test_a_row_of_a_history_is_that_of_each_step(text, shape, wanted):
    """Of sixty losses, or one entry more; one loss has no history."""
    values = {"ab": np.zeros(shape)}
    assert of_each_step(text, values, 60) == wanted
    assert of_each_step(text, {"ab": np.zeros((1, 2))}, 1) == text
