"""Counts what code does, which unlike the time it takes is the same on every machine."""

import gc
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock


def instructions(work: Callable[[], Any]) -> int:
    """Bytecode instructions that `work` runs in this thread; what is written in C has none."""
    count = 0

    def trace(frame, event, _arg):
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@contextmanager
def c_calls() -> Iterator[Counter[tuple[str, str]]]:
    """Calls of what is written in C from this thread, by its type or module and its name.

    The type of a socket is "socket", whatever has been made of it.
    """
    calls: Counter[tuple[str, str]] = Counter()

    def profile(_frame, event, arg):
        if event == "c_call":
            owner = getattr(arg, "__self__", None)
            if isinstance(owner, socket.socket):
                of = "socket"
            else:
                of = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
            calls[of, arg.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def blocks_kept(make: Callable[[], Any]) -> int:
    """Blocks of memory that what `make` returns takes (the allocator's, of up to 512 bytes)."""
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        kept = make()
        after = sys.getallocatedblocks()
    finally:
        gc.enable()
    del kept
    return after - before


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL statements that connections made meanwhile run, in this thread and others."""
    seen: list[str] = []
    connect = sqlite3.connect

    def traced(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(seen.append)
        return connection

    with mock.patch.object(sqlite3, "connect", traced):
        yield seen
