"""A command, for the tests that call it: the `COMMAND` of their module, or fit."""

import pytest

from elbo_ref.cli import fit


@pytest.fixture
def command(capsys, request):
    """Run the command in this process: exit code, standard output, standard error."""
    module = getattr(request.module, "COMMAND", fit)

    def run(*arguments):
        try:
            code = module.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run
