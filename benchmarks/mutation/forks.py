"""Runs of the tests on mutants, in processes forked from one that has collected the tests.

A run of pytest collects the tests once. A forked copy of it notes which lines each test runs and
how long that takes. For each mutant another copy gets the changed code in its functions and runs
the tests that come by the changed statement, those first that are quick or have failed often, up
to the first that fails. What an import runs (constants, classes, tables) cannot be changed
afterwards: then the copy is forked earlier, before the package is imported, imports the changed
source, and all tests are run.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings
from mutants import Mutant, changed_functions

Loop = Callable[[pytest.Session], None]
ROOT = Path(__file__).resolve().parents[2]
MEMORY = 4 * 2**30
BUDGET = 5.0
"""Processor seconds, without a change, of the tests that a mutant is run against."""
ALWAYS = "tests/test_surface.py"
"""Run on a change of what an import runs, beyond the budget too: it holds defaults and classes."""


@dataclass
class Clean:
    """What the tests do without a change: seconds of each, and which come by each line."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def limit(self, names: list[str]) -> int:
        """Seconds of processor after which a mutant's run is ended."""
        return 5 + int(4 * sum(self.seconds[x] for x in names))

    def within(self, names: list[str], budget: float) -> list[str]:
        """The first of them, as many as the budget allows and one at least."""
        spent = itertools.accumulate(self.seconds[x] for x in names)
        return names[: max(1, sum(x <= budget for x in spent))]

    def chosen(self, mutant: Mutant) -> list[str] | None:
        """Tests that run the changed statement; None if an import runs it as well."""
        first, last = mutant.statement
        known = self.lines.get(mutant.path, {})
        names = {x for line in range(first, last + 1) for x in known.get(line, ())}
        return None if "" in names else sorted(names, key=self.seconds.__getitem__)


def forked(work: Callable[[], Any], seconds: float | None = None) -> tuple[str, Any]:
    """What work returns in a copy of this process: ("done", it), or how the copy ended."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        child = os.fork()
        if not child:
            _work(work, answer, seconds)
        _, status = os.waitpid(child, 0)
        if answer.exists():
            return "done", json.loads(answer.read_text("utf-8"))
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    late = ended in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)
    return ("timeout" if late else "crash"), None


def _work(work: Callable[[], Any], answer: Path, seconds: float | None) -> None:
    """Do it in the copy, quietly, and end the copy."""
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        if not os.environ.get("MUTATION_LOUD"):
            os.dup2(silent, 1)
            os.dup2(silent, 2)
        if seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(int(8 * seconds))
        done = work()
        written = answer.with_suffix(".part")
        written.write_text(json.dumps(done), "utf-8")
        written.rename(answer)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _first_failure(items: list[pytest.Item]) -> dict[str, Any]:
    """Run them up to the first that fails."""
    for number, item in enumerate(items, 1):
        following = items[number] if number < len(items) else None
        reports = runtestprotocol(item, log=False, nextitem=following)
        if any(x.failed for x in reports):
            return {"killer": item.nodeid, "ran": number}
    return {"killer": None, "ran": len(items)}


def _hasty(items: list[pytest.Item]) -> None:
    """Let Hypothesis report what it finds as it is: a smaller example is of no use here."""
    for item in items:
        function = getattr(item, "obj", None)
        given = getattr(function, "_hypothesis_internal_use_settings", None)
        if given is not None:
            phases = [Phase.explicit, Phase.generate]
            quick = settings(given, phases=phases, suppress_health_check=list(HealthCheck))
            function._hypothesis_internal_use_settings = quick


def _caches() -> list[Any]:
    gc.unfreeze()
    found = [x for x in gc.get_objects() if isinstance(x, functools._lru_cache_wrapper)]
    gc.freeze()
    return found


class Tests:
    """A plugin that makes the collected tests ready and leaves the running to a function."""

    def __init__(self, loop: Loop, finder: importlib.abc.MetaPathFinder | None) -> None:
        self.loop, self.finder = loop, finder

    def pytest_configure(self) -> None:
        """Before pytest's own finder, which takes the modules whose doctests are run."""
        if self.finder:
            sys.meta_path.insert(0, self.finder)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _hasty(session.items)
        self.loop(session)
        return True


def collect(
    tests: list[str], marks: str, loop: Loop, finder: importlib.abc.MetaPathFinder | None = None
) -> None:
    """Collect the tests, with doctests, and hand them to the loop."""
    preloaded = "ignore::pytest.PytestAssertRewriteWarning"
    quiet = ["-p", "no:cacheprovider", "-p", "no:xdist", "--tb=native", "-W", preloaded]
    code = pytest.main([*quiet, "-m", marks, *tests], plugins=[Tests(loop, finder)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest ended with {code!r}")


class Late(KeyboardInterrupt):
    """What ends a test that takes too long; not an exception that a test could catch."""


def _late(_number: int, _frame: Any) -> None:
    raise Late


def _measured(session: pytest.Session, meter: coverage.Coverage, longest: float) -> dict[str, Any]:
    """Run every test: its seconds, its lines, and whether it passes."""
    caches = _caches()
    seconds, failed = {}, []
    signal.signal(signal.SIGPROF, _late)
    for item, following in zip(session.items, [*session.items[1:], None], strict=True):
        for cache in caches:
            cache.cache_clear()
        meter.switch_context(item.nodeid)
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, longest)
        try:
            reports = runtestprotocol(item, log=False, nextitem=following)
            failed += [item.nodeid] if any(x.failed for x in reports) else []
        except Late:
            session._setupstate.teardown_exact(None)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds[item.nodeid] = time.process_time() - start
    meter.stop()
    data, lines = meter.get_data(), {}
    for file in data.measured_files():
        lines[os.path.relpath(file, ROOT)] = data.contexts_by_lineno(file)
    return {"seconds": seconds, "lines": lines, "failed": failed}


def clean_run(session: pytest.Session, meter: coverage.Coverage, longest: float) -> Clean:
    """What the tests do without a change, but for those that take too long or fail alone."""
    how, found = forked(lambda: _measured(session, meter, longest))
    meter.stop()
    if how != "done":
        raise RuntimeError(f"without a change: {how}")
    failed = {*found["failed"]}
    kept = {x: t for x, t in found["seconds"].items() if t < longest and x not in failed}
    session.items[:] = sorted(
        (x for x in session.items if x.nodeid in kept), key=lambda x: kept[x.nodeid]
    )
    lines = {
        path: {int(n): [x for x in names if not x or x in kept] for n, names in known.items()}
        for path, known in found["lines"].items()
    }
    return Clean(kept, lines, sorted(found["seconds"].keys() - kept.keys()), sorted(failed))


def _live(pairs: list[tuple[CodeType, CodeType]]) -> list[tuple[FunctionType, CodeType]] | None:
    """Functions in memory and their changed code; None if there are none."""
    gc.unfreeze()
    functions = [x for x in gc.get_objects() if isinstance(x, FunctionType)]
    gc.freeze()
    found = []
    for old, new in pairs:
        found += [(x, new) for x in functions if x.__code__ == old]
    return found or None


def _run_changed(
    changes: list[tuple[FunctionType, CodeType]], caches: list[Any], items: list[pytest.Item]
) -> dict[str, Any]:
    for function, code in changes:
        function.__code__ = code
    for cache in caches:
        cache.cache_clear()
    return _first_failure(items)


def live_runs(
    session: pytest.Session, clean: Clean, mutants: list[Mutant], note: Callable[..., None]
) -> list[Mutant]:
    """Run the mutants that differ in functions only; the others are handed back."""
    base = Path(session.config._tmp_path_factory.getbasetemp())
    by_name = {x.nodeid: x for x in session.items}
    how, found = forked(lambda: _first_failure(session.items))
    if how != "done" or found["killer"]:
        raise RuntimeError(f"without a change, the quickest first: {how}, {found}")
    caches, compiled, others, kills = _caches(), {}, [], Counter()
    for mutant in mutants:
        path = str(ROOT / mutant.path)
        if path not in compiled:
            source = Path(path).read_text("utf-8")
            compiled[path] = compile(source, path, "exec", dont_inherit=True)
        new = compile(mutant.source, path, "exec", dont_inherit=True)
        pairs, names = changed_functions(compiled[path], new), clean.chosen(mutant)
        changes = _live(pairs) if pairs and names is not None else None
        if changes is None and names != []:
            others.append(mutant)
            continue
        if not names:
            note(mutant, "untested", None)
            continue
        names.sort(key=lambda x: (clean.seconds[x] + 0.02) / (kills[x] + 0.02))
        names = clean.within(names, BUDGET)
        items = [by_name[x] for x in names]
        work = functools.partial(_run_changed, changes, caches, items)
        how, found = forked(work, clean.limit(names))
        kills.update([found["killer"]] if found and found["killer"] else [])
        note(mutant, how, found)
        for made in base.iterdir():
            shutil.rmtree(made, ignore_errors=True)
    return others


class _Changed(importlib.machinery.SourceFileLoader):
    """Loads a module from another source."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, with a changed source."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        parts = Path(mutant.path).with_suffix("").parts
        self.package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.package else parts)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != self.name:
            return None
        file = str(ROOT / self.mutant.path)
        return importlib.util.spec_from_file_location(
            name,
            file,
            loader=_Changed(name, file, self.mutant.source),
            submodule_search_locations=[str(Path(file).parent)] if self.package else None,
        )


def fresh_run(mutant: Mutant, tests: list[str], marks: str, clean: Clean) -> dict[str, Any]:
    """Import the changed source and run all tests, the quickest first."""
    found = {"killer": "collection", "ran": 0}

    def loop(session: pytest.Session) -> None:
        if not session.testsfailed:
            items = [x for x in session.items if x.nodeid not in clean.left_out]
            items.sort(key=lambda x: clean.seconds.get(x.nodeid, 1.0))
            known = clean.within([x.nodeid for x in items if x.nodeid in clean.seconds], BUDGET)
            chosen = {*known, *(x.nodeid for x in items if x.nodeid not in clean.seconds)}
            chosen |= {x.nodeid for x in items if x.nodeid.startswith(ALWAYS)}
            found.update(_first_failure([x for x in items if x.nodeid in chosen]))

    with contextlib.suppress(RuntimeError):
        collect(tests, marks, loop, _Finder(mutant))
    return found
