"""The messages between supervisors, their children and the owner of the tree."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Factory, frozen
from thespian.actors import ActorAddress


@frozen
class Peer:
    """An actor of the tree that is ready for messages; `incarnation` grows with every restart.

    `because`: why the incarnation before this one ended; "" for the first.
    """

    path: str
    incarnation: int
    address: ActorAddress
    pid: int
    because: str = ""


@frozen
class Start:
    """The first message to a child, from its supervisor. `args`: those of its specification.

    `path`: its place in the tree (`deliveries/deliverer-1`), "" for the top. `heartbeat_s` 0: no
    heartbeats (if the owner of the tree does not need them).
    """

    path: str = ""
    args: Any = None
    incarnation: int = 0
    heartbeat_s: float = 2.0
    peers: Mapping[str, Peer] = Factory(dict)


@frozen
class Ready:
    """A child has started; its supervisor may start the next. `pid` is its process."""

    path: str
    incarnation: int
    pid: int


@frozen
class Heartbeat:
    """A child is alive; sent every `heartbeat_s` seconds, with its figures for users."""

    path: str
    incarnation: int
    stats: Mapping[str, Any]


@frozen
class Heard:
    """To a supervisor on another machine: its heartbeat has arrived."""


@frozen
class Stop:
    """Finish the work in progress, then end. After its time limit an actor is killed."""


@frozen
class Finished:
    """A child ends intentionally: a normal exit (OTP: reason `normal`)."""

    path: str
    incarnation: int


@frozen
class GaveUp:
    """A supervisor exceeded its restart intensity and ends; sent to its parent or owner."""

    path: str
    reason: str


@frozen
class PeersChanged:
    """All of the receiver's peers that are ready now; an absent one is down.

    Thespian does not keep the order of messages: `version` increases, and older ones are ignored.
    """

    peers: Mapping[str, Peer]
    version: int = 0


@frozen
class DirectoryReport:
    """A supervisor's part of the directory, for its parent: all ready actors below it.

    `version` as in `PeersChanged`.
    """

    path: str
    incarnation: int
    peers: Mapping[str, Peer]
    version: int


@frozen
class TreeNode:
    """One actor of the live tree. `started_at`: Unix seconds; `status`: see supervisor.py."""

    id: str
    path: str
    actor: str
    label: str
    status: str
    pid: int | None
    started_at: float | None
    restarts: int
    stats: Mapping[str, Any]
    children: tuple["TreeNode", ...] = ()

    def at(self, path: str) -> "TreeNode":
        """The node at that path below this one. Raises LookupError if there is none."""
        node = self
        for part in path.split("/"):
            found = [child for child in node.children if child.id == part]
            if not found:
                raise LookupError(f"there is no actor {path!r} in the tree")
            node = found[0]
        return node

    def below(self) -> Iterator["TreeNode"]:
        """Every node below this one, parents first."""
        for child in self.children:
            yield child
            yield from child.below()


@frozen
class Forwarded:
    """A message forwarded by another actor; handled as if `asker` had sent it."""

    asker: ActorAddress
    message: Any


@frozen
class Question:
    """A message whose responses must be matched to it. Each of them is sent as an `Answer`.

    Thespian does not keep the order of messages, and a response may arrive after the time-out.
    """

    ref: int
    message: Any


@frozen
class Answer:
    """A response to the `Question` with the same `ref`."""

    ref: int
    message: Any


@frozen
class AskedBy:
    """Stands for the sender of a `Question`; messages to it are sent as an `Answer`."""

    address: ActorAddress
    ref: int


@frozen
class GetTree:
    """Ask a supervisor for its `TreeNode`."""


@frozen
class Locate:
    """Ask the top supervisor for the actor at that path; the response is `Located`."""

    path: str


@frozen
class Located:
    """`peer` is None while that actor is down, or if it does not exist."""

    path: str
    peer: Peer | None
