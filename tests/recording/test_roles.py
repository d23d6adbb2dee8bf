"""Which guide it was and which parameter is whose, by the sites of small recordings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.roles import Candidates, guide_with, latent_site, make_trace
from recorded import COUNTS, K, N

STEPS = 4
A, B = np.linspace(2.0, 3.0, STEPS), np.linspace(5.0, 4.0, STEPS)
QA, QB = (x + np.linspace(0, 1, STEPS)[:, None] for x in ([4.0, 8.0, 15.0], [9.0, 6.0, 30.0]))
OWN = {"beta": (QA, QB), "beta_shared": (QA[:, :1], QB[:, :1]), "tied": (A[:, None], B[:, None])}
OWN |= {"conjugate": (A[:, None] + K, B[:, None] + N - K), "empty": None}


def site(program, name, kind):
    return {"program": program, "name": name, "class": kind, "observed": False}


def recording(own, parameters=None, **changed):
    """Draws of one site from Beta(A, B), and of the guide's with these concentrations."""
    parameters = {"x": A, "y": B} if parameters is None else parameters
    arguments = {
        "model.c.concentration1": A[:, None],
        "model.c.concentration0": B[:, None],
    }
    sites = [site("model", "c", "Beta")]
    if own is not None:
        arguments |= {f"guide.c.concentration{i}": x for i, x in zip((1, 0), own, strict=True)}
        sites.append(site("guide", "c", "Beta"))
    groups = dict.fromkeys(("before", "constrained", "after", "gradients"), parameters)
    made = Recording(
        losses=np.zeros(STEPS),
        draws={"c": np.full((STEPS, 2, 3), 0.25)},
        arguments=arguments,
        header={"sites": sites},
        **groups,
    )
    return replace(made, **changed)


@pytest.mark.parametrize("kind", OWN)
def test_the_guide_follows_from_its_sites(kind):
    own = OWN[kind]
    named = {"qa": own[0], "qb": own[1]} if kind.startswith("beta") else {}
    made = recording(own, {"x": A, "y": B, **named})
    candidates = Candidates.of(made, None, COUNTS)
    assert candidates.guide.name == kind
    assert candidates.site == latent_site(made) == "c"


def test_a_posterior_of_other_counts_is_a_guide_of_its_own():
    made = recording(OWN["conjugate"])
    assert Candidates.of(made, None, er.Counts(K, N + 1)).guide.name == "beta"


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        ({"c_unconstrained": "Normal", "c": "Delta"}, "normal"),
        ({"c_unconstrained": "Delta", "c": "Delta"}, "laplace"),
        ({"c": "Delta"}, "delta"),
    ],
)
def test_automatic_guides(classes, name):
    sites = [site("model", "c", "Beta"), *(site("guide", *pair) for pair in classes.items())]
    made = recording(None, header={"sites": sites})
    assert Candidates.of(made, None, COUNTS).guide.name == name


def test_a_guide_of_another_family_is_refused():
    made = recording(
        None, header={"sites": [site("model", "c", "Beta"), site("guide", "c", "Gamma")]}
    )
    with pytest.raises(ValueError, match="samples 'c' from a Gamma, which is not replayed"):
        Candidates.of(made, None, COUNTS)


def test_roles_follow_from_arguments_not_from_names():
    parameters = {"beta": A, "alpha": B, "z": QA, "y": QB}
    trace = make_trace(Candidates.of(recording((QA, QB), parameters), None, COUNTS), COUNTS)
    assert trace.roles.names == {
        "prior.concentration1": "beta",
        "prior.concentration0": "alpha",
        "guide.concentration1": "z",
        "guide.concentration0": "y",
    }
    np.testing.assert_array_equal(trace.roles.prior[:, :, 0], (A, B))
    np.testing.assert_array_equal(trace.guide_parameters, (QA, QB))
    assert not trace.computed and not trace.without_role
    assert [row for row, _, _ in trace.learned()] == [0, 1, 2, 3]


def test_an_argument_that_is_no_parameter_is_computed():
    trace = make_trace(Candidates.of(recording((QA, QB), {"x": A, "y": B}), None, COUNTS), COUNTS)
    assert trace.computed == ("guide.concentration1", "guide.concentration0")
    held = recording((np.ones_like(QA), np.ones_like(QA)))
    assert not make_trace(Candidates.of(held, None, COUNTS), COUNTS).computed


def test_parameters_that_are_the_same_in_all_steps_are_named():
    made = recording(None, {"x": A, "same": A, "y": B})
    with pytest.raises(ValueError, match="x, same are the same in all steps"):
        make_trace(Candidates.of(made, None, COUNTS), COUNTS)


def test_names_against_the_sites_are_exchanged():
    names = {"prior.concentration1": "y", "prior.concentration0": "x"}
    right = dict(zip(names, "xy", strict=True))
    candidates = Candidates.of(recording(None), None, COUNTS)
    matched, findings = candidates.match_names(names, None)
    assert matched == right and [f.name for f in findings] == ["swapped_concentrations"]
    assert candidates.match_names(right, None) == (right, [])


@pytest.mark.parametrize(
    ("loss", "header", "wanted"),
    [
        (None, {"class": "TraceGraph_ELBO"}, "trace_graph"),
        (None, {"class": "Mine", "bases": ["Mine", "Trace_ELBO"]}, "trace"),
        (None, {"class": "Mine", "bases": ["object"]}, "Mine"),
        (None, None, "trace"),
        ("trace_enum", {"class": "Trace_ELBO"}, "trace_enum"),
        (None, {"class": "RenyiELBO", "alpha": 0.5}, "renyi"),
        (None, {"class": "RenyiELBO"}, "RenyiELBO"),
    ],
)
def test_the_loss_follows_from_its_class(loss, header, wanted):
    made = recording(None)
    made = replace(made, header={**made.header, "loss": header})
    trace = make_trace(Candidates.of(made, None, COUNTS), COUNTS, loss=loss)
    assert trace.loss == wanted and (trace.bound is not None) == (wanted == "renyi")


def test_a_bound_needs_its_alpha():
    with pytest.raises(ValueError, match="does not say the alpha of the bound"):
        make_trace(Candidates.of(recording(None), None, COUNTS), COUNTS, loss="renyi")


def test_guides_are_found_by_their_fields():
    assert guide_with(origin="prior", source_weight=0).name == "empty"
    assert guide_with(origin="posterior", detached=True).name == "conjugate_detached"


def test_a_trace_with_concentrations_exchanged():
    trace = make_trace(Candidates.of(recording((QA, QB)), None, COUNTS), COUNTS)
    other = trace.swapped("prior")
    np.testing.assert_array_equal(other.roles.prior[:, :, 0], (B, A))
    np.testing.assert_array_equal(other.guide_parameters, trace.guide_parameters)
    assert other.roles.names["prior.concentration1"] == "y"
    assert other.swapped("prior").roles.names == trace.roles.names
    np.testing.assert_array_equal(trace.swapped("guide").guide_parameters, (QB, QA))


def test_a_flat_prior_that_is_no_parameter():
    """Both arguments are the same constant, of which neither is a parameter."""
    made = recording((QA, QB), {"qa": QA, "qb": QB})
    flat = {f"model.c.concentration{i}": np.ones((STEPS, 1)) for i in (1, 0)}
    made = replace(made, arguments={**made.arguments, **flat})
    trace = make_trace(Candidates.of(made, None, COUNTS), COUNTS)
    assert (trace.roles.prior == 1).all() and not trace.computed
