"""Files appear whole or not at all, whatever fails on the way, and whoever else writes them."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest

from elbo_ref.io import atomic

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")

OLD, NEW = b"old", b"new " * 5000


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "result.json"


def names(folder):
    return sorted(os.listdir(folder))


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# -- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\r\n\x00\xff", NEW], ids=["empty", "raw", "long"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_file(path, content, overwrite):
    atomic.check_free(path, overwrite)
    atomic.write(str(path), content, overwrite)
    assert path.read_bytes() == content
    assert names(path.parent) == [path.name]


@POSIX
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("length", [1, 2])
def test_links_that_lead_nowhere_else(tmp_path, length, overwrite):
    links = [tmp_path / str(i) for i in range(length)]
    for i, link in enumerate(links):
        link.symlink_to(links[(i + 1) % length])
    for refuse in (atomic.check_free, lambda path, flag: atomic.write(path, NEW, flag)):
        with pytest.raises(OSError, match="a loop of links") as caught:
            refuse(links[0], overwrite)
        assert caught.value.errno == errno.ELOOP
        assert caught.value.filename == str(links[0])
    assert names(tmp_path) == [link.name for link in links]
    assert all(link.is_symlink() for link in links)


def test_an_old_file(path):
    path.write_bytes(OLD)
    for refuse in (lambda: atomic.check_free(path, False), lambda: atomic.write(path, NEW)):
        with pytest.raises(FileExistsError):
            refuse()
        assert path.read_bytes() == OLD
        assert names(path.parent) == [path.name]
    atomic.check_free(path, True)
    assert path.read_bytes() == OLD
    atomic.write(path, NEW, overwrite=True)
    assert path.read_bytes() == NEW
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["a [1]*?.json", "-", "new\nline", "ä", "x" * 200])
def test_odd_names(tmp_path, name):
    path = tmp_path / name
    for content in (OLD, NEW):
        atomic.write(path, content, overwrite=True)
        assert path.read_bytes() == content
    assert names(tmp_path) == [name]


def test_a_name_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atomic.check_free("result.json", False)
    atomic.write("result.json", NEW)
    assert names(tmp_path) == ["result.json"]


def test_who_reads_the_old_file_keeps_it(path):
    """It is replaced, not written into."""
    path.write_bytes(OLD)
    with open(path, "rb") as reader:
        atomic.write(path, NEW, overwrite=True)
        assert reader.read() == OLD


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
@pytest.mark.parametrize("overwrite", [False, True])
def test_mode(path, umask, overwrite):
    """As the umask says, also where the file that is replaced had another."""
    if overwrite:
        path.write_bytes(OLD)
        path.chmod(0o604)
    os.umask(umask)
    atomic.write(path, NEW, overwrite)
    assert mode(path) == 0o666 & ~umask


# -- what is in the way --------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_is_followed(tmp_path, exists):
    """The new file is where the link points, beside its old self; the link stays one."""
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target.json", tmp_path / "link.json"
    link.symlink_to("there/target.json")
    if exists:
        target.write_bytes(OLD)
        with pytest.raises(FileExistsError):
            atomic.write(link, NEW)
    atomic.write(link, NEW, overwrite=exists)
    assert target.read_bytes() == NEW
    assert link.is_symlink()
    assert names(tmp_path) == ["link.json", "there"]
    assert names(tmp_path / "there") == ["target.json"]


@POSIX
def test_not_a_plain_file(tmp_path):
    """A folder, a pipe, a device, a link to one: as they were, overwritten or not."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    before = names(tmp_path)
    for path in [tmp_path / name for name in before]:
        for overwrite in (False, True):
            for refuse in (
                lambda path=path, overwrite=overwrite: atomic.check_free(path, overwrite),
                lambda path=path, overwrite=overwrite: atomic.write(path, NEW, overwrite),
            ):
                with pytest.raises(OSError, match="not a plain file"):
                    refuse()
    assert names(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_folder(tmp_path, overwrite):
    (tmp_path / "file").write_bytes(OLD)
    for folder, error in (("none", FileNotFoundError), ("file", OSError)):
        path = tmp_path / folder / "result.json"
        with pytest.raises(error):
            atomic.check_free(path, overwrite)
        with pytest.raises(error):
            atomic.write(path, NEW, overwrite)
    assert names(tmp_path) == ["file"]


@POSIX
def test_a_loop_of_links(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError):
        atomic.write(loop, NEW)
    assert names(tmp_path) == ["loop"]


# -- what fails on the way -----------------------------------------------------------------------

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Failing:
    """A file that takes half of what is written, and then says what is wrong."""

    def __init__(self, file, method, error):
        self._file, self._method, self._error = file, method, error

    def __getattr__(self, name):
        if name == self._method:
            self._file.write(NEW[: len(NEW) // 2])
            raise self._error
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


def break_file(monkeypatch, method, error):
    def failing(*arguments):
        return Failing(open(*arguments), method, error)

    monkeypatch.setattr(atomic, "open", failing, raising=False)


def break_call(monkeypatch, name, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(os, name, fail)


STAGES = {
    "write": lambda m, error: break_file(m, "write", error),
    "flush": lambda m, error: break_file(m, "flush", error),
    "fsync": lambda m, error: break_call(m, "fsync", error),
    "replace": lambda m, error: break_call(m, "replace", error),
}


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupt"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_leaves_the_old_file(path, monkeypatch, stage, error):
    path.write_bytes(OLD)
    with monkeypatch.context() as patch:
        STAGES[stage](patch, error)
        with pytest.raises(type(error)):
            atomic.write(path, NEW, overwrite=True)
    assert path.read_bytes() == OLD
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupt"])
@pytest.mark.parametrize("stage", ["write", "flush", "fsync", "link"])
def test_a_failure_leaves_nothing(path, monkeypatch, stage, error):
    with monkeypatch.context() as patch:
        if stage == "link":  # and what is done where there are no links
            break_call(patch, "link", error)
            break_call(patch, "replace", error)
        else:
            STAGES[stage](patch, error)
        with pytest.raises(type(error)):
            atomic.write(path, NEW)
    assert names(path.parent) == []


def test_the_faults_are_faults(path, monkeypatch):
    """Negative control: writing into the file itself would not survive them."""
    path.write_bytes(OLD)
    STAGES["write"](monkeypatch, FULL)
    with pytest.raises(OSError), atomic.open(path, "wb") as file:
        file.write(NEW)
    assert path.read_bytes() == NEW[: len(NEW) // 2]


@POSIX
def test_a_full_disk(path):
    """A limit on the size of files, which comes in the middle of a write."""
    resource = pytest.importorskip("resource")
    path.write_bytes(OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(OSError):
            atomic.write(path, NEW, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == OLD
    assert names(path.parent) == [path.name]


# -- no links --------------------------------------------------------------------------------------


@pytest.fixture
def without_links(monkeypatch):
    """A file system such as FAT, or a cloud drive."""
    break_call(monkeypatch, "link", OSError(errno.EPERM, os.strerror(errno.EPERM)))


@pytest.mark.usefixtures("without_links")
def test_without_links(path):
    atomic.write(path, OLD)
    with pytest.raises(FileExistsError):
        atomic.write(path, NEW)
    assert path.read_bytes() == OLD
    atomic.write(path, NEW, overwrite=True)
    assert path.read_bytes() == NEW
    assert names(path.parent) == [path.name]


# -- others --------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("links", [True, False])
def test_a_race_has_one_winner(path, monkeypatch, links):
    """Nobody overwrites, the file is one writer's, whole; nothing else remains."""
    if not links:
        break_call(monkeypatch, "link", OSError(errno.EPERM, os.strerror(errno.EPERM)))
    contents = [bytes([65 + i]) * 100_000 for i in range(8)]
    for _ in range(5):
        outcomes = [None] * len(contents)
        ready = threading.Barrier(len(contents))

        def contend(i, ready=ready, outcomes=outcomes):
            ready.wait()
            try:
                atomic.write(path, contents[i])
                outcomes[i] = "won"
            except FileExistsError:
                outcomes[i] = "lost"

        threads = [threading.Thread(target=contend, args=(i,)) for i in range(len(contents))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["lost"] * 7 + ["won"]
        assert path.read_bytes() == contents[outcomes.index("won")]
        assert names(path.parent) == [path.name]
        path.unlink()


def test_overwriters_never_mix(path):
    """Threads of one process that write at once: the file is always some writer's, whole."""
    contents = [bytes([65 + i]) * 300_000 for i in range(4)]
    path.write_bytes(contents[0])
    errors, done = [], threading.Event()

    def write(content):
        try:
            for _ in range(10):
                atomic.write(path, content, overwrite=True)
        except OSError as error:
            errors.append(error)

    def read():
        while not done.is_set():
            content = path.read_bytes()
            if content not in contents:
                errors.append(len(content))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert errors == []
    assert names(path.parent) == [path.name]


KILLED = """
import os, signal, sys
from elbo_ref.io import atomic
stage, path = sys.argv[1:]
setattr(os, stage, lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
atomic.write(path, b"new" * 1000, overwrite=stage == "replace")
"""


@pytest.mark.thorough
@POSIX
@pytest.mark.parametrize("stage", ["fsync", "link", "replace"])
def test_what_the_killed_leave_is_removed(path, stage):
    """By the next that writes the file, and not what belongs to others or to the living."""
    strangers = [".result.json.mine.partial", ".other.json.00000000.partial", "result.json.partial"]
    for name in strangers:
        (path.parent / name).write_bytes(OLD)
    if stage == "replace":
        path.write_bytes(OLD)
    before = names(path.parent)
    killed = subprocess.run([sys.executable, "-c", KILLED, stage, path], check=False, timeout=60)
    assert killed.returncode == -9
    left = set(names(path.parent)) - set(before)
    assert len(left) == 1
    if stage == "replace":
        assert path.read_bytes() == OLD
    else:
        assert not path.exists()
    atomic.write(path, NEW, overwrite=stage == "replace")
    assert path.read_bytes() == NEW
    assert names(path.parent) == sorted({*strangers, path.name})


def test_what_the_living_write_is_left_alone(path, monkeypatch):
    """A writer that starts and ends while another one waits for the disk."""
    waits, goes_on = threading.Event(), threading.Event()
    fsync, slow = os.fsync, []

    def wait(descriptor):
        if threading.current_thread() in slow:
            waits.set()
            assert goes_on.wait(60)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    thread = threading.Thread(target=atomic.write, args=(path, NEW, True))
    slow.append(thread)
    thread.start()
    assert waits.wait(60)
    atomic.write(path, OLD)
    assert path.read_bytes() == OLD
    goes_on.set()
    thread.join()
    assert path.read_bytes() == NEW
    assert names(path.parent) == [path.name]
