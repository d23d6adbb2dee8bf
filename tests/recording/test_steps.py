"""What both recorders note of a step, and the recording that the steps make."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from elbo_ref.recording.steps import (
    SiteNotes,
    base_distribution,
    import_framework,
    make_recording,
)


def notes_of(c, k=(3.0, 7.0)):
    """A latent from a Beta, drawn twice, and rows observed from a Binomial."""
    notes, flat = SiteNotes(), np.ravel
    beta = SimpleNamespace(concentration1=np.array([2.0]), concentration0=np.array([5.0]))
    binomial = SimpleNamespace(total_count=np.array([10.0, 9.0]))
    notes.draws["c"] = [np.array([c, c]), np.array([c / 2, c])]
    site = {"flat": flat, "scale": 1.5}
    notes.add_site("model", "c", "Beta", beta, value=c, observed=False, **site)
    notes.add_site("model", "k", "Binomial", binomial, value=np.array(k), observed=True, **site)
    notes.add_batch("rows", np.array([0, 2]), 3)
    return notes


def steps(*rows):
    return [{"losses": 1.0, **notes.groups(particles=1)} for notes in rows]


def test_sites_are_noted_by_program_and_name():
    notes = notes_of(0.25)
    assert notes.sites["model", "k"] == {
        "program": "model", "name": "k", "class": "Binomial", "observed": True, "scale": 1.5
    }  # fmt: skip
    assert set(notes.arguments) == {"model.c.concentration1", "model.c.concentration0"}
    assert set(notes.observed) == {"k.value", "k.total_count", "rows.index"}
    assert notes.plates == {"rows": 3}


def test_draws_of_several_runs_are_particles():
    groups = notes_of(0.25).groups(particles=1)
    np.testing.assert_array_equal(groups["draws"]["c"], [[0.25, 0.25], [0.125, 0.25]])
    assert notes_of(0.25).groups(particles=2)["draws"]["c"].shape == (4, 1)


def test_steps_make_a_recording():
    made = make_recording(steps(notes_of(0.25), notes_of(0.5)), {"framework": "mine"})
    assert made.num_steps == 2 and made.draws["c"].shape == (2, 2, 2)
    assert made.observed["k.value"].shape == (1, 2)  # the same in all steps
    other = make_recording(steps(notes_of(0.25), notes_of(0.5, k=(3.0, 8.0))), {})
    assert other.observed["k.value"].shape == (2, 2)


def test_steps_that_differ_are_refused():
    first, second = steps(notes_of(0.25), notes_of(0.5))
    second["draws"] = {"d": second["draws"]["c"]}
    with pytest.raises(ValueError, match=r"draws: '[cd]' is not in all steps: see step 1"):
        make_recording([first, second], {})
    second["draws"] = {"c": np.zeros((3, 2))}
    with pytest.raises(ValueError, match=r"'c' has the shapes .* in different steps"):
        make_recording([first, second], {})


def test_wrapped_distributions():
    class Independent:
        base_dist = SimpleNamespace(name="inner")

    assert base_distribution(Independent()).name == "inner"
    plain = SimpleNamespace()
    assert base_distribution(plain) is plain


def test_a_framework_that_is_not_installed():
    assert import_framework("json", function="f", package="p")[0].dumps(1) == "1"
    with pytest.raises(ModuleNotFoundError, match="f needs no_such_module: pip install p"):
        import_framework("no_such_module", function="f", package="p")
