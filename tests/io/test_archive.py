"""`elbo_ref.io.archive`: arrays out of files that may lie, and nothing else out of them."""

import io
import pickle
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from tables import (
    DAMAGE,
    assert_same,
    damaged,
    npz,
    refusal,
)

import elbo_ref as er
from elbo_ref.io import archive as archives
from elbo_ref.io.archive import read_arrays
from elbo_ref.io.counts_file import DataError, read_counts


def archive(members, packing=zipfile.ZIP_DEFLATED):
    """A zip of (name, bytes) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as out:
        for name, content in members:
            out.writestr(name, content)
    return file.getvalue()


def member(header, content=b"", version=b"\x01\x00"):
    """The bytes of an array under a header that may lie."""
    head = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(head).to_bytes(2, "little") + head + content


def header(descr="'<i8'", shape="(2,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


SOUND = member(header(), np.array([3, 0]).tobytes())


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "is not a plain array"),
        (b"3,0\n", "is not a plain array"),
        (member(header(), SOUND[-16:], b"\x03\x00"), "is not a plain array"),
        (member(header(), b"1234567"), "does not have the size that its header says"),
        (member(header(shape="(3,)"), SOUND[-16:]), "does not have the size that its header says"),
        (member(header(shape=f"({10**17},)"), b""), "does not have the size that its header says"),
        (member(header(shape="(-2,)"), SOUND[-16:]), "is not a plain array"),
        (member(header(shape="(2L,)"), SOUND[-16:]), "is not a plain array"),
        (member(header(shape="(1" + "1" * 9000 + ",)")), "is not a plain array"),
        (member(header(shape="(" + "1" * 60000)), "is not a plain array"),
        (member(header(shape="(" + "-" * 9000 + "2,)")), "is not a plain array"),
        (member(header(shape="(" * 9000)), "is not a plain array"),
        (member(header(shape=f"(0, {10**30})")), "is not a plain array"),
        (member(header("'<U0'", f"({10**9},)")), "holds the type '<U0', not plain numbers or text"),
        (member(header("'|b8'"), SOUND[-16:]), "is not a plain array"),
        (member(header("'|V8'"), SOUND[-16:]), "holds the type '|V8', not plain numbers or text"),
        (member(header("'|O'"), SOUND[-16:]), "holds Python objects, not plain numbers or text"),
        (member(header("[('a', '<i8')]"), SOUND[-16:]), "is not a plain array"),
        (member(header("'__import__'"), SOUND[-16:]), "is not a plain array"),
        (member(header("'\n\\x1b'"), SOUND[-16:]), "is not a plain array"),
    ],
)  # fmt: skip
def test_a_member_that_lies(write, content, rule):
    """Its size is known, and refused, before it is read."""
    path = write(archive([("successes.npy", content), ("total_count.npy", SOUND)]))
    assert refusal(path).startswith(f"the member 'successes.npy' {rule}")


def test_members_that_repeat_or_do_not_belong(write):
    with pytest.warns(UserWarning, match="Duplicate"):
        data = archive([("successes.npy", SOUND)] * 2)
    assert refusal(write(data)) == "the archive holds 'successes' twice"
    data = archive([("successes.npy", SOUND), ("successes", SOUND)])
    assert refusal(write(data)) == "the archive holds 'successes' twice"
    data = archive([("successes.npy", SOUND), ("x/y.txt", b"text")])
    assert refusal(write(data)) == "the member 'x/y.txt' is not a plain array"
    data = archive([("x" * 5000 + "\n.npy", b"text")])
    assert refusal(write(data)).endswith("is not a plain array")
    for packing in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = archive([("successes.npy", SOUND)], packing)
        message = "the member 'successes.npy' is packed in a way that NumPy does not use"
        assert refusal(write(data)) == message


def test_fortran_order_and_no_dimensions():
    matrix = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    found = read_arrays(io.BytesIO(npz(matrix=matrix, text=np.array("äb"), none=np.zeros((0, 3)))))
    np.testing.assert_array_equal(found["matrix"], matrix)
    assert str(found["text"]) == "äb"
    assert found["none"].shape == (0, 3)
    found["matrix"][0, 0] = 7.0


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


def test_nothing_is_unpickled(write, tmp_path):
    """Neither under an honest header, nor where the pickle stands for something else."""
    mark = tmp_path / "mark"
    pickled = pickle.dumps(Bomb(mark))
    honest = npz(successes=np.array([Bomb(mark), 1], dtype=object), total_count=[1, 2])
    false = member(header("'|u1'", f"({len(pickled)},)"), pickled)
    plain = member(header("'|u1'", f"({len(pickled)},)"), b"\xff" * len(pickled))
    for data in (honest, archive([("successes.npy", pickled)]), pickled):
        refusal(write(data))
    read_counts(write(archive([("successes.npy", false), ("total_count.npy", plain)])))
    message = "the member 'successes.npy' holds Python objects, not plain numbers or text"
    assert refusal(write(honest)) == message
    assert not mark.exists()
    pickle.loads(pickled)  # the negative control
    assert mark.exists()


def peak(path):
    """The most memory that a refusal takes, in bytes."""
    tracemalloc.start()
    try:
        message = refusal(path)
        return message, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
def test_a_bomb_is_not_unpacked(write, monkeypatch):
    """Zeros a thousand times smaller packed, said to be as large as they are, or to be small."""
    zeros = bytes(2**26)
    content = member(header(shape=f"({2**23},)"), zeros)
    large = archive([("successes.npy", content)])
    assert len(large) < 2**17
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_LEAST_PACKED", 2**25)
        message, memory = peak(write(large))
    rule = "write it with np.savez, which packs nothing"
    assert message == f"the archive unpacks to {len(content)} bytes, more than {2**25}: {rule}"
    assert memory < 2**22
    sound = member(header(shape="(9999,)"), bytes(8 * 9999))
    small = archive([("successes.npy", sound + zeros)])
    size, lie = (x.to_bytes(4, "little") for x in (len(sound) + len(zeros), len(sound)))
    assert small.count(size) == 2
    message, memory = peak(write(small.replace(size, lie)))
    assert message.startswith("the archive is damaged: Bad CRC-32")
    assert memory < 2**22
    message, memory = peak(write(small.replace(size, b"\xfe" * 4)))
    assert message == f"the archive unpacks to 4278124286 bytes, more than {2**26}: {rule}"
    assert memory < 2**22
    with pytest.raises(DataError, match="more than 100"):
        read_arrays(io.BytesIO(npz(x=np.zeros(100))), most_bytes=100)


GOOD_NPZ = {
    save.__name__: (lambda file: (save(file, successes=[3, 0], total_count=[10, 4]), file)[1])(
        io.BytesIO()
    ).getvalue()
    for save in (np.savez, np.savez_compressed)
}


@pytest.mark.thorough
@settings(settings(max_examples=150), max_examples=600)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=2), kind=st.sampled_from(sorted(GOOD_NPZ)))
@example([("cut", 0.0, 0, 0)], "savez")
def test_a_damaged_npz(one_file, damages, kind):
    """A checksum stands over every byte that matters; nothing is evaluated, nothing warns."""
    one_file.write_bytes(damaged(GOOD_NPZ[kind], damages))
    try:
        counts = read_counts(one_file)
    except DataError:
        refusal(one_file)
        return
    assert_same(counts, er.Counts([3, 0], [10, 4]))


def test_a_damaged_npz_from_a_path(tmp_path):
    """As `load_run` reads it: an offset before the file is damage, not a missing file."""
    path, rng = tmp_path / "run.npz", random.Random(2)
    data = GOOD_NPZ["savez"]
    for _ in range(300):
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + data[at + rng.randint(1, 9) :])
        with pytest.raises(DataError):
            read_arrays(path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "missing.npz")
