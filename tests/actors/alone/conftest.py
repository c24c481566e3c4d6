"""The actors of these tests run without processes (support/world)."""

from support.world.fixtures import servers, settings, world

__all__ = ["servers", "settings", "world"]
