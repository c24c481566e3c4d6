"""Which event modules a message is for, by their bindings and by its body."""

from collections.abc import Iterable

from callboard.adapters.broker.protocol import Binding, IncomingMessage
from callboard.adapters.broker.publications import event_in
from callboard.adapters.broker.topic import bound_by, headers_match
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.protocol import EventExchange, EventModule, arguments_of


class Claims:
    """The modules' bindings. `exchanges`: all that are declared."""

    def __init__(self, modules: Iterable[EventModule], exchanges: Iterable[EventExchange]) -> None:
        self._modules = tuple(modules)
        self._bound_by = {each.name: bound_by(each.type, each.arguments) for each in exchanges}
        self.bindings = [
            (module.id, Binding(exchange, key, arguments))
            for module in self._modules
            for exchange, key in module.bindings
            for arguments in arguments_of(module)
        ]
        """The bindings, each with the id of its module."""

    def of(self, message: IncomingMessage) -> set[str]:
        """The modules with a binding that matches the message, else those that accept its body.

        No binding matches if an operator has added bindings to the queue, for events that a module
        accepts but does not bind; or if the module that has bound the queue is missing here. Of a
        table in the configuration, only the bindings tell its events from others.
        """
        bound = {module for module, _binding in self.matching(message)}
        if bound:
            return bound
        names = {m for m, binding in self.bindings if binding.exchange == message.exchange}
        return {m.id for m in self._modules if m.id in names and _accepts(m, message)}

    def matching(self, message: IncomingMessage) -> list[tuple[str, Binding]]:
        """The bindings that match the message."""
        matches = self._bound_by.get(message.exchange)
        if matches is None:
            return []
        headers = message.properties.headers
        return [
            (module, binding)
            for module, binding in self.bindings
            if binding.exchange == message.exchange
            and matches(binding.key, message.routing_key)
            and headers_match(binding.arguments, headers)
        ]


def _accepts(module: EventModule, message: IncomingMessage) -> bool:
    if isinstance(module, BusModule):
        return False
    try:
        return module.responds_to(event_in(message))
    except Exception:  # noqa: BLE001 - its responder finds the same, and quarantines it
        return True
