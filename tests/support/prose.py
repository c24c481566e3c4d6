"""A check of words: where a text uses a word that tests/data/prose_words.toml replaces."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from attrs import frozen

PROJECT = Path(__file__).parents[2]
LIST = PROJECT / "tests" / "data" / "prose_words.toml"

FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*(?:\n[^`\n]*)?`|\]\([^)\s]*\)|<!--.*?-->|https?://\S+", re.DOTALL)
HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
SETTING = re.compile(r"^(?!#).*$|^# CALLBOARD_\w+$", re.MULTILINE)
OPTION = re.compile(r"(?<!\w)--?[a-z][\w-]*")


@frozen
class Word:
    """A word to avoid, what to write instead, and whether headings may have it."""

    pattern: re.Pattern[str]
    write: str
    in_headings: bool


@frozen
class Rules:
    """The list: words, exceptions by file, and where to read docstrings."""

    words: tuple[Word, ...]
    exceptions: Mapping[str, frozenset[str]]
    skip: frozenset[str]
    docstrings: tuple[str, ...]


def read_rules(text: str) -> Rules:
    """The rules in the TOML text. Raises ValueError for an exception without a reason."""
    data = tomllib.loads(text)
    exceptions: dict[str, set[str]] = {}
    for each in data.get("exceptions", ()):
        if not each.get("reason"):
            raise ValueError(f"the exception {each} gives no reason")
        exceptions.setdefault(each["file"], set()).add(each["word"].lower())
    return Rules(
        tuple(map(_word, data["words"])),
        {file: frozenset(words) for file, words in exceptions.items()},
        frozenset(data.get("skip", ())),
        tuple(data.get("docstrings", ())),
    )


def _word(data: Mapping[str, Any]) -> Word:
    pattern = r"(?<![\w_])(?:" + data["word"].replace(" ", r"\s+") + r")(?![\w_])"
    flags = re.NOFLAG if data.get("case") else re.IGNORECASE
    return Word(re.compile(pattern, flags), data["write"], data.get("headings", True))


def findings(rules: Rules, name: str, text: str) -> Iterator[str]:
    """`name:line: "word": what to write`, for each word to avoid in a prepared text."""
    allowed = rules.exceptions.get(name, frozenset())
    without_headings = _blanked(HEADING, text)
    found = [
        (match.start(), " ".join(match[0].split()), word.write)
        for word in rules.words
        for match in word.pattern.finditer(text if word.in_headings else without_headings)
    ]
    for at, used, write in sorted(found):
        if used.lower() not in allowed:
            yield f'{name}:{text.count(chr(10), 0, at) + 1}: "{used}": write {write}'


def unused_exceptions(rules: Rules, texts: Mapping[str, str]) -> Iterator[str]:
    """Exceptions that are no longer needed."""
    for file, words in rules.exceptions.items():
        bare = Rules(rules.words, {}, frozenset(), ())
        used = "\n".join(findings(bare, file, texts.get(file, ""))).lower()
        for word in words:
            if f'"{word}"' not in used:
                yield f"{file}: the exception for {word!r} is not needed"


def texts(rules: Rules) -> dict[str, str]:
    """All texts to check, by name, with everything but prose blanked out, line by line."""
    found = {name: _markdown(file.read_text()) for name, file in _pages() if name not in rules.skip}
    settings = (PROJECT / "config" / "default.toml").read_text()
    found["config/default.toml"] = _blanked(SETTING, settings).replace("#", " ")
    for place in rules.docstrings:
        for file in sorted((PROJECT / place).rglob("*.py")) or [PROJECT / place]:
            found[_named(file)] = _docstrings(file.read_text())
    return found | _help() | _reference()


def _pages() -> Iterator[tuple[str, Path]]:
    for file in sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]):
        yield _named(file), file


def _named(file: Path) -> str:
    return file.relative_to(PROJECT).as_posix()


def _markdown(text: str) -> str:
    return _blanked(CODE, _blanked(FENCED, text))


def _docstrings(source: str) -> str:
    """The docstrings alone, those of constants too, on their lines, without code."""
    kept = [""] * (source.count("\n") + 1)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(doc))):
                indent = " " * (node.col_offset + 4)
                for offset, line in enumerate(doc.split("\n")):
                    is_code = offset and line.startswith(indent)
                    kept[node.lineno - 1 + offset] = "" if is_code else line
    return _blanked(CODE, "\n".join(kept))


def _help() -> dict[str, str]:
    """What `--help` prints, by command."""
    from callboard.cli import main
    from callboard.cli.terminal.command_line import subcommands

    found = {}

    def walk(command: click.Command, context: click.Context) -> None:
        text = command.get_help(context)
        found[f"{context.command_path} --help"] = _blanked(OPTION, _blanked(CODE, text))
        if isinstance(command, click.Group):
            for name, each in subcommands(command):
                walk(each, click.Context(each, info_name=name, parent=context))

    walk(main, click.Context(main, info_name="callboard", terminal_width=100))
    return found


def _reference() -> dict[str, str]:
    """The generated parts of the reference, by name, except those made of docstrings."""
    sys.path.append(str(PROJECT / "docs"))
    try:
        from _generate import GENERATED
    finally:
        sys.path.pop()
    names = ("endpoints", "events", "hooks", "module_settings", "settings")
    return {f"reference: {name}": _markdown(GENERATED[name]()) for name in names}


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """The text with the matches replaced by spaces, so that lines stay where they are."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
