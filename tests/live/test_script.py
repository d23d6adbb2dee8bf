"""`check`: a verdict in one line of the user's own script, by a live Pyro."""

from __future__ import annotations

import numpy as np
import pytest
from programs import STYLES, Hand

import elbo_ref as er

pytestmark = [
    pytest.mark.live,
    pytest.mark.filterwarnings("ignore:Found .*:UserWarning"),
]


def svi_of(torch, pyro, style):
    model, guide = Hand(torch, pyro, style, {}).programs()
    elbo = pyro.infer.Trace_ELBO(max_plate_nesting=2)
    return pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), elbo)


def test_a_verdict_is_printed_and_returned(torch, pyro, capsys):
    with pyro.get_param_store().scope():
        pyro.set_rng_seed(0)
        svi = svi_of(torch, pyro, STYLES["plain"])
        verdict = er.check(svi, num_steps=5)
    assert verdict.genuine and verdict.subject.startswith("5 steps of pyro")
    assert capsys.readouterr().out == f"{verdict}\n"


def test_its_steps_are_ordinary_ones(torch, pyro, capsys):
    left = []
    for checked in (False, True):
        with pyro.get_param_store().scope():
            pyro.set_rng_seed(0)
            svi = svi_of(torch, pyro, STYLES["plain"])
            if checked:
                er.check(svi, num_steps=4)
            else:
                for _ in range(4):
                    svi.step()
            store = pyro.get_param_store()
            left.append({name: store[name].detach().numpy().copy() for name in store})
    capsys.readouterr()
    for name, values in left[0].items():
        np.testing.assert_array_equal(left[1][name], values)


def test_what_is_no_svi_is_refused(torch, pyro):
    with pytest.raises(TypeError, match=r"svi must be a pyro\.infer\.SVI"):
        er.check(object())
    module = pyro.infer.Trace_ELBO()(torch.nn.Module(), torch.nn.Module())
    for loss in (module, module.elbo):
        with pytest.raises(TypeError, match=r"record SVI\(model, guide, .* or hand its losses"):
            er.check(loss)
    with pyro.get_param_store().scope(), pytest.raises(ValueError, match="num_steps"):
        er.check(svi_of(torch, pyro, STYLES["plain"]), num_steps=0)


def test_a_reader_that_has_gone_is_no_error(torch, pyro, capfd, monkeypatch):
    """As under `| head`: neither the verdict nor the interpreter's end writes to the pipe again."""
    import os
    import sys

    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed, pyro.get_param_store().scope():
        monkeypatch.setattr(sys, "stdout", closed)
        assert er.check(svi_of(torch, pyro, STYLES["plain"]), num_steps=2).genuine
        closed.flush()
