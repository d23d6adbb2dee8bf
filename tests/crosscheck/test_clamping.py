"""Ends of a Beta that draws are clamped at, or that none comes near."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.crosscheck.clamping import form_at_nodes, needs_nodes
from elbo_ref.crosscheck.cumulants import loss_cumulants
from elbo_ref.crosscheck.distribution import loss_distribution, sampled_distribution
from elbo_ref.crosscheck.linear_form import LinearForm
from loss_models import model_of


def clamped_model(own, counts, losses=41, **fields):
    """Losses of one set of parameters in single precision."""
    fields = {"dtype": "float32", "clamped": True, "steps": losses} | fields
    return model_of("beta", counts, own, **fields)


@pytest.mark.parametrize("up", [True, False])
def test_an_end_that_no_draw_comes_near_is_not_clamped(up):
    """Beta(17, 0.5) is clamped at 1. At 0, e^-300 of its mass would be all of K(-4)."""
    successes, own = (18, [[17.0], [0.5]]) if up else (0, [[0.5], [17.0]])
    model = clamped_model(own, er.Counts([successes], [18]))
    assert needs_nodes(LinearForm.of(model)).all()
    for s in (-7.0, -4.0, -1.0):
        got, wanted = (
            loss_cumulants(LinearForm.of(x)).at(np.full(41, s))
            for x in (model, model._replace(clamped=False))
        )
        np.testing.assert_allclose(got, wanted, rtol=1e-3)


def test_the_density_of_losses_some_of_whose_draws_are_clamped():
    """By a million draws, within a quarter of a nat."""
    counts = er.Counts([18, 4, 9], [18, 11, 30])
    own = [[16.9, 5.3, 8.4], [0.83, 6.1, 17.9]]
    model = clamped_model(own, counts, particles=3)
    distribution, _ = loss_distribution(model, np.random.default_rng(0))
    drawn = sampled_distribution(model.at(np.array([0])), np.random.default_rng(1), most=1_000_000)
    x = np.quantile(drawn._draws[0], np.linspace(0.02, 0.98, 41))
    wanted = [drawn.log_density(each)[0] for each in x[:, None]]
    np.testing.assert_allclose(distribution.log_density(x), wanted, atol=0.25)


def test_a_quadrature_that_is_not_affordable_is_not_taken():
    size = 50_000
    counts = er.Counts(np.zeros(size, int), 6)
    model = clamped_model(np.full((2, size), 0.01), counts, losses=2)
    assert not needs_nodes(LinearForm.of(model)).any()
    fewer = model._replace(
        counts=er.Counts(np.zeros(9, int), 6), guide_parameters=model.guide_parameters[..., :9]
    )
    assert needs_nodes(LinearForm.of(fewer)).all()


@pytest.mark.parametrize("latents", [1, 3])
@pytest.mark.parametrize("up", [True, False])
def test_an_end_is_clamped_where_draws_are_expected_at_it(latents, up):
    """A hundredth of a draw, in all losses, is shared by the latents and their two ends."""
    far = np.full((1, latents, 1), 90.0 if up else -90.0)
    for share, clamped in ((0.97, False), (1.03, True)):
        wanted = share * 1e-2 / (2 * latents) / (7 * 5)  # of 5 losses of 7 particles
        size = float(special.btdtria(wanted, 4.0, 2.0**-23))
        own = np.tile([[4.0], [size]] if up else [[size], [4.0]], (1, latents))
        counts = er.Counts([2] * latents, [6] * latents)
        model = clamped_model(own, counts, losses=5, particles=7)
        chosen = np.ones(latents, bool)
        seen, free = (
            form_at_nodes(LinearForm.of(x), chosen, far)
            for x in (model, model._replace(clamped=False))
        )
        assert (seen == free).all() != clamped, share


@pytest.mark.parametrize("latents", [1, 4])
@pytest.mark.parametrize(("share", "needed"), [(0.97, False), (1.03, True)])
def test_latents_share_a_hundredth_of_a_clamped_draw(latents, share, needed):
    """Fewer in all, and none is taken to be clamped."""
    size = float(special.btdtria(share * 1e-2 / latents / (7 * 5), 4.0, 2.0**-23))
    counts, own = er.Counts([2] * latents, [6] * latents), np.tile([[size], [4.0]], (1, latents))
    form = LinearForm.of(clamped_model(own, counts, losses=5, particles=7))
    assert (needs_nodes(form) == needed).all()


@pytest.mark.parametrize("loc", [-0.7, 0.9])
def test_a_normal_guide_sees_its_draws_as_the_run_does(loc):
    """At both ends, wherever it stands: no draw of it is known to be rare."""
    given = model_of("normal", er.Counts(3, 10), [[loc], [0.5]], dtype="float32", clamped=True)
    form, logit = LinearForm.of(given), np.array([[[-30.0, -20.0, 0.0, 20.0, 30.0]]])
    arrays = [x[..., None] for x in (form.tilt, form.likelihood, form.parameters)]
    found = form_at_nodes(form, np.ones(1, bool), logit)
    np.testing.assert_array_equal(found, form.at_draws(logit, *arrays))
    free = form._replace(model=given._replace(clamped=False))
    assert (found != free.at_draws(logit, *arrays)).sum() >= 2
