"""Write datasets.json: the largest evidence of each bundled data set, from mpmath.

Run as ``python tests/reference/make_datasets.py`` where `elbo_ref` can be imported; it takes half
a minute. Only the counts come from `elbo_ref`. The evidence is (E1) as it stands, in log-gammas,

    log C(n, k) + log Gamma(a + k) + log Gamma(b + n - k) - log Gamma(s + n)
                - log Gamma(a) - log Gamma(b) + log Gamma(s),          s = a + b,

and its derivatives in (log a, log b) are digammas and trigammas. The best point of a grid over
mean and a + b starts a Newton iteration; it is done at 50 and at 80 digits, which must agree to 40,
and the gradient and the eigenvalues of the Hessian must say that it is a maximum.

Where the Beta-Binomial has no maximiser the row holds the supremum: the pooled binomial at K/N. No
point of the grid may then come above it.
"""

import json
from pathlib import Path

from mpmath import mp, mpf

from elbo_ref.io.datasets import available, describe

PRECISIONS = (50, 80)
NO_MAXIMISER = ("forum", "coin", "colds_father")


def rows_of(name):
    """(k, n, multiplicity, log coefficient) of each latent, equal ones together."""
    data = describe(name)
    weights = data.multiplicity or (1,) * len(data.successes)
    if data.shared:
        coefficient = sum(
            log_choose(k, n) for k, n in zip(data.successes, data.total_count, strict=True) if n > 1
        )
        return [(sum(data.successes), sum(data.total_count), 1, mpf(coefficient))]
    together = {}
    for k, n, w in zip(data.successes, data.total_count, weights, strict=True):
        together[k, n] = together.get((k, n), 0) + w
    return [(k, n, w, log_choose(k, n)) for (k, n), w in together.items() if w]


def log_choose(k, n):
    return mp.log(mp.binomial(n, k))


def log_evidence(rows, a, b):
    s = a + b
    return mp.fsum(
        w
        * (
            coefficient
            + mp.loggamma(a + k)
            + mp.loggamma(b + n - k)
            - mp.loggamma(s + n)
            - mp.loggamma(a)
            - mp.loggamma(b)
            + mp.loggamma(s)
        )
        for k, n, w, coefficient in rows
    )


def derivatives(rows, a, b):
    """Gradient and Hessian of the log evidence in (a, b)."""

    def total(order, outcome):
        """Sum of psi_order(x + N) - psi_order(x) for x of a, b and a + b."""
        x = {"a": a, "b": b, "s": a + b}[outcome]
        added = {"a": lambda k, n: k, "b": lambda k, n: n - k, "s": lambda k, n: n}[outcome]
        return mp.fsum(
            w * (mp.psi(order, x + added(k, n)) - mp.psi(order, x)) for k, n, w, _ in rows
        )

    first = {x: total(0, x) for x in "abs"}
    second = {x: total(1, x) for x in "abs"}
    gradient = first["a"] - first["s"], first["b"] - first["s"]
    hessian = second["a"] - second["s"], -second["s"], second["b"] - second["s"]
    return gradient, hessian


def newton(rows, a, b):
    """Newton in (log a, log b), with halved steps until the evidence does not fall."""
    u, v = mp.log(a), mp.log(b)
    value = log_evidence(rows, a, b)
    for _ in range(200):
        a, b = mp.exp(u), mp.exp(v)
        (ga, gb), (haa, hab, hbb) = derivatives(rows, a, b)
        gradient = a * ga, b * gb
        p, q, r = a * a * haa + a * ga, a * b * hab, b * b * hbb + b * gb
        maximum = p < 0 and p * r > q * q
        if not maximum:
            shift = abs(p) + abs(q) + abs(r)
            p, r = p - shift, r - shift
        step = mp.lu_solve(mp.matrix([[p, q], [q, r]]), -mp.matrix(gradient))
        if maximum and mp.norm(step) < mpf(10) ** -(mp.dps - 6):
            return a, b, value
        scale = mpf(1) / max(1, mp.norm(step))
        for _ in range(60):
            moved = u + scale * step[0], v + scale * step[1]
            trial = log_evidence(rows, mp.exp(moved[0]), mp.exp(moved[1]))
            if trial >= value or (maximum and mp.norm(step) < mpf("1e-12")):
                break
            scale /= 2
        (u, v), value = moved, trial
    raise ArithmeticError("Newton's iteration has not ended")


def grid(rows):
    """(evidence, mean, a + b), best first, in few digits: means near K/N and far, a + b to 1e6."""
    k, n = (sum(row[i] * row[2] for row in rows) for i in (0, 1))
    pooled = mpf(k) / n
    with mp.workdps(20):
        logit = mp.log((k + mpf("0.5")) / (n - k + mpf("0.5")))
        means = [1 / (1 + mp.exp(-logit - mpf(x) / 4)) for x in range(-8, 9)]
        means += [pooled] if 0 < k < n else []
        sizes = [mpf(10) ** (mpf(x) / 3) for x in range(-6, 19)]
        found = [(log_evidence(rows, m * s, (1 - m) * s), m, s) for m in means for s in sizes]
    return sorted(found, reverse=True)


def binomial(rows):
    """The log likelihood of the pooled binomial."""
    k, n = (sum(row[i] * row[2] for row in rows) for i in (0, 1))
    m = mpf(k) / n
    terms = [w * coefficient for _, _, w, coefficient in rows]
    terms += [k * mp.log(m)] if k else []
    terms += [(n - k) * mp.log1p(-m)] if k < n else []
    return mp.fsum(terms)


def reference(name):
    found = []
    for digits in PRECISIONS:
        with mp.workdps(digits):
            rows = rows_of(name)
            limit = binomial(rows)
            best, mean, size = grid(rows)[0]
            if name in NO_MAXIMISER:
                if best > limit:
                    raise ArithmeticError(f"{name}: {best} exceeds the supremum {limit}")
                found.append((mpf("inf"), mpf("inf"), limit))
                continue
            a, b, value = newton(rows, mean * size, (1 - mean) * size)
            if not value > max(limit, best):
                raise ArithmeticError(f"{name}: {value} at {a}, {b} is not the largest")
            found.append((a, b, value))
    for one, other in zip(*found, strict=True):
        if one != other and abs(one - other) > mpf(10) ** -40 * abs(other):
            raise ArithmeticError(f"{name}: {one} and {other}")
    a, b, value = found[1]
    attained = name not in NO_MAXIMISER
    return {
        "attained": attained,
        "concentration1": mp.nstr(a, 25) if attained else None,
        "concentration0": mp.nstr(b, 25) if attained else None,
        "log_evidence": mp.nstr(value, 25),
    }


def main():
    lines = []
    for name in available():
        lines.append(f"{json.dumps(name)}: {json.dumps(reference(name))}")
        print(lines[-1])
    text = ",\n".join(lines)
    Path(__file__).with_name("datasets.json").write_text(f"{{\n{text}\n}}\n")


if __name__ == "__main__":
    main()
