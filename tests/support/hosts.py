"""Hosts that embed Callboard, and the tests' messages to and from them."""

import json
import os
import time
from datetime import timedelta

import psutil
from attrs import frozen
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorTypeDispatcher,
    ChildActorExited,
)

from callboard import embed
from callboard.adapters.local.sealed_transport import unseal
from callboard.supervision import Peer
from support.patience import patient
from support.running import ACCOUNT, call_event, outgoing
from support.trees import KEY, MULTI, actor_system


@frozen
class Create:
    """To a Host: create a Callboard with this name."""

    name: str
    start: object


@frozen
class Send:
    """To a Host: send this to that Callboard."""

    name: str
    message: object


@frozen
class Heard:
    """From a Host or a Listener: a message that it received.

    `name`: the Callboard that sent it, if known, or the listener; `pid`: the process that received
    it.
    """

    name: str
    message: object
    pid: int


@frozen
class Attend:
    """To a Listener: its name, and what to subscribe to."""

    name: str
    callboard: ActorAddress


class Host(Actor):
    """A plain actor that obeys the test, and forwards all other messages to it."""

    def __init__(self):
        self.callboards = {}
        self.test = None

    def receiveMessage(self, message, sender):
        if isinstance(message, Create):
            self.test = sender
            self.callboards[message.name] = self.createActor(embed.Callboard)
            if message.start is not None:
                self.send(self.callboards[message.name], message.start)
        elif isinstance(message, Send):
            self.send(self.callboards[message.name], message.message)
        elif self.test is not None:
            if isinstance(message, embed.Ready):
                message = Peer("", 0, sender, message.pid)  # usable by other processes, too
            if isinstance(message, embed.Notices):
                self.send(sender, message.seen())
            who = message.childAddress if isinstance(message, ChildActorExited) else sender
            if isinstance(message, ChildActorExited):
                message = "ended"
            names = [name for name, address in self.callboards.items() if address == who]
            self.send(self.test, Heard(*(names or [""]), message, os.getpid()))


class Listener(ActorTypeDispatcher):
    """Subscribes to a given Callboard, and forwards its messages."""

    confirms = True

    def receiveMsg_Attend(self, message, sender):
        self.name, self.callboard, self.test = message.name, message.callboard, sender
        self.send(self.callboard, embed.SubscribeToNotices())

    def receiveMsg_Unsubscribe(self, message, _sender):
        self.send(self.callboard, message)

    def receiveMsg_Subscribed(self, message, _sender):
        self.send(self.test, Heard(self.name, message, os.getpid()))

    def receiveMsg_Unsubscribed(self, message, _sender):
        self.send(self.test, Heard(self.name, message, os.getpid()))

    def receiveMsg_Notices(self, message, sender):
        if self.confirms:
            self.send(sender, message.seen())
        self.send(self.test, Heard(self.name, message, os.getpid()))


class DeafListener(Listener):
    """Confirms nothing."""

    confirms = False


class Hosted:
    """An actor system with a Host, and all messages received in it.

    `sealed`: as the documentation has it; a system with a process for every actor only.
    """

    def __init__(self, base, host=Host, *, sealed=True):
        self.base = base
        if sealed and base == MULTI:
            embed.seal(KEY)
        self.system = actor_system(base)
        self.host = self.system.createActor(host)
        self.heard = []
        self.addresses = {}

    def create(self, name, settings, **options):
        self.system.tell(self.host, Create(name, embed.begin(settings, **options)))

    def begin(self, name, settings):
        """Create a Callboard and wait until it is ready."""
        self.create(name, settings)
        top = self.hear(name, Peer, 30)
        self.pid = top.pid
        self.addresses[name] = top.address

    def send(self, name, message):
        self.system.tell(self.host, Send(name, message))

    def ask(self, name, message, kind, timeout_s=10.0):
        self.send(name, message)
        found = self.hear(None, (kind, embed.Refused), timeout_s)
        assert isinstance(found, kind), found
        return found

    def listen(self, seconds):
        """Let the actors run (simpleSystemBase needs this), and receive their messages."""
        message = self.system.listen(timedelta(seconds=seconds))
        if isinstance(message, Heard):
            self.heard.append(message)

    def hear(self, name, kind, timeout_s=15.0):
        """The next message of that kind, or that text, from that Callboard; None: from any."""

        def found():
            for heard in self.heard:
                wanted = heard.message == kind if isinstance(kind, str) else None
                wanted = isinstance(heard.message, kind) if wanted is None else wanted
                if wanted and name in (None, heard.name):
                    self.heard.remove(heard)
                    return heard.message
            return None

        return self.wait(found, timeout_s, f"{kind} from {name}")

    def wait(self, condition, timeout_s=15.0, what="the condition"):
        timeout_s = patient(timeout_s)
        end = time.monotonic() + timeout_s
        while not (result := condition()):
            assert time.monotonic() < end, f"{what} not within {timeout_s} s; heard {self._last()}"
            self.listen(0.05)
        return result

    def _last(self):
        return [(heard.name, str(heard.message)[:200]) for heard in self.heard[-20:]]

    def notice(self, kind, name=None):
        """The next notification of this class to that listener; for a host, to its Callboard's."""

        def found():
            notices = [n for batch in self.batches(name) for n in batch.notices]
            return next((notice for notice in notices if isinstance(notice, kind)), None)

        return self.wait(found, what=kind.__name__)

    def batches(self, name=None):
        """All batches of notifications received, by that listener."""
        return [
            heard.message
            for heard in self.heard
            if isinstance(heard.message, embed.Notices) and name in (None, heard.name)
        ]

    def listener(self, name, callboard, kind=Listener):
        """Create another actor that subscribes to that Callboard; returns its process."""
        self.system.tell(self.system.createActor(kind), Attend(name, self.addresses[callboard]))
        self.wait(lambda: any(h.name == name for h in self.heard), what=f"word of {name}")
        return next(h.pid for h in self.heard if h.name == name)

    def tree(self, name):
        return self.ask(name, embed.GetTree(), embed.TreeNode)

    def figure(self, name, path, figure):
        return self.tree(name).at(path).stats.get(figure)

    def add_hook(self, name, uri, **fields):
        document = {"pvt_account_id": ACCOUNT, "name": "n", "uri": uri, "hook": "channel_create"}
        message = embed.AddHook(document | {"format": "json"} | fields)

        def answer():
            self.send(name, embed.Ask("hook_listener", message))
            answer = self.hear(None, (embed.HookSaved, embed.Refused))
            return answer if isinstance(answer, embed.HookSaved) else None

        # Refused until the store is prepared, possibly after `Ready`.
        return self.wait(answer, what=f"hook to {uri}").document["_id"]

    def publish(self, name, numbers):
        """Publish events of calls with these numbers."""
        events = tuple(outgoing(call_event(number)) for number in numbers)
        message = embed.Ask("event_bridge", embed.PublishEvents(events))
        self.ask(name, message, embed.Published)

    def family(self):
        """All processes of this system except this one."""
        if self.base != MULTI:
            return []
        port = self.system._systemBase.adminAddr.addressDetails.connectArgs[0][1]
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                admin = psutil.Process(connection.pid)
                return [admin, *admin.children(recursive=True)]
        return []

    def wait_for_calls(self, receiver, path, numbers, timeout_s=15.0):
        """Wait until the receiver has exactly these calls on that path."""
        expected = {f"call-{number}@switch" for number in numbers}

        def arrived():
            requests = [r for r in receiver.requests if r.path == path]
            return {json.loads(r.body)["call_id"] for r in requests} == expected

        self.wait(arrived, timeout_s, f"{len(expected)} calls on {path}")

    def close(self):
        family = self.family()
        self.system.shutdown()
        unseal()
        left = psutil.wait_procs(family, timeout=patient(30))[1]
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"
