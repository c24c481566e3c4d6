"""Forks a process for each requested command of Callboard: see support/commands.py."""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time

REQUEST_BYTES = 200_000
OWNERS = ("start", "join")
"""Commands that run a system. They end as slowly as Python does: the system ended before them."""


def serve(control):
    """Serve requests. Returns each request in a forked process, and None after the last client."""
    from callboard.cli import main
    from callboard.cli.terminal.command_line import subcommands
    from callboard.supervision import die_with_parent

    assert dict(subcommands(main))
    importlib.import_module("callboard.actors.system.tree")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the keyboard; commands hear of it themselves
    gc.collect()
    gc.freeze()
    while True:
        request, fds, _flags, _address = socket.recv_fds(control, REQUEST_BYTES, 4)
        if not request:
            return None
        reap()
        if os.fork() == 0:
            control.close()
            die_with_parent()
            if wait_for_command(socket.socket(fileno=fds[0]), fds[1:]):
                die_with_parent()
                return json.loads(request), fds[1:]
            os._exit(0)
        for fd in fds:
            os.close(fd)


def reap():
    """Forget those who have waited for commands that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def wait_for_command(conversation, fds):
    """Fork and tell what becomes of it; true in the new process."""
    pid = os.fork()
    if pid == 0:
        conversation.close()
        return True
    for fd in fds:
        os.close(fd)
    conversation.send(str(pid).encode())
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(OSError):  # who asked may have gone
        conversation.send(str(os.waitstatus_to_exitcode(status)).encode())
    return False


def become(request, fds):
    """What a process of this command would have, had it been started the usual way."""
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.path.insert(0, request["cwd"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for name, fd, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        file = io.TextIOWrapper(
            os.fdopen(fd, "wb", closefd=False),
            encoding="utf-8",
            errors=errors,
            line_buffering=fd == 2 or os.isatty(fd),
            write_through=unbuffered,
        )
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    sys.argv = ["callboard", *request["arguments"]]


def run():
    """Run the command to its end; its exit code."""
    try:
        runpy.run_module("callboard.run_system", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - Python tells of it and ends, too
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def leave(code):
    """End as Python does, but leave it to the kernel to free all objects at once."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            file.flush()
    os._exit(code)


def main():
    command = serve(socket.socket(fileno=int(sys.argv[1])))
    if command is not None:
        become(*command)
        if command[0]["arguments"][0] in OWNERS:
            runpy.run_module("callboard.run_system", run_name="__main__", alter_sys=True)
        else:
            leave(run())


main()
