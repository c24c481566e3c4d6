"""Explains what an event would do, with the modules and hooks as they are now."""

from collections.abc import Callable, Iterator
from functools import partial

import attrs

from callboard import admin
from callboard.actors.base.event_modules import event_exchanges, event_modules
from callboard.actors.delivery.transports import check_hook
from callboard.actors.events.claims import Claims
from callboard.actors.events.responder import parser_of
from callboard.adapters.broker.edge import plain_headers
from callboard.adapters.broker.protocol import IncomingMessage, Properties
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import Document, StoreError
from callboard.config.settings import Settings
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.explaining import ROUTING, Explanation, Step, Stored
from callboard.webhooks.hooks.hook import Hook, InvalidHook
from callboard.webhooks.retries.policy import KazooPolicy, max_attempts, policy_of

MOST_HOOKS = 100
"""Of one account."""
UNCLAIMED = "unclaimed"
"""The outcome if no module claims the event."""


class EventExplaining:
    """Follows an event as the bridge, a responder and a deliverer would, and sends nothing.

    `with_choices`: completes a delivery by the choices of its account. Both may raise StoreError.
    """

    def __init__(
        self,
        settings: Settings,
        hooks: HookStore,
        directory: StoreDirectory,
        with_choices: Callable[[Delivery], Delivery],
    ) -> None:
        self._settings, self._hooks, self._directory = settings, hooks, directory
        self._with_choices = with_choices
        found = event_modules(settings)
        self._modules = {module.id: module for module in found.modules}
        self._known_events = found.known_events
        self._claims = Claims(found.modules, event_exchanges(settings))

    def explain(self, request: admin.ExplainEvent) -> admin.EventExplained:
        """The steps at each module that claims the event. Raises StoreError."""
        properties = Properties(
            content_type=request.content_type,
            message_id=request.message_id,
            headers=plain_headers(dict(request.headers)),
        )
        message = IncomingMessage(
            0, request.exchange, request.routing_key, request.body, properties
        )
        claimed = sorted(self._claims.of(message))
        if not claimed:
            return admin.EventExplained((_told(self._unclaimed(request)),), ((UNCLAIMED, ""),))
        matching = self._claims.matching(message)
        stored = Stored(
            self._directory,
            self._documents,
            self._judged,
            self._known_events,
            self._directory.cluster_id(),
            StoreError,
        )
        steps: list[Step] = []
        outcomes = []
        for id in claimed:
            keys = [binding.key for module, binding in matching if module == id]
            what = f"bound by {', '.join(map(repr, keys))}" if keys else "it accepts such a body"
            steps.append(Step(ROUTING, True, what, id))
            module = self._modules[id]
            parse = partial(
                parser_of(module),
                request.body,
                request.content_type,
                None,
                request.exchange,
                request.routing_key,
                request.message_id,
            )
            explanation = Explanation(module, parse, stored)
            steps += explanation.steps
            outcomes.append((explanation.outcome, id))
        return admin.EventExplained(tuple(map(_told, steps)), tuple(outcomes))

    def _unclaimed(self, request: admin.ExplainEvent) -> Step:
        keys = {
            f"{binding.key!r} ({module})"
            for module, binding in self._claims.bindings
            if binding.exchange == request.exchange
        }
        if not keys:
            return Step(ROUTING, False, f"no module is bound to the exchange {request.exchange}")
        what = f"the bindings of {request.exchange} do not match: {', '.join(sorted(keys))}"
        return Step(ROUTING, False, what)

    def _documents(self, account_id: str) -> list[Document]:
        return self._hooks.listed(account_id, MOST_HOOKS)[0]

    def _judged(self, delivery: Delivery, hook: Hook) -> Iterator[tuple[bool, str]]:
        settings = self._settings.delivery
        if len(delivery.body) > settings.max_payload:
            most = f"delivery.max_payload, {settings.max_payload}"
            yield False, f"it is refused: its payload is larger than {most}"
            return
        try:
            check_hook(hook, self._settings, self._directory.choices_of(hook.account_id))
        except InvalidHook as problem:
            yield False, f"it is refused: {problem.reason}"
            return
        options = self._with_choices(delivery).options
        policy = policy_of(options, settings.retry_policy, settings.retry_steps_s)
        name = "kazoo" if isinstance(policy, KazooPolicy) else "standard"
        yield True, f"retry policy {name}: at most {max_attempts(policy, delivery)} attempts"
        if hook.options.paused:
            yield False, "it waits until the hook is resumed"
        elif hook.options.ordered:
            yield True, "it waits for the earlier ones of the hook, which is ordered"


def _told(step: Step) -> admin.ExplainedStep:
    return admin.ExplainedStep(**attrs.asdict(step))
