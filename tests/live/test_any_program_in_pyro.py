"""Programs put together at random: each is recorded and replayed, or refused in words.

A program without a mistake is never called one, whatever its parts are.
"""

from __future__ import annotations

import numpy as np
import pytest
from programs import LAYOUTS, OWN, PRIORS, Hand, Style

from elbo_ref.crosscheck.findings import Verdict
from elbo_ref.recording import record
from elbo_ref.recording.replay.check import replay

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore")]

GUIDES = ["own", "empty", "transformed", "auxiliary", "AutoNormal", "AutoDelta"]
GUIDES += ["AutoDiagonalNormal", "AutoLaplaceApproximation", "AutoMultivariateNormal"]
LOSSES = ["Trace_ELBO", "TraceGraph_ELBO", "TraceEnum_ELBO", "TraceMeanField_ELBO", "RenyiELBO"]
WRONG = [
    {"unobserved": True}, {"likelihood": 0.3}, {"scale": 2.0}, {"column": True}, {"hidden": True},
    {"detached": ("prior", "detach")}, {"detached": ("guide", "item")}, {"names": ("a", "b")},
    {"nan_at": 2}, {"constraint": "unit_interval"}, {"no jacobian": True},
]  # fmt: skip
IN_WORDS = ("cannot be recorded", "no step has been recorded", "scale", "not inside (0, 1)")
IN_WORDS += ("has to be positive", "does not have the argument", "values for the")
FOREIGN = ("broadcast", "index", "operand", "dimension", "axis", "subscript", "tuple", "NoneType")


def chosen(seed):
    """A program's style and what is wrong in it: nothing in every second one."""
    rng = np.random.default_rng(seed)

    def one(names):
        return names[rng.integers(len(names))]

    particles = int(one([1, 1, 3]))
    loss = one(LOSSES) if particles == 3 else one(LOSSES[:4])
    style = Style(
        one(list(PRIORS)), one(list(OWN)), one(list(LAYOUTS)), one([*["own"] * 6, *GUIDES]),
        one(["float32", "float64"]), loss, particles, bool(rng.integers(2)),
    )  # fmt: skip
    return style, {} if seed % 2 else {**one(WRONG), **one([{}, *WRONG])}


def recorded(torch, pyro, style, wrong):
    """The recorder of a program's two steps; None where Pyro itself does not run it."""
    hand, recorder = Hand(torch, pyro, style, dict(wrong)), None
    torch.set_default_dtype(getattr(torch, style.dtype))
    try:
        with pyro.get_param_store().scope(), pyro.validation_enabled(False):
            pyro.set_rng_seed(1)
            elbo = getattr(pyro.infer, style.loss)(
                num_particles=style.particles,
                vectorize_particles=style.vectorize,
                max_plate_nesting=2,
            )
            adam = pyro.optim.Adam({"lr": 0.02})
            try:
                svi = pyro.infer.SVI(*hand.programs(), adam, elbo)
                with record(svi) as recorder:
                    for _ in range(2):
                        svi.step()
            except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError):
                return None
            return recorder
    finally:
        torch.set_default_dtype(torch.float32)


def check(torch, pyro, seed):
    style, wrong = chosen(seed)
    recorder = recorded(torch, pyro, style, wrong)
    if recorder is None:
        return False
    said = ""
    try:
        verdict = replay(recorder.recording)
    except ValueError as error:
        said = str(error)
    if said:  # of the recording or of a statement, in words of ours
        ours = any(x in said for x in IN_WORDS) and not any(x in said for x in FOREIGN)
        assert ours, (style, wrong, said)
        return True
    assert isinstance(verdict, Verdict) and verdict.findings and verdict.summary(), (style, wrong)
    if not wrong:
        assert not verdict.mistakes, (style, verdict)
    return True


@pytest.mark.parametrize("first", range(0, 40, 10))
@pytest.mark.thorough
def test_any_program_has_a_verdict(torch, pyro, first):
    ran = [check(torch, pyro, seed) for seed in range(first, first + 10)]
    assert sum(ran) >= 4


FOUND = {
    "no divergence of a Beta from an AffineBeta": Style(
        own="one for all", layout="affine", dtype="float64", loss="TraceMeanField_ELBO"
    ),
    "nothing drawn and nothing learned": Style("fixed", layout="marginal, counted"),
    "an automatic guide of a Dirichlet": Style(layout="multinomial", guide="AutoDelta"),
    "one of all latents": Style(layout="dirichlet", guide="AutoDiagonalNormal"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_clean_program_that_was_not_called_one(torch, pyro, name):
    verdict = replay(recorded(torch, pyro, FOUND[name], {}).recording)
    assert not verdict.mistakes and verdict.having("agrees"), verdict


@pytest.mark.parametrize("guide", ["AutoNormal", "AutoDiagonalNormal"])
def test_a_mask_of_the_model_alone_is_outside(torch, pyro, guide):
    """The guide's density of a latent that is masked stays in the loss."""
    recorder = recorded(torch, pyro, Style(layout="masked", guide=guide), {})
    verdict = replay(recorder.recording)
    assert verdict.outcome == "outside_model" and not verdict.mistakes, verdict
    assert "that the guide counts" in verdict.findings[0].quantity
    both = recorded(torch, pyro, Style(layout="masked", dtype="float64"), {}).recording
    assert replay(both).genuine
