"""The top supervisor as a part of somebody else's actor system."""

from callboard.actors.system.actor_system import SystemUnreachable, ownership
from callboard.actors.system.tree import Top, WebhooksSupervisor


class Callboard(WebhooksSupervisor):
    """Callboard as a child of a host's actor.

    It owns its data directory, keeps its paths at any place in a tree, and does not end the actor
    system, which belongs to the host.
    """

    names_begin_here = True
    owns_actor_system = False

    def on_start(self, args: Top) -> None:
        """Start the tree, unless another system runs on the data directory."""
        try:
            self.closing.enter_context(ownership(args.settings, embedded=True))
        except (SystemUnreachable, OSError) as problem:
            self.give_up(str(problem))
            return
        super().on_start(args)

    def finish(self) -> None:
        """Give the data directory back before anybody hears that this has ended."""
        self.closing.close()
        super().finish()

    def give_up(self, reason: str) -> None:
        """The same when it ends because nothing helped."""
        self.closing.close()
        super().give_up(reason)
