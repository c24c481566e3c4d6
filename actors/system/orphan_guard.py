"""The actor that ends the actor system of a machine that has joined, once its owner has ended."""

import os
from importlib.metadata import version
from typing import Any

from attrs import frozen
from thespian.actors import ActorAddress, ActorSystemConventionUpdate, WatchMessage

from callboard.actors.system.worker_capabilities import VERSION
from callboard.supervision import SupervisedActor


@frozen
class AnotherVersion:
    """The node has another version than this machine, and so starts no deliverers here."""

    version: str


class OrphanGuard(SupervisedActor):
    """Watches the process of `callboard join`; started with its process id.

    It also reports to that process, as `AnotherVersion`, that the node refuses this machine.
    """

    def on_start(self, args: int) -> None:
        """Watch the process and the node."""
        self.watch(os.pidfd_open(args))
        self.notifyOnSystemRegistrationChanges(True)

    def receiveMsg_ActorSystemConventionUpdate(
        self, update: ActorSystemConventionUpdate, _sender: ActorAddress
    ) -> None:
        """The node has answered the registration of this machine, or is lost."""
        theirs = (update.remoteCapabilities or {}).get(VERSION)
        if update.remoteAdded and theirs not in (None, version("callboard")):
            self.send(self.supervisor, AnotherVersion(theirs))

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: ActorAddress | Any) -> None:
        """The process has ended: end its actor system."""
        self.watch()
        self.closing.callback(self.actorSystemShutdown)
        self.finish()
