"""What does an SVI step cost, and the way to the optimum, beside Pyro and NumPyro?

    OPENBLAS_NUM_THREADS=1 python benchmarks/svi_steps.py

A Beta guide, both concentrations learnable, Adam; data drawn from Beta(2, 5) and Binomial(20, c).
For 1, 100 and 10,000 latents and 1, 10 and 1000 particles, in one run on one thread, float64:

* microseconds of CPU time a step, which a busy machine disturbs least: ours (`loss="trace"`), Pyro
  with its particles one after the other (its default) and vectorised, NumPyro's compiled `update`
  called from Python, and the same in a compiled loop, as `svi.run` has it; ratios to ours. A cell
  whose step would take more than SLOWEST seconds is left out;
* for each number of latents the steps from (1, 1) to within 1e-3 nats of the optimum on the exact
  path, the time of that path (`loss="exact"`), and the time of `maximize_evidence`, which proves
  its answer. With one latent there is no optimum;
* microseconds of an exact step, of counts of 20 trials, few of which differ, and of counts that all
  differ;
* what a Monte Carlo step of a million latents with one particle holds at most beside what it
  begins with (parameters, moments and history), as `tracemalloc` counts it.

A peer that is not installed is left out.
"""

from __future__ import annotations

import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import scipy

import elbo_ref as er
from elbo_ref.svi import loop

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

LATENTS, PARTICLES = (1, 100, 10_000), (1, 10, 1000)
SLOWEST, RATE, ROUNDS = 1.0, 1e-3, 3


def data(latents: int) -> er.Counts:
    rng = np.random.default_rng(0)
    return er.Counts(rng.binomial(20, rng.beta(2, 5, latents)), 20)


def different(latents: int) -> er.Counts:
    rng = np.random.default_rng(0)
    trials = rng.integers(10, 2_000_000, latents)
    return er.Counts(rng.binomial(trials, rng.beta(2, 5, latents)), trials)


def per_step(run: Callable[[int], object], budget: float = 0.4) -> float:
    """Microseconds of CPU time a step, the least of runs as long as the budget allows."""
    run(1)
    start = time.process_time()
    run(2)
    once = (time.process_time() - start) / 2
    if once > SLOWEST:
        return float("nan")
    steps = int(np.clip(budget / once, 2, 20_000))
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run(steps)
        times.append((time.process_time() - start) / steps * 1e6)
    return min(times)


def ours(counts: er.Counts, particles: int) -> Callable[[int], object]:
    settings = {"optimizer": er.Adam(lr=RATE), "num_particles": particles}
    return lambda steps: er.maximize_elbo(counts, "beta", loss="trace", num_steps=steps, **settings)


def pyro_step(counts: er.Counts, particles: int, vectorized: bool) -> Callable[[int], object]:
    import pyro
    import torch
    from pyro.distributions import Beta, Binomial
    from torch.distributions.constraints import positive

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    k, n = (torch.tensor(x, dtype=torch.float64) for x in (counts.successes, counts.total_count))

    def parameter(name: str, *shape: int) -> torch.Tensor:
        return pyro.param(name, lambda: torch.ones(shape), constraint=positive)

    def model() -> None:
        a, b = parameter("a0"), parameter("b0")
        with pyro.plate("latents", len(k)):
            c = pyro.sample("c", Beta(a, b))
            pyro.sample("k", Binomial(n, c), obs=k)

    def guide() -> None:
        a, b = parameter("a", len(k)), parameter("b", len(k))
        with pyro.plate("latents", len(k)):
            pyro.sample("c", Beta(a, b))

    pyro.clear_param_store()
    loss = pyro.infer.Trace_ELBO(
        num_particles=particles, vectorize_particles=vectorized, max_plate_nesting=1
    )
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": RATE}), loss)
    return lambda steps: [svi.step() for _ in range(steps)]


def numpyro_step(counts: er.Counts, particles: int, fused: bool) -> Callable[[int], object]:
    import jax
    import numpyro
    from numpyro.distributions import Beta, Binomial
    from numpyro.distributions.constraints import positive

    jax.config.update("jax_enable_x64", True)
    k, n = (jax.numpy.asarray(x, dtype=float) for x in (counts.successes, counts.total_count))

    def parameter(name: str, *shape: int) -> object:
        return numpyro.param(name, jax.numpy.ones(shape), constraint=positive)

    def model() -> None:
        a, b = parameter("a0"), parameter("b0")
        with numpyro.plate("latents", len(k)):
            c = numpyro.sample("c", Beta(a, b))
            numpyro.sample("k", Binomial(n, c), obs=k)

    def guide() -> None:
        a, b = parameter("a", len(k)), parameter("b", len(k))
        with numpyro.plate("latents", len(k)):
            numpyro.sample("c", Beta(a, b))

    loss = numpyro.infer.Trace_ELBO(num_particles=particles)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(RATE), loss)
    if fused:
        begun = svi.init(jax.random.key(0))
        loop = jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda _, now: svi.update(now)[0], begun))
        return lambda steps: jax.block_until_ready(loop(steps))
    state, update = svi.init(jax.random.key(0)), jax.jit(svi.update)

    def run(steps: int) -> None:
        now = state
        for _ in range(steps):
            now, value = update(now)
        jax.block_until_ready(value)

    return run


def has(*modules: str) -> bool:
    return all(find_spec(module) for module in modules)


def steps() -> None:
    peers: dict[str, Callable[[er.Counts, int], Callable[[int], object]]] = {}
    if has("torch", "pyro"):
        peers["Pyro sequential"] = lambda c, p: pyro_step(c, p, False)
        peers["Pyro vectorised"] = lambda c, p: pyro_step(c, p, True)
    if has("jax", "numpyro"):
        peers["NumPyro update"] = lambda c, p: numpyro_step(c, p, False)
        peers["NumPyro fused"] = lambda c, p: numpyro_step(c, p, True)
    head = "".join(f"{name:>26}" for name in peers)
    print(f"{'latents':>8}{'particles':>10}{'elbo_ref':>12}{head}   microseconds a step (ratio)")
    for latents in LATENTS:
        counts = data(latents)
        for particles in PARTICLES:
            if latents * particles > 1_000_000:
                continue
            mine = per_step(ours(counts, particles))
            line = f"{latents:8}{particles:10}{mine:12.0f}"
            for peer in peers.values():
                theirs = per_step(peer(counts, particles))
                line += f"{theirs:14.0f} ({theirs / mine:8.2f})"
            print(line, flush=True)


def optimum() -> None:
    print("\nto within 1e-3 nats of the optimum, Adam lr 0.1, exact gradients; the exact solver")
    for latents in LATENTS[1:]:
        counts = data(latents)
        start = time.process_time()
        best = er.maximize_evidence(counts)
        solved = time.process_time() - start
        settings = {"optimizer": er.Adam(lr=0.1), "num_steps": 2000}
        start = time.process_time()
        run = er.maximize_elbo(counts, "beta", loss="exact", **settings)
        taken = (time.process_time() - start) / 2000
        there = -run.losses >= best.log_evidence - 1e-3
        needed = str(int(np.argmax(there))) if there.any() else "more than 2000"
        cost = f"{int(np.argmax(there)) * taken:.2f} s" if there.any() else "-"
        print(f"{latents:8} latents: {needed} steps, {cost}; maximize_evidence {solved:.3f} s")


def exact() -> None:
    print("\nmicroseconds of an exact step, few counts different and all")
    for latents in LATENTS[1:]:
        times = []
        for counts in (data(latents), different(latents)):
            settings = {"optimizer": er.Adam(lr=0.1), "loss": "exact"}
            times.append(
                per_step(lambda n, c=counts, s=settings: er.maximize_elbo(c, num_steps=n, **s))
            )
        print(f"{latents:8} latents: {times[0]:8.0f}{times[1]:8.0f}")


def memory() -> None:
    """Measure the peak of each step of a run, by a listener in the loop's place."""
    counts, peaks, advance = data(1_000_000), [], loop.advance

    def measured(*state: object) -> loop.State:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        after = advance(*state)
        peaks.append((tracemalloc.get_traced_memory()[1] - before) / 1e6)
        return after

    loop.advance = measured
    tracemalloc.start()
    er.maximize_elbo(counts, "beta", loss="trace", num_steps=3)
    tracemalloc.stop()
    loop.advance = advance
    print("\na million latents, one particle: MB that a step holds beside what it begins with")
    print("   ".join(f"step {n}: {peak:.0f}" for n, peak in enumerate(peaks)))


def main() -> None:
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    versions += [f"SciPy {scipy.__version__}", platform.machine()]
    for module in ("torch", "pyro", "jax", "numpyro"):
        if has(module):
            versions.append(f"{module} {__import__(module).__version__}")
    print(", ".join(versions) + "; one thread\n")
    steps()
    optimum()
    exact()
    memory()


if __name__ == "__main__":
    main()
