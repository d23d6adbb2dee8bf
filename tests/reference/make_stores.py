"""Write stores/*.pt and stores.json: what PyTorch and Pyro save, and the values that they mean.

Run as ``python tests/reference/make_stores.py`` where torch and pyro can be imported; it takes a
few seconds. The expected values are those of PyTorch and Pyro themselves, the saved tensor or
`transform_to(constraint)` of it, written as hexadecimal floats, which hold NaN, too.
"""

import json
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.testing.fakes import NonreparameterizedBeta
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from pyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal
from pyro.nn import PyroModule, PyroParam
from torch.distributions import transform_to

FOLDER = Path(__file__).parent / "stores"
STORE = pyro.get_param_store()
FAR = [-300.0, -110.0, -60.0, -17.0, -1.5, 0.0, 0.75, 17.0, 19.5, 20.5, 40.0, 95.0]
NOT_FINITE = [float("nan"), float("inf"), -float("inf")]

CONSTRAINTS = {
    "real": constraints.real,
    "positive": constraints.positive,
    "nonnegative": constraints.nonnegative,
    "greater_than": constraints.greater_than(1.5),
    "greater_than_eq": constraints.greater_than_eq(-2),
    "less_than": constraints.less_than(4.0),
    "unit_interval": constraints.unit_interval,
    "interval": constraints.interval(-2.0, 3.0),
    "interval_of_tensors": constraints.interval(torch.tensor(0.0), torch.tensor(5.0)),
    "half_open_interval": constraints.half_open_interval(1.0, 2.0),
    "softplus_positive": constraints.softplus_positive,
    "independent": constraints.independent(constraints.positive, 1),
    "independent_twice": constraints.independent(constraints.independent(constraints.real, 1), 0),
    "simplex": constraints.simplex,
}
TOGETHER = {"ordered": constraints.ordered_vector}


def set_state(params, allowed):
    """A store with unconstrained values as given; Pyro only takes constrained ones otherwise."""
    STORE.set_state({"params": params, "constraints": allowed})


def every_constraint(dtype):
    allowed = {**CONSTRAINTS, **TOGETHER}
    values = torch.tensor(FAR + NOT_FINITE, dtype=dtype)
    set_state({name: values.clone().requires_grad_() for name in allowed}, allowed)


def model():
    one = pyro.param("prior.concentration1", torch.tensor(2.0), constraint=constraints.positive)
    zero = pyro.param("prior.concentration0", torch.tensor(3.0), constraint=constraints.positive)
    with pyro.plate("latents", 3):
        c = pyro.sample("c", dist.Beta(one, zero))
        pyro.sample("successes", dist.Binomial(10, c), obs=torch.tensor([1.0, 4.0, 2.0]))


def score_guide():
    one = pyro.param("guide.1", torch.ones(3), constraint=constraints.positive)
    zero = pyro.param("guide.0", torch.ones(3), constraint=constraints.softplus_positive)
    with pyro.plate("latents", 3):
        baseline = {"use_decaying_avg_baseline": True, "baseline_beta": 0.9}
        pyro.sample("c", NonreparameterizedBeta(one, zero), infer={"baseline": baseline})


class Guide(PyroModule):
    def __init__(self):
        super().__init__()
        self.concentration = PyroParam(torch.tensor([1.5, 2.5]), constraint=constraints.positive)
        self.weight = torch.nn.Parameter(torch.tensor(0.25))
        self.inner = PyroModule[torch.nn.Linear](2, 3)

    def forward(self):
        return self.concentration, self.weight, self.inner(torch.ones(2))


def fit(guide, loss):
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss)
    for _ in range(5):
        svi.step()


def meant(state):
    """What a store's parameters are to a model; None where nothing here can have its constraint."""
    found = {}
    for name, value in state["params"].items():
        constraint = state["constraints"][name]
        together = isinstance(constraint, tuple(type(x) for x in TOGETHER.values())) or (
            type(constraint).__name__ == "_UnitLowerCholesky"
        )
        baseline = name.startswith("__baseline_")
        found[name] = None if together or baseline else transform_to(constraint)(value)
    return found


def stores():
    """The name of each file, and how its store comes about."""
    yield "constraints_float32", lambda: every_constraint(torch.float32)
    yield "constraints_float64", lambda: every_constraint(torch.float64)
    yield "auto_normal", lambda: fit(AutoNormal(model), Trace_ELBO())
    yield "auto_delta", lambda: fit(AutoDelta(model), Trace_ELBO())
    yield "auto_multivariate", lambda: fit(AutoMultivariateNormal(model), Trace_ELBO())
    yield "score", lambda: fit(score_guide, TraceGraph_ELBO())
    yield "pyro_module", lambda: Guide()()
    yield "registered_module", lambda: pyro.module("guide", Guide())


def mappings():
    """The name of each file, and the mapping that `torch.save` is given."""
    yield "state_dict", Guide().state_dict()
    table = torch.arange(12.0).reshape(3, 4)
    yield (
        "plain_dict",
        {
            "half": torch.tensor([0.5, -1.25], dtype=torch.float16),
            "brain": torch.tensor([1.5, -3e38], dtype=torch.bfloat16),
            "long": torch.tensor(3),
            "transposed": table.T,
            "sliced": table[1:, ::2],
            "row": table[2],
            "parameter": torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64)),
            "list": [0.5, 1.5, 2.5],
            "tensors": [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])],
            "float": 0.1,
            "int": -70000,
            "large": 2**40,
        },
    )


def row(value):
    """Shape, type and values; a tensor's, or those of what `torch.tensor` makes of numbers."""
    if isinstance(value, list) and isinstance(value[0], torch.Tensor):
        value = torch.stack(value)
    plain = not isinstance(value, torch.Tensor)
    tensor = torch.tensor(value, dtype=torch.float64) if plain else value.detach()
    return {
        "shape": list(tensor.shape),
        "dtype": None if plain else str(tensor.dtype).removeprefix("torch."),
        "values": [x.hex() for x in tensor.double().flatten().tolist()],
    }


def main():
    torch.manual_seed(0)
    expected = {}
    for name, fill in stores():
        pyro.clear_param_store()
        fill()
        STORE.save(str(FOLDER / f"{name}.pt"))
        expected[name] = meant(STORE.get_state())
    for name, mapping in mappings():
        torch.save(mapping, FOLDER / f"{name}.pt")
        expected[name] = dict(mapping)
    torch.save({"a": torch.zeros(2)}, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    versions = {"torch": torch.__version__, "pyro": pyro.__version__}
    lines = [f'"versions": {json.dumps(versions)}']
    for file, values in expected.items():
        rows = {name: None if value is None else row(value) for name, value in values.items()}
        inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(rows[name])}" for name in rows)
        lines.append(f'"{file}": {{\n{inner}\n}}')
    (FOLDER.parent / "stores.json").write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
