"""Does any file make a checkpoint, a recording or counts do anything but be used or be refused?

    python benchmarks/fuzz_archives.py --inputs 1000000 --seed 0

Genuine checkpoints, recordings, counts (npz and JSON), parameters and losses are damaged in six
ways: bytes of the file; bytes of a member, so that every checksum is right; an array's header;
arrays by content (values, types, shapes, members that lack or are too many); the JSON text by
content (values, types, names, depth); and the archive around them. What is accepted is used: a
checkpoint goes on for three steps and is saved and loaded again, a recording is replayed, counts
are fitted. What is not a result must be a clean error: of the documented class, raised by a `raise`
of this package, in one printable line that begins with the file's name where a file is read.

The exit code is 1 if any input did anything else.
"""

from __future__ import annotations

import functools
import io
import json
import linecache
import os
import random
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from fuzzing import (
    Source,
    array_changed,
    damaged,
    document_changed,
    header_changed,
    main,
    npz,
    rule_of,
    unzipped,
    zipped,
)

import elbo_ref as er
from elbo_ref.io.counts_file import DataError
from elbo_ref.io.losses import read_numbers
from elbo_ref.io.parameters import read_parameters
from elbo_ref.recording import Recording, RecordingError
from elbo_ref.svi import checkpoint
from elbo_ref.svi.checkpoint import CheckpointError

PACKAGE = str(Path(er.__file__).parent)
COUNTS = er.Counts([3, 0, 7], [10, 4, 9])
LONGEST = 700


class Input(NamedTuple):
    kind: str
    data: bytes


# -- genuine files ---------------------------------------------------------------------------------


def checkpoints() -> list[bytes]:
    """Of every generator, guide, loss and optimizer, stopped at several steps."""
    losses: tuple[Any, ...] = (
        "trace",
        "exact",
        er.Renyi(0.5),
        er.ScoreFunction(),
        "trace_mean_field",
    )
    optimizers = (
        er.Adam(0.1, amsgrad=True),
        er.ClippedAdam(0.1),
        er.ExponentialLR(er.Adam(0.1), 0.9),
    )
    guides = ("beta", "tied", "normal", "empty", "none", "beta_shared", "delta")
    kinds = (
        np.random.MT19937,
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.Philox,
        np.random.SFC64,
    )
    datas = (COUNTS, er.Counts.grouped([1, 0, 2], [3, 1, 5], ["b", 7, "b"]))
    files = []
    for i, kind in enumerate(kinds * 3):
        guide, loss = guides[i % 7], losses[i % 5]
        if loss == er.ScoreFunction():
            guide = "beta"
        run = er.maximize_elbo(
            datas[i % 2],
            guide,
            loss=loss,
            optimizer=optimizers[i % 3],
            num_steps=(1, 5, 9)[i % 3],
            rng=np.random.Generator(kind(i)) if i < 10 else i,
        )
        files.append(checkpoint.pack([(run.config, run.state, run.num_steps)]))
    return files


def recordings() -> list[tuple[Recording, er.Counts]]:
    """Of hand-made runs, as `record` notes them: own Beta guide, empty guide, normal guide."""
    made = []
    for seed, (guide, dtype, moments) in enumerate(
        (
            ("beta", "f8", False),
            ("empty", "f4", True),
            ("normal", "f8", True),
            ("tied", "f4", False),
        )
    ):
        rng, steps = np.random.default_rng(seed), 3
        shapes: dict[str, tuple[int, ...]] = {"a": (), "b": ()}
        shapes |= {"q1": (3,), "q0": (3,)} if guide in ("beta", "normal") else {}
        free = {
            name: rng.normal(size=(steps, *shape)).astype(dtype) for name, shape in shapes.items()
        }
        x = {name: np.exp(value) for name, value in free.items()}
        if guide == "normal":
            x["q1"] = free["q1"]
        c = rng.beta(2, 3, size=(steps, 2, 3)).astype(dtype)
        draws, arguments = (
            {"c": c},
            {f"model.c.concentration{i}": x["ab"[1 - i]][:, None] for i in (1, 0)},
        )
        rows = {"rows": 3, "elements": 3, "latent": "c", "complement": False, "logits": False}
        sites = [
            _site("model", "c", "Beta", sources={"concentration1": ["a"], "concentration0": ["b"]}),
            _site("model", "obs", "Binomial", True, **rows),
        ]
        if guide == "normal":
            draws["c_unconstrained"] = np.log(c / (1 - c))
            arguments |= {
                "guide.c_unconstrained.loc": x["q1"],
                "guide.c_unconstrained.scale": x["q0"],
            }
            sources = {"loc": ["q1"], "scale": ["q0"]}
            sites += [
                _site("guide", "c_unconstrained", "Normal", sources=sources),
                _site("guide", "c", "Delta"),
            ]
        elif guide != "empty":
            own = ("q1", "q0") if guide == "beta" else ("a", "b")
            arguments |= {
                f"guide.c.concentration{i}": x[name].reshape(steps, -1)
                for i, name in zip((1, 0), own, strict=True)
            }
            named = {f"concentration{i}": [x] for i, x in zip((1, 0), own, strict=True)}
            sites.append(_site("guide", "c", "Beta", sources=named))
        real = ("q1",) if guide == "normal" else ()
        settings = {
            "lr": 0.1,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.0,
            "foreach": None,
        }
        recording = Recording(
            losses=rng.normal(size=steps) + 20,
            draws=draws,
            before=free,
            constrained=x,
            after={name: value + 0.1 for name, value in free.items()},
            gradients={
                name: rng.normal(size=value.shape).astype(dtype) for name, value in free.items()
            },
            lr={name: np.full(steps, 0.1) for name in free},
            moments={n: np.abs(rng.normal(size=(3, *v.shape[1:]))) for n, v in free.items()}
            if moments
            else {},
            arguments=arguments,
            argument_gradients={
                name: rng.normal(size=value.shape) for name, value in arguments.items()
            },
            observed={
                "obs.value": COUNTS.successes[None] * 1.0,
                "obs.total_count": COUNTS.total_count[None] * 1.0,
                "obs.index": np.arange(3.0)[None],
            },
            header={
                "framework": "pyro",
                "versions": {"pyro": "1.9.2", "torch": "2.13.0"},
                "loss": {
                    "class": "Trace_ELBO",
                    "bases": ["ELBO", "object"],
                    "num_particles": 2,
                    "vectorize_particles": True,
                },
                "optimizer": {
                    "class": ("Adam", "ClippedAdam")[seed % 2],
                    "scheduler": None,
                    "clip": {"clip_norm": 10.0, "clip_value": None},
                    "settings": dict.fromkeys(free, settings),
                },
                "constraints": {name: "real" if name in real else "positive" for name in free},
                "earlier_steps": dict.fromkeys(free, 4) if moments else {},
                "ends": {name: {} if name in real else {"low": 0.0} for name in free},
                "programs": {name: ["model" if name in "ab" else "guide"] for name in free},
                "conflicts": [],
                "plates": {},
                "sites": sites,
            },
        )
        made.append(recording)
    made.append(_minibatch(made[0]))
    made.append(_renyi(made[0]))
    made.append(_marginal(made[1]))
    return made


def _site(
    program: str, name: str, kind: str, observed: bool = False, **described: Any
) -> dict[str, Any]:
    return {
        "program": program,
        "name": name,
        "class": kind,
        "observed": observed,
        "reparameterized": not observed,
        "scale": 1.0,
        "planned_scale": 1.0,
        "plates": ["latents"],
        "sources": {},
        "varying": [],
        **described,
    }


def _minibatch(recording: Recording) -> Recording:
    """Two of the three latents in each step."""
    index = np.array([[0, 1], [2, 0], [1, 2]])

    def some(arrays: Any) -> dict[str, Any]:
        return {
            name: np.take_along_axis(x, index, 1) if x.shape[1] == 3 else x
            for name, x in arrays.items()
        }

    scaled = {"scale": 1.5, "planned_scale": 1.5}
    of_rows = {"rows": 2, "elements": 2}
    sites = [
        {**site, **scaled, **(of_rows if site["observed"] else {})}
        for site in recording.header["sites"]
    ]
    return replace(
        recording,
        draws={"c": recording.draws["c"][:, :, :2]},
        arguments=some(recording.arguments),
        argument_gradients=some(recording.argument_gradients),
        observed={
            "latents.rows": index,
            "obs.value": COUNTS.successes[index],
            "obs.total_count": COUNTS.total_count[index],
            "obs.index": np.arange(2.0)[None],
        },
        header={**recording.header, "plates": {"latents": 3}, "sites": sites},
    )


def _marginal(recording: Recording) -> Recording:
    """The same prior of a BetaBinomial, without a latent."""
    (latent, rows) = recording.header["sites"]
    site = {**rows, "class": "BetaBinomial", "sources": latent["sources"]}
    site = {name: x for name, x in site.items() if name not in ("latent", "complement")}

    def moved(arrays: Any) -> dict[str, Any]:
        return {name.replace("model.c.", "model.obs."): x for name, x in arrays.items()}

    return replace(
        recording,
        draws={},
        arguments=moved(recording.arguments),
        argument_gradients=moved(recording.argument_gradients),
        observed={x: a for x, a in recording.observed.items() if x != "obs.index"},
        header={**recording.header, "sites": [site]},
    )


def _renyi(recording: Recording) -> Recording:
    loss = {"class": "RenyiELBO", "num_particles": 2, "vectorize_particles": True, "alpha": 0.5}
    return replace(recording, header={**recording.header, "loss": loss})


def saved(recording: Recording) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        recording.save(Path(folder, "run.npz"))
        return Path(folder, "run.npz").read_bytes()


def tables() -> list[bytes]:
    split = er.Counts.grouped([3, 1, 4, 0], [9, 6, 5, 1], ["a", "b", "a", "b"])
    columns = {name: np.array(column) for name, column in split.to_dict().items()}
    return [
        npz(columns),
        npz({"successes": [3, 0], "total_count": [10, 4], "multiplicity": [2, 5]}, packed=True),
        json.dumps(split.to_dict()).encode(),
        json.dumps({"counts": COUNTS.to_dict(), "schema": "x"}).encode(),
        b"successes,total_count\n3,10\n0,4\n",
    ]


def parameters() -> list[bytes]:
    values = {"prior.concentration1": np.float32(2.5), "guide.loc": np.array([0.5, -1.0])}
    document = {name: value.tolist() for name, value in values.items()}
    return [npz(values), npz(values, packed=True), json.dumps(document).encode()]


# -- what is done with an input --------------------------------------------------------------------


def resumed(path: Path) -> None:
    """Three steps more; saved and loaded again it is the same."""
    run = er.load_run(path)
    try:
        more = run.resume(3)
    except ValueError as error:
        if "cannot go on" in str(error):
            return
        raise
    again = io.BytesIO(checkpoint.pack([(more.config, more.state, more.num_steps)]))
    path.write_bytes(again.getvalue())
    back = er.load_run(path)
    if back.losses.tobytes() != more.losses.tobytes():
        raise AssertionError("saved and loaded, the losses are others")


def replayed(path: Path) -> None:
    recording = Recording.load(path)
    er.replay(recording, COUNTS).summary()


def fitted(path: Path) -> None:
    counts = er.read_counts(path)
    if not np.isfinite(er.log_evidence(er.Beta(2.0, 3.0), counts)).all():
        raise AssertionError("the evidence is not finite")
    if counts.total_count.max() < 1000:
        er.maximize_evidence(counts)
    er.maximize_elbo(counts, loss="exact", num_steps=2).summary()
    if er.Counts.from_columns(**counts.to_dict()) != counts:
        raise AssertionError("the counts are others once they are written and read")


class Target(NamedTuple):
    """A kind of file: genuine ones, what uses it, and the errors that it documents."""

    genuine: Callable[[], list[bytes]]
    use: Callable[[Path], None]
    errors: tuple[type[Exception], ...]


TARGETS = {
    "checkpoint": Target(checkpoints, resumed, (CheckpointError,)),
    "recording": Target(
        lambda: [saved(x) for x in recordings()], replayed, (RecordingError, ValueError)
    ),
    "counts": Target(tables, fitted, (DataError, ValueError)),
    "parameters": Target(parameters, lambda path: read_parameters(path), (DataError,)),
    "losses": Target(
        lambda: [b"loss\n-1.5\n2e3\nnan\n"], lambda path: read_numbers(path), (DataError,)
    ),
}
GENUINE = functools.cache(lambda kind: TARGETS[kind].genuine())


def is_zip(data: bytes) -> bool:
    return data.startswith(b"PK")


# -- sources ---------------------------------------------------------------------------------------


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    return damaged(rng, data)


def of_member(rng: random.Random, data: bytes) -> bytes:
    members = unzipped(data)
    name = rng.choice(list(members))
    return zipped(list((members | {name: damaged(rng, members[name])}).items()))


def of_header(rng: random.Random, data: bytes) -> bytes:
    members = unzipped(data)
    name = rng.choice(list(members))
    return zipped(list((members | {name: header_changed(rng, members[name])}).items()))


def of_array(rng: random.Random, data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as archive:
        arrays = dict(archive)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        name = rng.choice(
            [name for name in arrays if arrays[name].dtype.kind != "U"] or list(arrays)
        )
        match rng.randrange(12):
            case 0:
                del arrays[name]
                if not arrays:
                    break
            case 1:
                arrays[rng.choice(("x", "1/vector", "draws/9", "labels"))] = arrays[name]
            case 2:
                arrays[name] = arrays[rng.choice(list(arrays))]
            case _:
                arrays[name] = array_changed(rng, arrays[name])
    return npz(arrays)


def of_document(rng: random.Random, data: bytes) -> bytes:
    if not is_zip(data):
        return document_changed(rng, data.decode()).encode("utf-8", "surrogatepass")
    with np.load(io.BytesIO(data)) as archive:
        arrays = dict(archive)
    name = "runs" if "runs" in arrays else "header"
    return npz(arrays | {name: np.array(document_changed(rng, str(arrays[name])))})


def of_archive(rng: random.Random, data: bytes) -> bytes:
    members = list(unzipped(data).items())
    place, kind = rng.randrange(len(members)), zipfile.ZIP_STORED
    name, content = members[place]
    match rng.randrange(6):
        case 0:
            members.append((name, rng.choice(members)[1]))
        case 1:
            members[place] = (rng.choice((name + "x", "../" + name, "", "é\n")), content)
        case 2:
            kind = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        case 3:
            kind = zipfile.ZIP_DEFLATED
            members.append(("bomb.npy", bytes(2**16)))
        case 4:
            members += [(f"{name}{i}", content) for i in range(rng.choice((1, 30)))]
        case 5:
            del members[place]
    return zipped(members, kind)


WAYS = {
    "bytes": (of_bytes, lambda data: True),
    "member": (of_member, is_zip),
    "header": (of_header, is_zip),
    "array": (of_array, is_zip),
    "document": (
        of_document,
        lambda data: data.startswith(b"{") or b"runs.npy" in data or b"header.npy" in data,
    ),
    "archive": (of_archive, is_zip),
}


def source(kind: str, way: str) -> Source:
    change, fits = WAYS[way]

    def make(rng: random.Random) -> Input:
        return Input(kind, change(rng, rng.choice([x for x in GENUINE(kind) if fits(x)])))

    return make


def sources() -> Mapping[str, Source]:
    """Each kind of file by each way that it can be damaged in."""
    pairs = [
        (kind, way) for kind in TARGETS for way in WAYS if any(map(WAYS[way][1], GENUINE(kind)))
    ]
    return {f"{kind}, {way}": source(kind, way) for kind, way in pairs}


# -- outcomes --------------------------------------------------------------------------------------


def deliberate(error: BaseException) -> bool:
    """Whether a `raise` of this package made it, or what it was made of."""
    first = error
    while first.__context__ is not None:
        first = first.__context__
    return _raised_here(error.__traceback__) and (
        _raised_here(first.__traceback__) or isinstance(first, KNOWN_CAUSES)
    )


KNOWN_CAUSES = (
    json.JSONDecodeError,
    StopIteration,
    zipfile.BadZipFile,
    UnicodeDecodeError,
    RecursionError,
)
"""What others raise for a damaged text or archive, and this package puts into words."""


def _raised_here(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    name = trace.tb_frame.f_code.co_filename
    return name.startswith(PACKAGE) and "raise" in linecache.getline(name, trace.tb_lineno)


FOLDER = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(tempfile.gettempdir())
PATH = FOLDER / f"fuzz_archives_{os.getpid()}"


def outcome(made: Input) -> str:
    """``accepted``, or the rule that refused it; anything else is raised."""
    target = TARGETS[made.kind]
    PATH.write_bytes(made.data)
    try:
        target.use(PATH)
    except target.errors as error:
        if not _clean(made.kind, error):
            raise
        return rule_of(str(error).removeprefix(f"{PATH}: "), LONGEST)
    finally:
        PATH.unlink()
    return "accepted"


def _clean(kind: str, error: Exception) -> bool:
    """Whether an error names the file where a file is read, and was meant."""
    named = str(error).startswith(f"{PATH}: ") or not isinstance(error, TARGETS[kind].errors[0])
    return named and (deliberate(error) or "the archive is damaged" in str(error))


if __name__ == "__main__":
    sys.exit(main(__file__, (__doc__ or "").splitlines()[0], sources(), outcome, ("accepted",)))
