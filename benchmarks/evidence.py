"""Who returns what when asked for the maximum-likelihood Beta-Binomial?

    OPENBLAS_NUM_THREADS=1 python benchmarks/evidence.py

Every data set goes to `maximize_evidence`; to `scipy.stats.fit` (differential evolution within the
bounds that it needs, with rng=0; it takes one n only and is left out where rows differ in it); to
`scipy.optimize.minimize` over `scipy.stats.betabinom.logpmf` in log concentrations from Beta(1, 1);
and, where R and the package are installed, to VGAM, bbmle (from the same start) and glmmTMB, which
`evidence.R` calls with their defaults. More than one thread only waits in problems this small.

Milliseconds are the median of five fits, fewer where they take more than a second together, from
counts to answer: without the start of R, its packages loaded. `log lik` is what the peer itself
reports; `below` is how far the log likelihood at its a and b, computed by us, lies below our
supremum, in nats; `digits` are those of a and b that agree with ours, the worse of the two, where
there is a maximiser. The last column is what the peer says of itself; VGAM has no flag, so that no
warning counts as success. Where `Beta` does not allow such concentrations, as with a = b = 0,
`below` is from the log likelihood reported.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy
from scipy import optimize, stats

import elbo_ref as er

REPEATS, PATIENCE = 5, 900
ASKED = itertools.count(1)
BOUNDS = (100.0, 1e4)
# VGAM's data set lirat, columns N and R: dead fetuses in 58 litters of rats on a low-iron diet.
# Moore & Tsiatis (1991), after Shepard, Mackler & Finch (1980).
LIRAT_SIZE = (
    "10 11 12 4 10 11 9 11 10 10 12 10 8 11 6 9 14 12 11 13 14 10 12 13 10 14 13 4 8 13 12 10 3 13 "
    "12 14 9 13 16 11 4 1 12 8 11 14 14 11 3 13 9 17 15 2 14 8 6 17"
)
LIRAT_DEAD = (
    "1 4 9 4 10 9 9 11 10 7 12 9 8 9 4 7 14 7 9 8 5 10 10 8 10 3 13 3 8 5 12 1 1 1 0 4 2 2 1 0 0 0 "
    "0 0 1 0 1 0 0 0 2 2 0 0 1 0 0 0"
)


@dataclass(frozen=True)
class Answer:
    """What somebody returned: concentrations or none, a log likelihood, and how sure it is.

    `good` is whether it says that it succeeded, without a warning; None if it gave no answer.
    """

    ms: float
    a: float = np.nan
    b: float = np.nan
    height: float = np.nan
    good: bool | None = None
    words: str = ""


Fit = Callable[[er.Counts], Answer]


def data_sets() -> dict[str, tuple[str, er.Counts]]:
    """Name, title and counts; no pooled rows, so that all mean the same likelihood."""
    found = {}
    for name in er.datasets.available():
        c = er.datasets.load(name)
        rows = er.Counts(c.successes, c.total_count, c.multiplicity)
        found[name] = (er.datasets.describe(name).title, rows)
    size, dead = ([int(x) for x in text.split()] for text in (LIRAT_SIZE, LIRAT_DEAD))
    found["lirat"] = ("Dead fetuses in 58 litters, from the R package VGAM", er.Counts(dead, size))
    keep = np.array(size) > 1
    found["lirat_above_1"] = (
        "The same without its litter of one, as VGAM's own example has it",
        er.Counts(np.array(dead)[keep], np.array(size)[keep]),
    )
    found |= {
        "near_binomial": (
            "0, 1, 2 of 2 seen 1001, 1998, 1001 times: exactly Beta(499.5, 499.5)",
            er.Counts([0, 1, 2], 2, [1001, 1998, 1001]),
        ),
        "nearer_binomial": (
            "490 or 510 more or less than half of a million, 8 latents",
            er.Counts([499490, 500510], 10**6, [4, 4]),
        ),
        "all_failures": ("0 of 10, ten times", er.Counts(0, 10, 10)),
        "all_successes": ("10 of 10, ten times", er.Counts(10, 10, 10)),
        "all_or_none": ("0 of 5 three times, 5 of 5 twice", er.Counts([0, 5], 5, [3, 2])),
        "single_trials": ("0 of 1 three times, 1 of 1 twice", er.Counts([0, 1], 1, [3, 2])),
        "one_latent": ("3 of 10, once", er.Counts(3, 10)),
        "under_dispersed": ("5 of 10, four times", er.Counts(5, 10, 4)),
        "zero_slope": (
            "0, 1, 2 of 2 seen 1, 2, 1 times: exactly as a binomial expects",
            er.Counts([0, 1, 2], 2, [1, 2, 1]),
        ),
    }
    return found


def timed(fit: Fit, counts: er.Counts) -> Answer:
    """The answer with its median time; what is raised is an answer too, and so are warnings."""
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < 1000:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            start = time.perf_counter()
            try:
                answer = fit(counts)
            except Exception as error:
                answer = Answer(0.0, words=f"error: {error}")
            times.append((time.perf_counter() - start) * 1e3)
    words = [answer.words, *dict.fromkeys(f"warning: {w.message}" for w in said)]
    good = answer.good and not said
    return replace(answer, ms=statistics.median(times), good=good, words="; ".join(words))


def ours(counts: er.Counts) -> Answer:
    # Answers are remembered, and a repeat would time the memory. Latents without trials change
    # nothing but what is asked: each time another number of them.
    extra = (0, 0, next(ASKED))
    columns = (counts.successes, counts.total_count, counts.multiplicity)
    rows = er.Counts(*(np.append(c, x) for c, x in zip(columns, extra, strict=True)))
    best = er.maximize_evidence(rows)
    a, b = best.prior.arrays() if best.prior else (np.nan, np.nan)
    words = best.kind
    if best.kind in ("degenerate", "all_or_none", "binomial"):
        limit = {"degenerate": "", "all_or_none": "a + b -> 0 at ", "binomial": "a + b -> inf at "}
        words += f": no maximiser, {limit[best.kind]}mean {best.mean:.6g}"
    elif best.kind == "unidentified":
        words += f": mean {best.mean:.6g}, any a + b"
    if best.relative_error:
        words += f", relative error about {best.relative_error:.1g}"
    words += f"; proved within {best.proof.upper - best.proof.lower:.1g} nats"
    words += "" if best.proof.decided else ", not decided"
    return Answer(0.0, float(a), float(b), best.log_evidence, True, words)


def scipy_fit(top: float, counts: er.Counts) -> Answer:
    n = int(counts.total_count[0])
    result = stats.fit(
        stats.betabinom,
        np.repeat(counts.successes, counts.multiplicity),
        bounds={"n": (n, n), "a": (0, top), "b": (0, top)},
        optimizer=partial(optimize.differential_evolution, rng=0),
    )
    a, b = result.params.a, result.params.b
    words = f"success={bool(result.success)}"
    if not result.success:
        words += f", {result.message}"
    edge = [name for name, x in (("a", a), ("b", b)) if x > 0.99 * top]
    words += f", {' and '.join(edge)} within 1 % of the bound" if edge else ""
    return Answer(0.0, a, b, -result.nllf(), bool(result.success), words)


def scipy_minimize(method: str, counts: er.Counts) -> Answer:
    k, n, w = counts.successes, counts.total_count, counts.multiplicity

    def loss(x: np.ndarray) -> float:
        return -float(w @ stats.betabinom.logpmf(k, n, *np.exp(x)))

    result = optimize.minimize(loss, [0.0, 0.0], method=method)
    words = f"success={bool(result.success)}"
    if not result.success:
        words += f", {result.message.strip()}"
    a, b = np.exp(result.x)
    return Answer(0.0, float(a), float(b), -float(result.fun), bool(result.success), words)


PEERS: dict[str, Fit] = {
    **{f"scipy fit to {top:g}": partial(scipy_fit, top) for top in BOUNDS},
    "scipy Nelder-Mead": partial(scipy_minimize, "Nelder-Mead"),
    "scipy L-BFGS-B": partial(scipy_minimize, "L-BFGS-B"),
}


def in_r(sets: dict[str, tuple[str, er.Counts]]) -> tuple[list[str], dict[tuple[str, str], Answer]]:
    """Versions, or why there are none, and the answer of each (peer, data set)."""
    if shutil.which("Rscript") is None:
        return ["R is not installed: its packages are left out"], {}
    versions: list[str] = []
    answers: dict[tuple[str, str], Answer] = {}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "counts.tsv")
        rows = ["name\tk\tn\tw"]
        for name, (_, c) in sets.items():
            columns = (c.successes.tolist(), c.total_count.tolist(), c.multiplicity.tolist())
            rows += [f"{name}\t{k}\t{n}\t{w}" for k, n, w in zip(*columns, strict=True) if w]
        table.write_text("\n".join(rows) + "\n")
        script = Path(__file__).with_suffix(".R")
        written, stopped = Path(folder, "answers.tsv"), ""
        with open(written, "w") as out:
            try:
                subprocess.run(
                    ["Rscript", "--vanilla", str(script), str(table)],
                    stdout=out,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=PATIENCE,
                    check=True,
                )
            except subprocess.TimeoutExpired:
                stopped = f"stopped after {PATIENCE} s"
            except subprocess.CalledProcessError as error:
                stopped = f"stopped early: {error.stderr.strip()[-200:]}"
        lines = written.read_text().splitlines()
    for line in lines:
        what, *cells = line.split("\t")
        if what == "version":
            versions.append(cells[0])
        elif what == "answer":
            peer, name = cells[:2]
            ms, a, b, height = (np.nan if x == "NA" else float(x) for x in cells[2:6])
            good = None if cells[6] == "NA" else cells[6] == "1"
            answers[peer, name] = Answer(ms, a, b, height, good, cells[7] if cells[7:] else "")
    if stopped:
        versions.append(f"R {stopped}: what it had not reached is missing")
    return versions, answers


def below(answer: Answer, best: Answer, counts: er.Counts) -> float:
    """Nats from our supremum down to the log likelihood at the answer's own concentrations."""
    try:
        return best.height - er.log_evidence(er.Beta(answer.a, answer.b), counts)
    except ValueError:
        return best.height - answer.height


def digits(answer: Answer, best: Answer) -> float:
    """Right digits of the worse concentration; nan without both."""
    if not np.isfinite([answer.a, answer.b, best.a]).all():
        return np.nan
    error = max(abs(answer.a / best.a - 1), abs(answer.b / best.b - 1))
    return float(min(16.0, max(0.0, -np.log10(max(error, 1e-300)))))


def number(x: float, form: str) -> str:
    return "-" if np.isnan(x) else format(x, form)


def nats(x: float, height: float) -> str:
    """A difference of log likelihoods, 0 where it is rounding."""
    return "0" if abs(x) <= 1e-12 * max(1.0, abs(height)) else number(x, ".1e")


SHORTER = {
    "could not obtain valid initial values. Try using 'etastart', 'coefstart' or 'mustart', else "
    "family-specific arguments such as 'imethod'.": "could not obtain valid initial values",
    "some quantities such as z, residuals, SEs may be inaccurate due to convergence at a "
    "half-step": "convergence at a half-step",
    "iterations terminated because half-step sizes are very small": "half-steps very small",
    "Model convergence problem; ": "",
    ". See vignette('troubleshooting')": "",
}


def shorten(words: str) -> str:
    for long, short in SHORTER.items():
        words = words.replace(long, short)
    words = re.sub(
        r"\d+ diagonal elements of the working.*?[\d.e-]+(?=$|;)", "weights reset", words
    )
    words = "; ".join(dict.fromkeys(" ".join(part.split()) for part in words.split(";") if part))
    return words if len(words) <= 150 else words[:147] + "..."


def show(peer: str, answer: Answer, best: Answer, counts: er.Counts) -> None:
    gap = below(answer, best, counts)
    words = shorten(answer.words) or "no warning"
    more = answer.height - (best.height - gap)
    if abs(more) > 1e-6 * max(1.0, abs(best.height)):
        words += f"; its log lik is {abs(more):.1g} too {'high' if more > 0 else 'low'}"
    right = "-" if answer is best else number(digits(answer, best), ".1f")
    print(
        f"  {peer:22}{answer.ms:9.1f} {number(answer.a, '.9g'):>16} {number(answer.b, '.9g'):>16} "
        f"{number(answer.height, 'z.8f'):>17}{nats(gap, best.height):>9}{right:>7}  {words}"
    )


def tell(text: str) -> None:
    print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="      "))


def edges(
    peer: str,
    answers: dict[str, Answer],
    best: dict[str, Answer],
    sets: dict[str, tuple[str, er.Counts]],
) -> None:
    """What a peer returns where there is no one maximiser, and how it does elsewhere."""
    gaps = {name: below(answer, best[name], sets[name][1]) for name, answer in answers.items()}
    inside = [name for name in answers if not np.isnan(best[name].a)]
    reached = [name for name in inside if answers[name].good is not None]

    def listed(what: str, names: list[str]) -> None:
        if names:
            each = ", ".join(f"{n} ({nats(gaps[n], best[n].height)})" for n in names)
            tell(f"{what}: {each.replace(' (-)', '')}")

    print(f"\n{peer}")
    for good, what in (
        (True, "a Beta, success and no warning"),
        (False, "a Beta, with a warning or a flag"),
        (None, "an error"),
    ):
        listed(what, [n for n in answers if n not in inside and answers[n].good is good])
    right = [digits(answers[n], best[n]) for n in reached]
    tell(
        f"where there is a maximiser, an answer for {len(reached)} of {len(inside)}, median of "
        f"the digits {statistics.median(right):.1f}, median of the times "
        f"{statistics.median(answers[n].ms for n in reached):.1f} ms"
    )
    listed("there, an error", [n for n in inside if n not in reached])
    far = [n for n in reached if gaps[n] > 1e-3]
    listed("there, 0.001 nats below or more without a warning", [n for n in far if answers[n].good])
    edge = [n for n in answers if answers[n].good and "of the bound" in answers[n].words]
    listed("within 1 % of the bound, success and no warning", edge)
    high = {n: answer.height - best[n].height for n, answer in answers.items()}
    high = {n: x for n, x in high.items() if x > 1e-6 * max(1.0, abs(best[n].height))}
    if high:
        each = ", ".join(f"{n} (by {x:.1e})" for n, x in high.items())
        tell(f"a log lik above the supremum: {each}")


def million() -> None:
    """A million rows: time alone."""
    rng = np.random.default_rng(0)
    n = rng.integers(1, 31, 1_000_000)
    counts = er.Counts(rng.binomial(n, rng.beta(2.0, 5.0, n.size)), n)

    def grouping(counts: er.Counts) -> Answer:
        np.unique(counts.successes * 31 + counts.total_count, return_counts=True)
        return Answer(0.0)

    mine, grouped = timed(ours, counts), timed(grouping, counts)
    print(f"\nmillion: a million latents with N up to 30 drawn from Beta(2, 5); {mine.words}")
    print(f"  elbo_ref {mine.ms:.0f} ms: a = {mine.a:.9g}, b = {mine.b:.9g}")
    print(f"  numpy.unique of the same rows, each as one number: {grouped.ms:.0f} ms")


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    sets = data_sets()
    versions, from_r = in_r(sets)
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"{platform.machine()}, {cpu()}, threads {os.environ.get('OPENBLAS_NUM_THREADS', 'any')}"
    )
    print(", ".join(versions))
    print(
        f"\n  {'':22}{'ms':>9} {'a':>16} {'b':>16} {'log lik':>17}{'below':>9}{'digits':>7}"
        "  what it says"
    )
    best: dict[str, Answer] = {}
    table: dict[str, dict[str, Answer]] = {}
    for name, (title, counts) in sets.items():
        best[name] = timed(ours, counts)
        print(f"\n{name}: {title}")
        show("elbo_ref", best[name], best[name], counts)
        alike = np.unique(counts.total_count).size == 1
        answers = {
            peer: timed(fit, counts)
            for peer, fit in PEERS.items()
            if alike or not peer.startswith("scipy fit")
        }
        answers |= {peer: answer for (peer, where), answer in from_r.items() if where == name}
        for peer, answer in answers.items():
            show(peer, answer, best[name], counts)
            table.setdefault(peer, {})[name] = answer
    million()
    print("\nWho returns what at the edges (in brackets, nats below the supremum)")
    inside = [answer.ms for answer in best.values() if not np.isnan(answer.a)]
    decided = [a for a in best.values() if a.good and "not decided" not in a.words]
    print("\nelbo_ref")
    tell(
        f"the kind of answer is decided for {len(decided)} of {len(best)}; where there is a "
        f"maximiser, median of the times {statistics.median(inside):.1f} ms"
    )
    for peer, answers in table.items():
        edges(peer, answers, best, sets)


if __name__ == "__main__":
    main()
