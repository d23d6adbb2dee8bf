"""A recorded run as a loss model: the loss by its class, and the rates of its steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from elbo_ref.guides import GUIDES
from elbo_ref.objectives import RenyiBound
from elbo_ref.recording.replay.check import _rate, _ratio_of_rates
from elbo_ref.recording.replay.trace import _loss, from_numpyro
from recorded import COUNTS, betas, site, stated, trace_of


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


# -- the model of a recording ----------------------------------------------------------------------


def trace(own=((4.0, 8.0, 15.0), (9.0, 6.0, 30.0)), prior=(2.0, 5.0), steps=4, **groups):
    c = np.full((steps, 2, 3), 0.25)
    return trace_of(stated(c, betas(prior, own), **groups))


def test_the_model_of_a_recording():
    """Its counts, guide, loss and parameters of every step; all rows are there."""
    made = trace(header={"loss": {"class": "Trace_ELBO"}})
    model = made.model
    assert (model.counts, model.guide.name, model.loss.name) == (COUNTS, "beta", "trace")
    assert (model.num_particles, model.dtype, model.likelihood) == (2, "float64", "binomial")
    assert (model.batch, model.batch_scale, model.likelihood_weight) == (None, 1.0, 1.0)
    assert (model.numpyro, model.bound, model.constrained) == (False, "each", ("prior", "guide"))
    assert model.prior.shape == (2, 4, 1) and model.guide_parameters.shape == (2, 4, 3)
    np.testing.assert_array_equal(model.guide_parameters[:, 3], [[4, 8, 15], [9, 6, 30]])
    assert (made.num_latents, made.sizes, made.loss, made.vector) == (3, (3,), "trace", "")
    assert made.draws.c.shape == (4, 2, 3)
    np.testing.assert_allclose(made.draws.logit, np.log(1 / 3), rtol=1e-14)


def test_a_bound_has_its_particles_inside():
    made = trace(header={"loss": {"class": "RenyiELBO", "alpha": 0.5}})
    assert (made.model.num_particles, made.model.loss) == (1, RenyiBound(0.5, 2))
    assert made.model.renyi
    plain = trace(header={"loss": {"class": "RenyiELBO", "alpha": 1.0}})
    assert (plain.model.num_particles, plain.model.loss.name) == (2, "trace")
    unknown = trace(header={"loss": {"class": "Mine"}})
    assert (unknown.loss, unknown.model.loss.name) == ("Mine", "trace")


def test_numpyro_has_its_own_bound():
    made = trace(header={"framework": "numpyro"})
    assert (made.model.numpyro, made.model.bound) == (True, "scaled_after")
    assert from_numpyro(made.recording) and not from_numpyro(trace().recording)


def test_a_model_that_exchanges_concentrations_exchanges_their_arguments():
    """Of the prior, of the guide, or of neither where the values are others."""
    made = trace()
    model = made.model
    one, zero = "concentration1", "concentration0"
    for field, owner in (("prior", "prior"), ("guide_parameters", "guide")):
        other = made.under(model._replace(**{field: getattr(model, field)[::-1]}))
        assert other.arguments[f"{owner}.{one}"] is made.arguments[f"{owner}.{zero}"]
        assert other.arguments[f"{owner}.{zero}"] is made.arguments[f"{owner}.{one}"]
        rest = "guide" if owner == "prior" else "prior"
        assert other.arguments[f"{rest}.{one}"] is made.arguments[f"{rest}.{one}"]
        assert other.model is not model and other.draws is made.draws
    for same in (model, model._replace(prior=2 * model.prior)):
        assert made.under(same).arguments == dict(made.arguments)
    symmetric = trace(prior=(2.0, 2.0))
    model = symmetric.model
    other = symmetric.under(model._replace(prior=model.prior[::-1]))
    assert other.arguments == dict(symmetric.arguments)


@pytest.mark.parametrize(
    ("sites", "derivatives"),
    [
        ([site("model", "c")], True),
        ([site("model", "c", reparameterized=True)], True),
        ([site("model", "c", reparameterized=False)], False),
        ([site("model", "c", reparameterized=False), site("guide", "c")], True),
        ([site("model", "c"), site("guide", "c", reparameterized=False)], False),
    ],
)
def test_draws_have_derivatives_in_the_guide_or_without_one_in_the_model(sites, derivatives):
    names = {x["program"]: ((2.0, 5.0) if x["program"] == "model" else (4.0, 9.0)) for x in sites}
    arguments = betas(names["model"], names.get("guide"))
    made = trace_of(stated(np.full((2, 1, 3), 0.25), arguments, sites=sites))
    assert made.reparameterized is derivatives


def test_arguments_with_a_gradient_and_their_rows():
    """In the order of the prior's, then the guide's."""
    gradients = {
        "model.c.concentration0": np.ones((4, 1)),
        "guide.c.concentration1": np.ones((4, 3)),
    }
    named = {"concentration1": ["a"], "concentration0": ["b"]}
    sites = [site("model", "c", sources=named), site("guide", "c", sources=named)]
    made = trace(sites=sites, argument_gradients=gradients)
    assert [(row, role) for row, role, _ in made.learned()] == [
        (1, "prior.concentration0"), (2, "guide.concentration1"),
    ]  # fmt: skip
    assert [g.shape for _, _, g in made.learned()] == [(4, 1), (4, 3)]


def test_something_of_each_latent_at_all_steps():
    made = trace()
    found = made.over_steps(lambda x: np.array([x.prior[0] + 0 * x.outcomes[0], x.outcomes[0]]))
    assert found.shape == (2, 4, 3)
    np.testing.assert_array_equal(found[0], np.full((4, 3), 2.0))
    np.testing.assert_array_equal(found[1], [[3.0, 7.0, 12.0]] * 4)


def test_rates_that_fall_to_nothing():
    assert _ratio_of_rates(rates([0.1, 0.0, 0.0])) == 0.0
