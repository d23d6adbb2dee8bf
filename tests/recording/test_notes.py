"""`Recording` as a value and as a file, and what is said of files that are none."""

from __future__ import annotations

import io
import json
import sys
from types import ModuleType

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording, RecordingError, record, record_numpyro


def recording(**changed):
    steps = np.zeros(3, np.float32)
    groups = {
        "losses": [1.5, -0.0, np.nan],
        "draws": {"c": np.full((3, 2, 4), 0.25, np.float32), "ü/..\\": np.ones((3, 1, 1))},
        **{group: {"a": steps} for group in ("before", "constrained", "after", "gradients")},
        "lr": {"a": np.full(3, 0.1)},
        "moments": {"a": np.zeros(3)},
        "arguments": {"model.c.concentration1": np.ones((3, 1))},
        "observed": {"obs.value": np.array([[1, 2, 3]])},
        "header": {"framework": "pyro", "loss": {"class": None}, "earlier_steps": {"a": 7}},
    }
    return Recording(**{**groups, **changed})


def members(tmp_path):
    recording().save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as archive:
        return dict(archive)


def write(path, **arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    path.write_bytes(file.getvalue())
    return path


def test_a_file_gives_back_what_it_was_given(tmp_path):
    made = recording()
    made.save(tmp_path / "run.npz")
    loaded = Recording.load(tmp_path / "run.npz")
    assert loaded.losses.tobytes() == made.losses.tobytes()
    assert dict(loaded.header) == dict(made.header) and loaded.dtype == "float32"
    for group in ("draws", "before", "lr", "moments", "arguments", "observed"):
        mine, theirs = getattr(made, group), getattr(loaded, group)
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert (array == theirs[name]).all() and array.dtype == theirs[name].dtype
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "run.npz").read_bytes()
    with pytest.raises(FileExistsError):
        made.save(tmp_path / "run.npz", overwrite=False)
    (tmp_path / "run.npz").write_bytes(b"of a run before")
    made.save(tmp_path / "run.npz")
    assert (tmp_path / "run.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_recordings_that_are_equal_have_equal_files(tmp_path):
    """In whatever order the header was put together."""
    made = recording()
    other = recording(header=dict(reversed(made.header.items())))
    assert list(other.header) != list(made.header)
    for name, x in {"one": made, "other": other}.items():
        x.save(tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_it_is_frozen():
    made = recording()
    with pytest.raises(ValueError, match="read-only"):
        made.draws["c"][0] = 0
    with pytest.raises(TypeError):
        made.header["framework"] = "other"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"losses": []}, "not one for each step"),
        ({"losses": [[1.0]]}, "not one for each step"),
        ({"losses": ["one"]}, "losses is not made of real numbers"),
        ({"draws": {"c": np.zeros((2, 1, 1))}}, "draws 'c' has shape .2, 1, 1. where the first"),
        ({"draws": {"c": np.zeros((3, 1))}}, "not 3-d"),
        ({"draws": {"c": np.zeros((3, 1, 1), object)}}, "real numbers but of object"),
        ({"before": {}}, "constrained and before are not the same parameters"),
        ({"gradients": {"a": np.zeros((3, 1))}}, "gradients and before are not"),
        ({"moments": {"a": np.zeros((3, 2))}}, "moments 'a' does not fit"),
        ({"lr": {"b": np.zeros(3)}}, "lr 'b' does not fit"),
        ({"observed": {"obs.value": np.zeros((2, 3))}}, "the first is 1 or 3"),
    ],
)
def test_arrays_that_do_not_belong_together(changed, words):
    with pytest.raises(RecordingError, match=words):
        recording(**changed)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (np.float32, np.float32),
        (np.float16, np.float16),
        (np.int32, np.float64),
        (bool, np.float64),
        (np.longdouble, np.float64),
    ],
)
def test_numbers_are_kept_as_floats_of_their_precision(kind, kept):
    made = recording(observed={"obs.value": np.ones((1, 3), kind)})
    assert made.observed["obs.value"].dtype == kept


def test_a_constrained_parameter_may_have_more_values():
    """A simplex of two has one free coordinate; but as many steps as the others."""
    free = {"a": np.zeros((3, 1))}
    groups = dict.fromkeys(("before", "after", "gradients"), free) | {"moments": {}}
    assert recording(constrained={"a": np.full((3, 2), 0.5)}, **groups).constrained["a"].size == 6
    for other in ({"a": np.full((2, 2), 0.5)}, {"b": np.full((3, 2), 0.5)}):
        with pytest.raises(RecordingError, match="constrained"):
            recording(constrained=other, **groups)


def test_hostile_files(tmp_path):
    good = members(tmp_path)
    document = json.loads(str(good["header"]))
    path = tmp_path / "bad.npz"

    def with_header(**changed):
        return {**good, "header": np.array(json.dumps({**document, **changed}))}

    names = document["names"]
    cases = [
        ({**good, "header": np.array("{")}, "its JSON is damaged: Expecting"),
        ({**good, "header": np.array("[" * 100_000)}, "nested too deeply"),
        ({**good, "header": np.array("[]")}, "must be an object"),
        (with_header(schema="other/1"), "schema = 'other/1' must be"),
        (with_header(header=[]), "header = .. must be an object"),
        (with_header(names={}), "'.*' belongs to nothing"),
        (with_header(names={**names, "draws": ["c", "d", "e"]}), "'draws/2' is missing"),
        (with_header(names={**names, "draws": ["c", "c"]}), "stands twice"),
        (with_header(names={**names, "draws": ["c", 1]}), r"names.draws.1. = 1 must be a text"),
        (with_header(names={**names, "draws": ["c"]}), "'draws/1' belongs to nothing"),
        ({k: v for k, v in good.items() if k != "header"}, "'header' is missing"),
        ({k: v for k, v in good.items() if k != "losses"}, "'losses' is missing"),
        ({**good, "losses": np.array([None, 1])}, "Python objects"),
        ({**good, "losses": np.array(["a", "b", "c"])}, "real numbers"),
        ({**good, "losses": np.zeros(7)}, "where the first is 7"),
    ]
    for arrays, words in cases:
        with pytest.raises(RecordingError, match=words) as caught:
            Recording.load(write(path, **arrays))
        assert str(caught.value).startswith(f"{path}: not a recording of elbo_ref: ")
        assert "\n" not in str(caught.value)
    path.write_bytes((tmp_path / "good.npz").read_bytes()[:500])
    with pytest.raises(RecordingError, match="damaged"):
        Recording.load(path)
    with pytest.raises(FileNotFoundError):
        Recording.load(tmp_path / "none.npz")


def test_what_is_not_installed_is_named_with_what_to_do(monkeypatch):
    for missing in ("pyro", "torch"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "pyro", ModuleType("pyro"))
            patch.setitem(sys.modules, missing, None)
            words = r"record needs .*: pip install pyro-ppl"
            with pytest.raises(ModuleNotFoundError, match=words), record(None):
                pass
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install numpyro"):
        record_numpyro(None, None, 1)


def test_it_is_at_the_front_door():
    assert er.recording.Recording is Recording and er.replay.__module__.startswith("elbo_ref.")


SITES = [
    {"program": "model", "name": "c", "class": "Beta", "observed": False},
    {
        "program": "model", "name": "k", "class": "Binomial", "observed": True,
        "rows": 4, "elements": 4, "latent": "c",
    },
]  # fmt: skip
OBSERVED = {
    "k.value": np.ones((1, 4)), "k.total_count": np.ones((1, 1)), "k.index": np.arange(4.0)[None]
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"observed": {**OBSERVED, "k.value": np.ones((1, 3))}}, "has 3 values for the 4 elements"),
        ({"observed": {**OBSERVED, "k.index": np.full((1, 4), 4.0)}}, "not a number of one of the"),
        ({"observed": {**OBSERVED, "k.index": -np.ones((1, 4))}}, "not a number of one of the"),
        ({"observed": {"k.value": np.ones((1, 4))}}, "observed 'k.total_count' is missing"),
        ({"observed": {**OBSERVED, "model.c.mask": np.ones((1, 2))}}, "2 values for the 4 elem"),
        ({"arguments": {"model.c.concentration1": np.ones((3, 2))}}, "2 values for the 4 elements"),
        ({"argument_gradients": {"model.c.v": np.ones((3, 5))}}, "5 values for the 4 elements"),
    ],
)
def test_arrays_have_the_elements_of_their_site(changed, words):
    header = {"sites": SITES, "earlier_steps": {"a": 7}}
    groups = {"observed": OBSERVED, "header": header, **changed}
    if words is None:
        recording(**groups)
        return
    with pytest.raises(RecordingError, match=words):
        recording(**groups)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"sites": [{"program": "model", "name": "c", "class": "Beta", "observed": False}]}, ""),
        ({"sites": [{"rows": -1}]}, "rows"),
        ({"sites": [{"elements": 2**53 + 1}]}, "elements"),
        ({"sites": [{"scale": 0.0}]}, "scale"),
        ({"sites": [{"scale": 1e-300, "planned_scale": 1e300}]}, ""),
        ({"sites": [{"planned_scale": 1e301}]}, "planned_scale"),
        ({"sites": [{"program": "other"}]}, "program"),
        ({"plates": {"data": 2**53}, "left_out": 0, "leading": 0}, ""),
        ({"plates": {"data": -1}}, "plates"),
        ({"left_out": -1}, "left_out"),
        ({"leading": 2**53 + 1}, "leading"),
        ({"earlier_steps": {"a": -1}}, "earlier_steps"),
        ({"optimizer": {"settings": {"a": {"betas": [0.9, 0.999]}}}}, ""),
        ({"optimizer": {"settings": {"a": {"betas": [0.9]}}}}, "betas"),
        ({"optimizer": {"settings": {"a": {"betas": [0.9, 0.99, 0.999]}}}}, "betas"),
        ({"sites": [{"elements": 2**53}]}, ""),
        ({"loss": {"num_particles": 1}}, ""),
        ({"loss": {"num_particles": 2**53}}, ""),
        ({"loss": {"num_particles": 0}}, "num_particles"),
        ({"loss": {"num_particles": 2**53 + 1}}, "num_particles"),
    ],
)
def test_numbers_of_a_header_are_bounded(described, words):
    whole = {"program": "model", "name": "c", "class": "Beta", "observed": False}
    header = {"earlier_steps": {"a": 7}, **described}
    if "sites" in header:
        header["sites"] = [{**whole, **x} for x in header["sites"]]
    if words:
        with pytest.raises(RecordingError, match=words):
            recording(header=header)
    else:
        recording(header=header)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_site_stands_once_in_its_program(times):
    one = {"program": "model", "name": "c", "class": "Beta", "observed": False}
    header = {"sites": [*times * [one], {**one, "program": "guide"}], "earlier_steps": {"a": 7}}
    if times == 1:
        recording(header=header)
        return
    with pytest.raises(RecordingError, match=f"header.sites: the model has 'c' {times} times"):
        recording(header=header)


def test_moments_are_of_so_many_earlier_steps():
    words = r"moments 'a': header\.earlier_steps does not say of how many steps"
    for header in ({}, {"earlier_steps": {"b": 7}}):
        with pytest.raises(RecordingError, match=words):
            recording(header=header)
    recording(header={}, moments={})


def test_a_number_is_no_array_of_steps():
    with pytest.raises(RecordingError, match=r"lr 'a' has shape \(\) where the first is 3"):
        recording(lr={"a": np.array(0.1)})
