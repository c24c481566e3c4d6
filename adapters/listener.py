"""The former name of what `callboard.adapters.receiver` offers, for tests that import it."""

from callboard.adapters.receiver import Listener

__all__ = ["Listener"]
