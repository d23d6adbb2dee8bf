"""Question: how often is a recorded program called wrong, and a mistaken one by its name?

Programs are drawn: the style (``tests/programs.py``: parametrisation, plates or loops, shapes,
likelihood class, guide), the counts, dtype, ELBO, particles, optimizer and how long they have run.
Each is recorded for ten steps and replayed with nothing else said. Run
``python benchmarks/program_rates.py [CLEAN [MISTAKEN [SEED]]]``; needs Pyro.
"""

from __future__ import annotations

import collections
import contextlib
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyro
import torch

import elbo_ref as er

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import programs

STEPS = 10
SIZES = (1, 2, 3, 3, 5, 12)
"""Numbers of latents."""
PRIORS = ((1, 1), (2, 2), (0.5, 0.5), (2, 5), (4, 1.5), (10, 10))
"""Those of programs that do not learn it."""
OPTIMIZERS = {
    "Adam": lambda lr: pyro.optim.Adam({"lr": lr}),
    "Adam, betas": lambda lr: pyro.optim.Adam({"lr": lr, "betas": (0.95, 0.99)}),
    "ClippedAdam": lambda lr: pyro.optim.ClippedAdam({"lr": lr, "clip_norm": 1.0, "lrd": 0.999}),
    "AdamW": lambda lr: pyro.optim.AdamW({"lr": lr}),
    "SGD": lambda lr: pyro.optim.SGD({"lr": lr / 100}),
    "RMSprop": lambda lr: pyro.optim.RMSprop({"lr": lr}),
    "ExponentialLR": lambda lr: pyro.optim.ExponentialLR(
        {"optimizer": torch.optim.Adam, "optim_args": {"lr": lr}, "gamma": 0.99}
    ),
}
WITH_ROWS = ("plate", "loop", "event", "column", "trials", "groups")
SCALED = ("plate",)
"""Layouts whose programs can be scaled altogether."""

MISTAKES = {
    "gradient_detached, prior": ("gradient_detached", {"detached": ("prior", "detach")}),
    "gradient_detached, guide": ("gradient_detached", {"detached": ("guide", "item")}),
    "observations_missing": ("observations_missing", {"unobserved": True}),
    "likelihood_weight, 0.1": ("likelihood_weight", {"likelihood": 0.1}),
    "likelihood_weight, 3": ("likelihood_weight", {"likelihood": 3.0}),
    "normalised_loss": ("normalised_loss", {"scale": 1 / 59}),
    "shared_parameter": ("shared_parameter", {"names": ("a", "b")}),
    "wrong_counts": ("wrong_counts", {}),
    "permuted_rows": ("permuted_rows", {}),
}
"""Each mistake by its name, and what is wrong in the program; the last two are in the counts."""


def drawn_style(rng: np.random.Generator) -> tuple[str, programs.Style]:
    """Draw a style, its dtype and its particles."""
    name = str(rng.choice(list(programs.STYLES)))
    style = programs.STYLES[name]
    particles = int(rng.choice([1, 1, 2, 5]))
    if style.layout == "minibatch":
        particles = 1
    return name, style._replace(dtype=str(rng.choice(["float32", "float64"])), particles=particles)


def draw_data(rng: np.random.Generator) -> None:
    """Draw the counts that the programs observe, and the prior of those that do not learn it."""
    size = int(rng.choice(SIZES))
    n = rng.integers(2, 60, size)
    programs.N = n.tolist()
    programs.K = rng.binomial(n, rng.beta(*rng.uniform(0.8, 5.0, 2), size)).tolist()
    programs.TRIALS = rng.integers(0, 2, (int(rng.integers(3, 9)), size))
    programs.GROUPS = rng.permutation([*range(size), *rng.integers(0, size, size + 1)]).tolist()
    totals = rng.integers(1, 12, len(programs.GROUPS))
    programs.OF_GROUPS = rng.binomial(totals, 0.4).tolist(), totals.tolist()
    programs.FIXED = list(map(float, rng.choice(PRIORS)))


class Running(NamedTuple):
    """A program in Pyro that has not made a step."""

    hand: programs.Hand
    svi: pyro.infer.SVI
    optimizer: str
    lr: float


@contextlib.contextmanager
def running(
    rng: np.random.Generator, style: programs.Style, wrong: dict[str, object]
) -> Iterator[Running]:
    """Begin a program in a parameter store of its own."""
    torch.set_default_dtype(getattr(torch, style.dtype))
    hand = programs.Hand(torch, pyro, style, dict(wrong))
    with pyro.get_param_store().scope():
        pyro.set_rng_seed(int(rng.integers(2**31)))
        model, guide = hand.programs()
        elbo = getattr(pyro.infer, style.loss)(
            num_particles=style.particles, vectorize_particles=style.vectorize, max_plate_nesting=2
        )
        name, lr = str(rng.choice(list(OPTIMIZERS))), float(rng.choice([0.005, 0.02, 0.05]))
        svi = pyro.infer.SVI(model, guide, OPTIMIZERS[name](lr), elbo)
        yield Running(hand, svi, name, lr)


def recorded(
    rng: np.random.Generator, style: programs.Style, wrong: dict[str, object]
) -> er.recording.Recording:
    """Run a program for a while, and record it."""
    with running(rng, style, wrong) as run:
        for _ in range(int(rng.choice([0, 5, 60]))):
            run.svi.step()
        with er.recording.record(run.svi) as recorder:
            for _ in range(STEPS):
                run.svi.step()
    return recorder.recording


def clean(number: int, rng: np.random.Generator) -> None:
    """Judge clean programs."""
    outcomes: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    for _ in range(number):
        draw_data(rng)
        name, style = drawn_style(rng)
        recording = recorded(rng, style, {})
        start = time.perf_counter()
        verdict = er.replay(recording)
        slowest = max(slowest, time.perf_counter() - start)
        outcomes[verdict.outcome] += 1
        if verdict.mistakes:
            print(f"  {name}, {style}: {verdict.mistakes}", flush=True)
    print(
        f"clean: {number} programs, {dict(outcomes)}, slowest verdict {slowest:.2f} s", flush=True
    )


def mistaken(number: int, rng: np.random.Generator) -> None:
    """Judge programs with a mistake each."""
    found = {what: collections.Counter[str]() for what in MISTAKES}
    for i in range(number):
        what = list(MISTAKES)[i % len(MISTAKES)]
        name, wrong = MISTAKES[what]
        draw_data(rng)
        while True:
            of_style, style = drawn_style(rng)
            of_own = style.guide == "own" and style.own not in ("prior", "posterior")
            fits = style.layout in WITH_ROWS and of_own
            if what == "gradient_detached, prior":
                fits = fits and style.prior != "fixed"
            if name == "shared_parameter":
                fits = fits and style.prior == style.own == "positive"
            if name == "observations_missing":  # Pyro's other ELBOs have no such programs
                fits = fits and style.loss == "Trace_ELBO"
            if name == "normalised_loss":
                fits = fits and style.layout in SCALED
            if fits:
                break
        try:
            recording = recorded(rng, style, wrong)
        except ValueError as error:  # Pyro's own words on shapes that do not fit
            print(f"  {what} in {of_style}: Pyro says {str(error)[:60]}")
            continue
        counts = None
        if name in ("wrong_counts", "permuted_rows"):
            true = er.replay(recording)
            assert not true.mistakes, (of_style, true)
            seen = er.recording.statement.read_statement(recording).data.counts()
            k, n = seen.successes, seen.total_count
            counts = er.Counts(k[::-1], n[::-1])
            if name == "wrong_counts":
                counts = er.Counts(np.where(k > 0, k - 1, k + 1), n)
            if counts == seen or (name == "wrong_counts" and np.any(n == 0)):
                continue
        verdict = er.replay(recording, counts)
        named = verdict.mistakes[0] if verdict.mistakes else verdict.outcome
        found[what]["named" if named == name else named] += 1
        if named != name:
            print(f"  {what} in {of_style}, {style}: {verdict.mistakes or named}", flush=True)
    for what, counter in found.items():
        print(f"{what}: {dict(counter)}")


def main() -> None:
    """Draw, record and judge; print the rates."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    number, wrong, seed = (
        int(x) for x in [*sys.argv[1:], *("300", "180", "0")[len(sys.argv) - 1 :]]
    )
    print(f"seed {seed}, {len(programs.STYLES)} styles, {STEPS} steps each")
    clean(number, np.random.default_rng(seed))
    mistaken(wrong, np.random.default_rng(seed + 1))


if __name__ == "__main__":
    main()
