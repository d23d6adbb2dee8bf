"""How long does one SVI step of the forum's experiment take, beside Pyro's?

    python benchmarks/steps.py

5000 Bernoulli zeros as one latent, Adam, 10 particles for the Monte Carlo loss. Each figure is the
median over repeats of (CPU time of a run) / (number of steps), everything else of the run included;
the ratio to Pyro is within the same process. Pyro's model is the forum's: the observations in a
plate, float32, particles one after the other (its default) or vectorized. Without Pyro only ours is
timed.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy

import elbo_ref as er

COUNTS = er.datasets.load("forum")
REPEATS = 7


def per_step(run: Callable[[], object], steps: int) -> float:
    """Median microseconds a step."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append((time.process_time() - start) / steps * 1e6)
    return statistics.median(times)


def ours(guide: str, loss: str, steps: int) -> float:
    return per_step(
        lambda: er.maximize_elbo(
            COUNTS, guide, loss=loss, optimizer=er.Adam(lr=1e-3), num_steps=steps, num_particles=10
        ),
        steps,
    )


def pyro_step(vectorized: bool, steps: int) -> float:
    import pyro
    import torch
    from pyro.distributions import Bernoulli, Beta
    from torch.distributions.constraints import positive

    torch.set_num_threads(1)
    data = torch.zeros(5000)

    def parameter(name: str) -> torch.Tensor:
        return pyro.param(name, torch.tensor(1.0), constraint=positive)

    def model() -> None:
        c = pyro.sample("c", Beta(parameter("b0"), parameter("a0")))
        with pyro.plate("data", 5000):
            pyro.sample("obs", Bernoulli(c), obs=data)

    def guide() -> None:
        pyro.sample("c", Beta(parameter("b1"), parameter("a1")))

    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    loss = pyro.infer.Trace_ELBO(
        num_particles=10, vectorize_particles=vectorized, max_plate_nesting=1
    )
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    svi.step()
    return per_step(lambda: [svi.step() for _ in range(steps)], steps)


def main() -> None:
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"{platform.machine()}, one thread"
    )
    print(f"{'':34}{'us a step':>10}")
    mine = {}
    for loss, steps in (("exact", 2000), ("trace", 300)):
        for guide in ("beta", "empty", "tied", "none"):
            mine[loss, guide] = ours(guide, loss, steps)
            print(f"elbo_ref {loss:6} {guide:18}{mine[loss, guide]:10.1f}")
    hundred = ours("beta", "exact", 100)
    print(f"{'elbo_ref exact  beta, 100 steps':34}{hundred:10.1f}")
    try:
        import pyro
        import torch
    except ImportError:
        print("Pyro is not installed: nothing to compare with")
        return
    for vectorized in (False, True):
        theirs = pyro_step(vectorized, 20)
        name = f"Pyro {'vectorized' if vectorized else 'sequential'}"
        ratios = ", ".join(
            f"{theirs / mine[loss, 'beta']:.0f} x {loss}" for loss in ("trace", "exact")
        )
        print(f"{name:34}{theirs:10.1f}   {ratios}")
    print(f"Pyro {pyro.__version__}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
