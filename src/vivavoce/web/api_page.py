"""`/docs`: the description of all endpoints as a page, which is made here, so that it needs no script."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from vivavoce.web.openapi import canonical
from vivavoce.web.operations import PROBLEMS

Json = Mapping[str, Any]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>vivavoce: endpoints</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/docs.css">
</head>
<body>
<header>
<h1>Endpoints</h1>
<p>What this server answers. For programs, the same is at <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).
A server with keys needs one: <code>curl -H "Authorization: Bearer KEY" …</code></p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>{sections}</main>
</body>
</html>
"""
_EXAMPLES = {"string": "TEXT", "integer": "20", "array": "TEXT"}
"""by type: what stands for the value of a parameter that is required"""


def api_page(document: Json) -> str:
    """Return the page about a document of OpenAPI, one that `openapi.openapi` has made."""
    sections = {tag["name"]: f"<p>{_text(tag['description'])}</p>" for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path == canonical(path):
                sections[operation["tags"][0]] += _operation(method, path, operation)
    problems = ((f'<code id="{code}">{code}</code>', _text(text)) for code, text in PROBLEMS.items())
    sections["Problems"] = _table(("code", "meaning"), problems)
    types = sorted(document["components"]["schemas"].items())
    sections["Types"] = "".join(_details(name, _code(name), _schema(schema)) for name, schema in types)
    links = (f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in sections)
    shown = (
        f'<section><h2 id="{_anchor(name)}">{escape(name)}</h2>{body}</section>'
        for name, body in sections.items()
    )
    return _PAGE.format(links="".join(links), sections="".join(shown))


def _operation(method: str, path: str, operation: Json) -> str:
    is_socket = "101" in operation["responses"]
    kind = "ws" if is_socket else method
    head = f'<b class="{kind}">{kind.upper()}</b> {_code(path)} <span>{escape(operation["summary"])}</span>'
    parameters = operation.get("parameters", ())
    content = operation.get("requestBody", {}).get("content", {})
    body = [
        f"<p>{_text(operation.get('description', ''))}</p>",
        "" if is_socket else f"<pre><code>{escape(_curl(method, path, parameters, content))}</code></pre>",
        _table(("parameter", "in", "type", "meaning"), map(_parameter, parameters)),
        _table(
            ("body", "type"),
            ((_code(media), _type(one["schema"]) if one else "") for media, one in content.items()),
        ),
        _table(("status", "meaning", "media type", "type"), _answers(operation["responses"])),
    ]
    return _details(operation["operationId"], head, "".join(body))


def _curl(method: str, path: str, parameters: Iterable[Json], content: Json) -> str:
    """Return a command that asks this."""
    query = [
        f"{one['name']}={_EXAMPLES[one['schema']['type']]}"
        for one in parameters
        if one["in"] == "query" and one["required"]
    ]
    address = f'"http://127.0.0.1:8765{path}{"?" if query else ""}{"&".join(query)}"'
    media = next(iter(content), "")
    is_implied = method == "get" or (method == "post" and media)
    parts = ["curl", *([] if is_implied else ["-X", method.upper()]), address]
    if media == "multipart/form-data":
        parts.append("-F file=@recording.wav")
    elif media:
        parts.append(f'-H "Content-Type: {media}" --data @body')
    return " ".join(parts)


def _parameter(parameter: Json) -> Sequence[str]:
    needed = " Required." if parameter["required"] else ""
    return (
        _code(parameter["name"]),
        parameter["in"],
        _type(parameter["schema"]),
        _text(parameter.get("description", "") + needed),
    )


def _answers(responses: Json) -> Iterator[Sequence[str]]:
    for status, answer in responses.items():
        text = _text(answer.get("description", ""))
        if reference := answer.get("$ref"):
            yield "other" if status == "default" else status, text or "An error.", "", _link(reference)
        else:
            for media, one in answer.get("content", {"": {}}).items():
                yield status, text, _code(media) if media else "", _type(one["schema"]) if one else ""


def _schema(schema: Json) -> str:
    needed = schema.get("required", ())
    rows = (
        (
            _code(name),
            _type(field),
            _text(field.get("description", "") + ("" if name in needed or not needed else " May be absent.")),
        )
        for name, field in schema.get("properties", {}).items()
    )
    return f"<p>{_text(schema.get('description', ''))}</p>" + _table(("field", "type", "meaning"), rows)


def _type(schema: Json) -> str:
    """Return the type of a schema in a few words."""
    match schema:
        case {"$ref": reference}:
            return _link(reference)
        case {"anyOf": some}:
            return " or ".join(map(_type, some))
        case {"allOf": some}:
            return " and ".join(map(_type, some))
        case {"type": "object", "properties": fields}:
            return "object with " + " ".join(map(_code, fields))
        case {"enum": values}:
            return " ".join(_code(json.dumps(value)) for value in values)
        case {"type": "array", "items": item}:
            return f"list of {_type(item)}"
        case {"type": "object", "additionalProperties": Mapping() as value}:
            return f"object of {_type(value)}"
        case {"type": kind, **more}:
            bounds = [f"{words} {more[name]}" for name, words in _BOUNDS.items() if name in more]
            default = [f"by default {json.dumps(more['default'])}"] if more.get("default") is not None else []
            return ", ".join([more.get("format") or str(kind), *bounds, *default])
    return "any"


_BOUNDS = {"minimum": "from", "maximum": "to", "maxLength": "at most", "maxItems": "at most"}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""


def _details(name: str, head: str, body: str) -> str:
    return f'<details id="{_anchor(name)}"><summary>{head}</summary>{body}</details>'


def _link(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f'<a href="#{_anchor(name)}">{escape(name)}</a>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _text(text: str) -> str:
    """Return a description as HTML; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip(), quote=False))


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name)
