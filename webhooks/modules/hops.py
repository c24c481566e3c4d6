"""How often an event was posted to us because of a delivery of ours: the count that ends loops.

A delivery of a posted event, or of an operational one, has the header `callboard-hops`. Posted to
our API with that header, by the hook itself or by a receiver that passes it on, the next event
counts one more. An event posted with MAX_HOPS is refused.
"""

from callboard.webhooks.events.event import Event
from callboard.webhooks.values.json_values import as_int

HOPS_HEADER = "callboard-hops"
MAX_HOPS = 16
"""An event that has been delivered and posted so often is taken for a loop."""

Headers = tuple[tuple[str, str], ...]


def hops_in(event: Event) -> int:
    """The hops of an event so far; 0 if it does not say."""
    found = as_int(event.body.get("Hops"))
    return found if found is not None and 0 < found <= MAX_HOPS else 0


def hop_headers(hops: int) -> Headers:
    """The header for deliveries of an event with this number of hops."""
    return ((HOPS_HEADER, str(hops + 1)),)


def hops_of(headers: Headers) -> int:
    """The hops that a delivery with these headers passes on; 0 if it passes none."""
    found = next((as_int(value) for name, value in headers if name == HOPS_HEADER), None)
    return found or 0
