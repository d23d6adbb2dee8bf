"""Do the tests that mirror a module notice a fault in it?

Mutants are made by the operators of cosmic-ray (`mutants.py`), and each is run against the tests
under `tests/` that mirror its package and the doctests of the module itself (`forks.py`), the
thorough ones too: up to five seconds of tests, those first that are quick or have failed often. A
mutant is killed if a test fails, or if its run takes four times the processor time of the tests
without a change, and five seconds more.
`equivalents.toml` lists, with the reason, the mutants that no test can kill, since what they
return is the same, or the same to rounding.

    nox -s mutation                        a sample of each part
    nox -s mutation -- evidence --all      every mutant of one part
    nox -s mutation -- --seed 7 svi        another sample of a part
    nox -s mutation -- --records FOLDER    a folder for what happened to each
    nox -s mutation -- --records FOLDER --again    those again that are left there

The sample is fixed by the seed, that in `mutants.py` or another (`--seed`), and moves with the
text, not with line numbers.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forks import BUDGET, ROOT, Clean, clean_run, collect, forked, fresh_run, live_runs
from mutants import SEED, Mutant, mutants, places

EQUIVALENTS = Path(__file__).with_name("equivalents.toml")
LEFT = ("survived", "untested")
MARKS = {False: "not slow and not live", True: "not thorough and not slow and not live"}
"""The tests that mutants are run against, and those of a quick run."""
LONGEST = 2.0
"""Processor seconds of the longest test that is run."""
PRELOADED = (
    *("numpy", "scipy.integrate", "scipy.optimize", "scipy.special", "scipy.stats", "mpmath"),
    *("autograd.numpy", "autograd.scipy.special", "autograd.scipy.stats", "flint", "hypothesis"),
    *("narwhals", "concurrent.futures", "unittest.mock", "xml.etree.ElementTree"),
)
"""What tests import beside the package, imported before anything is forked."""


@dataclass(frozen=True)
class Part:
    """Some modules, the tests that mirror them, and the percentage of mutants to be killed."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    wanted: int = 95

    def files(self) -> list[str]:
        found: list[Path] = []
        for name in self.modules:
            path = ROOT / "elbo_ref" / name
            found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
        return [str(x.relative_to(ROOT)) for x in found]


UNDERFLOW = "tests/test_underflow.py"
"""Mirrors the decorator `underflow_is_zero`, on whatever it stands."""
SURFACE = "tests/test_surface.py"
"""Mirrors defaults of public arguments, and what dataclasses are equal by and show."""
LOSS_MODEL = (
    *("loss_model", "linear_form", "cumulants", "gamma_cumulants", "moments", "clamping"),
    *("distribution", "sampling"),
)
LAW = tuple(f"tests/crosscheck/test_{x}.py" for x in (*LOSS_MODEL, "saddlepoint"))
OWN_PARTS = (*LOSS_MODEL, "saddlepoint")
LIVE = ("pyro", "numpyro", "distribution_kinds", "script")
"""Beginnings of the names of modules that nothing but a live run comes by."""


def _rest(package: str, without: tuple[str, ...]) -> tuple[str, ...]:
    names = sorted(x.name for x in (ROOT / "elbo_ref" / package).glob("*.py"))
    return tuple(f"{package}/{x}" for x in names if x.removesuffix(".py") not in without)


RECORDING = tuple(x for x in _rest("recording", ()) if not Path(x).name.startswith(LIVE))

PARTS = {
    "evidence": Part(("evidence.py",), ("tests/test_evidence.py", UNDERFLOW, SURFACE)),
    "special": Part(("special",), ("tests/test_special.py",)),
    "distributions": Part(_rest("distributions", ()), ("tests/distributions", UNDERFLOW, SURFACE)),
    "pathwise": Part(("distributions/pathwise",), ("tests/distributions",)),
    "guides": Part(("guides",), ("tests/guides", SURFACE)),
    "objectives": Part(("objectives",), ("tests/objectives", UNDERFLOW, SURFACE)),
    "optimizers": Part(("svi/optimizers.py",), ("tests/svi/test_optimizers.py", UNDERFLOW)),
    "mle": Part(("mle",), ("tests/mle", UNDERFLOW, SURFACE)),
    "loss model": Part(tuple(f"crosscheck/{x}.py" for x in LOSS_MODEL), LAW),
    "saddlepoint": Part(("crosscheck/saddlepoint.py",), LAW),
    "svi": Part(_rest("svi", ("optimizers",)), ("tests/svi", UNDERFLOW, SURFACE), 90),
    "replay": Part(("recording/replay",), ("tests/recording", SURFACE), 90),
    "recording": Part(RECORDING, ("tests/recording", SURFACE), 90),
    "crosscheck": Part(_rest("crosscheck", OWN_PARTS), ("tests/crosscheck", SURFACE), 90),
    "io": Part(("io",), ("tests/io", SURFACE), 90),
}


def run_tests(part: Part, chosen: list[Mutant], marks: str, log: Path) -> None:
    """Run the mutants; each result is a line of the log as it comes."""
    files = sorted({x.path for x in chosen})
    tests = [*part.tests, *files]

    def note(mutant: Mutant, how: str, found: dict[str, Any] | None) -> None:
        outcome = how
        if how == "done":
            outcome = "killed" if found["killer"] else "survived"
        record = {**mutant.record(), "outcome": outcome, **(found or {})}
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def serve() -> dict[str, Any]:
        import coverage

        names = [str(ROOT / x) for x in part.files()]
        meter = coverage.Coverage(data_file=None, config_file=False, include=names)
        meter.start()
        kept: dict[str, Any] = {}

        def loop(session: Any) -> None:
            clean = clean_run(session, meter, LONGEST)
            others = live_runs(session, clean, chosen, note)
            kept.update(seconds=clean.seconds, left_out=clean.left_out, failed=clean.failed)
            kept["others"] = [chosen.index(x) for x in others]

        collect(tests, marks, loop)
        return kept

    how, served = forked(serve)
    if how != "done":
        raise RuntimeError(f"{how}: the tests did not run; MUTATION_LOUD=1 shows what they say")
    for name in served["failed"]:
        print(f"fails without a change, and is left out: {name}", file=sys.stderr)
    clean = Clean(served["seconds"], left_out=served["left_out"])
    seconds = 30 + int(4 * BUDGET)
    for number in served["others"]:
        mutant = chosen[number]
        note(mutant, *forked(lambda m=mutant: fresh_run(m, tests, marks, clean), seconds))


def _change(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["path"], record["line"], record["becomes"]


def equivalents() -> dict[tuple[str, str, str], str]:
    """The definition that a change is listed in, or "", by module, line and what it becomes."""
    table = tomllib.loads(EQUIVALENTS.read_text("utf-8")) if EQUIVALENTS.exists() else {}
    return {
        (f"elbo_ref/{x['module']}", x["line"], becomes): x.get("definition", "")
        for x in table.get("equivalent", [])
        for becomes in ([x["becomes"]] if isinstance(x["becomes"], str) else x["becomes"])
    }


def _listed(record: dict[str, Any], known: dict[tuple[str, str, str], str]) -> bool:
    return known.get(_change(record)) in ("", record["definition"])


def _standing(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mutants that are left and not listed."""
    known = equivalents()
    return [x for x in found if x["outcome"] in LEFT and not _listed(x, known)]


def _rate(found: list[dict[str, Any]]) -> float:
    """Percentage killed, of all but those that are listed."""
    left, killed = len(_standing(found)), sum(x["outcome"] not in LEFT for x in found)
    return 100 * killed / max(killed + left, 1)


def summary(
    records: dict[str, list[dict[str, Any]]], before: dict[str, list[dict[str, Any]]]
) -> Iterator[str]:
    """The table, and then what is left."""
    head = ("part", "changes", "run", "same", "killed", "late", "left", "%", "wanted", "before")
    yield "{:14}{:>8}{:>6}{:>6}{:>8}{:>6}{:>6}{:>8}{:>8}{:>8}".format(*head)
    left = []
    for name, found in records.items():
        standing, count = _standing(found), Counter(x["outcome"] for x in found)
        late, killed = count["timeout"], count["killed"] + count["crash"]
        same, possible = (
            len(found) - killed - late - len(standing),
            places(ROOT, PARTS[name].files()),
        )
        first = f"{_rate(before[name]):8.1f}" if before.get(name) else ""
        yield (
            f"{name:14}{len(possible):8}{len(found):6}{same:6}{killed:8}{late:6}"
            f"{len(standing):6}{_rate(found):8.1f}{PARTS[name].wanted:8}{first}"
        )
        left += sorted(standing, key=lambda x: (x["path"], x["lineno"]))
    if left:
        yield "\nLeft, by module and function:"
    for x in left:
        word = " (not run by a test)" if x["outcome"] == "untested" else ""
        yield f"\n{x['path']} {x['definition']}{word}\n  - {x['line']}\n  + {x['becomes']}"


def heading(most: int | None, seed: int) -> Iterator[str]:
    tools = ", ".join(f"{x} {version(x)}" for x in ("cosmic-ray", "numpy", "scipy", "hypothesis"))
    yield f"Python {platform.python_version()}, {tools}, {platform.machine()}"
    yield (
        f"a sample of at most {most} mutants of each part, seed {seed}"
        if most
        else "all mutants of each part"
    )
    yield f"tests of at most {LONGEST:g} s each, {BUDGET:g} s for a mutant, of processor"
    yield ""


def _key(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(record[x] for x in ("path", "definition", "operator", "line", "becomes"))


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in path.read_text("utf-8").splitlines()] if path.exists() else []


def _again(path: Path, chosen: list[Mutant]) -> tuple[list[Mutant], list[dict[str, Any]]]:
    """Mutants that are to be run, and the records of those that are killed or listed."""
    known, listed = {}, equivalents()
    for record in _read(path):
        if record["outcome"] not in LEFT or _listed(record, listed):
            known[_key(record)] = record
    left = [x for x in chosen if _key(x.record()) not in known]
    return left, [known[_key(x.record())] for x in chosen if _key(x.record()) in known]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--all", action="store_true", help="every mutant, not a sample")
    parser.add_argument("--sample", type=int, default=150, help="mutants of each part")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed is another sample")
    parser.add_argument("--quick", action="store_true", help="the default tier of the tests alone")
    parser.add_argument("--records", type=Path, help="a folder for a line of JSON for each mutant")
    parser.add_argument("--before", type=Path, help="a folder of records to compare with")
    parser.add_argument("--again", action="store_true", help="run what survived in those records")
    parser.add_argument("--report", action="store_true", help="only print what the records say")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    if options.again + options.report > bool(options.records):
        parser.error("--again and --report, one of them, need the records of an earlier run")
    return options


def _run(options: argparse.Namespace, name: str, log: Path) -> list[dict[str, Any]]:
    """Make and run the mutants of a part."""
    start = time.monotonic()
    chosen = mutants(
        ROOT, PARTS[name].files(), None if options.all else options.sample, options.seed
    )
    if not options.again:
        log.write_text("", "utf-8")
    left, known = _again(log, chosen)
    log.write_text("".join(json.dumps(x) + "\n" for x in known), "utf-8")
    if left:
        run_tests(PARTS[name], left, MARKS[options.quick], log)
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return _read(log)


def main() -> None:
    options = _options()
    options.before = options.before and options.before.absolute()
    folder = (options.records or Path(tempfile.mkdtemp())).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in PRELOADED:
        importlib.import_module(name)
    records: dict[str, list[dict[str, Any]]] = {}
    before: dict[str, list[dict[str, Any]]] = {}
    for name in options.parts or PARTS:
        file = f"{name.replace(' ', '_')}.jsonl"
        log = folder / file
        before[name] = _read(options.before / file) if options.before else []
        if options.report and log.exists():
            records[name] = _read(log)
        elif not options.report:
            records[name] = _run(options, name, log)
    most = None if options.all else options.sample
    for line in (*heading(most, options.seed), *summary(records, before)):
        print(line)


if __name__ == "__main__":
    main()
