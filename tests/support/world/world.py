"""Actors, their messages and their clock, in one process and in one order."""

import heapq
import itertools
import logging
import pickle
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import structlog
from attrs import define, field, frozen
from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from callboard.actors.base.role import Ports, Role, Setup
from callboard.actors.delivery.deliverer import Deliverer
from callboard.config.settings import DataSettings, Settings
from callboard.supervision import Peer, Start
from callboard.supervision.messages import (
    DirectoryReport,
    Finished,
    GaveUp,
    Heartbeat,
    PeersChanged,
    Ready,
    Stop,
)

CAPABILITIES = {"Thespian ActorSystem Name": "simpleSystem", "Thespian Watch Supported": True}
"""An actor with these has no process of its own, and returns the descriptors that it watches."""

SUPERVISION = (
    *(Start, Ready, Heartbeat, PeersChanged, DirectoryReport, Stop, Finished, GaveUp),
    *(ActorExitRequest, ChildActorExited),
)
"""Messages that arrive once, although late and in any order: how supervisors cope with the loss of
theirs is the subject of other tests."""

SHORTEST_S = 0.0001
FIRST_DESCRIPTOR = 1_000_000
"""Far above those of real files, so that a mistake shows."""


@frozen
class Network:
    """What happens to messages between actors: chances from 0 to 1, of each message by itself.

    `late`: arrives up to `latest_s` after it was sent. `in_order`: those from one actor to another
    arrive in the order in which they were sent.
    """

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    usual_s: float = 0.002
    latest_s: float = 100.0
    in_order: bool = True


@define
class _Living:
    actor: object
    address: ActorAddress
    parent: ActorAddress | None
    descriptors: frozenset = frozenset()
    ports: list = field(factory=list)


class _Reference:
    """Takes the place of Thespian's system for one actor."""

    _child_procs = ()

    def __init__(self, world, address):
        self._world, self.address = world, address

    def actor_send(self, target, message):
        self._world.send(self.address, target, message)

    def wakeupAfter(self, delay, payload=None):
        wakeup = WakeupMessage(delay, payload)
        self._world.after(
            delay.total_seconds(), self._world.deliver, self.address, wakeup, self.address
        )

    def createActor(self, actor_class, requirements=None, *_options):
        where = () if requirements is None else (requirements,)
        return self._world.create(actor_class, self.address, *where)

    def actorSystemShutdown(self):
        self._world.is_shut_down = True

    def notifyOnSystemRegistrationChanges(self, _address, _enabled):
        """There are no other machines, but those that a test makes up."""


class FakePeer:
    """Stands for an actor: keeps what it receives, and says what the test tells it to say."""

    def __init__(self, world, path):
        self.world, self.path, self.received = world, path, []
        self.incarnation = 0
        self.address = None
        self.restart()

    def restart(self):
        """A new incarnation, with a new address; the old one receives nothing any more."""
        self.world.forget(self.address)
        self.incarnation += 1
        self.address = self.world.register(self)

    @property
    def peer(self):
        return Peer(self.path, self.incarnation, self.address, 0)

    def receiveMessage(self, message, _sender):
        self.received.append(message)

    def take(self, kind):
        """The messages of this class that arrived since the last call."""
        found = [message for message in self.received if isinstance(message, kind)]
        self.received = [m for m in self.received if not isinstance(m, kind)]
        return found

    def say(self, target, message):
        self.world.deliver(target.address, message, self.address)


class World:
    """To be entered: meanwhile `time` is the world's, and so is the module `random`.

    `actor_classes`: subclasses to run in place of the product's own. `copying`: messages are
    pickled, as between processes. `crashes`: the tracebacks of actors that ended by an exception.
    `logged`: what actors logged, of `log_level` and above. `is_shut_down`: whether one of them has
    ended the whole actor system.
    """

    def __init__(
        self, seed=0, network=None, actor_classes=None, *, copying=True, log_level=logging.ERROR
    ):
        self.random = random.Random(seed)
        self.network = network or Network()
        self.crashes, self.logged = [], []
        self._log_level = log_level
        self.ended = []
        self.is_shut_down = False
        self.journal = None
        self.now = 1000.0
        self.unix_s = 1_790_000_000.0
        self.ports, self.make_sending = Ports(), None
        self._seed, self._copying = seed, copying
        self._classes = actor_classes or {}
        self._agenda, self._numbers = [], itertools.count()
        self._living, self._addresses = {}, itertools.count(1)
        self._descriptors, self._signalled = {}, set()
        self._fds = itertools.count(FIRST_DESCRIPTOR)
        self._last_arrivals = {}
        self._current = None
        self._peers_versions = itertools.count(1)

    # The frame of a run

    def __enter__(self):
        self._closing = ExitStack()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._closing.callback(random.setstate, random.getstate())
        random.seed(self._seed)
        for name, clock in (
            ("monotonic", lambda: self.now),
            ("time", lambda: self.unix_s + self.now),
            ("clock_gettime", lambda _clock: self.now),
            ("time_ns", lambda: int((self.unix_s + self.now) * 1e9)),
        ):
            self._closing.callback(setattr, time, name, getattr(time, name))
            setattr(time, name, clock)
        before, was_set = structlog.get_config(), structlog.is_configured()
        self._closing.callback(
            lambda: structlog.configure(**before) if was_set else structlog.reset_defaults()
        )
        structlog.configure(
            processors=[self._collect],
            wrapper_class=structlog.make_filtering_bound_logger(self._log_level),
            logger_factory=lambda *_names: None,
            cache_logger_on_first_use=False,
        )
        return self

    def __exit__(self, *_error):
        for address in list(self._living):
            self.forget(address)
        self._closing.close()

    def _collect(self, _logger, _method, event):
        self.logged.append(event)
        if event.get("event") == "actor_crashed":
            self.crashes.append(f"{event.get('actor')}: {traceback.format_exc()}")
        raise structlog.DropEvent

    def settings(self, **parts):
        """Settings with their data in the folder of this world."""
        return Settings(data=DataSettings(dir=self.folder), **parts)

    # Time

    def after(self, seconds, call, *arguments):
        heapq.heappush(self._agenda, (self.now + seconds, next(self._numbers), call, arguments))

    def pass_time(self, seconds):
        """Do all that is due within this time."""
        self.run(lambda: False, seconds)

    def run(self, until: Callable[[], bool], within_s: float) -> bool:
        """Do everything due until the condition holds; False if it does not within this time."""
        last = self.now + within_s
        while not until():
            if not self._agenda or self._agenda[0][0] > last:
                self.now = max(self.now, last)
                return until()
            when, _number, call, arguments = heapq.heappop(self._agenda)
            self.now = max(self.now, when)
            call(*arguments)
        return True

    def set_clock(self, by_s):
        """The wall clock jumps, forward or back."""
        self.unix_s += by_s

    def suspend(self, seconds):
        """The machine stands still, and all that became due meanwhile is late."""
        self.now += seconds

    # Actors

    def create(self, actor_class, parent=None, _requirements=None):
        """Make an actor; like a process that was forked, it waits for its `Start`.

        Requirements on its machine are for subclasses.
        """
        made_by = self._classes.get(actor_class, actor_class)
        if issubclass(actor_class, Deliverer):
            actor = made_by(CAPABILITIES, self.ports, self.make_sending)
        elif issubclass(actor_class, Role):
            actor = made_by(CAPABILITIES, self.ports)
        else:
            actor = made_by(CAPABILITIES)
        address = self.register(actor, parent)
        actor._myRef = _Reference(self, address)
        return address

    def start(self, actor_class, path, settings, *peers, incarnation=1, **setup):
        """Start one actor with these fake peers; returns what it is known by."""
        address = self.create(actor_class)
        args = Setup(settings, **setup)
        start = Start(path, args, incarnation, 0, {peer.path: peer.peer for peer in peers})
        self.deliver(address, start, self._nobody())
        return SimpleNamespace(
            address=address, path=path, incarnation=incarnation, actor=self.actor(address)
        )

    def tell_peers(self, target, *peers):
        """The actor's peers are these from now on."""
        known = {peer.path: peer.peer for peer in peers}
        changed = PeersChanged(known, next(self._peers_versions))
        self.deliver(target.address, changed, self._nobody())

    def peer(self, path):
        return FakePeer(self, path)

    def actor(self, address):
        """The actor at this address; None if it has ended."""
        living = self._living.get(address.addressDetails)
        return living and living.actor

    def actors_but(self, *classes):
        """The addresses of all actors that are of none of these classes."""
        found = self._living.values()
        return [each.address for each in found if not isinstance(each.actor, classes)]

    def register(self, actor, parent=None):
        address = ActorAddress(next(self._addresses))
        self._living[address.addressDetails] = _Living(actor, address, parent)
        return address

    def kill(self, address):
        """End an actor as SIGKILL does, and its children with it."""
        living = self._living.get(address.addressDetails)
        if living is None:
            return
        for child in [each.address for each in self._living.values() if each.parent == address]:
            self.kill(child)
        self.forget(address)
        if living.parent is not None:
            self.send(address, living.parent, ChildActorExited(address))

    def forget(self, address):
        """Remove an actor, and release what it holds on this machine."""
        key = getattr(address, "addressDetails", address)
        living = self._living.pop(key, None)
        if living is not None:
            for port in living.ports:
                port.cut()
            if (closing := getattr(living.actor, "closing", None)) is not None:
                closing.close()

    def _nobody(self):
        return ActorAddress(0)

    # Messages

    def send(self, sender, target, message):
        for latency_s in self._latencies(sender, target, message):
            sent = message
            if self._copying and not isinstance(message, SUPERVISION):
                sent = pickle.loads(pickle.dumps(message))
            self.after(latency_s, self.deliver, target, sent, sender)

    def _latencies(self, sender, target, message):
        if sender == target:
            return (0.0,)
        network, chance = self.network, self.random.random
        copies = 1
        if not isinstance(message, SUPERVISION):
            if chance() < network.lost:
                return ()
            copies += chance() < network.twice
        return [self._latency(sender, target) for _copy in range(copies)]

    def _latency(self, sender, target):
        network = self.network
        most_s = network.latest_s if self.random.random() < network.late else network.usual_s
        latency_s = SHORTEST_S + self.random.random() * most_s
        if network.in_order:
            pair = sender.addressDetails, target.addressDetails
            at = max(self.now + latency_s, self._last_arrivals.get(pair, 0.0) + SHORTEST_S)
            self._last_arrivals[pair] = at
            latency_s = at - self.now
        return latency_s

    def deliver(self, target, message, sender):
        """Let an actor handle a message now; one that has ended does not."""
        living = self._living.get(target.addressDetails)
        if living is None:
            return
        if self.journal is not None:
            self.journal(living, message)
        if isinstance(message, ActorExitRequest):
            living.actor.receiveMessage(message, sender)
            self.ended.append(getattr(living.actor, "path", ""))
            self.kill(target)
            return
        outer, self._current = self._current, living
        try:
            watch = living.actor.receiveMessage(message, sender)
        finally:
            self._current = outer
        if isinstance(watch, ThespianWatch):
            living.descriptors = frozenset(watch.filenos)

    # Descriptors

    def descriptor(self, port):
        """A descriptor for a port of the actor that runs now: something with `ready` and `cut`."""
        fd = next(self._fds)
        self._descriptors[fd] = self._current, port
        self._current.ports.append(port)
        return fd

    def signal(self, fd):
        """The port has become ready; its actor is woken while it watches."""
        if fd not in self._signalled:
            self._signalled.add(fd)
            self.after(SHORTEST_S, self._wake, fd)

    def _wake(self, fd):
        self._signalled.discard(fd)
        living, port = self._descriptors[fd]
        if living.address.addressDetails in self._living and port.ready():
            if fd in living.descriptors:
                self.deliver(living.address, WatchMessage([fd]), living.address)
            if port.ready():
                self.signal(fd)
