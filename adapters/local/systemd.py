"""Notifications to systemd from a service of `Type=notify` (sd_notify(3))."""

import socket
from collections.abc import Mapping

VARIABLE = "NOTIFY_SOCKET"


def tell_ready(environ: Mapping[str, str]) -> None:
    """Report that the service is ready. No effect without a notify socket. Raises OSError."""
    address = environ.get(VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(1.0)
        manager.sendto(b"READY=1", address)
