"""What a sender sends, without a deliverer."""

from attrs import evolve, frozen

from callboard.webhooks.deliveries.delivery import Delivery


@frozen
class Work:
    """A delivery to send."""

    delivery: Delivery
    attempts_made: int = 0


def to_send(url, **changes):
    """A delivery of the body `body` to this URL, with these fields of its own."""
    made = Delivery("d", "e", "h", "a", "all", url, "POST", url, (("X-A", "b"),), b"body")
    return Work(evolve(made, **changes))
