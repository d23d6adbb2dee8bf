"""Recordings that mean the same, in one form."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.recording import Recording
from elbo_ref.recording.replay.canonical import constrain_parameters, finite_part, one_site


def site(program, name, kind="Beta"):
    return {"program": program, "name": name, "class": kind, "observed": False}


def test_steps_before_one_that_is_not_finite():
    draws = {"c": np.full((4, 1, 1), 0.5)}
    whole = Recording(losses=[1.0, 2.0, 3.0, 4.0], draws=draws)
    assert finite_part(whole) == (whole, [])
    part, (finding,) = finite_part(Recording(losses=[1.0, 2.0, np.nan, 4.0], draws=draws))
    assert part.num_steps == 2 and len(part.draws["c"]) == 2
    assert finding.status == "note" and finding.quantity.startswith("step 2 holds")
    assert finite_part(Recording(losses=[np.inf]))[0] is None


@pytest.mark.parametrize(
    ("kind", "constrain"),
    [("positive", np.exp), ("softplus_positive", lambda x: np.logaddexp(0, x))],
)
def test_parameters_that_are_unconstrained(kind, constrain):
    free = {"a": np.array([-1.0, 0.5])}
    groups = dict.fromkeys(("before", "after", "gradients"), free)

    def found(constrained):
        header = {"constraints": {"a": kind}}
        made = Recording(losses=np.zeros(2), header=header, constrained=constrained, **groups)
        return constrain_parameters(made)

    right = {"a": constrain(free["a"])}
    mended, (finding,) = found(free)
    np.testing.assert_allclose(mended.constrained["a"], right["a"], rtol=1e-15)
    assert (finding.name, finding.theirs) == ("unconstrained_values", -1.0)
    assert found(right)[1] == []


def test_a_vector_of_logits_is_the_latents():
    y = np.linspace(-1, 1, 6).reshape(2, 1, 3)
    vector = "_AutoDiagonalNormal_latent"
    made = Recording(
        losses=np.zeros(2),
        draws={"c": 1 / (1 + np.exp(-y)), vector: y},
        arguments={f"guide.{vector}.loc": y[:, 0], f"guide.{vector}.scale": np.ones((2, 3))},
        header={"sites": [site("model", "c"), site("guide", vector, "Normal")]},
    )
    joined = one_site(made)
    assert set(joined.draws) == {"c", "c_unconstrained"} and joined.header["vector"] == vector
    assert set(joined.arguments) == {f"guide.c_unconstrained.{x}" for x in ("loc", "scale")}


def looped(priors=(2.0, 2.0, 2.0), kinds=("Beta",) * 3):
    c = np.random.default_rng(0).random((2, 1, 3))
    arguments = {
        f"model.c_{i}.concentration{j}": np.full((2, 1), priors[i])
        for i in range(3)
        for j in (1, 0)
    }
    guides = {f"guide.c_{i}.concentration1": np.full((2, 1), 4.0 + i) for i in range(3)}
    parameters = {f"q_{2 - i}": np.full(2, 4.0 + i) for i in range(3)}
    groups = dict.fromkeys(("before", "constrained", "after", "gradients"), parameters)
    sites = [site("model", f"c_{i}") for i in range(3)]
    sites += [site("guide", f"c_{i}", kinds[i]) for i in range(3)]
    return Recording(
        losses=np.zeros(2),
        draws={f"c_{i}": c[:, :, i : i + 1] for i in range(3)},
        arguments=arguments | guides,
        header={"sites": sites},
        **groups,
    )


def test_sites_of_a_loop_are_one():
    """Its parameters are in the order of the sites, whose names run the other way."""
    made = looped()
    joined = one_site(made)
    assert set(joined.draws) == {"c_*"} and joined.draws["c_*"].shape == (2, 1, 3)
    assert joined.arguments["model.c_*.concentration1"].tolist() == [[2.0]] * 2
    assert joined.constrained["q_*"].tolist() == [[4.0, 5.0, 6.0]] * 2
    assert [x["name"] for x in joined.header["sites"]] == ["c_*", "c_*"]


def test_sites_that_are_not_alike_stay():
    made = looped(priors=(2.0, 2.0, 3.0))
    assert set(one_site(made).draws) == {"c_0", "c_1", "c_2"}
    with pytest.raises(ValueError, match="of several families: Beta, Delta"):
        one_site(looped(kinds=("Beta", "Beta", "Delta")))
