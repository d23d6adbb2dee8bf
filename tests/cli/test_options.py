"""`elbo_ref.cli.options` and the errors that end a command, by themselves."""

import argparse

import pytest

from elbo_ref.cli.console import BAD_DATA, NO_INPUT, CommandError, refusals
from elbo_ref.cli.options import FLAG, PAIR, WHOLE, command_parser, two_concentrations
from elbo_ref.io.errors import DataError

GROUPS = {
    "how": [("--steps", "how many", WHOLE | {"default": 3})],
    "": [[("--this", "one", FLAG), ("--that", "or the other", PAIR)]],
}


def test_a_parser_is_a_table():
    parser = command_parser("elbo_ref.fit", "What it does.", "The end.", GROUPS)
    options = parser.parse_args(["counts.csv", "--this"])
    assert (options.file, options.steps, options.this, options.that) == (
        "counts.csv",
        3,
        True,
        None,
    )
    text = parser.format_help()
    assert text.startswith("usage: python -m elbo_ref.fit ") and text.endswith("The end.\n")
    for words in ("\nhow:\n", "--steps N ", "how many", "\ndata:\n"):
        assert words in text
    assert "[--this | --that C1,C0]" in " ".join(text.split())  # Pythons break lines elsewhere


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--this", "--that", "1,2"], "argument --that: not allowed with argument --this"),
        (["--that", "1"], "'1' is not two numbers, concentration1,concentration0"),
        (["--that", "1,-2"], "concentration0 = -2.0"),
        (["--steps", "x"], "invalid int value: 'x'"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command_parser("fit", "", "", GROUPS).parse_args(arguments)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1


def test_two_concentrations():
    assert two_concentrations("2,0.5").arrays() == (2.0, 0.5)


class _OfAnotherFormatError(ValueError):
    pass


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (DataError("line 3 is blank"), "line 3 is blank", BAD_DATA),
        (_OfAnotherFormatError("damaged"), "damaged", BAD_DATA),
        (FileNotFoundError(2, "No such file", "a.csv"), "a.csv: No such file", NO_INPUT),
    ],
)
def test_errors_that_end_a_command(error, message, code):
    with pytest.raises(CommandError) as ended, refusals(argparse.ArgumentParser(), type(error)):
        raise error
    assert (str(ended.value), ended.value.code) == (message, code)


def test_errors_of_usage_and_others(capsys):
    for error in (ValueError("steps = 0"), ImportError("needs Pyro")):
        with pytest.raises(SystemExit), refusals(argparse.ArgumentParser()):
            raise error
        assert str(error) in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError), refusals(argparse.ArgumentParser()):
        raise ZeroDivisionError
