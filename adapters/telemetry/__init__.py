"""Metrics for Prometheus, and spans for an OpenTelemetry collector.

Offers `exposition`, the protocol `Tracing` with `NoTracing`, and `OtlpTracing`. The libraries are
imported by the file that needs them, and by no process that is not set to trace.
"""
