"""`callboard plan`."""

import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import attrs
import click

from callboard.cli.planning.capacity import Costs, Machines, PlanLine, Workload, plan, shown
from callboard.cli.terminal.options import Command, as_json
from callboard.cli.terminal.output import WrongUsage, print_json, print_table

INPUTS: dict[str, type[Any]] = {"workload": Workload, "costs": Costs, "machines": Machines}


def measured() -> dict[str, dict[str, float]]:
    """Default values of the inputs, by section and name."""
    file = files("callboard.cli.planning") / "measured.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _with_inputs() -> Callable[[Command], Command]:
    """Add an option for each input to a command."""
    defaults = measured()
    fields = [(s, each) for s, made in INPUTS.items() for each in attrs.fields(made)]

    def decorate(command: Command) -> Command:
        for section, each in reversed(fields):
            command = click.option(
                "--" + each.name.replace("_", "-"),
                type=each.type,
                default=defaults[section][each.name],
                show_default=True,
                help=each.metadata["help"],
            )(command)
        return command

    return decorate


@click.command("plan")
@as_json
@_with_inputs()
def plan_(json_: bool, **given: float) -> None:
    """Calculate the machines for a load: nodes, broker, connections, network, storage.

    It contacts no server and changes nothing. Each line shows its formula. The measured defaults
    are from a small machine: measure on yours before you buy.
    """
    try:
        lines = plan(
            *(
                made(**{each.name: given[each.name] for each in attrs.fields(made)})
                for made in INPUTS.values()
            )
        )
    except ValueError as problem:
        name, _, rule = str(problem).partition(" ")
        raise WrongUsage(f"--{name.replace('_', '-')} {rule}") from None
    if json_:
        print_json([attrs.asdict(line) for line in lines])
    else:
        print_table(("what", "", "how"), map(_row, lines))


def _row(line: PlanLine) -> tuple[str, str, str]:
    return f"{line.section}: {line.what}", shown(line), line.formula
