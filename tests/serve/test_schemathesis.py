"""Requests that schemathesis makes from the OpenAPI document, right and wrong ones: the answers are as it says."""
from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pyrunc.manager import Manager
from pyrunc.serve.client import Client
from pyrunc.serve.openapi import document
from tests.manager.conftest import config_of, remove_all

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: Requests for each endpoint.
EXAMPLES = int(os.environ.get("PYRUNC_EXAMPLES", "5"))


@asynccontextmanager
async def by_port(path: Path) -> AsyncIterator[str]:
    """The service's socket as a port, for schemathesis speaks to those alone."""
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_unix_connection(str(path))
        await asyncio.gather(copy(reader, theirs[1]), copy(theirs[0], writer))
    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def tried(address: str, label: str, names: list[str]) -> int:
    """Send the requests of one endpoint; how many were accepted."""
    schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
    operations: Any = list(schema.get_all_operations())
    operation = next(found.ok() for found in operations if found.ok().label == label)
    accepted = 0

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=operation.as_strategy(), which=hypothesis.strategies.integers(0, 2 * len(names) - 1))
    def each(case: Any, which: int) -> None:
        nonlocal accepted
        if case.path_parameters and which < len(names):
            case.path_parameters["id"] = names[which]      # one that is there
        case.query = {key: value for key, value in (case.query or {}).items() if key != "stream"}
        if label.endswith(("/events", "/logs")):
            case.query["follow"] = "0"                     # what has no end is not waited for
        if label.endswith(("/wait", "/exec")) and isinstance(case.body, dict):
            case.body["timeout"] = 0.1
        response = case.call(timeout=60)
        checks = CHECKS[1:] if response.status_code == 504 else CHECKS       # `wait` has waited as long as it should
        case.validate_response(response, checks=checks)
        accepted += response.status_code < 300
    each()
    return accepted


LABELS = [f"{method.upper()} {path}" for path, found in document()["paths"].items() for method in found]


@pytest.mark.parametrize("label", LABELS)
async def test_answers_are_as_the_document_says(m: Manager, path: Path, c: Client, rootfs: Path, name: str,
                                                label: str) -> None:
    names = [f"{name}-a", f"{name}-b"]
    for one in names:
        await c.create(one, config=config_of(rootfs), start=one == names[0], trace=True)
    async with by_port(path) as address:
        accepted = await asyncio.to_thread(tried, address, label, names)
    assert accepted or label.split()[0] != "GET", label
    assert (await c.call("GET", "/v1/info"))["root"] == m.root
    await remove_all(m)
