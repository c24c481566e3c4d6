"""What a hook would send for an event, without sending it."""

from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen

from callboard.webhooks.deliveries.encoding import content, content_type
from callboard.webhooks.deliveries.shaping import Shaping, Unshapable, shaped_content
from callboard.webhooks.events.event import Event
from callboard.webhooks.expressions.shape import Shape
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import fires
from callboard.webhooks.modules.payload import final_payload


@frozen
class Preview:
    """What would become of an event.

    `payload`: what would be sent without a transform, with the hook's custom data. `sent`: whether
    the hook sends the event. `modifiers`: whether these accept it. `filter`: its result, null
    without one; `filter_error`: why it has none, which counts as false. `body`: the encoded
    content, empty if there is none; `transform_error`: why there is none.
    """

    payload: Mapping[str, Any]
    sent: bool
    modifiers: bool
    filter: Any
    filter_error: str
    content_type: str
    body: bytes
    transform_error: str

    def as_json(self) -> dict[str, Any]:
        """Its members, with the body as text."""
        return {**asdict(self, recurse=False), "body": self.body.decode(errors="replace")}


def preview(hook: Hook, event: Event, module_id: str, payload: Mapping[str, Any]) -> Preview:
    """What the hook would send for an event of the module with this payload."""
    shape, accepted = hook.shape or Shape(), fires(hook, payload)
    shaping = Shaping(event, module_id, hook.account_id, payload)
    result, filter_error, transform_error = None, "", ""
    sent = accepted
    if shape.filter:
        try:
            result = shaping.filtered(shape.filter)
            sent = accepted and shaping.wants(hook)
        except Unshapable as problem:
            sent, filter_error = False, str(problem)
    final = final_payload(hook, payload, None)
    form, body = content_type(hook), b""
    try:
        if shape.transform:
            form, body = shaped_content(hook, shaping.transformed(shape.transform, final))
        else:
            body = content(form, final)
    except Unshapable as problem:
        sent, transform_error = False, str(problem)
    except ValueError as problem:
        sent, transform_error = False, f"the payload cannot be encoded: {problem}"
    return Preview(final, sent, accepted, result, filter_error, form, body, transform_error)
