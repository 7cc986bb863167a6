"""A trace as spans of OpenTelemetry: one for each run, and below it one for each step.

With OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) in the environment they are sent there, by the SDK's own
exporter and its variables; without, they are printed as the SDK writes them in JSON.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .records import Run, Span, microseconds

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
MISSING = "OpenTelemetry's SDK is not installed: pip install 'pyrunc[otel]'"


def otel(runs: Sequence[Run]) -> str:
    """What is to be printed: the spans, a JSON object a line, or how many were sent where. UsageError without the SDK,
    or when they cannot be sent."""
    try:
        from opentelemetry.sdk.trace.export import SpanExportResult
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    except ImportError:
        raise UsageError(MISSING) from None
    kept = InMemorySpanExporter()
    export(runs, kept)
    spans = kept.get_finished_spans()
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    if not endpoint:
        return "".join(f"{span.to_json(indent=None)}\n" for span in spans)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise UsageError(MISSING) from None
    if OTLPSpanExporter().export(spans) is not SpanExportResult.SUCCESS:
        raise UsageError(f"the spans could not be sent to {endpoint}")
    return f"{len(spans)} spans sent to {endpoint}\n"


def export(runs: Sequence[Run], exporter: SpanExporter) -> None:
    """Hand the spans of the runs to an exporter of the SDK."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace import Status, StatusCode, set_span_in_context
    for run in runs:
        resource = Resource.create({"service.name": "pyrunc", "service.version": run.version or "unknown"})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer, zero = provider.get_tracer("pyrunc", run.version), microseconds(run.time)
        name = " ".join(part for part in (run.command or "run", run.container) if part)
        whole = tracer.start_span(name, start_time=_ns(zero), attributes={
            "container.id": run.container, "pyrunc.command": run.command, "pyrunc.plan": run.plan})
        inside = set_span_in_context(whole)
        for step in run.spans:
            span = tracer.start_span(step.id, inside, start_time=_ns(zero + step.begin), attributes=about(step))
            if not step.ok:
                span.set_status(Status(StatusCode.ERROR, step.outcome))
            span.end(_ns(zero + step.end))
        for text in run.warnings:
            whole.add_event("warning", {"message": text}, _ns(zero + run.duration))
        if run.failed:
            whole.set_status(Status(StatusCode.ERROR, run.failed.outcome))
        whole.end(_ns(zero + run.duration))


def about(step: Span) -> dict[str, Any]:
    """The attributes of a step's span: what the trace says about it."""
    told = {"pyrunc.step": step.step, "pyrunc.who": step.lane, "process.pid": step.pid, "pyrunc.where": step.where,
            "pyrunc.what": step.what, "pyrunc.spec": step.spec, "pyrunc.outcome": step.outcome}
    return {name: value for name, value in told.items() if value}


def _ns(microseconds: float) -> int:
    return round(microseconds * 1000)
