"""Another model, or a guide of another family, by the names in a store and of classes."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.claims import UnknownRoleError
from elbo_ref.crosscheck.class_names import OTHER_GUIDES
from elbo_ref.crosscheck.other_models import _unit, prior_of_another_model, shown_by_names
from elbo_ref.io.parameters import read_parameters
from tiers import few

COUNTS = er.Counts([3, 11, 0], [10, 20, 6])
SHOWN = {
    "hyperprior": ["AutoNormal.locs.kappa", "AutoNormal.locs.p", "AutoNormal.scales.p"],
    "two sites": ["AutoNormal.locs.c_1", "AutoNormal.locs.d_1"],
    "three sites": ["AutoNormal.locs.a", "AutoNormal.locs.d", "AutoNormal.locs.c"],
    "state_dict": ["locs.kappa_unconstrained", "locs.p_unconstrained"],
    "in a list": ["AutoGuideList.0.locs.a", "AutoGuideList.1.locs.b"],
    "points": ["AutoDelta.kappa", "AutoDelta.p"],
    "numpyro": ["kappa_auto_loc", "p_auto_loc", "p_auto_scale"],
    "correlated": ["guide.scale_tril", "guide.loc"],
    "low rank": ["auto_cov_factor", "auto_loc"],
    "family": ["AutoStructured.locs.p"],
}
PLAIN = {
    "one site": ["AutoNormal.locs.p", "AutoNormal.scales.p", "a", "b"],
    "a loop": ["AutoNormal.locs.c_0", "AutoNormal.locs.c_1", "AutoNormal.locs.c_12"],
    "state_dict": ["locs.p", "scales.p_unconstrained"],
    "numpyro": ["p_auto_loc", "p_auto_scale", "a"],
    "vector": ["AutoDiagonalNormal.loc", "AutoDiagonalNormal.scale"],
    "by hand": ["loc", "scale", "alpha", "beta", "q_locs"],
}


@pytest.mark.parametrize("kind", SHOWN)
def test_names_that_show_another_model(kind):
    """Outside, before roles are asked for."""
    store = dict.fromkeys(SHOWN[kind], np.ones(3))
    verdict = er.cross_check(COUNTS, store, guide="AutoNormal", evaluations=[1.0, 2.0])
    assert (verdict.outcome, verdict.exit_code) == ("outside_model", 6)


@pytest.mark.parametrize("kind", PLAIN)
def test_negative_control_names_of_one_latent_each(kind):
    assert shown_by_names(PLAIN[kind]) == ()


@pytest.mark.parametrize("name", OTHER_GUIDES)
def test_guides_of_other_families_by_their_class(name):
    for text in (name, f"pyro.infer.autoguide.{name}"):
        verdict = er.cross_check(COUNTS, {"a": 1.0}, guide=text)
        assert verdict.exit_code == 6
        assert name in verdict.answer


def test_a_class_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="guide = 'AutoMatic' is not one of"):
        er.cross_check(COUNTS, {"a": 1.0}, guide="AutoMatic")


LATENTS = {"AutoNormal.locs.z": np.zeros(3), "AutoNormal.scales.z": np.ones(3)}
PRIORS = {
    "a normal": {"mu": -1.2, "sigma": 0.7},
    "a normal by other names": {"loc": 2.0, "scale_tau": 0.7},
    "covariates": {"w0": 0.3, "w1": -0.1, "size": 4.0},
    "a regression": {"intercept": 0.3, "slope": -0.1},
}
MAY_BE_BETA = {
    "a mean": {"mu": 0.3, "sigma": 0.7},
    "nobody knows": {"x": 0.3, "y": 0.7},
    "letters": {"a": 1.0, "b": 2.0, "mu": -1.0, "sigma": 1.0},
}


@pytest.mark.parametrize("kind", PRIORS)
def test_priors_that_are_not_of_two_concentrations(kind):
    store = {**PRIORS[kind], **LATENTS}
    verdict = er.cross_check(COUNTS, store, guide="AutoNormal", evaluations=[1.0, 2.0])
    assert verdict.exit_code == 6
    assert f"{next(iter(PRIORS[kind]))}, " in verdict.answer


@pytest.mark.parametrize("kind", MAY_BE_BETA)
def test_negative_control_priors_that_may_be_beta_are_asked_for(kind):
    store = {**MAY_BE_BETA[kind], **LATENTS}
    with pytest.raises(ValueError, match="does not say which parameter is prior") as refused:
        er.cross_check(COUNTS, store, guide="AutoNormal", evaluations=[1.0, 2.0])
    assert ("is another model" in str(refused.value)) is True


ROLES = {f"{owner}.concentration{i}": f"{owner}{i}" for owner in ("prior", "guide") for i in (1, 0)}
OWN = np.array((2.0, 3.0))[:, None] + [COUNTS.successes, COUNTS.failures]
PARAMS = {"prior1": 2.0, "prior0": 3.0, "guide1": OWN[0], "guide0": OWN[1]}
VALUE = -er.log_evidence(er.Beta(2.0, 3.0), COUNTS)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("more", "code"),
    [("gate", 6), ("hyper_mean", 6), ("w1", 6), ("other_a", 4), ("scale", 4), ("", 4)],
)
def test_losses_that_nothing_explains_beside_a_part_of_another_model(more, code):
    """Unused, a concentration may be that of another run, a scale that of another guide."""
    store = {**PARAMS, **({more: 0.2} if more else {})}
    found = [VALUE * x for x in (1.31, 1.07, 0.83, 1.43, 1.19)]
    verdict = er.cross_check(COUNTS, store, names=ROLES, evaluations=found)
    assert verdict.exit_code == code
    assert ("another model than the Beta-Binomial" in verdict.answer) is True


@pytest.mark.parametrize("more", few(["gate", "hyper_mean", "w1"]))
def test_negative_control_losses_that_fit_need_no_other_model(more):
    verdict = er.cross_check(COUNTS, {**PARAMS, more: 0.2}, names=ROLES, evaluations=[VALUE] * 5)
    assert verdict.genuine
    (unused,) = (x for x in verdict if x.name == "unused")
    assert unused.of == more and "it may be another model" in unused.quantity


@pytest.mark.thorough
def test_a_guide_is_guessed_beside_a_prior_of_another_name():
    """A role is taken by the name that says whose it is."""
    store = {"mu": 0.4, "size": 5.0, **LATENTS}
    names = {"prior.mean": "mu", "prior.concentration": "size"}
    verdict = er.cross_check(COUNTS, store, guide="AutoNormal", names=names, evaluations=[1.0])
    assert verdict.exit_code in (3, 4, 5)


def test_a_probability_is_neither_zero_nor_one():
    for value, inside in ((0.0, False), (1e-300, True), (0.5, True), (1.0, False)):
        assert _unit(np.array([0.3, value])) is inside


@pytest.mark.parametrize(
    ("names", "words"),
    [(["w0"], "w0 is named as weights"), (["w0", "w1"], "w0, w1 are named as weights")],
)
def test_weights_in_place_of_a_prior(names, words):
    left = {name: np.array(0.3) for name in names}
    unknown = UnknownRoleError("", left, ["prior"])
    (found,) = prior_of_another_model(unknown, read_parameters(left), 3)
    assert words in found.quantity
    assert (
        prior_of_another_model(UnknownRoleError("", left, ["guide"]), read_parameters(left), 3)
        == ()
    )


def test_sites_are_listed_with_the_last_of_them():
    (found,) = shown_by_names(SHOWN["three sites"])
    assert "latent sites, a, c and d, where" in found.quantity
