"""The rooms of the code, read from the code: what each is for, and which others it imports.

`make map` prints them; the page docs/architecture.md holds the same as a table.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
PACKAGE = "callboard"
LAYERS = ("cli", "web", "actors", "adapters", "webhooks", "supervision", "config")
"""The folders of the package, from the entry points down."""


@frozen
class Room:
    """A folder, by its path; the rooms that its files import, and how many files it has."""

    path: str
    purpose: str
    files: int
    imports: tuple[str, ...]


def rooms(root: Path = ROOT) -> tuple[Room, ...]:
    """Every folder of code, layer by layer; a room inside another comes after it."""
    files = {_module(root, file): file for layer in LAYERS for file in (root / layer).rglob("*.py")}
    folders = sorted({file.parent for file in files.values()}, key=lambda f: _order(root, f))
    return tuple(_room(root, folder, files) for folder in folders)


def _order(root: Path, folder: Path) -> tuple[int, tuple[str, ...]]:
    parts = folder.relative_to(root).parts
    return LAYERS.index(parts[0]), parts


def _room(root: Path, folder: Path, files: Mapping[str, Path]) -> Room:
    own = list(folder.glob("*.py"))
    path = folder.relative_to(root).as_posix()
    found = {
        files[name].parent.relative_to(root).as_posix()
        for file in own
        for name in _imported(file, files)
    }
    imports = sorted(other for other in found if other != path and not path.startswith(f"{other}/"))
    source = (folder / "__init__.py").read_text(encoding="utf-8")
    purpose = ast.get_docstring(ast.parse(source)) or ""
    return Room(path, purpose.partition("\n\n")[0].replace("\n", " "), len(own), tuple(imports))


def _module(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join((PACKAGE, *(part for part in parts if part != "__init__")))


def _imported(file: Path, files: Mapping[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                if (name := inside if inside in files else node.module) in files:
                    yield name


def table() -> str:
    """A table of all rooms."""
    lines = ["| room | what it is for | it imports |", "|---|---|---|"]
    for room in rooms():
        imports = ", ".join(f"`{other}`" for other in room.imports)
        lines.append(f"| `{room.path}` | {room.purpose} | {imports} |")
    return "\n".join(lines)


def text() -> str:
    """All rooms for a terminal, and how many arrows there are between them."""
    lines = []
    found = rooms()
    for room in found:
        lines.append(f"{room.path:32} {room.purpose}")
        if room.imports:
            lines.append(f"{'':32} imports {', '.join(room.imports)}")
    arrows = sum(len(room.imports) for room in found)
    files = sum(room.files for room in found)
    lines.append(f"\n{len(found)} rooms of {files} files, {arrows} arrows between them")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text())
