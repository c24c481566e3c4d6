"""What a machine offers that joins a node: said in the capabilities of its actor system."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import frozen

from callboard.config.logs import logger
from callboard.supervision import MEMBER, PLACE

_VERSION = "callboard: version"
_DATA_DIR = "callboard: data.dir"
_WORKERS = "callboard: deliverers"


@frozen
class WorkerCapabilities:
    """So many deliverers may run there, with this data directory.

    `place`: `host:port` of the machine's own admin.
    """

    name: str
    workers: int
    data_dir: Path
    place: str

    @property
    def capabilities(self) -> dict[str, Any]:
        """As they are told to the node."""
        return {
            MEMBER: self.name,
            PLACE: self.place,
            _VERSION: version("callboard"),
            _DATA_DIR: str(self.data_dir),
            _WORKERS: self.workers,
        }

    @staticmethod
    def of(capabilities: Mapping[str, Any]) -> "WorkerCapabilities | None":
        """What these capabilities offer; None where it is nothing, or of another version."""
        if _WORKERS not in capabilities:
            return None
        theirs = capabilities[_VERSION]
        if theirs != version("callboard"):
            logger().warning("machine_refused", machine=capabilities[MEMBER], version=theirs)
            return None
        return WorkerCapabilities(
            capabilities[MEMBER],
            capabilities[_WORKERS],
            Path(capabilities[_DATA_DIR]),
            capabilities[PLACE],
        )
