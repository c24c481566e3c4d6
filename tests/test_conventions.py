"""What CONTRIBUTING.md says of tests, as far as a program can see it."""

import ast
import re
from pathlib import Path

CONSTANT = re.compile(r"(.*\.)?[A-Z][A-Z0-9_]+")
TESTS = Path(__file__).parent


def constants_set(source):
    """The constants that a test's source sets by `setattr`, in another module or class."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
            # setattr(place, name, value), or monkeypatch.setattr("place.name", value)
            texts = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            if texts and isinstance(texts[0], str) and CONSTANT.fullmatch(texts[0]):
                yield texts[0]


def test_no_test_sets_a_constant():
    """A bound is tested at its value, or is an argument."""
    assert list(constants_set("monkeypatch.setattr(otlp, 'CLOSE_S', 1)")) == ["CLOSE_S"]
    assert list(constants_set("setattr('callboard.web.a.MOST', '2')")) == ["callboard.web.a.MOST"]
    assert not list(constants_set("monkeypatch.setattr(socket, 'getaddrinfo', 'A')"))
    found = {path: list(constants_set(path.read_text())) for path in TESTS.rglob("*.py")}
    assert len(found) > 200
    assert {str(path): names for path, names in found.items() if names} == {}
