"""Commands of Callboard, each in a process of its own, forked from one that has imported it.

To import Callboard takes most commands longer than all that they do. In one thing such a process
differs from one of `python -m callboard.run_system`: the kernel knows neither its arguments nor its
environment.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

from callboard.supervision import die_with_parent
from support.patience import patient

SERVER = Path(__file__).with_name("command_server.py")


def environment(**changes):
    """That of the tests, without settings of Callboard and without a configuration file."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CALLBOARD_")}
    return kept | {"CALLBOARD_CONFIG": os.devnull} | changes


def run(*arguments, **changes):
    """Run a command, with the changes laid over its environment."""
    return run_in(environment(**changes), *arguments)


def run_in(environment, *arguments, input="", timeout_s=60):
    """Run a command in this environment; what `subprocess.run` would tell, in text."""
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in range(3)]
        files[0].write(input)
        files[0].seek(0)
        command = Command(environment, *arguments, stdio=files)
        try:
            command.wait(patient(timeout_s))
        except subprocess.TimeoutExpired:
            command.kill()
            raise
        for file in files[1:]:
            file.seek(0)
        said, complained = (file.read() for file in files[1:])
    return subprocess.CompletedProcess(arguments, command.returncode, said, complained)


def start(program, environment, *arguments, stderr):
    """Start a command, or what Python runs in its place; `stdout` is a pipe from it, in text."""
    if program is None:
        return Command(environment, *arguments, stderr=stderr)
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        preexec_fn=die_with_parent,  # A killed test run leaves no system behind.
    )


class Command:
    """A process that runs a command, with the interface of subprocess.Popen.

    `stdio`: three files. Without them it reads nothing, writes errors to `stderr`, and `stdout` is
    a pipe from it, in text.
    """

    def __init__(self, environment, *arguments, stdio=None, stderr=sys.__stderr__):
        request = {"arguments": arguments, "environment": environment, "cwd": str(Path.cwd())}
        self.stdout = None
        self.returncode = None
        with ExitStack() as stack:
            if stdio is None:
                here, there = os.pipe()
                self.stdout = os.fdopen(here, encoding="utf-8")
                nothing = stack.enter_context(Path(os.devnull).open())
                stdio = [nothing, stack.enter_context(os.fdopen(there, "wb")), stderr]
            self._conversation, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(there)
            fds = [file.fileno() for file in (there, *stdio)]
            socket.send_fds(_server(), [json.dumps(request).encode()], fds)
        self.pid = int(self._conversation.recv(100))

    def poll(self):
        """The exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)

    def wait(self, timeout=None):
        """The exit code, once it has ended."""
        if self.returncode is None:
            self._conversation.settimeout(timeout)
            try:
                told = self._conversation.recv(100)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("callboard", timeout) from None
            self._conversation.close()
            self.returncode = int(told or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, number):
        """A signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.wait()
        if self.stdout is not None:
            self.stdout.close()


@cache
def _server():
    """Where to send requests. The server ends when the tests do: its end of this closes then."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        subprocess.Popen(
            [sys.executable, "-P", SERVER, str(there.fileno())],
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment(),
        )
    return here
