"""Structured logs: one event per line, on standard error, from many processes at once.

Every process calls `configure_logs` at its start, and again after a fork. The program logs through
`structlog.get_logger()`; libraries' records from `logging` are written the same way, from WARNING
upwards. Secrets are masked, and no value can start a new line.
"""

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from callboard.config.rules import HIDDEN, mask
from callboard.config.settings import LogSettings

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

STDERR = 2

LONGEST_LINE = 4096
"""Bytes, newline included: a pipe takes this many in one piece (Linux's PIPE_BUF; POSIX, write)."""

_SECRET_KEY = re.compile(
    r"key|(.*[-_])?(password|passwd|secret|token|authorization|cookie|(api|private|secret)[-_]?key)",
    re.IGNORECASE,
)
_PLAIN = re.compile(r'[^\s"=\\]+')
_LIBRARY_ROOT = logging.root
"""The root of the loggers created before Thespian put its own root into an actor."""


def configure_logs(log: LogSettings) -> None:
    """Log as `log` defines in this process, replacing any earlier configuration.

    In an actor's process Thespian replaces `logging.root` by a forwarder that refuses `addHandler`,
    so the handlers are set, not added. Loggers created before the fork are below the earlier root,
    which is therefore set as well.
    """
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, _StructlogFinder)]
    if "structlog" in sys.modules:
        _configure_structlog(log)
    else:
        sys.meta_path.insert(0, _StructlogFinder(partial(_configure_structlog, log)))
    handler = stderr_handler(log.format)
    for root in (logging.root, _LIBRARY_ROOT):
        root.handlers = [handler]
        root.setLevel(_library_level(log))


def _configure_structlog(log: LogSettings) -> None:
    import structlog

    structlog.configure(
        processors=[*_common(), _renderer(log.format)],
        wrapper_class=structlog.make_filtering_bound_logger(log.level),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )


class _StructlogFinder:
    """Configures structlog once it is imported. Its import takes longer than most commands, which
    log nothing."""

    def __init__(self, configure: Callable[[], None]) -> None:
        self._configure = configure

    def find_spec(self, name: str, *_place: Any) -> ModuleSpec | None:
        if name != "structlog":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._exec, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _exec(self, exec_module: Callable[[Any], None], module: Any) -> None:
        exec_module(module)
        self._configure()


def logger() -> Any:
    """The program's logger.

    Without a configured structlog, as in a host's process, its lines go to the logger `callboard`
    of `logging`, without secrets.
    """
    import structlog

    if structlog.is_configured():
        return structlog.get_logger("callboard")
    return structlog.wrap_logger(
        logging.getLogger("callboard"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _ordered,
            _without_secrets,
            _renderer("text"),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def log_definitions(log: LogSettings) -> dict[str, Any]:
    """The same for processes of a host: pass it as `logDefs` to a Thespian ActorSystem."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "stderr": {
                "()": "callboard.config.logs.stderr_handler",
                "format": log.format,
                "level": _library_level(log),
            }
        },
        "root": {"handlers": ["stderr"], "level": _library_level(log)},
    }


def stderr_handler(format: str) -> logging.Handler:
    """A handler that writes the records of `logging` in our format; `format` is text or json."""
    return _StderrHandler(format)


def _formatter(format: str) -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, _preformatted_exception],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_common(),
            _renderer(format),
        ],
    )


def write_line(line: str) -> None:
    """Write a line to standard error in one piece.

    A line that cannot be written (the reader is gone, the disk is full) is lost: there is no better
    place to report that, and the work must go on.
    """
    with contextlib.suppress(OSError):
        os.write(STDERR, f"{line}\n".encode(errors="backslashreplace"))


class _StderrHandler(logging.Handler):
    def __init__(self, format: str) -> None:
        super().__init__()
        self._format = format

    def format(self, record: logging.LogRecord) -> str:
        if self.formatter is None:  # made with the first record: see _StructlogFinder
            self.formatter = _formatter(self._format)
        return super().format(record)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_line(self.format(record))
        except Exception:  # noqa: BLE001 - the contract of `emit`: handleError reports it
            self.handleError(record)


class _StderrLogger:
    """The end of a structlog chain."""

    def __init__(self, *_args: Any) -> None: ...

    def msg(self, line: str) -> None:
        write_line(line)

    debug = info = warning = error = critical = msg


def _library_level(log: LogSettings) -> int:
    return max(logging.WARNING, logging.getLevelNamesMapping()[log.level.upper()])


def _common() -> "tuple[Processor, ...]":
    import structlog

    return (
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _ordered,
        _without_secrets,
    )


def _preformatted_exception(_logger: Any, _method: str, event: "EventDict") -> "EventDict":
    """Keep the traceback that Thespian's forwarder sends as text; `exc_info` replaces it."""
    text = event["_record"].exc_text
    return {**event, "exception": text} if text else event


def _ordered(_logger: Any, _method: str, event: "EventDict") -> "EventDict":
    first = ("timestamp", "level", "event")
    return {**{key: event[key] for key in first if key in event}, **event}


def _without_secrets(_logger: Any, _method: str, event: "EventDict") -> "EventDict":
    return {key: _hide(key, value) for key, value in event.items()}


def _hide(key: object, value: Any) -> Any:
    if _SECRET_KEY.fullmatch(str(key)):
        return HIDDEN
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {str(inner): _hide(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hide("", item) for item in value]
    if value is None or isinstance(value, int | float):
        return value
    return mask(str(value))


def _renderer(format: str) -> "Processor":
    render = _json if format == "json" else _logfmt

    def renderer(_logger: Any, _method: str, event: "EventDict") -> str:
        return _fitted(render, event)

    return renderer


def _fitted(render: Callable[[Mapping[str, Any]], str], event: Mapping[str, Any]) -> str:
    """The line, with long values cut so that it can be written in one piece."""
    line = render(event)
    longest = LONGEST_LINE // 2
    while len(line.encode(errors="backslashreplace")) >= LONGEST_LINE and longest > 1:
        line = render({key: _cut(value, longest) for key, value in event.items()})
        longest //= 2
    return line


def _cut(value: Any, longest: int) -> Any:
    text = str(value)
    if len(text) <= longest:
        return value
    return f"{text[: longest // 2]}…{text[-(longest // 2) :]}"


def _json(event: Mapping[str, Any]) -> str:
    return json.dumps(event)


def _logfmt(event: Mapping[str, Any]) -> str:
    return " ".join(f"{_word(key)}={_word(value)}" for key, value in event.items())


def _word(value: Any) -> str:
    """The value unchanged if that is unambiguous, else quoted as in JSON, with escaped controls."""
    text = str(value) if isinstance(value, str) else json.dumps(value)
    if text.isprintable() and _PLAIN.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
