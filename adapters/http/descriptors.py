"""Reserves file descriptors for the process: an actor without any cannot go on."""

import errno
import os
import resource

RESERVED = 40
"""Thespian opens one each time it waits for messages, and one for each actor it sends to.

Threads that look up a name open one each.
"""


def leave_some(descriptor: int) -> None:
    """Raise the OSError for a lack of descriptors if this new one is among the reserved ones.

    The kernel gives the lowest free number, so there are at most as many left as there are numbers
    above it.
    """
    most, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and descriptor >= most - RESERVED:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def allow(descriptors: int) -> int:
    """Raise the process's limit to this number, if permitted; returns the resulting limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= descriptors:
        return descriptors
    if hard != resource.RLIM_INFINITY:
        descriptors = min(descriptors, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    return descriptors
