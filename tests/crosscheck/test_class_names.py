"""Class names of Pyro and NumPyro for guides, losses and optimizers."""

from __future__ import annotations

import pytest

from elbo_ref.crosscheck.class_names import (
    GUIDE_CLASSES,
    LOSS_CLASSES,
    guide_name,
    loss_name,
    optimizer_name,
)
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES


def test_every_class_has_a_name_here():
    assert {guide_name(name) for name in GUIDE_CLASSES} <= set(GUIDES)
    assert {loss_name(name) for name in LOSS_CLASSES} <= set(OBJECTIVES)


def test_own_names_stay():
    assert [guide_name(name) for name in GUIDES] == list(GUIDES)
    assert [loss_name(name) for name in OBJECTIVES] == list(OBJECTIVES)


def test_spelling_does_not_matter():
    assert guide_name("pyro.infer.autoguide.AutoDelta") == "delta"
    assert loss_name("trace_elbo") == loss_name("Trace-ELBO") == "trace"
    assert optimizer_name("adam") == optimizer_name("Adam") == "adam"


@pytest.mark.parametrize("find", [guide_name, loss_name, optimizer_name])
def test_unknown_names(find):
    with pytest.raises(ValueError, match="is not one of"):
        find("AutoMatic")
