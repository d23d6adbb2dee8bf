"""Two latent sites of several latents, in which a prior's gradient is summed up differently."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from elbo_ref.recording import Recording
from elbo_ref.recording.replay.check import replay
from recorded import K, N, site
from tiers import few

STEPS = 12
OWN = np.array([[4.0, 8.0, 15.0], [9.0, 6.0, 30.0]])
NAMES = ("concentration1", "concentration0")


def two_sites(sizes, priors, summed, masked=None, wrong=1.0):
    """A run in float64 of sites "c" and "t" with a prior each; its guide is held."""
    rng, ends = np.random.default_rng(0), np.cumsum((0, *sizes))
    c = rng.beta(*OWN, size=(STEPS, 2, 3))
    kept = np.ones(3, bool) if masked is None else np.arange(3) != masked
    wide = np.repeat(np.transpose(priors), sizes, axis=1)
    terms = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *wide) - stats.beta.logpdf(c, *OWN)
    logs = np.array([np.log(c), np.log1p(-c)]).mean(axis=2)
    slopes = (special.psi(wide) - special.psi(wide.sum(axis=0)))[:, None] - logs
    sites, groups = [], {"draws": {}, "arguments": {}, "argument_gradients": {}, "observed": {}}
    for i, name in enumerate(("c", "t")):
        at = slice(ends[i], ends[i + 1])
        for row, key in enumerate(NAMES):
            groups["arguments"][f"model.{name}.{key}"] = np.full((STEPS, 1), priors[i][row])
            groups["arguments"][f"guide.{name}.{key}"] = np.tile(OWN[row, at], (STEPS, 1))
            slope = wrong * slopes[row][:, at] * kept[at]
            total = slope.sum(axis=1, keepdims=True) if summed[i] else slope
            groups["argument_gradients"][f"model.{name}.{key}"] = total
        groups["draws"][name] = c[:, :, at]
        data = {"value": K[at], "total_count": N[at], "index": np.arange(sizes[i])}
        groups["observed"] |= {f"k_{name}.{key}": x[None].astype(float) for key, x in data.items()}
        if masked is not None:
            masks = {f"model.{x}.mask": kept[None, at].astype(float) for x in (name, f"k_{name}")}
            groups["observed"] |= masks | {f"guide.{name}.mask": masks[f"model.{name}.mask"]}
        sources = {key: [f"{key}_{name}"] for key in NAMES}
        rows = {"rows": sizes[i], "elements": sizes[i], "latent": name, "complement": False}
        sites += [site("model", name, sources=sources), site("guide", name)]
        sites.append(site("model", f"k_{name}", "Binomial", **{**rows, "observed": True}))
    losses = -(terms * kept).sum(axis=2).mean(axis=1)
    return Recording(losses=losses, header={"sites": sites}, **groups)


@pytest.mark.parametrize("masked", [None, 0])
@pytest.mark.parametrize("summed", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("sizes", few([((1, 2),), ((2, 1),)]))
@pytest.mark.parametrize("priors", [((2.0, 5.0), (3.0, 1.5)), ((2.0, 5.0), (2.0, 5.0))])
def test_gradients_of_each_site_are_compared(priors, sizes, summed, masked):
    """The framework sums up the gradient for an argument that the elements of a site share."""
    verdict = replay(two_sites(sizes, priors, summed, masked))
    agreeing = [x.name for x in verdict.having("agrees")]
    assert "losses" in agreeing and agreeing.count("gradients") == 2, verdict
    assert not verdict.mistakes, verdict
    one = priors[0] == priors[1]
    assert (verdict.outcome == "outside_model") != one, verdict
    several = [x for x in verdict.findings if x.quantity.startswith("several sites have a prior")]
    assert bool(several) != one
    planted = replay(two_sites(sizes, priors, summed, masked, wrong=0.5))
    assert planted.mistakes == ("gradient_scaled",), planted
