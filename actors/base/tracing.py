"""Builds the tracing that the settings choose."""

import importlib.util
from typing import Any

from callboard.adapters.telemetry.tracing import NoTracing, Tracing
from callboard.config.extras import installing
from callboard.config.settings import Settings, TracingSettings

_EXTRA = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class TracingUnavailable(Exception):
    """Tracing is enabled, but OpenTelemetry is not installed; the text says what to install."""


def check(tracing: TracingSettings) -> None:
    """Check that the settings can be applied. Raises TracingUnavailable."""
    if tracing.endpoint and not all(map(_is_installed, _EXTRA)):
        raise TracingUnavailable(
            f"tracing.endpoint {tracing.endpoint} needs OpenTelemetry: {installing('tracing')}"
        )


def tracing(settings: Settings, actor: str, log: Any, *, own_process: bool = True) -> Tracing:
    """The tracing of an actor. Raises TracingUnavailable."""
    wanted = settings.tracing
    if not wanted.endpoint:
        return NoTracing(wanted.propagate)
    check(wanted)
    from callboard.adapters.telemetry.otlp import Collector, OtlpTracing

    return OtlpTracing(
        Collector(wanted.traces_url, wanted.header_pairs, log.warning, own_process),
        {
            "service.name": wanted.service_name,
            "service.instance.id": f"{settings.node.name}/{actor}",
        },
        sample_ratio=wanted.sample_ratio,
        system="callboard" if settings.amqp.url.startswith("memory:") else "rabbitmq",
        propagate=wanted.propagate,
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
