"""Parameter stores that a live Pyro saves, read without it: the values that `pyro.param` returns.

Element by element to four units of the tensor's type, of the largest bound where there are some.
What PyTorch itself does with a hostile file stands beside what the reader says of it.
"""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

from elbo_ref.io.counts_file import DataError
from elbo_ref.io.parameters import read_parameters

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:.*num_chains.*:UserWarning")]

POINTS = np.concatenate([np.linspace(-800, 800, 41), np.linspace(-25, 25, 201)])


@pytest.fixture
def dtype(torch, request):
    """The default type of a test, and no parameters before and after it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, request.param))
    yield getattr(torch, request.param)
    torch.set_default_dtype(before)


@pytest.fixture
def store(pyro):
    with pyro.get_param_store().scope():
        yield pyro.get_param_store()


both = pytest.mark.parametrize("dtype", ["float32", "float64"], indirect=True)


def check(torch, found, name, tensor, largest=0.0):
    """The values, shape and type of a tensor."""
    wanted = tensor.detach().double().numpy()
    values = found.values[name.replace("$$$", ".")]
    assert found.dtypes[name.replace("$$$", ".")] == str(tensor.dtype).removeprefix("torch.")
    assert values.shape == wanted.shape
    finite = np.isfinite(wanted)
    assert np.array_equal(values[~finite], wanted[~finite], equal_nan=True)
    got, wanted = values[finite], wanted[finite]
    unit = torch.finfo(tensor.dtype)
    room = 4 * unit.eps * np.maximum(np.abs(wanted), largest) + float(unit.smallest_normal)
    assert (np.abs(got - wanted) <= room).all(), (name, got, wanted)


def check_store(torch, store, path, left_out=(), largest=0.0):
    """The saved store and the live one, against `pyro.param`."""
    store.save(str(path))
    for source in (path, store):
        found = read_parameters(source)
        names = [name.replace("$$$", ".") for name in store]
        left = left_out if source is path else [n for n in left_out if n.startswith("__baseline")]
        assert set(found.skipped) == set(left)
        assert list(found.values) == [name for name in names if name not in left]
        for name, tensor in store.items():
            if name not in left:
                check(torch, found, name, tensor, largest)
    return read_parameters(path)


@both
def test_every_constraint(torch, pyro, dtype, store, tmp_path):
    """At unconstrained values far beyond where exp and the sigmoid end, and NaN."""
    constraints = pyro.distributions.constraints
    low = torch.linspace(-1, 1, POINTS.size, dtype=dtype)
    allowed = {
        "real": constraints.real,
        "real_vector": constraints.real_vector,
        "positive": constraints.positive,
        "nonnegative": constraints.nonnegative,
        "softplus_positive": constraints.softplus_positive,
        "unit_interval": constraints.unit_interval,
        "greater_than": constraints.greater_than(1.5),
        "greater_than_int": constraints.greater_than(2),
        "greater_than_eq": constraints.greater_than_eq(-2.5),
        "less_than": constraints.less_than(0.25),
        "interval": constraints.interval(-2.0, 3.0),
        "interval_of_ints": constraints.interval(0, 3),
        "half_open": constraints.half_open_interval(0.0, 1.0),
        "tensor_bounds": constraints.interval(low, low + 2),
        "tensor_bound": constraints.greater_than(torch.tensor(0.5, dtype=dtype)),
        "independent": constraints.independent(constraints.interval(0.0, 2.0), 1),
    }
    points = torch.tensor([*POINTS[:-1], float("nan")], dtype=dtype)
    params = {name: points.clone().requires_grad_() for name in allowed}
    store.set_state({"params": params, "constraints": allowed})
    found = check_store(torch, store, tmp_path / "store.pt", largest=3.0)
    for name in ("positive", "softplus_positive", "unit_interval", "half_open"):
        check(torch, found, name, store[name])


@both
@pytest.mark.parametrize("shape", [(1,), (2,), (3, 4), (2, 3, 5)])
def test_a_simplex(torch, pyro, dtype, shape, store, tmp_path):
    """Along the last axis, also where shares underflow."""
    torch.manual_seed(len(shape))
    for name, scale in (("near", 1.0), ("far", 60.0)):
        logits = scale * torch.randn(shape, dtype=dtype)
        pyro.param(name, logits.softmax(-1), constraint=pyro.distributions.constraints.simplex)
        store.get_state()["params"][name].data.copy_(logits)
    check_store(torch, store, tmp_path / "store.pt", largest=1.0)


@both
def test_constraints_of_several_elements_are_left_out(torch, pyro, dtype, store, tmp_path):
    constraints = pyro.distributions.constraints
    eye = torch.eye(2)
    values = {
        "lower_cholesky": (eye, constraints.lower_cholesky),
        "softplus_lower_cholesky": (eye, constraints.softplus_lower_cholesky),
        "unit_lower_cholesky": (eye, constraints.unit_lower_cholesky),
        "corr_cholesky": (eye, constraints.corr_cholesky),
        "positive_definite": (eye, constraints.positive_definite),
        "ordered_vector": (torch.tensor([1.0, 2.0]), constraints.ordered_vector),
        "positive_ordered_vector": (torch.tensor([1.0, 2.0]), constraints.positive_ordered_vector),
        "stack": (eye, constraints.stack([constraints.real, constraints.positive])),
        "cat": (
            torch.ones(2),
            constraints.cat([constraints.real, constraints.positive], 0, [1, 1]),
        ),
    }
    for name, (value, constraint) in values.items():
        pyro.param(name, value, constraint=constraint)
    pyro.param("a", torch.tensor(2.0), constraint=constraints.positive)
    found = check_store(torch, store, tmp_path / "store.pt", left_out=tuple(values))
    for name in values:
        rule = f"{name}: left out (constraint {name}: its elements are not separate)"
        assert rule in found.notes


def model_in(torch, pyro):
    dist, positive = pyro.distributions, pyro.distributions.constraints.positive

    def model():
        one = pyro.param("prior.concentration1", torch.tensor(2.0), constraint=positive)
        zero = pyro.param("prior.concentration0", torch.tensor(5.0), constraint=positive)
        with pyro.plate("latents", 3):
            c = pyro.sample("c", dist.Beta(one, zero))
            pyro.sample("k", dist.Binomial(10, c), obs=torch.tensor([1.0, 4.0, 2.0]))

    return model


def fit(pyro, model, guide, loss):
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss)
    for _ in range(3):
        svi.step()


@both
@pytest.mark.parametrize(
    ("kind", "left_out"),
    [
        ("AutoNormal", ()),
        ("AutoDelta", ()),
        ("AutoDiagonalNormal", ()),
        ("AutoLaplaceApproximation", ()),
        ("AutoLowRankMultivariateNormal", ()),
        ("AutoIAFNormal", ()),
        ("AutoMultivariateNormal", ("AutoMultivariateNormal.scale_tril",)),
    ],
)
def test_auto_guides(require, torch, pyro, dtype, store, tmp_path, kind, left_out):
    model = model_in(torch, pyro)
    guide = getattr(require("pyro.infer.autoguide"), kind)(model)
    fit(pyro, model, guide, pyro.infer.Trace_ELBO())
    check_store(torch, store, tmp_path / "store.pt", left_out)
    torch.save(guide.state_dict(), tmp_path / "guide.pt")
    found = read_parameters(tmp_path / "guide.pt")
    for name, tensor in guide.state_dict().items():
        check(torch, found, name, tensor) if tensor.is_floating_point() else None
        unknown = f"{name}: left unconstrained, as its constraint is not known here"
        assert (unknown in found.notes) == name.endswith("_unconstrained")


@both
def test_baselines(require, torch, pyro, dtype, store, tmp_path):
    """Under `TraceGraph_ELBO` a live baseline is no plain tensor, but one with provenance."""
    fakes = require("pyro.distributions.testing.fakes")
    positive = pyro.distributions.constraints.positive

    def guide():
        one = pyro.param("guide.1", torch.ones(3), constraint=positive)
        with pyro.plate("latents", 3):
            baseline = {"use_decaying_avg_baseline": True}
            infer = {"baseline": baseline}
            pyro.sample("c", fakes.NonreparameterizedBeta(one, torch.tensor(2.0)), infer=infer)

    fit(pyro, model_in(torch, pyro), guide, pyro.infer.TraceGraph_ELBO())
    left_out = ("__baseline_avg_downstream_cost_c",)
    assert set(left_out) < set(store)
    check_store(torch, store, tmp_path / "store.pt", left_out)


@both
def test_modules(require, torch, pyro, dtype, store, tmp_path):
    """A `PyroModule` writes its parameters by name, `pyro.module` under its own name and `$$$`."""
    nn, constraints = require("pyro.nn"), pyro.distributions.constraints

    class Guide(nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.scale = nn.PyroParam(torch.tensor([1.5, 2.5]), constraint=constraints.positive)
            self.weight = torch.nn.Parameter(torch.tensor(0.25))
            self.inner = nn.PyroModule[torch.nn.Linear](2, 3)

        def forward(self):
            return self.scale, self.weight, self.inner(torch.ones(2))

    guide = Guide()
    guide()
    assert set(store) == {"scale", "weight", "inner.weight", "inner.bias"}
    check_store(torch, store, tmp_path / "store.pt")
    pyro.module("guide", guide)
    assert "guide$$$scale_unconstrained" in store
    found = check_store(torch, store, tmp_path / "both.pt")
    unknown = "guide.scale_unconstrained: left unconstrained, as its constraint is not known here"
    assert unknown in found.notes


@both
def test_plain_mappings(torch, pyro, dtype, store, tmp_path):
    """`torch.save` of constrained values, of a state, and of histories; the mappings themselves."""
    pyro.param("a", torch.tensor([0.1, 2.0]), constraint=pyro.distributions.constraints.positive)
    pyro.param("b", torch.tensor(0.3))
    values = {name: value.detach().clone() for name, value in store.items()}
    history = [{name: value.detach() + i for name, value in store.items()} for i in range(4)]
    listed = {name: [row[name] for row in history] for name in values}
    stacked = {name: torch.stack(row) for name, row in listed.items()}
    live = {name: list(itertools.repeat(store[name], 4)) for name in values}
    with pytest.raises(TypeError, match="weakref"):  # of constrained values, as they are
        torch.save(dict(store.items()), io.BytesIO())
    path = tmp_path / "values.pt"
    for mapping in (values, listed, stacked):
        torch.save(mapping, path)
        for source in (path, mapping):
            found = read_parameters(source)
            for name in values:
                tensor = stacked[name] if mapping is not values else values[name]
                check(torch, found, name, tensor)
    torch.save(store.get_state(), path)
    for name, tensor in values.items():
        check(torch, read_parameters(path), name, tensor)
        check(torch, read_parameters(live), name, torch.stack([tensor] * 4))
    with pytest.raises(TypeError, match=r"params is a mapping .* hand in the parameter store"):
        read_parameters(store.get_state())


def test_types(torch, tmp_path):
    values = {
        "half": torch.tensor([0.1, 6e4, float("inf")], dtype=torch.float16),
        "brain": torch.tensor([0.1, 3e38, float("nan")], dtype=torch.bfloat16),
        **{
            str(kind): torch.tensor([0, 100], dtype=getattr(torch, kind))
            for kind in ("uint8", "int8", "int16", "int32", "int64")
        },
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "expanded": torch.arange(6.0)[2:5].reshape(3, 1).expand(3, 1),
        "parameter": torch.nn.Parameter(torch.tensor(1.5)),
    }
    torch.save(values, tmp_path / "values.pt")
    for source in (tmp_path / "values.pt", values):
        found = read_parameters(source)
        for name, tensor in values.items():
            assert np.array_equal(
                found.values[name], tensor.detach().double().numpy(), equal_nan=True
            )
            assert found.dtypes[name] == str(tensor.dtype).removeprefix("torch.")
    for name, tensor in (("c", torch.tensor(1j)), ("b", torch.tensor(True))):
        torch.save({name: tensor}, tmp_path / "values.pt")
        with pytest.raises(DataError, match=r"global 'torch\.\w+Storage' is none"):
            read_parameters(tmp_path / "values.pt")
        with pytest.raises(TypeError, match=f"{name} must be real numbers, not a Tensor of dtype"):
            read_parameters({name: tensor})


def test_a_tensor_of_one_number_and_1e9_elements(torch, tmp_path):
    """PyTorch makes it (and would on `weights_only`, too); the reader names the rule."""
    path = tmp_path / "values.pt"
    torch.save({"a": torch.tensor(1.5).expand(10**9)}, path)
    assert path.stat().st_size < 3000
    assert torch.load(path, weights_only=True)["a"].numel() == 10**9
    with pytest.raises(DataError) as caught:
        read_parameters(path)
    assert "strides (0,) puts several elements in one place (clone it before" in str(caught.value)


def test_what_else_torch_save_writes(torch, tmp_path):
    path = tmp_path / "values.pt"
    tensor, linear = torch.ones(2), torch.nn.Linear(1, 1)
    for value, options, message in (
        (tensor, {"_use_new_zipfile_serialization": False}, "the format from before PyTorch"),
        (tensor, {"pickle_protocol": 4}, r"the pickle has protocol 4; torch\.save writes 2"),
        (linear, {}, r"global 'torch\.nn\.modules\.linear\.Linear' is none"),
        (np.ones(2), {}, r"global 'numpy\.\w+\.multiarray\._reconstruct' is none"),
    ):
        torch.save({"a": value}, path, **options)
        with pytest.raises(DataError, match=message):
            read_parameters(path)
