"""`[tools]`: each `[[tools.http]]` is an HTTP endpoint, each `[[tools.mcp]]` an MCP server."""

import os
import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from vivavoce.addresses import http_address, is_plain
from vivavoce.config.base import SettingsTable, check_http, matching
from vivavoce.errors import ConfigError
from vivavoce.protocol.tools import HEADER_NAME, RESERVED_HEADERS

_SECRET = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def placeholders(text: str) -> Iterator[str]:
    """Yield the names in `{braces}`. Raises `ValueError` for braces with anything else in them."""
    for _, name, form, conversion in Formatter().parse(text):
        if name is not None:
            if not name.isidentifier() or form or conversion:
                raise ValueError(f"{text!r}: braces must contain the name of an argument, and nothing else")
            yield name


def _check_secrets(texts: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in texts.items():
        if _SECRET.search(name) and value and not _VARIABLE.search(value):
            advice = f'write {name} = "${{SOME_VARIABLE}}", and its value into .env'
            raise ValueError(f"{name} is a secret; {advice}")
    return texts


def _check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if name.lower() in RESERVED_HEADERS or not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name} is not a header that can be set")
        if not is_plain(value):
            raise ValueError(f"{name}: a header has printable ASCII characters")
    return _check_secrets(headers)


def _check_questions(questions: Mapping[str, str]) -> Mapping[str, str]:
    for question in questions.values():
        list(placeholders(question))
    return questions


Variables = Annotated[Mapping[str, str], AfterValidator(_check_secrets)]
Headers = Annotated[Mapping[str, str], AfterValidator(_check_headers)]
Questions = Annotated[Mapping[str, str], AfterValidator(_check_questions)]
_NONE: Mapping[str, str] = {}
Seconds = Annotated[float | None, Field(gt=0)]
Name = Annotated[str, matching(r"^[a-zA-Z0-9_-]{1,64}$", "a name of 1 to 64 letters, digits, '-' and '_'")]


class HttpToolTable(SettingsTable):
    """`[[tools.http]]`: a tool that is an HTTP endpoint."""

    name: Name
    """name for the model"""
    description: str
    """what it is for, for the model"""
    url: str
    """address; `{argument}` in its path or query stands for an argument of the call"""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """with POST, PUT and PATCH the arguments that are not in the address are a JSON body"""
    parameters: Mapping[str, object] = {}
    """its parameters: one JSON Schema, or for each parameter a description or a schema"""
    headers: Headers = _NONE
    """sent with each request; secrets as `${VARIABLE}`, from the environment"""
    seconds: Seconds = None
    """how long it may take; without it `limits.tool_seconds`"""
    max_concurrency: Annotated[int | None, Field(gt=0)] = None
    """how many calls of it may run at the same time, in all conversations together"""
    filler: str = ""
    """spoken when it is slow"""
    confirm: str = ""
    """a question that the caller must confirm first; `{argument}` stands for its value"""
    on_interruption: Literal["continue", "cancel"] = "continue"
    """what happens to a call when the caller speaks"""

    @property
    def parameters_schema(self) -> dict[str, object]:
        """The parameters as JSON Schema."""
        if self.parameters.get("type") == "object" and "properties" in self.parameters:
            return dict(self.parameters)
        each = {name: _parameter(written) for name, written in self.parameters.items()}
        schemas = {name: schema for name, (schema, _) in each.items()}
        return {"type": "object", "properties": schemas, "required": [name for name in each if each[name][1]]}

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = http_address(url)
        if any(braces in f"{parts.scheme}{parts.netloc}" for braces in "{}"):
            raise ValueError("arguments may stand in the path and in the query of an address, nowhere else")
        if any("{" in name for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            raise ValueError("in the query of an address, arguments may stand for values, not for names")
        return url

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        schema = self.parameters_schema
        known, required = schema["properties"], schema.get("required", ())
        if not isinstance(known, Mapping) or not isinstance(required, list | tuple):
            raise ValueError("parameters is not JSON Schema: `properties` is a table, and `required` a list")
        for place, text in (("url", self.url), ("confirm", self.confirm)):
            for name in placeholders(text):
                if name not in known:
                    raise ValueError(f"{place} names {{{name}}}, which is none of the parameters")
        for name in placeholders(urlsplit(self.url).path):
            if name not in required:
                raise ValueError(f"{{{name}}} stands in the path of the address, so it is required")
        return self


class McpToolsTable(SettingsTable):
    """`[[tools.mcp]]`: the tools of an MCP server, at an address or started here."""

    label: Name
    """our name for the server; a tool of it is `label_tool` where another tool has its name"""
    url: Annotated[str | None, AfterValidator(check_http)] = None
    """address of the server"""
    command: tuple[str, ...] = ()
    """or the command that starts it here, with MCP over its standard input and output"""
    env: Variables = _NONE
    """additions to the command's environment; secrets as `${VARIABLE}`"""
    headers: Headers = _NONE
    """sent to the address with each request; secrets as `${VARIABLE}`, from the environment"""
    allowed_tools: tuple[str, ...] | None = None
    """those of its tools that may be used; without it, all"""
    seconds: Seconds = None
    """how long each may take; without it `limits.mcp_seconds`"""
    filler: str = ""
    """spoken when one is slow"""
    confirm: Questions = _NONE
    """by the name of a tool, a question that the caller must confirm first"""

    @model_validator(mode="after")
    def _check_transport(self) -> Self:
        if bool(self.url) == bool(self.command):
            raise ValueError("a server has either a url or a command")
        if (self.env and self.url) or (self.headers and self.command):
            raise ValueError("headers are for a server with a url, env is for one with a command")
        return self


class ToolsTable(SettingsTable):
    """`[tools]`: tools of every conversation, whichever assistant answers it."""

    http: tuple[HttpToolTable, ...] = ()
    """HTTP endpoints"""
    mcp: tuple[McpToolsTable, ...] = ()
    """MCP servers"""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for names in ([one.name for one in self.http], [one.label for one in self.mcp]):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"there are two called {twice}")
        return self


def variables(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of the `${VARIABLES}` in texts."""
    for text in texts.values():
        yield from _VARIABLE.findall(text)


def from_environment(text: str, place: str) -> tuple[str, list[str]]:
    """Return a text with its `${VARIABLES}` filled in, and what was filled in. Raises `ConfigError`."""
    secrets = []
    for name in _VARIABLE.findall(text):
        value = os.environ.get(name, "")
        if not value:
            advice = f"write {name}=… into the environment or into .env"
            raise ConfigError(f"{place} needs ${{{name}}}, which is not in the environment; {advice}.")
        if not is_plain(value):
            raise ConfigError(f"{place} needs ${{{name}}}, which has more than printable ASCII characters.")
        secrets.append(value)
    return _VARIABLE.sub(lambda found: os.environ[found[1]], text), secrets


def _parameter(written: object) -> tuple[dict[str, object], bool]:
    """Return the schema of one parameter, and whether it is required, which a boolean `required` can say."""
    if not isinstance(written, Mapping):
        return {"type": "string", "description": str(written)}, True
    if not isinstance(said := written.get("required"), bool):
        return dict(written), "default" not in written
    return {key: value for key, value in written.items() if key != "required"}, said
