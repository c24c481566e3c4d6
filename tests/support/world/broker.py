"""A broker in memory: it redelivers, loses connections, and checks how it is used."""

import itertools
import math
from collections import deque

from attrs import define, evolve, field

from callboard.adapters.broker.protocol import (
    Blocked,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Declared,
    Depths,
    IncomingMessage,
    Overdue,
    Probed,
    Received,
    Removed,
    Returned,
    Unblocked,
    Unconfirmed,
)
from callboard.adapters.broker.topic import BOUND_BY

LATENCY_S = 0.003
RETRY_S = 1.0


@define
class Queued:
    """A message in a queue. `place`: kept when it is given back."""

    place: int
    exchange: str
    key: str
    body: bytes = field(repr=False)
    properties: object = field(repr=False)
    queue: str
    redelivered: bool = False


class Broker:
    """Queues survive everything. `misuse`: what no client may do, such as to acknowledge twice.

    `on_ack(queue, message)` is called when a client acknowledges a message. `full`: queues that
    refuse publications.
    """

    def __init__(self, world, on_ack=lambda _queue, _message: None):
        self.world, self.on_ack = world, on_ack
        self.up, self.blocked = True, ""
        self.queues, self.misuse, self.full = {}, [], set()
        self.connections = []
        self._types, self._bindings, self._delays = {}, [], {}
        self.places = itertools.count()

    def connect(self, _url, topology, _folder, name="", overdue_s=math.inf, **_times):
        """A connection for the actor that runs now."""
        connection = Connection(self, topology, name, overdue_s)
        self.connections.append(connection)
        return connection

    @property
    def messages(self):
        """The number of messages in queues, in delay queues, and with clients."""
        held = sum(len(each.unacknowledged) for each in self.connections)
        return sum(map(len, self.queues.values())) + held

    def held(self, queue):
        """The messages of a queue, with those of clients."""
        with_clients = (
            message
            for each in self.connections
            for message in each.unacknowledged.values()
            if message.queue == queue
        )
        return itertools.chain(self.queues.get(queue, ()), with_clients)

    # Topology

    @property
    def exchanges(self):
        """The names of declared exchanges."""
        return self._types.keys()

    def declare(self, topology, queue):
        for exchange in topology.exchanges:
            self._types[exchange.name] = exchange.type
        for delay in topology.delays:
            self.queues.setdefault(delay.name, deque())
            self._delays[delay.name] = delay.delay_ms / 1000, delay.to
        if queue is not None:
            self.queues.setdefault(queue, deque())
        for binding in topology.bindings:
            bound = binding.exchange, binding.key, queue
            if bound not in self._bindings:
                self._bindings.append(bound)

    def publish(self, exchange, key, body, properties):
        """Route a message; returns whether a queue has taken it."""
        targets = {key: None} if not exchange and key in self.queues else {}
        for bound_to, pattern, queue in self._bindings:
            if bound_to == exchange and BOUND_BY[self._types[exchange]](pattern, key):
                targets[queue] = None
        for queue in targets:
            self._put(queue, Queued(next(self.places), exchange, key, body, properties, queue))
        return bool(targets)

    def delete(self, queue):
        """Delete a queue with its messages and bindings."""
        self.queues.pop(queue, None)
        self._bindings = [bound for bound in self._bindings if bound[2] != queue]

    def _put(self, queue, message):
        self.queues[queue].append(message)
        if queue in self._delays:
            delay_s, to = self._delays[queue]
            self.world.after(delay_s, self._expire, queue, message, to)
        self.feed(queue)

    def _expire(self, queue, message, to):
        if not self.up:
            self.world.after(RETRY_S, self._expire, queue, message, to)
            return
        self.queues[queue].remove(message)
        self._put(to, evolve(message, place=next(self.places), key=to, queue=to))

    def give_back(self, messages):
        """Messages return to their places."""
        back = [evolve(message, redelivered=True) for message in messages]
        for message in sorted(back, key=lambda m: m.place, reverse=True):
            self.queues[message.queue].appendleft(message)
        for queue in dict.fromkeys(message.queue for message in back):
            self.feed(queue)

    def feed(self, queue):
        """Give consumers what they have room for."""
        if not self.up:
            return
        for connection in self.connections:
            if connection.consumes(queue):
                while self.queues[queue] and connection.has_room(queue):
                    connection.receive(self.queues[queue].popleft())

    # Faults

    def stop(self, seconds):
        """Lose all connections, and accept none for this time."""
        self.up = False
        for connection in list(self.connections):
            connection.lose("the broker stopped")
        self.world.after(seconds, self._start)

    def _start(self):
        self.up = True

    def block(self, reason="low on memory"):
        """Take no messages, as RabbitMQ: each connection learns of it by its next publish."""
        self.blocked = reason

    def unblock(self):
        """Take messages again, also those that came meanwhile."""
        self.blocked = ""
        for connection in list(self.connections):
            connection.unblock()


class Connection:
    """See `BrokerConnection`. What it sends arrives a little later, or never if it is lost."""

    def __init__(self, broker, topology, name, overdue_s):
        self.broker, self.world, self.name = broker, broker.world, name
        self._overdue_s = overdue_s
        self.queue = topology.queue and topology.queue.name
        if self.queue and self.queue.endswith("."):
            self.queue = f"{self.queue}{next(broker.places)}"
        self.unacknowledged = {}
        self._topology = topology
        self._state, self._consuming = "new", self.queue is not None
        self._events, self._incoming = [], []
        self._tags, self._first_tag, self._ids = itertools.count(1), 1, itertools.count(1)
        self._leaving, self._unconfirmed, self._refused = set(), {}, []
        self._on_the_way = deque()
        self._prefetches = {}
        self._blocked, self._limbo = "", []

    def ready(self):
        return bool(self._events or self._incoming or self._refused)

    def consumes(self, queue):
        return self._state == "up" and self._consuming and queue in self._prefetches

    def has_room(self, queue):
        held = sum(message.queue == queue for message in self.unacknowledged.values())
        return held < self._prefetches[queue]

    def receive(self, queued):
        tag = next(self._tags)
        self.unacknowledged[tag] = queued
        self._incoming.append(
            IncomingMessage(
                tag,
                queued.exchange,
                queued.key,
                queued.body,
                queued.properties,
                queued.redelivered,
            )
        )
        self.world.signal(self._fd)
        self.world.after(self._overdue_s, self._report_overdue, tag)

    def _report_overdue(self, tag):
        if tag in self.unacknowledged and tag not in self._leaving:
            self._events.append(Overdue((tag,)))
            self.world.signal(self._fd)

    def lose(self, reason):
        """The connection breaks; messages on the way in either direction are lost."""
        if self._state == "up":
            unconfirmed = tuple(self._unconfirmed)
            self._end()
            if unconfirmed:
                self._events.append(Unconfirmed(unconfirmed, reason))
            self._wait(reason)

    def cut(self):
        """The process of its owner has ended."""
        if self._state != "closed":
            self._end()
            self._state = "closed"
            self.broker.connections.remove(self)

    def unblock(self):
        if self._blocked:
            self._blocked = ""
            self._events.append(Unblocked())
            limbo, self._limbo = self._limbo, []
            for call, arguments in limbo:
                call(*arguments)
            self.world.signal(self._fd)

    def _take(self, call, *arguments):
        """What a publisher sends: the broker takes it now, or once it is unblocked."""
        if not self.broker.blocked:
            call(*arguments)
            return
        self._limbo.append((call, arguments))
        if not self._blocked:
            self._blocked = self.broker.blocked
            self._events.append(Blocked(self._blocked))
            self.world.signal(self._fd)

    def _end(self):
        self._on_the_way = deque()
        self._blocked, self._limbo = "", []
        held, self.unacknowledged = self.unacknowledged, {}
        self._leaving, self._unconfirmed, self._incoming = set(), {}, []
        self._state, self._prefetches = "down", {}
        if self.queue is not None and self._topology.queue.exclusive:
            self.broker.delete(self.queue)
        elif held:
            self.broker.give_back(held.values())

    def _wait(self, reason):
        self._events.append(ConnectionDown(reason, RETRY_S))
        self.world.signal(self._fd)
        self.world.after(RETRY_S, self._connect)

    def _connect(self):
        if self._state == "closed":
            return
        if not self.broker.up:
            self._wait("the broker is down")
            return
        self._state = "up"
        self._first_tag = next(self._tags)
        self.broker.declare(self._topology, self.queue)
        self._events.append(ConnectionUp(self.queue))
        self.world.signal(self._fd)
        if self.queue is not None:
            self._prefetches[self.queue] = self._topology.prefetch
            self.broker.feed(self.queue)

    def _later(self, call, *arguments):
        """Call it in a moment, after all before it, unless the connection is lost by then."""
        on_the_way = self._on_the_way
        on_the_way.append((call, arguments))

        def arrive():
            if on_the_way is self._on_the_way and self._state == "up":
                call, arguments = on_the_way.popleft()
                call(*arguments)

        self.world.after(self.world.random.random() * LATENCY_S, arrive)

    # BrokerConnection

    def open(self):
        self._fd = self.world.descriptor(self)
        self._state = "down"
        self.world.after(LATENCY_S, self._connect)

    def fileno(self):
        return self._fd

    def deadline(self):
        return None

    def poll(self):
        events, self._events = self._events, []
        if self._incoming:
            events.append(Received(tuple(self._incoming)))
            self._incoming = []
        if self._refused:
            events.append(Unconfirmed(tuple(self._refused), "not connected"))
            self._refused = []
        return events

    def ack(self, tags):
        for tag in self._own(tags, "acknowledged"):
            message = self.unacknowledged[tag]
            self.broker.on_ack(message.queue, message)
            self._later(self._acknowledged, tag)

    def requeue(self, tags):
        tags = list(self._own(tags, "requeued"))
        if tags:
            self._later(self._requeued, tags)

    def reconnect(self, reason):
        self.lose(reason)

    def _own(self, tags, use):
        for tag in tags:
            if tag < self._first_tag or self._state != "up":
                continue  # of an earlier connection
            if tag not in self.unacknowledged or tag in self._leaving:
                self.broker.misuse.append(f"{self.name} {use} the settled tag {tag}")
                continue
            self._leaving.add(tag)
            yield tag

    def _acknowledged(self, tag):
        queue = self.unacknowledged.pop(tag).queue
        self._leaving.discard(tag)
        self.broker.feed(queue)

    def _requeued(self, tags):
        self._leaving.difference_update(tags)
        self.broker.give_back([self.unacknowledged.pop(tag) for tag in tags])

    def publish(self, message):
        number = next(self._ids)
        if self._state == "up" and not self._blocked:
            self._unconfirmed[number] = message
            self._later(self._take, self._published, number, message)
        else:
            self._refused.append(number)
            self.world.signal(self._fd)
        return number

    def probe(self):
        if self._state == "up" and not self._blocked:
            self._later(self._take, self._probed)

    def _probed(self):
        self._events.append(Probed())
        self.world.signal(self._fd)

    def _published(self, number, message):
        if message.routing_key in self.broker.full:
            self._later(self._refuse, number)
            return
        taken = self.broker.publish(
            message.exchange, message.routing_key, message.body, message.properties
        )
        self._later(self._confirm, number, taken or not message.mandatory)

    def _confirm(self, number, taken):
        del self._unconfirmed[number]
        if not taken:
            self._events.append(Returned(number, "no queue"))
        self._events.append(Confirmed((number,)))
        self.world.signal(self._fd)

    def _refuse(self, number):
        del self._unconfirmed[number]
        self._events.append(Unconfirmed((number,), "the queue is full"))
        self.world.signal(self._fd)

    def ask_depths(self):
        if self._state == "up":
            names = [delay.name for delay in self._topology.delays]
            names += [self.queue] if self.queue else []
            self._later(self._tell_depths, names)

    def _tell_depths(self, names):
        self._events.append(Depths({name: len(self.broker.queues[name]) for name in names}))
        self.world.signal(self._fd)

    def declare(self, queue):
        if self._state == "up":
            self._later(self._declared, queue.name)

    def _declared(self, name):
        waiting = len(self.broker.queues.setdefault(name, deque()))
        self._events.append(Declared(name, waiting))
        self.world.signal(self._fd)

    def consume(self, queue, prefetch):
        if self._state == "up":
            self._later(self._consume, queue, prefetch)

    def _consume(self, queue, prefetch):
        self._prefetches[queue] = prefetch
        self.broker.feed(queue)

    def remove(self, queue, *, is_obsolete=False):
        if self._state == "up":
            self._later(self._removed, queue.name)

    def _removed(self, name):
        del self._prefetches[name]
        messages = len(list(self.broker.held(name)))
        if not messages and not any(each.consumes(name) for each in self.broker.connections):
            self.broker.delete(name)
        self._events.append(Removed(name, messages))
        self.world.signal(self._fd)

    def stop_consuming(self):
        self._consuming = False

    def close(self):
        self.cut()
