"""The former name of `callboard.adapters.local.sealed_transport`, for hosts that import it."""

from callboard.adapters.local.sealed_transport import seal

__all__ = ["seal"]
