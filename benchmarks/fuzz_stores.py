"""Does any file make the reader of parameter stores do anything but read it or refuse it?

    python benchmarks/fuzz_stores.py --inputs 1000000 --seed 0

Inputs come in equal parts from five sources: genuine files with damaged bytes; the same with the
damage inside a member, so that every checksum is right; genuine pickles with opcodes left out,
doubled, exchanged, or given another argument; other archives around genuine members; and pickles
written at random, from a grammar that is broken now and then. Each is parsed as a file would be.
What is not a clean refusal, a `DataError` of one printable line, must be parameters: float64 in C
order, no more numbers than the file has bytes. Warnings are errors, and no module may be imported.

The exit code is 1 if any input did anything else.
"""

from __future__ import annotations

import itertools
import pickletools
import random
import struct
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from fuzzing import SIZES, Source, damaged, main, rule_of, zipped

from elbo_ref.io.counts_file import DataError
from elbo_ref.io.parameters import parse

STORES = Path(__file__).parents[1] / "tests" / "reference" / "stores"


class Genuine:
    """A file that PyTorch wrote: its bytes, its members, and the opcodes of its pickle."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.members: dict[str, bytes] = {}
        self.opcodes: list[bytes] = []
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.folder = next(iter(self.members)).partition("/")[0]
        program = self.members[f"{self.folder}/data.pkl"]
        places = [place for _, _, place in pickletools.genops(program)] + [len(program)]
        self.opcodes = [program[begin:end] for begin, end in itertools.pairwise(places)]


def bytes_damaged(rng: random.Random, genuine: list[Genuine]) -> bytes:
    return damaged(rng, rng.choice(genuine).data)


def member_damaged(rng: random.Random, genuine: list[Genuine]) -> bytes:
    file = rng.choice([file for file in genuine if file.members])
    members = dict(file.members)
    name = f"{file.folder}/data.pkl" if rng.random() < 0.8 else rng.choice(list(members))
    members[name] = damaged(rng, members[name])
    return zipped(list(members.items()))


def opcodes_changed(rng: random.Random, genuine: list[Genuine]) -> bytes:
    file = rng.choice([file for file in genuine if file.members])
    opcodes = list(file.opcodes)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place, other = rng.randrange(len(opcodes)), rng.randrange(len(opcodes))
        match rng.randrange(5):
            case 0:
                del opcodes[place]
            case 1:
                opcodes.insert(place, opcodes[other])
            case 2:
                opcodes[place], opcodes[other] = opcodes[other], opcodes[place]
            case 3:
                opcodes[place] = whole(rng)
            case 4:
                donor = rng.choice([file for file in genuine if file.members])
                opcodes[place] = rng.choice(donor.opcodes)
        if not opcodes:
            break
    members = dict(file.members) | {f"{file.folder}/data.pkl": b"".join(opcodes)}
    return zipped(list(members.items()))


def archive_changed(rng: random.Random, genuine: list[Genuine]) -> bytes:
    file = rng.choice([file for file in genuine if file.members])
    members = list(file.members.items())
    place = rng.randrange(len(members))
    name, content = members[place]
    kind = zipfile.ZIP_STORED
    match rng.randrange(7):
        case 0:
            del members[place]
        case 1:
            members.append((name, rng.choice(members)[1]))
        case 2:
            members[place] = (
                rng.choice((name + "x", "/" + name, "../" + name, "data.pkl")),
                content,
            )
        case 3:
            members[place] = (name, content * rng.choice((2, 3)))
        case 4:
            kind = zipfile.ZIP_DEFLATED
        case 5:
            members.append((f"{file.folder}/byteorder", rng.choice((b"big", b"", b"middle"))))
            members.remove((f"{file.folder}/byteorder", b"little"))
        case 6:
            members.append((f"{file.folder}/data/{rng.randrange(99)}", b"\0" * rng.randrange(99)))
    data = zipped(members, kind)
    return data if rng.random() < 0.7 else damaged(rng, data)


def whole(rng: random.Random) -> bytes:
    value = rng.choice((*SIZES, rng.randrange(8)))
    match rng.randrange(4):
        case 0:
            return b"K" + struct.pack("<B", value % 256)
        case 1:
            return b"J" + struct.pack("<i", (value + 2**31) % 2**32 - 2**31)
        case 2:
            size = rng.choice((0, 1, 8, 9, 255))
            return b"\x8a" + bytes([size]) + rng.randbytes(size)
    return b"M" + struct.pack("<H", value % 2**16)


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


class Grammar:
    """Random pickles of parameter stores; every second one breaks the rules here and there."""

    names = ("a", "b", "prior$$$a", "prior.b", "__baseline_c", "", "é", "x\n", "c_unconstrained")
    storages = (
        b"FloatStorage",
        b"DoubleStorage",
        b"HalfStorage",
        b"BFloat16Storage",
        b"LongStorage",
    )
    classes = (
        b"_Real",
        b"_GreaterThan",
        b"_LessThan",
        b"_Interval",
        b"_Simplex",
        b"_GreaterThanEq",
    )

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.loose = rng.random() < 0.5
        self.kinds = [rng.choice(self.storages) for _ in range(3)]
        self.lengths = [rng.choice((8, 16, 48)) for _ in range(3)]
        self.used = 0

    def breaks(self) -> bool:
        return self.loose and self.rng.random() < 0.03

    def file(self) -> bytes:
        body = self.store() if self.rng.random() < 0.5 else self.mapping(0)
        program = b"\x80\x02" + body + b"."
        members = [("archive/data.pkl", program), ("archive/byteorder", b"little")]
        contents = [self.rng.randbytes(length) for length in self.lengths]
        members += [(f"archive/data/{i}", content) for i, content in enumerate(contents)]
        return zipped(members)

    def store(self) -> bytes:
        names = self.rng.sample(self.names, self.rng.randrange(1, 5))
        params = b"".join(text(name) + self.tensor() for name in names)
        allowed = b"".join(text(name) + self.constraint() for name in names)
        parts = (
            text("params") + b"}(" + params + b"u" + text("constraints") + b"}(" + allowed + b"u"
        )
        return b"}(" + parts + b"u"

    def mapping(self, depth: int) -> bytes:
        names = self.rng.sample(self.names, self.rng.randrange(1, 4))
        return b"}(" + b"".join(text(name) + self.value(depth + 1) for name in names) + b"u"

    def value(self, depth: int) -> bytes:
        if self.breaks():
            return self.odd()
        match self.rng.randrange(10 if depth < 6 else 6):
            case 0 | 1:
                return b"G" + struct.pack(">d", self.rng.choice((0.5, 1e300, float("nan"))))
            case 2:
                return whole(self.rng)
            case 6 | 7:
                one = self.value(depth + 1)
                return b"](" + one * self.rng.randrange(1, 4) + b"e" + self.put()
            case 8:
                return b"(" + self.value(depth + 1) * 2 + b"t" + self.put()
            case 9:
                return self.mapping(depth) if self.breaks() else self.tensor()
        return self.tensor()

    def put(self) -> bytes:
        self.used = (self.used + 1) % 4
        return b"q" + bytes([self.used]) if self.rng.random() < 0.5 else b""

    def storage(self, place: int) -> bytes:
        kind, length = self.kinds[place], self.lengths[place]
        width = {b"D": 8, b"L": 8, b"F": 4}.get(kind[:1], 2)
        if self.breaks():
            kind, place = self.rng.choice(self.storages), self.rng.choice((1, 9))
        key = text("storage") + b"ctorch\n" + kind + b"\n" + text(str(place)) + text("cpu")
        return b"(" + key + b"K" + bytes([length // width]) + b"tQ"

    def tensor(self) -> bytes:
        rng = self.rng
        place = rng.randrange(3)
        shape = rng.choice(([], [1], [1, 1], [2], [1, 2]) if self.lengths[place] > 8 else ([], [1]))
        if self.breaks():
            shape = rng.choice(([0], [255, 255], [3, 1]))
        strides = [shape[1] if i < len(shape) - 1 else 1 for i in range(len(shape))]
        if self.breaks() and strides:
            strides[rng.randrange(len(strides))] = rng.randrange(256)
        offset = b"K" + bytes([rng.choice((1, 255)) if self.breaks() else 0])
        hooks = b"\x89ccollections\nOrderedDict\n)R"
        arguments = self.storage(place) + offset + self.sizes(shape) + self.sizes(strides) + hooks
        built = b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
        if rng.random() < 0.2:
            built = b"ctorch._utils\n_rebuild_parameter\n" + built + hooks + b"\x87R"
        return built + self.put()

    def sizes(self, values: list[int]) -> bytes:
        if self.breaks():
            return b"(" + whole(self.rng) * self.rng.choice((1, 2, 40)) + b"t"
        return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"

    def constraint(self, depth: int = 0) -> bytes:
        rng = self.rng
        if rng.random() < 0.2 and depth < 10:
            inner = text("base_constraint") + self.constraint(depth + 1)
            return (
                b"ctorch.distributions.constraints\n_IndependentConstraint\n)\x81}" + inner + b"sb"
            )
        known = b"ctorch.distributions.constraints\n" + rng.choice(self.classes) + b"\n)\x81"
        if rng.random() < 0.2:
            known = b"cpyro.distributions.constraints\n_SoftplusPositive\n)\x81"
        bounds = b"".join(text(f"{side}_bound") + self.bound() for side in ("lower", "upper"))
        return known + b"}(" + bounds + b"ub" + self.put()

    def bound(self) -> bytes:
        if self.rng.random() < 0.1:
            return self.value(6)
        return b"G" + struct.pack(">d", self.rng.choice((0.0, 1.0, -2.5, 1e308, float("inf"))))

    def odd(self) -> bytes:
        names = (b"cposix\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nFloatStorage\n", b"c\n\n")
        alone = (b"N", b"\x88", text("x"), b"", *(bytes([code]) for code in b"aseutbRQ(\x81"))
        return self.rng.choice(
            (
                *names,
                *alone,
                names[0] + text("true") + b"\x85R",
                bytes([self.rng.randrange(256)]),
                b"h" + bytes([self.rng.randrange(5)]),
                b"r" + self.rng.randbytes(4),
                b"X" + self.rng.randbytes(4),
            )
        )


def grammar(rng: random.Random, genuine: list[Genuine]) -> bytes:
    return Grammar(rng).file()


SOURCES = (bytes_damaged, member_damaged, opcodes_changed, archive_changed, grammar)


def outcome(data: bytes) -> str:
    """The rule that refused it, or "read"; anything else is raised."""
    try:
        found = parse(data)
    except DataError as error:
        return rule_of(str(error), 400)
    numbers = 0
    for name, values in found.values.items():
        numbers += values.size
        if not isinstance(name, str) or values.dtype != np.float64:
            raise AssertionError(f"{name!r} is {values.dtype}")
        if not values.flags.c_contiguous or not values.size:
            raise AssertionError(f"{name!r} has shape {values.shape}")
    if numbers > len(data):
        raise AssertionError(f"{numbers} numbers from {len(data)} bytes")
    return "read"


def sources() -> dict[str, Source]:
    """The five, each with the genuine files."""
    genuine = [Genuine(path) for path in sorted(STORES.glob("*.pt"))]
    return {source.__name__: partial(source, genuine=genuine) for source in SOURCES}


if __name__ == "__main__":
    sys.exit(main(__file__, (__doc__ or "").splitlines()[0], sources(), outcome, ("read",)))
