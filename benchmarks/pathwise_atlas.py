r"""How wrong is the pathwise gradient of a Beta draw, and where?

    python benchmarks/pathwise_atlas.py --plot benchmarks/results/pathwise_atlas.png \
        > benchmarks/results/pathwise_atlas.txt

The derivative of a draw's logit with respect to a = concentration1 and to b = concentration0, the
quantile held fixed, by `elbo_ref.distributions.pathwise`, by the kernel behind PyTorch's
`Beta.rsample` in float64 and float32, and by the partial derivatives of TensorFlow Probability's
`betainc` on JAX. Whichever is not installed is left out. The program takes two to three minutes;
it needs python-flint for the truth, and matplotlib for the maps.

Both concentrations run over a grid and the draw over three quantiles. A draw is held as its logit,
a float64, and the truth is computed for exactly that float: a central difference quotient of the
regularized incomplete beta function in ball arithmetic, with a relative step of 2^-(bits/3), in
enough bits for a relative ball of 2^-60, rounded to float64. The concentrations are floats of 32
bits, the same for everybody. PyTorch and TFP are given c and 1 - c, each rounded to their dtype.
Where either rounds to 0 or 1, the point is counted as `no draw`, not as a failure. A failure is an
answer that is not a number, infinite, zero or of the wrong sign; median, 99 %, max and over 1 % are
about the rest of the answers. An error is relative, and of the two derivatives the larger one.
PyTorch's kernel sees c alone for d/da and 1 - c alone for d/db: `rounding to float32` is what
`elbo_ref` makes of the same two numbers, the error that is not the kernel's.

TFP stops where the value of its series or continued fraction has converged. At a whole-number
concentration both end early, and the derivatives, which do not end there, are cut off. It goes on
while anything else in the batch has not converged, so that its errors depend on the company. Hence
the grid of whole numbers, and two rows: all points of a block in one batch, and each point alone.
The next block gives everybody many draws of one pair, as an application does; `and one of (1e-3,
1e-3)` adds one draw of that pair to the batch.

The last block is about variance. JAX and NumPyro differentiate two gamma draws with respect to
their shapes, an unbiased estimator too, but not a function of the draw alone: given the draw, its
mean is the derivative above, so its variance cannot be smaller. Both are taken at the same draws,
for the logit and for c, whose derivatives estimate that of E[c].
"""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import flint
import numpy as np
import scipy
from flint import arb, ctx
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref.distributions.pathwise import pathwise_gradient

FloatArray = NDArray[np.float64]
Slopes = tuple[FloatArray, FloatArray]

SIDE = 30
QUANTILES = (0.001, 0.5, 0.999)
SHARED = ((2.0, 3.0), (50.0, 80.0), (0.1, 5000.0))
BATCH, CHECKED = 100_000, 300
VARIANCE = ((2.0, 3.0), (50.0, 80.0), (0.1, 5000.0), (1e4, 1e4), (0.5, 0.5))
DRAWS = 100_000
TINIEST = 1e-16
FAILURES = ("nan", "infinite", "zero", "wrong sign")


@dataclass(frozen=True)
class Points:
    """Concentrations and draws, with the true derivatives of the draws' logits."""

    a: FloatArray
    b: FloatArray
    logit: FloatArray
    da: FloatArray
    db: FloatArray

    def __getitem__(self, where: Any) -> Points:
        return Points(*(getattr(self, field.name)[where] for field in fields(self)))


@dataclass(frozen=True)
class Verdict:
    """A peer's answers, their errors (nan where there is none) and what is wrong with the rest."""

    da: FloatArray
    db: FloatArray
    error: FloatArray
    trouble: NDArray[np.str_]


# The truth


def tail(y: arb, a: arb, b: arb) -> arb:
    """I_c(a, b) at the logit y of c."""
    return (1 / (1 + (-y).exp())).beta_lower(a, b, regularized=True)


def density(y: arb, a: arb, b: arb) -> arb:
    """The density of the logit."""
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return (-a * (-y).exp().log1p() - b * y.exp().log1p() - log_beta).exp()


def mode(a: float, b: float) -> float:
    return math.log(a) - math.log(b)


def true_slopes(y: float, a: float, b: float) -> tuple[float, float]:
    if y > mode(a, b):
        mirrored_a, mirrored_b = true_slopes(-y, b, a)
        return -mirrored_b, -mirrored_a
    for bits in (240, 480, 960, 1920):
        ctx.prec = bits
        at, one, zero = arb(y), arb(a), arb(b)
        step = arb(2) ** -(bits // 3)
        ha, hb = one * step, zero * step
        scale = -2 * density(at, one, zero)
        da = (tail(at, one + ha, zero) - tail(at, one - ha, zero)) / (ha * scale)
        db = (tail(at, one, zero + hb) - tail(at, one, zero - hb)) / (hb * scale)
        if min(da.rel_accuracy_bits(), db.rel_accuracy_bits()) > 60:
            return float(da.mid()), float(db.mid())
    raise ArithmeticError(f"a={a!r}, b={b!r}, logit={y!r}: {da} and {db}")


def quantile(u: float, a: float, b: float) -> float:
    """A logit within a thousandth of the scale of the quantile u: Newton's steps on log F.

    log F is concave: from the second step on they approach from the left.
    """
    ctx.prec = 128
    y, one, zero = arb(mode(a, b)), arb(a), arb(b)
    for _ in range(100):
        below = float(y) <= mode(a, b)
        f = tail(y, one, zero) if below else 1 - tail(-y, zero, one)
        step = (f.log() - math.log(u)) * f / density(y, one, zero)
        y = (y - step).mid()
        if abs(float(step)) < 1e-3 * math.sqrt(1 / a + 1 / b):
            return float(y)
    raise ArithmeticError(f"a={a!r}, b={b!r}: no quantile {u}")


def points_of(rows: list[tuple[float, float, float]]) -> Points:
    """Points from (a, b, logit)."""
    slopes = [true_slopes(y, a, b) for a, b, y in rows]
    a, b, y = np.array(rows).T
    da, db = np.array(slopes).T
    return Points(a, b, y, da, db)


def blocks() -> dict[str, list[float]]:
    """The concentrations of each block, by what it is called."""
    narrow, wide = (
        [float(np.float32(x)) for x in np.geomspace(low, high, SIDE)]
        for low, high in ((1e-3, 1e4), (1e-6, 1e8))
    )
    return {
        "Concentrations from 1e-3 to 1e4": narrow,
        "Concentrations from 1e-6 to 1e8": wide,
        f"Whole-number concentrations from 1 to {SIDE}": [float(x) for x in range(1, SIDE + 1)],
    }


def grid(sizes: list[float]) -> Points:
    """Quantile by quantile, a by a, b by b; the upper quantile by reflection."""
    lower, middle = (
        points_of([(a, b, quantile(u, a, b)) for a in sizes for b in sizes]) for u in QUANTILES[:2]
    )
    turned = lower[np.arange(SIDE**2).reshape(SIDE, SIDE).T.ravel()]
    upper = Points(turned.b, turned.a, -turned.logit, -turned.db, -turned.da)
    return joined(lower, middle, upper)


def joined(*parts: Points) -> Points:
    names = [field.name for field in fields(Points)]
    return Points(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


# The peers


@dataclass(frozen=True)
class Peer:
    """Answers for a, b and a draw: its logit, or c and 1 - c in `dtype`."""

    name: str
    dtype: str | None
    ask: Callable[..., Slopes]
    is_peer: bool = True

    def usable(self, p: Points) -> NDArray[np.bool_]:
        """Where a draw is neither 0 nor 1."""
        if self.dtype is None:
            return np.ones(p.logit.size, bool)
        c, rest = shares(p.logit, self.dtype)
        return (c > 0) & (c < 1) & (rest > 0) & (rest < 1)

    def __call__(self, p: Points) -> Slopes:
        if self.dtype is None:
            return self.ask(p.logit, p.a, p.b)
        return self.ask(*shares(p.logit, self.dtype), p.a, p.b)


def shares(logit: FloatArray, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.errstate(under="ignore"):
        return sc.expit(logit).astype(dtype), sc.expit(-logit).astype(dtype)


def ours(y: FloatArray, a: FloatArray, b: FloatArray) -> Slopes:
    slopes = pathwise_gradient(y, a, b)
    return np.asarray(slopes.concentration1), np.asarray(slopes.concentration0)


def rounded(c: NDArray[Any], rest: NDArray[Any], a: FloatArray, b: FloatArray) -> Slopes:
    """d/da at c, d/db at 1 - c, each as rounded."""
    y, opposite = (sc.logit(x.astype(np.float64)) for x in (c, rest))
    return ours(y, a, b)[0], ours(-opposite, a, b)[1]


def torch_kernel(torch: Any, dtype: str) -> Callable[..., Slopes]:
    """The kernel G of rsample: with it, the backward pass is dc/da = G_1 (1-c), dc/db = -G_2 c."""
    kind = getattr(torch, dtype)

    def ask(c: NDArray[Any], rest: NDArray[Any], a: FloatArray, b: FloatArray) -> Slopes:
        x = torch.from_numpy(np.stack([c, rest], -1))
        pair = torch.from_numpy(np.stack(np.broadcast_arrays(a, b), -1)).to(kind)
        pair = pair.expand_as(x).contiguous()
        total = pair.sum(-1, True).expand_as(pair)
        ratio = torch._dirichlet_grad(x, pair, total).double() / x.double()
        return ratio[..., 0].numpy(), -ratio[..., 1].numpy()

    return ask


def tfp_partials(jax: Any, betainc: Callable[..., Any]) -> Callable[..., Slopes]:
    """-(dF/da) / f and -(dF/db) / f with the partials of the smaller argument's side."""

    def partials(c: Any, rest: Any, a: Any, b: Any) -> tuple[Any, Any]:
        upper = c > rest
        x, first, second = (
            jax.numpy.where(upper, up, low) for up, low in ((rest, c), (b, a), (a, b))
        )
        value, back = jax.vjp(betainc, first, second, x)
        d_first, d_second, slope = back(jax.numpy.ones_like(value))
        scale = slope * c * rest
        return (
            jax.numpy.where(upper, d_second, -d_first) / scale,
            jax.numpy.where(upper, d_first, -d_second) / scale,
        )

    compiled = jax.jit(partials)

    def ask(*inputs: Any) -> Slopes:
        da, db = compiled(*np.broadcast_arrays(*inputs))
        return np.asarray(da), np.asarray(db)

    return ask


def one_by_one(ask: Callable[..., Slopes]) -> Callable[..., Slopes]:
    def alone(*inputs: FloatArray) -> Slopes:
        rows = zip(*np.broadcast_arrays(*inputs), strict=True)
        da, db = np.array([ask(*row) for row in rows]).reshape(-1, 2).T
        return da, db

    return alone


def with_company(ask: Callable[..., Slopes]) -> Callable[..., Slopes]:
    """The same batch with one draw of Beta(1e-3, 1e-3) at its end."""

    def accompanied(*inputs: FloatArray) -> Slopes:
        more = zip(np.broadcast_arrays(*inputs), (0.3, 0.7, 1e-3, 1e-3), strict=True)
        da, db = ask(*(np.append(x, extra) for x, extra in more))
        return da[:-1], db[:-1]

    return accompanied


def optional(name: str) -> Any:
    """A module, or None."""
    try:
        return import_module(name)
    except ImportError:
        return None


def jax_in_float64() -> Any:
    jax = optional("jax")
    if jax is not None:
        jax.config.update("jax_enable_x64", True)
    return jax


def peers() -> tuple[list[Peer], list[Peer], list[str]]:
    """Whom to ask on the grids, whom about many draws of one pair, and what is to be said."""
    torch, jax = optional("torch"), jax_in_float64()
    tfp = jax and optional("tensorflow_probability.substrates.jax")
    found, said = [Peer("elbo_ref", None, ours)], []
    if torch is None:
        said.append("PyTorch is not installed: its kernel is left out")
    else:
        said.append(f"PyTorch {torch.__version__}")
        for dtype in ("float64", "float32"):
            found.append(Peer(f"PyTorch {dtype}", dtype, torch_kernel(torch, dtype)))
        found.append(Peer("rounding to float32", "float32", rounded, is_peer=False))
    if jax is None:
        said.append("JAX is not installed: the variances are left out")
    else:
        said.append(f"JAX {jax.__version__}")
    real = [peer for peer in found if peer.is_peer]
    if tfp is None:
        said.append("TFP is not installed: its partial derivatives are left out")
        return found, real, said
    said.append(f"TFP {tfp.__version__}")
    ask = tfp_partials(jax, tfp.math.betainc)
    alone = Peer("TFP, each alone", "float64", one_by_one(ask))
    together = Peer("TFP, one batch", "float64", ask)
    joined_by = Peer("TFP, and one of (1e-3, 1e-3)", "float64", with_company(ask))
    return [*found, together, alone], [*real, together, joined_by], said


# The table


def judge(peer: Peer, p: Points) -> Verdict:
    usable = peer.usable(p)
    da, db = (np.full(usable.size, np.nan) for _ in range(2))
    da[usable], db[usable] = peer(p[usable])
    checks = {
        "no draw": ~usable,
        "nan": np.isnan(da) | np.isnan(db),
        "infinite": np.isinf(da) | np.isinf(db),
        "zero": (da == 0) | (db == 0),
        "wrong sign": (da <= 0) | (db >= 0),
    }
    trouble = np.select(list(checks.values()), list(checks), "")
    error = np.maximum(abs(da / p.da - 1), abs(db / p.db - 1))
    return Verdict(da, db, np.where(trouble == "", error, np.nan), trouble)


HEAD = (
    f"  {'':28}{'points':>8}{'median':>10}{'99 %':>10}{'max':>10}{'over 1 %':>10}{'failures':>10}"
    f"{'no draw':>9}"
)


def row(name: str, verdict: Verdict) -> str:
    error = verdict.error[verdict.trouble == ""]
    middle, high, top = np.quantile(error, [0.5, 0.99, 1.0], method="inverted_cdf")
    missing = int((verdict.trouble == "no draw").sum())
    failed = verdict.error.size - error.size - missing
    return (
        f"  {name:28}{verdict.error.size:8}{middle:10.1e}{high:10.1e}{top:10.1e}"
        f"{int((error > 0.01).sum()):10}{failed:10}{missing:9}"
    )


def example(p: Points, verdict: Verdict, i: int) -> str:
    """One point, with the worse of the two derivatives."""
    da, db = verdict.da[i], verdict.db[i]
    off = [abs(da / p.da[i] - 1), abs(db / p.db[i] - 1)]
    wrong = [not 0 < da < np.inf, not -np.inf < db < 0]
    second = wrong < [True, False] if any(wrong) else off[1] > off[0]
    name, got, wanted = ("d/db", db, p.db[i]) if second else ("d/da", da, p.da[i])
    what = verdict.trouble[i] or f"error {verdict.error[i]:.1e}"
    return (
        f"    a={p.a[i]:<14.8g} b={p.b[i]:<14.8g} logit={p.logit[i]:<24.17g} {name} "
        f"got {got:<15.8g} wanted {wanted:<15.8g} {what}"
    )


def examples(name: str, p: Points, verdict: Verdict) -> None:
    kinds = [kind for kind in FAILURES if kind in verdict.trouble]
    counts = ", ".join(f"{int((verdict.trouble == kind).sum())} {kind}" for kind in kinds)
    print(f"\n  {name}{f'; failures: {counts}' if kinds else ''}")
    for i in np.argsort(-np.nan_to_num(verdict.error, nan=-1.0))[:3]:
        print(example(p, verdict, int(i)))
    for kind in kinds:
        print(example(p, verdict, int(np.flatnonzero(verdict.trouble == kind)[0])))


def block(title: str, sizes: list[float], asked: list[Peer]) -> dict[str, Verdict]:
    p = grid(sizes)
    verdicts = {peer.name: judge(peer, p) for peer in asked}
    quantiles = ", ".join(f"{u:g}" for u in QUANTILES)
    print(f"\n{title}, {SIDE} by {SIDE}, quantiles {quantiles}")
    print(HEAD)
    for name, verdict in verdicts.items():
        print(row(name, verdict))
    print("\n  The worst three answers, and one failure of each kind")
    for peer in asked:
        if peer.is_peer:
            examples(peer.name, p, verdicts[peer.name])
    return verdicts


def shared_pair(a: float, b: float, asked: list[Peer]) -> None:
    """Many draws of one pair at once; the truth of the first few."""
    rng = np.random.default_rng(0)
    logits = sc.logit(rng.beta(a, b, BATCH))
    few = points_of([(a, b, float(y)) for y in logits[:CHECKED]])
    everybody = Points(np.array([a]), np.array([b]), logits, np.array([]), np.array([]))
    print(f"\n  Beta({a:g}, {b:g})")
    for peer in asked:
        answered = Peer(peer.name, peer.dtype, first_of(peer, everybody, peer.usable(few)))
        print(row(peer.name, judge(answered, few)))


def first_of(peer: Peer, everybody: Points, usable: NDArray[np.bool_]) -> Callable[..., Slopes]:
    """The answers for the usable ones of the first few draws of the batch."""

    def ask(*_: FloatArray) -> Slopes:
        da, db = (slopes[: usable.size][usable] for slopes in peer(everybody))
        return da, db

    return ask


# Variance


def gamma_pairs(jax: Any) -> Callable[[int, FloatArray, FloatArray], tuple[FloatArray, ...]]:
    """Logits as differences of two log gamma draws, and the derivatives JAX gives them."""

    def moved(seed: Any, a: Any, b: Any) -> tuple[Any, ...]:
        keys = jax.random.split(jax.random.key(seed))

        def logit(a: Any, b: Any) -> Any:
            return jax.random.loggamma(keys[0], a) - jax.random.loggamma(keys[1], b)

        y, back = jax.vjp(logit, a, b)
        return (y, *back(jax.numpy.ones_like(y)))

    compiled = jax.jit(moved)
    return lambda seed, a, b: tuple(np.asarray(x) for x in compiled(seed, a, b))


def ratio_of_variances(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Var x / Var y of paired samples, and its standard error by the delta method."""
    u, v = (x - x.mean()) ** 2, (y - y.mean()) ** 2
    ratio = u.mean() / v.mean()
    return float(ratio), float((u - ratio * v).std() / v.mean() / math.sqrt(x.size))


def away(x: FloatArray, mean: float) -> float:
    """How many of its standard errors a sample's mean is off."""
    return float((x.mean() - mean) / x.std() * math.sqrt(x.size))


def variances(jax: Any) -> None:
    print(
        f"\nVariance of the gradient from two gamma draws (JAX) and of elbo_ref's, {DRAWS} draws\n"
        f"  off: the mean is that many standard errors from the exact one\n"
        f"  {'':26}{'exact mean':>12}{'gamma sd':>12}{'off':>6}{'pathwise sd':>13}{'off':>6}"
        "   gamma variance / pathwise variance"
    )
    sample = gamma_pairs(jax)
    for seed, (a, b) in enumerate(VARIANCE):
        y, gamma_a, gamma_b = sample(seed, np.full(DRAWS, a), np.full(DRAWS, b))
        ours_a, ours_b = ours(y, np.array([a]), np.array([b]))
        slope = sc.expit(y) * sc.expit(-y)
        cases = {
            "d logit/da": (gamma_a, ours_a, float(sc.polygamma(1, a))),
            "d logit/db": (gamma_b, ours_b, -float(sc.polygamma(1, b))),
            "dc/da": (slope * gamma_a, slope * ours_a, b / (a + b) ** 2),
        }
        for i, (what, (theirs, mine, mean)) in enumerate(cases.items()):
            ratio, error = ratio_of_variances(theirs, mine)
            print(
                f"  {f'({a:g}, {b:g})' if i == 0 else '':16}{what:10}{mean:12.3e}"
                f"{theirs.std():12.3e}{away(theirs, mean):6.1f}{mine.std():13.3e}"
                f"{away(mine, mean):6.1f}{ratio:14.4g} +- {error:.1g}"
            )


# The maps


def cell(ax: Any, verdict: Verdict, at: slice, axis: FloatArray) -> Any:
    """One map: hatched where there is no draw, white with a cross where the answer failed."""
    trouble = verdict.trouble[at].reshape(SIDE, SIDE).T
    with np.errstate(divide="ignore"):
        levels = np.clip(np.log10(verdict.error[at]), math.log10(TINIEST), 0)
    ax.set_facecolor("0.97")
    ax.patch.set(hatch="////", edgecolor="0.7", linewidth=0)
    levels = np.ma.masked_invalid(levels.reshape(SIDE, SIDE).T)
    shown = ax.pcolormesh(axis, axis, levels, cmap="viridis", vmin=-16, vmax=0, rasterized=True)
    i, j = np.nonzero((trouble != "") & (trouble != "no draw"))
    ax.scatter(axis[j], axis[i], s=40, c="white", marker="s", linewidths=0)
    ax.scatter(axis[j], axis[i], s=14, c="black", marker="x", linewidths=0.9)
    ax.set_aspect("equal")
    return shown


def draw_maps(found: dict[str, dict[str, Verdict]], names: list[str], file: str) -> None:
    """Every quantile of the first block, and the median of the whole numbers."""
    matplotlib = optional("matplotlib")
    if matplotlib is None:
        print("\nmatplotlib is not installed: no maps")
        return
    matplotlib.use("Agg")
    plt = import_module("matplotlib.pyplot")
    axes_of = {title: np.array(sizes) for title, sizes in blocks().items()}
    first, _, whole = found
    rows = [(first, np.log10(axes_of[first]), i, "log10 ") for i in range(len(QUANTILES))]
    rows.append((whole, axes_of[whole], 1, "whole number "))
    figure, axes = plt.subplots(
        len(rows), len(names), figsize=(1.7 + 2.85 * len(names), 13.6), layout="constrained"
    )
    for (i, j), ax in np.ndenumerate(axes.reshape(len(rows), len(names))):
        title, axis, k, unit = rows[i]
        part = slice(k * SIDE**2, (k + 1) * SIDE**2)
        shown = cell(ax, found[title][names[j]], part, axis)
        last = i + 1 == len(rows) or rows[i + 1][0] != title
        ax.tick_params(labelbottom=last, labelleft=j == 0, labelsize=11)
        if i == 0:
            ax.set_title(names[j], fontsize=14)
        if last:
            ax.set_xlabel(f"{unit}a", fontsize=12)
        if j == 0:
            ax.set_ylabel(f"quantile {QUANTILES[k]:g}\n{unit}b", fontsize=12)
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, aspect=50, pad=0.015)
    bar.set_label("log10 of the relative error, the worse of d/da and d/db", fontsize=12)
    figure.suptitle(
        "Error of the pathwise derivatives of the logit of a Beta(a, b) draw\n"
        "hatched: c or 1 - c rounds to 0 or 1; cross: nan, infinite, zero or of the wrong sign",
        fontsize=15,
    )
    figure.savefig(file, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="The error of pathwise Beta gradients.")
    parser.add_argument("--plot", metavar="FILE.png", help="draw maps of the errors")
    options = parser.parse_args()
    on_grids, on_batches, said = peers()
    print("$ python benchmarks/pathwise_atlas.py --plot benchmarks/results/pathwise_atlas.png")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"python-flint {flint.__version__}, {platform.machine()}"
    )
    print("\n".join(said))
    verdicts = {title: block(title, sizes, on_grids) for title, sizes in blocks().items()}
    print(f"\n{BATCH} draws of one pair in one batch, the errors of {CHECKED} of them\n{HEAD}")
    for a, b in SHARED:
        shared_pair(a, b, on_batches)
    if (jax := jax_in_float64()) is not None:
        variances(jax)
    if options.plot:
        draw_maps(verdicts, [peer.name for peer in on_grids if peer.is_peer], options.plot)


if __name__ == "__main__":
    main()
