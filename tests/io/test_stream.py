"""`elbo_ref.io.stream`: streams in pieces and blocks of any size against the file read at once."""

import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tables import (
    HEADER,
    WARDS,
    assert_same,
    npz,
    refusal,
)

import elbo_ref as er
from elbo_ref.io import stream
from elbo_ref.io.counts_file import DataError, Layout, read, read_counts
from tiers import few


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_counts(tmp_path / "missing.csv")
    with pytest.raises(OSError):
        read_counts(tmp_path)


def test_the_file_is_closed_after_an_error(write):
    """A file left open warns, and warnings are errors."""
    for content in (HEADER + "1,2\n3,x\n1,1\n", b"\xff", "", "x\n", "{", b"PK\x03\x04"):
        refusal(write(content))


class Drips(io.RawIOBase):
    """A file that gives a few bytes at a time."""

    def __init__(self, path, seed):
        self._file, self._random = io.FileIO(path), random.Random(seed)

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._file.read(min(len(buffer), self._random.choice([1, 2, 7, 100, 5000])))
        buffer[: len(data)] = data
        return len(data)

    def fileno(self):
        return self._file.fileno()

    def close(self):
        self._file.close()
        super().close()


class Standard:
    """What stands for `sys.stdin`."""

    def __init__(self, raw):
        self.buffer = raw


@pytest.fixture(scope="module")
def long_table(tmp_path_factory):
    """Thousands of rows, quoted and unquoted, in several small blocks."""
    rng = random.Random(1)
    lines = ["ward;id;successes;total_count"]
    for i in range(20000):
        n = rng.choice([rng.randint(0, 40), rng.randint(0, 10**9)])
        ward = rng.choice(['"w;1"', "w2", "Köln", f"w{i}"])
        lines.append(f"{ward};{i};{rng.randint(0, n)};{n}")
    path = tmp_path_factory.mktemp("long") / "counts.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{}, {"group": "ward"}, {"shared": True}], ids=str)
def test_a_stream_in_pieces_is_the_file(long_table, options, monkeypatch, small_blocks):
    """Bit by bit, log_split included: blocks have one size however the bytes arrive."""
    layout = Layout(**options)
    for size in (2**20, 2**14):
        small_blocks(size)
        wanted = read(long_table, layout)
        for seed in range(2):
            with io.BufferedReader(Drips(long_table, seed)) as buffer:
                monkeypatch.setattr(sys, "stdin", Standard(buffer))
                got = read("-", layout)
            assert got.counts == wanted.counts
            assert got.source == wanted.source._replace(name="standard input")


def trickle(end, data, seed):
    """Write pieces of random sizes into a pipe, and close it."""
    rng = random.Random(seed)
    with open(end, "wb", buffering=0) as pipe:
        while data:
            size = rng.choice([1, 10, 1000, 40000])
            pipe.write(data[:size])
            data = data[size:]
            if rng.random() < 0.05:
                time.sleep(0.002)


def test_a_pipe_is_the_file(long_table, monkeypatch, tmp_path):
    """Also a named one, whose time of change moves as it is written."""
    data, layout = long_table.read_bytes(), Layout(group="ward")
    wanted = read(long_table, layout)
    out, into = os.pipe()
    writer = threading.Thread(target=trickle, args=(into, data, 0))
    writer.start()
    with open(out, "rb") as buffer:
        monkeypatch.setattr(sys, "stdin", Standard(buffer))
        got = read("-", layout)
    writer.join()
    assert got.counts == wanted.counts
    assert got.source == wanted.source._replace(name="standard input")
    named = tmp_path / "pipe"
    os.mkfifo(named)
    writer = threading.Thread(target=trickle, args=(named, data, 1))
    writer.start()
    got = read(named, layout)
    writer.join()
    assert got.counts == wanted.counts
    assert got.source == wanted.source._replace(name=str(named))


def test_standard_input_that_cannot_be_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="closed"):
        read_counts("-")
    out, into = os.pipe()
    os.set_blocking(out, False)
    with open(out, "rb") as buffer, open(into, "wb"):
        monkeypatch.setattr(sys, "stdin", Standard(buffer))
        with pytest.raises(BlockingIOError):
            read_counts("-")


BLOCK_TABLES = [
    ("\ufeff" + WARDS.decode()).replace("\n", "\r\n").encode(),
    "ward,successes,total_count\nKöln,3,10\nKöln,1,4\n東京,2,3\nKöln,0,9\n\n  \nx,,2".encode(),
    b"ward,successes,total_count\na,3,10\na,11,10\nb,0,x\n",
    b"ward,successes,total_count\r\na,3,10\r\n\xff,1,10\r\nb,0,x\r\n",
    b"ward,successes,total_count\na,3,10\na,3\nb\0,0,x\n",
    b"ward,successes,total_count\na,3,10\r\r\nb,0,3\n",
    b'ward,successes,total_count\n"a,3,10\n",0,3\n',
    b"ward,successes\na,3\n",
    b"ward,successes,total_count\n,3,10\n,0,3\n",
]


def attempt(path, options):
    """What is read, or the message."""
    try:
        return read(path, Layout(**options))
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("data", BLOCK_TABLES, ids=range(len(BLOCK_TABLES)))
@pytest.mark.parametrize(
    "options",
    few([{"group": "ward", "na": "drop"}, {}, {"group": "ward"}, {"shared": True}], 2),
    ids=str,
)
def test_blocks_of_every_size(write, data, options, small_blocks):
    """The same counts, rows and message wherever one ends and the next begins."""
    path = write(data)
    wanted = attempt(path, options)
    for size in range(1, len(data) + 2):
        small_blocks(size)
        got = attempt(path, options)
        assert type(got) is type(wanted), (size, got, wanted)
        if isinstance(got, str):
            assert got == wanted
        else:
            assert_same(got.counts, wanted.counts)
            assert got.source == wanted.source


def append(path):
    with path.open("ab") as file:
        file.write(b"1,2\n")


def truncate(path):
    os.truncate(path, 42)


def touch(path):
    os.utime(path, ns=(0, 1))


GROWING = {
    "table": HEADER.encode() + b"1,2\n" * 100,
    "json": json.dumps({"successes": [1] * 100, "total_count": [2] * 100}).encode(),
}


@pytest.mark.parametrize("change", [append, truncate, touch])
@pytest.mark.parametrize("kind", GROWING)
def test_a_file_that_changes_while_it_is_read(write, kind, change, small_blocks, monkeypatch):
    path = write(GROWING[kind])
    assert read(path, Layout()).source.format == kind
    small_blocks(21)
    blocks = []
    plain = stream.Stream.read_block

    def read_block(self):
        blocks.append(plain(self))
        if len(blocks) == 2:
            change(path)
        return blocks[-1]

    monkeypatch.setattr(stream.Stream, "read_block", read_block)
    assert refusal(path) == "the file changed while it was read"


def test_a_file_too_large_for_memory(write, monkeypatch):
    monkeypatch.setattr(stream, "_MOST_BYTES", 1000)
    message = "the file is larger than 1000 bytes; only a table of counts may be"
    for data in (json.dumps({"successes": [1] * 1000}).encode(), npz(successes=[1] * 1000)):
        assert refusal(write(data)) == message
    assert_same(read_counts(write(HEADER + "1,2\n" * 1000)), er.Counts(1, 2, 1000))


FEED = """
import sys
rows = ["%d,%d,w%d,%d\\n" % (i % 7, 7 + i % 30, i % 1000, i) for i in range(100000)]
block = "".join(rows)
sys.stdout.write("successes,total_count,ward,id\\n")
for _ in range(100):
    sys.stdout.write(block)
"""

DRINK = """
import resource, sys
from elbo_ref.io.counts_file import read_counts
counts = read_counts("-", group="ward" if sys.argv[1:] else None)
used = resource.getrusage(resource.RUSAGE_SELF)
seconds = int(used.ru_utime + used.ru_stime)
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(len(counts), counts.num_latents, counts.total_count.sum(), int(peak) // 1024, seconds)
"""
"""Linux's ru_maxrss would be that of the process which started this one, if it had more."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("group", "entries", "latents"), [([], 210, 10**7), (["ward"], 1000, 1000)]
)
def test_ten_million_rows_in_constant_memory(group, entries, latents):
    """Well under a minute of work, in less than 400 MB, all libraries included."""
    with subprocess.Popen([sys.executable, "-c", FEED], stdout=subprocess.PIPE) as feed:
        drink = [sys.executable, "-c", DRINK, *group]
        done = subprocess.run(drink, stdin=feed.stdout, capture_output=True, text=True, check=True)
    found = [int(x) for x in done.stdout.split()]
    assert found[:2] == [entries, latents]
    if group:
        assert found[2] == 100 * sum(7 + i % 30 for i in range(100000))
    assert found[3] < 400
    assert found[4] < 60
