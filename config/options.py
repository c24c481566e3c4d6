"""All keys of the settings in one list: for the loader, the command line and the documentation."""

from typing import Any

import attrs
from attrs import frozen

from callboard.config.rules import Rule
from callboard.config.settings import Facts, Settings


@frozen
class Option:
    """One key, and its names in each place where it may be written."""

    section: str
    name: str
    default: Any
    """The value in `default.toml`."""
    help: str
    rule: Rule
    secret: bool

    @property
    def key(self) -> str:
        """The name in messages, and in the overrides of `loader.load`: `amqp.url`."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """The command-line option: `--amqp-url`."""
        return "--" + f"{self.section}-{self.name}".replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable: `CALLBOARD_AMQP_URL`."""
        return f"CALLBOARD_{self.section}_{self.name}".upper()

    @property
    def type(self) -> type[int] | type[bool] | type[str]:
        """The type for a command line; lists are text, separated by commas."""
        return self.rule.type


def sections() -> dict[str, type[Any]]:
    """Every section's name and class, in the order of `default.toml`."""
    return {
        section.name: section.type
        for section in attrs.fields(Settings)
        if section.type and attrs.has(section.type)
    }


def options() -> tuple[Option, ...]:
    """Every key, in the order of `default.toml`."""
    return tuple(
        _option(section, key) for section, made in sections().items() for key in attrs.fields(made)
    )


def _option(section: str, key: "attrs.Attribute[Any]") -> Option:
    facts: Facts = key.metadata["facts"]
    return Option(section, key.name, key.default, facts.help, facts.rule, facts.secret)
