"""Receivers of webhooks, for tests, for the demo, and for a first look."""

from callboard.adapters.receiver.faults import Always, AtFirst, Misbehaviour, Sometimes
from callboard.adapters.receiver.listener import Arrival, Listener
from callboard.adapters.receiver.server import ReceivedRequest, Receiver

__all__ = [
    "Always",
    "Arrival",
    "AtFirst",
    "Listener",
    "Misbehaviour",
    "ReceivedRequest",
    "Receiver",
    "Sometimes",
]
