"""Sweeps that take a minute or two: more points than the fast tests, and the reference programs.

`pytest -m slow` runs them; CI does.
"""

from __future__ import annotations

import json
import random
import runpy
import shutil
import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.evidence import log_evidence_terms
from places import REFERENCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["datasets", "evidence"])
def test_reference_rows_are_what_their_program_makes(name, tmp_path):
    program = shutil.copy(REFERENCE / f"make_{name}.py", tmp_path)
    subprocess.run([sys.executable, program], check=True, capture_output=True)
    made, committed = tmp_path / f"{name}.json", REFERENCE / f"{name}.json"
    assert made.read_text() == committed.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2))
def test_maxima_rows_are_what_their_program_makes(first):
    """All data sets, and the maxima of every eighth; the program takes minutes for all."""
    program = runpy.run_path(str(REFERENCE / "make_maxima.py"))
    rows = json.loads((REFERENCE / "maxima.json").read_text())
    assert list(rows) == list(program["DATA"])
    for name in list(rows)[first::16]:
        why, data = program["DATA"][name]
        assert json.loads(json.dumps({"why": why} | program["solve"](data))) == rows[name], name


@pytest.mark.slow
def test_pathwise_rows_are_what_their_program_makes():
    """All points, and the derivatives at every 16th; the program takes minutes for all."""
    program = runpy.run_path(str(REFERENCE / "make_pathwise.py"))
    points = [point for region in program["regions"]().values() for point in region]
    rows = json.loads((REFERENCE / "pathwise.json").read_text())
    assert points == [(row["a"], row["b"], row["logit"]) for row in rows]
    for row in rows[::16]:
        da, db, _ = program["derivatives"](row["logit"], row["a"], row["b"])
        assert (da, db) == (row["da"], row["db"]), row


def anywhere(rng: random.Random) -> tuple[float, float, int, int]:
    """Concentrations in [1e-10, 1e15], counts up to 1e18, often where a F and b K nearly cancel."""
    n = int(10 ** rng.uniform(0, 18))
    k = rng.choice([rng.randint(0, n), 0, n, min(n, int(10 ** rng.uniform(0, 18)))])
    a, b = 10 ** rng.uniform(-10, 15), 10 ** rng.uniform(-10, 15)
    if rng.random() < 0.5:
        s, mean = 10 ** rng.uniform(-5, 15), (k + 0.5) / (n + 1)
        a, b = max(s * mean, 1e-10), max(s * (1 - mean), 1e-10)
    return a, b, k, n


@pytest.mark.slow
def test_evidence_anywhere():
    """(E1) and its derivatives: 1e-12, and 1e-10 of the largest term; 2500 points."""
    rng = random.Random(20261122)
    points = [anywhere(rng) for _ in range(2500)]
    first, second, successes, trials = map(list, zip(*points, strict=True))
    priors, table = er.Beta(first, second), er.Counts(successes, trials)
    values = log_evidence_terms(priors, table)
    gradients = np.stack(er.log_evidence_gradient(priors, table))
    hessians = er.log_evidence_hessian(priors, table).T
    with mp.workdps(80):
        for at, (a, b, k, n) in enumerate(points):
            where = f"{a!r}, {b!r}, {k}, {n}"
            x, y, f = mp.mpf(a), mp.mpf(b), n - k
            want = (
                sum(map(mp.loggamma, (x + k, y + f, x + y, n + 1)))
                - sum(map(mp.loggamma, (x + y + n, x, y, k + 1, f + 1)))
            )  # fmt: skip
            got = values[at]
            assert abs(got - want) <= 1e-12 * max(1, abs(want)), where
            for order, derivative in enumerate((gradients[:, at], hessians[..., at])):
                terms = [
                    mp.psi(order, z + m) - mp.psi(order, z) for z, m in ((x, k), (y, f), (x + y, n))
                ]
                for i in range(2):
                    got = derivative[i] if order == 0 else derivative[i, i]
                    allowed = 1e-10 * max(abs(terms[i]), abs(terms[2]))
                    assert abs(got - (terms[i] - terms[2])) <= allowed, (where, order, i)


@pytest.mark.slow
def test_probabilities_over_k_sum_to_one():
    rng = np.random.default_rng(7)
    for _ in range(200):
        n = int(rng.integers(1, 400))
        k = np.arange(n + 1)
        prior = er.Beta(*10 ** rng.uniform(-6, 9, 2))
        total = np.exp(log_evidence_terms(prior, er.Counts(k, n))).sum()
        assert total == pytest.approx(1.0, abs=1e-12), (prior, n)
