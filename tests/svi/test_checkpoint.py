"""Runs saved, loaded and resumed end with the bytes of runs that never stopped.

What is compared is the whole result: the JSON text, the losses, every kept row of the history. The
blocks in which losses are worked out are made small, so that stops fall before, on and behind their
borders. Beside each kind of test stands a planted fault that it must see.
"""

import gc
import io
import json
import os
import pickle
import signal
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.svi import checkpoint, loop, optimizers as adam
from elbo_ref.svi.config import checked_config
from elbo_ref.svi.result import run_at
from tiers import few

STEPS = 40
COUNTS = er.Counts([3, 0, 7, 2], [10, 4, 9, 8])
DATA = {
    "plain": COUNTS,
    "multiplicity": er.Counts([0, 1, 2], 2, multiplicity=[4, 3, 5]),
    "labels": er.Counts.grouped([1, 0, 2, 3, 1], [1, 1, 5, 9, 2], ["b", "a", "b", "ä\n", 7]),
    "odd labels": er.Counts.grouped([1, 0, 2], [1, 1, 5], ["\udcff", 10**400, "b"]),
    "log_split": er.Counts.shared([3, 1, 4], [9, 6, 5]),
}
OPTIMIZERS = {
    "adam": er.Adam(lr=0.05),
    "amsgrad": er.Adam(lr=0.05, betas=(0.5, 0.6), amsgrad=True, weight_decay=0.01),
    "clipped": er.ClippedAdam(lr=0.05, clip_norm=0.7, lrd=0.99, weight_decay=0.01),
}
GENERATORS = (
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.MT19937,
    np.random.Philox,
    np.random.SFC64,
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of some seven steps, and a guide's history that is thinned after ten."""
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", 70)
    monkeypatch.setattr(loop, "GUIDE_HISTORY_BYTES", 640)


def fit(num_steps=STEPS, counts=COUNTS, **settings):
    return er.maximize_elbo(
        counts,
        **{"optimizer": OPTIMIZERS["adam"], "num_particles": 3, **settings},
        num_steps=num_steps,
    )


def through_a_file(run, path):
    er.save_run(run, path, overwrite=True)
    return er.load_run(path)


def fingerprint(run):
    """Everything that a run holds, as bytes; and where its last block began."""
    history, guide = run.history, run.history.guide
    arrays = [run.losses, *history.prior.arrays(), history.guide_steps, run.state.rows[-1].end]
    if isinstance(guide, er.Beta):
        arrays += guide.arrays()
    elif guide is not None:
        arrays.append(guide.logits)
    return run.to_json(), run.summary(), [np.asarray(array).tobytes() for array in arrays]


# -- stopped between two steps -------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", few(OPTIMIZERS))
@pytest.mark.parametrize("loss", ["trace", "exact"])
@pytest.mark.parametrize("guide", few(["beta", "empty", "tied", "none"]))
def test_resumed_is_uninterrupted(tmp_path, guide, loss, optimizer):
    """Stopped once, on either side of a block's border and in between."""
    settings = {"guide": guide, "loss": loss, "optimizer": OPTIMIZERS[optimizer], "rng": 3}
    whole = fingerprint(fit(**settings))
    for stop in (1, 6, 7, 8, 21, 27, STEPS - 1):
        half = fit(stop, **settings)
        loaded = through_a_file(half, tmp_path / "run.npz")
        assert fingerprint(loaded) == fingerprint(half), stop
        assert fingerprint(loaded.resume(STEPS - stop)) == whole, stop


@pytest.mark.parametrize("guide", few(["beta", "empty", "tied", "none"]))
def test_stopped_after_every_step(tmp_path, guide):
    run = fit(1, guide=guide)
    for _ in range(STEPS - 1):
        run = through_a_file(run, tmp_path / "run.npz").resume(1)
    assert fingerprint(run) == fingerprint(fit(guide=guide))


@pytest.mark.parametrize("kind", GENERATORS, ids=lambda kind: kind.__name__)
def test_generators(tmp_path, kind):
    """Also one that stands in the middle of a word, or of a block of words."""

    def settings():
        rng = np.random.Generator(kind(5))
        rng.integers(0, 10, size=3, dtype=np.int32)
        return {"rng": rng, "guide": "beta"}

    half = through_a_file(fit(17, **settings()), tmp_path / "run.npz")
    assert half.config.seed is None
    assert fingerprint(half.resume(STEPS - 17)) == fingerprint(fit(**settings()))


@pytest.mark.parametrize("prior", [None, er.Beta(0.3, 41.0)], ids=["learned", "fixed"])
@pytest.mark.parametrize("data", few(DATA, 2))
def test_data(tmp_path, data, prior):
    """Multiplicities, labels, split rows and a fixed prior come back."""
    settings = {"counts": DATA[data]} | ({} if prior is None else {"prior": prior})
    settings["learn_prior"] = prior is None
    half = through_a_file(fit(11, **settings), tmp_path / "run.npz")
    assert half.counts == DATA[data]
    assert half.learn_prior == (prior is None)
    assert fingerprint(half.resume(STEPS - 11)) == fingerprint(fit(**settings))


@pytest.mark.parametrize("start", [er.Beta([2, 3, 4, 5], 0.1), er.Parameter(logits=[0, 1, 2, 3])])
def test_a_guide_that_starts_elsewhere(tmp_path, start):
    half = through_a_file(fit(11, guide=start), tmp_path / "run.npz")
    assert fingerprint(half.resume(STEPS - 11)) == fingerprint(fit(guide=start))


def test_more_steps_than_were_asked_for(tmp_path):
    """A finished run goes on; a saved one is as good as one in memory."""
    run = fit(20)
    loaded = through_a_file(run, tmp_path / "run.npz")
    for more in (1, 5, 20):
        assert fingerprint(loaded.resume(more)) == fingerprint(run.resume(more))
    assert fingerprint(loaded.resume(20)) == fingerprint(fit(40))


def test_a_run_that_has_ended(tmp_path):
    """What left its range stays ended, with the same sentence."""
    ended = fit(3000, guide="empty", loss="exact", optimizer=er.Adam(lr=0.5))
    loaded = through_a_file(ended, tmp_path / "run.npz")
    assert loaded.stopped == "unbounded"
    assert fingerprint(loaded) == fingerprint(ended)
    with pytest.raises(ValueError, match="cannot go on"):
        loaded.resume(1)


# -- interrupted inside a step -------------------------------------------------------------------

OVERFLOW = {  # the second value is not finite: the run ends in the middle of a block
    "counts": er.Counts(3 * 10**17, 10**18),
    "guide": "none",
    "loss": "exact",
    "optimizer": er.Adam(lr=9e299),
}
RUNS = {
    "trace": {"guide": "beta"},
    "exact": {"guide": "tied", "loss": "exact"},
    "overflow": OVERFLOW,
}
BLOCKS = {"trace": 30, "exact": 12, "overflow": 3}  # numbers in a block of three steps
ADVANCING = {
    "advance_to", "advance", "added", "with_losses", "arrays", "_appended", "thinned", "kept",
    "joined", "end",
}  # fmt: skip


def interrupted(where, event, settings):
    """A run with a KeyboardInterrupt at the so-manyth traced event, and whether there was one.

    Behind the loop, where the result is put together, it takes the run with it: None.
    """
    left, run = where, None

    def local(frame, kind, argument):
        nonlocal left
        if kind == event:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return local

    def trace(frame, kind, argument):
        if frame.f_code.co_filename == loop.__file__ and frame.f_code.co_name in ADVANCING:
            frame.f_trace_opcodes = event == "opcode"
            return local
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(KeyboardInterrupt):
            run = fit(**settings)
    finally:
        sys.settrace(before)
    return run, left <= 0


def differing(event, settings, through=lambda run: run):
    """The events at which an interrupted and resumed run differs, and how many were tried."""
    whole = fingerprint(fit(**settings))
    wrong, tried, happened = [], 0, True
    while happened:
        run, happened = interrupted(tried + 1, event, settings)
        if run is not None:
            try:
                run = through(run)
                same = fingerprint(run.resume() if run.stopped == "interrupted" else run) == whole
            except ValueError:  # it cannot be put together, or not go on
                same = False
            if not same:
                wrong.append(tried + 1)
        tried += 1
    return wrong, tried


@pytest.mark.parametrize("name", few(reversed(RUNS)))
def test_interrupted_at_every_line(tmp_path, monkeypatch, name):
    """Of the loop, the step and the losses of a block; saved and loaded before it goes on."""
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", BLOCKS[name])

    def through(run):
        return through_a_file(run, tmp_path / "run.npz")

    wrong, tried = differing("line", {"num_steps": 8, **RUNS[name]}, through)
    assert wrong == []
    assert tried > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_interrupted_at_every_instruction(monkeypatch, name):
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", BLOCKS[name])
    wrong, tried = differing("opcode", {"num_steps": 5, **RUNS[name]})
    assert wrong == []
    assert tried > 150


@pytest.mark.thorough
def test_the_interrupts_find_what_is_left_half_done(monkeypatch):
    """Negative control: what an interrupted step has added is taken for a step that was made."""
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", BLOCKS["trace"])

    def added(self, vector, value):
        self.items.append((vector, value))
        return loop.Waiting(self.items, self.size + 1)

    monkeypatch.setattr(loop.Waiting, "added", added)
    wrong, tried = differing("line", {"num_steps": 8, **RUNS["trace"]})
    assert 0 < len(wrong) < tried


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_interrupted_at_any_moment(tmp_path):
    """By a signal, wherever it falls, also inside NumPy."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    settings = {"num_steps": 120, "guide": "beta"}
    whole = fingerprint(fit(**settings))
    rng = np.random.default_rng(0)
    caught = 0
    gc.disable()  # an interrupt within a callback of the collector, as hypothesis has one, is lost
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in rng.uniform(1e-4, 0.012, size=25):
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                run = fit(**settings)
            except KeyboardInterrupt:  # before the loop or after it
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if run.stopped == "interrupted":
                caught += 1
                run = through_a_file(run, tmp_path / "run.npz").resume()
            assert fingerprint(run) == whole, delay
    finally:
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert caught > 0


# -- planted faults ------------------------------------------------------------------------------


def put_in(**changes):
    return lambda state: state._replace(**changes)


def moments(**changes):
    def plant(state):
        new = {name: change(getattr(state.optimizer, name)) for name, change in changes.items()}
        return state._replace(optimizer=state.optimizer._replace(**new))

    return plant


def one_value_off(state):
    vectors, values = state.waiting.arrays(state.vector.size)
    values[-1] = np.nextafter(values[-1], np.inf)
    return state._replace(waiting=loop.Waiting.of(vectors, values))


FAULTS = {
    "generator": put_in(generator=np.random.default_rng(0).bit_generator.state),
    "first_moment": moments(first_moment=np.zeros_like),
    "second_moment": moments(second_moment=np.zeros_like),
    "largest": moments(largest=lambda x: 2 * x),
    "single precision": lambda s: s._replace(vector=s.vector.astype("f4").astype("f8")),
    "last bit of a value": one_value_off,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(tmp_path, fault):
    """Negative control: what is left out of the file changes the run."""
    settings = {"guide": "beta", "optimizer": OPTIMIZERS["amsgrad"]}
    path, half = tmp_path / "run.npz", fit(17, **settings)

    def resumed(state):
        path.write_bytes(checkpoint.pack([(half.config, state, 17)]))
        return fingerprint(er.load_run(path).resume(STEPS - 17))

    whole = fingerprint(fit(**settings))
    assert resumed(half.state) == whole
    assert resumed(FAULTS[fault](half.state)) != whole


def test_where_blocks_begin_is_kept(tmp_path):
    """A run that worked out its losses early would count its blocks from there."""
    half = fit(17)
    early = loop.with_losses(half.config, half.state)
    assert half.state.waiting.size == 3 and early.waiting.size == 0
    path = tmp_path / "run.npz"
    path.write_bytes(checkpoint.pack([(half.config, early, 17)]))
    resumed, whole = er.load_run(path).resume(STEPS - 17), fit()
    assert resumed.state.waiting.size != whole.state.waiting.size


# -- taken up by the command -----------------------------------------------------------------------


def asked(path=None, num_steps=20, **changes):
    """A checkpoint of three guides, each before its first step."""
    settings = {
        "counts": COUNTS,
        "loss": "trace",
        "prior": er.Beta(1.0, 1.0),
        "learn_prior": True,
        "optimizer": OPTIMIZERS["adam"],
        "num_particles": 3,
        "rng": 0,
        "constraint": "positive",
        "subsample_size": None,
    }
    guides = changes.pop("guides", {"beta": "beta", "empty": "empty", "tied": "tied"})
    settings |= changes
    rng = np.random.default_rng(settings["rng"])
    configs = {name: checked_config(guide=guide, **settings) for name, guide in guides.items()}
    states = {name: loop.initial_state(config, rng) for name, config in configs.items()}
    return checkpoint.Checkpoint(path, configs, states, num_steps)


def go_on(saving, guide, num_steps):
    state = saving.states[guide]
    draws = loop.generator_of(state)
    saving.states[guide] = loop.advance_to(saving.configs[guide], state, draws, num_steps)


def test_several_guides_under_one_file(tmp_path):
    """Stopped in the second of three."""
    path, whole = tmp_path / "run.npz", asked()
    for guide in whole.configs:
        go_on(whole, guide, 20)
    first = asked(path)
    go_on(first, "beta", 20)
    go_on(first, "empty", 9)
    first.save()
    second = asked(path)
    second.take_up()
    assert [state.step for state in second.states.values()] == [20, 9, 0]
    for guide, config in second.configs.items():
        go_on(second, guide, 20)
        ours, theirs = (run_at(config, s.states[guide], 20) for s in (second, whole))
        assert fingerprint(ours) == fingerprint(theirs)


DIFFERENCES = {
    "counts": {"counts": DATA["labels"]},
    "loss": {"loss": "exact"},
    "prior": {"prior": er.Beta(2.0, 1.0)},
    "where the guide starts": {"guides": {"beta": er.Beta(2, 1), "empty": "empty", "tied": "tied"}},
    "optimizer": {"optimizer": OPTIMIZERS["clipped"]},
    "num_particles": {"num_particles": 4},
    "seed": {"rng": 1},
    "guide empty": {"guides": {"beta": "beta"}},
    "whether the prior is learned": {"learn_prior": False, "guides": {"beta": "beta"}},
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_another_run(tmp_path, what):
    """What differs is named."""
    path = tmp_path / "run.npz"
    guides = {"guides": {"beta": "beta"}} if what.startswith("whether") else {}
    asked(path, **guides).save()
    asked(path, **guides).take_up()
    with pytest.raises(ValueError, match=what) as caught:
        asked(path, **DIFFERENCES[what]).take_up()
    assert not isinstance(caught.value, checkpoint.CheckpointError)


def test_fewer_steps_than_made(tmp_path):
    path = tmp_path / "run.npz"
    saving = asked(path)
    go_on(saving, "tied", 15)
    saving.save()
    asked(path, 15).take_up()
    with pytest.raises(ValueError, match="15 steps already"):
        asked(path, 14).take_up()


def test_a_file_is_not_written_all_the_time(tmp_path, monkeypatch):
    """At first, and then only when some time has passed."""
    path = tmp_path / "run.npz"
    monkeypatch.setattr(checkpoint, "_SECONDS", 1e9)
    saving = asked(path)
    saving.save_now_and_then()
    before = path.stat().st_mtime_ns
    for _ in range(10):
        saving.save_now_and_then()
    assert path.stat().st_mtime_ns == before
    asked().save_now_and_then()


@pytest.mark.parametrize(("took", "waits"), [(0.0, 1.0), (0.05, 1.0), (0.5, 10.0)])
def test_a_file_is_written_in_a_twentieth_of_the_time(tmp_path, monkeypatch, took, waits):
    """And once a second at most."""
    now = iter(
        [100.0, 100.0 + took, 100.0 + took + waits - 1e-3, 100.0 + took + waits, 900.0, 900.0]
    )
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(now))
    saving, written = asked(tmp_path / "run.npz"), []
    monkeypatch.setattr(checkpoint, "write", lambda *_, **__: written.append(1))
    saving.save()
    saving.save_now_and_then()
    assert len(written) == 1
    saving.save_now_and_then()
    assert len(written) == 2


# -- files that are none, or another's -----------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.npz"
    er.save_run(fit(17, counts=DATA["labels"]), path)
    return path


def refusal(path):
    with pytest.raises(checkpoint.CheckpointError) as caught:
        er.load_run(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message.removeprefix(str(path))
    return message


def rewrite(path, edit=lambda document: None, **arrays):
    """The file with its document edited, and members replaced, or dropped if None."""
    with np.load(path) as file:
        members = dict(file)
    document = json.loads(str(members["runs"]))
    edit(document)
    members |= {"runs": np.array(json.dumps(document)), **{f"0/{k}": v for k, v in arrays.items()}}
    np.savez(path, **{name: value for name, value in members.items() if value is not None})


def test_plain(saved):
    """An npz of numbers and one JSON text: np.load opens it and needs no pickle."""
    with np.load(saved, allow_pickle=False) as file:
        kinds = {name: file[name].dtype.kind for name in file}
        document = json.loads(str(file["runs"]))
    assert kinds.pop("runs") == "U"
    assert set(kinds.values()) == {"f"}
    assert document["schema"] == "elbo_ref/checkpoint/2"
    assert document["runs"][0]["generator"]["bit_generator"] == "PCG64"


def test_values_of_an_earlier_version(tmp_path):
    """Where nothing is drawn they were nan."""
    path, half = tmp_path / "run.npz", fit(17, loss="exact")
    er.save_run(half, path)
    rewrite(path, values=np.full(half.state.waiting.size, np.nan))
    assert fingerprint(er.load_run(path)) == fingerprint(half)


def test_same_bytes(saved, tmp_path):
    again = tmp_path / "again.npz"
    er.save_run(fit(17, counts=DATA["labels"]), again)
    assert again.read_bytes() == saved.read_bytes()
    er.save_run(er.load_run(saved), again, overwrite=True)
    assert again.read_bytes() == saved.read_bytes()


def test_a_file_in_the_way(saved):
    before = saved.read_bytes()
    with pytest.raises(FileExistsError):
        er.save_run(fit(3), saved)
    assert saved.read_bytes() == before
    er.save_run(fit(3), saved, overwrite=True)
    assert len(er.load_run(saved).losses) == 3


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        er.load_run(tmp_path / "none.npz")


def test_truncated(saved):
    """At every hundredth byte, and at the last few."""
    whole = saved.read_bytes()
    for size in [*range(0, len(whole), 100), *range(len(whole) - 30, len(whole))]:
        saved.write_bytes(whole[:size])
        refusal(saved)
        assert saved.read_bytes() == whole[:size]


def test_flipped_bytes(saved):
    """Any one byte: refused, or a byte that means nothing, such as a date."""
    whole, original = saved.read_bytes(), fingerprint(er.load_run(saved))
    places = np.random.default_rng(1).choice(len(whole), size=200, replace=False)
    refused = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        saved.write_bytes(changed)
        try:
            run = er.load_run(saved)
        except checkpoint.CheckpointError:
            refused += 1
        else:
            assert fingerprint(run) == original, place
    assert refused > 150


def test_missing_bytes(saved):
    """A hole in the middle."""
    whole = saved.read_bytes()
    for place in np.random.default_rng(2).choice(len(whole) - 50, size=100, replace=False):
        saved.write_bytes(whole[:place] + whole[place + 33 :])
        refusal(saved)


class Marker:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("member", ["runs", "0/vector", "other"])
def test_nothing_is_unpickled(saved, tmp_path, member):
    marker = tmp_path / "ran"
    trap = np.empty((), dtype=object)
    trap[()] = Marker(marker)
    with np.load(saved) as file:
        members = dict(file)
    np.savez(saved, **{**members, member: trap})
    assert "Python objects" in refusal(saved)
    saved.write_bytes(pickle.dumps(Marker(marker)))
    refusal(saved)
    assert not marker.exists()
    pickle.loads(saved.read_bytes())
    assert marker.exists()  # so it would have


def run_of(document):
    return document["runs"][0]


def put(name, value):
    return lambda document: run_of(document).update({name: value})


def drop(name):
    return lambda document: run_of(document).pop(name)


def generator(**changes):
    return lambda document: run_of(document)["generator"].update(changes)


EDITS = {
    "schema": lambda document: document.update(schema="elbo_ref/checkpoint/1"),
    "no schema": lambda document: document.pop("schema"),
    "no runs": lambda document: document.update(runs=[]),
    "runs": lambda document: document.update(runs=7),
    "a second run": lambda document: document["runs"].append(run_of(document)),
    **{f"no {name}": drop(name) for name in ("counts", "guide", "steps", "ended", "generator")},
    "counts": put("counts", {"successes": [3], "total_count": [2]}),
    "other counts": put("counts", {"successes": [3], "total_count": [4]}),
    "guide": put("guide", "gamma"),
    "another guide": put("guide", "none"),
    "loss": put("loss", "elbo"),
    "prior": put("prior", [1.0, -1.0]),
    "priors": put("prior", [[1.0, 1.0], [1.0, 1.0]]),
    "learn_prior": put("learn_prior", "yes"),
    "not learned": put("learn_prior", False),
    "optimizer": put("optimizer", {"name": "Counter"}),
    "setting": put("optimizer", {"name": "Adam", "momentum": 1}),
    "lr": put("optimizer", {"name": "Adam", "lr": -1.0}),
    "num_particles": put("num_particles", 0),
    "num_steps": put("num_steps", "many"),
    "seed": put("seed", 0.5),
    "steps": put("steps", 18),
    "no whole steps": put("steps", 17.0),
    "adam_step": put("adam_step", -1),
    "other than steps": put("adam_step", 16),
    "beyond any float": put("adam_step", 10**400),
    "stride": put("stride", 0),
    "ended": put("ended", "the objective"),
    "ended by no parameter": put("ended", 10**6),
    "generator's kind": generator(bit_generator="seed"),
    "generator's state": generator(state=None),
    "generator's number": generator(state={"state": 2**200, "inc": 1}),
    "not finite": put("prior", [float("inf"), 1.0]),
    "not finite in labels": lambda d: run_of(d)["counts"].update(labels=[1, 2, 3, float("inf")]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_wrong_document(saved, edit):
    rewrite(saved, EDITS[edit])
    assert "Traceback" not in refusal(saved)


def test_an_edit_that_changes_nothing(saved):
    """Negative control of the edits."""
    before = fingerprint(er.load_run(saved))
    rewrite(saved)
    assert fingerprint(er.load_run(saved)) == before


@pytest.mark.parametrize("name", ["vector", "own", "owns", "losses", "priors", "rows", "values"])
def test_a_wrong_array(saved, name):
    with np.load(saved) as file:
        good = file[f"0/{name}"]
    for bad in (
        None,
        good[..., :-1],
        good.astype("f4"),
        good.astype("U9"),
        good[None],
        np.float64(1),
    ):
        rewrite(saved, **{name: bad})
        assert name in refusal(saved)
    rewrite(saved, **{name: good})
    er.load_run(saved)


@pytest.mark.parametrize("name", ["vector", "priors", "owns"])
def test_a_number_that_is_none(saved, name):
    """NaN where a run cannot have one."""
    with np.load(saved) as file:
        rewrite(saved, **{name: file[f"0/{name}"] * np.nan})
    refusal(saved)


def test_no_function_of_numpy_is_called(saved):
    """A generator's name is looked up in a list, not in `numpy.random`."""
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    rewrite(saved, generator(bit_generator="seed"))
    assert "'seed'" in refusal(saved)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


def test_several_runs(saved):
    run = er.load_run(saved)
    saved.write_bytes(checkpoint.pack([(run.config, run.state, 17)] * 3))
    assert "3 runs" in refusal(saved)


class Momentum:
    """An optimizer of somebody's own."""

    lr = 0.1

    def init(self, parameters):
        return adam.Adam().init(parameters)

    def update(self, state, parameters, gradient):
        return parameters - self.lr * gradient, state


class Own(np.random.PCG64):
    """A generator of somebody's own."""

    @property
    def state(self):
        return {**super().state, "bit_generator": "Own"}

    @state.setter
    def state(self, value):
        np.random.PCG64.state.__set__(self, {**value, "bit_generator": "PCG64"})


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"optimizer": Momentum()}, "Momentum"), ({"rng": np.random.Generator(Own(1))}, "Own")],
    ids=["optimizer", "generator"],
)
def test_what_cannot_be_saved(tmp_path, settings, name):
    """Said when it is saved, not when it is needed."""
    with pytest.raises(TypeError, match=f"{name} cannot be saved"):
        er.save_run(fit(3, **settings), tmp_path / "run.npz")
    assert os.listdir(tmp_path) == []


def test_a_bomb_is_refused(saved):
    """An array that says it is larger than an archive may be is not unpacked."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    )
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", header.getvalue() + bytes(2**20))
    assert "unpacks to" in refusal(saved)
