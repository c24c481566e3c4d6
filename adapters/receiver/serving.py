"""A server that runs as long as a `with` statement."""

from abc import ABC, abstractmethod
from typing import Self


class Serving(ABC):
    """A server that can be started once, and stopped; a context manager that does both."""

    @abstractmethod
    def start(self) -> Self:
        """Bind and serve. Raises OSError if the address cannot be bound. Once only."""

    @abstractmethod
    def stop(self) -> None:
        """Close the port and all connections. The received requests can still be read."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()
