"""The changes that `make mutants` tries, and how it finds out whether a test notices."""

import tomllib

import pytest

from mutation.__main__ import EQUIVALENT, HOLES, identity_of, is_in
from mutation.changes import changes
from mutation.reach import ROOT, Measurement, importers


@pytest.fixture
def changed(tmp_path):
    """The (old, new) texts of all changes to a source."""

    def changed(source):
        (tmp_path / "m.py").write_text(source)
        return [(change.old, change.new) for change in changes(tmp_path, "m.py")]

    return changed


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", [("a < b", "a <= b")]),
        ("x = a <= b < c", [("a <= b < c", "a < b < c"), ("a <= b < c", "a <= b <= c")]),
        ("x = a is not b", [("a is not b", "a is b")]),
        ("x = a in b", [("a in b", "a not in b")]),
        ("x = a and b", [("a and b", "a or b")]),
        ("x = a + b", [("a + b", "a - b")]),
        ("x = not a", [("not a", "a")]),
        ("x = -a", [("-a", "a")]),
        ("x = zip(a, b, strict=False)", [("False", "True")]),
        ("x = 1", [("1", "2")]),
        ("x = True", [("True", "False")]),
        ("x = 'a'", [("'a'", "'ax'")]),
        ("x = b'a'", [("b'a'", "b'ax'")]),
        ("x = b if a else c", [("a", "not a")]),
        ("x = [b for b in c if b]", [("b", "not b")]),
        ("def f():\n    return x", [("return x", "return None")]),
        ("def f():\n    return False", [("False", "True")]),
        ("def f():\n    raise x", [("raise x", "pass")]),
        ("f(x)", [("f(x)", "pass")]),
        ("self.log.warning(x)", [("self.log.warning(x)", "pass")]),
        ("x.a = y", [("x.a = y", "pass")]),
        ("x += y", [("x += y", "pass"), ("x += y", "x -= y")]),
        ("while x:\n    break", [("x", "not x"), ("break", "continue")]),
        ("match x:\n    case y if z:\n        pass", [("z", "not z")]),
        ("def f(x=1):\n    pass", [("1", "2")]),
    ],
)
def test_one_thing_is_changed_at_a_time(changed, source, expected):
    assert changed(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Docstring"""',
        "x = 'a text to read'",
        "x: Literal['a']",
        "def f(x: 'a') -> 'b':\n    pass",
        "assert x == 1",
        "if TYPE_CHECKING:\n    x = 1",
        "class C(Protocol):\n    def f(self, x=1):\n        ...",
        "__all__ = ['a']",
        "E = TypeVar('E', bound='Tagged')",
        "x = f'{a}b'",
        "import a",
        "def f():\n    return None",
        "self._log.info('a', b=1)",
        "log.debug('a')",
        "def __repr__(self):\n    return 'a'",
        "x: str = field(repr=False)",
        "x = itertools.count(1)",
        "x = zip(a, b, strict=True)",
    ],
)
def test_prose_and_what_only_types_read_stay(changed, source):
    assert changed(source) == []


def test_a_change_is_named_by_its_scope_and_keeps_its_lines(tmp_path):
    (tmp_path / "m.py").write_text("class C:\n  def f(self):\n    return (a +\n      b)\n")
    returned, added = changes(tmp_path, "m.py")
    assert returned.identity == ("m.py", "C.f", "return a + b", "return a + b -> return None")
    assert (added.lines, added.scope.function) == (range(3, 5), True)


def test_each_change_can_be_compiled_and_is_the_only_one(tmp_path):
    (tmp_path / "m.py").write_text("def f(a):\n    if a > 2:\n        return 1 + a\n    return 0\n")
    results = []
    for change in changes(tmp_path, "m.py"):
        space = {}
        exec(change.compiled(), space)
        results.append((change.new, space["f"](2), space["f"](3)))
    assert results == [
        ("a >= 2", 3, 4),
        ("3", 0, 0),
        ("return None", 0, None),
        ("1 - a", 0, -2),
        ("2", 0, 5),
        ("return None", None, 4),
        ("1", 1, 4),
    ]


def test_those_who_import_a_file_are_found():
    users = importers()["webhooks/retries/policy.py"]
    assert {"webhooks/history/attempts.py", "actors/delivery/deliverer.py"} <= users
    assert "web/app.py" not in users


def test_lines_keep_their_tests_where_the_product_changed():
    path = "webhooks/events/event.py"
    now = (ROOT / path).read_text().splitlines()
    assert len(set(now[:4])) == 4
    then = [now[0], "another", *now[3:]]  # Two lines replace one.
    lines = {str(n): [n] for n in range(1, len(then) + 1)}
    file = Measurement("", {path: "old"}, {}, {path: lines, "x.py": {"1": [5]}}, [])
    file.touched["x.py"] = "same"
    moved = file.moved({path: "new", "x.py": "same"}, {"old": "\n".join(then)})
    assert moved.touched == {path: "new", "x.py": "same"}
    assert moved.lines["x.py"] == {"1": [5]}
    found = moved.lines[path]
    assert [found[str(n)] for n in range(1, 6)] == [[1], [2], [2], [3], [4]]
    assert found[str(len(now))] == [len(then)]


def test_a_new_line_has_the_tests_of_the_line_before_it():
    path = "webhooks/events/event.py"
    now = (ROOT / path).read_text().splitlines()
    lines = {"1": [1], "2": [2], "3": [3]}
    file = Measurement("", {path: "old"}, {}, {path: lines}, [])
    moved = file.moved({path: "new"}, {"old": "\n".join([*now[:2], *now[3:]])})
    assert [moved.lines[path][str(n)] for n in range(1, 5)] == [[1], [2], [2], [3]]


def test_each_equivalent_mutant_is_one_that_there_is_and_has_a_reason():
    entries = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    files = {entry["file"] for entry in entries}
    there = {change.identity for file in files for change in changes(ROOT, file)}
    assert [entry for entry in entries if identity_of(entry) not in there] == []
    assert all(len(entry["reason"]) > 10 for entry in entries)
    assert len(set(map(identity_of, entries))) == len(entries)


def test_each_known_hole_is_a_place_that_there_is():
    holes = tomllib.loads(HOLES.read_text())["hole"]
    there = [c for file in {hole["file"] for hole in holes} for c in changes(ROOT, file)]
    for hole in holes:
        for name in hole.get("in", [None]):
            place = hole if name is None else {**hole, "in": [name]}
            assert any(is_in(place, change) for change in there), (hole["file"], name)
