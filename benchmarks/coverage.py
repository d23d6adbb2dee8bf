"""How often do 95 % intervals hold the truth, averaged over the prior and at the evidence maximum?

    python benchmarks/coverage.py [--sets 2500] [--large 400] > benchmarks/results/coverage.txt

Each row is a truth: so many latents of so many trials, with success probabilities from one Beta, or
all equal. Below them the same sizes with the Beta drawn anew for each data set, from the hyperprior
that is assumed, where the coverage is 95 % by construction. A column gives the coverage, averaged
over latents and data sets, and the mean width of the intervals. "other" is a second hyperprior,
Beta(1/2, 1/2) for both the mean and the weight. "none" counts the data sets whose evidence has no
interior maximum: their intervals at the maximum are points. There are fewer data sets of more than
ten latents (--large), whose coverage varies less.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import elbo_ref as er

OTHER = er.Hyperprior(er.Beta(0.5, 0.5), (0.5, 0.5))


class Truth(NamedTuple):
    """Latents, trials, and how their success probabilities are drawn."""

    name: str
    latents: int
    trials: int
    draw: Callable[[np.random.Generator, int], np.ndarray]


def of_beta(a: float, b: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draw from one Beta."""
    return lambda rng, size: rng.beta(a, b, size)


def drawn(trials: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draw the Beta from the hyperprior first."""

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        m, w = rng.uniform(size=2)
        s = trials / 4 * (1 - w) / w
        logit = er.Beta(max(m * s, 1e-90), max((1 - m) * s, 1e-90)).sample_logit(size, rng)
        return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))

    return draw


SIZES = [(18, 45), (10, 30), (6, 20), (71, 25), (200, 200)]
TRUTHS = [
    Truth("Beta(210, 583)", 18, 45, of_beta(210.551, 582.686)),
    Truth("Beta(3, 7)", 10, 30, of_beta(3, 7)),
    Truth("Beta(2, 2)", 6, 20, of_beta(2, 2)),
    Truth("Beta(2.34, 14.1)", 71, 25, of_beta(2.3416, 14.115)),
    Truth("Beta(20, 60)", 200, 200, of_beta(20, 60)),
    Truth("Beta(1, 2000)", 20, 20, of_beta(1, 2000)),
    Truth("c = 0.3", 18, 45, lambda _, size: np.full(size, 0.3)),
    *(Truth("hyperprior", g, n, drawn(n)) for g, n in SIZES),
]


def row(truth: Truth, sets: int) -> str:
    """Draw data sets of a truth; coverage and width of each kind of interval."""
    rng = np.random.default_rng([truth.latents, truth.trials, len(truth.name)])
    held, width, none = np.zeros((3, sets)), np.zeros((3, sets)), 0
    for i in range(sets):
        c = truth.draw(rng, truth.latents)
        counts = er.Counts(rng.binomial(truth.trials, c), truth.trials)
        maximum = er.estimate(counts, "mle")
        none += maximum.posteriors.fits[0].nodes is None
        kinds = er.estimate(counts), er.estimate(counts, hyperprior=OTHER), maximum
        for j, found in enumerate(kinds):
            held[j, i] = ((found.lower <= c) & (c <= found.upper)).mean()
            width[j, i] = (found.upper - found.lower).mean()
    cells = [f"{100 * held[j].mean():6.1f} {width[j].mean():8.5f}" for j in range(3)]
    error = 100 * held[0].std() / np.sqrt(sets)
    size = f"{truth.latents:4d} of {truth.trials:4d}"
    return f"{truth.name:17s} {size}  {'  '.join(cells)}  {error:5.2f}  {none:4d} of {sets:4d}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2500)
    parser.add_argument("--large", type=int, default=400)
    asked = parser.parse_args()
    print("coverage in %, width; standard error of the first coverage")
    print(
        "truth             latents         averaged            other              mle     +-"
        "  none of sets"
    )
    for truth in TRUTHS:
        print(row(truth, asked.large if truth.latents > 10 else asked.sets), flush=True)


if __name__ == "__main__":
    main()
