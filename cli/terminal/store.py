"""Stores, for commands that read them themselves: no system need run."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from callboard.adapters.store import stores
from callboard.adapters.store.dry_run import DRY_RUN
from callboard.adapters.store.protocol import DocumentStore, StoreError
from callboard.cli.terminal.output import Failure
from callboard.config.server_urls import store_url
from callboard.config.settings import Settings


@contextmanager
def opened_store(settings: Settings) -> Iterator[DocumentStore]:
    """The store of the settings, open for a block. Raises Failure for StoreErrors of the block."""
    with _opened(store_url(settings), settings.data.dir, settings) as store:
        yield store


@contextmanager
def dry_run_records(settings: Settings) -> Iterator[DocumentStore]:
    """This node's records of dry runs, likewise."""
    with _opened("sqlite://", settings.data.dir / DRY_RUN, settings) as store:
        yield store


@contextmanager
def _opened(url: str, folder: Path, settings: Settings) -> Iterator[DocumentStore]:
    try:
        with closing(stores.connect(url, folder, settings.couchdb.timeout_ms / 1000)) as store:
            yield store
    except StoreError as problem:
        raise Failure(str(problem)) from None
