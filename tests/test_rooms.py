"""The rooms of the code: none too large, each says what it is for, and bench has no circle.

The contracts that `make lint` checks hold the imports of the package to the architecture.
"""

import ast
import sys
from graphlib import TopologicalSorter

from support.building import PROJECT

sys.path.append(str(PROJECT / "docs"))
from _generate.rooms import LAYERS, rooms

MOST_FILES = 16
BENCH = PROJECT / "bench"


def folders():
    """Every folder of the product but those of vendored files."""
    for layer in LAYERS:
        for folder in [PROJECT / layer, *(PROJECT / layer).rglob("*/")]:
            if folder.name not in ("__pycache__", "vendor"):
                yield folder


def test_no_room_has_more_files_than_one_sees_at_a_look():
    found = {f: sum(file.is_file() for file in f.iterdir()) for f in folders()}
    assert len(found) > 40
    assert {str(f): number for f, number in found.items() if number > MOST_FILES} == {}


def test_each_room_says_what_it_is_for():
    assert [room.path for room in rooms() if not room.purpose] == []


def test_the_map_has_the_arrows_of_the_code():
    found = {room.path: room for room in rooms()}
    assert {"webhooks/events", "webhooks/values"} <= set(found["webhooks/hooks"].imports)
    assert found["supervision"].imports == found["config"].imports == ()


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_two_files_of_the_benchmark_import_each_other():
    files = {
        ".".join(file.relative_to(BENCH).with_suffix("").parts): file
        for file in BENCH.rglob("*.py")
    }
    imports = {name: set(imported(file)) & files.keys() for name, file in files.items()}
    assert imports["plot"] == {"report"}
    assert "contenders.celery_app" in imports["contenders.messages"]
    TopologicalSorter(imports).prepare()  # raises CycleError
