"""The command as a process among others: signals, pipes, disks, and ``kill -9``.

Every test starts ``python -m elbo_ref.fit`` and looks at exit code, streams and files. A signal is
sent when a file, a pipe or /proc says that the moment has come, not after a fixed time. Where a
moment is too short to be hit, the process hits it itself (`SUICIDAL`) or stays in it (`EAGER`).
"""

import array
import contextlib
import json
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.cli import console
from elbo_ref.svi import checkpoint

if os.name != "posix":
    pytest.skip("signals and files of POSIX", allow_module_level=True)

pytestmark = pytest.mark.slow
fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")

PATIENCE = 120
PLAIN = ("-m", "elbo_ref.fit")

EAGER = (
    "-c",
    "import sys; from elbo_ref import fit; from elbo_ref.svi import checkpoint;"
    "checkpoint._SECONDS = checkpoint._SHARE = 0;"
    "sys.exit(fit.main())",
)
"""Saves after every step."""

SUICIDAL = """
import os, signal, sys
from elbo_ref import fit
from elbo_ref.svi import checkpoint
checkpoint._SECONDS = checkpoint._SHARE = 0
call, left, after = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "after"
real = getattr(os, call)
def last(*arguments, **options):
    global left
    left -= 1
    if left == 0 and after:
        real(*arguments, **options)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(os, call, last)
sys.exit(fit.main(sys.argv[4:]))
"""
"""Saves after every step and kills itself before or behind the so-manyth call of a function."""

ENDLESS = ("--example", "coin", "--loss", "exact", "--num-steps", 10**9)
BRIEF = ("--example", "coin", "--num-steps", 5)
REFERENCE = (
    *("--example", "litters_treated", "--num-particles", 3, "--lr", 0.02),
    *("--num-steps", 700, "--seed", 4, "--json"),
)
"""A run of some two seconds: three guides, random draws."""


_STARTED = []


@pytest.fixture(autouse=True, scope="module")
def ctrl_c_is_heard():
    """Also where the tests run in the background of a script, which would have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def rescues(tmp_path_factory):
    """The temporary folder, where what could not be written is kept."""
    folder = tmp_path_factory.mktemp("rescues")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def no_survivors():
    """Whatever a failed test has left running ends with it."""
    yield
    while _STARTED:
        process = _STARTED.pop()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def environment(**changes):
    """The test's own, without what changes streams, and with the package."""
    unwanted = ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "NO_COLOR", "TERM", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {"PYTHONPATH": str(Path(er.__file__).parents[1]), "TERM": "xterm"} | changes


def start(*arguments, program=PLAIN, prefix=(), env=None, **options):
    """A process; `prefix` is a command that runs it."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(
        [*prefix, sys.executable, *program, *map(str, arguments)],
        env=environment(**(env or {})),
        **{"stdin": subprocess.DEVNULL, **pipes, **options},
    )
    _STARTED.append(process)
    return process


def shell(words):
    """A shell's doing before the command, or to its streams."""
    return ("sh", "-c", words if '"$@"' in words else f'{words}; exec "$@"', "sh")


def no_more_than(blocks):
    """A limit on the size of files, in units of 512 bytes."""
    return shell(f"ulimit -f {blocks}")


def finish(process):
    """Exit code, standard output, standard error."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert b"Traceback" not in (err or b""), err.decode()
    return process.returncode, out, (err or b"").decode()


def run(*arguments, **options):
    return finish(start(*arguments, **options))


def together(*calls):
    """The results of several calls, at the same time."""
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def until(condition):
    """Poll until it is true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)
    return value


def one_line(err, *words):
    assert err.startswith("elbo_ref: ") and err.endswith("\n") and err.count("\n") == 1, err
    for word in words:
        assert str(word) in err
    return True


def names(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("successes,total_count\n3,10\n0,4\n1,5\n")
    return path


@pytest.fixture(scope="module")
def reference():
    """The bytes of the run that nothing disturbs."""
    code, out, err = run(*REFERENCE)
    assert (code, err) == (0, "")
    assert b'"interrupted": false' in out
    return out


# -- exit codes and streams ----------------------------------------------------------------------


def test_every_exit_code(table, tmp_path):
    """The result and nothing else on standard output, one line of what is wrong on the other."""
    bad = tmp_path / "bad.csv"
    bad.write_text("successes,total_count\n3,x\n")
    taken = tmp_path / "taken.json"
    taken.write_text("old")
    arrives = (
        *("--example", "coin", "--guide", "beta", "--fix-prior", "1,1"),
        *("--loss", "exact", "--num-steps", 600),
    )
    strict = "--require-converged"
    fine, converged, version, usage, away, data, missing, write = together(
        lambda: run(table),
        lambda: run(*arrives, strict),
        lambda: run("--version"),
        lambda: run(table, "--example", "coin"),
        lambda: run(*BRIEF, strict, "--json"),
        lambda: run(bad),
        lambda: run(tmp_path / "none.csv"),
        lambda: run(*BRIEF, "--output", taken),
    )
    assert (fine[0], fine[2]) == (0, "")
    assert fine[1].startswith(str(table).encode())
    assert (converged[0], converged[2]) == (0, "")
    assert version == (0, f"elbo_ref {er.__version__}\n".encode(), "")
    assert usage[:2] == (2, b"") and usage[2].startswith("python -m elbo_ref.fit: error: ")
    assert away[0] == 3 and not json.loads(away[1])["converged"]
    assert one_line(away[2], "not converged: beta, empty, tied")
    assert data[:2] == (65, b"") and one_line(data[2], bad, "line 2")
    assert missing[:2] == (66, b"") and one_line(missing[2], "none.csv")
    assert write[:2] == (73, b"") and one_line(write[2], taken, "exists", "--force")
    assert taken.read_text() == "old"


@pytest.mark.parametrize("error", [ValueError(), OSError(2, "no", "some/file"), KeyError("x")])
def test_a_bug_is_a_bug(error):
    """And goes its way to a traceback and exit code 1, not taken for bad data or a full disk."""

    def bug():
        raise error

    with pytest.raises(type(error)):
        console.guarded(bug)


def test_a_full_standard_output():
    """Said, also of help; a full standard error changes no exit code."""
    unbuffered = {"PYTHONUNBUFFERED": "1"}
    with open("/dev/full", "wb") as full:
        outs = together(
            lambda: run(*BRIEF, stdout=full),
            lambda: run("--help", stdout=full, env=unbuffered),
            lambda: run("--example", "list", stdout=full),
        )
        errs = together(
            lambda: run("none.csv", stderr=full),
            lambda: run("--no-such-option", stderr=full, env=unbuffered),
        )
    for code, _, err in outs:
        assert code == 73 and one_line(err, "standard output", "No space left")
    assert [code for code, _, _ in errs] == [66, 2]


def test_standard_output_fills_up(tmp_path):
    """Half of it written is not success, not even where Python itself would not notice."""

    def fill(name, **env):
        with open(tmp_path / name, "wb") as file:
            arguments = (*BRIEF, "--num-steps", 200, "--json")
            return run(*arguments, stdout=file, env=env, prefix=no_more_than(19))

    results = together(lambda: fill("a"), lambda: fill("b", PYTHONUNBUFFERED="1"))
    for code, _, err in results:
        assert code == 73 and one_line(err, "standard output", "too large")
    assert [(tmp_path / name).stat().st_size for name in ("a", "b")] == [19 * 512] * 2


def test_closed_streams(tmp_path):
    """What the shell's ``>&-`` closes stays closed; nothing of ours gets there."""
    output = tmp_path / "out.json"
    out, err, missing, stdin, nothing = together(
        lambda: run(*BRIEF, prefix=shell('exec "$@" >&-')),
        lambda: run(*BRIEF, "--output", output, prefix=shell('exec "$@" <&- 2>&-')),
        lambda: run("none.csv", prefix=shell('exec "$@" 2>&-')),
        lambda: run("-", prefix=shell('exec "$@" <&-')),
        lambda: run(*BRIEF, "--output", tmp_path, prefix=shell('exec "$@" <&- >&- 2>&-')),
    )
    assert out[0] == 73 and one_line(out[2], "standard output")
    assert err[0] == 0 and err[1].startswith(b"coin")
    assert json.loads(output.read_bytes())["interrupted"] is False
    assert missing[:2] == (66, b"")
    assert stdin[0] == 66 and one_line(stdin[2])
    assert nothing[0] == 2  # wrong usage, as with streams that are open
    assert names(tmp_path) == ["out.json"]


def test_odd_names(tmp_path):
    """A dash, a line break, an escape, bytes that are no text, and a terminal that knows ASCII."""
    name = "-\n\x1b[31mä".encode() + b"\xff.csv"
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(b"successes,total_count\n3,10\n")
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    arguments = ("--loss", "exact", "--num-steps", 5)
    text, plain, data = together(
        lambda: run(*arguments, "--", os.fsdecode(name), cwd=tmp_path),
        lambda: run(*arguments, "--", os.fsdecode(name), cwd=tmp_path, env=ascii_only),
        lambda: run(*arguments, "--json", os.fsdecode(path), env=ascii_only),
    )
    assert [(code, err) for code, _, err in (text, plain, data)] == [(0, "")] * 3
    assert text[1].decode().splitlines()[0] == r"-\n\x1b[31mä\udcff.csv"
    assert plain[1].isascii() and b"\x1b" not in plain[1]
    assert plain[1].splitlines()[1:] == text[1].splitlines()[1:]
    assert os.path.basename(os.fsencode(json.loads(data[1])["input"]["name"])) == name


LONG = ("--example", "coin", "--guide", "beta", "--loss", "exact", "--num-steps", 6000, "--json")
"""More text than fits into a pipe."""


def test_a_closed_pipe():
    """As after ``| head -c 10``, and where nobody ever reads: no traceback, no complaint."""

    def head(size, *arguments, **env):
        process = start(*arguments, env=env)
        first = process.stdout.read(size)
        process.stdout.close()
        process.stdout = None
        code, _, err = finish(process)
        return code, err, first

    results = together(
        lambda: head(10, *LONG),
        lambda: head(10, *LONG, PYTHONUNBUFFERED="1"),
        lambda: head(0, *BRIEF),
        lambda: head(0, "--help"),
    )
    assert [(code, err) for code, err, _ in results] == [(0, "")] * len(results)
    assert [first for _, _, first in results] == [b'{"conclusi'] * 2 + [b""] * 2


# -- signals -------------------------------------------------------------------------------------


def interrupted(number, *arguments, folder, program=PLAIN):
    """The end of a run that is sent a signal after its first step."""
    saved = folder / "checkpoint.npz"
    process = start(*arguments, "--checkpoint", saved, program=program)
    until(lambda: saved.exists() or process.poll() is not None)
    process.send_signal(number)
    return finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_interrupted_mid_run(tmp_path, number):
    """The partial result is printed and written, and says so."""
    folders = [tmp_path / name for name in ("text", "json", "csv")]
    for folder in folders:
        folder.mkdir()
    outputs = [folders[i] / f"result.{ending}" for i, ending in enumerate(("json", "json", "csv"))]
    options = ([], ["--json"], ["--json", "--guide", "beta"])
    results = together(
        *(
            lambda i=i: interrupted(
                number, *ENDLESS, *options[i], "--output", outputs[i], folder=folders[i]
            )
            for i in range(3)
        )
    )
    for (code, out, err), folder, output in zip(results, folders, outputs, strict=True):
        assert code == 130
        assert out
        assert one_line(err, "interrupted")
        assert names(folder) == ["checkpoint.npz", output.name]
    text = results[0][1].decode()
    assert re.search(r"interrupted at step \d+", text.replace("\n  ", " "))
    assert json.loads(outputs[0].read_bytes())["interrupted"]
    assert outputs[1].read_bytes() == results[1][1]
    document = json.loads(results[1][1])
    assert document["interrupted"] and not document["converged"]
    assert document["not_begun"] == ["empty", "tied"]
    assert "before guide empty, tied" in results[1][2]
    assert outputs[2].read_text().startswith("guide,")
    assert json.loads(results[2][1])["not_begun"] == []


def test_interrupted_in_the_second_guide(tmp_path):
    """The first is whole, the second partial, the third not begun."""
    saved = tmp_path / "checkpoint.npz"
    arguments = ("--example", "coin", "--loss", "exact", "--num-steps", 150, "--json")
    process = start(*arguments, "--checkpoint", saved, program=EAGER)

    def second_begun():
        if not saved.exists():
            return False
        steps = {config.guide: state.step for config, state, _ in checkpoint.load(saved)}
        return 0 < steps["empty"] < 150

    until(second_begun)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130 and one_line(err, "interrupted before guide tied")
    document = json.loads(out)
    steps = [len(diagnosis["run"]["losses"]) for diagnosis in document["diagnoses"]]
    assert steps[0] == 150 and 0 < steps[1] < 150
    assert document["not_begun"] == ["tied"]
    resumed = run(*arguments, "--checkpoint", saved, "--resume")
    assert resumed == run(*arguments)


def test_a_second_signal_aborts(tmp_path):
    """During a long step; however often it is pressed, one line and no result."""

    def abort(folder, *numbers):
        folder.mkdir()
        saved = folder / "checkpoint.npz"
        process = start(
            *("--example", "coin", "--guide", "beta", "--num-steps", 10**6, "--quiet", "--json"),
            *("--num-particles", 400_000, "--checkpoint", saved, "--output", folder / "a.json"),
            program=EAGER,
        )
        until(lambda: saved.exists() or process.poll() is not None)
        for number in numbers:
            process.send_signal(number)
        code, out, err = finish(process)
        assert (code, out) == (130, b"")
        assert one_line(err, "interrupted")
        assert names(folder) == ["checkpoint.npz"]
        assert checkpoint.load(saved)

    both = (signal.SIGINT, signal.SIGTERM)  # two of one kind at once can arrive as one
    together(lambda: abort(tmp_path / "a", *both), lambda: abort(tmp_path / "b", *both * 4))


def test_a_second_signal_aborts_a_write():
    """To somebody who does not read; what would be printed is let go."""
    process = start(*LONG)
    waiting = array.array("i", [0])

    def full():
        fcntl.ioctl(process.stdout, termios.FIONREAD, waiting)
        return waiting[0] >= 4096  # the rest of the text does not fit

    until(full)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == 130
    code, out, err = finish(process)
    assert code == 130 and out.startswith(b'{"conclusion')
    assert one_line(err, "interrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_interrupted_while_it_reads(tmp_path, number):
    """From standard input: nothing printed, nothing written."""
    output = tmp_path / "result.json"
    process = start("-", "--output", output, stdin=subprocess.PIPE)
    process.stdin.write(b"successes,total_count\n" + b"3,10\n" * 200_000)  # more than a pipe holds
    process.stdin.flush()
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (130, b"")
    assert one_line(err, "interrupted")
    assert names(tmp_path) == []


def test_in_the_background(tmp_path):
    """A script's ``&`` has Ctrl-C ignored, and it stays so; SIGTERM is heard."""
    saved = tmp_path / "checkpoint.npz"
    process = start(
        *(*ENDLESS, "--checkpoint", saved),
        prefix=shell("trap '' INT"),
        program=EAGER,
    )

    def steps():
        return checkpoint.load(saved)[0][1].step if saved.exists() else 0

    until(steps)
    process.send_signal(signal.SIGINT)
    before = steps()
    until(lambda: steps() > before + 2)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 130 and out and one_line(err, "interrupted")


# -- the terminal --------------------------------------------------------------------------------


def on_a_terminal(*arguments, folder, wait=True, **env):
    """What a terminal shows as standard error, until a line was shown; the rest; the exit code."""
    pty = pytest.importorskip("pty")
    folder.mkdir()
    saved = folder / "checkpoint.npz"
    ours, theirs = pty.openpty()
    process = start(*arguments, "--checkpoint", saved, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""

    def read():
        nonlocal shown
        if select.select([ours], [], [], 0)[0]:
            shown += os.read(ours, 4096)

    def enough():
        read()
        return shown.count(b"step") >= 3 if wait else saved.exists() and time.monotonic() > end

    until(saved.exists)
    end = time.monotonic() + 1.5
    until(enough)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    with contextlib.suppress(OSError):
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    return shown.decode(), out, process.returncode


def screen(text):
    """What is left of it on the screen."""
    lines = [[]]
    column = 0
    for part in re.findall(r"\x1b\[\d*m|.", text, re.DOTALL):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append([])
        elif not part.startswith("\x1b"):
            lines[-1][column : column + 1] = part
            column += 1
    return ["".join(line).rstrip() for line in lines]


def test_progress(tmp_path):
    """One line that renews itself and is wiped away, dim unless colour is not wanted."""
    coloured, plain, quiet = together(
        lambda: on_a_terminal(*ENDLESS, folder=tmp_path / "1"),
        lambda: on_a_terminal(*ENDLESS, folder=tmp_path / "2", NO_COLOR="1"),
        lambda: on_a_terminal(*ENDLESS, "--quiet", folder=tmp_path / "3", wait=False),
    )
    for shown, out, code in (coloured, plain, quiet):
        assert code == 130
        assert b"\x1b" not in out and b"\r" not in out
        assert screen(shown) == ["elbo_ref: interrupted before guide empty, tied", ""]
    steps = re.findall(r"beta: step (\d+) of 1000000000 \(0%\)", coloured[0])
    assert len(steps) >= 3
    assert sorted(map(int, steps)) == list(map(int, steps))
    assert "\x1b[2m" in coloured[0]
    assert coloured[0].count("\x1b[2m") == coloured[0].count("\x1b[0m")
    assert "step" in plain[0] and "\x1b" not in plain[0]
    assert "step" not in quiet[0] and "\x1b" not in quiet[0]


# -- files ---------------------------------------------------------------------------------------


def test_output(tmp_path):
    """JSON is what --json prints, CSV the posteriors; an old file only with --force."""
    whole, csv, linked = (tmp_path / name for name in ("a.json", "a.csv", "link.json"))
    linked.symlink_to("target.json")
    first, second, third = together(
        lambda: run(*BRIEF, "--json", "--output", whole),
        lambda: run(*BRIEF, "--output", csv),
        lambda: run(*BRIEF, "--json", "--output", linked),
    )
    assert [first[0], second[0], third[0]] == [0, 0, 0]
    assert whole.read_bytes() == first[1]
    assert csv.read_text().startswith("guide,")
    assert linked.is_symlink() and (tmp_path / "target.json").read_bytes() == first[1]
    everything = ["a.csv", "a.json", "link.json", "target.json"]
    assert names(tmp_path) == everything
    refused, forced = together(
        lambda: run(*BRIEF, "--seed", 1, "--output", whole),
        lambda: run(*BRIEF, "--seed", 1, "--output", linked, "--force"),
    )
    assert refused[0] == 73 and one_line(refused[2], whole, "--force")
    assert whole.read_bytes() == first[1]
    assert forced[0] == 0 and linked.is_symlink()
    assert json.loads(linked.read_bytes())["diagnoses"][0]["run"]["settings"]["seed"] == 1
    assert names(tmp_path) == everything


def test_what_cannot_be_written(tmp_path):
    """Said at once, with the file's name, before anything is read or done."""
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "null.json").symlink_to(os.devnull)
    before = names(tmp_path)
    paths = [tmp_path / name for name in ("null.json", "none/a.json", "folder.json")]
    results = together(
        *(lambda path=path: run("none.csv", "--output", path, "--force") for path in paths[:2]),
        lambda: run("none.csv", "--checkpoint", paths[2], "--resume"),
    )
    for (code, out, err), path in zip(results, paths, strict=True):
        assert (code, out) == (73, b"")
        assert one_line(err, path)
    assert names(tmp_path) == before


def test_one_file_for_two_purposes(tmp_path):
    """A result would take the place of its own checkpoint: wrong usage, before anything is done."""
    (tmp_path / "link.json").symlink_to("a.json")
    paths = ("--output", tmp_path / "a.json", "--checkpoint", tmp_path / "link.json")
    code, out, err = run("none.csv", *paths, "--force")
    assert (code, out) == (2, b"")
    assert "different files" in err.splitlines()[-1]
    assert names(tmp_path) == ["link.json"]


def test_modes(tmp_path):
    def modes(umask):
        paths = [tmp_path / f"{umask:o}.{ending}" for ending in ("json", "npz")]
        code, _, _ = run(*BRIEF, "--output", paths[0], "--checkpoint", paths[1], umask=umask)
        return code, *(stat.S_IMODE(path.stat().st_mode) for path in paths)

    assert together(lambda: modes(0o027), lambda: modes(0o077)) == [
        (0, *[0o640] * 2),
        (0, *[0o600] * 2),
    ]


def test_two_at_once(tmp_path):
    """Neither forces: one wins, the file is its own, whole."""
    output, exact = tmp_path / "result.json", ("--loss", "exact", "--num-steps", 5, "--json")
    processes = [
        start("-", *exact, "--output", output, "--seed", seed, stdin=subprocess.PIPE)
        for seed in (1, 2)
    ]
    for process in processes:  # more than a pipe holds: both have found the name free
        process.stdin.write(b"successes,total_count\n" + b"3,10\n" * 50_000)
        process.stdin.flush()
    for process in processes:
        process.stdin.close()
        process.stdin = None
    results = together(*(lambda process=process: finish(process) for process in processes))
    assert sorted(code for code, _, _ in results) == [0, 73]
    (winner,) = [out for code, out, _ in results if code == 0]
    (message,) = [err for code, _, err in results if code == 73]
    assert output.read_bytes() == winner
    assert one_line(message, output, "--force")
    assert names(tmp_path) == ["result.json"]


def test_a_file_that_grows_while_it_is_read(tmp_path):
    """Refused: half of one state and half of another is nobody's data."""
    path = tmp_path / "counts.csv"
    rows = np.random.default_rng(0).integers(0, 10**6, size=(250_000, 2))
    rows[:, 1] += rows[:, 0]
    path.write_bytes(b"successes,total_count\n" + "\n".join(f"{k},{n}" for k, n in rows).encode())
    process = start(path)
    positions = Path(f"/proc/{process.pid}/fdinfo")
    if not positions.exists():
        process.kill()
        pytest.skip("needs /proc")

    def place():
        """How far the file is read; it is the only one of its size."""
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) == str(path):
                    status = (positions / descriptor.name).read_text()
                    return int(status.split()[1])
        return 0

    until(lambda: place() > 0)
    process.send_signal(signal.SIGSTOP)
    assert 0 < place() < path.stat().st_size
    with open(path, "ab") as file:
        file.write(b"\n3,10\n")
    process.send_signal(signal.SIGCONT)
    code, out, err = finish(process)
    assert (code, out) == (65, b"")
    assert one_line(err, path, "changed while it was read")


# -- disks ---------------------------------------------------------------------------------------


def test_a_file_that_outgrows_the_disk(tmp_path):
    """A limit on file sizes: nothing new appears, and what was there is as before."""
    old, saved = tmp_path / "old.json", tmp_path / "saved.npz"
    old.write_text("old")
    limit = {"prefix": no_more_than(9)}
    results = together(
        lambda: run(*BRIEF, "--output", old, "--force", **limit),
        lambda: run(*BRIEF, "--checkpoint", saved, **limit),
    )
    whole = run(*BRIEF)[1]
    for (code, out, err), path in zip(results, (old, saved), strict=True):
        assert (code, out) == (73, whole)
        assert f"{path}: File too large" in err and "could not be kept elsewhere" in err
    assert old.read_text() == "old"
    assert names(tmp_path) == ["old.json"]


def test_a_checkpoint_that_no_longer_fits(tmp_path):
    """The disk fills up in the middle of a run: it is whole, and so is the last state saved."""
    saved = tmp_path / "saved.npz"
    arguments = ("--example", "coin", "--num-steps", 300, "--guide", "beta", "--json")
    code, out, err = run(
        *(*arguments, "--checkpoint", saved), program=EAGER, prefix=no_more_than(24)
    )
    assert code == 73
    assert f"{saved}: File too large; the run goes on\n" in err
    ((_, state, num_steps),) = checkpoint.load(saved)
    assert 0 < state.step < num_steps == 300
    assert names(tmp_path) == ["saved.npz"]
    resumed, whole = together(
        lambda: run(*arguments, "--checkpoint", saved, "--resume"), lambda: run(*arguments)
    )
    assert resumed == whole
    assert out == whole[1]


def test_a_full_disk(tmp_path):
    """A file system of a few pages, mounted where only this process and its children see it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=32k none '{disk}' && echo old > '{disk}/old.json'"
    if not shutil.which("unshare") or not mounts(mount):
        pytest.skip("needs the right to mount")
    command = f'"$@"; code=$?; ls -A "{disk}" >&2; cat "{disk}/old.json" >&2; exit $code'
    shell = ("unshare", "-m", "sh", "-c", f"{mount} && {command}", "sh")

    def on_the_disk(*arguments):
        process = [*shell, sys.executable, *PLAIN, *map(str, arguments)]
        done = subprocess.run(process, env=environment(), capture_output=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr.decode().splitlines()

    large = ("--example", "coin", "--num-steps", 3000, "--guide", "beta", "--loss", "exact")
    results = together(
        lambda: on_the_disk(*large, "--output", disk / "new.json"),
        lambda: on_the_disk(*large, "--output", disk / "old.json", "--force"),
        lambda: on_the_disk(*large, "--checkpoint", disk / "new.npz"),
    )
    whole = run(*large)[1]
    for (code, out, lines), name in zip(results, ("new.json", "old.json", "new.npz"), strict=True):
        assert (code, out) == (73, whole)
        assert one_line(lines[0] + "\n", disk / name, "No space left on device")
        said = [line for line in lines if line.startswith("elbo_ref: ")]
        kept = Path(said[-1].split(" is kept in ")[1])
        assert kept.suffix == Path(name).suffix and kept.stat().st_size > 2**15
        lines = [line for line in lines if line not in said[1:]]
        assert lines[-1] == "old"
        assert set(lines[1:-1]) <= {"old.json", "new.npz"}  # of steps that still fitted


def mounts(command):
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, check=False)
    return done.returncode == 0


def test_a_folder_that_is_read_only(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    rights = ()
    if os.access(folder, os.W_OK):  # root without the right to ignore permissions
        rights = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
        if not shutil.which("setpriv") or subprocess.call([*rights, "test", "-w", folder]) != 1:
            pytest.skip("everything can be written to here")
    results = together(
        lambda: run(*BRIEF, "--output", folder / "a.json", prefix=rights),
        lambda: run(*BRIEF, "--checkpoint", folder / "a.npz", prefix=rights),
    )
    for (code, out, err), name in zip(results, ("a.json", "a.npz"), strict=True):
        assert (code, out) == (73, b"")
        assert one_line(err, folder / name, "Permission denied")
    assert names(folder) == []


# -- taken up again ------------------------------------------------------------------------------


def test_resume_without_a_file(tmp_path, reference):
    """Starts afresh, leaves the checkpoint and nothing else, and once more is the same."""
    saved, output = tmp_path / "checkpoint.npz", tmp_path / "result.json"
    arguments = (*REFERENCE, "--checkpoint", saved, "--resume", "--output", output)
    assert run(*arguments) == (0, reference, "")
    assert output.read_bytes() == reference
    before = saved.read_bytes()
    assert run(*arguments, "--force") == (0, reference, "")
    assert saved.read_bytes() == before
    assert names(tmp_path) == ["checkpoint.npz", "result.json"]


def test_resume_with_more_steps(tmp_path):
    saved = tmp_path / "checkpoint.npz"
    arguments = ("--example", "rat_tumors", "--num-particles", 2, "--json", "--num-steps")
    first, whole = together(
        lambda: run(*arguments, 40, "--checkpoint", saved), lambda: run(*arguments, 65)
    )
    assert first[0] == 0
    assert run(*arguments, 65, "--checkpoint", saved, "--resume") == whole


def test_resume_after_an_interrupt(tmp_path, reference):
    code, out, _ = interrupted(signal.SIGINT, *REFERENCE, folder=tmp_path)
    assert code == 130
    assert json.loads(out)["interrupted"]
    arguments = ("--checkpoint", tmp_path / "checkpoint.npz", "--resume")
    assert run(*REFERENCE, *arguments) == (0, reference, "")


def test_a_checkpoint_of_another_run(tmp_path):
    """Whatever differs is named; the file is left alone."""
    saved = tmp_path / "checkpoint.npz"
    assert run(*BRIEF, "--checkpoint", saved)[0] == 0
    before = saved.read_bytes()
    code, out, err = run(*BRIEF, "--seed", 1, "--checkpoint", saved, "--resume")
    assert (code, out) == (2, b"")
    assert f"{saved} holds a run that differs in seed" in err.splitlines()[-1]
    assert saved.read_bytes() == before


def test_a_checkpoint_that_is_none(tmp_path):
    """Empty, cut off, something else: bad data, and left alone."""
    saved = tmp_path / "checkpoint.npz"
    assert run(*BRIEF, "--checkpoint", saved)[0] == 0
    whole = saved.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    contents = [b"", bytes(flipped)]
    paths = [tmp_path / f"{i}.npz" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    results = together(
        *(lambda path=path: run(*BRIEF, "--checkpoint", path, "--resume") for path in paths)
    )
    for (code, out, err), path, content in zip(results, paths, contents, strict=True):
        assert (code, out) == (65, b"")
        assert one_line(err, path, "not a checkpoint")
        assert path.read_bytes() == content


# -- kill -9 -------------------------------------------------------------------------------------


def survive(folder, kills, seed, program=PLAIN):
    """Kill a run at random moments of its life, each time taken up again; its end, and the kills.

    A life starts to count when Python has started, so that the moments are those of the run.
    """
    saved, output = folder / "checkpoint.npz", folder / "result.json"
    arguments = (*REFERENCE, "--checkpoint", saved, "--resume", "--output", output, "--force")
    rng = np.random.default_rng(seed)
    killed = 0
    for _ in range(kills):
        process = start(*arguments, program=program)
        before = stamp(saved)
        until(lambda: stamp(saved) != before or process.poll() is not None)  # noqa: B023
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.exponential(0.2))
        process.kill()
        process.communicate(timeout=PATIENCE)
        killed += process.returncode == -signal.SIGKILL
        if saved.exists():
            assert checkpoint.load(saved)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert output.read_bytes() == out
    assert names(folder) == ["checkpoint.npz", "result.json"]
    return out, killed


def stamp(path):
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


@pytest.mark.slow
@pytest.mark.parametrize("program", [PLAIN, EAGER], ids=["plain", "eager"])
def test_killed_many_times(tmp_path, reference, program):
    """And taken up again: to the byte what nothing disturbed."""
    out, killed = survive(tmp_path, kills=15, seed=1, program=program)
    assert out == reference
    assert killed >= 10


SMALL = ("--example", "rat_tumors", "--num-particles", 2, "--num-steps", 20, "--json")
MOMENTS = [
    ("fsync", 1, "before"),
    ("replace", 2, "after"),
    ("replace", 25, "before"),
    ("fsync", 8, "after"),
    ("link", 1, "before"),
    ("link", 1, "after"),
]


def test_killed_in_the_middle_of_a_write(tmp_path):
    """Of the checkpoint, in every guide, and of the result; each life goes on from the last."""
    saved, output = tmp_path / "checkpoint.npz", tmp_path / "result.json"
    files = ("--checkpoint", saved, "--resume", "--output", output)
    whole = run(*SMALL)
    for moment in MOMENTS:
        process = start(*moment, *SMALL, *files, program=("-c", SUICIDAL))
        process.communicate(timeout=PATIENCE)
        written = moment == ("link", 1, "after")
        assert (process.returncode, output.exists()) == (-signal.SIGKILL, written), moment
        if written:
            assert output.read_bytes() == whole[1]
            output.unlink()
        if saved.exists():
            assert checkpoint.load(saved)
    assert run(*SMALL, *files) == whole
    assert output.read_bytes() == whole[1]
    assert names(tmp_path) == ["checkpoint.npz", "result.json"]


def test_the_kills_would_be_noticed(tmp_path):
    """Negative control: with a generator that is not restored the bytes differ."""
    saved = tmp_path / "checkpoint.npz"
    first, whole = together(
        lambda: run(*SMALL, "--num-steps", 10, "--checkpoint", saved), lambda: run(*SMALL)
    )
    assert first[0] == 0
    generator = np.random.default_rng(99).bit_generator.state
    runs = [
        (config, state._replace(generator=generator), num_steps)
        for config, state, num_steps in checkpoint.load(saved)
    ]
    saved.write_bytes(checkpoint.pack(runs))
    code, out, _ = run(*SMALL, "--checkpoint", saved, "--resume")
    assert code == 0
    assert out != whole[1]
