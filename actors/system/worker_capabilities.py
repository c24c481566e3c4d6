"""The resources of a machine that joins a node, as capabilities of its actor system."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import frozen

from callboard.config.logs import logger
from callboard.supervision import MEMBER, PLACE

VERSION = "callboard: version"
"""The capability of nodes and of machines: that of Callboard there."""
_DATA_DIR = "callboard: data.dir"
_WORKERS = "callboard: deliverers"


@frozen
class WorkerCapabilities:
    """The number of deliverers (`workers`) that may run on a machine, and its data directory.

    `place`: `host:port` of the machine's admin.
    """

    name: str
    workers: int
    data_dir: Path
    place: str

    @property
    def capabilities(self) -> dict[str, Any]:
        """The capabilities to report to the node."""
        return {
            MEMBER: self.name,
            PLACE: self.place,
            VERSION: version("callboard"),
            _DATA_DIR: str(self.data_dir),
            _WORKERS: self.workers,
        }

    @staticmethod
    def of(capabilities: Mapping[str, Any]) -> "WorkerCapabilities | None":
        """Read these capabilities; None if they have no deliverers or another version."""
        if _WORKERS not in capabilities:
            return None
        theirs = capabilities[VERSION]
        if theirs != version("callboard"):
            logger().warning("machine_refused", machine=capabilities[MEMBER], version=theirs)
            return None
        return WorkerCapabilities(
            capabilities[MEMBER],
            capabilities[_WORKERS],
            Path(capabilities[_DATA_DIR]),
            capabilities[PLACE],
        )
