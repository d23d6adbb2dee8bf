"""Write verdicts.json: the whole verdicts of tests of `crosscheck` and `recording`.

What is in it is not derived: it holds what was said, so that a change of it is seen and read. Run
`python tests/reference/make_verdicts.py` from the root, and look at the difference.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parents[1]


def module(path: str) -> ModuleType:
    """A module of tests, which is in no package."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), TESTS / f"{path}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def main() -> None:
    """Run every case."""
    sys.path.insert(0, str(TESTS))
    import golden

    kept = {}
    for name, (mistakes, made) in module("crosscheck/test_verdicts").CASES.items():
        kept[f"cross-check: {name}"] = golden.plain(_checked(name, mistakes, made()))
    for name, made in module("crosscheck/test_hypotheses").CASES.items():
        kept[f"losses: {name}"] = made()
    for name, made in module("recording/test_gradients").PARTS.items():
        kept[f"gradient parts: {name}"] = made()
    for name, (mistakes, made) in module("recording/test_verdicts").CASES.items():
        with pytest.MonkeyPatch.context() as patch:
            kept[f"replay: {name}"] = golden.plain(_checked(name, mistakes, made(patch)))
    rows = [f"{json.dumps(name)}: {json.dumps(x, ensure_ascii=False)}" for name, x in kept.items()]
    golden.VERDICTS.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


def _checked(name, mistakes, verdict):
    if mistakes is not None and verdict.mistakes != mistakes:
        print(f"{name}: {verdict.mistakes}, not {mistakes}")
    return verdict


if __name__ == "__main__":
    main()
