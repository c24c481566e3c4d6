"""Every setting: the comments of default.toml, and the facts in the code."""

import json
import re
from importlib.resources import files

import attrs

from callboard.config.options import Option, options
from callboard.config.settings import ModuleSettings

_SECTION = re.compile(r"^\[(\w+)\]\n", re.MULTILINE)
_KEY = re.compile(r"((?:^#.*\n)+)(\w+) = (.*)", re.MULTILINE)


def settings() -> str:
    """A section for each table of the file, and in it one for each key."""
    known = {option.key: option for option in options()}
    text = files("callboard.config").joinpath("default.toml").read_text(encoding="utf-8")
    _before, *parts = _SECTION.split(text)
    sections = []
    for section, body in zip(parts[::2], parts[1::2], strict=True):
        keys = [
            _key(known.pop(f"{section}.{name}"), comment, default)
            for comment, name, default in _KEY.findall(body)
        ]
        sections.append("\n\n".join([f"## {section}", *keys]))
    if known:
        raise ValueError(f"default.toml does not describe {', '.join(known)}")
    return "\n\n".join(sections)


def _key(option: Option, comment: str, default: str) -> str:
    lines = [line.removeprefix("#").strip() for line in comment.splitlines()]
    prose = "\n".join(line for line in lines if line != option.variable)
    facts = (
        ("default", f"`{default}`"),
        ("allowed", option.rule.allowed),
        ("environment", f"`{option.variable}`"),
        ("command line", f"`{option.flag}`"),
    )
    return f"### {option.key}\n\n{_plain(prose)}\n\n{_list(facts)}"


def module_settings() -> str:
    """The keys of a `[[modules]]` table."""
    rows = ["| key | meaning | allowed | default |", "|---|---|---|---|"]
    for key in attrs.fields(ModuleSettings):
        facts = key.metadata["facts"]
        default = "required" if key.default is attrs.NOTHING else f"`{json.dumps(key.default)}`"
        cells = (f"`{key.name}`", _plain(facts.help), _plain(facts.rule.allowed), default)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _list(facts: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _plain(text: str) -> str:
    """Text that is meant to be read as it is, as Markdown."""
    return re.sub(r"([\\*_`<|#$\[\]])", r"\\\1", text)
