"""`callboard completion`: the scripts for shell completion."""

import shutil

import click
from click.shell_completion import get_completion_class

from callboard.cli.terminal.output import Failure, print_text

PROGRAM = "callboard"
VARIABLE = "_CALLBOARD_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and event types in SHELL.

    \b
    bash: callboard completion bash > ~/.local/share/bash-completion/completions/callboard
    zsh:  callboard completion zsh > a file `_callboard` in a directory of $fpath
    fish: callboard completion fish > ~/.config/fish/completions/callboard.fish
    """
    made = get_completion_class(shell)
    assert made is not None  # they are all click's own
    if shell == "bash" and shutil.which("bash") is None:
        raise Failure("bash is not on the path; click needs it to read its version")
    print_text(made(context.find_root().command, {}, PROGRAM, VARIABLE).source() + "\n")
