"""Another model, or a guide of another family, by the names in a store and of classes."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.class_names import OTHER_GUIDES
from elbo_ref.crosscheck.other_models import shown_by_names

COUNTS = er.Counts([3, 11, 0], [10, 20, 6])
SHOWN = {
    "hyperprior": ["AutoNormal.locs.kappa", "AutoNormal.locs.p", "AutoNormal.scales.p"],
    "two sites": ["AutoNormal.locs.c_1", "AutoNormal.locs.d_1"],
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
