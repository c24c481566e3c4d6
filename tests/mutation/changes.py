"""The changes that can be made to a file: one operator, constant, condition or statement each.

Prose is left alone: docstrings, and texts with a space in them, of which a reader judges. So are
annotations, assertions (`strict` of `zip` is one), lines that only a type checker reads, what only
a `repr` shows, the start of a count, and what is logged for information.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from attrs import evolve, field, frozen

COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
JOINED = {ast.And: ast.Or, ast.Or: ast.And}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NAMED = (*FUNCTIONS, ast.ClassDef)


@frozen
class Scope:
    """Where a change is: in a function, in a class or at the top of a file.

    `lines` are those which run when the scope is used: of the function, of the class's methods, or
    of the file's functions. `header`: of a function or class, its defaults and decorators.
    """

    name: str
    lines: range
    function: bool = False
    header: bool = False


@frozen(eq=False)
class Change:
    """One change to a file: `old` becomes `new` in a statement; all three are texts."""

    path: str
    scope: Scope
    lines: range
    statement: str
    old: str
    new: str
    _tree: ast.Module = field(repr=False)
    _place: Any = field(repr=False)
    _key: Any = field(repr=False)
    _node: ast.AST = field(repr=False)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What stays the same when other lines of the file are edited."""
        return self.path, self.scope.name, self.statement, f"{self.old} -> {self.new}"

    def compiled(self) -> CodeType:
        """The code of the file with this change."""
        before = self._put(self._node)
        try:
            return compile(ast.fix_missing_locations(self._tree), self.path, "exec")
        finally:
            self._put(before)

    def _put(self, node: ast.AST) -> ast.AST:
        """Put a node in the place; returns that which was there."""
        if isinstance(self._place, list):
            before, self._place[self._key] = self._place[self._key], node
        else:
            before = getattr(self._place, self._key)
            setattr(self._place, self._key, node)
        return before


def changes(root: Path, path: str) -> Iterator[Change]:
    """All changes to the file at this path below `root`, in the order of its statements."""
    source = (root / path).read_text()
    tree = ast.parse(source)
    whole = Scope("", range(1, source.count("\n") + 2))
    for statement, siblings, number, scope in _statements(tree, whole):
        found = [(scope, statement, new, siblings, number) for new in _instead(statement)]
        found += [
            (where, old, new, place, key)
            for where, old, place, key, condition in _expressions(statement, scope)
            for new in _replaced(old, condition=condition)
        ]
        for where, old, new, place, key in found:
            first = getattr(old, "lineno", statement.lineno)
            yield Change(
                path=path,
                scope=where,
                lines=range(first, (getattr(old, "end_lineno", first) or first) + 1),
                statement=_head(statement),
                old=_text(old),
                new=_text(new),
                tree=tree,
                place=place,
                key=key,
                node=new,
            )


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))


def _head(statement: ast.stmt) -> str:
    """The statement in one line, without the statements below it."""
    if not hasattr(statement, "body"):
        return " ".join(_text(statement).split())
    below = {
        name: [ast.Pass()] if name == "body" else []
        for name in ("body", "orelse", "finalbody")
        if hasattr(statement, name)
    }
    if isinstance(statement, ast.Try):
        return "try:"
    if isinstance(statement, NAMED):
        below["decorator_list"] = []
    bare = type(statement)(**{**dict(ast.iter_fields(statement)), **below})
    return _text(ast.copy_location(bare, statement)).removesuffix("pass").strip()


Place = tuple[ast.stmt, list[ast.stmt], int, Scope]


def _statements(block: ast.AST, scope: Scope) -> Iterator[Place]:
    """The statements of a block and of the blocks below it, that are not left alone."""
    for name in ("body", "orelse", "finalbody"):
        siblings = getattr(block, name, [])
        for number, statement in enumerate(siblings):
            if not _left_alone(statement):
                yield statement, siblings, number, scope
                yield from _statements(statement, _below(statement, scope))
    for part in (*getattr(block, "handlers", ()), *getattr(block, "cases", ())):
        yield from _statements(part, scope)


def _below(statement: ast.stmt, scope: Scope) -> Scope:
    if not isinstance(statement, NAMED):
        return scope
    return Scope(
        f"{scope.name}.{statement.name}".removeprefix("."),
        range(statement.body[0].lineno, (statement.end_lineno or statement.lineno) + 1),
        function=isinstance(statement, FUNCTIONS),
    )


def _left_alone(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case (
            ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.ClassDef(bases=[ast.Name(id="Protocol")])
        ):
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec"))):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.FunctionDef(name="__repr__"):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=log, attr="debug" | "info"))):
            name = log.attr if isinstance(log, ast.Attribute) else getattr(log, "id", "")
            return name.removeprefix("_") == "log"
    return False


def _instead(statement: ast.stmt) -> Iterator[ast.stmt]:
    """What may stand in place of a statement."""
    match statement:
        case ast.Expr() | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Delete():
            yield ast.Pass()
        # To a caller's condition, None is False; `_replaced` puts True in the place of that.
        case ast.Return(value=ast.expr() as value) if not (_is(value, None) or _is(value, False)):
            yield ast.Return(ast.Constant(None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
    if isinstance(statement, ast.AugAssign) and type(statement.op) in COMPUTED:
        yield ast.AugAssign(statement.target, COMPUTED[type(statement.op)](), statement.value)


def _is(node: ast.AST, value: bool | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _expressions(
    statement: ast.stmt, scope: Scope
) -> Iterator[tuple[Scope, ast.AST, object, object, bool]]:
    """The expressions of a statement: each with its scope, its place, and if it is a condition.

    Defaults and decorators run with what is around the function, and matter when it is called.
    """
    if isinstance(statement, NAMED):
        scope = evolve(_below(statement, scope), name=scope.name, function=False, header=True)
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "itertools.count":
            continue  # of numbers that only tell things apart
        for name, value in ast.iter_fields(node):
            if name in (
                "annotation",
                "returns",
                "keywords" if isinstance(node, ast.ClassDef) else "",
            ):
                continue
            many = isinstance(value, list)
            for number, child in enumerate(value if many else [value]):
                if isinstance(child, ast.keyword) and _is_no_matter(child):
                    continue
                if isinstance(child, ast.AST) and not isinstance(child, ast.stmt):
                    if not isinstance(node, ast.JoinedStr):
                        place, key = (value, number) if many else (node, name)
                        yield scope, child, place, key, name in ("test", "ifs", "guard")
                    waiting.append(child)


def _is_no_matter(argument: ast.keyword) -> bool:
    """`repr`, or `strict=True` of `zip`, which asserts that nothing is left over."""
    return argument.arg == "repr" or (argument.arg == "strict" and _is(argument.value, True))


def _replaced(node: ast.AST, *, condition: bool) -> Iterator[ast.AST]:
    """What may stand in place of an expression."""
    match node:
        case ast.Compare(left, ops, comparators):
            for number, op in enumerate(ops):
                other = [*ops[:number], COMPARED[type(op)](), *ops[number + 1 :]]
                yield ast.Compare(left, other, comparators)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(JOINED[type(op)](), values)
        case ast.BinOp(left, op, right) if type(op) in COMPUTED:
            yield ast.BinOp(left, COMPUTED[type(op)](), right)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
            return
        case ast.UnaryOp(ast.USub(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
            return
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(str() as value) if " " not in value and "\n" not in value:
            yield ast.Constant(value + "x")
        case ast.Constant(bytes() as value):
            yield ast.Constant(value + b"x")
    if condition and not isinstance(node, ast.Compare | ast.Constant):
        yield ast.UnaryOp(ast.Not(), node)
