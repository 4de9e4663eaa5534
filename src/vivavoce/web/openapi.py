"""`/openapi.json`: a description of all endpoints (OpenAPI 3.1), made of the table in `operations`."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Route, WebSocketRoute

import vivavoce
from vivavoce.web.errors import Problem
from vivavoce.web.operations import OPENAI_ERROR, OPERATIONS, PARAMETERS, PROBLEM_ERRORS, TAGS, Operation
from vivavoce.web.security.guard import OPEN_PATHS

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)(?::path)?}")
_DEPLOYMENT = "/openai/deployments/{deployment}"

Json = dict[str, Any]


def canonical(path: str) -> str:
    """Return the path under which an endpoint is described, for one of its other paths, such as Azure's."""
    if path.startswith(_DEPLOYMENT):
        return "/v1" + path.removeprefix(_DEPLOYMENT)
    rest = path.removeprefix("/openai")
    return rest if rest.startswith("/v1") or not rest.startswith(("/realtime", "/models")) else f"/v1{rest}"


def described(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of everything that these routes answer; a WebSocket's method is `WS`."""
    for route in routes:
        if isinstance(route, WebSocketRoute):
            yield "WS", route.path
        elif isinstance(route, Route) and route.include_in_schema:
            path = _PARAMETER.sub(r"{\1}", route.path)
            yield from ((method, path) for method in sorted(route.methods or {"GET"}) if method != "HEAD")


def openapi(routes: Iterable[BaseRoute]) -> Json:
    """Return the description of an application with these routes. Raises `KeyError` for one that has none."""
    paths: dict[str, Json] = {}
    for method, path in described(routes):
        operation = OPERATIONS[f"{method} {canonical(path)}"]
        method = "GET" if method == "WS" else method
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation)
    schemas, _ = _schemas()
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "vivavoce",
            "version": vivavoce.__version__,
            "summary": "Talk with an AI by voice, from anywhere, on any models.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**schemas, "OpenAiError": OPENAI_ERROR},
            "responses": {
                "Problem": _response("What is wrong, and what to do.", {"application/problem+json": Problem}),
                "OpenAiError": {
                    "description": "An error as OpenAI's clients expect it.",
                    "content": {"application/json": {"schema": {"$ref": _REF.format(name="OpenAiError")}}},
                },
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of VIVAVOCE_KEYS, where the server has some; also as `api-key: KEY`.",
                }
            },
        },
        "security": [{"key": []}, {}],
    }


def _operation(method: str, path: str, operation: Operation) -> Json:
    shown: Json = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": f"{method.lower()}{re.sub('[^a-z]+', '_', path.lower()).rstrip('_')}",
        "responses": {},
    }
    if operation.description:
        shown["description"] = operation.description
    if path in OPEN_PATHS:
        shown["security"] = [{}]
    if path != canonical(path):
        shown["description"] = f"The same as `{canonical(path)}`. {operation.description}".strip()
    parameters = [*_path_parameters(path), *_query_parameters(operation.query), *operation.headers]
    if parameters:
        shown["parameters"] = parameters
    if operation.body:
        shown["requestBody"] = {
            "required": operation.needs_body,
            "content": {media: _content(kind, operation.file) for media, kind in operation.body.items()},
        }
    shown["responses"] = {
        str(operation.status): _response(operation.answer, operation.answers),
        **{str(status): {"description": text} for status, text in operation.others.items()},
        **{str(status): _error(operation, HTTPStatus(status).phrase) for status in operation.errors},
        "default": _error(operation),
    }
    return shown


def _error(operation: Operation, text: str = "") -> Json:
    name = "Problem" if operation.tag in PROBLEM_ERRORS else "OpenAiError"
    return {"$ref": f"#/components/responses/{name}", **({"description": text} if text else {})}


def _path_parameters(path: str) -> Iterator[Json]:
    for name in _PARAMETER.findall(path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARAMETERS[name],
            "schema": {"type": "string", "minLength": 1},
        }


def _query_parameters(kind: type | None) -> Iterator[Json]:
    schema = _schemas()[1][kind.__name__] if kind else {}
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        field = _without_null(field)
        text = field.pop("description", "")
        yield {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": field,
            **({"description": text} if text else {}),
        }


def _without_null(field: Json) -> Json:
    """Return the schema of a parameter, which is left out, and never null."""
    some = [one for one in field.get("anyOf", ()) if one != {"type": "null"}]
    if len(some) != 1:
        return dict(field)
    rest = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return {**rest, **some[0]}


def _response(text: str, answers: Mapping[str, type | None]) -> Json:
    shown: Json = {"description": text}
    if answers:
        shown["content"] = {media: _content(kind) for media, kind in answers.items()}
    return shown


def _content(kind: type | None, file: str = "") -> Json:
    """Return what is described of a body; `file` is the field of a form that is a recording."""
    schema: Json = {"$ref": _REF.format(name=kind.__name__)} if kind else {}
    if file:
        recording = {"type": "string", "contentMediaType": "application/octet-stream"}
        form = {"type": "object", "required": [file], "properties": {file: recording}}
        schema = {"allOf": [schema, form]} if kind else form
    return {"schema": schema} if schema else {}


@cache
def _schemas() -> tuple[Mapping[str, Json], Mapping[str, Json]]:
    """Return the schemas of all types that operations name: those of bodies, and those of queries."""
    bodies = {
        kind for one in OPERATIONS.values() for kind in (*one.body.values(), *one.answers.values()) if kind
    }
    queries = {one.query for one in OPERATIONS.values() if one.query}
    found = [
        msgspec.json.schema_components(
            sorted(kinds, key=str), schema_hook=lambda kind: {"description": "any JSON"}, ref_template=_REF
        )[1]
        for kinds in ({*bodies, Problem}, queries)
    ]
    return found[0], found[1]
