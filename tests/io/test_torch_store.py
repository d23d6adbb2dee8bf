"""`io.torch_store` and what it stands on: files of `torch.save`, without PyTorch and trust.

Genuine files against the values that PyTorch and Pyro give them (tests/reference/make_stores.py);
hostile ones, written by hand; genuine ones cut at every byte and with bits flipped; and a few
thousand inputs of benchmarks/fuzz_stores.py.
"""

import importlib
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from elbo_ref.io import torch_store as store
from elbo_ref.io.constraints import constrain
from elbo_ref.io.counts_file import DataError
from elbo_ref.io.parameters import parse, read_parameters
from elbo_ref.io.pickle_machine import Instance
from elbo_ref.io.tensors import Tensor
from places import REFERENCE, ROOT
from tiers import few

STORES = REFERENCE / "stores"
EXPECTED = json.loads((REFERENCE / "stores.json").read_text())
EXPECTED.pop("versions")

sys.path.append(str(ROOT / "benchmarks"))
fuzzing, fuzz_stores = map(importlib.import_module, ("fuzzing", "fuzz_stores"))
sys.path.pop(0)

EPSILON = {"float64": 2**-52, "float32": 2**-23}
BOUNDED = ("greater_than", "greater_than_eq", "less_than", "interval", "interval_of_tensors")


# -- pickles by hand ---------------------------------------------------------------------------


def zipped(members, kind=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def packed(body, storages=(b"",), **others):
    """A file as torch.save would write it around the body of a pickle."""
    members = {"data.pkl": b"\x80\x02" + body + b".", **others}
    members |= {f"data/{i}": content for i, content in enumerate(storages)}
    return zipped([(f"archive/{name}", content) for name, content in members.items()])


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def whole(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def named(name):
    module, _, rest = name.rpartition(".")
    return f"c{module}\n{rest}\n".encode()


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def storage(size, kind="Double", name="0"):
    key = (text("storage"), named(f"torch.{kind}Storage"), text(name), text("cpu"), whole(size))
    return tuple_of(*key) + b"Q"


EMPTY = named("collections.OrderedDict") + b")R"


def tensor(stored, sizes=(), strides=(), offset=0):
    sizes, strides = (tuple_of(*map(whole, values)) for values in (sizes, strides))
    arguments = tuple_of(stored, whole(offset), sizes, strides, b"\x89", EMPTY)
    return named("torch._utils._rebuild_tensor_v2") + arguments + b"R"


def mapping(**items):
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


def constraint(name, **attributes):
    return named(name) + b")\x81" + (mapping(**attributes) + b"b" if attributes else b"")


TORCH, PYRO = "torch.distributions.constraints.", "pyro.distributions.constraints."
POSITIVE = constraint(TORCH + "_GreaterThan", lower_bound=b"G" + struct.pack(">d", 0.0))
ONE = np.array([1.0]).tobytes()
SCALAR = tensor(storage(1))


def state(params, constraints):
    return mapping(params=mapping(**params), constraints=mapping(**constraints))


def refusal(data):
    """The message, which must be one short line."""
    with pytest.raises(DataError) as caught:
        parse(data)
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) <= 300, message
    return message


def same(one, other):
    return one.values.keys() == other.values.keys() and all(
        one.values[name].tobytes() == other.values[name].tobytes() for name in one.values
    )


# -- genuine files -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", EXPECTED)
def test_genuine(file):
    """Every value as PyTorch has it, to two units of its type, or of 5 where bounds enter."""
    found = read_parameters(STORES / f"{file}.pt")
    rows = {name.replace("$$$", "."): row for name, row in EXPECTED[file].items()}
    assert set(found.skipped) == {name for name, row in rows.items() if row is None}
    assert list(found.values) == [name for name, row in rows.items() if row is not None]
    for name, values in found.values.items():
        row = rows[name]
        wanted = np.array([float.fromhex(x) for x in row["values"]]).reshape(row["shape"])
        assert (found.dtypes[name], values.shape) == (row["dtype"], wanted.shape), name
        assert values.dtype == np.float64
        assert values.flags.c_contiguous
        assert not values.flags.writeable
        finite = np.isfinite(wanted)
        assert np.array_equal(values[~finite], wanted[~finite], equal_nan=True), (name, values)
        bounded = np.abs(wanted) < 5 if name in BOUNDED else False
        room = 2 * EPSILON.get(row["dtype"], 0.0) * np.where(bounded, 5.0, np.abs(wanted))
        error = np.abs(values[finite] - wanted[finite])
        assert (error <= room[finite]).all(), (name, values, wanted, error)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_probability_stays_inside(kind):
    """PyTorch holds its sigmoid a little inside the interval, and a model sees that."""
    values = read_parameters(STORES / f"constraints_{kind}.pt").values["unit_interval"]
    assert np.nanmax(values) == 1.0 - EPSILON[kind]
    assert np.nanmin(values) == np.finfo(kind).tiny


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_shares_of_a_simplex(kind):
    """Each row is what `pyro.param` returns: positive, with sum 1, whatever was added to it."""
    shares = np.array([[0.125, 0.25, 0.625], [0.5, 0.25, 0.25]])
    saved = Tensor((np.log(shares) + [[300.0], [-40.0]]).astype(kind), kind)
    found, note = constrain(saved, Instance(TORCH + "_Simplex"))
    assert note == "softmax applied (constraint simplex)"
    assert np.allclose(found, shares, rtol=300 * EPSILON[kind])
    assert np.allclose(found.sum(axis=1), 1.0, rtol=2 * EPSILON[kind])


def test_what_is_left_out_or_applied_is_said():
    found = read_parameters(STORES / "score.pt")
    assert found.skipped == ("__baseline_avg_downstream_cost_c",)
    assert "prior.concentration1: exp applied (constraint positive)" in found.notes
    assert "guide.0: softplus applied (constraint softplus_positive)" in found.notes
    notes = read_parameters(STORES / "constraints_float64.pt").notes
    assert "unit_interval: sigmoid applied (constraint unit_interval)" in notes
    assert "interval: sigmoid applied (constraint interval -2 to 3)" in notes
    assert "greater_than: exp applied (constraint greater_than 1.5)" in notes
    assert not any(note.startswith("real") for note in notes)
    left = "AutoMultivariateNormal.scale_tril: left out (constraint unit_lower_cholesky: "
    found = read_parameters(STORES / "auto_multivariate.pt")
    assert found.skipped == ("AutoMultivariateNormal.scale_tril",)
    assert any(note.startswith(left) for note in found.notes)
    for file, name in (
        ("state_dict", "concentration_unconstrained"),
        ("registered_module", "guide.concentration_unconstrained"),
    ):
        found = read_parameters(STORES / f"{file}.pt")
        assert found.notes == (f"{name}: left unconstrained, as its constraint is not known here",)
        assert name in found.values


@pytest.mark.thorough
def test_nothing_is_unpickled_or_imported():
    code = """
import pickle, sys
sys.modules["torch"] = sys.modules["pyro"] = None
from elbo_ref.io.parameters import read_parameters
pickle.Unpickler = pickle.load = pickle.loads = None
before = set(sys.modules)
for path in sys.argv[1:]:
    read_parameters(path)
print(set(sys.modules) - before)
"""
    paths = [str(STORES / f"{file}.pt") for file in EXPECTED]
    command = [sys.executable, "-W", "error", "-c", code, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_big_endian():
    body = mapping(a=tensor(storage(2), (2,), (1,)))
    data = packed(body, [np.array([1.0, -2.0], ">f8").tobytes()], byteorder=b"big")
    assert parse(data).values["a"].tolist() == [1.0, -2.0]
    assert "byte order b'middle'" in refusal(packed(body, [ONE * 2], byteorder=b"middle"))


def test_integers_under_a_constraint():
    data = packed(
        state({"a": tensor(storage(1, "Long"))}, {"a": POSITIVE}), [np.array([1]).tobytes()]
    )
    found = parse(data)
    assert abs(found.values["a"] - np.e) < 1e-15
    assert found.dtypes["a"] == "int64"


def test_the_larger_format():
    """PyTorch writes zip64 where it must, and may write it elsewhere."""
    file, program = io.BytesIO(), b"\x80\x02" + mapping(a=SCALAR) + b"."
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (("a/data.pkl", program), ("a/data/0", ONE)):
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    assert parse(file.getvalue()).values["a"] == 1.0


# -- hostile files -----------------------------------------------------------------------------


class Payload:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_payload_is_named_and_not_run(tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "store.pt"
    program = pickle.dumps({"a": Payload(f"touch {marker}")}, protocol=2)
    path.write_bytes(zipped([("archive/data.pkl", program)]))
    with pytest.raises(DataError) as caught:
        read_parameters(path)
    rule = f"global '{os.system.__module__}.system' is none that a parameter store uses"
    assert str(caught.value) == f"{path}: {rule}"
    path.write_bytes(program)
    with pytest.raises(DataError, match="it is a pickle, which may run commands: load it where"):
        read_parameters(path)
    assert not marker.exists()
    pickle.loads(program)  # and so the payload would have run
    assert marker.exists()


def test_elements_in_one_place():
    """A tensor of stride 0 and 1e9 elements, and others that are larger than their storage."""
    begun = time.monotonic()
    data = packed(mapping(a=tensor(storage(1), (10**9,), (0,))), [ONE])
    assert refusal(data) == (
        "a tensor of storage '0' of sizes (1000000000,) and strides (0,) puts several elements "
        "in one place (clone it before it is saved)"
    )
    ten = [np.arange(10.0).tobytes()]
    for sizes, strides in (((3, 3), (1, 1)), ((2, 5), (3, 1)), ((5, 2), (1, 4)), ((2, 2), (0, 1))):
        message = refusal(packed(mapping(a=tensor(storage(10), sizes, strides)), ten))
        assert "puts several elements in one place" in message
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    ("sizes", "strides", "offset"),
    [((11,), (1,), 0), ((10,), (1,), 1), ((), (), 10), ((), (), -1), ((2, 2), (9, 1), 0),
     ((2**62,), (1,), 0), ((2**31, 2**31), (2**31, 1), 0), ((1,), (1,), 2**62)],
)  # fmt: skip
def test_a_tensor_beyond_its_storage(sizes, strides, offset):
    ten = [np.arange(10.0).tobytes()]
    data = packed(mapping(a=tensor(storage(10), sizes, strides, offset)), ten)
    assert "leaves its 10 elements" in refusal(data)


def test_views_of_one_storage():
    ten = [np.arange(10.0).tobytes()]
    body = mapping(
        a=tensor(storage(10), (2, 3), (5, 1), 2),
        b=tensor(storage(10), (3, 2), (1, 5), 1),
        c=tensor(storage(10), (), (), 9),
        d=tensor(storage(10), (1, 2), (2**62, 4), 5),
    )
    found = parse(packed(body, ten)).values
    assert found["a"].tolist() == [[2, 3, 4], [7, 8, 9]]
    assert found["b"].tolist() == [[1, 6], [2, 7], [3, 8]]
    assert (found["c"].shape, found["c"].item()) == ((), 9.0)
    assert found["d"].tolist() == [[5, 9]]


LAUGHS = b"](" + whole(1) * 20 + b"eq\x00"
for place in range(1, 12):
    LAUGHS += b"](" + (b"h" + bytes([place - 1])) * 20 + b"eq" + bytes([place])
"""Twelve lists, each of the one before twenty times; they stand side by side on the stack."""
LAUGHS = b"(" + LAUGHS + b"t"
DEEP = b"](" * 40 + b"K\x01" + b"e" * 40
CYCLE = b"]q\x00h\x00a"
ENDLESS = (
    named(TORCH + "_IndependentConstraint")
    + b")\x81q\x00}" + text("base_constraint") + b"h\x00sb"
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"]", "the file holds one list where a mapping of parameters is needed"),
        (SCALAR, "the file holds one Tensor where"),
        (b"}", "the file holds no parameter"),
        (mapping(a=text("x")), "a must be real numbers, not a str of dtype <U1"),
        (mapping(a=b"\x88"), "a must be real numbers, not a bool of dtype bool"),
        (mapping(a=b"N"), "a must be real numbers, not a NoneType of dtype object"),
        (mapping(a=mapping(b=SCALAR)), "a is a mapping where numbers are needed"),
        (mapping(a=POSITIVE), "the file holds one Instance where a number is needed"),
        (mapping(a=b"](" + SCALAR + whole(1) + b"](" + b"ee"), "a[2] has shape (0,) where a[0] ha"),
        (mapping(a=named("torch.FloatStorage")), "the file holds one Kind where a number is"),
        (text("a") + text("a") + b"0", "opcode b'0' at byte 14 is none that torch.save writes"),
        (b"}" + (text("a") + SCALAR) * 2 + b"0", "opcode b'0' at byte"),
        (b"}(" + (text("a") + SCALAR) * 2 + b"u", "the key 'a' is set twice"),
        (b"}NK\x01s", "the opcode before byte 7 of the pickle sets a key that is neither text nor"),
        (b"}K\x01K\x01s", "the name of a parameter must be a str, not 1"),
        (b"}(K\x01u", "the opcode before byte 7 of the pickle sets a key without a value"),
        (b"]K\x01K\x01s", "the opcode before byte 8 of the pickle sets an item of what is no"),
        (b"}K\x01a", "the opcode before byte 6 of the pickle appends to what is no list"),
        (b"e", "the opcode before byte 3 of the pickle goes back to a mark that was not set"),
        (b"](a", "the opcode before byte 5 of the pickle takes a value where there is none"),
        (b"\x85", "takes a value where there is none"),
        (b"q\x00", "takes a value where there is none"),
        (b"h\x07", "reads place 7 of the memo, where nothing is"),
        (b"j\xff\xff\xff\xff", "reads place 4294967295 of the memo, where nothing is"),
        (b"\x8a\x09" + b"\xff" * 9, "writes an integer of 9 bytes"),
        (b"\x8a\xff" + b"\xff" * 255, "writes an integer of 255 bytes"),
        (b"\x8b\xff\xff\xff\x7f", "opcode b'\\x8b' at byte 2 is none that torch.save writes"),
        (b"X\xff\xff\xff\xff", "the pickle ends within an opcode, after 8 bytes"),
        (b"cposix\nsystem", "the pickle ends within an opcode"),
        (b"X\x01\x00\x00\x00\xff", "the pickle holds a text that is not UTF-8: b'\\xff'"),
        (b"\x80\x04}", "the pickle has protocol 4; torch.save writes 2"),
        (b"}}", "the pickle does not end as one value at byte 5"),
        (b"}(", "the pickle does not end as one value at byte 5"),
        (b"}.", "the pickle does not end as one value at byte 4"),
        (b"", "the pickle does not end as one value at byte 3"),
        (text("a") + b")R", "calls what is no function with arguments"),
        (b"})R", "calls what is no function with arguments"),
        (named("collections.OrderedDict") + b"]R", "calls what is no function with arguments"),
        (named("torch.FloatStorage") + b")R", "calls what is no function with arguments"),
        (EMPTY + b")R", "calls what is no function with arguments"),
        (named("collections.OrderedDict") + b"]\x85R", "an OrderedDict is made of something else"),
        (named(TORCH + "_Real") + b"K\x01\x85\x81", "_Real is made of something else than nothing"),
        (SCALAR + b"}b", "gives attributes to what has none"),
        (POSITIVE + b"]b", "gives attributes to what has none"),
        (b"]Q", "names a storage by what is no tuple"),
        (b")Q", "a persistent id is none of a storage"),
        (named("torch._utils._rebuild_tensor_v2") + b")R", "a tensor is rebuilt from something"),
        (named("torch._utils._rebuild_parameter") + b")R", "a parameter is rebuilt from something"),
        (storage(2), "the storage '0' has 8 bytes for 2 elements of float64"),
        (storage(-1), "the storage '0' has 8 bytes for -1 elements of float64"),
        (storage(2**60), "the storage '0' has 8 bytes for 1152921504606846976 elements of float64"),
        (storage(1, name="1"), "the storage '1' is not in the archive"),
        (storage(1, name="../data/0"), "the storage '../data/0' is not in the archive"),
        (storage(1) + storage(2, "Float"), "the storage '0' is read as float64 and as float32"),
        (storage(1, "Bool"), "global 'torch.BoolStorage' is none that a parameter store uses"),
        (storage(1, "ComplexFloat"), "global 'torch.ComplexFloatStorage' is none"),
        (named("x" * 999 + ".y"), "global 'xxxxxxxx"),
        (b"c\x1b[2J\ny\n", "global '\\x1b[2J.y' is none that a parameter store uses"),
        (tensor(storage(1), (0,), (1,)), "a tensor of storage '0' holds no number"),
        (tensor(storage(1), (1,), ()), "a tensor of storage '0' has 1 sizes and 0 strides"),
        (tensor(storage(1), (-1,), (1,)), "a tensor has sizes or strides that are no counts"),
        (tensor(storage(1), (1,) * 33, (1,) * 33), "a tensor has 33 dimensions, more than 32"),
        (mapping(a=LAUGHS), "the file unfolds to more values than it has bytes, "),
        (mapping(a=CYCLE), "the values are nested more than 32 deep"),
        (mapping(a=DEEP), "the values are nested more than 32 deep"),
        (state({"a": SCALAR}, {}), "the parameter 'a' has no constraint"),
        (state({"a": SCALAR}, {"a": SCALAR}), "the parameter 'a' has no constraint"),
        (mapping(params=b"]", constraints=b"}"), "params or the constraints of the store are no"),
        (state({"a": whole(1)}, {"a": POSITIVE}), "a is no tensor"),
        (state({"a": SCALAR}, {"a": ENDLESS}), "a: independent constraints are nested more than 8"),
        (
            state({"a": SCALAR}, {"a": constraint(TORCH + "_IndependentConstraint")}),
            "a: an independent constraint has no base constraint",
        ),
        (
            state({"a": SCALAR}, {"a": constraint(TORCH + "_LessThan")}),
            "a: the constraint less_than has no upper_bound",
        ),
        (
            state({"a": SCALAR}, {"a": constraint(TORCH + "_LessThan", upper_bound=b"\x88")}),
            "a: the constraint less_than has no upper_bound",
        ),
        (
            state(
                {"a": SCALAR},
                {"a": constraint(TORCH + "_LessThan", upper_bound=tensor(storage(1), (1,), (1,)))},
            ),
            "a: the upper_bound of less_than has shape (1,) for a tensor of shape ()",
        ),
        (
            state({"a": SCALAR}, {"a": constraint(TORCH + "_Simplex")}),
            "a: the constraint simplex is of a tensor without an axis",
        ),
        (
            state({"a": SCALAR}, {"a": constraint(PYRO + "_Sphere")}),
            "the store holds no parameter; a: left out (constraint sphere: its elements are not",
        ),
        (
            state({"a$$$b": SCALAR, "a.b": SCALAR}, {"a$$$b": POSITIVE, "a.b": POSITIVE}),
            "two parameters are called 'a.b'",
        ),
    ],
)  # fmt: skip
def test_a_bad_pickle(body, message):
    assert message in refusal(packed(body, [ONE]))


def test_sizes_that_unfold_without_end():
    begun = time.monotonic()
    sizes = named("torch._utils._rebuild_tensor_v2") + tuple_of(
        storage(1), whole(0), LAUGHS, LAUGHS, b"\x89", EMPTY
    )
    assert (
        refusal(packed(sizes + b"R", [ONE])) == "a tensor has sizes or strides that are no counts"
    )
    laughs = (
        b"\x80\x04",
        storage(1) + LAUGHS,
        LAUGHS + b")R",
        b"}" + LAUGHS + b"}s",
        LAUGHS + b"Q",
    )
    for body in laughs:
        refusal(packed(body, [ONE]))
    assert time.monotonic() - begun < 1


def test_one_tensor_many_times():
    """A list of it, or names for it, are small in the file and would be large in memory."""
    storages = [np.zeros(2**14).tobytes()]
    stored = tensor(storage(2**14), (2**14,), (1,)) + b"q\x00"
    body = b"}" + text("a") + b"](" + stored + b"h\x00" * 20 + b"es"
    assert "the file unfolds to more values than it has bytes" in refusal(packed(body, storages))
    body = mapping(a=stored, **{f"a{i}": b"h\x00" for i in range(20)})
    assert "the file unfolds to more values than it has bytes" in refusal(packed(body, storages))
    body = mapping(a=stored, b=b"h\x00")
    assert len(parse(packed(body, storages)).values) == 2


@pytest.mark.thorough
@pytest.mark.parametrize(
    "part",
    few([b"}", b"]", b"(", b"K\x01", b"h\x00", b"h\x00\x85", b"](", storage(1)[-50:]], 3),
    ids=["mappings", "lists", "marks", "integers", "memo", "tuples", "lists and marks", "damage"],
)
def test_memory_is_bounded_by_the_size(part):
    data = packed(b"}q\x00" + part * (100_000 // len(part)), [ONE])
    tracemalloc.start()
    refusal(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * len(data)


def test_a_pickle_that_is_too_long(monkeypatch):
    monkeypatch.setattr(store, "_MOST_PROGRAM", 20)
    message = refusal(packed(mapping(a=SCALAR), [ONE]))
    assert message.startswith("data.pkl has ")
    assert message.endswith(" bytes, more than 20")


# -- hostile archives --------------------------------------------------------------------------

GOOD = packed(mapping(a=SCALAR), [ONE], byteorder=b"little", version=b"3\n")


@pytest.mark.thorough
def test_a_zip_bomb():
    zeros = bytes(10**8)
    members = [("archive/data.pkl", b"\x80\x02}."), ("archive/data/0", zeros)]
    data = zipped(members, zipfile.ZIP_DEFLATED)
    assert len(data) < 200_000
    tracemalloc.start()
    message = refusal(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert message.startswith("the archive unpacks to 1000000")
    assert peak < 10**6


def test_sizes_that_are_not_true():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.filelist[0].file_size = archive.filelist[0].compress_size = 2**30
    message = refusal(file.getvalue())
    assert message == f"the archive unpacks to {2**30} bytes, more than the file has"


def test_a_place_beyond_the_file():
    for place in (2**31, 2**63 - 1, 2**63, 2**64 - 1):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02}.")
            archive.filelist[0].header_offset = place
        assert refusal(file.getvalue()).startswith("the archive is damaged: ")


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_member(kind):
    members = [("archive/data.pkl", b"\x80\x02" + bytes(99)), ("archive/pad", os.urandom(999))]
    assert refusal(zipped(members, kind)) == "the member 'archive/data.pkl' is compressed"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["a/data.pkl", "a/data.pkl"], "the archive holds 'a/data.pkl' twice"),
        (["a/data.pkl", "a/data/0", "a/data/0"], "the archive holds 'a/data/0' twice"),
        (["a/data.pkl", "b/data.pkl"], "the archive has 2 folders where torch.save writes one"),
        (["a/data.pkl", "data/0"], "the archive has 2 folders where torch.save writes one"),
        (["a/b/data.pkl"], "the archive has no member data.pkl, as torch.save writes it"),
        (["data.pkl"], "the archive is neither an npz nor one that torch.save wrote"),
        (["a/constants.pkl"], "the archive is neither an npz nor one that torch.save wrote"),
        (["x.npy", "a/data.pkl"], "the archive has 2 folders where torch.save writes one"),
    ],
)
def test_an_archive_of_another_kind(members, message):
    assert refusal(zipped([(name, b"\x80\x02}.") for name in members])) == message


def test_the_old_format():
    with pytest.raises(DataError) as caught:
        read_parameters(STORES / "legacy.pt")
    assert "the format from before PyTorch 1.6, which is a pickle: load it" in str(caught.value)


# -- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["auto_delta", "plain_dict", "score"])
def test_a_file_cut_at_every_byte(file):
    data = (STORES / f"{file}.pt").read_bytes()
    for end in range(len(data)):
        refusal(data[:end])


def members_of(file):
    with zipfile.ZipFile(STORES / f"{file}.pt") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.thorough
@pytest.mark.parametrize("file", ["plain_dict", "auto_delta"])
def test_a_pickle_cut_at_every_byte(file):
    """In an archive whose checksums are right."""
    members = members_of(file)
    name = next(iter(members))
    assert name.endswith("/data.pkl")
    program = members[name]
    for end in range(len(program)):
        refusal(zipped(list((members | {name: program[:end]}).items())))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["auto_normal", "plain_dict"])
def test_flipped_bits(file):
    """One in every byte: refused, or read as the same values: every content has its checksum."""
    data = (STORES / f"{file}.pt").read_bytes()
    whole_file, rng = parse(data), random.Random(1)
    read = 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        try:
            assert same(parse(bytes(damaged)), whole_file), place
            read += 1
        except DataError:
            pass
    assert 0 < read < len(data) / 2


def test_the_checksum_is_what_finds_a_flipped_bit():
    """With another value and the checksum of that, the file is read; it is just another file."""
    place = GOOD.index(ONE)
    damaged = GOOD[:place] + np.array([2.0]).tobytes() + GOOD[place + 8 :]
    assert refusal(damaged) == "the archive is damaged: Bad CRC-32 for file 'archive/data/0'"
    good = parse(packed(mapping(a=SCALAR), [np.array([2.0]).tobytes()]))
    assert (parse(GOOD).values["a"], good.values["a"]) == (1.0, 2.0)


@pytest.mark.slow
def test_flipped_bits_of_a_pickle():
    """Every one, in an archive whose checksums are right: refused, or a store of other values."""
    members = members_of("auto_delta")
    name, program = next(iter(members.items()))
    ends = {"read": 0, "refused": 0}
    for bit in range(8 * len(program)):
        damaged = bytearray(program)
        damaged[bit // 8] ^= 1 << bit % 8
        data = zipped(list((members | {name: bytes(damaged)}).items()))
        ends["read" if fuzz_stores.outcome(data) == "read" else "refused"] += 1
    assert min(ends.values()) > 100


@pytest.mark.slow
def test_a_short_fuzzing_run():
    ends, failures, slowest = fuzzing.fuzz(fuzz_stores.sources(), fuzz_stores.outcome, 2500, seed=3)
    assert not failures
    assert slowest < 5
    for source, counter in ends.items():
        assert 20 < counter["read"] < 490, (source, counter)


def test_the_fuzzing_run_can_fail(monkeypatch):
    def careless(data):
        raise KeyError("params")

    monkeypatch.setattr(fuzz_stores, "parse", careless)
    _, failures, _ = fuzzing.fuzz(fuzz_stores.sources(), fuzz_stores.outcome, 5, seed=3)
    assert len(failures) == 5
    assert failures[0].startswith("input 0: KeyError: 'params'")
