"""Objectives by name and by value: settings show settings alone, and find their estimator."""

from dataclasses import asdict, fields
from typing import get_args

import pytest

import elbo_ref as er
from elbo_ref.objectives import OBJECTIVES, LossValue, Objective, find

SETTINGS = {"Renyi": er.Renyi(0.5, 10), "ScoreFunction": er.ScoreFunction(baseline=-2.5)}


def public(value):
    return {name for name in dir(value) if not name.startswith("_")}


def test_every_kind_of_settings_is_here():
    assert {kind.__name__ for kind in get_args(LossValue)} == set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_show_settings_alone(name):
    """Under TAB stand the fields and the name; the estimator, a control, has more."""
    value = SETTINGS[name]
    assert public(value) == {field.name for field in fields(value)} | {"name"}
    assert "step" in public(find(value))


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_find_their_estimator(name):
    """With the same settings, by value, whether found by value, by name or found before."""
    value = SETTINGS[name]
    found = find(value)
    assert isinstance(found, Objective) and found.name == value.name
    assert asdict(found) == asdict(value)
    assert find(value) == found and find(found) is found
    assert find(type(value)()) == OBJECTIVES[value.name] != found
