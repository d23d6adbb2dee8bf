"""Write verdicts.json: the whole verdicts of `tests/crosscheck` and `tests/recording`.

What is in it is not derived: it holds what was said, so that a change of it is seen and read. Run
`python tests/reference/make_verdicts.py` from the root, and look at the difference.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
SOURCES = {"cross-check": "crosscheck", "replay": "recording"}


def cases(folder: str) -> dict[str, Any]:
    """The cases of a test module, which is no module of a package."""
    path = TESTS / folder / "test_verdicts.py"
    spec = importlib.util.spec_from_file_location(f"verdicts_{folder}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES


def main() -> None:
    """Run every case."""
    sys.path.insert(0, str(TESTS))
    import golden
    import pytest

    kept = {}
    for kind, folder in SOURCES.items():
        if not (TESTS / folder / "test_verdicts.py").exists():
            continue
        for name, (mistakes, made) in cases(folder).items():
            with pytest.MonkeyPatch.context() as patch:
                verdict = made(patch) if folder == "recording" else made()
            if mistakes is not None and verdict.mistakes != mistakes:
                print(f"{kind}: {name}: {verdict.mistakes}, not {mistakes}")
            kept[f"{kind}: {name}"] = golden.plain(verdict)
    lines = [f"{json.dumps(name)}: {json.dumps(x, ensure_ascii=False)}" for name, x in kept.items()]
    golden.VERDICTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
