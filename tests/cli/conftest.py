"""The fit command, for the tests that call it."""

import pytest

from elbo_ref.cli import fit


@pytest.fixture
def command(capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*arguments):
        try:
            code = fit.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run
