"""Write evidence.json: (E1), its derivatives, and Beta's kl, entropy, log_prob and (E5), by mpmath.

Run as ``python make_evidence.py``; it takes a few seconds. Nothing is shared with `elbo_ref`: every
number is log-gamma, digamma and polygamma added up as in the textbook, with 120 digits, so that
nothing is lost by subtracting. Every row is computed again with 160 digits and must agree to 25,
or the program stops.

Floats are written so that they read back as the floats they are, counts as exact integers, values
as the nearest float. Each row carries the error it allows:

    evidence     tolerance: relative above one nat, absolute below; relative throughout where
                 K = 0 or K = N. derivative_tolerance: of the larger of the two terms that are
                 subtracted, given as gradient_terms (d/da, d/db) and hessian_terms (aa, ab, bb)
    kl, variance tolerance: relative
    entropy      tolerance: relative above one nat, absolute below
    log_prob     as entropy
"""

import json
import random
from pathlib import Path

from mpmath import mp, mpf

PRECISIONS = (120, 160)
SMALLEST, LARGEST = -10.0, 15.0  # decimal logarithms of the concentrations of the evidence


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def evidence(a, b, successes, total_count):
    k, n = mpf(successes), mpf(total_count)
    f, s = n - k, a + b

    def rise(order, x, m):
        """psi^(order)(x + m) - psi^(order)(x)."""
        return mp.psi(order, x + m) - mp.psi(order, x)

    choose = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(f + 1)
    together, both = rise(0, s, n), rise(1, s, n)
    return {
        "log_evidence": log_beta(a + k, b + f) - log_beta(a, b) + choose,
        "gradient": [rise(0, a, k) - together, rise(0, b, f) - together],
        "gradient_terms": [max(rise(0, a, k), together), max(rise(0, b, f), together)],
        "hessian": [rise(1, a, k) - both, -both, rise(1, b, f) - both],
        "hessian_terms": [max(-rise(1, a, k), -both), -both, max(-rise(1, b, f), -both)],
    }


def kl(a, b, a0, b0):
    s, s0 = a + b, a0 + b0
    tilts = (a - a0) * mp.psi(0, a) + (b - b0) * mp.psi(0, b) - (s - s0) * mp.psi(0, s)
    return {"kl": log_beta(a0, b0) - log_beta(a, b) + tilts}


def entropy(a, b):
    tilts = (a - 1) * mp.psi(0, a) + (b - 1) * mp.psi(0, b) - (a + b - 2) * mp.psi(0, a + b)
    return {"entropy": log_beta(a, b) - tilts}


def log_prob(a, b, c):
    return {"log_prob": (a - 1) * mp.log(c) + (b - 1) * mp.log(1 - c) - log_beta(a, b)}


def variance(a, b, tilt1, tilt0):
    own = tilt1**2 * mp.psi(1, a) + tilt0**2 * mp.psi(1, b)
    return {"variance": own - (tilt1 + tilt0) ** 2 * mp.psi(1, a + b)}


def row(function, *, tolerances, **inputs):
    """The inputs, the values as floats, and the tolerances, having agreed at two precisions."""
    results = []
    for digits in PRECISIONS:
        with mp.workdps(digits):
            results.append(function(**{k: exact(v) for k, v in inputs.items()}))
    values = {}
    for name, fine in results[1].items():
        coarse = results[0][name]
        for x, y in zip(flat(coarse), flat(fine), strict=True):
            if abs(x - y) > mpf(10) ** -25 * abs(y):
                raise ArithmeticError(f"{name} of {inputs}: {x} and {y}")
        values[name] = [float(x) for x in fine] if isinstance(fine, list) else float(fine)
    return {**inputs, **values, **tolerances}


def exact(value):
    return value if isinstance(value, int) else mpf(value)


def flat(value):
    return value if isinstance(value, list) else [value]


def log_uniform(rng, low, high):
    """Three digits, 10**low to 10**high."""
    return float(f"{10 ** rng.uniform(low, high):.3g}")


def evidence_rows(rng):
    def at(a, b, successes, total_count):
        tolerances = {"tolerance": 1e-12, "derivative_tolerance": 1e-10}
        inputs = {"a": a, "b": b, "successes": successes, "total_count": total_count}
        return row(evidence, **inputs, tolerances=tolerances)

    def concentrations():
        return log_uniform(rng, SMALLEST, LARGEST), log_uniform(rng, SMALLEST, LARGEST)

    def total():
        return max(1, min(10**18, int(10 ** rng.uniform(0, 18))))

    yield at(1.0, 1.0, 0, 0)
    yield at(1e15, 1e15, 10**18 // 2, 10**18)
    yield at(1e-10, 1e-10, 1, 10**18)
    yield at(1e15, 1e-10, 1, 10**18)
    yield at(1e15, 1e-10, 10**18 - 1, 10**18)
    for edge in (0, 1):
        yield at(1e-10, 1e15, edge, 1)
        yield at(1e15, 1e-10, edge, 1)
    for _ in range(10):
        yield at(*concentrations(), 0, 0)
    for _ in range(40):
        yield at(*concentrations(), 0, total())
    for _ in range(40):
        n = total()
        yield at(*concentrations(), n, n)
    for _ in range(40):
        yield at(*concentrations(), 1, 2 * total())
    for _ in range(40):
        n = 2 * total() + 1
        yield at(*concentrations(), min(n, rng.randint(1, 20)), n)
    for _ in range(40):
        n = 2 * total()
        yield at(*concentrations(), n // 2, n)
    for _ in range(40):
        n = total()
        yield at(*concentrations(), rng.randint(0, n), n)
    for _ in range(60):  # a (N - K) - b K cancels
        n = int(10 ** rng.uniform(6, 18))
        k = rng.randint(n // 1000, n - n // 1000)
        a = 10 ** rng.uniform(5, LARGEST - 3)
        b = a * (n - k) / k * (1 + rng.choice((0, 1e-15, 1e-12, 1e-9, 1e-6)))
        yield at(a, b, k, n)


def beta_rows(rng):
    def pair(low=-10, high=12):
        return {"a": log_uniform(rng, low, high), "b": log_uniform(rng, low, high)}

    def near(x, by):
        return x * (1 + by * rng.uniform(-1, 1))

    def kl_row(a, b, a0, b0):
        return row(kl, a=a, b=b, a0=a0, b0=b0, tolerances={"tolerance": 1e-11})

    kls = [kl_row(1e12, 2e12, 2e12, 4e12)]
    kls += [kl_row(a, 1e-10, 1e12, 1e-10) for a in (3.0, 64.0, 1e4)]
    for _ in range(30):
        p, q = pair(), pair()
        kls.append(kl_row(p["a"], p["b"], q["a"], q["b"]))
    for by in (1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.9):
        for _ in range(6):
            p = pair()
            kls.append(kl_row(p["a"], p["b"], near(p["a"], by), near(p["b"], by)))
    for _ in range(12):  # the same mean, or nearly
        p, factor = pair(), log_uniform(rng, -2, 2)
        kls.append(kl_row(p["a"], p["b"], p["a"] * factor, p["b"] * factor))
    for _ in range(12):  # b = a or thereabouts, other sizes
        a, a0 = log_uniform(rng, 2, 12), log_uniform(rng, 2, 12)
        kls.append(kl_row(a, near(a, 0.5), a0, near(a0, 0.5)))

    entropies = [row(entropy, a=1e12, b=b, tolerances={"tolerance": 1e-12}) for b in (1e12, 2e12)]
    entropies += [row(entropy, **pair(), tolerances={"tolerance": 1e-12}) for _ in range(40)]
    for _ in range(20):
        a = log_uniform(rng, 1, 12)
        entropies.append(row(entropy, a=a, b=near(a, 0.9), tolerances={"tolerance": 1e-12}))

    log_probs = []
    for _ in range(30):
        c = rng.choice((10 ** rng.uniform(-300, 0), rng.random(), 1 - 2.0 ** -rng.randint(2, 53)))
        log_probs.append(row(log_prob, **pair(), c=c, tolerances={"tolerance": 1e-12}))
    for _ in range(30):  # near the mean, where the density is
        p = {name: 10 ** rng.uniform(0, 12) for name in "ab"}
        m = p["a"] / (p["a"] + p["b"])
        c = m + rng.uniform(-3, 3) * (m * (1 - m) / (p["a"] + p["b"] + 1)) ** 0.5
        if 0 < c < 1:
            log_probs.append(row(log_prob, **p, c=c, tolerances={"tolerance": 1e-12}))

    variances = []
    for a in (3.0, 64.0, 1e12):  # beside a tiny b
        tilts = {"tilt1": 1.0, "tilt0": 0.0, "tolerances": {"tolerance": 1e-11}}
        variances.append(row(variance, a=a, b=1e-10, **tilts))
    for tilts in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0), (-3.0, 7.5), None):
        for _ in range(10):
            p = pair()
            t1, t0 = tilts or (near(p["a"], 1e-3), near(p["b"], 1e-3))  # the direction of the mean
            tolerances = {"tolerance": 1e-11}
            variances.append(row(variance, **p, tilt1=t1, tilt0=t0, tolerances=tolerances))
    return {"kl": kls, "entropy": entropies, "log_prob": log_probs, "variance": variances}


def main():
    tables = {"evidence": list(evidence_rows(random.Random(20240229)))}
    tables |= beta_rows(random.Random(20240301))
    lines = []
    for name, rows in tables.items():
        body = ",\n".join(json.dumps(r, allow_nan=False) for r in rows)
        lines.append(f"{json.dumps(name)}: [\n{body}\n]")
    path = Path(__file__).with_name("evidence.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
