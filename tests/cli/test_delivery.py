"""What cannot be written is not lost, and an interrupt waits for nothing, in the command's process.

The faults come where the run is over: the folder goes, the disk fills up, standard output is full.
`test_faults.py` has the same with processes, signals and disks.
"""

import errno
import json
import os
import shutil
import signal
import sys
import time

import pytest

from elbo_ref.cli import console, fit, live, runs
from elbo_ref.io import atomic
from elbo_ref.svi import loop
from places import SCHEMA
from tiers import few

if os.name != "posix":
    pytest.skip("signals and files of POSIX", allow_module_level=True)

jsonschema = pytest.importorskip("jsonschema")
BRIEF = ("--example", "coin", "--guide", "beta", "--num-steps", "5", "--loss", "exact", "--json")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def rescues(tmp_path, monkeypatch):
    """The temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def at_the_end(monkeypatch, fault):
    """Let a fault happen when the run is over and nothing is written yet."""
    original = runs._hand_over

    def hand_over(*arguments):
        fault()
        return original(*arguments)

    monkeypatch.setattr(runs, "_hand_over", hand_over)


def refuse(monkeypatch, path, error=FULL):
    """Let a file be one that cannot be written."""
    original = atomic.write

    def write(to, content, overwrite=False):
        if to == path:
            raise error
        original(to, content, overwrite)

    monkeypatch.setattr(atomic, "write", write)


def sound(text):
    document = json.loads(text)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


# -- files ---------------------------------------------------------------------------------------


def test_a_folder_that_has_gone(command, tmp_path, rescues, monkeypatch):
    """The document is printed, and kept in the temporary folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    whole = command(*BRIEF)
    at_the_end(monkeypatch, lambda: shutil.rmtree(folder))
    code, out, err = command(*BRIEF, "--output", folder / "fit.json")
    assert (code, out) == (73, whole[1])
    (kept,) = rescues.iterdir()
    assert kept.read_text() == out and kept.suffix == ".json"
    assert kept.stat().st_mode & 0o077 == 0
    assert err.count("\n") == 1
    assert f"{folder}/fit.json: No such file" in err and str(kept) in err


@pytest.mark.parametrize("number", few([errno.EDQUOT, errno.EROFS]))
def test_a_file_that_cannot_be_written(command, tmp_path, rescues, monkeypatch, number):
    """Kept beside the checkpoint; a picture and its document each for itself."""
    pytest.importorskip("matplotlib")
    output, plot, saved = (tmp_path / name for name in ("a.csv", "a.svg", "saved/run.npz"))
    saved.parent.mkdir()
    for path in (output, plot):
        refuse(monkeypatch, path, OSError(number, os.strerror(number)))
    places = ("--output", output, "--plot", plot, "--checkpoint", saved)
    code, out, err = command(*BRIEF, *places)
    assert code == 73 and sound(out)
    kept = sorted(saved.parent.glob("elbo_ref-*"), key=lambda path: path.suffix)
    assert [path.suffix for path in kept] == [".csv", ".svg"]
    assert kept[0].read_text().startswith("guide,") and b"<svg" in kept[1].read_bytes()
    assert err.count(os.strerror(number)) == 2
    assert all(str(path) in err for path in kept)


@pytest.mark.parametrize("option", ["--exact", "--estimates"])
def test_what_needs_no_run_is_kept_too(command, tmp_path, rescues, monkeypatch, option):
    output = tmp_path / "a.json"
    refuse(monkeypatch, output)
    code, out, err = command("--example", "coin", option, "--json", "--output", output)
    (kept,) = rescues.iterdir()
    assert code == 73 and kept.read_text() == out
    assert str(kept) in err


def test_no_place_at_all(command, tmp_path, rescues, monkeypatch):
    """Still printed, and said."""
    at_the_end(monkeypatch, lambda: shutil.rmtree(rescues))
    refuse(monkeypatch, tmp_path / "a.json")
    code, out, err = command(*BRIEF, "--output", tmp_path / "a.json")
    assert code == 73 and sound(out)
    assert "could not be kept elsewhere either" in err


def test_a_checkpoint_that_cannot_be_saved(command, tmp_path, rescues, monkeypatch):
    """The run goes on, and is whole; its last state can be taken up from where it was kept."""
    saved, whole = tmp_path / "run.npz", command(*BRIEF)
    monkeypatch.setattr(
        "elbo_ref.svi.checkpoint.write", lambda *_, **__: (_ for _ in ()).throw(FULL)
    )
    code, out, err = command(*BRIEF, "--checkpoint", saved)
    monkeypatch.undo()
    assert (code, out) == (73, whole[1])
    (kept,) = tmp_path.glob("elbo_ref-*.npz")
    assert f"{saved}: No space left on device; the run goes on\n" in err
    assert err.count("\n") == 2 and str(kept) in err.splitlines()[1]
    more = (*BRIEF, "--num-steps", 9)
    assert command(*more, "--checkpoint", kept, "--resume") == command(*more)


def test_a_checkpoint_that_can_be_saved_again(command, tmp_path, monkeypatch):
    """Nothing is amiss at the end."""
    from elbo_ref.svi import checkpoint

    left, write = [FULL], checkpoint.write

    def once(*arguments, **options):
        if left:
            raise left.pop()
        write(*arguments, **options)

    monkeypatch.setattr(checkpoint, "write", once)
    code, _, err = command(*BRIEF, "--checkpoint", tmp_path / "run.npz")
    assert (code, err.count("\n")) == (0, 1)
    assert checkpoint.load(tmp_path / "run.npz")[0][1].step == 5


# -- before the run ------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--output", "--checkpoint", "--plot"])
def test_a_place_is_tried_before_the_run(command, tmp_path, monkeypatch, option):
    """A loop of links, no room, a name too long: before anything is read."""
    pytest.importorskip("matplotlib")
    loop, full, long = (tmp_path / f"{name}.svg" for name in ("loop", "full", 300 * "x"))
    ending = ".json" if option == "--output" else ".svg"
    loop, full, long = (path.with_suffix(ending) for path in (loop, full, long))
    loop.symlink_to(loop.name)
    for path, word in ((loop, "a loop of links"), (long, "too long")):
        code, out, err = command("none.csv", option, path)
        assert (code, out) == (73, "") and word in err
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(FULL))
    code, out, err = command("none.csv", option, full)
    assert (code, out) == (73, "") and "No space left" in err
    assert os.listdir(tmp_path) == [loop.name]


def test_a_long_name_can_be_written(tmp_path):
    """Also one that leaves no room for an ending."""
    path = tmp_path / ("x" * 255)
    atomic.check_free(path, False)
    atomic.write(path, b"new")
    assert path.read_bytes() == b"new"


# -- standard output -----------------------------------------------------------------------------


@pytest.fixture
def full():
    """A standard output that takes nothing."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as stream:
        yield stream


def test_a_full_standard_output(command, tmp_path, rescues, monkeypatch, full):
    """The file is written all the same."""
    monkeypatch.setattr(sys, "stdout", full)
    code, _, err = command(*BRIEF, "--output", tmp_path / "a.json")
    assert code == 73 and err == "elbo_ref: standard output: No space left on device\n"
    assert sound((tmp_path / "a.json").read_text()) and not list(rescues.iterdir())


def test_a_full_standard_output_alone(command, rescues, monkeypatch, full):
    """What was to be printed is kept."""
    monkeypatch.setattr(sys, "stdout", full)
    code, _, err = command(*BRIEF)
    (kept,) = rescues.iterdir()
    assert code == 73 and str(kept) in err and sound(kept.read_text())


def test_a_closed_standard_output(command, tmp_path, monkeypatch):
    """With a file to write the run is made, and without one it is not."""
    monkeypatch.setattr(sys, "stdout", None)
    code, _, err = command(*BRIEF, "--output", tmp_path / "a.json")
    assert (code, err) == (73, "elbo_ref: standard output: it is closed\n")
    assert sound((tmp_path / "a.json").read_text())
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(fit, "read_input", pytest.fail)
    code, _, err = command(*BRIEF)
    assert (code, err) == (73, "elbo_ref: standard output: it is closed\n")


# -- interrupts ----------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(console, "_PATIENCE", 0.05)


def kill_and(work):
    """A signal, and then work that takes too long."""

    def slow(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass
        return work(*arguments)

    return slow


@pytest.mark.parametrize("form", ["json", "text", "csv"])
def test_a_diagnosis_is_not_waited_for(command, tmp_path, monkeypatch, impatient, form):
    """The run is whole, and written without it; what it lacks has its reason."""
    monkeypatch.setattr(runs, "diagnose", kill_and(runs.diagnose))
    output = tmp_path / ("a.csv" if form == "csv" else "a.json")
    arguments = [x for x in BRIEF if form == "json" or x != "--json"]
    begun = time.monotonic()
    code, out, err = command(*arguments, "--output", output)
    assert code == 130 and err == "elbo_ref: interrupted\n"
    assert time.monotonic() - begun < 3
    if form == "csv":
        assert output.read_text().startswith("guide,")
        return
    document = sound(output.read_text())
    assert document["interrupted"] and not document["converged"]
    (diagnosis,) = document["diagnoses"]
    assert diagnosis["run"]["stopped"] == "completed" and len(diagnosis["run"]["losses"]) == 5
    assert diagnosis["case"] is None and "interrupted" in diagnosis["case_reason"]
    assert out == output.read_text() if form == "json" else "not diagnosed" in out


def test_a_step_is_not_waited_for(command, monkeypatch, impatient):
    """What is left stands between two steps, and the guides behind it are not begun."""
    original, calls = loop.advance, []

    def advance(*arguments):
        calls.append(arguments)
        return (kill_and(original) if len(calls) == 3 else original)(*arguments)

    monkeypatch.setattr(loop, "advance", advance)
    code, out, err = command("--example", "coin", "--loss", "exact", "--json")
    document = sound(out)
    assert code == 130 and document["not_begun"] == ["empty", "tied"]
    assert len(document["diagnoses"][0]["run"]["losses"]) == 2
    assert err == "elbo_ref: interrupted before guide empty, tied\n"


def test_a_picture_is_not_waited_for(command, tmp_path, monkeypatch, impatient):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(runs, "save_figure", kill_and(runs.save_figure))
    code, out, err = command(*BRIEF, "--plot", tmp_path / "a.png")
    assert code == 130 and not sound(out)["interrupted"]
    assert "a.png: not drawn" in err and os.listdir(tmp_path) == []


def test_swallowed_interrupts_come_again(monkeypatch, impatient):
    """As by a callback of C."""
    monkeypatch.setattr(console, "_AGAIN", 0.05)
    swallowed = []

    def work():
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            try:
                while True:
                    pass
            except KeyboardInterrupt:
                swallowed.append(1)
                if len(swallowed) == 3:
                    raise

    with console.Interrupts() as interrupts:
        assert interrupts.attempt(work, "otherwise") == "otherwise"
    assert len(swallowed) == 3
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_bug_is_not_taken_for_an_interrupt():
    with console.Interrupts() as interrupts, pytest.raises(ZeroDivisionError):
        interrupts.attempt(lambda: 1 / 0, None)


def test_what_is_written_after_an_interrupt_is_said(capsys, impatient):
    """Once; what is written is written to its end."""
    with console.Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.15)
        assert interrupts.asked
    assert capsys.readouterr().err.count("writing what was reached") == 1


def test_a_live_run_ends_with_the_interrupt(monkeypatch):
    """Our own run, which keeps what it has, does not swallow it."""
    ours = live.maximize_elbo

    def interrupted(*arguments, **options):
        run = ours(*arguments, **options)
        monkeypatch.setattr(type(run), "stopped", "interrupted")
        return run

    monkeypatch.setattr(live, "maximize_elbo", interrupted)
    monkeypatch.setattr(live, "_pyro", pytest.fail)
    counts = live.Counts([3, 0], [10, 4])
    with pytest.raises(KeyboardInterrupt):
        live.run_live(counts, live.Settings("beta", num_steps=2))


def test_a_relative_place_in_a_folder_that_is_gone(command, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    code, out, err = command("--example", "coin", "--exact", "--output", "new.json")
    assert (code, out) == (73, "")
    assert err == "elbo_ref: new.json: No such file or directory\n"
