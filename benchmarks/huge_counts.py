"""Adversarial sets of huge counts: is the highest evidence proven, how closely, and how fast?

    python benchmarks/huge_counts.py [--sets 2000] > benchmarks/results/huge_counts.txt

Set i is made by the i-th of the recipes below in turn, from a generator seeded by i: N from 1e7 to
1e18, mostly nearly binomial, where sums over successes, failures and trials cancel. A set counts as
open when it is undecided and its bracket is wider than 1e-9 nats and 1e-14 of its height, which is
the resolution of a height in double precision. Seconds are those of the processor.

`tests/mle/test_huge_counts.py` compares some of the same sets with log-gammas of 60 digits.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import elbo_ref as er

Rng = np.random.Generator
Set = tuple[list[int], list[int], list[int]]
"""Successes, total counts and multiplicities."""

MOST = 10**18


def size_of(rng: Rng, least: float = 7.0) -> int:
    """Draw N, even in its logarithm, to 1e18."""
    return int(10 ** rng.uniform(least, 18.0))


def latents_of(rng: Rng) -> int:
    """Draw how many latents there are, mostly few."""
    return int(
        rng.choice([2, 3, 4, 6, 10, 30, 100, 1000], p=[0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.07, 0.03])
    )


def near(n: int, mean: float, z: float) -> int:
    """Round the successes that are z standard deviations from N mean."""
    spread = z * (n * mean * (1 - mean)) ** 0.5
    return min(max(int(n * mean) + round(spread), 0), n)


def once(k: list[int], n: list[int]) -> Set:
    """Give every latent multiplicity 1."""
    return k, n, [1] * len(n)


def binomial(rng: Rng) -> Set:
    """Binomial samples, N alike or within a factor of 1000."""
    top, size, mean = size_of(rng), latents_of(rng), rng.uniform(0.02, 0.98)
    spread = rng.choice([0.0, 0.5, 3.0])
    n = [max(int(top * 10 ** -rng.uniform(0, spread)), 10) for _ in range(size)]
    return once([near(x, mean, z) for x, z in zip(n, rng.normal(size=size), strict=True)], n)


def dispersed(rng: Rng) -> Set:
    """Overdispersed by a hair or more: an intraclass correlation from 1e-18 to 1e-3."""
    top, size, mean = size_of(rng), latents_of(rng), rng.uniform(0.02, 0.98)
    rho = 10 ** rng.uniform(-18, -3)
    n = [max(int(top * rng.uniform(0.1, 1)), 10) for _ in range(size)]
    z = rng.normal(size=size) * np.sqrt(1 + rho * np.array(n, float))
    return once([near(x, mean, float(y)) for x, y in zip(n, z, strict=True)], n)


def hair(rng: Rng) -> Set:
    """Pairs at plus and minus z with z^2 = 1 plus or minus 10^-1 to 10^-12: a slope near zero."""
    n, pairs, mean = size_of(rng), int(rng.integers(1, 30)), float(rng.choice([0.5, 0.25, 0.3]))
    excess = float(rng.choice([-1, 1])) * 10 ** -rng.uniform(1, 12)
    z = (2 * pairs / (2 * pairs - 1) * (1 + excess)) ** 0.5
    up, down = near(n, mean, z), near(n, mean, -z)
    return [up, down], [n, n], [pairs, pairs]


def underdispersed(rng: Rng) -> Set:
    """Closer to one proportion than chance would have it, with one that may not be."""
    top, size, mean = size_of(rng), latents_of(rng), rng.uniform(0.02, 0.98)
    shrink, far = 10 ** -rng.uniform(0, 6), rng.uniform(0, 6)
    n = [max(int(top * rng.uniform(0.1, 1)), 10) for _ in range(size)]
    z = [*(rng.normal(size=size - 1) * shrink), far]
    return once([near(x, mean, float(y)) for x, y in zip(n, z, strict=True)], n)


def one_unit(rng: Rng) -> Set:
    """Equal proportions, and one unit moved."""
    over = int(rng.integers(2, 1000))
    up, size = int(rng.integers(1, over)), latents_of(rng)
    times = [max(size_of(rng) // over, 1) for _ in range(size)]
    k = [up * x for x in times]
    k[0] += 1
    return once(k, [over * x for x in times])


def beside_small(rng: Rng) -> Set:
    """Huge N beside small N, which may be many and overdispersed."""
    mean, size = rng.uniform(0.05, 0.95), int(rng.integers(1, 6))
    n = [size_of(rng) for _ in range(size)]
    k = [near(x, mean, float(z)) for x, z in zip(n, rng.normal(size=size), strict=True)]
    few = int(rng.integers(2, 12))
    small = [int(x) for x in rng.integers(1, int(10 ** rng.uniform(0.5, 4)) + 1, few)]
    concentration = 10 ** rng.uniform(0, 12)
    c = rng.beta(concentration * mean, concentration * (1 - mean), few)
    k += [int(rng.binomial(x, y)) for x, y in zip(small, c, strict=True)]
    return k, n + small, [1] * size + [int(x) for x in rng.integers(1, 1000, few)]


def rare(rng: Rng) -> Set:
    """Proportions of 1e-3 to 1e-9, or as near to 1."""
    top, size, mean = size_of(rng, 9.0), latents_of(rng), 10 ** -rng.uniform(3, 9)
    rho = 10 ** rng.uniform(-20, -6)
    n = [max(int(top * rng.uniform(0.01, 1)), 10) for _ in range(size)]
    z = rng.normal(size=size) * np.sqrt(1 + rho * np.array(n, float))
    k = [near(x, mean, float(y)) for x, y in zip(n, z, strict=True)]
    k[0] = max(k[0], 1)
    return once([x - y for x, y in zip(n, k, strict=True)] if rng.uniform() < 0.3 else k, n)


def duplicates(rng: Rng) -> Set:
    """Few different latents, many times."""
    k, n, _ = RECIPES[int(rng.integers(4))](rng)
    few = slice(0, 12)
    many = [int(10 ** rng.uniform(0, 6)) for _ in n[few]]
    return k[few], n[few], many


def two_scales(rng: Rng) -> Set:
    """Large N close together and smaller N apart: a maximum inside and the limit, or two."""
    mean, size = rng.uniform(0.1, 0.9), int(rng.integers(2, 8))
    top = size_of(rng, 9.0)
    low = max(int(top * 10 ** -rng.uniform(1, 8)), 10)
    n = [top] * size + [low] * size
    z = [*(rng.normal(size=size) * rng.uniform(0, 2)), *(rng.normal(size=size) * rng.uniform(1, 4))]
    return once([near(x, mean, float(y)) for x, y in zip(n, z, strict=True)], n)


RECIPES: tuple[Callable[[Rng], Set], ...] = (
    binomial, dispersed, hair, underdispersed, one_unit, beside_small, rare, duplicates, two_scales,
)  # fmt: skip


def set_of(index: int) -> tuple[str, er.Counts]:
    """Make the counts of a set, and name its recipe."""
    recipe = RECIPES[index % len(RECIPES)]
    k, n, w = recipe(np.random.default_rng([23, index]))
    return recipe.__name__, er.Counts(k, n, multiplicity=w)


def answer(counts: er.Counts) -> tuple[Any, float]:
    """Maximise the evidence of some counts, and take the time."""
    start = time.process_time()
    maximum = er.maximize_evidence(counts)
    return maximum, time.process_time() - start


def is_open(maximum: Any) -> bool:
    """Tell whether a set is undecided and its bracket wide."""
    proof = maximum.proof
    return not proof.decided and not is_narrow(maximum)


def is_narrow(maximum: Any) -> bool:
    """Tell whether a bracket is as narrow as 1e-9 nats, or the resolution of the height."""
    return bool(maximum.proof.width <= max(1e-9, 1e-14 * abs(maximum.log_evidence)))


def main(arguments: list[str] | None = None) -> int:
    """Print, for each recipe, how many sets are open, the widest bracket and the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--list", action="store_true", help="print each set that is not proven")
    options = parser.parse_args(arguments)
    rows: dict[str, list[tuple[bool, bool, bool, float, float]]] = {}
    er.maximize_evidence(er.Counts([1, 2], 5))
    for index in range(options.sets):
        name, counts = set_of(index)
        maximum, seconds = answer(counts)
        proof = maximum.proof
        rows.setdefault(name, []).append(
            (not proof.decided, is_open(maximum), not is_narrow(maximum), proof.width, seconds)
        )
        if options.list and (not proof.decided or not is_narrow(maximum) or seconds > 0.5):
            print(index, name, len(counts), seconds, proof.decided, proof.width,
                  maximum.kind, maximum.concentration, maximum.log_evidence,
                  [c.kind for c in proof.candidates], proof.left_over, file=sys.stderr)  # fmt: skip
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    print(f"{options.sets} sets; open: undecided and wider than 1e-9 nats and 1e-14 of the height")
    print()
    print(f"{'recipe':<15}{'sets':>6}{'undecided':>11}{'open':>6}{'wide':>6}{'widest':>10}"
          f"{'median s':>10}{'slowest s':>11}")  # fmt: skip
    rows["all"] = [row for found in rows.values() for row in found]
    for name, found in rows.items():
        undecided, left, wide, width, seconds = map(np.array, zip(*found, strict=True))
        print(f"{name:<15}{len(found):>6}{undecided.sum():>11}{left.sum():>6}{wide.sum():>6}"
              f"{width.max():>10.0e}{np.median(seconds):>10.3f}{seconds.max():>11.3f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
