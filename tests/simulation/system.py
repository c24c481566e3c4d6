"""A node in one process: the product's own tree, from the broker to the acknowledgement.

`Simulation(seed).run()` publishes events, makes faults for a while, then waits until everything is
settled, and returns what was violated. All choices follow from the seed.
"""

import json
from collections import Counter, defaultdict
from functools import lru_cache, partial

from attrs import Factory, frozen

from callboard.actors.base.role import Ports
from callboard.actors.events.bridge import event_queue
from callboard.actors.messages.paths import (
    DELIVERIES,
    EVENT_BRIDGE,
    HOOK_LISTENER,
    HOOK_TABLE,
    RESPONDERS,
)
from callboard.actors.system.tree import tree
from callboard.adapters.broker.protocol import Properties
from callboard.adapters.store.spool import Spool
from callboard.config.settings import (
    ActorsSettings,
    AmqpSettings,
    ApiSettings,
    DeliverySettings,
    ModuleSettings,
)
from callboard.supervision import Start, Supervisor
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.history.dead_letters import DATABASE as DEAD_LETTERS
from callboard.webhooks.history.dead_letters import body_of
from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.retries.outcome import ClientError, Response
from callboard.webhooks.retries.retry_message import from_json
from support.world import Broker, Endpoints, Network, Store, World
from support.world.endpoints import OK
from support.world.parts import only

ACCOUNT = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
EXCHANGE = "shop"
PARTS = (HOOK_TABLE, HOOK_LISTENER, EVENT_BRIDGE, RESPONDERS, DELIVERIES)
MODULES = {"ordered_goods": "order.#", "anything": "#"}
"""The modules and the routing keys that they bind: some events concern one module, others both."""
KEYS = ("order.made", "order.paid", "visit.begun")
BROKEN = b"not JSON"

HEALED_AFTER_S = 90.0
"""The faults end then."""
HOOKS_KNOWN_S = 120.0
"""By then all responders know all hooks, whatever happened before."""
SETTLED_WITHIN_S = 6 * 3600.0
"""By then each delivery has been made, or is a dead letter."""


@frozen
class Faults:
    """What goes wrong, as numbers of events of each kind; all else is in `network`."""

    network: Network = Factory(Network)
    deaths: int = 0
    broker_stops: int = 0
    connections_lost: int = 0
    store_away: int = 0
    clock_jumps: int = 0
    pauses: int = 0
    answers_lost: float = 0.0
    alarms: int = 0


CALM = Faults()
"""Only endpoints fail."""


def faults_of(random):
    """A third of all runs is calm; in the others any fault may come with any other."""
    if random.random() < 0.33:
        return CALM
    some = lambda most: random.choice((0, 0, random.randint(1, most)))  # noqa: E731
    rare = lambda most: random.choice((0.0, 0.0, random.random() * most))  # noqa: E731
    return Faults(
        network=Network(
            lost=rare(0.1), twice=rare(0.2), late=rare(0.1), in_order=random.random() < 0.5
        ),
        deaths=some(6),
        broker_stops=some(2),
        connections_lost=some(4),
        store_away=some(2),
        clock_jumps=some(3),
        pauses=some(2),
        answers_lost=rare(0.1),
        alarms=some(2),
    )


@frozen
class PublishedEvent:
    """An event on the bus. `broken`: no module can read it."""

    number: int
    key: str
    broken: bool
    at: float


@frozen
class SimulatedHook:
    """A hook, and how its endpoint answers. `created_at`: seconds after the start; 0: before it."""

    id: str
    module: str
    kind: str
    ordered: bool
    policy: str
    attempts: int
    created_at: float

    @property
    def document(self):
        public = {
            "name": self.id,
            "uri": f"https://h{int(self.id, 16) % 3}.example/{self.id}",
            "hook": self.module,
            "format": "json",
            "retries": self.attempts,
            "retry_policy": self.policy,
            "ordered": self.ordered,
            "pvt_account_id": ACCOUNT,
        }
        return new_hook(public, 0, self.id, "node")


class Simulation:
    """`classes`: subclasses of actors to run in place of the product's own."""

    def __init__(self, seed, classes=None, faults=None, journal=None):
        self.world = World(seed, actor_classes=classes, copying=seed % 10 == 0)
        self.world.journal = journal and partial(journal, self.world)
        random = self.random = self.world.random
        self.faults = faults or faults_of(random)
        self.broker = Broker(self.world, self._on_ack)
        self.store = Store()
        self.made = Counter()
        self.endpoints = Endpoints(self.world, self._answer, self._taken)
        self.world.ports = Ports(self.broker.connect, self.store.connect)
        self.world.make_sending = self.endpoints.make_sending
        self.settings = None
        self.published = []
        self.hooks = [self._hook(number) for number in range(random.randint(1, 6))]
        self.violations = []
        self._healed = False
        self._origin_s = self.world.now

    def _hook(self, number):
        kind = self.random.choice(("good", "good", "flaky", "flaky", "slow", "down", "broken"))
        return SimulatedHook(
            f"{number:032x}",
            self.random.choice(tuple(MODULES)),
            kind,
            self.random.random() < 0.4,
            self.random.choice(("kazoo", "standard", "standard")),
            self.random.randint(1, 4),
            self.random.random() * HEALED_AFTER_S if self.random.random() < 0.3 else 0.0,
        )

    # The run

    def run(self):
        """The violations, as sentences; none if all is well."""
        with self.world:
            self._set_up()
            self._plan_events()
            self._plan_faults()
            self.world.pass_time(HEALED_AFTER_S)
            self._heal()
            self.world.run(self._is_settled, SETTLED_WITHIN_S)
            self.world.pass_time(HOOKS_KNOWN_S)
            for key in KEYS:
                self._publish(self.planned, f"{key}.n{self.planned}", self._body(self.planned))
                self.planned += 1
            settled = self.world.run(self._is_settled, SETTLED_WITHIN_S)
            self.world.pass_time(2.0)
            self._judge(settled)
        return self.violations

    def _set_up(self):
        random = self.random
        self.settings = self.world.settings(
            amqp=AmqpSettings(prefetch=random.choice((2, 20, 500))),
            actors=ActorsSettings(heartbeat_ms=600_000, hang_timeout_ms=3_600_000, max_restarts=99),
            api=ApiSettings(events=False),
            delivery=DeliverySettings(
                workers=random.randint(1, 3),
                threads=random.choice((1, 4, 32)),
                in_flight_per_endpoint=random.choice((1, 4, 16)),
                waiting_per_endpoint=random.choice((0, 2, 20)),
                circuit_failures=random.choice((3, 10)),
                retry_steps_s=random.choice(((1.0, 5.0), (2.0, 10.0, 30.0))),
                park_hours=1,
            ),
            modules=tuple(
                ModuleSettings(id=id, exchange=EXCHANGE, bindings=(keys,), account_id=ACCOUNT)
                for id, keys in MODULES.items()
            ),
        )
        self.store.ensure_database("webhooks")
        for hook in self.hooks:
            if hook.created_at:
                self.world.after(hook.created_at, self._create, hook)
            else:
                self.store.save("webhooks", hook.document)
        self.top = self.world.create(Supervisor)
        spec = only(tree(self.settings), PARTS, (*MODULES, "object", "callboard"))
        self.world.deliver(self.top, Start(args=spec, heartbeat_s=600.0), self.top)

    def _plan_events(self):
        at = 5.0
        self.planned = self.first_probe = self.random.randint(1, 30)
        for number in range(self.planned):
            at += self.random.choice((0.0, 0.001, 0.1, self.random.random() * 10))
            broken = self.random.random() < 0.03
            body = BROKEN if broken else self._body(number)
            key = f"{self.random.choice(KEYS)}.n{number}"
            self.world.after(at, self._publish, number, key, body, broken)

    def _body(self, number):
        return json.dumps({"n": number}).encode()

    def _publish(self, number, key, body, broken=False):
        """Publish an event; later, while no queue is bound to the exchange."""
        properties = Properties(content_type="application/json", message_id=f"m{number}")
        if EXCHANGE in self.broker.exchanges and self.broker.up:
            self.published.append(PublishedEvent(number, key, broken, self.world.now))
            self.broker.publish(EXCHANGE, key, body, properties)
        else:
            self.world.after(1.0, self._publish, number, key, body, broken)

    def _create(self, hook):
        """Store the hook and publish the change, as another node does."""
        if not self.broker.up or self.store.away:
            self.world.after(1.0, self._create, hook)
            return
        self.store.save("webhooks", hook.document)
        key, body = document_change("doc_created", "webhooks", hook.document, "another")
        properties = Properties(content_type="application/json")
        self.broker.publish("configuration", key, json.dumps(body).encode(), properties)

    # Faults

    def _plan_faults(self):
        faults = self.faults
        plan = (
            (faults.deaths, self._kill_one),
            (faults.broker_stops, lambda: self.broker.stop(self.random.random() * 30)),
            (faults.connections_lost, self._lose_connection),
            (faults.alarms, self._alarm),
            (faults.store_away, self._store_away),
            (faults.clock_jumps, self._jump),
            (faults.pauses, lambda: self.world.suspend(self.random.random() * 90)),
        )
        for number, fault in plan:
            for _time in range(number):
                self.world.after(self.random.random() * HEALED_AFTER_S * 0.9, fault)
        # The system starts without losses: those are the supervisors' subject.
        self.world.after(5.0, self._make_unreliable)

    def _make_unreliable(self):
        self.world.network = self.faults.network

    def _kill_one(self):
        actors = self.world.actors_but(Supervisor)
        if actors:
            self.world.kill(self.random.choice(actors))

    def _lose_connection(self):
        if self.broker.connections:
            self.random.choice(self.broker.connections).lose("reset by peer")

    def _alarm(self):
        """The broker takes no messages for a while."""
        self.broker.block()
        self.world.after(self.random.random() * 40, self.broker.unblock)

    def _store_away(self):
        self.store.away = True
        self.world.after(self.random.random() * 40, setattr, self.store, "away", False)

    def _jump(self):
        self.world.set_clock(self.random.choice((-1, 1)) * self.random.random() * 7200)

    def _heal(self):
        self._healed = True
        self.world.network = Network()
        self.store.away, self.broker.up = False, True
        self.broker.unblock()

    def _answer(self, delivery, _attempts_made):
        """How the hook's endpoint answers."""
        random = self.random
        hook = self.hooks[int(delivery.hook_id, 16)]
        took_s = 0.002 + random.random() * (3.0 if hook.kind == "slow" else 0.1)
        if not self._healed and random.random() < self.faults.answers_lost:
            return 10.0, ClientError("timeout"), True
        if hook.kind == "broken":
            return took_s, Response(500), False
        if hook.kind == "down" and not self._healed:
            return took_s, ClientError("failed_connect: econnrefused"), False
        if hook.kind == "flaky" and random.random() < 0.4:
            outcome = random.choice(
                (Response(503), ClientError("timeout"), ClientError("failed_connect: econnreset"))
            )
            return took_s, outcome, False
        return took_s, OK, True

    def _taken(self, delivery):
        self.made[pair_of(delivery)] += 1

    # Judgement

    def wanted(self, event):
        """The pairs of event and hook that this event is for, of hooks that are certainly known."""
        known_s = 0.0 if event.number < self.first_probe else SETTLED_WITHIN_S
        return {pair for pair, hook in self.possible(event).items() if hook.created_at <= known_s}

    def possible(self, event):
        """The pairs of this event with all hooks of its modules."""
        order = event.key.startswith("order.")
        bound = {module for module, keys in MODULES.items() if keys == "#" or order}
        hooks = [] if event.broken else [hook for hook in self.hooks if hook.module in bound]
        return {(event.number, hook.id): hook for hook in hooks}

    def _dead_letters(self):
        """The pairs with a dead letter, in the store or on its way to it."""
        letters = self.store.all(DEAD_LETTERS)
        for name in ("dead_letters.sqlite3", "refused.sqlite3"):
            letters += self._spooled(name)
        found = Counter()
        for id, letter in {letter["_id"]: letter for letter in letters}.items():
            if "hook_id" in letter:
                found[json.loads(body_of(letter))["n"], letter["hook_id"]] += bool(id)
        return found

    def _spooled(self, name):
        path = self.settings.data.dir / name
        if not path.exists():
            return []
        spool = Spool(path, dropping=False)
        try:
            return [document for _id, _database, document in spool.first(10_000, 10**9)]
        finally:
            spool.close()

    def _deferred(self, but):
        """The pairs that the broker keeps for later, without this message."""
        mine = event_queue(self.settings).name
        return {
            pair_in(message.body): message
            for queue in self.broker.queues
            if queue.startswith(f"{mine}.") and not self._is_of_one_connection(queue)
            for message in self.broker.held(queue)
            if message is not but
        }

    def _is_of_one_connection(self, queue):
        """Whether it holds changes of hooks, failures or accounts, and no deliveries."""
        kind = queue.removeprefix(f"{event_queue(self.settings).name}.")
        return kind.startswith(("changes.", "failures.", "accounts."))

    def _quarantined(self, key):
        return any(key in json.dumps(record) for record in self._spooled("poison.sqlite3"))

    def _on_ack(self, queue, message):
        """Nothing is acknowledged before it is delivered, recorded or deferred."""
        events = event_queue(self.settings).name
        if queue == events and message.exchange != EXCHANGE:
            return  # A change of a document, which is an event of the module `object`.
        if queue == events:
            number = int(message.key.rpartition(".n")[2])
            event = next(each for each in self.published if each.number == number)
            if event.broken:
                if not self._quarantined(message.key):
                    self._violated(f"event {number} was acknowledged and is in no quarantine")
                return
            wanted = self.wanted(event)
        elif self._is_of_one_connection(queue):
            return
        elif queue.startswith(events):
            wanted = {pair_in(message.body)}
        else:
            return
        missing = wanted - self.made.keys()
        for kept in (lambda: self._deferred(but=message), self._dead_letters):
            if missing:
                missing -= kept().keys()
        if missing:
            self._violated(f"{sorted(missing)} of {queue} acknowledged, but neither made nor kept")

    def _is_settled(self):
        return not self.broker.messages and len(self.published) == self.planned

    def _violated(self, sentence):
        self.violations.append(f"{self.world.now - self._origin_s:.3f} s: {sentence}")

    def _judge(self, settled):
        if not settled:
            held = {queue: len(list(self.broker.held(queue))) for queue in self.broker.queues}
            self._violated(f"left unsettled: { {q: n for q, n in held.items() if n} }")
        for crash in self.world.crashes:
            self._violated(f"an actor crashed: {crash}")
        for misuse in self.broker.misuse:
            self._violated(misuse)
        made, letters = self.made, self._dead_letters()
        wanted = set().union(*(self.wanted(event) for event in self.published))
        possible = set().union(*(self.possible(event) for event in self.published))
        for pair in sorted(wanted - made.keys() - letters.keys()):
            self._violated(f"{pair} was neither delivered nor recorded")
        for pair in sorted((made.keys() | letters.keys()) - possible):
            self._violated(f"{pair} was made of nothing")
        for event in self.published:
            if event.broken and not self._quarantined(event.key):
                self._violated(f"event {event.number} is in no quarantine")
        if self.faults == CALM:
            for pair in sorted(possible):
                if made[pair] + letters[pair] != 1 and (
                    pair in wanted or made[pair] + letters[pair]
                ):
                    self._violated(f"{pair}: delivered {made[pair]}, recorded {letters[pair]}")
        self._judge_order()

    def _judge_order(self):
        """An ordered hook gets one event after the other, whatever fails.

        A request may be repeated after a death. Without one, a later event comes only after the end
        of an earlier one. A hook that is created meanwhile may get earlier events that are
        redelivered.
        """
        order = {event.number: place for place, event in enumerate(self.published)}
        begun = defaultdict(list)
        for delivery in self.endpoints.begun:
            begun[delivery.hook_id].append(order[pair_of(delivery)[0]])
        for hook in self.hooks:
            if self.faults != CALM:
                begun[hook.id] = list(dict.fromkeys(begun[hook.id]))
            known = hook.ordered and not hook.created_at
            if known and begun[hook.id] != sorted(begun[hook.id]):
                self._violated(f"hook {hook.id} is ordered, but got {begun[hook.id]}")


@lru_cache(10_000)
def pair_in(body: bytes):
    """The event and the hook of a message of the retry queue."""
    return pair_of(from_json(body).delivery)


def pair_of(delivery: Delivery):
    """The event and the hook of a delivery."""
    return json.loads(delivery.body)["n"], delivery.hook_id
