"""Expressions for what a role is, in the names of somebody's parameters.

    expression = NAME | NAME[INDEX, ...] | NUMBER | FUNCTION(expression)
    FUNCTION   = exp | log | softplus | sigmoid | logit
    INDEX      = an integer | : | ...

A name is one that the store has, whatever it contains, and is taken as such first. The index is
NumPy's, of the array as it was handed in. A number is a value that is held. A role may stand in a
function too: ``log(prior.concentration1)=x`` is ``prior.concentration1=exp(x)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import EllipsisType
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.guides.constraints import SOFTPLUS

FUNCTIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "exp": np.exp,
    "log": np.log,
    "softplus": SOFTPLUS.constrain,
    "sigmoid": sc.expit,
    "logit": sc.logit,
}
_INVERSES = {"exp": "log", "log": "exp", "sigmoid": "logit", "logit": "sigmoid"}
_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\(\s*(.*?)\s*\)\s*", re.DOTALL)
_ROW = re.compile(r"(.+?)\s*\[([^\[\]]*)\]", re.DOTALL)
_GRAMMAR = "a name, a row such as ab[0], a number, or one of these in exp(), log(), softplus(), "
_GRAMMAR += "sigmoid() or logit()"

Index = tuple[int | slice | EllipsisType, ...]


def forms_of(x: FloatArray) -> list[FloatArray]:
    """List a parameter and what each function makes of it."""
    with np.errstate(all="ignore"):
        return [x, *(function(x) for function in FUNCTIONS.values())]


class NamesError(ValueError):
    """A claim about names that cannot be taken.

    Attributes
    ----------
    rule : str
        The message without the name of the argument before it, which the command calls otherwise.
    """

    argument = "names"

    def __init__(self, rule: str) -> None:
        super().__init__(f"{self.argument}{rule}")
        self.rule = rule


class Expression(NamedTuple):
    """An expression in one parameter, or a number.

    Attributes
    ----------
    name : str
        The parameter's; empty for a number.
    rows : tuple
        The row that is taken, as NumPy has it; empty for all.
    functions : tuple of str
        Those around it, the innermost first.
    number : float or None
        The value that is held.
    """

    name: str
    rows: Index = ()
    functions: tuple[str, ...] = ()
    number: float | None = None

    def of(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Evaluate the expression.

        Raises
        ------
        NamesError
            If the parameter has no such row.
        """
        array = np.asarray(values[self.name] if self.number is None else self.number)
        try:
            array = array[self.rows]
        except IndexError:
            text = f"{self.name} has shape {array.shape}: there is no such row"
            raise NamesError(f": {text} as {_indexed(self.name, self.rows)}") from None
        with np.errstate(all="ignore"):
            for function in self.functions:
                array = FUNCTIONS[function](array)
        return np.asarray(array, np.float64)


def _indexed(name: str, index: Index) -> str:
    words = {slice: ":", EllipsisType: "..."}
    return f"{name}[{', '.join(words.get(type(x), str(x)) for x in index)}]"


def parse(text: str, known: Mapping[str, object]) -> Expression:
    """Parse an expression in known names.

    Raises
    ------
    NamesError
        If it is none.

    Examples
    --------
    >>> parse("exp(ab[0])", {"ab": None})
    Expression(name='ab', rows=(0,), functions=('exp',), number=None)
    >>> parse("a[0]", {"a[0]": None}).name
    'a[0]'
    >>> parse("2.5", {}).number
    2.5
    """
    whole, functions = text, list[str]()
    while text not in known:
        call = _CALL.fullmatch(text)
        if call is None:
            break
        function, text = call.groups()
        if function not in FUNCTIONS:
            raise NamesError(f": {function!r} in {whole!r} is none of {', '.join(FUNCTIONS)}")
        functions.insert(0, function)
    text = text if text in known else text.strip()
    row = None if text in known else _ROW.fullmatch(text)
    if text in known or "*" in text:
        return Expression(text, functions=tuple(functions))
    if row is not None and (row[1] in known or "*" in row[1]):
        return Expression(row[1], _index(row[2], whole), tuple(functions))
    try:
        return Expression("", (), tuple(functions), float(text))
    except ValueError:
        name = text if row is None else row[1]
    if re.fullmatch(r"[^\s()\[\]]+", name):
        raise NamesError(f": there is no parameter {name!r}; {listed(known)}")
    raise NamesError(f": {whole!r} is not {_GRAMMAR}")


def of_each_step(text: str, values: Mapping[str, FloatArray], steps: int, latents: int = 1) -> str:
    """Take the row of a history for that of each step, where its first axis is so many steps.

    One with a colon is, where only so it has one value, or one for each latent, in a step.

    Examples
    --------
    >>> of_each_step("exp(ab[0])", {"ab": np.ones((500, 2))}, 500)
    'exp(ab[:,0])'
    >>> of_each_step("ab[0]", {"ab": np.ones((2, 500))}, 500)
    'ab[0]'
    >>> of_each_step("ab[:,0]", {"ab": np.ones((500, 8, 2))}, 500, latents=8)
    'ab[:,:,0]'
    """
    try:
        name, rows, *_ = parse(text, values)
    except NamesError:
        return text
    shape = np.shape(values.get(name, ()))
    whole = len(shape) > len(rows) and steps > 1 and shape[0] in (steps, steps + 1)
    if not rows or not whole:
        return text
    if not all(isinstance(row, int) for row in rows):
        table = np.broadcast_to(0.0, shape)
        read = table[rows], table[slice(None), *rows]
        if [x.ndim > 0 and x[0].size in (1, latents) for x in read] != [False, True]:
            return text
    start, _, index = text.rpartition("[")
    return f"{start}[:,{index}"


def listed(known: Collection[str]) -> str:
    """List the names of a store, for an error."""
    return f"the store has: {', '.join(sorted(known)) or 'nothing'}"


def _index(text: str, whole: str) -> Index:
    """Parse what stands in brackets."""
    index: list[int | slice | EllipsisType] = []
    for part in text.split(","):
        word = part.strip()
        if word == ":":
            index.append(slice(None))
        elif word == "...":
            index.append(...)
        elif re.fullmatch(r"-?\d{1,9}", word):
            index.append(int(word))
        else:
            raise NamesError(f": {word!r} in {whole!r} is no integer, no : and no ...")
    if index.count(...) > 1:
        raise NamesError(f": {whole!r} has more than one ...")
    return tuple(index)


def role_of(text: str) -> tuple[str, tuple[str, ...]]:
    """Split a role from the functions around it, and return those that undo them in order.

    Examples
    --------
    >>> role_of("log(prior.concentration1)")
    ('prior.concentration1', ('exp',))
    """
    undone: list[str] = []
    while (call := _CALL.fullmatch(text)) is not None:
        function, text = call.groups()
        if function not in _INVERSES:
            known = ", ".join(_INVERSES)
            raise NamesError(f": {function!r} around the role {text!r} is none of {known}")
        undone.append(_INVERSES[function])
    return text.strip(), tuple(undone)


def split_pairs(text: str) -> list[str]:
    """Split at commas that are outside of brackets.

    Examples
    --------
    >>> split_pairs("a=ab[:,0],b=c")
    ['a=ab[:,0]', 'b=c']
    """
    return re.split(r",(?![^\[]*\])", text)
