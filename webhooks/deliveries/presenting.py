"""A delivery as its hook would send it now: the same content, in the hook's present form."""

from attrs import evolve

from callboard.webhooks.deliveries.delivery import ID_HEADER, Delivery
from callboard.webhooks.deliveries.encoding import converted, request_with
from callboard.webhooks.hooks.hook import Hook


def presented(delivery: Delivery, hook: Hook) -> Delivery:
    """The delivery with the hook's present URL, verb, format, headers and options.

    The payload's data, with the custom data of that time, and the `webhook-id` stay. Raises
    NotConvertible.
    """
    form, sent, source = converted(hook, *delivery.content, delivery.source, raw=delivery.raw)
    request = request_with(hook, b"", form)
    return evolve(
        delivery,
        hook_event=hook.event,
        uri=hook.uri,
        method=request.method,
        url=request.url,
        headers=(*request.headers, *hook.options.headers, (ID_HEADER, delivery.webhook_id)),
        body=sent,
        max_attempts=hook.max_attempts,
        options=hook.options,
        source=source,
    )
