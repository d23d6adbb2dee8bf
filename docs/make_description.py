"""The description of the package for an index of packages: the beginning of the README.

    python docs/make_description.py --write

Where that is shown the repository's files are not, so pictures are left out, and of a link to a
file there stays the text. tests/docs/test_site.py holds that DESCRIPTION.md is what this makes.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "DESCRIPTION.md"
END = "**Six words.**"
MORE = "The README of the repository goes on from here, and docs/ has tutorials and pages.\n"


def description() -> str:
    """The README down to its three doors, with no link that needs the repository."""
    text = (ROOT / "README.md").read_text("utf-8").split(END)[0]
    text = re.sub(r"^!\[.*\n\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^<!-- .* -->\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\s*\(\[[^]]*\]\((?!http)[^)]*\)\)", "", text)
    text = re.sub(r"\[([^]]*)\]\((?!http)[^)]*\)", r"\1", text)
    return text + MORE


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(description(), "utf-8")
    else:
        sys.stdout.write(description())
