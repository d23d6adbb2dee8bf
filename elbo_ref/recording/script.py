"""`check`: a verdict on a Pyro or NumPyro run in one line of its own script."""

from __future__ import annotations

import sys
from typing import Any

from elbo_ref._format.terminal import abandon, has_colours
from elbo_ref._validation.arguments import count
from elbo_ref.crosscheck.findings import Verdict
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.numpyro import record_numpyro
from elbo_ref.recording.pyro import record
from elbo_ref.recording.replay.check import replay


def check(svi: Any, *args: Any, num_steps: int = 40, **kwargs: Any) -> Verdict:
    """Make some more steps of an SVI, replay them, and print the verdict.

    With Pyro the steps are ordinary ones: the parameters move on by them, as if ``svi.step`` had
    been called. NumPyro's state is a value, and stays what it is.

    Parameters
    ----------
    svi : pyro.infer.SVI or numpyro.infer.SVI
    *args, **kwargs
        Arguments of ``svi.step``, or of NumPyro's ``svi.update``, the state first.
    num_steps : int
        Steps to make.

    Returns
    -------
    Verdict
        What has been printed.

    Raises
    ------
    ModuleNotFoundError
        If Pyro is not installed.
    TypeError, ValueError
        If `svi` is something else, or does what cannot be recorded.

    See Also
    --------
    elbo_ref.recording.record : The recording alone, of steps that are made elsewhere.
    elbo_ref.replay : The verdict on a recording.

    Examples
    --------
    ::

        svi = SVI(model, guide, Adam({"lr": 0.02}), Trace_ELBO())
        losses = [svi.step(data) for _ in range(1000)]
        er.check(svi, data)

    and with NumPyro

    ::

        result = svi.run(key, 1000, data)
        er.check(svi, result.state, data)
    """
    steps = count("num_steps", num_steps, 1)
    verdict = replay(_recorded(svi, steps, args, kwargs))
    try:
        print(verdict.summary(colour=has_colours(sys.stdout)), flush=True)
    except BrokenPipeError:  # as under `| head`
        abandon(sys.stdout)
    return verdict


def _recorded(svi: Any, steps: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
    if type(svi).__module__.startswith("numpyro."):
        if not args:
            raise TypeError("check(svi, state, ...): NumPyro's steps begin at a state")
        return record_numpyro(svi, args[0], steps, *args[1:], **kwargs)[1]
    with record(svi) as recorder:
        for _ in range(steps):
            svi.step(*args, **kwargs)
    return recorder.recording
