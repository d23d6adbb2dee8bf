"""How long do a million rows take to become counts, beside other ways to read them?

    python benchmarks/reading.py

A table of successes and total_count, and one with a row number and a label in front. Each figure is
the median of repeats within this process, in nanoseconds a row; the others only read the two
columns, they check nothing and count nothing.
"""

from __future__ import annotations

import csv
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from elbo_ref.io.counts_file import read_counts

ROWS, REPEATS = 1_000_000, 3


def per_row(read: Callable[[], object]) -> float:
    """Median nanoseconds a row."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        read()
        times.append((time.perf_counter() - start) / ROWS * 1e9)
    return statistics.median(times)


def with_csv(path: Path) -> list[tuple[int, int]]:
    with open(path, newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        k, n = header.index("successes"), header.index("total_count")
        return [(int(row[k]), int(row[n])) for row in reader]


def main() -> None:
    rng = np.random.default_rng(0)
    n = rng.integers(0, 40, ROWS)
    k = rng.binomial(n, 0.3)
    with tempfile.TemporaryDirectory() as folder:
        plain, wide = Path(folder, "plain.csv"), Path(folder, "wide.csv")
        pairs = list(zip(k.tolist(), n.tolist(), strict=True))
        plain.write_text("successes,total_count\n" + "".join(f"{a},{b}\n" for a, b in pairs))
        rows = (f"{i},ward {i % 997},{a},{b}\n" for i, (a, b) in enumerate(pairs))
        wide.write_text("id,ward,successes,total_count\n" + "".join(rows))
        figures = {
            "two columns": per_row(lambda: read_counts(plain)),
            "  csv module and int": per_row(lambda: with_csv(plain)),
            "  numpy.loadtxt": per_row(
                lambda: np.loadtxt(plain, delimiter=",", skiprows=1, dtype=np.int64)
            ),
            "four columns, every row another": per_row(lambda: read_counts(wide)),
            "  grouped by 997 labels": per_row(lambda: read_counts(wide, group="ward")),
            "  csv module and int ": per_row(lambda: with_csv(wide)),
        }
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    print(f"{'':34}{'ns a row':>10}{'ratio':>8}")
    ours = 1.0
    for name, figure in figures.items():
        ours = ours if name.startswith("  ") else figure
        print(f"{name:34}{figure:10.0f}{figure / ours:8.1f}")


if __name__ == "__main__":
    main()
