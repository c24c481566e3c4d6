"""A store whose owner learns of each call."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from callboard.adapters.store.protocol import DocumentStore


class _Watched:
    def __init__(self, store: DocumentStore, before: Callable[[], None]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._before()
            result = method(*arguments, **options)
            return self._rows(result) if isinstance(result, Iterator) else result

        return call

    def _rows(self, rows: Iterator[Any]) -> Iterator[Any]:
        """A page of rows is fetched when the one before is used up."""
        for row in rows:
            self._before()
            yield row


def watched(store: DocumentStore, before: Callable[[], None]) -> DocumentStore:
    """The same store; `before` is called before each call, and for each row."""
    return cast(DocumentStore, _Watched(store, before))
