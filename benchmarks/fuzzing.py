"""What the fuzzing runs share: damage to bytes, zips and values, the loop, and the report.

A run has *sources*, functions that make an input from a `random.Random`, and an *outcome*, which
uses an input as a program would and returns a word for how that ended: a clean refusal is reduced
to its rule. Anything that `outcome` raises is a failure. Warnings are errors, no module may be
imported on the way, and the memory that the process grows by is reported.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import platform
import random
import re
import struct
import sys
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (0, 1, 2, 3, 15, 16, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
MOST_SHOWN = 5

Source = Callable[[random.Random], Any]


def zipped(members: list[tuple[str, bytes]], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return file.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes flipped, set, left out, doubled or put in, once or a few times; or the end missing."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 1 if place < len(changed):
                changed[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del changed[place : place + rng.choice((1, 2, 4, 64))]
            case 3:
                changed[place:place] = changed[place : place + rng.choice((1, 2, 8, 64))]
            case 4:
                changed[place : place + 4] = struct.pack("<I", rng.choice(SIZES))
            case 5 if rng.random() < 0.3:
                del changed[place:]
    return bytes(changed)


# -- an npz by its content -------------------------------------------------------------------------

NUMBERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-320,
    1e-100,
    1e100,
    1e308,
    -1e308,
    math.inf,
    -math.inf,
    math.nan,
)
WHOLE = (0, 1, 2, 3, 100)
TYPES = (
    "<f8",
    ">f8",
    "<f4",
    "<f2",
    "<i8",
    "<u8",
    "|i1",
    "|b1",
    "<U1",
    "<U9",
    "<c16",
    "|S3",
    "<M8[s]",
)
DESCRS = ("<U500000000", "<f8", "|O", "<f16", "<i4", ">f8", "|V8", "<U0", "<U1", "<U2", "<f88")
SHAPES = (
    "()",
    "(0,)",
    "(1,)",
    "(3,)",
    "(-1,)",
    "(2, 3)",
    "(0, 1000000000000)",
    "(1,) + (1,)",
    "(99999999999999999,)",
    "(1000000000000000000, 1000000000000000000)",
    "(3,), 'x': (1,)",
)


def npz(arrays: Mapping[str, Any], packed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


def array_changed(rng: random.Random, array: Any) -> Any:
    """Another value, type, shape or size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if array.dtype.kind not in "fiu":
            return rng.choice((np.array("{}"), np.array([str(array)]), np.array(7), array[None]))
        array = array.copy() if rng.random() < 0.7 else array.astype(np.float64)
        numbers = NUMBERS if array.dtype.kind == "f" else WHOLE
        match rng.randrange(8):
            case 0 | 1 | 2 if array.size:
                array.flat[rng.randrange(array.size)] = rng.choice(numbers)
            case 3 if array.size:
                array.flat[rng.randrange(array.size)] *= rng.choice((1, 2, 100))
            case 4:
                return array.astype(rng.choice(TYPES))
            case 5:
                shape = [rng.choice((0, 1, side, side + 1, 2 * side)) for side in array.shape]
                return np.resize(array, shape) if array.size else np.zeros(shape)
            case 6:
                return rng.choice(
                    (array[None], array.ravel(), array.T, array[..., :-1] if array.ndim else array)
                )
            case 7:
                array[...] = rng.choice(numbers)
    return array


def header_changed(rng: random.Random, member: bytes) -> bytes:
    """An array's own header with another type, order or shape, its length put right."""
    length = int.from_bytes(member[8:10], "little")
    header = member[10 : 10 + length].decode("latin-1")
    match rng.randrange(4):
        case 0:
            header = re.sub(r"'descr': '[^']*'", f"'descr': '{rng.choice(DESCRS)}'", header)
        case 1 | 2:
            header = re.sub(r"'shape': \([^)]*\)", f"'shape': {rng.choice(SHAPES)}", header)
        case 3:
            header = header.replace("False", "True")
    text = header.encode()
    return member[:8] + len(text).to_bytes(2, "little") + text + member[10 + length :]


# -- a document by its content ---------------------------------------------------------------------

LEAVES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    624,
    10**8,
    2**31,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    2**128,
    10**400,
    0.0,
    0.5,
    -0.5,
    1.0,
    1e-320,
    1e-100,
    1e100,
    1e308,
    -1e308,
    "",
    "x",
    "a\x1b[2J\n",
    "\ud800",
    "é" * 300,
    [],
    {},
    [[]],
    [0],
    {"": 0},
    {"x": {"y": []}},
    "trace",
    "beta",
    "Adam",
    "Normal",
    "guide",
)
DEEP = "[" * 3000 + "]" * 3000


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with each of its keys."""
    found, todo = [], [document]
    while todo:
        inner = todo.pop()
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        found += [(inner, key) for key in keys]
        todo += [inner[key] for key in keys if isinstance(inner[key], dict | list)]
    return found


def document_changed(rng: random.Random, text: str) -> str:
    """The text of another tree: leaves exchanged, keys dropped, added, renamed or doubled."""
    document = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        short = [(inner, key) for inner, key in places(document) if len(inner) < 40]
        if not short:
            break
        inner, key = rng.choice(short)
        match rng.randrange(8):
            case 0 | 1 | 2:
                inner[key] = rng.choice(LEAVES)
            case 3:
                inner[key] = json.loads(json.dumps(rng.choice([i[k] for i, k in short])))
            case 4:
                del inner[key]
            case 5 if isinstance(inner, dict):
                inner[rng.choice(("x", "name", "class", "é", "labels"))] = rng.choice(LEAVES)
            case 5:
                inner.append(inner[key])
            case 6 if type(inner[key]) in (int, float):
                with_sign = rng.choice((-1, 2, 0.5, 1e300, 10**30))
                with contextlib.suppress(OverflowError):  # of an integer beyond a float
                    inner[key] *= with_sign
            case 7:
                inner[key] = [inner[key]]
    try:
        changed = json.dumps(document)
    except (ValueError, OverflowError):
        return text
    match rng.randrange(40):
        case 0:
            changed = changed.replace("0", DEEP, 1)
        case 1:
            changed = re.sub(
                r"[0-9]+", rng.choice(("NaN", "1e999", "-Infinity", "9" * 5000)), changed, count=1
            )
        case 2:
            changed = re.sub(r'("[a-z_]+": )([^,{}\[\]]+)', r"\1\2, \1\2", changed, count=1)
    return changed


# -- the loop --------------------------------------------------------------------------------------


def rule_of(message: str, most: int) -> str:
    """A message of one printable line with its values taken out."""
    if not message or len(message.splitlines()) != 1 or len(message) > most:
        raise AssertionError(f"a message of several lines, or long: {message!r}")
    if not message.isprintable():
        raise AssertionError(f"a message that cannot be printed: {message!r}")
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|[0-9]+|\(.*\)|\[.*\]", "..", message)


def fuzz(
    sources: Mapping[str, Source],
    outcome: Callable[[Any], str],
    inputs: int,
    seed: int,
) -> tuple[dict[str, Counter[str]], list[str], float]:
    """For each source how many inputs ended how; the failures; the slowest, in seconds."""
    ends: dict[str, Counter[str]] = {name: Counter() for name in sources}
    failures, slowest, names = [], 0.0, list(sources)
    for i in range(inputs):
        rng = random.Random(seed * 2**40 + i)
        name = names[i % len(names)]
        made = sources[name](rng)
        begun = time.process_time()
        try:
            ends[name][outcome(made)] += 1
        except Exception as error:
            ends[name]["not clean"] += 1
            failures.append(f"input {i}: {type(error).__name__}: {error} ({name})")
        slowest = max(slowest, time.process_time() - begun)
    return ends, failures, slowest


def main(
    script: str,
    description: str,
    sources: Mapping[str, Source],
    outcome: Callable[[Any], str],
    good: tuple[str, ...],
) -> int:
    """Run and report; `good` are the outcomes that are no refusals."""
    import resource  # of Unix alone; the rest runs anywhere

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "columns known by their names")  # damaged ones may be
    fuzz(sources, outcome, 2000, options.seed + 1)  # what is imported late is imported here
    modules, begun = set(sys.modules), time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends, failures, slowest = fuzz(sources, outcome, options.inputs, options.seed)
    seconds = time.perf_counter() - begun
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    imported = sorted(set(sys.modules) - modules)
    print(f"python benchmarks/{Path(script).name} --inputs {options.inputs} --seed {options.seed}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    print(f"{seconds:.0f} s, slowest input {1000 * slowest:.0f} ms, peak memory {grown:+.0f} MB")
    print(f"\n{'source':32}{'inputs':>9}{'accepted':>9}{'refused':>9}{'rules':>7}")
    total: Counter[str] = Counter()
    for name, counter in [*ends.items(), ("all", total)]:
        accepted, all_ = sum(counter[word] for word in good), counter.total()
        rules = len(set(counter) - set(good))
        print(f"{name:32}{all_:9}{accepted:9}{all_ - accepted:9}{rules:7}")
        total.update(counter if name != "all" else {})
    print(f"\nnot clean: {len(failures)}; modules imported: {len(imported)}")
    print("\nmost frequent ends:")
    for rule, times in total.most_common(40):
        print(f"{times:9}  {rule[:110]}")
    print(*failures[:MOST_SHOWN], *imported, sep="\n")
    return 1 if failures or imported else 0
