"""The former name of what `callboard.adapters.receiver` offers, for tests that import it."""

from callboard.adapters.receiver import Always, AtFirst, Misbehaviour, Sometimes

__all__ = ["Always", "AtFirst", "Misbehaviour", "Sometimes"]
