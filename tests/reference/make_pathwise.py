"""Write pathwise.json: the derivatives (E6) of the logit of a Beta draw, by two routes.

Run as ``python make_pathwise.py``, with python-flint and mpmath installed; it takes four minutes.
For the logit y of a draw of Beta(a, b) with distribution function F and density f,

    dy/da = -(dF/da) / f,    dy/db = -(dF/db) / f,    F = I_c(a, b),    c = sigma(y).

Nothing is shared with `elbo_ref.pathwise`, and the routes share nothing with each other:

1. python-flint's ball arithmetic. F is its regularized incomplete beta function, of the smaller
   tail by reflection, and the derivatives are central difference quotients with relative step
   2^-(bits/3). From 400 bits on the precision doubles until the ball is within 2^-90.
2. mpmath with 60 digits. The derivative of the density is integrated over the tail beyond y,

       dy/da = int_0^inf (E - log t) e^-h dd,           E = psi(a) - psi(a + b),
       dy/db = int_0^inf (E' - log(1 - t)) e^-h dd,     E' = psi(b) - psi(a + b),

   with t = sigma(y - d), e^-h = f(y - d) / f(y), and over the upper tail, where y is above the
   mode, with the opposite sign. The rule is Gauss-Legendre with 48 nodes on panels that double in
   length, cut further at the even integers where t bends.

Every row is computed by both, and the program stops where they differ by more than 1e-22. Each row
holds a, b and logit as the floats they are, da and db as 20-digit strings, and the relative error
it allows. Concentrations are in [1e-6, 1e8], except in the last region, where they are in
[1e-12, 1e15].
"""

import json
import math
import random
import time
from itertools import pairwise, product
from pathlib import Path

from flint import arb, ctx
from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

RTOL = 1e-12
AGREEMENT = 1e-22
LN10 = math.log(10)

mp.dps = 60
NODES = GaussLegendre(mp).calc_nodes(5, mp.prec)


# Route 1


def ball_tail(y, a, b):
    """I_c(a, b)."""
    return (1 / (1 + (-y).exp())).beta_lower(a, b, regularized=True)


def ball_density(y, a, b):
    """The density of the logit."""
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return (-a * (-y).exp().log1p() - b * y.exp().log1p() - log_beta).exp()


def by_balls(y, a, b):
    """dy/da and dy/db as 30-digit strings."""
    if y > math.log(a) - math.log(b):
        da, db = by_balls(-y, b, a)
        return negative(db), negative(da)
    for bits in (400, 800, 1600, 3200):
        ctx.prec = bits
        y, a, b = arb(y), arb(a), arb(b)
        step = arb(2) ** -(bits // 3)
        ha, hb = a * step, b * step
        minus_twice = -2 * ball_density(y, a, b)
        da = (ball_tail(y, a + ha, b) - ball_tail(y, a - ha, b)) / (ha * minus_twice)
        db = (ball_tail(y, a, b + hb) - ball_tail(y, a, b - hb)) / (hb * minus_twice)
        if min(da.rel_accuracy_bits(), db.rel_accuracy_bits()) > 90:
            return da.str(30, radius=False), db.str(30, radius=False)
    raise ArithmeticError(f"a={a}, b={b}, logit={y}: {da} and {db}")


def negative(number):
    return number[1:] if number.startswith("-") else "-" + number


# Route 2


def by_integrals(y, a, b):
    """dy/da and dy/db as mpf."""
    y, a, b = mpf(y), mpf(a), mpf(b)
    side = 1 if y > mp.log(a / b) else -1
    mean_a, mean_b = (mp.digamma(x) - mp.digamma(a + b) for x in (a, b))
    log_c, log_1mc = log_sigmoids(y)

    def integrands(d):
        log_t, log_1mt = log_sigmoids(y + side * d)
        h = a * (log_c - log_t) + b * (log_1mc - log_1mt)
        return h, side * (log_t - mean_a), side * (log_1mt - mean_b)

    da = db = mpf(0)
    edges = panel_edges(lambda d: integrands(d)[0], side * y)
    for left, right in pairwise(edges):
        middle, half = (left + right) / 2, (right - left) / 2
        for node, weight in NODES:
            h, slope_a, slope_b = integrands(middle + half * node)
            mass = half * weight * mp.exp(-h)
            da += mass * slope_a
            db += mass * slope_b
    return da, db


def log_sigmoids(s):
    """log sigma(s) and log(1 - sigma(s))."""
    both = mp.log1p(mp.exp(-abs(s)))
    return min(s, 0) - both, min(-s, 0) - both


def panel_edges(h, start):
    """Panels from 0 to where h exceeds 100, doubling from where it is 1; `start` is |y|, signed."""
    end = mpf(1)
    while h(end) < 100:
        end *= 2
    while h(end / 2) > 100:
        end /= 2
    edges = {mpf(0), end}
    inner = end
    while h(inner) > 1:
        inner /= 2
        edges.add(inner)
    edges.update(x - start for x in range(-110, 111, 2) if 0 < x - start < end)
    return sorted(edges)


# Rows


def short(y, a, b):
    """A float within a hundredth of the scale of the draw, in six digits if that is enough."""
    scale = math.sqrt(1 / a + 1 / b)
    return next(
        x for digits in range(6, 18) if abs((x := float(f"{y:.{digits}g}")) - y) <= 0.01 * scale
    )


def mode(a, b):
    return math.log(a) - math.log(b)


def deviations(z, a, b):
    """The logit z standard deviations above the mode."""
    return mode(a, b) + z * math.sqrt(1 / a + 1 / b)


def quantile(exponent, a, b):
    """The logit with lower-tail probability 10^exponent: Newton's steps on log F."""
    ctx.prec = 256
    y, one, other = arb(mode(a, b)), arb(a), arb(b)
    for _ in range(200):
        below = float(y) <= mode(a, b)
        tail = ball_tail(y, one, other) if below else 1 - ball_tail(-y, other, one)
        step = (tail.log() - exponent * LN10) * tail / ball_density(y, one, other)
        y = (y - step).mid()
        if abs(float(step)) < 1e-7 * math.sqrt(1 / a + 1 / b):
            return short(float(y), a, b)
    raise ArithmeticError(f"a={a!r}, b={b!r}: no quantile 1e{exponent}")


def upper_quantile(exponent, a, b):
    return -quantile(exponent, b, a)


def log_uniform(rng, low, high):
    return 10 ** rng.uniform(math.log10(low), math.log10(high))


def grid():
    """A log grid: quantiles on either side, the exact mode and the median."""
    sizes = (1e-6, 1e-4, 0.01, 0.3, 1.0, 30.0, 1e3, 1e5, 1e8)
    exponents = (-15, -1, -300, -6, -2000, -3)
    for i, (a, b) in enumerate(product(sizes, sizes)):
        yield a, b, quantile(exponents[i % 6], a, b)
        yield a, b, upper_quantile(exponents[(i + i // 6) % 6], a, b)
        yield a, b, mode(a, b) if i // 9 % 2 else quantile(math.log10(0.5), a, b)


def scattered(rng):
    """Random pairs with quantiles from 1e-20 to 1 - 1e-20."""
    for _ in range(70):
        a, b = (log_uniform(rng, 1e-6, 1e8) for _ in range(2))
        yield a, b, quantile(-rng.uniform(0.3, 20), a, b)
        yield a, b, upper_quantile(-rng.uniform(0.3, 20), a, b)


def far():
    """Far tails of small concentrations, to |logit| = 1e9."""
    others = (1e-6, 0.02, 1.0, 70.0, 4e4, 1e8)
    for i, (a, b) in enumerate(product((1e-6, 3e-5, 1e-3, 0.05, 0.7), others)):
        yield a, b, short(LN10 * (-1, -4, -15, -80)[i % 4] / a, a, b)
        yield b, a, short(LN10 * (300, 2, 30)[i % 3] / a, a, b)
        if a < 1e-4:
            yield (a, b, -1e9) if i % 2 else (b, a, 1e9)


def both_tiny(rng):
    for i in range(40):
        a, b = (log_uniform(rng, 1e-6, 1e-3) for _ in range(2))
        yield a, b, short((rng.uniform(-40, 40), rng.uniform(-3, 3) / a)[i % 2], a, b)


def small_beside_large(rng):
    """v = (a + b) min(c, 1 - c) from 1e-6 to 50 for a small concentration beside a larger one."""
    sizes = product((1e-6, 1e-4, 0.01, 0.1, 0.4, 1.0), (1.0, 20.0, 1e3, 1e5, 1e8))
    for i, (small, large) in enumerate(sizes):
        for j, low in enumerate((1e-6, 1e-3, 0.03, 0.3, 2.0, 10.0)):
            total = small + large
            smaller = min(log_uniform(rng, low, 5 * low), rng.uniform(0.1, 0.5) * total) / total
            y = short(math.log(smaller) - math.log1p(-smaller), 1.0, 1.0)
            yield (small, large, y) if (i + j) % 2 else (large, small, -y)


def moderate(rng):
    """The smaller concentration from 200 to 1e5, up to 20 standard deviations from the mode."""
    for i in range(120):
        smaller = log_uniform(rng, 200, 1e5)
        larger = log_uniform(rng, smaller, (10 * smaller, 1e8)[i % 2])
        a, b = rng.sample((smaller, larger), 2)
        yield a, b, deviations(rng.uniform(-20, 20), a, b)


def both_huge(rng):
    """Both concentrations about 1e8, up to 10 standard deviations from the mode."""
    pairs = [(1e8, 1e8), (1e8, 2e7), (1e7, 1e8), (1e8, 1e5), (1e6, 1e8)]
    pairs += [tuple(log_uniform(rng, 1e7, 1e8) for _ in range(2)) for _ in range(15)]
    for a, b in pairs:
        yield a, b, deviations(rng.uniform(-0.01, 0.01), a, b)
        for low, high in ((-10, -5), (-5, -1), (-1, 0), (0, 1), (1, 5), (5, 10)):
            yield a, b, deviations(rng.uniform(low, high), a, b)


def outside(rng):
    """Concentrations from 1e-12 to 1e15, mixed with each other and with moderate ones."""
    beyond = (1e-12, 1e-9, 1e10, 1e15)
    pairs = [*product(beyond, beyond)]
    for x in beyond:
        pairs += [(x, log_uniform(rng, 1e-2, 1e4)), (log_uniform(rng, 1e-2, 1e4), x)]
    for a, b in pairs:
        side, near = math.copysign(1, a - b), min(1.0, math.sqrt(1 / a + 1 / b))
        yield a, b, deviations(side * rng.uniform(0, 6), a, b)
        yield a, b, mode(a, b) + near * rng.uniform(-0.1, 0.1)
        yield a, b, mode(a, b) + near * side * rng.uniform(-3, 6)


def regions():
    """(a, b, logit) by the name of the region."""
    rng = random.Random(20261123)
    return {
        "grid": grid(),
        "scattered": scattered(rng),
        "far": far(),
        "both tiny": both_tiny(rng),
        "small beside large": small_beside_large(rng),
        "moderate": moderate(rng),
        "both huge": both_huge(rng),
        "outside": outside(rng),
    }


def derivatives(y, a, b):
    """dy/da and dy/db as 20-digit strings, and how far the routes differ."""
    found, apart = [], mpf(0)
    for one, other in zip(by_balls(y, a, b), by_integrals(y, a, b), strict=True):
        apart = max(apart, abs(mpf(one) / other - 1))
        found.append(mp.nstr(mpf(one), 20))
    if not apart <= AGREEMENT:
        raise ArithmeticError(f"a={a!r}, b={b!r}, logit={y!r}: the routes differ by {apart}")
    return *found, float(apart)


def main():
    rows = []
    for name, cases in regions().items():
        start, count, worst = time.perf_counter(), len(rows), 0.0
        for a, b, y in cases:
            da, db, apart = derivatives(y, a, b)
            worst = max(worst, apart)
            rows.append({"a": a, "b": b, "logit": y, "da": da, "db": db, "rtol": RTOL})
        taken = time.perf_counter() - start
        print(f"{name}: {len(rows) - count} rows, {taken:.0f} s, routes within {worst:.0e}")
    lines = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("pathwise.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
