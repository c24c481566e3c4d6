"""The way of an event through a module to its hooks, step by step, with the reason of each."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.deliveries.delivery import Delivery, FanOut
from callboard.webhooks.deliveries.shaping import Shaping
from callboard.webhooks.events.directory import Account, Directory
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.hook import (
    ALL,
    Hook,
    InvalidHook,
    is_deleted,
    is_enabled,
    matched_event,
    parse_hook,
)
from callboard.webhooks.hooks.matching import fires
from callboard.webhooks.modules.bus_module import WHOLE, BusModule
from callboard.webhooks.modules.protocol import EventModule, Firing
from callboard.webhooks.values.event_outcomes import (
    FILTERED,
    FIRED,
    NO_ACCOUNT,
    NO_HOOK,
    POISON,
)
from callboard.webhooks.values.json_values import same, value_at

ROUTING, MESSAGE, ONLY, ACCOUNT = "routing", "message", "only", "account"
HOOK, DELIVERY = "hook", "delivery"
"""The stages of an event."""
SHOWN = 80
"""The most characters of a value that are shown."""


@frozen
class Step:
    """One step. `passed`: the event goes on; else `what` gives the reason why it ends here."""

    stage: str
    passed: bool
    what: str
    module: str = ""
    hook_id: str = ""


@frozen
class Stored:
    """The facts besides the event. Its functions may raise `errors`, those of the store.

    `hooks`: the documents of an account's hooks. `judged`: further steps of a delivery, each with
    whether it goes on.
    """

    directory: Directory
    hooks: Callable[[str], Iterable[Mapping[str, Any]]]
    judged: Callable[[Delivery, Hook], Iterable[tuple[bool, str]]]
    known_events: Collection[str]
    cluster_id: str | None
    errors: type[Exception]


class Explanation:
    """The steps of an event at one module. `outcome`: as in callboard_events_total."""

    def __init__(self, module: EventModule, parse: Callable[[], Event], stored: Stored) -> None:
        self.outcome = FIRED
        self._module, self._stored = module, stored
        self.steps = tuple(self._steps(parse))

    def _step(self, stage: str, passed: bool, what: str, hook_id: str = "") -> Step:
        return Step(stage, passed, what, self._module.id, hook_id)

    def _end(self, outcome: str, stage: str, what: str) -> Step:
        self.outcome = outcome
        return self._step(stage, False, what)

    def _steps(self, parse: Callable[[], Event]) -> Iterator[Step]:
        try:
            event = parse()
            yield self._step(MESSAGE, True, "it can be read")
            yield from self._conditions(event)
            if not self._module.responds_to(event):
                yield self._end(FILTERED, ONLY, "the module does not handle it")
                return
            firing = self._module.firing(event, self._stored.directory)
        except PoisonEvent as problem:
            yield self._end(POISON, MESSAGE, f"it is quarantined: {problem}")
            return
        except self._stored.errors:
            raise
        except Exception as problem:  # noqa: BLE001 - a module may raise anything
            why = f"it is quarantined, as the module fails: {type(problem).__name__}: {problem}"
            yield self._end(POISON, MESSAGE, why)
            return
        if firing is None:
            yield self._end(NO_ACCOUNT, ACCOUNT, self._without_account(event))
            return
        account = self._stored.directory.account(firing.account_id)
        if account is None and not firing.any_account:
            why = f"there is no account {firing.account_id} in the database"
            yield self._end(NO_HOOK, ACCOUNT, why)
            return
        yield self._step(ACCOUNT, True, f"it is {firing.account_id}")
        steps = list(self._hooks(event, firing, account or Account(firing.account_id)))
        yield from steps
        if not any(step.stage == DELIVERY for step in steps):
            yield self._end(NO_HOOK, HOOK, "no hook fires")

    def _conditions(self, event: Event) -> Iterator[Step]:
        """The paths of a table's `only`, and those of `only_if_present`."""
        module = self._module
        if not isinstance(module, BusModule):
            return
        conditions = [(*each, False) for each in module.only.items()]
        conditions += [(*each, True) for each in module.only_if_present.items()]
        for path, wanted, may_lack in conditions:
            found = _found(event.body, path)
            passed = may_lack if found is _ABSENT else same(wanted, found)
            what = f"{path} is {_shown(found)}"
            yield self._step(ONLY, passed, what if passed else f"{what}, not {_shown(wanted)}")

    def _without_account(self, event: Event) -> str:
        module = self._module
        if isinstance(module, BusModule) and module.account:
            return f"{module.account} is {_shown(_found(event.body, module.account))}: no account"
        return "the event belongs to no account, or concerns no hook"

    def _hooks(self, event: Event, firing: Firing, account: Account) -> Iterator[Step]:
        if firing.hooks is not None:
            for hook in firing.hooks:
                yield from self._deliver(event, firing, hook)
            return
        others = 0
        for id in dict.fromkeys((account.id, *account.tree)):
            for document in self._stored.hooks(id):
                if is_deleted(document):
                    continue
                event_name = matched_event(str(document.get("hook")))
                if event_name not in (firing.event, ALL):
                    others += 1
                    continue
                hook_id = str(document.get("_id"))
                fired, refused = self._hook(document, event, firing, is_own=id == account.id)
                if fired is None:
                    yield self._step(HOOK, False, refused, hook_id)
                else:
                    yield self._step(HOOK, True, "it fires", hook_id)
                    yield from self._deliver(event, firing, fired)
        if others:
            yield self._step(HOOK, False, f"{others} hooks of the account are on other events")

    def _hook(
        self, document: Mapping[str, Any], event: Event, firing: Firing, *, is_own: bool
    ) -> tuple[Hook | None, str]:
        """The hook if it fires, else the reason."""
        if not is_enabled(document):
            why = document.get("pvt_disabled_message")
            return None, f"it is disabled{f': {why}' if why else ''}"
        try:
            hook = parse_hook(document, self._stored.known_events)
        except InvalidHook as problem:
            return None, f"it cannot fire: {problem.reason}"
        if not is_own and not hook.include_subaccounts:
            return None, f"it is of the account {hook.account_id} above, without its subaccounts"
        if not firing.selects(hook):
            return None, f"its custom_data {_shown(hook.custom_data)} selects other events"
        for key, wanted in hook.modifiers.items():
            alone = {key: firing.payload[key]} if key in firing.payload else {}
            if not fires(_with_modifiers(hook, {key: wanted}), alone):
                found = _shown(firing.payload[key])
                return None, f"its modifiers want {key} to be {_shown(wanted)}, and it is {found}"
        if not self._shaping(event, firing).wants(hook):
            filter = _shown(hook.shape and hook.shape.filter)
            return None, f"its filter {filter} does not want the event"
        return hook, ""

    def _shaping(self, event: Event, firing: Firing) -> Shaping:
        return Shaping(event, self._module.id, firing.account_id, firing.payload)

    def _deliver(self, event: Event, firing: Firing, hook: Hook) -> Iterator[Step]:
        shaping = self._shaping(event, firing)
        made = FanOut(
            event, self._module.id, firing, [hook], self._stored.cluster_id, shaping=shaping
        )
        try:
            delivery = made.make(hook)
        except Exception as problem:  # noqa: BLE001 - as the responder refuses it
            yield self._step(DELIVERY, False, f"it cannot be encoded: {problem}", hook.id)
            return
        form = delivery.content[0]
        what = f"{delivery.method} {hook.uri}, {len(delivery.body)} bytes of {form}"
        yield self._step(DELIVERY, True, what, hook.id)
        for passed, further in self._stored.judged(delivery, hook):
            yield self._step(DELIVERY, passed, further, hook.id)


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _found(body: Mapping[str, Any], path: str) -> Any:
    return body if path == WHOLE else value_at(body, path.split("."), _ABSENT)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _with_modifiers(hook: Hook, modifiers: Mapping[str, Any]) -> Hook:
    return Hook(hook.id, hook.account_id, hook.uri, hook.event, modifiers=modifiers)
