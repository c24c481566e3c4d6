"""`callboard deliveries`."""

import click

from callboard.actors.messages import CancelDeliveries, HookSaved
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import with_settings
from callboard.cli.terminal.output import escaped, say
from callboard.config.loader import Loaded


@click.group()
def deliveries() -> None:
    """Deliveries that have not ended yet."""


@deliveries.command()
@click.option("--hook", "hook_id", required=True, metavar="HOOK_ID", help="The hook.")
@with_settings()
def cancel(loaded: Loaded, hook_id: str) -> None:
    """Cancel the deliveries of a hook that have not ended yet; the hook stays as it is.

    A request in flight ends as it would, but is not followed by another. Those in memory end at
    once, those in the retry queue when they are due. Each is recorded with the result `cancelled`.
    """
    with attached(loaded) as client:
        client.ask_actor(HOOK_LISTENER, CancelDeliveries(hook_id), HookSaved)
    say(f"cancelled the deliveries of hook {escaped(hook_id)} up to now")
