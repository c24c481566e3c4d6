"""Callboard inside your own actor system: a supervised child of one of your actors.

Any Thespian actor can be the host, on any system base:

    from thespian.actors import ActorSystem, ActorTypeDispatcher
    from callboard import embed

    class Host(ActorTypeDispatcher):
        def receiveMsg_Settings(self, settings, sender):
            self.callboard = self.createActor(embed.Callboard)
            self.send(self.callboard, embed.begin(settings))

        def receiveMsg_Ready(self, ready, sender):              # the whole tree runs
            self.send(sender, embed.SubscribeToNotices())
            self.send(sender, embed.Ask("hook_listener", embed.AddHook({...})))

        def receiveMsg_HookSaved(self, saved, sender): ...      # the response to Ask
        def receiveMsg_Refused(self, refused, sender): ...      # or this one

        def receiveMsg_Notices(self, message, sender):          # notifications
            self.send(sender, message.seen())
            for notice in message.notices: ...

        def receiveMsg_str(self, stop, sender):
            self.send(self.callboard, embed.Stop())

        def receiveMsg_GaveUp(self, gave_up, sender): ...       # it failed, with the reason
        def receiveMsg_ChildActorExited(self, exited, sender):  # it has ended, for any reason
            ...

    settings = embed.load(None, os.environ, {"data.dir": "/var/lib/mine"}).settings
    embed.seal(secrets.token_bytes(32))
    ActorSystem("multiprocTCPBase").tell(host, settings)

The messages:

| you send to `Callboard` | you receive |
|---|---|
| `begin(settings)` | `Ready`; or `GaveUp` with the reason, then `ChildActorExited` |
| `Ask(path, message)` | the actor's response, directly from the actor; or `Refused` |
| `Locate(path)` | `Located`, with the actor's address until its next restart |
| `GetTree()` | a `TreeNode`: the actors with their processes and restarts |
| any request of `callboard.admin` | the response that it names, or `Refused` |
| `SubscribeToNotices(kinds)`, `Unsubscribe()` | `Subscribed`, then `Notices`; `Unsubscribed` |
| `Stop()` | `Finished`, when everything has settled and ended, then `ChildActorExited` |

`ChildActorExited` without `GaveUp` or `Finished` before it means that the top was killed. Create
another; it continues with the stored data. Or let your own `callboard.supervision.Supervisor` do
that: its children may include `child_spec(settings)`. Paths in messages to Callboard and in its
notifications begin at Callboard itself, wherever it is in your system.

Several Callboards, each with its own `data.dir`, can run in one actor system independently. A data
directory has one owner: a second Callboard is refused (`GaveUp`). Two on one broker share the work
of its queue, as two nodes do; give them different `amqp.queue`s to separate them.

You own the actor system and its transport: Callboard ignores the settings `actors.base`,
`admin_port`, `bind` and `key`. If you call `seal` before you create the system, only processes with
its key can send to your actors, and messages take a tenth of the processor time or less. You also
own the logs of your processes. Callboard's actor processes log to standard error, as `settings.log`
configures. If its actors share a process with yours (simpleSystemBase), they use its structlog
configuration, or else the logger `callboard` of `logging`. On that base they run only while you
call `tell`, `ask` or `listen`.
"""

from callboard.actors.messages import (
    AddHook,
    Ask,
    DisableHook,
    GetSettings,
    HookList,
    HookSaved,
    ListHooks,
    Published,
    PublishEvents,
    Refused,
    RemoveHook,
)
from callboard.actors.messages.notifications import (
    CHILD_RESTARTED,
    DELIVERY_FAILED,
    HOOK_DISABLED,
    ChildRestarted,
    DeliveryFailed,
    HookDisabled,
    Notices,
    NoticesSeen,
    Subscribed,
    SubscribeToNotices,
    Unsubscribe,
    Unsubscribed,
)
from callboard.actors.system.embedded import Callboard
from callboard.actors.system.tree import Top
from callboard.adapters.local.sealed_transport import seal
from callboard.config import ConfigError, Settings, load
from callboard.config.time_limits import EMBEDDED_START_S, EMBEDDED_STOP_S
from callboard.supervision import (
    PERMANENT,
    ChildSpec,
    Finished,
    GaveUp,
    GetTree,
    Locate,
    Located,
    Peer,
    Ready,
    Start,
    Stop,
    TreeNode,
)

START_S = EMBEDDED_START_S
"""Time limit for the start of the tree by a host's supervisor."""
SHUTDOWN_S = EMBEDDED_STOP_S
"""Time limit for the tree to settle and stop when a host's supervisor stops it."""

__all__ = [
    "CHILD_RESTARTED",
    "DELIVERY_FAILED",
    "HOOK_DISABLED",
    "SHUTDOWN_S",
    "START_S",
    "AddHook",
    "Ask",
    "Callboard",
    "ChildRestarted",
    "ConfigError",
    "DeliveryFailed",
    "DisableHook",
    "Finished",
    "GaveUp",
    "GetSettings",
    "GetTree",
    "HookDisabled",
    "HookList",
    "HookSaved",
    "ListHooks",
    "Locate",
    "Located",
    "Notices",
    "NoticesSeen",
    "Peer",
    "PublishEvents",
    "Published",
    "Ready",
    "Refused",
    "RemoveHook",
    "Settings",
    "Stop",
    "SubscribeToNotices",
    "Subscribed",
    "TreeNode",
    "Unsubscribe",
    "Unsubscribed",
    "begin",
    "child_spec",
    "load",
    "seal",
]


def begin(settings: Settings, *, owner_pid: int | None = None) -> Start:
    """The first message to a `Callboard`: starts the tree with these settings.

    `owner_pid`: a process of this machine, such as your main program; when it ends, the tree stops
    in order.
    """
    return Start(args=Top(settings, owner_pid), heartbeat_s=0)


def child_spec(
    settings: Settings,
    id: str = "callboard",
    *,
    restart: str = PERMANENT,
    owner_pid: int | None = None,
) -> ChildSpec:
    """Callboard as a child of a `callboard.supervision.Supervisor` of the host.

    An actor of the host whose ChildSpec lists `id` as a peer can send messages to Callboard; with
    `{id}/*` it can also send to the actors of the tree.
    """
    return ChildSpec(
        id,
        Callboard,
        Top(settings, owner_pid),
        restart=restart,
        shutdown_s=SHUTDOWN_S,
        start_s=START_S,
    )
