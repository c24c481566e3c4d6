"""A terminal of a user who follows a page: a shell with typed input, and its output."""

import os
import re
import signal
import subprocess
import threading
import time

from callboard.supervision import die_with_parent
from support.patience import patient

PATIENCE_S = patient(60.0)

_VARIES = {
    # the printed text, and its permitted replacement
    "secret": (r"whsec_[\w+/=]+", r"whsec_[\w+/=]+"),
    "hex": (r"\b[0-9a-f]{12,}\b", r"[0-9a-f]+"),
    "number": (r"\d[\d.]*\d", r"[\d.]+"),
    "blanks": (r" +", r" +"),
    "anything": (r"…", r".*"),
}
_ANY_THAT_VARIES = re.compile("|".join(f"(?P<{name}>{p})" for name, (p, _) in _VARIES.items()))


def pattern(printed):
    """Matches output that differs from `printed` in ids, blanks, and numbers of several digits.

    `…` stands for any text; on a line by itself, for any lines.
    """
    return "".join(r"(?:.*\n)*?" if line == "…" else _line(line) for line in printed.splitlines())


def _line(printed):
    text, end = "", 0
    for found in _ANY_THAT_VARIES.finditer(printed):
        text += re.escape(printed[end : found.start()]) + _VARIES[found.lastgroup][1]
        end = found.end()
    return text + re.escape(printed[end:].rstrip()) + r" *\n"


class Terminal:
    """A shell in a folder; `close` ends it and its processes."""

    def __init__(self, folder, environment):
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._seen = ""
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self._commands = 0

    def run(self, command, printed):
        """Type a command that must succeed and print exactly this. Returns what it printed."""
        mark = self._type(command)
        output, status = self._expect(rf"(?s:(.*?)){mark} (\d+)\n", command).groups()
        as_printed = re.fullmatch(pattern(printed), output)
        assert status == "0" and as_printed, f"{command!r} ended with {status}:\n{output}"
        return output

    def leave_running(self, command, printed):
        """Type a command that keeps running after it has printed this."""
        self._type(command)
        self._expect(pattern(printed), command)

    def shows(self, printed):
        """Wait until this text appears, after any other text."""
        self._expect(r"(?:.*\n)*?" + pattern(printed), printed)

    def ended(self):
        """Wait until the command left running has succeeded."""
        self._expect(rf"(?:.*\n)*?{self._mark()} 0\n", "the end of what ran here")

    def close(self):
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()

    def _type(self, command):
        self._commands += 1
        self._shell.stdin.write(f"{command}\necho {self._mark()} $?\n")
        self._shell.stdin.flush()
        return self._mark()

    def _mark(self):
        return f"--{self._commands}--"

    def _read(self):
        for line in self._shell.stdout:
            with self._news:
                self._seen += line
                self._news.notify()

    def _expect(self, wanted, what):
        """Wait for the text at the start of the unread output, and mark it as read."""
        end = time.monotonic() + PATIENCE_S
        with self._news:
            while not (found := re.match(wanted, self._seen)):
                told = self._news.wait(end - time.monotonic())
                assert told, f"waited in vain after {what!r}; so far:\n{self._seen}"
            self._seen = self._seen[found.end() :]
        return found
