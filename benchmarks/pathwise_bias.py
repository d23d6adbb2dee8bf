"""What does the error of PyTorch's derivative of a Beta draw do to a Pyro run?

    python benchmarks/pathwise_bias.py

PyTorch differentiates a Beta draw by an approximation with about three digits. A step of SVI is
noisy anyway; the error matters as a bias, and only beside that noise. Of the gradient of the ELBO
for the logarithms of the guide's concentrations, one particle of `Trace_ELBO`, we integrate over
the logit of the draw: its expectation and its standard deviation sd with the exact derivative, and
the expectation of what PyTorch's derivative changes. `bias` is that change over sd, `/ gradient`
over the exact gradient; `particles` is how many must be averaged, in one step or along a run, until
their Monte Carlo error is as small as the bias, (sd/bias)^2.

The points are those of the forum's experiment (5000 Bernoulli zeros, Adam at lr 0.1) on its exact
path, all four concentrations learned or the guide's alone, then a grid of guides with the same data
and the prior Beta(1, 1) or the worst of many. Draws are rounded as PyTorch rounds them, to float64
or float32, and kept off 0 and 1 by the smallest float; `draws` is the part of the bias due to that.
The rest, `kernel`, is the derivative's error at the rounded draw. Each (a, b) is rounded to float32
first. The arithmetic of the log densities themselves is taken as exact, Bernoulli's clamp of its
probability left out.

The kernel is an approximation in pieces, so that the panels of the quadrature end where its pieces
do. One piece is a rational function that has poles where the larger concentration is in the ten
thousands and the smaller below 6: there the expectation does not exist (`pole`, if more than about
1e-6 of the draws lie beyond it). In float32 a derivative may not be a number at all (`nan`).
`halves` is how far the bias moves if every panel is halved, `closed` how far the expectation is
from `elbo_gradient`, both in units of sd.

Then a million draws of `rsample` with autograd against the prediction; in float32 autograd's own
digammas, about 3e-7 off, times b, show where b is large, and are no part of it. Last, live runs to
a posterior far from the poles and to one beside them, of Pyro, of Pyro with the exact derivative in
the place of PyTorch's, and ours: the gap to the log evidence, which is 0 at the posterior.
"""

from __future__ import annotations

import itertools
import math
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import pyro
import scipy
import torch
from numpy.typing import NDArray
from pyro.distributions import Beta, Binomial
from scipy import special as sc
from torch.distributions.constraints import positive

import elbo_ref as er
from elbo_ref.distributions.beta_source import BETA

FloatArray = NDArray[np.float64]

COUNTS = er.datasets.load("forum")
ZEROS = 5000.0
STEPS = (0, 10, 20, 50, 100, 200, 500, 1000, 2000)
GRID_A = np.append(np.geomspace(1e-3, 10, 25), 5.9)
GRID_B = np.geomspace(10, 1e5, 25)
MAP_A = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 5.9, 6.1, 10.0)
MAP_B = (10.0, 100.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5)
PRIORS = tuple(itertools.product(np.geomspace(1e-3, 1e3, 19), np.geomspace(1e-2, 1e6, 25)))
CHECKED = ((4.0, 1e4), (2.15, 46400.0))
FIXED_STEPS = (20, 50, 80, 100, 200)
LIVE = ((2, 4999, (2.0, 2e3)), (2, 49999, (2.0, 2e4)))
LIVE_STEPS, SEEDS = (250, 500, 1000), (0, 1, 2)
DRAWS, BATCH = 1_000_000, 100_000
SELDOM, NEVER = 1e-8, 1e-15
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
NAMES = ("log a", "log b")


class Logs(NamedTuple):
    """Draws as a program holds them: c, 1 - c, and their logarithms."""

    c: FloatArray
    rest: FloatArray
    log_c: FloatArray
    log_rest: FloatArray


class Moments(NamedTuple):
    """Of t = (A, D, 1), the gradient's expectation mean @ t, its variance t' covariance t.

    For each of log a and log b (the first axis); kernel @ t and draws @ t are the parts of the
    bias, which does not exist beside a pole.
    """

    mean: FloatArray
    covariance: FloatArray
    kernel: FloatArray
    draws: FloatArray
    pole: NDArray[np.bool_]

    def bias(self) -> FloatArray:
        return self.kernel + self.draws


class Point(NamedTuple):
    """A step of a run."""

    step: int
    prior: tuple[float, float]
    guide: tuple[float, float]


class Effect(NamedTuple):
    """The gradient for log a and log b, the sd of one particle, and the bias, in two parts."""

    gradient: FloatArray
    sd: FloatArray
    kernel: FloatArray
    draws: FloatArray

    def kernel_ratio(self) -> FloatArray:
        return self.kernel / self.sd

    def relative(self) -> FloatArray:
        return (self.kernel + self.draws) / self.sd


def limits(dtype: str) -> tuple[float, float]:
    """Between which PyTorch keeps a draw: the least normal float and the greatest below 1."""
    kind = np.dtype(dtype).type
    return float(np.finfo(kind).tiny), float(np.nextafter(kind(1), kind(0)))


def torch_draws(c: FloatArray, rest: FloatArray, dtype: str) -> tuple[FloatArray, FloatArray]:
    """c and 1 - c as PyTorch's Dirichlet stores them."""
    low, high = limits(dtype)
    return tuple(np.clip(x.astype(dtype), low, high).astype(float) for x in (c, rest))


def torch_kernel(
    c: FloatArray, rest: FloatArray, a: float, b: float, dtype: str
) -> tuple[FloatArray, FloatArray]:
    """d logit/da and d logit/db by the kernel behind `Beta(a, b).rsample()`.

    With G = _dirichlet_grad, PyTorch's backward is dc/da = G_1 (1 - c) and dc/db = -G_2 c.
    """
    kind = getattr(torch, dtype)
    x = torch.from_numpy(np.stack([c, rest], -1)).to(kind)
    concentration = torch.tensor([a, b], dtype=kind).expand_as(x).contiguous()
    total = concentration.sum(-1, True).expand_as(concentration)
    grad = torch._dirichlet_grad(x, concentration, total).double().numpy()
    return grad[:, 0] / c, -grad[:, 1] / (1 - x[:, 0]).double().numpy()


def cuts(a: float, b: float) -> Iterator[float]:
    """The logits at which PyTorch's kernel, or what is done to a draw, goes over into another."""
    s = a + b
    yield 0.0
    for boundary in (0.75, 2.5):
        if boundary < s / 4:
            root = (1 - math.sqrt(1 - 4 * boundary / s)) / 2
            yield from (sc.logit(root), -sc.logit(root))
    if a > 6 and b > 6:
        away = 0.1 * math.sqrt(a * b / (s + 1)) / s
        yield from (sc.logit(a / s - away), sc.logit(a / s + away))
    for dtype in ("float32", "float64"):
        low, high = limits(dtype)
        yield from (math.log(low), -math.log(low), -math.log1p(-high), math.log1p(-high))


def tail(start: float, sign: int, concentration: float) -> FloatArray:
    """Ends of panels over a tail that falls as exp(-concentration * distance)."""
    ends = [start]
    while abs(ends[-1] - start) * concentration < 80:
        width = min(0.2 * 1.2 ** len(ends), 1 / concentration)
        ends.append(ends[-1] + sign * width)
    return np.array(ends[1:])


def quadrature(a: float, b: float, parts: int) -> tuple[FloatArray, FloatArray]:
    """Logits, and weights that include the density of Beta(a, b)."""
    center = math.log((a + 1) / (b + 1))
    core = np.linspace(center - 15, center + 15, 121)
    ends = np.union1d(core, np.union1d(tail(core[0], -1, a), tail(core[-1], 1, b)))
    ends = np.union1d(ends, [y for y in cuts(a, b) if ends[0] < y < ends[-1]])
    ends = np.interp(np.arange((ends.size - 1) * parts + 1) / parts, np.arange(ends.size), ends)
    half = np.diff(ends)[:, None] / 2
    y = (ends[:-1, None] + half * (1 + NODES)).ravel()
    log_density = a * sc.log_expit(y) + b * sc.log_expit(-y) - BETA.log_normalizer(np.array((a, b)))
    return y, (half * WEIGHTS).ravel() * np.exp(log_density)


def exact_logs(y: FloatArray) -> Logs:
    log_c, log_rest = sc.log_expit(y), sc.log_expit(-y)
    return Logs(np.exp(log_c), np.exp(log_rest), log_c, log_rest)


def rounded_logs(y: FloatArray, dtype: str) -> tuple[Logs, FloatArray]:
    """The draws that a model in PyTorch sees, and 1 - c as the Dirichlet keeps it."""
    c, kept = torch_draws(sc.expit(y), sc.expit(-y), dtype)
    rest = 1 - c
    return Logs(c, rest, np.log(c), np.log1p(-c)), kept


def terms(draw: Logs, slopes: Iterable[FloatArray], a: float, b: float) -> FloatArray:
    """The gradient's coefficients of A, D and 1 at each draw, shape (2, 3, draws)."""
    rows = []
    s = a + b
    for x, slope, log in zip((a, b), slopes, (draw.log_c, draw.log_rest), strict=True):
        own = sc.psi(x) - sc.psi(s) - log
        rows.append([x * draw.rest * slope, -x * draw.c * slope, x * own])
    return np.array(rows)


def has_pole(ratio: FloatArray, weights: FloatArray) -> bool:
    """Whether PyTorch's derivative over ours, along the nodes, goes through infinity."""
    size = np.abs(ratio)
    flips = ratio[1:-2] * ratio[2:-1] < 0
    rises = (size[1:-2] > size[:-3]) & (size[2:-1] > size[3:]) & (size[1:-2] > 2)
    return bool(np.any(flips & rises & (weights[1:-2] > SELDOM)))


def moments(a: float, b: float, dtype: str, parts: int = 1) -> Moments:
    y, weights = quadrature(a, b, parts)
    exact = terms(exact_logs(y), er.pathwise_gradient(y, a, b), a, b)
    draw, kept = rounded_logs(y, dtype)
    ours = er.pathwise_gradient(draw.log_c - np.log(draw.rest), a, b)
    kernel = torch_kernel(draw.c, kept, a, b, dtype)
    at_draw, theirs = terms(draw, ours, a, b), terms(draw, kernel, a, b)
    theirs = np.where(weights > NEVER, theirs, at_draw)
    mean = exact @ weights
    away = exact - mean[..., None]
    covariance = np.einsum("kin,kjn,n->kij", away, away, weights)
    gaps = ((theirs - at_draw) @ weights, (at_draw - exact) @ weights)
    found = [has_pole(np.divide(*x), weights) for x in zip(kernel, ours, strict=True)]
    return Moments(mean, covariance, *gaps, np.array(found))


def effect(found: Moments, tilt: FloatArray) -> Effect:
    t = np.append(tilt, 1.0)
    variance = np.einsum("i,kij,j->k", t, found.covariance, t)
    return Effect(found.mean @ t, np.sqrt(variance), found.kernel @ t, found.draws @ t)


def worst(found: Moments, tilts: FloatArray) -> FloatArray:
    """The largest |bias|/sd over rows (A, D), for log a and for log b."""
    t = np.column_stack((tilts, np.ones(len(tilts))))
    variance = np.einsum("ni,kij,nj->kn", t, found.covariance, t)
    largest: FloatArray = np.max(np.abs(found.bias() @ t.T) / np.sqrt(variance), axis=1)
    return largest


def tilt_of(prior: tuple[float, float], guide: tuple[float, float]) -> FloatArray:
    return np.array([prior[0] - guide[0], prior[1] + ZEROS - guide[1]])


def single(x: float) -> float:
    return float(np.float32(x))


def pair(x: Iterable[float]) -> tuple[float, float]:
    a, b = map(single, x)
    return a, b


def path(learn_prior: bool, steps: tuple[int, ...]) -> list[Point]:
    run = er.maximize_elbo(
        COUNTS,
        "beta",
        loss="exact",
        learn_prior=learn_prior,
        optimizer=er.Adam(lr=0.1),
        num_steps=max(steps),
    )
    priors, guides = (
        np.transpose(np.broadcast_arrays(*(x.ravel() for x in value.arrays())))
        for value in (run.history.prior, run.history.guide)
    )
    return [Point(step, pair(priors[step]), pair(guides[step])) for step in steps]


def closed_form(prior: tuple[float, float], guide: tuple[float, float]) -> FloatArray:
    gradient = er.elbo_gradient(er.Beta(*guide), er.Beta(*prior), COUNTS).guide
    return np.array(gradient) * guide


def share(x: float) -> str:
    return f"{x:10.1e}" if abs(x) > 1e-12 else f"{'-':>10}"


def particles(ratio: float) -> str:
    return f"{1 / ratio**2:10.1e}" if ratio else f"{'-':>10}"


def print_path(title: str, points: list[Point]) -> None:
    print(f"\n{title} (sd: one particle; bias/sd10: in units of a step of 10 particles)")
    print(
        f"{'step':>5}{'a':>10}{'b':>8}  {'':6}{'gradient':>11}{'sd':>10}{'dtype':>9}{'bias':>10}"
        f"{'bias/sd10':>10}{'/ gradient':>11}{'kernel':>10}{'draws':>10}{'particles':>10}"
        f"{'halves':>9}{'closed':>9}"
    )
    for step, prior, guide in points:
        closed, tilt = closed_form(prior, guide), tilt_of(prior, guide)
        for dtype in ("float64", "float32"):
            found = effect(moments(*guide, dtype), tilt)
            finer = effect(moments(*guide, dtype, parts=2), tilt)
            bias, finer_bias = found.relative(), finer.relative()
            for k, name in enumerate(NAMES):
                sd = found.sd[k]
                print(
                    f"{step:5}{guide[0]:10.3g}{guide[1]:8.3g}  {name:6}{found.gradient[k]:11.4g}"
                    f"{sd:10.4g}{dtype:>9}{share(bias[k])}{share(bias[k] * math.sqrt(10))}"
                    f"{bias[k] * sd / found.gradient[k]:11.1e}{share(found.kernel[k] / sd)}"
                    f"{share(found.draws[k] / sd)}{particles(bias[k])}"
                    f"{abs(finer_bias[k] - bias[k]):9.0e}"
                    f"{abs(found.gradient[k] - closed[k]) / sd:9.0e}"
                )


def print_grid() -> None:
    print(
        f"\nLargest |bias|/sd over {GRID_A.size} x {GRID_B.size} guides, a in [{GRID_A[0]:g}, "
        f"{GRID_A.max():g}], b in [{GRID_B[0]:g}, {GRID_B[-1]:g}]; the same data,\n"
        f"the prior as at the start, or the worst of {len(PRIORS)} in [{PRIORS[0][0]:g}, "
        f"{PRIORS[-1][0]:g}] x [{PRIORS[0][1]:g}, {PRIORS[-1][1]:g}];\n"
        "nan, pole: how many guides are left out as they have no expectation"
    )
    print(
        f"{'prior':12}{'':7}{'dtype':>8}{'of':>8}{'a':>10}{'b':>10}{'|bias|':>10}{'particles':>10}"
        f"{'nan':>6}{'pole':>6}"
    )
    guides = [pair(x) for x in itertools.product(GRID_A, GRID_B)]
    start = [np.array([tilt_of((1.0, 1.0), guide)]) for guide in guides]
    any_prior = [np.array([tilt_of(prior, guide) for prior in PRIORS]) for guide in guides]
    for dtype in ("float64", "float32"):
        found = [moments(*guide, dtype) for guide in guides]
        pole = np.array([x.pole for x in found])
        kernel = [x._replace(draws=np.zeros_like(x.draws)) for x in found]
        for prior, tilts in (("Beta(1, 1)", start), ("the worst", any_prior)):
            for part, table in (("kernel", kernel), ("both", found)):
                ratios = np.array([worst(*x) for x in zip(table, tilts, strict=True)])
                for k, name in enumerate(NAMES):
                    where = int(np.nanargmax(np.where(pole[:, k], 0, ratios[:, k])))
                    (a, b), value = guides[where], float(ratios[where, k])
                    print(
                        f"{prior:12}{name:7}{dtype:>8}{part:>8}{a:10.3g}{b:10.3g}{share(value)}"
                        f"{particles(value)}{np.count_nonzero(np.isnan(ratios[:, k])):6}"
                        f"{np.count_nonzero(pole[:, k]):6}"
                    )


def map_row(a: float) -> list[list[str]]:
    """For log a and for log b, a cell for each b."""
    rows: list[list[str]] = [[], []]
    for b in MAP_B:
        found = moments(a, b, "float64", 2)
        ratio = effect(found, tilt_of((1.0, 1.0), (a, b))).kernel_ratio()
        for row, value, pole in zip(rows, ratio, found.pole, strict=True):
            row.append(f"{value:9.0e}" if not pole else f"{'pole':>9}")
    return rows


def print_map() -> None:
    print("\nbias/sd by PyTorch's float64 kernel, the same data, the prior Beta(1, 1)")
    rows = [(a, map_row(single(a))) for a in MAP_A]
    for k, name in enumerate(NAMES):
        print(f"{name:7}{'a':>6}  b:" + "".join(f"{b:9g}" for b in MAP_B))
        for a, cells in rows:
            print(f"{a:13g}    " + "".join(cells[k]))


def brute_force(
    prior: tuple[float, float], guide: tuple[float, float], dtype: str
) -> tuple[FloatArray, FloatArray]:
    """One-particle gradients by autograd, and by the exact derivative at the same draws."""
    torch.manual_seed(0)
    kind, gradients, exact = getattr(torch, dtype), [], []
    tilt = np.append(tilt_of(prior, guide), 1.0)
    for _ in range(DRAWS // BATCH):
        leaves = [torch.full((BATCH,), x, dtype=kind, requires_grad=True) for x in guide]
        q = torch.distributions.Beta(*leaves)
        p = torch.distributions.Beta(*(torch.tensor(x, dtype=kind) for x in prior))
        c = q.rsample()
        elbo = p.log_prob(c) + ZEROS * torch.log1p(-c) - q.log_prob(c)
        slopes = torch.autograd.grad(elbo.sum(), leaves)
        gradients.append(np.stack([x * y.double() for x, y in zip(guide, slopes, strict=True)]))
        draws = c.detach().double().numpy()
        y = sc.logit(draws)
        basis = terms(exact_logs(y), er.pathwise_gradient(y, *guide), *guide)
        exact.append(np.einsum("kin,i->kn", basis, tilt))
    return np.hstack(gradients), np.hstack(exact)


def print_brute_force(points: Iterable[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    print(
        f"\n{DRAWS} draws of rsample: mean of the gradient, and of its difference from the exact "
        "one at the same draws,\nbeside the prediction, and their distance in standard errors (z)"
    )
    print(
        f"{'a':>8}{'b':>10}  {'':6}{'dtype':>8}{'gradient':>12}{'predicted':>12}{'z':>7}"
        f"{'difference':>13}{'predicted':>12}{'z':>9}"
    )
    for prior, guide in points:
        for dtype in ("float64", "float32"):
            found = effect(moments(*guide, dtype), tilt_of(prior, guide))
            gradients, exact = brute_force(prior, guide, dtype)
            predicted = found.gradient + found.kernel + found.draws
            for k, name in enumerate(NAMES):
                mean, z = against(gradients[k], predicted[k])
                gap, z_gap = against(gradients[k] - exact[k], found.kernel[k])
                print(
                    f"{guide[0]:8.3g}{guide[1]:10.3g}  {name:6}{dtype:>8}{mean:12.4g}"
                    f"{predicted[k]:12.4g}{z:7.2f}{gap:13.4e}{found.kernel[k]:12.4e}{z_gap:9.2f}"
                )


def against(sample: FloatArray, predicted: float) -> tuple[float, float]:
    """A sample's mean, and how many standard errors it lies above the prediction."""
    mean = float(sample.mean())
    return mean, (mean - predicted) / float(sample.std() / math.sqrt(sample.size))


def exact_dirichlet_grad(
    x: torch.Tensor, concentration: torch.Tensor, total: torch.Tensor
) -> torch.Tensor:
    """What `torch._dirichlet_grad` approximates, for two components."""
    (c, rest), (a, b) = (np.moveaxis(v.detach().numpy(), -1, 0) for v in (x, concentration))
    slopes = er.pathwise_gradient(np.log(c) - np.log(rest), a, b)
    return torch.from_numpy(
        np.stack([c * slopes.concentration1, -rest * slopes.concentration0], axis=-1)
    )


@contextmanager
def exact_derivative() -> Iterator[None]:
    theirs = torch._dirichlet_grad
    torch._dirichlet_grad = exact_dirichlet_grad
    try:
        yield
    finally:
        torch._dirichlet_grad = theirs


def pyro_guides(
    successes: int, total: int, start: tuple[float, float], seed: int
) -> list[tuple[float, float]]:
    """The guide at LIVE_STEPS of a run of Pyro in float64, the prior fixed at Beta(1, 1)."""
    observed, one = torch.tensor(float(successes)), torch.tensor(1.0)

    def model() -> None:
        c = pyro.sample("c", Beta(one, one))
        pyro.sample("obs", Binomial(total, c), obs=observed)

    def guide() -> None:
        names = ("concentration1", "concentration0")
        pyro.sample(
            "c",
            Beta(
                *(
                    pyro.param(name, torch.tensor(x), constraint=positive)
                    for name, x in zip(names, start, strict=True)
                )
            ),
        )

    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    loss = pyro.infer.Trace_ELBO(num_particles=10, vectorize_particles=True, max_plate_nesting=0)
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss)
    reached = []
    for step in range(1, max(LIVE_STEPS) + 1):
        svi.step()
        if step in LIVE_STEPS:
            a, b = (x.item() for x in pyro.get_param_store().values())
            reached.append((a, b))
    return reached


def our_guides(
    successes: int, total: int, start: tuple[float, float], seed: int
) -> list[tuple[float, float]]:
    run = er.maximize_elbo(
        er.Counts(successes, total),
        er.Beta(*start),
        learn_prior=False,
        optimizer=er.Adam(lr=0.01),
        num_steps=max(LIVE_STEPS),
        num_particles=10,
        rng=seed,
    )
    a, b = (x.ravel() for x in run.history.guide.arrays())
    return [(float(a[step]), float(b[step])) for step in LIVE_STEPS]


def print_live() -> None:
    print(
        "\nGap in nats to the log evidence after "
        f"{', '.join(map(str, LIVE_STEPS))} steps (prior Beta(1, 1) fixed, Adam lr 0.01, "
        "10 particles, float64)"
    )
    torch.set_default_dtype(torch.float64)
    for successes, total, start in LIVE:
        print(
            f"{successes} of {total}, posterior Beta({1 + successes}, {1 + total - successes}), "
            f"from Beta({start[0]:g}, {start[1]:g})"
        )
        counts, prior = er.Counts(successes, total), er.Beta(1.0, 1.0)
        best = er.log_evidence(prior, counts)
        for name, run, around in (
            ("Pyro", pyro_guides, nullcontext),
            ("Pyro, exact derivative", pyro_guides, exact_derivative),
            ("elbo_ref", our_guides, nullcontext),
        ):
            for seed in SEEDS:
                with around():
                    reached = run(successes, total, start, seed)
                gaps = [best - er.elbo(er.Beta(*guide), prior, counts) for guide in reached]
                a, b = reached[-1]
                print(
                    f"  {name:24} seed {seed}"
                    + "".join(f"{gap:10.4f}" for gap in gaps)
                    + f"   at Beta({a:.3f}, {b:.0f})"
                )


def main() -> None:
    start = time.perf_counter()
    torch.set_num_threads(1)
    print("$ python benchmarks/pathwise_bias.py")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"Pyro {pyro.__version__}, PyTorch {torch.__version__}, {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}, one thread"
    )
    points = path(True, STEPS)
    print_path("On the exact path, all four learned", points)
    print_path("On the exact path, the prior fixed at Beta(1, 1)", path(False, FIXED_STEPS))
    print_grid()
    print_map()
    checked = [(point.prior, point.guide) for point in points if point.step in (20, 100)]
    print_brute_force([*checked, *(((1.0, 1.0), pair(guide)) for guide in CHECKED)])
    print_live()
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
