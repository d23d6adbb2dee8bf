"""Draw paths.png, the picture at the top of the README: three guides on the rat tumours.

    python docs/draw_paths.py

It takes seconds and needs matplotlib. Each run follows its exact gradient from Beta(1, 1) with the
same optimizer. Shades are those of `elbo_ref.report.pictures`: lighter is higher.
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image
from scipy import special as sc

import elbo_ref as er
from elbo_ref.evidence import latent_log_evidence
from elbo_ref.report.pictures import EXACT, PRIOR

GUIDES = {
    "beta": "full guide: an ELBO, to the\nmaximum-likelihood prior",
    "tied": "tied guide: an ELBO, to one\nprobability for all groups",
    "empty": "empty guide: not an ELBO,\nunbounded",
}
LEVELS = (0.0, 0.5, 2.0, 10.0, 50.0, 200.0)
SHADES = [str(shade) for shade in np.linspace(1.0, 0.55, len(LEVELS))]
MEANS, TOTALS = np.linspace(-2.4, 0.25, 120), np.geomspace(1.2, 1500.0, 120)
TICKS = (0.1, 0.2, 0.3, 0.5)


def draw() -> Image.Image:
    """Draw the three panels."""
    counts = er.datasets.load("rat_tumors")
    top = er.maximize_evidence(counts)
    a, b = (np.outer(TOTALS, sc.expit(x))[..., None] for x in (MEANS, -MEANS))
    heights = latent_log_evidence(a, b, counts) @ counts.multiplicity
    below = np.maximum(top.log_evidence - heights, 0.0)
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    axes = figure.subplots(1, len(GUIDES), sharey=True)
    for ax, (guide, says) in zip(axes, GUIDES.items(), strict=True):
        optimizer = er.ClippedAdam(lr=0.05, lrd=0.999)
        run = er.maximize_elbo(counts, guide, loss="exact", optimizer=optimizer, num_steps=3000)
        a, b = run.history.prior.arrays()
        ax.contourf(MEANS, TOTALS, below, levels=LEVELS, colors=SHADES, extend="max")
        lines = ax.contour(MEANS, TOTALS, below, levels=LEVELS[1:], colors="0.35", linewidths=0.7)
        ax.clabel(lines, LEVELS[2:], fontsize=9, colors="0.15", fmt="%g")
        ax.plot(np.log(a / b), a + b, color=PRIOR, lw=2.2, label="the prior, step by step")
        ax.plot(0.0, 2.0, "o", ms=9, mfc="white", mec=PRIOR, mew=2, label="start, Beta(1, 1)")
        star = {"ms": 16, "c": EXACT, "mec": "white", "zorder": 3}
        at = sc.logit(top.mean), top.concentration
        ax.plot(*at, "*", label="highest evidence, proven", **star)
        ax.set(yscale="log", xlim=MEANS[[0, -1]], ylim=TOTALS[[0, -1]], xlabel="mean of the prior")
        ax.set_xticks(sc.logit(TICKS), [f"{tick:g}" for tick in TICKS])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_title(says, loc="left", fontsize=12.5)
    axes[0].set_ylabel("concentration of the prior, a + b")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=11,
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)


if __name__ == "__main__":
    draw().save(Path(__file__).with_name("paths.png"), optimize=True)
