"""The OpenAPI document of the service, from the table of endpoints and the types of their bodies."""
from __future__ import annotations

import re
from typing import Any

from .. import __version__
from ..manager.plain import schema
from .api import ROUTES, Route
from .bodies import Fault

#: What goes wrong: status -> when.
FAULTS = {"400": "the request is wrong", "403": "the caller may not", "404": "there is no such container",
          "408": "the body has not come within 30 s", "409": "the container is in no state for it",
          "413": "the body is larger than 4 MiB", "422": "a step of the operation failed, or a handler's program",
          "429": "too much is at work: try again later", "504": "it took too long"}



def document() -> dict[str, Any]:
    """The document, as plain JSON."""
    found: dict[str, Any] = {}
    fault = schema(Fault, found)
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, found, fault)
    return {"openapi": "3.1.0", "info": {"title": "runciter", "version": __version__}, "paths": paths,
            "components": {"schemas": found}}


def _operation(route: Route, found: dict[str, Any], fault: dict[str, Any]) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                  for name in re.findall(r"{(\w+)}", route.path)]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query]
    good: dict[str, Any] = {"description": route.about}
    if route.streams:
        good["content"] = {"application/x-ndjson": {"schema": {"type": "string"}}}
    elif route.gives is not None:
        good["content"] = {"application/json": {"schema": schema(route.gives, found)}}
    answers = {str(route.status): good}
    for status, text in FAULTS.items():
        answers[status] = {"description": text, "content": {"application/json": {"schema": fault}}}
    made: dict[str, Any] = {"summary": route.about, "operationId": route.call.__name__, "responses": answers}
    if parameters:
        made["parameters"] = parameters
    if route.takes is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": schema(route.takes, found)}}}
    return made
