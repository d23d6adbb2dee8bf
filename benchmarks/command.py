"""How much longer does a command take than Python, NumPy and `scipy.special` take to start?

    python benchmarks/command.py

Milliseconds of CPU time of whole processes, run in turn; each figure is the least of ROUNDS, as
other work on a machine only adds. Byte code is there, as after an installation. Where valgrind is
installed, millions of instructions of one run of each, which no other work disturbs.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

import numpy as np
import scipy

ROUNDS = 15
BASE = ["-c", "import numpy, scipy.special"]
COMMANDS = {
    "fit --example coin --exact": ["-m", "elbo_ref.fit", "--example", "coin", "--exact"],
    "fit --example chromosome --exact": [
        "-m",
        "elbo_ref.fit",
        "--example",
        "chromosome",
        "--exact",
    ],
    "import of maximize_evidence": ["-c", "from elbo_ref import maximize_evidence"],
    "import of maximize_elbo": ["-c", "from elbo_ref import maximize_elbo"],
}


def milliseconds(arguments: list[str], environment: dict[str, str]) -> float:
    """CPU time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run([sys.executable, *arguments], environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def instructions(arguments: list[str], environment: dict[str, str]) -> float:
    """Millions of instructions of one process; nan without valgrind."""
    if which("valgrind") is None:
        return float("nan")
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    said = run([*tool, sys.executable, *arguments], environment)
    found = re.search(r"Collected : (\d+)", said)
    return int(found[1]) / 1e6 if found else float("nan")


def run(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stderr


def main() -> None:
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"{platform.machine()}, one thread"
    )
    everything = {"Python, NumPy, scipy.special": BASE, **COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if name != "PYTHONDONTWRITEBYTECODE"
            },
            "PYTHONPYCACHEPREFIX": folder,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
        for arguments in everything.values():
            milliseconds(arguments, environment)
        times = [
            {name: milliseconds(arguments, environment) for name, arguments in everything.items()}
            for _ in range(ROUNDS)
        ]
        counted = {name: instructions(of, environment) for name, of in everything.items()}
    first = next(iter(everything))
    least = {name: min(one[name] for one in times) for name in everything}
    print(f"{'':36}{'ms':>8}{'over':>8}{'10^6 instructions':>20}{'over':>8}")
    for name in everything:
        over, more = least[name] - least[first], counted[name] - counted[first]
        print(f"{name:36}{least[name]:8.0f}{over:8.0f}{counted[name]:20.0f}{more:8.0f}")


if __name__ == "__main__":
    main()
