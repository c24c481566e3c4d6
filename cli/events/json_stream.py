"""JSON values from a stream, each as soon as it is complete."""

import codecs
import json
from collections.abc import Iterator
from typing import Any, Protocol

CHUNK = 64 * 1024
"""The most bytes of one read."""
LONGEST = 32 * 2**20
"""The most characters of one value."""

_SPACE = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


class NotJson(ValueError):
    """The stream is not JSON; the text says in which line, and why."""


class Readable(Protocol):
    """A buffered binary file."""

    def read1(self, size: int, /) -> bytes:
        """The bytes that are there, at most `size`; waits for the first. Empty at the end."""


class JsonStream:
    """The values of a stream: a list of them, or one after the other, on one line or several.

    Holds at most one read and one value in memory. Raises NotJson.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._line = 1
        self._failed = 0
        self._in_list = self._after_value = False

    def read(self, file: Readable) -> Iterator[list[Any]]:
        """For each read, the values that it completed, if any."""
        while True:
            chunk = file.read1(CHUNK)
            values = self.feed(chunk, full=len(chunk) == CHUNK)
            if values:
                yield values
            if not chunk:
                return

    def feed(self, chunk: bytes, *, full: bool = False) -> list[Any]:
        """The values that these bytes complete; none in a chunk says that it was the last one.

        `full`: more bytes are probably there, so that a long value is not tried for each chunk.
        """
        try:
            self._text += self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as problem:
            self._line += self._text.count("\n") + problem.object.count(b"\n", 0, problem.start)
            raise self._refusal(str(problem)) from None
        if full and len(self._text) < 2 * self._failed:
            return []
        at, values = 0, []
        while (at := self._begin(at)) < len(self._text):
            try:
                value, end = _decode(self._text, at)
            except json.JSONDecodeError as problem:
                if chunk and self._may_be_cut(problem.pos):
                    break
                self._line += self._text.count("\n", 0, problem.pos)
                raise self._refusal(problem.msg) from None
            if end == len(self._text) and chunk and not isinstance(value, dict | list | str):
                break  # a number may go on
            values.append(value)
            self._after_value = True
            at = end
        if not chunk and self._in_list:
            raise self._refusal("the list has no end")
        self._line += self._text.count("\n", 0, at)
        self._text = self._text[at:]
        self._failed = len(self._text)
        if self._failed > LONGEST:
            raise self._refusal(f"a value has more than {LONGEST} characters")
        return values

    def _begin(self, at: int) -> int:
        """Where the next value begins: after spaces, commas and the brackets of a list."""
        text = self._text
        while at < len(text):
            one = text[at]
            if one == "[" and not self._in_list:
                self._in_list, self._after_value = True, False
            elif one == "]" and self._in_list:
                self._in_list = self._after_value = False
            elif one == "," and self._in_list and self._after_value:
                self._after_value = False
            elif one not in _SPACE:
                if self._in_list and self._after_value:
                    self._line += text.count("\n", 0, at)
                    raise self._refusal("a comma is missing in the list")
                break
            at += 1
        return at

    def _may_be_cut(self, at: int) -> bool:
        """Whether the value is valid so far: no token has a line break, not even a text."""
        rest = self._text[at:]
        return not rest.strip(_SPACE) or "\n" not in rest

    def _refusal(self, reason: str) -> NotJson:
        return NotJson(f"line {self._line} is not JSON: {reason}")
