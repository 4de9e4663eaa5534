"""Where a server of the Realtime protocol is, and how it is spoken to: OpenAI's, Azure's, or any other."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from vivavoce.errors import ConfigError
from vivavoce.protocol.dialects import BETA, FIRST_BETA, GA, ClientDialect, by_version

__all__ = ["Endpoint", "azure", "endpoint_at", "openai"]

OPENAI = "wss://api.openai.com/v1/realtime"
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
BETA_HEADER = {"OpenAI-Beta": "realtime=v1"}
SECRETS = ("api-key", "key", "token")
"""query parameters that nobody is to read"""


@dataclass(frozen=True)
class Endpoint:
    """A server's address, the headers that it wants, and its dialect.

    Neither headers nor the query, which may hold keys as well, are ever shown: a place is called by its `name`.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    dialect: ClientDialect = GA

    @property
    def name(self) -> str:
        """The host, and the port if it is named: how logs and errors call the place."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be told of it, should the server repeat it."""
        said = urlsplit(self.url)
        keys = [value for name, value in parse_qsl(said.query) if name.lower() in SECRETS]
        shown = [value.removeprefix("Bearer ") for value in self.headers.values()]
        return tuple(one for one in (*shown, *keys, said.password) if one)

    def asking(self, **parameters: str) -> "Endpoint":
        """Return the same place with these parameters in its address, but for those that it names itself."""
        said = urlsplit(self.url)
        known = parse_qsl(said.query, keep_blank_values=True)
        more = [one for one in parameters.items() if one[0] not in dict(known)]
        return replace(self, url=said._replace(query=urlencode(known + more)).geturl())

    def __repr__(self) -> str:
        return f"Place({self.name})"


def endpoint_at(url: str, *, key: str | None = None, dialect: ClientDialect = GA) -> Endpoint:
    """Return the place at this address; `http://host:1/v1` and `ws://host:1` mean `ws://host:1/v1/realtime`.

    `key` is shown as a bearer. Raises `ConfigError` for what is no such address.
    """
    said = _address(url)
    path = said.path.rstrip("/") or "/v1"
    if not path.endswith("/realtime"):
        path += "/realtime"
    headers = BETA_HEADER if dialect in (BETA, FIRST_BETA) else {}
    whole = said._replace(path=path, fragment="").geturl()
    return Endpoint(whole, {**headers, **_bearer(key)}, dialect)


def openai(
    model: str = "gpt-realtime", *, key: str | None = None, url: str | None = None, beta: bool = False
) -> Endpoint:
    """Return a model of OpenAI's, or of whoever takes its keys at `url`.

    Without a `key`, that of the environment is shown: `OPENAI_API_KEY`, as well as `OPENAI_ORG_ID` and
    `OPENAI_PROJECT_ID` if they are there. Raises `ConfigError` without any.
    """
    key = key or _from_environment("OpenAI", "OPENAI_API_KEY")
    there = endpoint_at(url or OPENAI, key=key, dialect=BETA if beta else GA)
    names = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    ours = {header: os.environ[name] for header, name in names.items() if os.environ.get(name)}
    return replace(there, headers={**there.headers, **ours}).asking(model=model)


def azure(
    endpoint: str | None,
    deployment: str,
    *,
    key: str | None = None,
    token: str | None = None,
    api_version: str | None = None,
) -> Endpoint:
    """Return a deployment of Azure's at `endpoint`, `https://….openai.azure.com` (`AZURE_OPENAI_ENDPOINT`).

    It is reached by the GA interface; a dated `api_version` means the preview's, and its beta. Without a `key`
    or a `token` of Entra's, `AZURE_OPENAI_API_KEY` is shown, or `AZURE_OPENAI_AD_TOKEN` where that is not
    there. Raises `ConfigError` if anything is missing.
    """
    said = _address(endpoint or _from_environment("Azure", "AZURE_OPENAI_ENDPOINT", what="endpoint"))
    dialect = by_version(api_version or "v1")
    path, query = "/openai/v1/realtime", {"model": deployment}
    if dialect is not GA:
        path, query = "/openai/realtime", {"api-version": str(api_version), "deployment": deployment}
    whole = said._replace(path=path, query=urlencode(query), fragment="").geturl()
    return Endpoint(whole, _azures_headers(key, token), dialect)


def _azures_headers(key: str | None, token: str | None) -> dict[str, str]:
    if not (key or token):
        token = os.environ.get("AZURE_OPENAI_AD_TOKEN", "").strip()
        key = os.environ.get("AZURE_OPENAI_API_KEY", "").strip()
    if not (key or token):
        raise _missing("Azure", "AZURE_OPENAI_API_KEY")
    return {"api-key": key} if key else _bearer(token)


def _address(url: str) -> SplitResult:
    """Return the parts of an address, as one of a WebSocket."""
    with suppress(ValueError):
        said = urlsplit(url)
        if said.scheme in SCHEMES and said.hostname and said.port != 0:  # asking for a port that is none raises
            return said._replace(scheme=SCHEMES[said.scheme])
    shown = re.sub("//[^/]*@", "//", url.partition("?")[0])
    raise ConfigError(
        f"{shown!r} is no address of a server; write for example ws://127.0.0.1:8765/v1/realtime."
    )


def _bearer(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _from_environment(whose: str, variable: str, what: str = "key") -> str:
    if value := os.environ.get(variable, "").strip():
        return value
    raise _missing(whose, variable, what)


def _missing(whose: str, variable: str, what: str = "key") -> ConfigError:
    return ConfigError(f"There is no {what} for {whose}; write: export {variable}=the-{what}")
