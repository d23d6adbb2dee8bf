"""Write the tables of guides.md: where each guide leads on four data sets.

    python docs/make_guides.py          prints them
    python docs/make_guides.py --write  puts them between the marks in guides.md

tests/docs/test_guides_page.py holds every row.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import elbo_ref as er
from elbo_ref._format.numbers import number
from elbo_ref.evidence import log_evidence
from elbo_ref.guides import GUIDES as FAMILIES
from elbo_ref.objectives import find
from elbo_ref.optima.find import find_optimum
from elbo_ref.report import sentences

PAGE = Path(__file__).parent / "guides.md"
MARK = "<!-- tables: docs/make_guides.py -->\n"
DATA = ("forum", "rat_tumors", "saxony", "colds_father")
GUIDES = ("beta", "conjugate", "beta_shared", "tied", "empty", "normal", "laplace", "delta", "none")
CHANGED = (
    ("normal", "trace_mean_field"),
    ("laplace", "trace_mean_field"),
    ("normal", "renyi"),
    ("tied", "renyi"),
    ("beta_shared", "renyi"),
)
"""Guides and losses under which the objective is another; under `renyi` alpha = 0, two samples."""


def rows(counts: er.Counts) -> list[tuple[str, str, str, str, str, str]]:
    """(guide, loss, where, its objective's maximum or supremum, evidence there, why)."""
    found = []
    for guide, loss in (*((guide, "any") for guide in GUIDES), *CHANGED):
        objective = find("trace" if loss == "any" else loss)
        best = find_optimum(
            FAMILIES[guide], counts, er.Beta(1.0, 1.0), True, objective, search=True
        )
        height = "unbounded" if np.isinf(best.value) else number(best.value)
        if np.isnan(best.value):
            height = "not known"
        elif not best.attained and np.isfinite(best.value):
            height += ", not attained"
        evidence = number(log_evidence(best.prior, counts)) if best.prior else "-"
        name = loss if loss == "any" else f"`{loss}`"
        where, why = sentences.location(best), sentences.reason(best)
        found.append((f"`{guide}`", name, where, height, evidence, why))
    return found


def tables() -> str:
    """One table for each data set."""
    lines = []
    for name in DATA:
        about, counts = er.datasets.describe(name), er.datasets.load(name)
        lines += [f"### {name}: {about.title}", "", f"{counts.summary()}.", ""]
        lines += [
            "| guide | loss | leads to | highest | log evidence there | why |",
            "|---|---|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(row) + " |" for row in rows(counts)]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    if "--write" not in sys.argv[1:]:
        print(tables())
        return
    before, _, after = PAGE.read_text("utf-8").split(MARK)
    PAGE.write_text(before + MARK + "\n" + tables() + "\n" + MARK + after, "utf-8")


if __name__ == "__main__":
    main()
