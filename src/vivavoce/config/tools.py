"""Tools that the owner names: `[[tools.http]]` is an endpoint each, `[[tools.mcp]]` a server of them each."""

import os
import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vivavoce.errors import ConfigError

__all__ = ["HttpToolTable", "McpToolsTable", "ToolsTable", "from_environment", "placeholders", "variables"]

_SECRET = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_NOT_OURS = {"host", "connection", "content-length", "transfer-encoding"}
"""Headers that say where a request goes, and how."""
_Texts = Mapping[str, str]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HttpToolTable(_Table):
    """`[[tools.http]]`: a tool that asks an address on the web."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    """what the model calls it by"""
    description: str
    """what it is for, as the model is told"""
    url: str
    """address; `{argument}` in its path or query stands for what the model gives"""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """how it is asked; with POST, PUT and PATCH the arguments that the address leaves are a JSON body"""
    parameters: Mapping[str, object] = {}
    """what it takes: JSON Schema, or of each argument what it is, in words or as a schema"""
    headers: _Texts = {}
    """sent along; secrets as `${VARIABLE}`, from the environment"""
    seconds: Annotated[float | None, Field(gt=0)] = None
    """how long it may take; without it `limits.tool_seconds`"""
    at_once: Annotated[int | None, Field(gt=0)] = None
    """how many calls of it may be at work, of all conversations together"""
    filler: str = ""
    """said when it is slow"""
    confirm: str = ""
    """a question that the caller must say yes to first; `{argument}` stands for its value"""
    interruption: Literal["goes on", "cancels"] = "goes on"
    """what becomes of it when the caller speaks"""

    @property
    def takes(self) -> dict[str, object]:
        """The parameters as JSON Schema."""
        if self.parameters.get("type") == "object" and "properties" in self.parameters:
            return dict(self.parameters)
        each = {name: _one(told) for name, told in self.parameters.items()}
        required = [name for name, told in self.parameters.items() if _is_required(told)]
        return {"type": "object", "properties": each, "required": required}

    @field_validator("url")
    @classmethod
    def _leads_to_one_place(cls, url: str) -> str:
        parts = _address(url)
        if any(braces in f"{parts.scheme}{parts.netloc}" for braces in "{}"):
            raise ValueError("arguments may stand in the path and in the query of an address, nowhere else")
        if any("{" in name for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            raise ValueError("in the query of an address, arguments may stand for values, not for names")
        return url

    @field_validator("headers")
    @classmethod
    def _keep_secrets(cls, headers: _Texts) -> _Texts:
        return _headers(headers)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        schema = self.takes
        known, required = schema["properties"], schema.get("required", ())
        if not isinstance(known, Mapping) or not isinstance(required, list | tuple):
            raise ValueError("parameters is not JSON Schema: `properties` is a table, and `required` a list")
        for place, text in (("url", self.url), ("confirm", self.confirm)):
            for name in placeholders(text):
                if name not in known:
                    raise ValueError(f"{place} speaks of {{{name}}}, which is none of the parameters")
        for name in placeholders(urlsplit(self.url).path):
            if name not in required:
                raise ValueError(f"{{{name}}} stands in the path of the address, so it is required")
        return self


class McpToolsTable(_Table):
    """`[[tools.mcp]]`: the tools of an MCP server, at an address or started here."""

    label: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    """what we call the server; and a tool of it, `label_tool`, where there is another tool of that name"""
    url: str | None = None
    """address of the server"""
    command: tuple[str, ...] = ()
    """or the command that starts it here, and speaks over its standard input and output"""
    env: _Texts = {}
    """what the command's environment has beside the usual; secrets as `${VARIABLE}`"""
    headers: _Texts = {}
    """sent along to the address; secrets as `${VARIABLE}`, from the environment"""
    allowed_tools: tuple[str, ...] | None = None
    """those of its tools that may be used; without it, all"""
    seconds: Annotated[float | None, Field(gt=0)] = None
    """how long each may take; without it `limits.mcp_seconds`"""
    filler: str = ""
    """said when one is slow"""
    confirm: _Texts = {}
    """by the name of a tool, a question that the caller must say yes to first"""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url:
            _address(url)
        return url

    @field_validator("headers")
    @classmethod
    def _keep_secrets(cls, headers: _Texts) -> _Texts:
        return _headers(headers)

    @field_validator("env")
    @classmethod
    def _keeps_secrets(cls, env: _Texts) -> _Texts:
        _insist_on_variables(env)
        return env

    @field_validator("confirm")
    @classmethod
    def _can_be_asked(cls, confirm: _Texts) -> _Texts:
        for question in confirm.values():
            list(placeholders(question))
        return confirm

    @model_validator(mode="after")
    def _is_reached_in_one_way(self) -> Self:
        if bool(self.url) == bool(self.command):
            raise ValueError("a server has either a url or a command")
        if (self.env and self.url) or (self.headers and self.command):
            raise ValueError("headers are for a server with a url, env is for one with a command")
        return self


class ToolsTable(_Table):
    """`[tools]`: what every conversation can use, whoever answers it."""

    http: tuple[HttpToolTable, ...] = ()
    """endpoints"""
    mcp: tuple[McpToolsTable, ...] = ()
    """servers of tools"""

    @model_validator(mode="after")
    def _have_names_of_their_own(self) -> Self:
        for names in ([one.name for one in self.http], [one.label for one in self.mcp]):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"there are two called {twice}")
        return self


def placeholders(text: str) -> Iterator[str]:
    """Return the names that stand in `{braces}`. Raises `ValueError` for braces that hold no name."""
    for _, name, form, conversion in Formatter().parse(text):
        if name is not None:
            if not name.isidentifier() or form or conversion:
                raise ValueError(f"{text!r}: in braces stands the name of an argument, and nothing else")
            yield name


def variables(texts: _Texts) -> Iterator[str]:
    """Return the names of the environment's variables that texts speak of."""
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
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"{place} needs ${{{name}}}, which has more than printable ASCII characters.")
        secrets.append(value)
    return _VARIABLE.sub(lambda found: os.environ[found[1]], text), secrets


def _one(told: object) -> dict[str, object]:
    """Return the schema of one argument; `required`, unless it is the schema's own, is about the argument."""
    if not isinstance(told, Mapping):
        return {"type": "string", "description": str(told)}
    return {key: value for key, value in told.items() if not (key == "required" and isinstance(value, bool))}


def _is_required(told: object) -> bool:
    if not isinstance(told, Mapping):
        return True
    said = told.get("required")
    return said if isinstance(said, bool) else "default" not in told


def _address(url: str) -> SplitResult:
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError(f"{url} is not an http or https address")
    if parts.username is not None or parts.fragment:
        raise ValueError("an address has no user and no fragment here; write a key into headers")
    return parts


def _headers(headers: _Texts) -> _Texts:
    for name, value in headers.items():
        if name.lower() in _NOT_OURS or not _HEADER.fullmatch(name):
            raise ValueError(f"{name} is no header that can be set")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{name}: a header has printable ASCII characters")
    _insist_on_variables(headers)
    return headers


def _insist_on_variables(texts: _Texts) -> None:
    for name, value in texts.items():
        if _SECRET.search(name) and value and not _VARIABLE.search(value):
            raise ValueError(
                f'{name} is a secret; write {name} = "${{SOME_VARIABLE}}", and its value into .env'
            )
