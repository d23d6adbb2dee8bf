"""Files that somebody wrote by hand: each is refused in words, or used like any other.

Checkpoints and recordings whose fields are of other types, out of their ranges, or larger than the
file; and a short run of `benchmarks/fuzz_archives.py`, which makes them at random.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import tracemalloc
import warnings
from functools import cache

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.cli import crosscheck as command
from elbo_ref.io import fields
from elbo_ref.io.archive import MOST_TIMES, read_arrays
from elbo_ref.io.counts_file import DataError
from elbo_ref.recording import Recording, RecordingError
from elbo_ref.svi import checkpoint, checkpoint_fields as states, loop
from elbo_ref.svi.checkpoint import CheckpointError
from places import ROOT

KINDS = (
    np.random.MT19937,
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.Philox,
    np.random.SFC64,
)


@pytest.fixture(scope="module")
def fuzz_archives():
    """The module; it imports another one beside it."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("fuzz_archives")
    finally:
        sys.path.remove(folder)


# -- checkpoints -----------------------------------------------------------------------------------


@cache
def genuine(kind):
    """The members of a checkpoint of four steps."""
    rng = np.random.Generator(kind(5))
    rng.integers(0, 10, size=3, dtype=np.int32)
    run = er.maximize_elbo(er.Counts([3, 0], [10, 4]), num_steps=4, rng=rng)
    with np.load(io.BytesIO(checkpoint.pack([(run.config, run.state, 4)]))) as file:
        return dict(file)


def saved(path, kind=np.random.PCG64, edit=lambda run: None, **arrays):
    """A checkpoint with its document and its members changed."""
    members = dict(genuine(kind))
    document = json.loads(str(members["runs"]))
    edit(document["runs"][0])
    members["runs"] = np.array(json.dumps(document))
    np.savez(path, **members | {f"0/{name}": array for name, array in arrays.items()})
    return path


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        er.load_run(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a checkpoint of elbo_ref: ")
    assert message.isprintable() and "save_run writes such files" in message
    return message


def words(bits, *items):
    return {"dtype": f"uint{bits}", "items": list(items)}


def put(*place):
    """An edit of the generator's state: the keys, and the value."""
    *keys, last, value = place

    def edit(run):
        inner = run["generator"]
        for key in keys:
            inner = inner[key]
        inner[last] = value

    return edit


def another_buffer(run):
    run["generator"].update(buffer=words(64, 1, 2, 3, 4), buffer_pos=2)


STATES = {
    "MT19937": [
        (put("state", "pos", 10**8), "state.pos = 100000000 must be a whole number of [0, 624]"),
        (put("state", "pos", -1), "state.pos = -1 must be"),
        (put("state", "pos", 624.0), "state.pos = 624.0 must be"),
        (put("state", "pos", True), "state.pos = True must be"),
        (put("state", "key", words(32, *[0] * 624)), "state.key is 0 in all bits"),
        (put("state", "key", words(32, 2**31 - 1, *[0] * 623)), "state.key is 0 in all bits"),
        (put("state", "key", words(32, *[1] * 623)), "must be a list of 624"),
        (put("state", "key", words(32, *[2**32] * 624)), "items[0] = 4294967296 must be"),
        (put("state", "key", "dtype", "U500000000"), "must be one of 'uint32'"),
        (put("x", {"dtype": "U500000000", "items": ["a"] * 4}), "generator.x is no field of it"),
    ],
    "PCG64": [
        (put("state", "inc", 4), "state.inc = 4 must be odd"),
        (put("state", "state", 2**128), "state.state = "),
        (put("state", "state", -1), "state.state = -1 must be"),
        (put("has_uint32", 2), "has_uint32 = 2 must be a whole number of [0, 1]"),
        (put("uinteger", 2**32), "uinteger = 4294967296 must be"),
        (put("uinteger", None), "uinteger = None must be"),
        (put("state", None), "state = None must be an object"),
        (put("bit_generator", "seed"), "bit_generator = 'seed' must be one of 'MT19937'"),
        (put("bit_generator", "MT19937"), "has_uint32 is no field of it"),
        (put("bit_generator", ["PCG64"]), "bit_generator = ['PCG64'] must be one of"),
    ],
    "PCG64DXSM": [(put("state", "inc", 0), "state.inc = 0 must be odd")],
    "Philox": [
        (put("buffer_pos", 5), "buffer_pos = 5 must be a whole number of [0, 4]"),
        (put("buffer_pos", -(10**6)), "buffer_pos = -1000000 must be"),
        (another_buffer, "buffer is not what its counter and key give"),
        (put("buffer", words(64, 1, 2, 3)), "must be a list of 4"),
        (put("state", "counter", words(64, 2**64, 0, 0, 0)), "items[0] = 18446744073709551616"),
        (put("state", "key", words(64, 1)), "must be a list of 2"),
    ],
    "SFC64": [
        (put("state", "state", words(64, 1, 2, 3)), "must be a list of 4"),
        (put("state", "state", words(32, 1, 2, 3, 4)), "must be one of 'uint64'"),
    ],
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_state_that_its_generator_is_never_in(tmp_path, kind):
    """MT19937 at a position of 10^8 reads memory that is not its own, and ends the process."""
    path = saved(tmp_path / "run.npz", kind)
    assert er.load_run(path).resume(2).prior  # the negative control
    for edit, message in STATES[kind.__name__]:
        assert message in refusal(saved(path, kind, edit))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_state_that_its_generator_is_in(kind):
    """At every position of a block of words, also between the halves of one, and after a jump."""
    bits = kind(5)
    rng = np.random.Generator(bits)
    for _ in range(20):
        note = states.generator_to_plain(bits.state)
        states.check_generator("generator", json.loads(json.dumps(note)))
        rng.integers(0, 10, size=67 if kind is np.random.MT19937 else 1, dtype=np.int32)
    back = kind()
    back.state = states.generator_from_plain(states.generator_to_plain(bits.state))
    assert (back.random_raw(9) == bits.random_raw(9)).all()
    if hasattr(bits, "jumped"):
        states.check_generator("generator", states.generator_to_plain(bits.jumped().state))


def field(name, value):
    return lambda run: run.update({name: value})


FIELDS = {
    "steps that Adam cannot count": (field("adam_step", 10**400), "adam_step = 1000"),
    "other steps than Adam's": (field("adam_step", 3), "adam_step = 3 is not the number of steps"),
    "10^12 particles": (field("num_particles", 10**12), "num_particles = 1000000000000 must be"),
    "10^7 particles of two latents": (field("num_particles", 10**7), "20000000 draws a step"),
    "a stride beyond int64": (field("stride", 10**400), "stride = "),
    "steps without end": (field("num_steps", 2**63), "num_steps = 9223372036854775808 must be"),
    "an end that moves the cursor": (field("ended", "\x1b[2J"), "must be one of 'objective'"),
    "a list for a label": (
        lambda run: run["counts"].update(labels=["a", ["b"]]),
        "labels[1] = ['b'] must be",
    ),
    "a log_split of no rows": (
        lambda run: run["counts"].update(log_split=[-1e308, 0]),
        "log_split[0] = -1e+308 must lie in [-log C(N, K), 0]",
    ),
    "a name too many": (field("x", 1), "runs[0].x is no field of it"),
}


@pytest.mark.parametrize("what", FIELDS)
def test_a_field_that_no_run_has(tmp_path, what):
    edit, message = FIELDS[what]
    assert message in refusal(saved(tmp_path / "run.npz", edit=edit))


VALUES = {
    "vector": (1e308, "prior.concentration1 is not in [1e-12, 1e+15]"),
    "own": (np.nan, "guide.concentration1[0] is not in"),
    "rows": (np.inf, "prior.concentration1 is not in"),
    "first_moment": (np.inf, "first_moment[0] = inf is not finite"),
    "second_moment": (-1.0, "second_moment[0] = -1.0 is not at least 0"),
    "largest": (-1.0, "largest[0] = -1.0 is less than"),
    "losses": (np.zeros(()), "losses has shape ()"),
    "values": (np.zeros((4, 1)), "values is float64 of shape (4, 1), not (4,)"),
    "x": (0.0, "the member '0/x' belongs to nothing"),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_array_that_no_run_has(tmp_path, name):
    value, message = VALUES[name]
    path = saved(tmp_path / "run.npz")
    with np.load(path) as file:
        array = file.get(f"0/{name}", np.zeros(2))
    if np.ndim(value) or name == "losses":
        array = value
    else:
        array.flat[0] = value
    assert message in refusal(saved(path, **{name: array}))


def test_no_json_beyond_a_float(tmp_path):
    path = saved(tmp_path / "run.npz")
    with np.load(path) as file:
        members = dict(file)
    text = str(members["runs"])
    for change, message in (
        (text.replace('"seed": null', '"seed": 1e999'), "1e999, which is not a finite number"),
        (text.replace('"seed": null', '"seed": NaN'), "NaN, which is not a finite number"),
        (text.replace('"seed": null', f'"seed": {"9" * 5000}'), "a number of 5000 digits"),
        (text.replace('"seed": null', '"seed": null, "seed": 1'), "repeats the name 'seed'"),
        (text.replace('"seed": null', f'"seed": {"[" * 10**5}'), "nested too deeply"),
    ):
        assert change != text
        np.savez(path, **members | {"runs": np.array(change)})
        assert message in refusal(path)


def test_a_history_of_more_latents_than_it_may_take(monkeypatch):
    """One row of the guide is larger than all may be: it is kept, and the search for one ends."""
    monkeypatch.setattr(loop, "GUIDE_HISTORY_BYTES", 8)
    run = er.maximize_elbo(er.Counts([3, 0], [10, 4]), num_steps=5)
    assert run.history.guide_steps[0] == 0 and run.history.guide_steps[-1] == 5


# -- memory ----------------------------------------------------------------------------------------


def member(descr, shape, content=b""):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


HUGE = {
    "a text of 500 million characters": member("<U500000000", "(0,)"),
    "no row of 10^12": member("<f8", "(0, 1000000000000)"),
    "2^58 numbers": member("<f8", f"({2**58},)"),
    "zeros, packed a thousandfold": member("<f8", f"({2**17},)", bytes(2**20)),
}


@pytest.mark.parametrize("what", HUGE)
def test_memory_is_bounded_by_the_size(fuzz_archives, tmp_path, what):
    path = tmp_path / "run.npz"
    packed = fuzz_archives.zipfile.ZIP_DEFLATED
    path.write_bytes(fuzz_archives.zipped([("runs.npy", HUGE[what])], packed))
    tracemalloc.start()
    try:
        for load, error in ((er.load_run, CheckpointError), (Recording.load, RecordingError)):
            with pytest.raises(
                error, match=r"unpacks to|of a shape or type|does not have the size"
            ):
                load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20 + MOST_TIMES * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_what_is_stored_twice_the_size_is_read():
    """Negative control: an archive that packs its members as much as numbers can be."""
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(1000) % 256)
    assert len(file.getvalue()) * MOST_TIMES > 8000
    assert read_arrays(file)["a"].sum() == (np.arange(1000) % 256).sum()
    with pytest.raises(DataError, match=r"more than 7999: write it with np.savez"):
        read_arrays(file, most_bytes=7999)


# -- recordings ------------------------------------------------------------------------------------


HEADERS = [
    ({"framework": 3}, "header.framework = 3 must be a short plain text"),
    ({"versions": ["1"]}, "header.versions = ['1'] must be an object"),
    ({"loss": "Trace_ELBO"}, "header.loss = 'Trace_ELBO' must be an object"),
    ({"loss": {"class": 1}}, "header.loss.class = 1 must be"),
    ({"loss": {"bases": "ELBO"}}, "header.loss.bases = 'ELBO' must be a list"),
    ({"loss": {"num_particles": "2"}}, "header.loss.num_particles = '2' must be"),
    ({"loss": {"vectorize_particles": 1}}, "vectorize_particles = 1 must be true or false"),
    ({"loss": {"alpha": "0"}}, "header.loss.alpha = '0' must be a number"),
    ({"optimizer": []}, "header.optimizer = [] must be an object"),
    ({"optimizer": {"class": {}}}, "header.optimizer.class = {} must be"),
    ({"optimizer": {"clip": 1}}, "clip = 1 must be one of these: a text, an object"),
    ({"optimizer": {"clip": {"clip_norm": "x"}}}, "clip['clip_norm'] = 'x' must be a number"),
    ({"optimizer": {"settings": 1}}, "settings = 1 must be an object"),
    ({"optimizer": {"settings": {"a": None}}}, "settings['a'] = None must be an object"),
    ({"optimizer": {"settings": {"a": {"lr": None}}}}, "['a'].lr = None must be a number"),
    ({"optimizer": {"settings": {"a": {"betas": [1]}}}}, "betas = [1] must be a list of 2"),
    ({"constraints": {"a": None}}, "header.constraints['a'] = None must be a short plain text"),
    ({"constraints": []}, "header.constraints = [] must be an object"),
    ({"earlier_steps": {"a": 1.5}}, "header.earlier_steps['a'] = 1.5 must be"),
    ({"earlier_steps": {}}, "moments 'a': header.earlier_steps does not say of how many steps"),
    ({"plates": {"a": -1}}, "header.plates['a'] = -1 must be"),
    ({"sites": {}}, "header.sites = {} must be a list"),
    ({"sites": [3]}, "header.sites[0] = 3 must be an object"),
    ({"sites": [{"program": "model"}]}, "header.sites[0].name is missing"),
    ({"x": {1: 2}}, "a name in header.x = 1 must be a text"),
    ({"x": np.zeros(2)}, "header.x = array([0., 0.]) must be a plain value"),
]
SITE = {"program": "model", "name": "c", "class": "Beta", "observed": False}
HEADERS += [
    ({"sites": [{**SITE, name: value}]}, f"header.sites[0]{place} = ")
    for name, place, value in (
        ("program", ".program", "both"),
        ("name", ".name", 1),
        ("class", ".class", None),
        ("observed", ".observed", "no"),
        ("scale", ".scale", "1"),
    )
]
HEADERS += [({"sites": [SITE, SITE]}, "header.sites: the model has 'c' 2 times")]


@pytest.fixture(scope="module")
def recording(fuzz_archives):
    """Of an empty guide, with moments of earlier steps."""
    return fuzz_archives.recordings()[1]


@pytest.mark.parametrize(("changed", "message"), HEADERS)
def test_a_header_that_is_none(recording, changed, message):
    """In memory and from a file, by the same table."""
    header = {**recording.header, **changed}
    names = ("losses", *fuzz_groups())
    with pytest.raises(RecordingError) as caught:
        Recording(header=header, **{name: getattr(recording, name) for name in names})
    assert message in str(caught.value) and str(caught.value).isprintable()


def fuzz_groups():
    from elbo_ref.recording.header import GROUPS

    return GROUPS


def test_a_header_from_a_file(recording, tmp_path, capsys):
    """By name of the file, with what to do; also from the command, whose exit code is 65."""
    path, table = tmp_path / "run.npz", tmp_path / "counts.csv"
    table.write_text("successes,total_count\n3,10\n0,4\n7,9\n")
    recording.save(path)
    assert er.replay(path, er.read_counts(table)).findings  # the negative control
    with np.load(path) as file:
        members = dict(file)
    document = json.loads(str(members["header"]))
    document["header"]["sites"][0]["class"] = None
    np.savez(path, **members | {"header": np.array(json.dumps(document))})
    assert command.main([str(table), "--recording", str(path)]) == 65
    said = capsys.readouterr().err
    assert f"{path}: not a recording of elbo_ref: header.sites[0].class = None must be" in said
    assert "record the run again" in said


def test_what_is_beside_the_table_stays(recording):
    """Somebody's own notes in a header are kept, if JSON can hold them."""
    header = {**recording.header, "mine": {"a": [1, 2.5, None, "x"]}}
    names = ("losses", *fuzz_groups())
    made = Recording(header=header, **{name: getattr(recording, name) for name in names})
    assert made.header["mine"] == header["mine"]


# -- counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["-1e308", "-1e400", "-5", "1e-9", "NaN", "-Infinity", "null"])
def test_a_log_split_that_no_rows_have(tmp_path, value):
    """log C(10, 3) is 4.79; -4.7 is that of some rows."""
    path = tmp_path / "counts.json"
    text = '{{"successes": [3, 0], "total_count": [10, 4], "log_split": [{}, 0]}}'
    path.write_text(text.format(value))
    with pytest.raises(DataError, match=r"log_split\[0\] = "):
        er.read_counts(path)
    path.write_text(text.format(-4.78))
    assert er.maximize_evidence(er.read_counts(path)).kind == "binomial"


def test_every_log_split_that_rows_have_is_one():
    """Pooled in every way, up to the largest counts: single trials stand at the very end."""
    rng = np.random.default_rng(0)
    for size in (1, 5, 1000, 10**4):
        n = rng.integers(1, 2 ** rng.integers(1, 40, size) + 1)
        for rows in (er.Counts(rng.integers(0, n + 1), n), er.Counts(rng.integers(0, 2, size), 1)):
            pooled = rows.pooled(rng.integers(0, max(1, size // 100), size))
            assert er.Counts.from_columns(**pooled.to_dict()) == pooled


# -- at random -------------------------------------------------------------------------------------


def fuzzed(module, inputs, seed, **changed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "columns known by their names")  # damaged ones may be
        return importlib.import_module("fuzzing").fuzz(
            module.sources(), changed.get("outcome", module.outcome), inputs, seed
        )


@pytest.mark.thorough
def test_a_short_fuzzing_run(fuzz_archives):
    ends, failures, slowest = fuzzed(fuzz_archives, 80, seed=3)
    assert not failures
    assert slowest < 5
    assert sum(counter["accepted"] for counter in ends.values()) > 8


@pytest.mark.thorough
def test_a_longer_fuzzing_run(fuzz_archives):
    ends, failures, slowest = fuzzed(fuzz_archives, 1500, seed=4)
    assert not failures
    assert slowest < 5
    for name, counter in ends.items():
        assert 0 < counter["accepted"] < counter.total(), (name, counter)


def test_the_fuzzing_run_can_fail(fuzz_archives, monkeypatch):
    """A damaged file that ends in something else than a clean error is seen, each of four ways."""

    def careless(path):
        raise KeyError("runs")

    def by_numpy(path):
        np.zeros(2).reshape(3)

    def without_a_file(path):
        raise CheckpointError("it is damaged")

    def in_two_lines(path):
        raise CheckpointError(f"{path}: not\none")

    target = fuzz_archives.TARGETS["checkpoint"]
    for use in (careless, by_numpy, without_a_file, in_two_lines):
        monkeypatch.setitem(fuzz_archives.TARGETS, "checkpoint", target._replace(use=use))
        failures = fuzzed(fuzz_archives, 3, seed=3)[1]
        assert len(failures) == 3


def test_a_table_names_the_place():
    check = fields.record({"a": fields.items(fields.number(0.0), 2)})
    check("", {"a": [1, 2.5]})
    for value, message in (
        ({"a": [1, -1]}, r"a\[1\] = -1 must be a number of \[0, inf\]"),
        ({"a": [1, 10**400]}, r"a\[1\] = 1000"),
        ({"a": [1, True]}, r"a\[1\] = True must be"),
        ({"a": 1}, r"a = 1 must be a list of 2"),
        ({}, "a is missing"),
        ({"a": [1, 2], "b": 1}, "b is no field"),
        ([], "the document = .. must be an object"),
    ):
        with pytest.raises(ValueError, match=message):
            check("", value)
