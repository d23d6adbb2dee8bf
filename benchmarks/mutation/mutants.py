"""Mutants of a module, by the operators of cosmic-ray.

Of each operator the tool's nearest replacements are used: `+` becomes `-`, `<` becomes `<=` and
`>=`, a number one more and one less, a condition its opposite, `and` `or`, a loop one that is not
entered; a decorator goes. Left out are those that nothing could miss (`+` to `<<`), annotations and
other types, what stands under `if TYPE_CHECKING`, the `strict` of a `zip`, which right code never
feels, the `*` before arguments that have a name, which is no product, a cache of results, which
changes the speed alone, the 1 of `reshape(-1)`, as any negative size is the one that is left, and
mutants that compile to the same code.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

BINARY = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
    *("BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitAnd", "LShift_RShift", "RShift_LShift"),
)
COMPARISONS = (
    *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE"),
    *("GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is"),
)
OTHERS = (
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
)
OPERATORS = (
    *(f"ReplaceBinaryOperator_{x}" for x in BINARY),
    *(f"ReplaceComparisonOperator_{x}" for x in COMPARISONS),
    *(f"ReplaceUnaryOperator_Delete_{x}" for x in ("USub", "Not", "Invert")),
    *OTHERS,
)
SEED = 24

Position = tuple[int, int]
Span = tuple[Position, Position]


@dataclass(frozen=True)
class Mutant:
    """One change of one module: the line it is on, what that becomes, and the whole source."""

    path: str
    definition: str
    operator: str
    lineno: int
    line: str
    becomes: str
    statement: tuple[int, int]
    """First and last line of what is run where the change is."""
    source: str

    def record(self) -> dict[str, object]:
        """Everything but the source."""
        kept = asdict(self)
        del kept["source"], kept["statement"]
        return kept


def _span(node: ast.AST) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _is_type(node: ast.AST) -> bool:
    """Tell whether an expression is made of names, subscripts and `|` only."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr) and _is_type(node.left) and _is_type(node.right)
    if isinstance(node, ast.Subscript):
        return _is_type(node.value)
    return isinstance(node, ast.Name | ast.Attribute | ast.Constant)


def _is_alias(node: ast.AST) -> bool:
    """Tell whether a statement names a type, as in `Rows = Array | slice`."""
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation).endswith("TypeAlias")
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return False
    name = node.targets[0].id
    return name[0].isupper() and not name.isupper() and _is_type(node.value)


def _left_out(tree: ast.Module) -> list[Span]:
    """Annotations and types, what only type checkers see, `strict`, and the `*` of a signature."""
    spans = []
    for node in ast.walk(tree):
        spans += _without_effect(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            spans += _mark(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            spans.append(_span(node.returns))
        elif _is_alias(node):
            spans.append(_span(node))
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            spans.append(_span(node.annotation))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            spans.append(_span(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "zip"):
            types = node.args[:1] if ast.unparse(node.func) == "cast" else []
            spans += map(_span, [*types, *(x for x in node.keywords if x.arg == "strict")])
    return spans


def _without_effect(node: ast.AST) -> list[Span]:
    """Caches of results, and the 1 of a size that is left to NumPy."""
    if isinstance(node, ast.FunctionDef):
        caches = [x for x in node.decorator_list if _is_cache(x)]
        return [((x.lineno, 0), _span(x)[1]) for x in caches]
    if not isinstance(node, ast.Call):
        return []
    if _is_cache(node):
        return [_span(node)]
    sizes = node.args if ast.unparse(node.func).endswith("reshape") else []
    minus = (x for x in sizes if isinstance(x, ast.UnaryOp) and isinstance(x.op, ast.USub))
    return [_span(x.operand) for x in minus]


def _is_cache(node: ast.AST) -> bool:
    """Tell whether it is `cache` or `lru_cache`, with or without a size."""
    name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    return name.rpartition(".")[2] in ("cache", "lru_cache")


def _mark(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[Span]:
    """What stands before the first argument that must have a name, up to the one before it."""
    given = function.args
    if not given.kwonlyargs:
        return []
    before = [*given.posonlyargs, *given.args, *given.defaults]
    start = max((_span(x)[1] for x in before), default=(function.lineno, function.col_offset))
    return [(start, _span(given.kwonlyargs[0])[0])]


def _definitions(tree: ast.Module) -> list[tuple[int, int, str]]:
    """First line, last line and dotted name of each class and function, outer ones first."""
    found = []

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = outer
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{outer}.{child.name}" if outer else child.name
                first = min([child.lineno, *(x.lineno for x in child.decorator_list)])
                found.append((first, child.end_lineno, name))
            visit(child, name)

    visit(tree, "")
    return found


def _statements(tree: ast.Module) -> list[tuple[int, int]]:
    """First and last line of each statement, of a compound one those of its head."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            body = getattr(node, "body", None)
            first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
            last = max(first, body[0].lineno - 1) if body else node.end_lineno
            found.append((first, last))
    return found


def _around(line: int, spans: list[tuple[int, int]]) -> tuple[int, int]:
    """The shortest of the spans that hold the line."""
    holding = [x for x in spans if x[0] <= line <= x[1]]
    return min(holding, key=lambda x: x[1] - x[0], default=(line, line))


def _places(path: str, source: str, seed: int) -> Iterator[tuple[str, str, str, int, int]]:
    """Rank, definition, operator, number of the occurrence and line of each possible change."""
    tree, nodes = ast.parse(source), list(ast_nodes(get_ast(source)))
    left_out, definitions = _left_out(tree), _definitions(tree)
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        places = [(node, at) for node in nodes for at in operator.mutation_positions(node)]
        seen: Counter[str] = Counter()
        for number, (_, (start, _)) in enumerate(places):
            if any(first <= start < last for first, last in left_out):
                continue
            inside = [x for first, last, x in definitions if first <= start[0] <= last]
            definition = inside[-1] if inside else ""
            seen[definition] += 1
            key = f"{seed} {path} {definition} {name} {seen[definition]}"
            yield hashlib.sha256(key.encode()).hexdigest(), definition, name, number, start[0]


def places(
    root: Path, paths: list[str], seed: int = SEED
) -> list[tuple[str, str, str, str, int, int]]:
    """All possible changes of some modules, in an order that chance has given them."""
    found = []
    for path in paths:
        source = (root / path).read_text("utf-8")
        found += [
            (rank, path, definition, operator, number, line)
            for rank, definition, operator, number, line in _places(path, source, seed)
        ]
    return sorted(found)


def _compiled(source: str, path: str) -> CodeType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile(source, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return None


def _change(source: str, mutated: str) -> tuple[str, str]:
    """The first line that differs, and what it becomes."""
    pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
    line, becomes = next((old, new) for old, new in pairs if old != new)
    return line.strip(), becomes.strip()


def mutants(root: Path, paths: list[str], most: int | None, seed: int = SEED) -> list[Mutant]:
    """A sample of the mutants of some modules, or all.

    The sample is the first of them in an order by a hash of module, definition, operator and
    occurrence there, so that an edit elsewhere leaves it as it is.
    """
    found: list[Mutant] = []
    parts = {
        path: (source, _statements(ast.parse(source)), _compiled(source, path))
        for path in paths
        for source in [(root / path).read_text("utf-8")]
    }
    for _, path, definition, operator, number, line in places(root, paths, seed):
        if most is not None and len(found) == most:
            break
        source, statements, before = parts[path]
        mutated = mutate_code(source, get_operator(f"core/{operator}")(), number)
        after = None if mutated is None else _compiled(mutated, path)
        if mutated is None or after is None or before is None or same(before, after):
            continue
        lines = source.splitlines()
        statement = _around(line, statements)
        text = (lines[line - 1].strip(), "")
        if operator != "RemoveDecorator":
            text = _change(source, mutated)
        found.append(Mutant(path, definition, operator, line, *text, statement, mutated))
    return found


def nested(code: CodeType) -> list[CodeType]:
    return [x for x in code.co_consts if isinstance(x, CodeType)]


def _shallow(code: CodeType) -> tuple[object, ...]:
    constants = [
        "" if isinstance(x, CodeType) else f"{type(x).__name__} {x!r}" for x in code.co_consts
    ]
    return (
        *(code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars),
        *(code.co_cellvars, code.co_flags, code.co_exceptiontable, code.co_name),
    )


def same(old: CodeType, new: CodeType) -> bool:
    """Whether two compiled sources do the same, wherever their lines stand."""
    pairs = list(zip(nested(old), nested(new), strict=False))
    return (
        _shallow(old) == _shallow(new)
        and len(nested(old)) == len(nested(new))
        and all(same(x, y) for x, y in pairs)
    )


def run_at_import(code: CodeType) -> bool:
    """Whether it is the code of a module, a class, or a comprehension there."""
    optimized = code.co_flags & 1
    return not optimized or (code.co_name.startswith("<") and code.co_name != "<lambda>")


def changed_functions(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """The code of each function before and after; None if what an import runs has changed."""
    if run_at_import(old) and _shallow(old) != _shallow(new):
        return None
    if len(nested(old)) != len(nested(new)):
        return None if run_at_import(old) else [(old, new)]
    pairs = [] if run_at_import(old) or same(old, new) else [(old, new)]
    for before, after in zip(nested(old), nested(new), strict=True):
        inner = changed_functions(before, after) if run_at_import(old) else _inner(before, after)
        if inner is None:
            return None
        pairs += inner
    return pairs


def _inner(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]]:
    """The same within a function."""
    pairs = [] if same(old, new) else [(old, new)]
    for before, after in zip(nested(old), nested(new), strict=False):
        pairs += _inner(before, after)
    return pairs
