"""Endpoints: the address, headers and dialect of a server of the Realtime protocol, such as OpenAI's."""

import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from vivavoce.errors import ConfigError
from vivavoce.protocol.dialects import BETA, FIRST_BETA, GA, Dialect, by_version

OPENAI = "wss://api.openai.com/v1/realtime"
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
BETA_HEADER = {"OpenAI-Beta": "realtime=v1"}
SECRETS = ("api-key", "key", "token")
"""query parameters that contain keys, and are not logged"""


@dataclass(frozen=True)
class Endpoint:
    """A server's URL, the headers that it requires, and its dialect.

    Headers and query may contain keys, and are never logged; `name` is used instead.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect = GA
    tls: ssl.SSLContext | None = None
    """which certificates are trusted, if not the usual ones"""

    @property
    def name(self) -> str:
        """The host, with the port if there is one, for logs and errors."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys that must be removed from the server's error messages."""
        parts = urlsplit(self.url)
        keys = [value for name, value in parse_qsl(parts.query) if name.lower() in SECRETS]
        headers = [value.removeprefix("Bearer ") for value in self.headers.values()]
        return tuple(one for one in (*headers, *keys, parts.password) if one)

    def with_query(self, *, without: str = "", **parameters: str) -> "Endpoint":
        """Return the endpoint with these query parameters added; those of the URL take precedence.

        The parameter `without` is left out.
        """
        parts = urlsplit(self.url)
        known = [one for one in parse_qsl(parts.query, keep_blank_values=True) if one[0] != without]
        new = [one for one in parameters.items() if one[0] not in dict(known)]
        return replace(self, url=parts._replace(query=urlencode(known + new)).geturl())

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"


def endpoint_at(
    url: str, *, key: str | None = None, dialect: Dialect = GA, tls: ssl.SSLContext | None = None
) -> Endpoint:
    """Return the endpoint at this address; `http://host:1/v1` and `ws://host:1` mean `ws://host:1/v1/realtime`.

    `key` is sent as a bearer token; `tls` says which certificates are trusted, if not the usual ones. Raises
    `ConfigError` if the address is invalid.
    """
    parts = _parse(url)
    path = parts.path.rstrip("/") or "/v1"
    if not path.endswith("/realtime"):
        path += "/realtime"
    headers = BETA_HEADER if dialect in (BETA, FIRST_BETA) else {}
    return Endpoint(parts._replace(path=path, fragment="").geturl(), {**headers, **_bearer(key)}, dialect, tls)


def openai(
    model: str = "gpt-realtime", *, key: str | None = None, url: str | None = None, beta: bool = False
) -> Endpoint:
    """Return the endpoint of an OpenAI model, or of another `url` that accepts OpenAI's keys.

    Without a `key`, the environment variables `OPENAI_API_KEY`, and if set `OPENAI_ORG_ID` and
    `OPENAI_PROJECT_ID`, are used. Raises `ConfigError` if there is no key.
    """
    key = key or _from_environment("OpenAI", "OPENAI_API_KEY")
    endpoint = endpoint_at(url or OPENAI, key=key, dialect=BETA if beta else GA)
    names = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    account = {header: os.environ[name] for header, name in names.items() if os.environ.get(name)}
    return replace(endpoint, headers={**endpoint.headers, **account}).with_query(model=model)


def azure(
    endpoint: str | None,
    deployment: str,
    *,
    key: str | None = None,
    token: str | None = None,
    api_version: str | None = None,
) -> Endpoint:
    """Return the endpoint of an Azure deployment at `endpoint`, by default that of `AZURE_OPENAI_ENDPOINT`.

    It uses the GA interface; a dated `api_version` selects the preview, and the beta dialect. Without a `key`
    or an Entra `token`, `AZURE_OPENAI_API_KEY` is used, or else `AZURE_OPENAI_AD_TOKEN`. Raises `ConfigError`
    if anything is missing.
    """
    parts = _parse(endpoint or _from_environment("Azure", "AZURE_OPENAI_ENDPOINT", what="endpoint"))
    dialect = by_version(api_version or "v1")
    path, query = "/openai/v1/realtime", {"model": deployment}
    if dialect is not GA:
        path, query = "/openai/realtime", {"api-version": str(api_version), "deployment": deployment}
    url = parts._replace(path=path, query=urlencode(query), fragment="").geturl()
    if not (key or token):
        token = os.environ.get("AZURE_OPENAI_AD_TOKEN", "").strip()
        key = os.environ.get("AZURE_OPENAI_API_KEY", "").strip()
    if not (key or token):
        raise _missing("Azure", "AZURE_OPENAI_API_KEY")
    return Endpoint(url, {"api-key": key} if key else _bearer(token), dialect)


def _parse(url: str) -> SplitResult:
    """Return the parts of an address, with the scheme of a WebSocket URL."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in SCHEMES and parts.hostname and parts.port != 0:  # reading an invalid port raises
            return parts._replace(scheme=SCHEMES[parts.scheme])
    shown = re.sub("//[^/]*@", "//", url.partition("?")[0])
    example = "ws://127.0.0.1:8765/v1/realtime"
    raise ConfigError(f"{shown!r} is no address of a server; write for example {example}.")


def _bearer(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _from_environment(vendor: str, variable: str, what: str = "key") -> str:
    if value := os.environ.get(variable, "").strip():
        return value
    raise _missing(vendor, variable, what)


def _missing(vendor: str, variable: str, what: str = "key") -> ConfigError:
    return ConfigError(f"There is no {what} for {vendor}; write: export {variable}=the-{what}")
