"""`elbo_ref._format.progress`: a bar or a line where somebody sees it, and never another number.

`Bar` stands for tqdm's. `WORK` has every function with a `progress` argument: each is run with and
without a bar, and gives the same bits.
"""

import inspect
import io
import re
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref._format import progress
from elbo_ref.cli.main import main
from elbo_ref.estimates.maxima import maxima_by
from tiers import few

RUN = er.maximize_elbo(er.Counts([3, 0, 9], 10), num_steps=3)
ROWS = "successes,total_count\n" + "3,10\n1,4\n" * 9


class Bar:
    """Counts what it is told."""

    made: ClassVar[list["Bar"]] = []
    broken: type[Exception] | None = None

    def __init__(self, *, total, initial, unit, unit_scale, leave):
        self.total, self.n, self.unit, self.closed = total, initial, unit, False
        assert unit_scale == (unit == "B") and not leave
        self.made.append(self)

    def update(self, n):
        if self.broken:
            raise self.broken("gone")
        self.n += n

    def close(self):
        self.closed = True


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def bars(monkeypatch):
    """The bars that were made; tqdm is the stub, and no work is too short."""
    stub = types.ModuleType("tqdm.auto")
    stub.tqdm = type("tqdm", (Bar,), {"made": []})
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", stub)
    for name in ("EVERY", "FIRST", "LONG"):
        monkeypatch.setattr(progress, name, 0.0)
    return stub.tqdm.made


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=Terminal()))


def maximized(**how):
    run = er.maximize_elbo(er.Counts([3, 0, 9], 10), num_steps=20, **how)
    return run.losses.tolist(), run.vector.tolist()


def until_converged(**how):
    run = er.maximize_elbo(
        er.Counts(3, 10), loss="exact", learn_prior=False, num_steps=900, until="converged",
        optimizer=er.Adam(lr=0.1), **how,
    )  # fmt: skip
    return run.stopped, run.vector.tolist()


def resumed(**how):
    return RUN.resume(num_steps=20, **how).losses.tolist()


def estimated(**how):
    found = er.estimate(er.Counts([3, 4, 9, 9], 10), by=[*"abab"], **how)
    return found.lower.tolist(), found.upper.tolist()


def compared(**how):
    found = er.estimate(er.Counts([3, 4, 9, 9], 10), "mle", by=[*"abab"], **how)
    return found.test.pvalue, found.prior_parameters["a"].mean


def maxima(**how):
    found = maxima_by(er.Counts([3, 4, 9, 9], 10), [*"abab"], **how)
    return found.test.pvalue, found.parameters["b"].rho


def read(**how):
    return er.read_counts(io.BytesIO(ROWS.encode()), **how)


WORK = {
    maximized: "step", until_converged: "step", resumed: "step", estimated: "bound",
    compared: "group", maxima: "group", read: "B",
}  # fmt: skip


def test_every_function_with_progress_is_here():
    names = {
        name
        for name in er.__all__
        if callable(getattr(er, name))
        and not isinstance(getattr(er, name), type)
        and "progress" in inspect.signature(getattr(er, name)).parameters
    }
    assert names == {"maximize_elbo", "estimate", "read_counts"}


@pytest.mark.parametrize("work", few(sorted(WORK, key=[compared, maxima].count), 5))
@pytest.mark.usefixtures("terminal")
def test_a_bar_changes_no_number(bars, work):
    without = work(progress=False)
    assert not bars
    assert work() == without
    assert WORK[work] in [bar.unit for bar in bars]
    assert all(bar.closed for bar in bars)
    if work is not until_converged:
        assert all(bar.n == bar.total for bar in bars if bar.total is not None)


@pytest.mark.parametrize("error", [OSError, ValueError])
@pytest.mark.usefixtures("terminal")
def test_a_bar_that_breaks_is_left_alone(bars, error, monkeypatch):
    monkeypatch.setattr(sys.modules["tqdm.auto"].tqdm, "broken", error)
    assert maximized() == maximized(progress=False)
    assert len(bars) == 1


def test_who_sees_a_bar(bars, monkeypatch):
    """A terminal or a notebook; anybody who asks for it; nobody else."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    maximized()
    assert not bars
    maximized(progress=True)
    assert len(bars) == 1
    shell = types.SimpleNamespace(kernel=object())
    notebook = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    maximized()
    assert len(bars) == 2
    shell.kernel = None  # IPython at a terminal that is not one
    maximized()
    monkeypatch.setattr(sys, "stderr", None)
    maximized()
    assert len(bars) == 2


@pytest.mark.usefixtures("terminal")
def test_without_tqdm(monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("EVERY", "FIRST", "LONG"):
        monkeypatch.setattr(progress, name, 0.0)
    line = progress.sys.stderr
    assert maximized() == maximized(progress=False)
    shown = line.getvalue().split("\r")
    assert any("step 7 of 20 (35%)" in x for x in shown)
    assert not re.sub(r"\x1b\[\d+m", "", shown[-2]).strip()
    with pytest.raises(ImportError, match=r"progress=True needs tqdm: pip install tqdm, or"):
        maximized(progress=True)


@pytest.mark.parametrize(("total", "steps", "seen"), [(100, 100, 0), (10**4, 100, 1), (None, 9, 0)])
@pytest.mark.usefixtures("terminal")
def test_only_long_work_has_a_bar(bars, monkeypatch, total, steps, seen):
    """At a step each 10 ms, work of a second has none, and does not look for tqdm."""
    for name, seconds in (("EVERY", 0.1), ("FIRST", 0.5), ("LONG", 8.0)):
        monkeypatch.setattr(progress, name, seconds)
    now, looks = [0.0], [0]

    def clock():
        looks[0] += 1
        return now[0]

    monkeypatch.setattr(progress.time, "monotonic", clock)
    with progress.progress_of(None, total, "step") as add:
        for _ in range(steps):
            now[0] += 0.01
            add(1)
    assert len(bars) == seen
    assert looks[0] <= 3 + np.log2(steps) + 0.01 * steps / 0.1 * 1.2


@pytest.mark.usefixtures("terminal")
def test_an_error_closes_the_bar(bars):
    with pytest.raises(ValueError, match="line 20"):
        er.read_counts(io.BytesIO((ROWS + "5,2\n").encode()))
    assert bars[0].closed


@pytest.mark.thorough
@pytest.mark.usefixtures("terminal")
def test_commands(bars, tmp_path, capsys):
    """A fit has its own line of steps, and `--quiet`."""
    file = tmp_path / "counts.csv"
    file.write_text("k,n,by\n3,10,a\n4,10,b\n9,10,a\n8,10,b\n")
    seen = []
    for command in (
        ["fit", "--exact"],
        ["fit", "--num-steps", "5"],
        ["fit", "--exact", "--by", "by", "--quiet"],
        ["fit", "--exact", "--by", "by"],
        ["estimate"],
    ):
        assert main([*command, str(file)]) == 0
        seen.append([bar.unit for bar in bars])
        bars.clear()
    capsys.readouterr()
    assert seen == [[], [], [], ["group", "group"], ["bound", "group"]]
