"""Recordings of the first form: files of then, and small ones made by hand.

The files in tests/reference/recordings are of runs of three steps with Pyro 1.9, written by the
last version of `record` that had that form.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording, RecordingError
from elbo_ref.recording.former import from_first_form
from elbo_ref.recording.header import FORMER, GROUPS
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.statement import read_statement
from recorded import COUNTS, STEPS, K, Made, N, site
from tiers import few

FILES = Path(__file__).parents[1] / "reference" / "recordings"
GUIDES = {
    "beta": "beta",
    "conjugate": "conjugate",
    "delta": "delta",
    "diagonal": "normal",
    "loop": "beta",
    "minibatches": "empty",
    "trials": "empty",
}


@pytest.mark.parametrize("name", GUIDES)
def test_a_file_of_the_first_form_is_replayed(name):
    verdict = replay(FILES / f"{name}.npz")
    assert not verdict.mistakes and verdict.outcome != "outside_model", verdict
    assert {x.name for x in verdict.having("agrees")} >= {"losses", "updates"}
    tested = {x.name for x in verdict.findings if x.status in ("agrees", "untested")}
    assert "gradients" in tested  # untested without PyTorch, where they go through a Beta draw


@pytest.mark.parametrize("name", GUIDES)
def test_its_guide_and_its_data_are_found(name):
    statement = read_statement(Recording.load(FILES / f"{name}.npz"))
    assert statement.guide.name == GUIDES[name]
    if name == "trials":
        assert statement.data.counts() == er.Counts(3, 4)
    elif name == "minibatches":
        assert not statement.data.constant and statement.scale == 1.5
    else:
        assert statement.data.counts() == COUNTS


@pytest.mark.parametrize("name", few(GUIDES, 3))
def test_it_is_written_in_the_present_form(name, tmp_path):
    loaded = Recording.load(FILES / f"{name}.npz")
    loaded.save(tmp_path / "run.npz")
    again = Recording.load(tmp_path / "run.npz")
    assert dict(again.header) == dict(loaded.header)
    assert replay(again).to_dict() == replay(loaded).to_dict()


def test_counts_are_compared_with_a_file_of_the_first_form():
    assert replay(FILES / "beta.npz", COUNTS).mistakes == ()
    other = er.Counts(K, N + 1)
    for name in ("beta", "loop", "minibatches"):
        assert replay(FILES / f"{name}.npz", other).mistakes == ("wrong_total_count",)


# -- by hand ---------------------------------------------------------------------------------------


def in_first_form(recording):
    """Groups and header without what the first form did not have."""
    groups = {name: dict(getattr(recording, name)) for name in GROUPS}
    groups["argument_gradients"] = {}
    groups["observed"] = {x: a for x, a in groups["observed"].items() if not x.endswith(".index")}
    kept = ("program", "name", "class", "observed", "reparameterized", "scale")
    sites = [{x: y for x, y in each.items() if x in kept} for each in recording.header["sites"]]
    header = {name: x for name, x in recording.header.items() if name != "programs"}
    return groups, {**header, "sites": sites}


def read(recording, **changed):
    groups, header = in_first_form(recording)
    return Recording(losses=recording.losses, **from_first_form(groups, {**header, **changed}))


@pytest.mark.parametrize("kind", ["beta", "empty", "tied"])
def test_what_was_not_said_is_found_again(kind):
    recording = Made(kind).recording()
    found = read(recording)
    for mine, theirs in zip(found.header["sites"], recording.header["sites"], strict=True):
        assert mine.get("sources", {}) == theirs.get("sources", {})
        assert mine.get("latent") == theirs.get("latent")
    for name, gradient in found.argument_gradients.items():
        if kind != "tied":
            np.testing.assert_allclose(gradient, recording.argument_gradients[name], rtol=1e-12)
    np.testing.assert_array_equal(found.observed["k.index"], recording.observed["k.index"])
    one, other = replay(found), replay(recording)
    assert one.genuine and one.exact == other.exact
    assert [x.name for x in one.findings] == [x.name for x in other.findings]


def test_a_mistake_is_still_one():
    made = Made()
    halved = made.recording(gradients=lambda r: {**r.gradients, "a": 0.5 * r.gradients["a"]})
    assert "gradient_scaled" in replay(read(halved)).mistakes
    negative = made.recording(losses=lambda r: -r.losses)
    assert replay(read(negative)).mistakes == ("wrong_sign",)


def test_a_parameter_of_two_concentrations_has_no_gradient_for_either():
    """Which share is whose, the first form does not say: it is not compared."""
    arguments = {f"model.c.concentration{i}": np.full((2, 1), 2.0) for i in (1, 0)}
    groups = {name: {} for name in GROUPS} | {"arguments": arguments, "draws": {}}
    for group in ("before", "constrained", "after", "gradients"):
        groups[group] = {"a": np.full(2, 2.0)}
    made = from_first_form(groups, {"sites": [site("model", "c")]})
    assert made["argument_gradients"] == {}
    assert made["header"]["sites"][0]["sources"] == {
        "concentration1": ["a"], "concentration0": ["a"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("constraint", "x", "slope"),
    [
        ("positive", 3.0, 3.0),
        ("softplus_positive", 3.0, 1 - np.exp(-3.0)),
        ("unit_interval", 0.25, 0.1875),
        ("real", 3.0, 1.0),
        ("simplex", 0.25, None),
    ],
)
def test_gradients_go_through_the_constraint(constraint, x, slope):
    arguments = {"guide.c.concentration1": np.full((2, 3), x)}
    groups = {name: {} for name in GROUPS} | {"arguments": arguments}
    for group in ("before", "constrained", "after"):
        groups[group] = {"q": np.full((2, 3), x)}
    groups["gradients"] = {"q": np.ones((2, 3))}
    header = {"sites": [site("guide", "c")], "constraints": {"q": constraint}}
    found = from_first_form(groups, header)["argument_gradients"]
    if slope is None:
        assert found == {}
    else:
        gradient = found["guide.c.concentration1"]
        np.testing.assert_allclose(gradient, np.full((2, 3), 1 / slope), rtol=1e-14)


def test_a_parameter_without_a_known_slope_is_passed_over():
    """Those before and after it have their gradients."""
    x = {"p": 2.0, "q": 0.25, "r": 3.0}
    values = {name: np.full((2, 1), value) for name, value in x.items()}
    groups = {name: {} for name in GROUPS}
    groups["arguments"] = {f"guide.{name}.concentration1": value for name, value in values.items()}
    groups |= dict.fromkeys(("before", "constrained", "after"), values)
    groups["gradients"] = {name: np.ones((2, 1)) for name in x}
    header = {"sites": [site("guide", name) for name in x], "constraints": {"q": "simplex"}}
    found = from_first_form(groups, header)["argument_gradients"]
    assert set(found) == {"guide.p.concentration1", "guide.r.concentration1"}


def test_rows_of_a_parameter_belong_to_their_sites():
    """Of a loop: each site has one of the parameter's values, and its gradient."""
    values = np.array([[4.0, 8.0, 15.0], [4.5, 8.5, 14.5]])
    arguments = {f"guide.c_{i}.concentration1": values[:, i : i + 1] for i in range(3)}
    groups = {name: {} for name in GROUPS} | {"arguments": arguments}
    for group in ("before", "constrained", "after", "gradients"):
        groups[group] = {"q": values}
    header = {"sites": [site("guide", f"c_{i}") for i in range(3)]}
    found = from_first_form(groups, header)
    assert [x["sources"] for x in found["header"]["sites"]] == [{"concentration1": ["q"]}] * 3
    for i in range(3):  # positive: the gradient divided by the value, here by itself
        name = f"guide.c_{i}.concentration1"
        np.testing.assert_array_equal(found["argument_gradients"][name], np.ones((2, 1)))


def test_a_parameter_that_is_spelled_out_for_each_latent_is_its_source():
    value = np.array([[4.0], [4.5]])
    groups = {name: {} for name in GROUPS}
    groups["arguments"] = {"guide.c.concentration1": np.tile(value, 3)}
    for group in ("before", "constrained", "after", "gradients"):
        groups[group] = {"q": value[:, 0]}
    found = from_first_form(groups, {"sites": [site("guide", "c")]})
    assert found["header"]["sites"][0]["sources"] == {"concentration1": ["q"]}
    np.testing.assert_array_equal(found["argument_gradients"]["guide.c.concentration1"], [[1], [1]])


def test_a_parameter_of_another_number_of_values_is_no_source():
    """Two values for two latents beside a parameter of three."""
    groups = {name: {} for name in GROUPS}
    groups["arguments"] = {"guide.c.concentration1": np.array([[4.0, 8.0], [4.5, 8.5]])}
    for group in ("before", "constrained", "after", "gradients"):
        groups[group] = {"q": np.array([[4.0, 8.0, 15.0], [4.5, 8.5, 14.5]])}
    found = from_first_form(groups, {"sites": [site("guide", "c")]})
    assert found["header"]["sites"][0]["sources"] == {} and not found["argument_gradients"]


def test_a_point_is_its_own_argument():
    """Of one particle, or of the first of several."""
    draws = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4))
    sites = [site("model", "c"), site("guide", "c", "Delta"), site("guide", "d")]
    sites += [site("model", "total", "Delta", observed=True), site("model", "d", "Delta")]
    for particles in (1, 3):
        some = draws[:, :particles]
        groups = {name: {} for name in GROUPS} | {"draws": {"c": some, "d": 1 - some}}
        made = from_first_form(groups, {"sites": sites})
        assert list(made["arguments"]) == ["guide.c.v"]
        np.testing.assert_array_equal(made["arguments"]["guide.c.v"], draws[:, 0])


def test_rows_belong_to_the_latents_in_their_order():
    """Each site of rows to a latent of its own if there are as many, else all to the first."""
    draws = {name: np.full((2, 1, 1), 0.5) for name in ("c", "d")}
    latents = [site("model", "discrete", "Poisson"), site("model", "c"), site("model", "d")]
    for rows, wanted in ((["k", "l"], ["c", "d"]), (["k"], ["c"]), (["k", "l", "m"], 3 * ["c"])):
        observed = {f"{name}.value": np.ones((1, 5)) for name in rows}
        groups = {name: {} for name in GROUPS} | {"draws": draws, "observed": observed}
        sites = [*latents, site("model", "lik", "Unit", observed=True)]
        sites += [site("model", name, "Binomial", observed=True) for name in rows]
        found = [x for x in from_first_form(groups, {"sites": sites})["header"]["sites"]
                 if "latent" in x]  # fmt: skip
        assert [(x["name"], x["latent"]) for x in found] == list(zip(rows, wanted, strict=True))
        assert {(x["rows"], x["elements"]) for x in found} == {(5, 5)}
    (one,) = (x for x in from_first_form({**groups, "observed": {}}, {"sites": sites[:5]})
              ["header"]["sites"] if "latent" in x)  # fmt: skip
    assert (one["name"], one["rows"]) == ("k", 1), "a row of which nothing is noted"


def test_minibatches_of_a_plate_scale_what_is_in_it():
    """Two rows of three: what has a scale is taken to stand in the plate, what has none is not."""
    groups = {name: {} for name in GROUPS} | {"observed": {"plate.index": np.array([[0.0, 2.0]])}}
    sites = [site("model", "c", scale=1.5), site("model", "total", scale=1.0), site("guide", "c")]
    made = from_first_form(groups, {"sites": sites, "plates": {"plate": 3, "other": 7}})
    assert [x["planned_scale"] for x in made["header"]["sites"]] == [1.5, 1.0, 1.0]
    np.testing.assert_array_equal(made["observed"]["plate.rows"], [[0, 2]])
    assert "plate.index" not in made["observed"]
    one = {name: {} for name in GROUPS} | {"observed": {"plate.index": np.array([[2.0]])}}
    made = from_first_form(one, {"sites": sites, "plates": {"plate": 3}})
    assert made["header"]["sites"][0]["planned_scale"] == 3.0
    whole = from_first_form({name: {} for name in GROUPS}, {"sites": sites})
    assert [x["planned_scale"] for x in whole["header"]["sites"]] == [1.0, 1.0, 1.0]


def test_a_recording_without_sites_is_refused(tmp_path):
    groups, header = in_first_form(Made().recording())
    with pytest.raises(ValueError, match="does not say which sites there were"):
        from_first_form(groups, {name: x for name, x in header.items() if name != "sites"})


def members(recording):
    groups, header = in_first_form(recording)
    kept = [name for name in GROUPS if name != "argument_gradients"]
    names = {name: list(groups[name]) for name in kept}
    document = {"schema": FORMER, "names": names, "header": header}
    arrays = {f"{name}/{i}": x for name in kept for i, x in enumerate(groups[name].values())}
    return {"header": np.array(json.dumps(document)), "losses": recording.losses, **arrays}


def test_a_file_is_read_as_what_it_is(tmp_path):
    recording = Made().recording()
    np.savez(tmp_path / "run.npz", **members(recording))
    loaded = Recording.load(tmp_path / "run.npz")
    assert loaded.num_steps == STEPS and replay(loaded).genuine


@cache
def undamaged():
    return members(Made().recording())


@pytest.mark.parametrize(
    ("member", "array"),
    [
        ("losses", np.zeros(3)),
        ("before/0", np.float64(1.0)),
        ("constrained/0", np.float64(1.0)),
        ("constrained/0", np.zeros((STEPS, 0))),
        ("gradients/0", np.zeros((STEPS, 2))),
        ("draws/0", np.zeros((STEPS, 3))),
        ("draws/0", np.zeros((STEPS, 0, 3))),
        ("arguments/0", np.zeros(STEPS)),
        ("observed/0", np.zeros(3)),
        ("observed/0", np.zeros((1, 0))),
    ],
)
def test_damaged_files_are_refused_in_words(member, array, tmp_path):
    np.savez(tmp_path / "run.npz", **{**undamaged(), member: array})
    with pytest.raises(RecordingError, match=r"not a recording of elbo_ref: .+; record the run"):
        Recording.load(tmp_path / "run.npz")
