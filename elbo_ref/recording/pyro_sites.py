"""The sites of one step of a Pyro run, noted from Pyro's messages.

Of each distribution its class and the values of its arguments are kept, and by a hook on the
argument itself the gradient that the loss has for it. Which parameters an argument was computed
from is read off PyTorch's graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref.recording.distribution_kinds import PAIRS, ROWS, known_class, unwrapped
from elbo_ref.recording.pyro_distributions import (
    Argument,
    arguments_of,
    counts_of,
    mask_of,
    probability_of,
)
from elbo_ref.recording.steps import Draws, Link, Observed, SiteNotes
from elbo_ref.svi.parameters import NAMES

_PARTICLES = "num_particles_vectorized"
"""The plate of Pyro's ELBOs."""


class _Layout(NamedTuple):
    """The axes of a site: its shape with those of vectorised particles, which come first here."""

    shape: tuple[int, ...]
    particles: tuple[int, ...]

    @property
    def elements(self) -> tuple[int, ...]:
        """Shape without particles."""
        return tuple(n for i, n in enumerate(self.shape) if i not in self.particles)

    def flat(self, tensor: Any) -> NDArray[Any]:
        """Arrange values as (P, n)."""
        wide = np.broadcast_to(as_array(tensor), self.shape)
        first = np.moveaxis(wide, self.particles, range(len(self.particles)))
        return np.ascontiguousarray(first).reshape(-1, math.prod(self.elements))

    def argument(self, tensor: Any) -> tuple[NDArray[Any], bool]:
        """Arrange one that all particles share as (n,) or (1,); and tell whether they do not."""
        if tensor.numel() == 1 or not any(tensor.stride()):
            return as_array(tensor.reshape(-1)[:1]), False
        if tensor.ndim < len(self.shape) and not self.particles:
            tensor = tensor.expand(self.shape)
        values = self.flat(tensor)
        return values[0].copy(), bool((values != values[:1]).any())

    def gradient(self, gradient: NDArray[Any]) -> NDArray[Any]:
        """Add up a gradient over particles, (n,); over everything where elements share it, (1,)."""
        if gradient.shape != self.shape:
            return np.atleast_1d(gradient.sum())
        total = gradient.sum(axis=self.particles) if self.particles else gradient
        return np.array(total.ravel())


class SiteListener(SiteNotes):
    """The sites of one step, noted from Pyro's messages.

    Attributes
    ----------
    programs : dict of parameter names to sets
        The programs that state a parameter.
    conflicts : set of str
        Parameters that the two programs state with other initial values.
    parameters : dict of names to pairs of tensors
        Each parameter, unconstrained and constrained.
    refused : str
        The first thing that could not be noted; empty if there was none.
    """

    def __init__(self, links: dict[str, Link], *, first: bool) -> None:
        super().__init__(links)
        self.programs: dict[str, set[str]] = {}
        self.conflicts: set[str] = set()
        self._initial: dict[tuple[str, str], Any] = {}
        self._first, self._program = first, ""
        self.parameters: dict[str, tuple[Any, Any]] = {}
        self.refused = ""
        self._leaves: dict[int, str] = {}
        self._hooks: list[Any] = []
        self._hooked: dict[int, tuple[Any, list[str]]] = {}
        self._without_gradient: set[str] = set()

    def within(self, program: str, function: Any) -> Callable[..., Any]:
        """Wrap the model or the guide to say which of them it is while it runs.

        Pyro's `poutine.unwrap` finds the function in the second argument of a partial one.
        """
        return partial(self._run, program, function)

    def _run(self, program: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        outer, self._program = self._program, program
        try:
            return function(*args, **kwargs)
        finally:
            self._program = outer

    def messenger(self) -> Any:
        """Make the context in which Pyro's sites are noted."""
        import torch
        from pyro.poutine.messenger import Messenger

        note, note_parameter = torch.no_grad()(self._note), self._note_parameter

        def noted(msg: Any) -> None:
            try:
                note(msg)
            except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
                kind = known_class(msg["fn"])
                words = f"the site {msg['name']!r} (a {kind}) cannot be recorded: {error}"
                self.refused = self.refused or words

        class Listener(Messenger):  # type: ignore[misc]
            def _pyro_post_sample(self, msg: Any) -> None:
                noted(msg)

            def _pyro_post_param(self, msg: Any) -> None:
                note_parameter(msg)

        return Listener()

    def _note_parameter(self, msg: Any) -> None:
        name, value = msg["name"], msg["value"]
        leaf = value.unconstrained() if hasattr(value, "unconstrained") else value
        self.parameters[name] = leaf, value
        if not self._first:
            return
        self._leaves[id(leaf)] = name
        self.programs.setdefault(name, set()).add(self._program)
        initial = msg["args"][1] if len(msg["args"]) > 1 else None
        if initial is None or not hasattr(initial, "shape"):
            return
        here = self._initial.setdefault((name, self._program), as_array(initial))
        for program in ("model", "guide"):
            other = self._initial.get((name, program), here)
            if not np.array_equal(other, here):
                self.conflicts.add(name)

    def _note(self, msg: Any) -> None:
        name, program, fn = msg["name"], self._program, msg["fn"]
        if type(fn).__name__ == "_Subsample":
            if msg["value"].numel() < fn.size:
                self.add_batch(name, as_array(msg["value"]).ravel(), fn.size)
            return
        (base, kind), frames = unwrapped(fn), msg["cond_indep_stack"]
        axes = [
            len(fn.batch_shape) + frame.dim
            for frame in frames
            if frame.name == _PARTICLES and -frame.dim <= len(fn.batch_shape)
        ]
        event = {"Unit": (), **dict.fromkeys(PAIRS, fn.event_shape[:-1])}
        shape = (*fn.batch_shape, *event.get(kind, fn.event_shape))
        observed = bool(msg["is_observed"])
        if observed and kind in ROWS:
            wide = np.broadcast_shapes(shape, counts_of(base, kind, msg["value"])[0].shape)
            shape, axes = wide, [axis + len(wide) - len(shape) for axis in axes]
        layout = _Layout(shape, tuple(axes))
        if msg["infer"].get("_enumerate_dim") is not None:
            described = _described(base, msg["scale"], frames)
            self.add_site(program, name, {}, **described, observed=observed, enumerated=True)
            return
        drawn = not observed and kind not in ROWS
        if drawn and (program == "guide" or ("guide", name) not in self.sites):
            value = msg["value"][..., 0] if kind in PAIRS else msg["value"]
            self.add_draws(name, Draws(layout.flat(value), layout.elements))
        elif kind == "DirichletOfTwo" and self._latest[name].values.shape[1] != math.prod(
            layout.elements
        ):
            self._keep_first(name, msg["value"][..., 0], layout)
        elif drawn:
            _check_elements(name, self._latest[name], layout)
        if (program, name) not in self.sites:
            described = _described(base, msg["scale"], frames)
            described |= {"observed": observed, **self._note_data(name, base, kind, msg, layout)}
            if _differ(msg["scale"]):
                self.observed[f"{program}.{name}.scale"] = layout.flat(msg["scale"])[0].copy()
            kept = mask_of(fn, msg["mask"])
            if kept is not None:
                self.observed[f"{program}.{name}.mask"] = layout.flat(kept)[0].copy()
            self._note_arguments(program, name, arguments_of(base, kind), layout, described)
        self._hook(program, name, base, kind, layout)

    def _keep_first(self, name: str, value: Any, layout: _Layout) -> None:
        """Keep the first of a pair that the guide has as a point of two, as automatic guides do."""
        self.draws[name].pop()
        self.add_draws(name, Draws(layout.flat(value), layout.elements))
        full = f"guide.{name}.v"
        if full in self.arguments:
            self.arguments[full] = layout.argument(value)[0]
            self._without_gradient.add(full)

    def _note_arguments(
        self,
        program: str,
        name: str,
        given: Mapping[str, Argument],
        layout: _Layout,
        described: Mapping[str, Any],
    ) -> None:
        """Note the arguments of a site, and in the first step what they are computed from."""
        arguments, sources, varying = {}, {}, []
        for key, argument in given.items():
            arguments[key], varies = layout.argument(argument.value)
            varying += [key] if varies else []
            if self._first:
                sources[key] = sorted(self._sources(argument))
        learnable = [x for x in given if getattr(given[x].tensor, "requires_grad", False)]
        told = {"sources": sources, "learnable": learnable} if self._first else {}
        self.add_site(program, name, arguments, **described, **told, varying=varying)

    def _note_data(
        self, name: str, base: Any, kind: str, msg: Any, layout: _Layout
    ) -> dict[str, Any]:
        """Note counts or a factor, and describe them."""
        if kind == "Unit":
            self.observed[f"{name}.factor"] = layout.flat(base.log_factor)[0].copy()
        return self._note_rows(name, base, kind, msg["value"], layout) if kind in ROWS else {}

    def _note_rows(
        self, name: str, base: Any, kind: str, value: Any, layout: _Layout
    ) -> dict[str, Any]:
        """Note observed or drawn counts, and describe them."""
        value, total = counts_of(base, kind, value)
        given = value[tuple(slice(0, 1) if n == 0 else slice(None) for n in value.stride())]
        probability, is_logit = probability_of(base, kind)
        rows = Observed(
            layout.argument(value)[0],
            layout.argument(total)[0],
            layout.elements,
            int(given.numel()),
            None if probability is None else layout.flat(probability),
            is_logit,
        )
        return {**self.add_rows(name, rows), "logits": is_logit}

    def _hook(self, program: str, name: str, base: Any, kind: str, layout: _Layout) -> None:
        """Have the gradient for each argument noted when the loss is differentiated.

        A tensor that several runs or sites have, as a parameter itself is, is hooked once; the
        first site has its gradient, the others none of it.
        """
        for key, argument in arguments_of(base, kind).items():
            tensor, split = argument.tensor, argument.column is not None
            if not getattr(tensor, "requires_grad", False):
                continue
            names = [f"{program}.{name}.{x}" for x in (NAMES if split else (key,))]
            _, first = self._hooked.setdefault(id(tensor), (tensor, names))
            if first is not names:
                shape = tuple(tensor.shape[:-1] if split else tensor.shape)
                for full in names if first != names else ():
                    self.add_gradient(full, layout.gradient(np.zeros(shape)))
                continue

            def note(gradient: Any, names: Any = names, split: bool = split) -> None:
                array = as_array(gradient).astype(np.float64)
                for i, full in enumerate(names):
                    self.add_gradient(full, layout.gradient(array[..., i] if split else array))

            self._hooks.append(tensor.register_hook(note))

    def _sources(self, argument: Argument) -> set[str]:
        """Find the parameters that an argument was computed from."""
        node: Any = getattr(argument.tensor, "grad_fn", None)
        found, seen = set(), set()
        if id(argument.tensor) in self._leaves:
            found.add(self._leaves[id(argument.tensor)])
        while argument.column is not None and len(getattr(node, "next_functions", ())) == 1:
            node = node.next_functions[0][0]
        if argument.column is not None and type(node).__name__.startswith("StackBackward"):
            node = node.next_functions[argument.column][0]
        queue = [node]
        while queue:
            node = queue.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            leaf = getattr(node, "variable", None)
            if leaf is not None and id(leaf) in self._leaves:
                found.add(self._leaves[id(leaf)])
            queue += [following for following, _ in node.next_functions]
        return found

    def release(self) -> None:
        """Take the hooks off again."""
        for full in self._without_gradient:
            self.gradients.pop(full, None)
        for hook in self._hooks:
            hook.remove()
        self._hooked.clear()


def _check_elements(name: str, draws: Draws, layout: _Layout) -> None:
    """Check that a model's site has the elements that the guide draws."""
    drawn, wanted = draws.values.shape[1], math.prod(layout.elements)
    if drawn != wanted:
        raise ValueError(
            f"the guide draws {drawn} {'value' if drawn == 1 else 'values'} of {name!r} and the "
            f"model has {wanted}: put both into the same plates"
        )


def _described(base: Any, scale: Any, frames: Any) -> dict[str, Any]:
    """Describe a site by its class, its scale and its plates."""
    number, planned = _one_number(scale), 1.0
    if not math.isfinite(number):
        raise ValueError(f"its scale is {number}")
    for frame in frames:
        planned *= (frame.full_size or frame.size) / frame.size
    described: dict[str, Any] = {
        "class": known_class(base),
        "scale": number,
        "planned_scale": float(planned),
        "plates": [frame.name for frame in frames if frame.name != _PARTICLES],
        "reparameterized": bool(base.has_rsample),
    }
    if hasattr(base, "transforms"):
        described["transforms"] = [type(x).__name__ for x in base.transforms]
    return described


def _differ(scale: Any) -> bool:
    """Return True if elements have scales of their own."""
    return getattr(scale, "numel", lambda: 1)() > 1 and bool((scale != scale.flatten()[0]).any())


def _one_number(scale: Any) -> float:
    """Return a scale that all elements share; 1 where they have their own."""
    if _differ(scale):
        return 1.0
    return float(scale.flatten()[0] if hasattr(scale, "flatten") else scale)


def as_array(tensor: Any) -> NDArray[Any]:
    """Copy a tensor to an array."""
    return np.array(tensor.detach().cpu().numpy())
