"""Spans of OpenTelemetry: what the SDK makes of a trace, and what comes to a collector."""
from __future__ import annotations

import http.server
import json
import sys
import threading
from pathlib import Path

import pytest

from pyrunc.cli.main import main
from pyrunc.traceview import records
from pyrunc.traceview.otel import otel
from tests.traceview.samples import create, failed, write


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_a_span_for_the_run_and_one_for_each_step(tmp_path: Path) -> None:
    runs = records.read(write(tmp_path / "t", create()))
    *steps, whole = [json.loads(line) for line in otel(runs).splitlines()]
    assert whole["name"] == "create c1" and whole["parent_id"] is None
    assert whole["attributes"]["container.id"] == "c1" and whole["attributes"]["pyrunc.plan"] == "p1"
    assert whole["resource"]["attributes"]["service.version"] == "1.2.3"
    assert [span["name"] for span in steps] == [span.id for span in runs[0].spans]
    assert {span["parent_id"] for span in steps} == {whole["context"]["span_id"]}
    assert {span["context"]["trace_id"] for span in steps} == {whole["context"]["trace_id"]}
    proc = steps[1]
    assert (proc["start_time"], proc["end_time"]) == ("2026-01-02T03:04:05.000150Z", "2026-01-02T03:04:05.000200Z")
    assert proc["attributes"]["pyrunc.where"] == "mounts[0]" and proc["attributes"]["pyrunc.who"] == "init"
    assert (whole["start_time"], whole["end_time"]) == ("2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.001000Z")


def test_a_fault_is_the_status(tmp_path: Path) -> None:
    spans = [json.loads(line) for line in otel(records.read(write(tmp_path / "t", failed()))).splitlines()]
    wrong = [span["name"] for span in spans if span["status"]["status_code"] == "ERROR"]
    assert wrong == ["mounts.tmpfs#2", "create bad"]
    assert "no space left on device" in spans[-1]["status"]["description"]


def test_they_come_to_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capfd: pytest.CaptureFixture[str]) -> None:
    """By OTLP, as any other program's; a refusal is an error."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    got: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if len(got) == 1 else 400)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        trace = write(tmp_path / "t", create())
        assert main(["trace", "show", "--format", "otel", trace]) == 0
        assert capfd.readouterr().out == f"7 spans sent to {endpoint}\n"
        assert main(["trace", "show", "--format", "otel", trace]) == 1
        assert f"the spans could not be sent to {endpoint}" in capfd.readouterr().err
        server.shutdown()
    path, body = got[0]
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    names = [span.name for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]
    assert path == "/v1/traces" and names[-1] == "create c1" and len(names) == 7


def test_without_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert main(["trace", "show", "--format", "otel", write(tmp_path / "t", create())]) == 1
    assert "pip install 'pyrunc[otel]'" in capfd.readouterr().err
