"""The actor that ends the actor system of a machine that has joined, once its owner has ended."""

import os
from typing import Any

from thespian.actors import ActorAddress, WatchMessage

from callboard.supervision import SupervisedActor


class OrphanGuard(SupervisedActor):
    """Watches the process of `callboard join`; started with its process id."""

    def on_start(self, args: int) -> None:
        """Watch the process."""
        self.watch(os.pidfd_open(args))

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: ActorAddress | Any) -> None:
        """The process has ended: end its actor system."""
        self.watch()
        self.closing.callback(self.actorSystemShutdown)
        self.finish()
