"""``elbo-ref`` and ``python -m elbo_ref``: one of the commands, by its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from elbo_ref import __version__
from elbo_ref.cli.console import FINE, USAGE, say

COMMANDS = {
    "estimate": ("estimate", "the rate of each latent from counts, with intervals that hold"),
    "fit": ("fit", "what SVI makes of the counts, beside the exact answer"),
    "check": ("crosscheck", "a verdict on somebody's Pyro or NumPyro run"),
}
"""The module of each command in this package, and what the command gives."""

_USAGE = f"""\
usage: elbo-ref {{{",".join(COMMANDS)}}} ...

Exact answers about counts, and about SVI on a Beta-Binomial model.

{"".join(f"  {name:9} {says}{chr(10)}" for name, (_, says) in COMMANDS.items())}
  elbo-ref COMMAND --help     its options
  elbo-ref --version          the version; python -m elbo_ref is the same command
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    elbo_ref ...
    0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    match given:
        case [("-h" | "--help"), *_]:
            print(_USAGE, end="")
            return FINE
        case ["--version", *_]:
            print(f"elbo_ref {__version__}")
            return FINE
        case [name, *rest] if name in COMMANDS:
            code: int = import_module(f"elbo_ref.cli.{COMMANDS[name][0]}").main(rest)
            return code
    names = ", ".join(COMMANDS)
    wrong = f"{given[0]!r} is no command" if given else "which command?"
    say(f"{wrong}: {names}; elbo-ref --help says more")
    return USAGE
