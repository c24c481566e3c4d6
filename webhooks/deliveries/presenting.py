"""A delivery as its hook would send it now: the same content, in the hook's present form."""

from callboard.webhooks.deliveries.delivery import FAULT_HEADER, Delivery, delivery_of
from callboard.webhooks.deliveries.encoding import converted
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.hops import HOPS_HEADER

_KEPT = (FAULT_HEADER, HOPS_HEADER)
"""Headers of a delivery that its event has given it."""


def presented(delivery: Delivery, hook: Hook) -> Delivery:
    """The delivery with the hook's present URL, verb, format, headers and options.

    The payload's data, with the custom data of that time, and the `webhook-id` stay. Raises
    NotConvertible.
    """
    form, sent, source = converted(hook, *delivery.content, delivery.source, raw=delivery.raw)
    return delivery_of(
        hook,
        form,
        sent,
        id=delivery.id,
        event_id=delivery.event_id,
        webhook_id=delivery.webhook_id,
        added_headers=tuple(pair for pair in delivery.headers if pair[0] in _KEPT),
        trace=delivery.trace,
        raw=delivery.raw,
        source=source,
        unstored=delivery.unstored,
        reference=delivery.reference,
    )
