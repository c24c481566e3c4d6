"""The broker of `memory://` URLs: topic exchanges and queues in one SQLite file, no server.

For a first run, for small installations on one machine, and for tests. Any number of processes
share the file. Confirmed messages survive the kill of any process but, for the last moments, not a
loss of power (WAL with synchronous=NORMAL). Differences from RabbitMQ:

- A queue has one consumer: a new one takes the queue over, and the previous one is notified and
  waits until the queue is free again. So each queue has a single active consumer.
- Queues that are not durable, auto-delete or exclusive end with their consumer. Exchanges stay.
- With less than `LEAST_FREE_BYTES` on the disk, publishers are blocked.
- Queue arguments (`x-message-ttl`, `x-max-length`) and `expiration` have no effect; the delay of a
  `DelayQueue` has.
"""

import itertools
import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import Factory, define

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.embedded import database
from callboard.adapters.broker.embedded.presence import Presence, is_alive, remove_the_dead, ring
from callboard.adapters.broker.properties import encode
from callboard.adapters.broker.protocol import (
    Blocked,
    BrokerError,
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Declared,
    Depths,
    ExchangesRefused,
    IncomingMessage,
    OutgoingMessage,
    Probed,
    Queue,
    Removed,
    Returned,
    Topology,
    Unblocked,
    Unconfirmed,
    UnreadableMessage,
    received,
)
from callboard.adapters.broker.queues import own_name
from callboard.adapters.local.corrupt_file import file_number, is_corrupt, move_aside

FILE = "broker.sqlite3"
LOOK_AGAIN_S = 5.0
"""How often a consumer checks its queue without having been woken."""
LOOK_FOR_ROOM_S = 1.0
"""How often a blocked connection checks whether the disk has room again."""
LEAST_FREE_BYTES = 2**20
"""With less free disk space, nothing is published. Acknowledgements need some, too."""
LOW_ON_DISK = "low on disk"
"""RabbitMQ's word for it."""
DUE_TOGETHER_S = 0.05
"""Delayed messages due within this time are moved in one transaction, not in one each."""
BATCH = 1000
"""The most messages that one `poll` returns."""


def free_bytes(folder: Path) -> int:
    """The free space of the disk that has the folder, for this user."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


@define
class _Consumer:
    """A queue that is consumed. `cursor`: the newest message id given out on this connection."""

    queue: database.Consumption
    prefetch: int
    cursor: int = 0
    outstanding: dict[int, int] = Factory(dict)  # message ids by tag
    again: list[int] = Factory(list)  # message ids given back, ascending

    def next_messages(self, db: sqlite3.Connection, most: int) -> list[int]:
        """The ids of the messages to deliver now: those given back, then new ones."""
        prefetch = self.prefetch or most + len(self.outstanding)  # 0: no limit
        room = min(prefetch - len(self.outstanding), most)
        if room <= 0:
            return []
        again = self.again[:room]
        return again + database.oldest_after(db, self.queue.queue, self.cursor, room - len(again))

    def read(
        self, db: sqlite3.Connection, ids: list[int], tags: list[int]
    ) -> list[IncomingMessage | UnreadableMessage]:
        """The messages with these ids, which now have these tags."""
        delivered = max(self.cursor, self.queue.delivered)
        if ids and ids[-1] > delivered:
            database.mark_delivered(db, self.queue.queue, ids[-1])
        return [
            database.read(db, id, tag, redelivered=id <= delivered)
            for id, tag in zip(ids, tags, strict=True)
        ]

    def delivered(self, ids: list[int], tags: list[int]) -> None:
        """Record that messages were given out."""
        if ids:
            self.outstanding.update(zip(tags, ids, strict=True))
            self.again = self.again[len(ids) :]
            self.cursor = max(self.cursor, *ids)


class EmbeddedConnection:
    """The `BrokerConnection` for `memory://`. Each `poll` is one transaction."""

    def __init__(
        self,
        data_dir: Path,
        topology: Topology,
        *,
        backoff: Backoff | None = None,
        busy_s: float = database.BUSY_S,
        free_bytes: Callable[[Path], int] = free_bytes,
    ) -> None:
        """The file is `data_dir/broker.sqlite3`; doorbells are in `data_dir/connections`.

        `busy_s`: how long a `poll` waits for other processes' transactions, in seconds.
        `free_bytes`: the free space of the disk that has a folder.
        """
        self._free_bytes = free_bytes
        self._file, self._busy_s = data_dir / FILE, busy_s
        self._folder = data_dir / "connections"
        self._topology = topology
        self._backoff = backoff or Backoff()
        self._publish_ids = itertools.count(1)
        self._tags = itertools.count(1)
        self._events: list[BrokerEvent] = []
        self._outbox: dict[int, tuple[OutgoingMessage, bytes]] = {}
        self._probes = 0
        self._blocked = False
        self._settled: list[int] = []  # message ids
        self._consumers: dict[str, _Consumer] = {}  # by queue
        self._declaring: dict[str, Queue] = {}
        self._starting: dict[str, int] = {}  # prefetches of queues to consume
        self._removing: list[str] = []
        self._presence: Presence | None = None
        self._db: sqlite3.Connection | None = None  # None: down
        self._number: int | None = None  # of the open file
        self._displaced = False
        self._count_depths = False
        self._up_since: float | None = None
        self._down_reason = "not connected yet"
        self._next_look: float | None = None
        queue = topology.queue
        self._queue_name = own_name(queue.name) if queue else ""

    def open(self) -> None:
        """See `BrokerConnection.open`. Raises `BrokerError` if `data_dir` cannot be used."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._presence = Presence(self._folder)
        except OSError as error:
            raise BrokerError(f"cannot use {self._folder}: {error.strerror}") from error
        self._consuming = self._topology.queue is not None
        self._next_look = time.monotonic()
        self._presence.ring()

    def fileno(self) -> int:
        """See `BrokerConnection.fileno`."""
        return self._present().fileno()

    def deadline(self) -> float | None:
        """See `BrokerConnection.deadline`."""
        return self._next_look

    def poll(self) -> Sequence[BrokerEvent]:
        """See `BrokerConnection.poll`. It may wait for other processes' transactions."""
        self._present().silence()
        try:
            if self._db is None and self._retry_is_due():
                self._db = self._come_up()
            if self._db is None:
                self._refuse_outbox(self._down_reason)
            else:
                self._work(self._db)
                if self._count_depths:
                    self._report_depths(self._db)
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise  # a bug in Callboard
        except (BrokerError, OSError, sqlite3.DatabaseError) as error:
            self._go_down(f"{self._file}: {error}")
            if is_corrupt(error):
                self._move_aside(str(error))
        events, self._events = self._events, []
        return events

    def ack(self, tags: Sequence[int]) -> None:
        """See `BrokerConnection.ack`; done by the next `poll`."""
        self._settled += self._no_longer_outstanding(tags)
        self._present().ring()

    def requeue(self, tags: Sequence[int]) -> None:
        """See `BrokerConnection.requeue`."""
        for consumer in self._consumers.values():
            back = [consumer.outstanding.pop(tag) for tag in tags if tag in consumer.outstanding]
            consumer.again = sorted(consumer.again + back)
        self._present().ring()

    def reconnect(self, reason: str) -> None:
        """See `BrokerConnection.reconnect`."""
        if self._db is not None:
            # If this fails, acknowledged messages are redelivered, too.
            with suppress(sqlite3.OperationalError), database.transaction(self._db):
                database.remove(self._db, self._settled)
            self._go_down(reason)
            self._present().ring()

    def publish(self, message: OutgoingMessage) -> int:
        """See `BrokerConnection.publish`; raises `BrokerError` if AMQP cannot carry it."""
        properties = encode(message)
        publish_id = next(self._publish_ids)
        self._outbox[publish_id] = message, properties
        self._present().ring()
        return publish_id

    def probe(self) -> None:
        """See `BrokerConnection.probe`; done by the next `poll`."""
        if self._db is not None:
            self._probes += 1
            self._present().ring()

    def ask_depths(self) -> None:
        """See `BrokerConnection.ask_depths`."""
        if self._db is not None:
            self._count_depths = True
            self._present().ring()

    def declare(self, queue: Queue) -> None:
        """See `BrokerConnection.declare`; done by the next `poll`."""
        if self._db is not None:
            self._declaring[queue.name] = queue
            self._present().ring()

    def consume(self, queue: str, prefetch: int) -> None:
        """See `BrokerConnection.consume`; done by the next `poll`."""
        if self._db is not None:
            self._starting[queue] = prefetch
            self._present().ring()

    def remove(self, queue: Queue, *, is_obsolete: bool = False) -> None:
        """See `BrokerConnection.remove`; done by the next `poll`."""
        if self._db is not None:
            self._removing.append(queue.name)
            self._present().ring()

    def stop_consuming(self) -> None:
        """See `BrokerConnection.stop_consuming`."""
        self._consuming = False

    def close(self) -> None:
        """See `BrokerConnection.close`."""
        if self._presence is None:
            return
        self._consuming = False
        if self._db is not None:
            self.poll()
        if self._db is not None:
            # If this fails, the next connection detects that this one is gone, and does it then.
            with suppress(sqlite3.OperationalError), database.transaction(self._db):
                database.leave(self._db, self._presence.token)
            self._db.close()
            self._db = None
        self._consumers.clear()
        self._presence.close()
        self._presence = None

    def _present(self) -> Presence:
        if self._presence is None:
            raise BrokerError("this connection is not open")
        return self._presence

    def _no_longer_outstanding(self, tags: Sequence[int]) -> list[int]:
        """Remove the tags from the outstanding ones; returns their message ids.

        Ignores foreign tags.
        """
        return [
            consumer.outstanding.pop(tag)
            for consumer in self._consumers.values()
            for tag in tags
            if tag in consumer.outstanding
        ]

    def _retry_is_due(self) -> bool:
        return self._next_look is not None and self._next_look <= time.monotonic()

    def _move_aside(self, reason: str) -> None:
        """Let a new file take the place of a corrupt one, whose messages cannot be read."""
        with suppress(OSError):  # Then it is tried again with the next connection.
            move_aside(self._file, self._number, reason)

    def _come_up(self) -> sqlite3.Connection:
        token = self._present().token
        alive = partial(is_alive, self._folder)
        self._number = file_number(self._file)
        db = database.open_database(self._file, self._busy_s)
        self._number = file_number(self._file)
        refused: dict[str, str] = {}
        try:
            with database.transaction(db):
                database.leave_for_the_dead(db, alive)
                if self._displaced and database.consumer_of(db, self._queue_name) is not None:
                    raise BrokerError(f"queue {self._queue_name!r} has another consumer")
                queue = database.declare(
                    db, self._topology, self._queue_name, token, alive, refused
                )
        except BaseException:
            db.close()
            raise
        remove_the_dead(self._folder)
        self._displaced = False
        self._up_since = time.monotonic()
        if queue is not None:
            self._consumers[queue.name] = _Consumer(queue, self._topology.prefetch)
            if queue.displaced is not None:
                ring(self._folder, queue.displaced)
        if any(exchange.optional for exchange in self._topology.exchanges):
            self._events.append(ExchangesRefused(refused))
        self._events.append(ConnectionUp(None if queue is None else queue.name))
        return db

    def _change_queues(self, db: sqlite3.Connection) -> None:
        """Declare, begin to consume, and remove the queues that the owner asked for."""
        alive = partial(is_alive, self._folder)
        token = self._present().token
        declaring, self._declaring = self._declaring, {}
        starting, self._starting = self._starting, {}
        for name, queue in declaring.items():
            found = database.declare_queue(db, queue, name, token, alive)
            consumer = self._consumers.get(name)
            held = len(consumer.outstanding) if consumer is not None else 0
            self._events.append(Declared(name, database.messages(db, found.queue) - held))
        for name, prefetch in starting.items():
            if name in self._consumers:  # `remove` has kept it.
                continue
            taken = database.take_over(db, name, token)
            self._consumers[name] = _Consumer(taken, prefetch)
            if taken.displaced is not None:
                ring(self._folder, taken.displaced)

        removing, self._removing = self._removing, []
        for name in removing:
            removed = self._consumers[name].queue.queue
            if not (messages := database.messages(db, removed)):
                database.delete_queue(db, removed)
                del self._consumers[name]
            self._events.append(Removed(name, messages))

    def _report_depths(self, db: sqlite3.Connection) -> None:
        self._count_depths = False
        depths = {delay.name: database.delayed(db, delay.name) for delay in self._topology.delays}
        consumer = self._consumers.get(self._queue_name)
        if consumer is not None:
            held = len(consumer.outstanding)
            depths[self._queue_name] = database.messages(db, consumer.queue.queue) - held
        self._events.append(Depths(depths))

    def _work(self, db: sqlite3.Connection) -> None:
        """Acknowledge, publish and receive in one transaction; none is begun without work."""
        self._next_look = time.monotonic() + LOOK_AGAIN_S if self._consuming else None
        if file_number(self._file) != self._number:
            raise BrokerError("it was moved aside")
        self._check_still_consumer(db)
        if self._outbox or self._probes or self._blocked:
            self._look_for_room()
        due_in_s = self._due_in_s(db)
        changing = self._declaring or self._starting or self._removing
        asked = self._outbox or self._settled or changing
        if not (asked or self._has_messages(db) or due_in_s <= 0):
            self._look_within(max(due_in_s, DUE_TOGETHER_S))
            return
        with database.transaction(db):
            self._check_still_consumer(db)
            database.remove(db, self._settled)
            if due_in_s <= 0:
                main = self._consumers[self._queue_name].queue
                database.move_due(db, main, time.time(), BATCH)
            self._change_queues(db)
            verdicts, confirmed, queues = self._put_outbox(db)
            listeners = database.consumers(db, queues)
            given = self._give_messages(db)
        self._settled = []
        self._outbox = {}
        self._events += verdicts
        for consumer, ids, tags, messages in given:
            consumer.delivered(ids, tags)
            self._events += received(messages)
            if len(ids) == BATCH:  # there may be more
                self._present().ring()
        if confirmed:
            self._events.append(Confirmed(tuple(confirmed)))
        token = self._present().token
        for listener in listeners - {token}:
            ring(self._folder, listener)
        self._look_within(max(self._due_in_s(db), DUE_TOGETHER_S))

    def _look_for_room(self) -> None:
        """Report a change, answer probes, and refuse publishes if there is no room."""
        blocked = self._free_bytes(self._file.parent) < LEAST_FREE_BYTES
        if blocked != self._blocked:
            self._blocked = blocked
            self._events.append(Blocked(LOW_ON_DISK) if blocked else Unblocked())
        if blocked:
            self._refuse_outbox(f"blocked: {LOW_ON_DISK}")
            in_s = time.monotonic() + LOOK_FOR_ROOM_S
            self._next_look = min(self._next_look or in_s, in_s)
        else:
            self._events += [Probed()] * self._probes
        self._probes = 0

    def _due_in_s(self, db: sqlite3.Connection) -> float:
        """Seconds until a delayed message moves to this queue; infinite if there is none."""
        if not self._queue_name or not self._consuming:
            return math.inf
        due = database.next_due(db, self._queue_name)
        return math.inf if due is None else due - time.time()

    def _look_within(self, seconds: float) -> None:
        if self._next_look is not None and seconds < LOOK_AGAIN_S:
            self._next_look = min(self._next_look, time.monotonic() + max(0.0, seconds))

    def _check_still_consumer(self, db: sqlite3.Connection) -> None:
        if not self._queue_name:
            return
        token = self._present().token
        if database.consumer_of(db, self._queue_name) != token:
            self._displaced = True
            raise BrokerError(f"queue {self._queue_name!r} was taken over by another consumer")
        if len(self._consumers) > 1:
            for name in self._consumers.keys() - database.consumed_by(db, token):
                raise BrokerError(f"queue {name!r} was taken over by another consumer")

    def _has_messages(self, db: sqlite3.Connection) -> bool:
        return self._consuming and any(
            consumer.next_messages(db, 1) for consumer in self._consumers.values()
        )

    def _give_messages(
        self, db: sqlite3.Connection
    ) -> list[tuple[_Consumer, list[int], list[int], list[IncomingMessage | UnreadableMessage]]]:
        """The messages to deliver now: by consumer, with their ids and tags."""
        given = []
        for consumer in self._consumers.values() if self._consuming else ():
            if ids := consumer.next_messages(db, BATCH):
                tags = list(itertools.islice(self._tags, len(ids)))
                given.append((consumer, ids, tags, consumer.read(db, ids, tags)))
        return given

    def _put_outbox(self, db: sqlite3.Connection) -> tuple[list[BrokerEvent], list[int], set[int]]:
        """The events to report, the publish ids to confirm, and the queues with new messages."""
        router = database.Router(db)
        verdicts: list[BrokerEvent] = []
        confirmed: list[int] = []
        touched: set[int] = set()
        for publish_id, (message, properties) in self._outbox.items():
            target = database.put_off(db, message, properties, time.time())
            if target is not None:
                touched |= router.queues("", target)
                confirmed.append(publish_id)
                continue
            try:
                queues = router.queues(message.exchange, message.routing_key)
            except BrokerError as error:
                verdicts.append(Unconfirmed((publish_id,), str(error)))
                continue
            for queue in queues:
                database.put(db, queue, message, properties)
            if message.mandatory and not queues:
                verdicts.append(Returned(publish_id, "312 NO_ROUTE"))
            confirmed.append(publish_id)
            touched |= queues
        return verdicts, confirmed, touched

    def _refuse_outbox(self, reason: str) -> None:
        if self._outbox:
            self._events.append(Unconfirmed(tuple(self._outbox), reason))
            self._outbox = {}

    def _go_down(self, reason: str) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        self._consumers.clear()
        self._declaring, self._starting, self._removing = {}, {}, []
        self._settled.clear()
        self._count_depths = False
        self._down_reason = reason
        self._refuse_outbox(reason)
        self._blocked, self._probes = False, 0
        now = time.monotonic()
        pause_s = self._backoff.pause_s(now - self._up_since if self._up_since else 0.0)
        self._up_since = None
        self._next_look = now + pause_s
        self._events.append(ConnectionDown(reason, retry_in_s=pause_s))
