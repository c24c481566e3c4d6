"""Callboard inside an actor system of yours: a supervised child of one of your actors.

Any Thespian actor can be the host, on any system base:

    from thespian.actors import ActorSystem, ActorTypeDispatcher
    from callboard import embed

    class Host(ActorTypeDispatcher):
        def receiveMsg_Settings(self, settings, sender):
            self.callboard = self.createActor(embed.Callboard)
            self.send(self.callboard, embed.begin(settings))

        def receiveMsg_Ready(self, ready, sender):              # the whole tree stands
            self.send(sender, embed.SubscribeToNotices())
            self.send(sender, embed.Ask("hook_listener", embed.AddHook({...})))

        def receiveMsg_HookSaved(self, saved, sender): ...      # the answer to Ask
        def receiveMsg_Refused(self, refused, sender): ...      # or this one

        def receiveMsg_Notices(self, message, sender):          # what happens in there
            self.send(sender, message.seen())
            for notice in message.notices: ...

        def receiveMsg_str(self, stop, sender):
            self.send(self.callboard, embed.Stop())

        def receiveMsg_GaveUp(self, gave_up, sender): ...       # it failed; why
        def receiveMsg_ChildActorExited(self, exited, sender):  # it has ended, in whatever way
            ...

    settings = embed.load(None, os.environ, {"data.dir": "/var/lib/mine"}).settings
    ActorSystem("multiprocTCPBase").tell(host, settings)

What you send, and what you hear:

| you send to `Callboard` | you hear |
|---|---|
| `begin(settings)` | `Ready`; or `GaveUp` with the reason, then `ChildActorExited` |
| `Ask(path, message)` | the actor's own answer, directly from it; or `Refused` |
| `Locate(path)` | `Located`, with the actor's address until its next restart |
| `GetTree()` | a `TreeNode`: who runs, where, how often restarted |
| any request of `callboard.admin` | the answer it names, or `Refused` |
| `SubscribeToNotices(kinds)`, `Unsubscribe()` | `Subscribed`, then `Notices`; `Unsubscribed` |
| `Stop()` | `Finished`, when all is settled and ended, then `ChildActorExited` |

`ChildActorExited` without `GaveUp` or `Finished` before it: the top was killed. Create another; it
carries on with what is stored. Or let a `callboard.supervision.Supervisor` of yours do that: its
children may include `child_spec(settings)`. Paths in messages to Callboard and in its notices begin
at Callboard itself, wherever it hangs.

Several Callboards, each with its own `data.dir`, live in one actor system without knowing of each
other. A data directory has one owner: a second one is refused (`GaveUp`). Two on one broker share
the work of its queue, as two nodes do; give them different `amqp.queue`s to keep them apart.

What remains yours: the actor system and its transport, so that of the settings `actors.base`,
`admin_port`, `bind` and `key` mean nothing here (to have your actors' ports sealed, call
`callboard.adapters.local.sealed_transport.seal` before you create the system); and the logs of your
processes. Callboard's actor processes log to standard error as `settings.log` says; where its
actors share a process with yours (simpleSystemBase), they log as structlog is configured there,
else to the logger `callboard` of `logging`. On that base they run only while you call `tell`, `ask`
or `listen`.
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
from callboard.config import ConfigError, Settings, load
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

START_S = 300.0
"""How long the tree may take to stand where a supervisor of the host starts it."""
SHUTDOWN_S = 60.0
"""How long it may take to settle and stop when a supervisor of the host asks it to."""

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
]


def begin(settings: Settings, *, owner_pid: int | None = None) -> Start:
    """The first message to a `Callboard`: start the tree that these settings ask for.

    `owner_pid`: a process of this machine, such as your main program; when it ends, this tree stops
    in order, as if asked to.
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

    Actors of the host whose own ChildSpec names `id` among its peers can send it messages; those
    that name `{id}/*` reach the actors of the tree as well.
    """
    return ChildSpec(
        id,
        Callboard,
        Top(settings, owner_pid),
        restart=restart,
        shutdown_s=SHUTDOWN_S,
        start_s=START_S,
    )
