"""The page of the cross-check names every mistake, with the meaning that a verdict gives it."""

import re

from elbo_ref.crosscheck.mistakes import MISTAKES
from places import ROOT


def test_the_page_lists_the_catalogue():
    page = (ROOT / "docs" / "crosscheck.md").read_text()
    table = page.split("### Every name\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    assert rows == [(mistake.name, mistake.meaning) for mistake in MISTAKES.values()]
