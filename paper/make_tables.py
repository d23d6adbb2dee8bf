"""The tables of paper.md, from what the benchmarks have written.

    python paper/make_tables.py          prints them
    python paper/make_tables.py --write  puts them between the marks in paper.md

tests/docs/test_release.py holds that paper.md has them.
"""

import re
import sys
from pathlib import Path

PAPER = Path(__file__).with_name("paper.md")
RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
MARK = "<!-- tables: paper/make_tables.py -->\n"
STEPS = [("1", "10"), ("100", "10"), ("10000", "10")]
"""Latents and particles of the rows that are shown."""


def table(caption: str, head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown under its caption."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return f"Table: {caption}\n\n" + "\n".join(f"| {' | '.join(x)} |" for x in lines) + "\n"


def maxima() -> str:
    """Programs that fit by maximum likelihood, over the data sets of benchmarks/evidence.py."""
    text = (RESULTS / "evidence.txt").read_text("utf-8").split("Who returns what at the edges")[1]
    rows = []
    for block in text.split("\n\n")[1:]:
        name, words = block.splitlines()[0], " ".join(block.split())
        found = re.search(r"an answer for (\d+) of (\d+), median of the digits ([\d.]+)", words)
        time = re.search(r"median of the times ([\d.]+) ms", words)
        silent = re.search(
            r"a Beta, success and no warning: (.*?)(?= a Beta, with| where|$)", words
        )
        if time is None:
            continue
        answers, digits = (
            (f"{found[1]} of {found[2]}", found[3]) if found else ("16 of 16", "(reference)")
        )
        number = str(len(re.findall(r"\(", silent[1]))) if silent else "0"
        rows.append([name, answers, digits, number, time[1]])
    head = ["program", "maximum found", "digits", "answers where there is none, without a warning"]
    caption = "Maximum likelihood on 26 data sets, 16 of which have a maximiser (medians)."
    return table(caption, [*head, "ms"], rows)


def steps() -> str:
    """A step of SVI here and in others, in microseconds."""
    rows = []
    for line in (RESULTS / "svi_steps.txt").read_text("utf-8").splitlines():
        cells = re.sub(r"\([^)]*\)", "", line).split()
        if tuple(cells[:2]) in STEPS and len(cells) == 7:
            shown = ["-" if x == "nan" else x for x in cells]
            rows.append([shown[0], *shown[2:]])
    head = ["latents", "elbo_ref", "Pyro", "Pyro, vectorised", "NumPyro", "NumPyro, fused loop"]
    return table("Microseconds for a step of SVI with ten particles, one thread.", head, rows)


def tables() -> str:
    """Both of them."""
    return f"{maxima()}\n{steps()}"


def main() -> None:
    if "--write" not in sys.argv[1:]:
        print(tables())
        return
    before, _, after = PAPER.read_text("utf-8").split(MARK)
    PAPER.write_text(f"{before}{MARK}\n{tables()}\n{MARK}{after}", "utf-8")


if __name__ == "__main__":
    main()
