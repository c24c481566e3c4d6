"""What has to be in the store before hooks can be loaded."""

from typing import Any

from callboard.actors.event_modules import event_modules
from callboard.actors.role import Role, Setup
from callboard.adapters.metadata import store_metadata
from callboard.adapters.store import StoreError
from callboard.adapters.views import WEBHOOKS

RETRY_S = 2.0

_TRY = "callboard: prepare the store"


class Initializer(Role):
    """Prepares databases, views and metadata, then ends (Kazoo: webhooks_init).

    Its supervisor does not restart it once it has finished; while the store is away it waits.
    """

    def begin(self, setup: Setup) -> None:
        """Report modules that could not be loaded, and try at once."""
        self._modules = event_modules(self.settings)
        for problem in self._modules.problems:
            self.log.error("module_not_loaded", module=problem.module, reason=problem.reason)
        self._store = self.connect_store()
        self.after(0, _TRY)

    def on_timer(self, payload: Any) -> None:
        """Prepare the store; later, if it does not answer."""
        if payload != _TRY:
            return
        try:
            self._store.ensure_database("webhooks")
            self._store.ensure_views("webhooks", WEBHOOKS)
            store_metadata(
                self._store,
                self._modules.modules,
                self.settings.node.name,
                self.directory(self._store),
            )
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem))
            self.after(RETRY_S, _TRY)
            return
        self.log.info("store_prepared")
        self.finish()

    def on_exit(self) -> None:
        """Close the connection."""
        if hasattr(self, "_store"):
            self._store.close()
