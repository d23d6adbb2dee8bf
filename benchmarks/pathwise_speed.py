"""What does a Beta draw cost together with both derivatives, beside the peers?

    OPENBLAS_NUM_THREADS=1 python benchmarks/pathwise_speed.py

All in float64, on one thread, in one process. Three questions:

* one pair of concentrations shared by many draws: draws plus both derivatives of ours
  (`Beta.sample_logit` and `pathwise_gradient`), of PyTorch (`rsample` and `backward`, with its
  approximate kernel) and of JAX (compiled; two gamma draws);
* a pair for every draw: both derivatives at given draws, ours and PyTorch's kernel called twice as
  `backward` does, and TFP's partials of betainc (compiled);
* ten draws of one pair: microseconds a call, and of the whole step of the forum's experiment.

Each figure is CPU time, the least over rounds, which a busy machine disturbs least; in every round
each peer runs once, and beside the ratio of the least times stand the smallest and the largest of
the rounds. JAX and TFP run in fewer rounds, being slow. A peer that is not installed is left out.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special as sc

import elbo_ref as er

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

FloatArray = NDArray[np.float64]
Call = Callable[[], object]
SIZE, ROUNDS, SLOW_ROUNDS = 100_000, 15, 3
SHARED = ((2.0, 3.0), (0.1, 5000.0), (50.0, 80.0), (1e4, 1e4), (1e-3, 1e-3))
SPREADS = ((0.1, 10.0), (1.0, 100.0), (1e-3, 1e4), (1e-6, 1e8))


def seconds(call: Call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def rounds(calls: dict[str, Call]) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-1, ROUNDS):
        for name, call in calls.items():
            slow = name.startswith(("JAX", "TFP"))
            if number < (SLOW_ROUNDS if slow else ROUNDS):
                taken = seconds(call)
                if number >= 0:
                    times[name].append(taken)
    return times


def report(label: str, times: dict[str, list[float]], size: int) -> None:
    """A line for ours, and one with its ratio to ours for each peer."""
    ours = times["elbo_ref"]
    for name, taken in times.items():
        line = f"{label:22}{name:26}{min(taken) / size * 1e9:9.0f}"
        if name != "elbo_ref":
            ratios = [theirs / mine for theirs, mine in zip(taken, ours, strict=False)]
            line += f"{min(taken) / min(ours):9.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)
        label = ""


def torch_draws(a: FloatArray, b: FloatArray) -> Call:
    import torch

    one, zero = (torch.from_numpy(x).requires_grad_() for x in (a, b))

    def call() -> None:
        torch.distributions.Beta(one, zero).rsample().sum().backward()

    return call


def torch_kernel(y: FloatArray, a: FloatArray, b: FloatArray) -> Call:
    import torch

    x = torch.from_numpy(np.stack([sc.expit(y), sc.expit(-y)], -1))
    concentration = torch.from_numpy(np.stack([a, b], -1))
    total = concentration.sum(-1, keepdim=True).expand_as(concentration)
    return lambda: torch._dirichlet_grad(x, concentration, total)


def jax_draws(a: FloatArray, b: FloatArray) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)

    @jax.jit
    def moved(a: jax.Array, b: jax.Array) -> object:
        key = jax.random.key(0)
        c, back = jax.vjp(lambda a, b: jax.random.beta(key, a, b), a, b)
        return c, back(jax.numpy.ones_like(c))

    return lambda: jax.block_until_ready(moved(a, b))


def tfp_partials(y: FloatArray, a: FloatArray, b: FloatArray) -> Call:
    import jax
    from tensorflow_probability.substrates import jax as tfp

    jax.config.update("jax_enable_x64", True)

    @jax.jit
    def partials(a: jax.Array, b: jax.Array, c: jax.Array) -> object:
        value, back = jax.vjp(tfp.math.betainc, a, b, c)
        return back(jax.numpy.ones_like(value))

    c = sc.expit(y)
    return lambda: jax.block_until_ready(partials(a, b, c))


def has(*modules: str) -> bool:
    return all(find_spec(module) for module in modules)


def shared() -> None:
    print(f"{SIZE} draws of one pair, and both derivatives{'':8}ns a draw    ratio to ours")
    for a, b in SHARED:
        prior, rng = er.Beta(a, b), np.random.default_rng(1)

        def ours(prior: er.Beta = prior, rng: np.random.Generator = rng) -> None:
            draws = prior.sample_logit(SIZE, rng)
            er.pathwise_gradient(draws, prior.concentration1, prior.concentration0)

        calls: dict[str, Call] = {"elbo_ref": ours}
        filled = np.full(SIZE, a), np.full(SIZE, b)
        if has("torch"):
            calls["PyTorch rsample, backward"] = torch_draws(*filled)
        if has("jax"):
            calls["JAX beta, vjp"] = jax_draws(*filled)
        report(f"Beta({a:g}, {b:g})", rounds(calls), SIZE)
    for size in (1000, 4096, 20_000):
        draws = er.Beta(2, 3).sample_logit(size, rng=1)
        calls = {"elbo_ref": lambda draws=draws: er.pathwise_gradient(draws, 2.0, 3.0)}
        report(f"{size}, derivatives", rounds(calls), size)


def single() -> None:
    print(f"\n{SIZE} draws, a pair for each, both derivatives{'':5}ns a draw    ratio to ours")
    for low, high in SPREADS:
        rng = np.random.default_rng(2)
        a, b = np.exp(rng.uniform(np.log(low), np.log(high), (2, SIZE)))
        y = er.Beta(a, b).sample_logit((), rng)
        calls: dict[str, Call] = {"elbo_ref": lambda y=y, a=a, b=b: er.pathwise_gradient(y, a, b)}
        if has("torch"):
            calls["PyTorch kernel"] = torch_kernel(y, a, b)
        if has("jax"):
            calls["JAX beta, vjp"] = jax_draws(a, b)
        if has("jax", "tensorflow_probability"):
            calls["TFP partials of betainc"] = tfp_partials(y, a, b)
        report(f"in [{low:g}, {high:g}]", rounds(calls), SIZE)


def ten() -> None:
    print("\nTen draws of one pair: microseconds a call")
    for a, b in SHARED:
        y = er.Beta(a, b).sample_logit(10, rng=1)
        taken = [
            seconds(lambda y=y, a=a, b=b: [er.pathwise_gradient(y, a, b) for _ in range(200)])
            for _ in range(ROUNDS)
        ]
        print(f"Beta({a:g}, {b:g}){'':14}{min(taken) / 200 * 1e6:8.0f}")
    counts = er.datasets.load("forum")
    for rate in (0.1, 1e-3):
        settings = {"optimizer": er.Adam(lr=rate), "num_steps": 300, "num_particles": 10}
        run = lambda s=settings: er.maximize_elbo(counts, "beta", loss="trace", rng=0, **s)  # noqa: E731
        taken = [seconds(run) for _ in range(ROUNDS)]
        print(f"step of the forum's run, lr {rate:g}: {min(taken) / 300 * 1e6:.0f}")
    x = np.ones(10)
    added = min(seconds(lambda: [x + x for _ in range(10_000)]) for _ in range(ROUNDS))
    print(f"for comparison, one addition of ten numbers: {added / 10_000 * 1e6:.2f}")


def machine() -> None:
    from numpy._core._multiarray_umath import __cpu_features__ as found

    width = next((name for name in ("AVX512F", "AVX2", "ASIMD") if found.get(name)), "none")
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    versions += [f"SciPy {scipy.__version__}", f"{platform.machine()}, vectors: {width}"]
    if has("torch"):
        import torch

        torch.set_num_threads(1)
        versions.append(f"PyTorch {torch.__version__}")
    if has("jax"):
        import jax

        versions.append(f"JAX {jax.__version__}")
    if has("jax", "tensorflow_probability"):
        import tensorflow_probability

        versions.append(f"TFP {tensorflow_probability.__version__}")
    print(", ".join(versions) + "\n")


def main() -> None:
    machine()
    shared()
    single()
    ten()


if __name__ == "__main__":
    main()
