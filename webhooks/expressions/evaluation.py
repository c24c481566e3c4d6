"""Expressions compiled to functions that count their work before they do it."""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from callboard.webhooks.expressions.functions import FUNCTIONS, NUMBER, STRING, equal, type_of
from callboard.webhooks.expressions.parsing import Node, parse
from callboard.webhooks.expressions.work import TEXT_UNIT, Work

Run = Callable[[Any, Work], Any]

CALL_STEPS = 5
"""A function's call takes as long as so many other steps."""


@frozen(eq=False)
class Expression:
    """A compiled expression. `names`: the members that it reads.

    `nodes`: its size in memory; `steps`: what it takes if no list is long.
    """

    names: frozenset[str]
    nodes: int
    steps: int
    _run: Run

    def of(self, value: Any, work: Work) -> Any:
        """Its result for a JSON value, with which it may share members.

        Raises WrongType and TooMuchWork.
        """
        work.take(self.steps)
        return self._run(value, work)


def compiled(text: str) -> Expression:
    """The expression of a text. Raises InvalidExpression."""
    tree = parse(text)
    run, steps = _compile(tree.root)
    return Expression(tree.names, tree.nodes, steps, run)


def is_false(value: Any) -> bool:
    """Whether a result counts as false: null, false, and empty values. 0 does not."""
    return value is None or value is False or (isinstance(value, str | list | dict) and not value)


def _compile(node: Node) -> tuple[Run, int]:
    """What evaluates a node, and its steps: those of a loop are counted for each round, there."""
    run, steps = _COMPILERS[node["type"]](node)
    return run, steps + 1


def _children(node: Node) -> tuple[list[Run], int]:
    pairs = [_compile(child) for child in node["children"]]
    return [run for run, _steps in pairs], sum(steps for _run, steps in pairs)


def _field(node: Node) -> tuple[Run, int]:
    name = node["value"]

    def run(value: Any, _work: Work) -> Any:
        return value.get(name) if isinstance(value, dict) else None

    return run, 0


def _index(node: Node) -> tuple[Run, int]:
    at = node["value"]

    def run(value: Any, _work: Work) -> Any:
        if not isinstance(value, list) or not -len(value) <= at < len(value):
            return None
        return value[at]

    return run, 0


def _slice(node: Node) -> tuple[Run, int]:
    part = slice(*node["children"])

    def run(value: Any, work: Work) -> Any:
        if not isinstance(value, list):
            return None
        work.take(len(value))
        return value[part]

    return run, 0


def _itself(_node: Node) -> tuple[Run, int]:
    return (lambda value, _work: value), 0


def _literal(node: Node) -> tuple[Run, int]:
    literal = node["value"]
    return (lambda _value, _work: literal), 0


def _chain(node: Node) -> tuple[Run, int]:
    runs, steps = _children(node)

    def run(value: Any, work: Work) -> Any:
        for one in runs:
            value = one(value, work)
        return value

    return run, steps


def _or(node: Node) -> tuple[Run, int]:
    (left, right), steps = _children(node)

    def run(value: Any, work: Work) -> Any:
        found = left(value, work)
        return right(value, work) if is_false(found) else found

    return run, steps


def _and(node: Node) -> tuple[Run, int]:
    (left, right), steps = _children(node)

    def run(value: Any, work: Work) -> Any:
        found = left(value, work)
        return found if is_false(found) else right(value, work)

    return run, steps


def _not(node: Node) -> tuple[Run, int]:
    (inner,), steps = _children(node)
    return (lambda value, work: is_false(inner(value, work))), steps


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
}


def _comparator(node: Node) -> tuple[Run, int]:
    (left, right), steps = _children(node)
    name = node["value"]
    if name in ("eq", "ne"):
        wanted = name == "eq"
        return (
            lambda value, work: equal(left(value, work), right(value, work), work) is wanted
        ), steps
    order = _ORDERS[name]

    def run(value: Any, work: Work) -> Any:
        one, other = left(value, work), right(value, work)
        kind = type_of(one)
        if kind not in (NUMBER, STRING) or type_of(other) != kind:
            return None
        if kind == STRING:
            work.take(min(len(one), len(other)) // TEXT_UNIT)
        return order(one, other)

    return run, steps


def _projection(node: Node) -> tuple[Run, int]:
    base, each = map(_compile, node["children"])
    return _projecting(base, each, _members_of_list)


def _value_projection(node: Node) -> tuple[Run, int]:
    base, each = map(_compile, node["children"])
    return _projecting(base, each, _members_of_object)


def _members_of_list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


def _members_of_object(value: Any) -> list[Any] | None:
    return list(value.values()) if isinstance(value, dict) else None


def _projecting(
    base: tuple[Run, int], each: tuple[Run, int], members: Callable[[Any], list[Any] | None]
) -> tuple[Run, int]:
    (whole, steps), (one, cost) = base, each

    def run(value: Any, work: Work) -> Any:
        items = members(whole(value, work))
        if items is None:
            return None
        work.take(cost * len(items))
        return [found for item in items if (found := one(item, work)) is not None]

    return run, steps


def _filter_projection(node: Node) -> tuple[Run, int]:
    (base, steps), (each, cost), (condition, condition_cost) = map(_compile, node["children"])

    def run(value: Any, work: Work) -> Any:
        items = base(value, work)
        if not isinstance(items, list):
            return None
        work.take((cost + condition_cost) * len(items))
        return [
            found
            for item in items
            if not is_false(condition(item, work)) and (found := each(item, work)) is not None
        ]

    return run, steps


def _flatten(node: Node) -> tuple[Run, int]:
    ((base, steps),) = map(_compile, node["children"])

    def run(value: Any, work: Work) -> Any:
        items = base(value, work)
        if not isinstance(items, list):
            return None
        work.take(len(items))
        work.take(sum(len(item) for item in items if isinstance(item, list)))
        flat: list[Any] = []
        for item in items:
            if isinstance(item, list):
                flat += item
            else:
                flat.append(item)
        return flat

    return run, steps


def _multi_select_list(node: Node) -> tuple[Run, int]:
    runs, steps = _children(node)

    def run(value: Any, work: Work) -> Any:
        return None if value is None else [one(value, work) for one in runs]

    return run, steps


def _multi_select_dict(node: Node) -> tuple[Run, int]:
    runs, steps = _children(node)
    pairs = list(zip((child["value"] for child in node["children"]), runs, strict=True))

    def run(value: Any, work: Work) -> Any:
        return None if value is None else {name: one(value, work) for name, one in pairs}

    return run, steps


def _call(node: Node) -> tuple[Run, int]:
    function = FUNCTIONS[node["value"]]
    runs, steps = [], 0
    for child in node["children"]:
        if child["type"] == "expref":
            runs.append(_reference(child))
        else:
            run, cost = _compile(child)
            runs.append(run)
            steps += cost

    def call(value: Any, work: Work) -> Any:
        return function.call([run(value, work) for run in runs], work)

    return call, steps + CALL_STEPS


def _reference(node: Node) -> Run:
    """An expression as an argument, which counts each time that it is called."""
    ((inner, cost),) = map(_compile, node["children"])

    def each(value: Any, work: Work) -> Any:
        work.take(cost)
        return inner(value, work)

    return lambda _value, _work: each


_COMPILERS: dict[str, Callable[[Node], tuple[Run, int]]] = {
    "and_expression": _and,
    "comparator": _comparator,
    "current": _itself,
    "field": _field,
    "filter_projection": _filter_projection,
    "flatten": _flatten,
    "function_expression": _call,
    "identity": _itself,
    "index": _index,
    "index_expression": _chain,
    "key_val_pair": _chain,
    "literal": _literal,
    "multi_select_dict": _multi_select_dict,
    "multi_select_list": _multi_select_list,
    "not_expression": _not,
    "or_expression": _or,
    "pipe": _chain,
    "projection": _projection,
    "slice": _slice,
    "subexpression": _chain,
    "value_projection": _value_projection,
}
