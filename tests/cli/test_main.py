"""``elbo-ref``: the commands by name, with their own exit codes."""

import subprocess
import sys

import pytest

from elbo_ref import __version__
from elbo_ref.cli.main import COMMANDS, main
from places import ROOT


def test_a_command_by_its_name(capsys):
    assert main(["fit", "--example", "coin", "--exact"]) == 0
    assert "the evidence only tends to its supremum" in capsys.readouterr().out
    assert main(["check", "--example", "forum"]) == 3
    assert "verdict: not at an optimum" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_what_it_says_of_itself(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    wanted = [__version__] if arguments == ["--version"] else COMMANDS
    assert all(word in out for word in wanted)


@pytest.mark.parametrize("arguments", [[], ["fot"], ["--json"]])
def test_what_is_no_command_is_refused_in_one_line(capsys, arguments):
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert not streams.out and streams.err.count("\n") == 1
    assert all(name in streams.err for name in COMMANDS)


def test_python_m_elbo_ref():
    ran = subprocess.run(
        [sys.executable, "-m", "elbo_ref", "fit", "--example", "list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0 and "rat_tumors" in ran.stdout and not ran.stderr
