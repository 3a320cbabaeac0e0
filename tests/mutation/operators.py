"""Mutants of a module: its source with one small fault, of the kinds that slip into scientific code.

Every fault is one replaced piece of the source text, found through the syntax tree: a boundary that is included or not,
a sign, a minimum for a maximum, the initial for the final weights, a check that is never made. Annotations, docstrings,
messages and decorators are left alone.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
OTHER_NAMES = {
    one: other
    for first, second in (
        ("minimum", "maximum"),
        ("min", "max"),
        ("floor", "ceil"),
        ("sum", "mean"),
        ("argmin", "argmax"),
        ("any", "all"),
        ("zeros", "ones"),
        ("zeros_like", "ones_like"),
        ("intersection", "union"),
        ("least", "greatest"),
    )
    for one, other in ((first, second), (second, first))
}
DROPPED_CALLS = {"abs", "sign", "sqrt", "log", "log2", "exp", "sorted", "reversed", "stop_gradient", "nan_to_num"}
DROPPED_KEYWORDS = {"where", "stable", "axis", "ddof", "alternative", "dropna", "side", "initial", "start", "key"}
PAIRS = {"w_initial": "w_final", "w_final": "w_initial", "first": "second", "second": "first"}
UNLIKE = {"key", "float", "int", "bool", "bytes", "database", "place", "network", "optimiser"}
"""Names that are of another type than any name beside them: to swap them fails at once, and shows nothing."""
SKIPPED_STATEMENTS = (ast.Raise, ast.Import, ast.ImportFrom, ast.Assert)


@dataclass(frozen=True)
class Mutant:
    """One fault in one module. `where` is the function or class it is in; `before` and `after` are its lines.

    `kind` is the operator's name, or the name of a fault written by hand; `source` is the whole faulty module.
    """

    module: str
    where: str
    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of the faulty module: what a verdict holds for."""
        return hashlib.sha256(f"{self.module}\n{self.source}".encode()).hexdigest()

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the fault although the code around it changes."""
        return self.module, self.where, self.before, self.after


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All mutants of a module that differ in their source, in the order of the source."""
    found: dict[tuple[str, str, str, str], Mutant] = {}
    starts = [0, *np.cumsum([len(line) for line in source.encode().splitlines(keepends=True)]).tolist()]
    for where, node, kind, text in _replacements(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        span = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        mutant = replaced(module, source, (where, kind), span, text)
        found.setdefault(mutant.key, mutant)
    return list(found.values())


def replaced(module: str, source: str, name: tuple[str, str], span: tuple[int, int], text: str) -> Mutant:
    """The mutant that has `text` in place of the bytes of `span`. `name`: where it is, and its kind."""
    encoded, new = source.encode(), text.encode()
    faulty = encoded[: span[0]] + new + encoded[span[1] :]
    first = encoded.rfind(b"\n", 0, span[0]) + 1
    last, faulty_last = (
        (whole + b"\n").find(b"\n", end) for whole, end in ((encoded, span[1]), (faulty, span[0] + len(new)))
    )
    before, after = (" ".join(part.decode().split()) for part in (encoded[first:last], faulty[first:faulty_last]))
    return Mutant(module, name[0], encoded.count(b"\n", 0, first) + 1, name[1], before, after, faulty.decode())


def _replacements(tree: ast.Module) -> Iterator[tuple[str, ast.expr | ast.stmt, str, str]]:
    """Where, the node that is replaced, the kind of fault, and the new text; expressions come in parentheses."""
    for where, names, node in _nodes(tree, "", frozenset()):
        if isinstance(node, ast.stmt):
            for kind, text in _of_statement(node):
                yield where, node, kind, text
        else:
            for kind, other in _of_expression(node, names):
                if ast.dump(other) == ast.dump(node):
                    continue
                text = ast.unparse(other)
                simple = isinstance(other, ast.Constant | ast.Name | ast.Call | ast.Attribute | ast.Subscript)
                yield where, node, kind, text if simple else f"({text})"


def _nodes(
    node: ast.AST, where: str, names: frozenset[str]
) -> Iterator[tuple[str, frozenset[str], ast.expr | ast.stmt]]:
    """Every statement and expression that may be changed, with the function or class that it is in, and its names."""
    inside = where
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = f"{where}.{node.name}" if where else node.name
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Protocol") for base in node.bases):
            return
        names |= {leaf.arg for leaf in ast.walk(node) if isinstance(leaf, ast.arg)}
        names |= {leaf.id for leaf in ast.walk(node) if isinstance(leaf, ast.Name)}
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "keywords"} and not isinstance(node, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (*SKIPPED_STATEMENTS, ast.JoinedStr)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.keyword) and child.arg == "strict":
                continue  # a check of the code on itself
            if isinstance(node, ast.Module) and isinstance(child, ast.Assign) and _is_type(child.value):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield inside or "module", names, child
            yield from _nodes(child, inside, names)


def _is_type(value: ast.expr) -> bool:
    """Whether a module's assignment names a type, as `Weights = Float[Array, "*shape"]` does."""
    head = value
    while isinstance(head, ast.Subscript | ast.BinOp):
        head = head.value if isinstance(head, ast.Subscript) else head.left
    return isinstance(value, ast.Subscript | ast.BinOp) and isinstance(head, ast.Name) and head.id != "np"


def _of_statement(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "call left out", "pass"
    elif isinstance(node, ast.AugAssign):
        yield "update left out", "pass"
    elif isinstance(node, ast.Continue):
        yield "break for continue", "break"
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
        for argument in node.value.args[:2]:
            if isinstance(argument, ast.Name):
                yield "returned unchanged", f"return {argument.id}"
                break


def _of_expression(node: ast.expr, names: frozenset[str]) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(left, [operation], comparators):
            for other in COMPARISONS[type(operation)]:
                yield "comparison", ast.Compare(left, [other()], comparators)
        case ast.Compare(left, operations, comparators):
            for index, operation in enumerate(operations):
                for other in COMPARISONS[type(operation)]:
                    changed = [*operations[:index], other(), *operations[index + 1 :]]
                    yield "comparison", ast.Compare(left, changed, comparators)
        case ast.BinOp(left, ast.FloorDiv(), right):
            yield "ceil for floor", ast.parse(f"-(-({ast.unparse(left)}) // ({ast.unparse(right)}))", mode="eval").body
        case ast.BinOp(left, operation, right) if not _is_set(left):
            for other in ARITHMETIC.get(type(operation), ()):
                yield "arithmetic", ast.BinOp(left, other(), right)
        case ast.UnaryOp(_, operand) if not isinstance(operand, ast.Constant):
            yield "sign or negation dropped", operand
        case ast.BoolOp(operation, values):
            yield "and for or", ast.BoolOp(ast.And() if isinstance(operation, ast.Or) else ast.Or(), values)
            for index in range(len(values)):
                rest = values[:index] + values[index + 1 :]
                yield "condition dropped", rest[0] if len(rest) == 1 else ast.BoolOp(operation, rest)
        case ast.IfExp(test, body, orelse):
            yield "branches swapped", ast.IfExp(test, orelse, body)
        case ast.Constant(value):
            yield from (("constant", ast.Constant(other)) for other in _other_constants(value))
        case ast.Name(id_, ast.Load()) if PAIRS.get(id_) in names:
            yield "the other of a pair", ast.Name(PAIRS[id_])
        case ast.Attribute(value, name, ast.Load()) if name in PAIRS:
            yield "the other of a pair", ast.Attribute(value, PAIRS[name])
        case ast.Call():
            yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in OTHER_NAMES:
        other = OTHER_NAMES[name]
        function = ast.Attribute(node.func.value, other) if isinstance(node.func, ast.Attribute) else ast.Name(other)
        if isinstance(node.func, ast.Attribute) or other not in {"mean", "floor", "ceil"}:
            yield "another function", ast.Call(function, node.args, node.keywords)
    if name in DROPPED_CALLS and len(node.args) == 1:
        yield "function dropped", node.args[0]
    for index, keyword in enumerate(node.keywords):
        if keyword.arg in DROPPED_KEYWORDS:
            yield "argument dropped", ast.Call(node.func, node.args, node.keywords[:index] + node.keywords[index + 1 :])
    if name == "where" and len(node.args) == 3:
        condition, one, other_value = node.args
        yield "branches swapped", ast.Call(node.func, [condition, other_value, one], node.keywords)
    elif len(node.args) >= 2 and all(isinstance(a, ast.Name) and a.id not in UNLIKE for a in node.args[:2]):
        yield "arguments swapped", ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


def _is_set(node: ast.expr) -> bool:
    return isinstance(node, ast.Set) or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "set")


def _other_constants(value: object) -> tuple[object, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (1,) if value == 0 else (0,) if value == 1 else (value + 1,)
    if isinstance(value, float):
        return (1.0,) if value == 0 else (value * 2,)
    return ()
