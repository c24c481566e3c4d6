"""JMESPath expressions (https://jmespath.org/specification.html), parsed and checked."""

import json
from collections.abc import Iterator
from typing import Any
from warnings import catch_warnings, simplefilter

from attrs import frozen
from jmespath import exceptions, parser

from callboard.webhooks.events.event import too_deep
from callboard.webhooks.expressions.functions import EXPRESSION, FUNCTIONS

MAX_CHARACTERS = 8_192
"""The longest expression."""
MAX_NODES = 1_000
"""The most steps of an expression as it is written: names, literals, operators, functions."""
MAX_DEPTH = 50
"""The deepest nesting of these."""

Node = dict[str, Any]


class InvalidExpression(ValueError):
    """An expression that cannot be used. `position`: the characters before the mistake."""

    def __init__(self, reason: str, position: int = 0) -> None:
        super().__init__(reason, position)
        self.reason, self.position = reason, position

    def __str__(self) -> str:
        return f"{self.reason} at character {self.position + 1}"


@frozen(eq=False)
class Tree:
    """A checked expression. `names`: the members that it reads. `nodes`: how many it has."""

    root: Node
    names: frozenset[str]
    nodes: int


def parse(text: str) -> Tree:
    """The syntax tree of an expression. Raises InvalidExpression."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidExpression(
            f"it has {len(text)} characters, and at most {MAX_CHARACTERS} are allowed",
            MAX_CHARACTERS,
        )
    if not text.strip():
        raise InvalidExpression("it is empty")
    checked = _Parser()
    try:
        with catch_warnings():
            simplefilter("error", PendingDeprecationWarning)
            # Not `parse`, whose memory is shared with other users of the library.
            root = checked._do_parse(text).parsed
    except exceptions.IncompleteExpressionError:
        raise InvalidExpression("it ends too early", len(text)) from None
    except exceptions.LexerError as problem:
        raise InvalidExpression(_plain(problem.message), problem.lexer_position) from None
    except exceptions.ParseError as problem:
        reason = f"{problem.token_value!r} is not expected here"
        raise InvalidExpression(reason, problem.lex_position) from None
    except PendingDeprecationWarning:
        raise InvalidExpression(
            "a text stands in '…', and `…` holds JSON", text.index("`")
        ) from None
    except RecursionError:
        raise InvalidExpression(_TOO_DEEP) from None
    except InvalidExpression:
        raise
    except ValueError:
        raise InvalidExpression("a number has too many digits") from None
    return checked.tree(root)


_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels"


def _plain(text: str) -> str:
    return text[:1].lower() + text[1:200]


class _Parser(parser.Parser):  # type: ignore[misc]
    """Refuses what the library's parser leaves for the evaluation to find, with its place."""

    def __init__(self) -> None:
        super().__init__()
        self._free_references: dict[int, int] = {}

    def tree(self, root: Node) -> Tree:
        """The tree of the parsed root. Raises InvalidExpression."""
        if self._free_references:
            raise InvalidExpression(
                "& belongs before an argument of map, sort_by, min_by or max_by",
                min(self._free_references.values()),
            )
        names, nodes = set(), 0
        for depth, node in _walk(root):
            nodes += 1
            if depth > MAX_DEPTH:
                raise InvalidExpression(_TOO_DEEP)
            if nodes > MAX_NODES:
                raise InvalidExpression(f"it has more than {MAX_NODES} steps")
            if node["type"] == "field":
                names.add(node["value"])
        return Tree(root, frozenset(names), nodes)

    def _token_nud_literal(self, token: Node) -> Node:
        literal = token["value"]
        if too_deep(literal, MAX_DEPTH):
            raise InvalidExpression(_TOO_DEEP, token["start"])
        try:
            json.dumps(literal, allow_nan=False)
        except ValueError:
            raise InvalidExpression("the literal is no JSON value", token["start"]) from None
        node: Node = super()._token_nud_literal(token)
        return node

    def _token_nud_expref(self, token: Node) -> Node:
        node: Node = super()._token_nud_expref(token)
        self._free_references[id(node)] = token["start"]
        return node

    def _token_led_lparen(self, left: Node) -> Node:
        begins = self._lookahead_token(-2)["start"]
        node: Node = super()._token_led_lparen(left)
        name, arguments = node["value"], node["children"]
        function = FUNCTIONS.get(name)
        if function is None:
            raise InvalidExpression(f"there is no function {name}", begins)
        if problem := function.wrong_number(len(arguments)):
            raise InvalidExpression(f"{name} {problem}", begins)
        for number, argument in enumerate(arguments):
            expected = function.types_of(number) == (EXPRESSION,)
            if expected != (argument["type"] == "expref"):
                kind = "an expression after &" if expected else "no expression after &"
                raise InvalidExpression(f"argument {number + 1} of {name} is {kind}", begins)
            self._free_references.pop(id(argument), None)
        return node

    def _parse_slice_expression(self) -> Node:
        begins = self._lookahead_token(0)["start"]
        node: Node = super()._parse_slice_expression()
        if node["children"][2] == 0:
            raise InvalidExpression("the step of a slice is 0", begins)
        return node


def _walk(root: Node) -> Iterator[tuple[int, Node]]:
    """Each node with its depth, without recursion."""
    left = [(1, root)]
    while left:
        depth, node = left.pop()
        yield depth, node
        if node["type"] != "slice":
            left += [(depth + 1, child) for child in node["children"]]
