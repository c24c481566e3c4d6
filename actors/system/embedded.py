"""The top supervisor within a host's actor system."""

from callboard.actors.system.actor_system import SystemUnreachable, ownership
from callboard.actors.system.data_lock import DataDirectoryLost
from callboard.actors.system.tree import Top, WebhooksSupervisor

CHECK_S = 1.0
"""The interval for checking that the data directory is still the same."""


class Callboard(WebhooksSupervisor):
    """Callboard as a child of a host's actor.

    It owns its data directory, and its paths do not depend on its place in the host's tree. It does
    not end the actor system, which belongs to the host.
    """

    names_begin_here = True
    owns_actor_system = False

    def on_start(self, args: Top) -> None:
        """Start the tree, unless another system runs on the data directory."""
        try:
            self._check = self.closing.enter_context(ownership(args.settings, embedded=True))
        except (SystemUnreachable, OSError) as problem:
            self.give_up(str(problem))
            return
        super().on_start(args)
        self.every(CHECK_S, self._check_directory)

    def _check_directory(self) -> None:
        if self._ending is None:
            try:
                self._check()
            except DataDirectoryLost as problem:
                self._stop_all(str(problem))

    def finish(self) -> None:
        """Release the data directory before reporting the end."""
        self.closing.close()
        super().finish()

    def give_up(self, reason: str) -> None:
        """Release the data directory before reporting the failure."""
        self.closing.close()
        super().give_up(reason)
