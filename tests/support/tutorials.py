"""Pages of the documentation that tests follow word by word: files, commands, their output."""

import re

from services import free_port
from support.terminals import Terminal

BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"a file `([\w.]+)`:\n*\Z|the file `([\w.]+)`:\n*\Z")
STAY = ("callboard start", "python receiver.py")


class Reader:
    """Who follows a page in terminals, each of which has a name, in a folder."""

    def __init__(self, folder, environment, text):
        self.folder, self.text = folder, text
        self._environment, self._terminals = environment, {}
        self.kinds = {block[1] for block in BLOCK.finditer(text)}

    def terminal(self, name):
        if name not in self._terminals:
            self._terminals[name] = Terminal(self.folder, self._environment)
        return self._terminals[name]

    def follow(self, first="", end=None):
        """Do what the page says from the text `first` up to the text `end`.

        Returns what the last command printed.
        """
        last = ""
        begin = self.text.index(first)
        stop = len(self.text) if end is None else self.text.index(end, begin)
        for block in BLOCK.finditer(self.text, begin, stop):
            kind, name, content = block.groups()
            if kind == "console":
                for command, printed in commands(content):
                    terminal = self.terminal(name)
                    does = terminal.leave_running if command in STAY else terminal.run
                    last = does(command, printed)
            elif kind == "text":
                self.terminal(name).shows(content)
            else:
                ((one, other),) = FILE.findall(self.text[: block.start()])
                (self.folder / (one or other)).write_text(content)
        return last

    def close(self):
        for each in self._terminals.values():
            each.close()


def commands(block):
    """(command, the text printed after it) of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def with_free_ports(text, *ports):
    """The text with other ports in place of those printed."""
    for port in ports:
        text = text.replace(port, str(free_port()))
    return text
