"""Chooses the document store for a URL."""

from pathlib import Path
from urllib.parse import urlsplit

from callboard.adapters.store.protocol import DocumentStore
from callboard.adapters.store.urls import mask_url

FILE_NAME = "store.sqlite3"


def connect(url: str, data_dir: str | Path, timeout_s: float = 10.0) -> DocumentStore:
    """The store at `url`: `http(s)://[user:password@]host:port` or `sqlite://`.

    Nothing is opened yet: an unreachable store raises at the first call. The embedded store is the
    file `store.sqlite3` in `data_dir`. Each client library is imported only when it is needed.
    Raises ValueError for any other URL.
    """
    if url == "sqlite://":
        from callboard.adapters.store.embedded import EmbeddedStore
        from callboard.adapters.store.views import ALL

        return EmbeddedStore(Path(data_dir) / FILE_NAME, timeout_s=timeout_s, views=ALL)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or _port_is_bad(url):
        raise ValueError(
            f"{mask_url(url)!r} names no document store: expected "
            "http(s)://[user:password@]host:port (CouchDB) or sqlite:// (embedded)"
        )
    from callboard.adapters.store.couchdb import CouchdbStore

    return CouchdbStore(url, timeout_s=timeout_s)


def _port_is_bad(url: str) -> bool:
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True
