"""Receivers of webhooks, for tests, for the demo, and for a first look."""

from callboard.adapters.receiver.server import ReceivedRequest as ReceivedRequest
from callboard.adapters.receiver.server import Receiver as Receiver
