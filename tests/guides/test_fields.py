"""What follows from the fields of each line of the catalogue, as a table; values, and edges."""

import dataclasses

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.distributions.point import POINT
from elbo_ref.guides.constraints import EXP, SOFTPLUS
from elbo_ref.guides.optimum import best_parameters

#        has_prior, has_score, is_elbo, is_point, density_weight, jacobian for a density of c
TABLE = {
    "beta": (True, True, True, False, -1, 0),
    "empty": (True, False, False, False, 1, 0),
    "tied": (True, False, True, False, 0, 0),
    "none": (False, False, False, True, 0, 0),
    "beta_shared": (True, True, True, False, -1, 0),
    "conjugate": (True, False, True, False, 0, 0),
    "conjugate_detached": (True, False, True, False, 0, 0),
    "delta": (True, False, False, True, 0, 0),
    "normal": (True, True, True, False, 0, -1),
    "laplace": (True, False, False, True, 0, 0),
}
OUTCOMES = np.array([[3.0, 0.0, 7.0], [7.0, 4.0, 0.0]])
PRIOR = np.array([[2.0], [5.0]])
EACH = pytest.mark.parametrize("name", TABLE)


@EACH
def test_what_follows_from_the_fields(name):
    guide = guides.find(name)
    flags = guide.has_prior, guide.has_score, guide.is_elbo, guide.is_point
    jacobian = guide.without_jacobian().jacobian
    assert (*flags, guide.density_weight, jacobian) == TABLE[name]
    assert list(map(type, flags)) == [bool] * 4
    assert (guide.without_jacobian() is guide) == (name not in ("normal", "laplace"))
    depends = name in ("conjugate", "conjugate_detached", "laplace")
    assert (guide.on(OUTCOMES) is guide) == (not depends)
    assert guide.under(EXP) is guide
    assert guide.under(SOFTPLUS).positive is SOFTPLUS
    assert (dataclasses.replace(guide, detached=True).density_weight == 0) == (
        name not in ("beta", "beta_shared")
    )


def test_a_density_of_the_logit_is_known_by_both_weights():
    twice = dataclasses.replace(guides.find("normal"), jacobian=1)
    assert twice.without_jacobian().jacobian == 0


@pytest.mark.parametrize("field", ["name", "jacobian"])
def test_a_guide_is_frozen_and_equal_to_itself_alone(field):
    guide = guides.find("beta")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(guide, field, 1)
    assert guide != dataclasses.replace(guide)
    assert "positive" not in repr(guide)


def test_values():
    """The class that ``run.guide`` is, one latent each, also under a prior of each step."""
    prior, logits = er.Beta(2.0, 5.0), np.array([[-1.0, 0.3, 4.0]])
    posterior = er.Beta(2 + OUTCOMES[0], 5 + OUTCOMES[1])
    for name in ("conjugate", "conjugate_detached"):
        assert guides.find(name).value(prior, OUTCOMES) == posterior
    assert guides.find("empty").value(prior, np.zeros((0, 3))) is None
    assert guides.find("tied").value(prior, np.zeros((0, 3))) is prior
    assert guides.find("delta").value(prior, logits) == er.Delta(logits=logits[0])
    assert guides.find("none").value(prior, logits) == er.Parameter(logits=logits[0])
    laplace = guides.find("laplace").on(OUTCOMES)
    c = special.expit(logits[0])
    scale = ((7 + OUTCOMES.sum(axis=0)) * c * (1 - c)) ** -0.5
    got = laplace.value(prior, logits)
    np.testing.assert_allclose(got.arrays(), [logits[0], scale], rtol=1e-14)
    np.testing.assert_allclose(laplace.value(prior, logits + 800.0).scale, 1e100, rtol=1e-14)
    steps = er.Beta([2.0, 3.0], [5.0, 6.0])
    rows = laplace.value(steps, np.stack([logits[0], logits[0]])[None])
    np.testing.assert_allclose(rows.scale[0], got.scale, rtol=1e-14)
    later = ((9 + OUTCOMES.sum(axis=0)) * c * (1 - c)) ** -0.5
    np.testing.assert_allclose(rows.scale[1], later, rtol=1e-14)


@EACH
def test_shapes_of_optimum_and_gradient(name):
    guide = guides.find(name).on(OUTCOMES)
    rows, columns = len(guide.parameter_names), 1 if guide.shared else 3
    best = guide.optimum(PRIOR, OUTCOMES, np.ones(3))
    assert best.shape == (2 if guide.origin == "posterior" else rows, columns)
    own = np.ones((2 if guide.origin == "posterior" else rows, columns))
    source = np.ones((4, 2 if guide.origin != "own" else rows, columns))
    logs = -np.ones((4, 2, columns))
    by_prior, by_own = guide.collect(source, logs, PRIOR, own)
    assert by_prior.shape == (4, 2, columns)
    assert by_own.shape == (4, rows, columns)


def test_an_entry_that_does_not_count_has_some_optimum():
    outcomes, weights = np.array([[3.0, 0.0], [7.0, 0.0]]), np.array([1.0, 0.0])
    guide = dataclasses.replace(guides.find("beta"), prior_weight=0)
    best = guide.optimum(PRIOR, outcomes - 1, weights)
    assert np.isfinite(best).all()
    assert np.isnan(guide.optimum(PRIOR, outcomes - 1, np.ones(2))[:, 1]).all()


@pytest.mark.parametrize("source", [BETA, LOGIT_NORMAL, POINT], ids=["beta", "normal", "point"])
def test_exponents_that_nothing_attains(source):
    """One of them zero; of a point both may be."""
    best = best_parameters(source, np.array([[2.0, 0.0, 3.0, 0.0], [1.0, 2.0, 0.0, 0.0]]))
    assert np.isfinite(best[:, 0]).all()
    assert np.isnan(best[:, 1:3]).all()
    assert (best[0, 3] == 0) if source is POINT else np.isnan(best[:, 3]).all()
    if source is POINT:
        assert best[0, 0] == pytest.approx(np.log(2), rel=1e-15)
