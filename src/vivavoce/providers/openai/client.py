"""The HTTP client for OpenAI-compatible APIs, which the providers of this folder share.

Keys are read from the environment, and never appear in errors.
"""

import math
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, TypeVar

import anyio
import httpx
import msgspec
from msgspec import Meta

from vivavoce.addresses import http_address, is_plain
from vivavoce.backoff import backoff, jittered
from vivavoce.dates import unix_now
from vivavoce.errors import ConfigError, ProviderError, connection_problem
from vivavoce.protocol.tools import HEADER_NAME
from vivavoce.providers.openai.errors import EndpointError, is_temporary, parameter, parsed, reason
from vivavoce.providers.registry import Plugin, Role, without_weights

PROVIDER = "openai"
OPENAI = "https://api.openai.com/v1"
CONNECTIONS = 200
ANSWER_BYTES = 1024 * 1024
ERROR_CHARS = 300
ERROR_BYTES = 64 * 1024
ATTEMPTS = 5
"""attempts at one request, the first included"""
_PATHS = ("/chat/completions", "/audio/transcriptions", "/audio/speech")
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 4.0

Positive = Annotated[float, Meta(gt=0)]


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint and its requirements.

    `base_url` is the address without `/chat/completions` or the like. `key_env` names the environment variable
    with the key; empty if none is required. `timeout` is the maximum in seconds for connecting, and for a pause
    in the response. `patience` is for how many seconds what failed for a passing reason is retried. `headers`
    are added to requests. With `api_version` the endpoint is Azure's: the key is sent as `api-key`, the version
    in the URL.
    """

    model: str = ""
    base_url: str = OPENAI
    key_env: str = "OPENAI_API_KEY"
    timeout: Positive = 20
    patience: Annotated[float, Meta(ge=0)] = 10
    headers: Mapping[str, str] = {}
    api_version: str = ""

    def __post_init__(self) -> None:
        try:
            address = http_address(self.base_url)
        except ValueError as error:
            raise ValueError(f"base_url: {error}") from error
        if address.query:
            raise ValueError("base_url has no query here; Azure's version is api_version")
        if path := next((path for path in _PATHS if address.path.rstrip("/").endswith(path)), ""):
            raise ValueError(f"base_url ends before {path}, which is added to it")
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} in headers is not the name of a header")
            if not is_plain(value):
                raise ValueError(f"{name} in headers has more than printable ASCII characters")


@dataclass(frozen=True)
class Body:
    """The body of a response as it arrives, and its media type."""

    media_type: str
    data: AsyncIterator[bytes]


class ApiClient:
    """A pooled HTTP client for one endpoint, shared by all conversations."""

    def __init__(self, client: httpx.AsyncClient, secret: str = "", patience: float = 0) -> None:
        self._client, self._secret, self._patience = client, secret, patience

    @classmethod
    def open(
        cls, settings: ApiSettings, *, role: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> "ApiClient":
        """Return a client, not connected yet. Raises `ConfigError` for a missing or invalid key."""
        key = os.environ.get(settings.key_env, "").strip() if settings.key_env else ""
        if settings.key_env and not key:
            raise ConfigError(
                f"[{role}] needs a key for {settings.base_url}; write {settings.key_env}=… in the environment, "
                f'or key_env = "" in [{role}] if the endpoint requires none.'
            )
        if not is_plain(key):
            problem = f"the key in {settings.key_env} has more than printable ASCII characters"
            raise ConfigError(f"[{role}] {problem}; copy it again.")
        headers = dict(settings.headers)
        if key:
            headers |= {"api-key": key} if settings.api_version else {"Authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(
            base_url=settings.base_url.rstrip("/") + "/",
            headers=headers,
            params={"api-version": settings.api_version} if settings.api_version else {},
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            transport=transport,
        )
        return cls(client, key, settings.patience)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def retries(self) -> "Retries":
        """Return the retries of one request."""
        return Retries(self._patience)

    async def post(
        self, path: str, *, data: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]
    ) -> tuple[str, bytes]:
        """Send a form; return media type and body, of at most `ANSWER_BYTES`. Raises `ProviderError`."""
        async with self._sent(self._client.build_request("POST", path, data=data, files=files)) as response:
            answer = await at_most(ANSWER_BYTES, response.aiter_bytes())
        if len(answer) > ANSWER_BYTES:
            raise self.failure(f"answered with more than {ANSWER_BYTES} bytes")
        return _media_type(response), answer

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncIterator[Body]:
        """Send JSON, and yield the response's body as it arrives. Leaving the block closes the connection.

        Raises `ProviderError`, also while the body is read.
        """
        async with self._sent(self._client.build_request("POST", path, json=body)) as response:
            yield Body(_media_type(response), self._read(response))

    async def _read(self, response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for data in response.aiter_bytes():
                yield data
        except httpx.HTTPError as error:
            raise self._lost(error) from error

    @asynccontextmanager
    async def _sent(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        try:
            response = await self._client.send(request, stream=True)
            try:
                if not response.is_success:
                    raise await self._refused(response)
                yield response
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise self._lost(error) from error

    def _lost(self, error: httpx.HTTPError) -> ProviderError:
        if isinstance(error, httpx.TimeoutException):
            return self.failure("took too long to answer", retryable=True)
        return self.failure(f"the connection failed: {connection_problem(error)}", retryable=True)

    async def _refused(self, response: httpx.Response) -> ProviderError:
        status = response.status_code
        if location := response.headers.get("location"):
            return self.failure(f"answered {status}, it has moved to {location}: write that into base_url")
        error = parsed(await at_most(ERROR_BYTES, response.aiter_bytes()))
        wait = _retry_after(response.headers)
        asked = f" (Retry-After: {wait:g} s)" if wait else ""
        retryable = is_temporary(status, error) and response.headers.get("x-should-retry") != "false"
        message = f"answered {status}: {reason(error) or 'no reason given'}{asked}"
        return self.failure(message, retryable=retryable, error=error, retry_after=wait)

    def failure(
        self, message: str, *, retryable: bool = False, error: object = None, retry_after: float = 0
    ) -> EndpointError:
        """Return the error to raise; the key is removed, in case the endpoint repeats it."""
        text = message.encode(errors="replace").decode()  # without halves of characters
        text = text.replace(self._secret, "***") if self._secret else text
        failure = EndpointError(PROVIDER, text[:ERROR_CHARS], retryable=retryable)
        failure.param, failure.detail, failure.retry_after = parameter(error), str(error or ""), retry_after
        return failure


class Retries:
    """Decides whether a request that failed is sent again. Cancelling ends the wait."""

    def __init__(self, patience: float) -> None:
        self._deadline, self._failures = anyio.current_time() + patience, 0

    async def wait(self, error: ProviderError) -> None:
        """Wait until the request may be sent again; raise `error` if it may not, or not in time."""
        self._failures += 1
        asked = error.retry_after if isinstance(error, EndpointError) else 0
        seconds = asked + jittered(backoff(self._failures, first=_FIRST_WAIT, longest=_LONGEST_WAIT))
        too_late = anyio.current_time() + seconds > self._deadline
        if not error.retryable or self._failures >= ATTEMPTS or too_late:
            raise error
        await anyio.sleep(seconds)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a response asks to wait: a number, or the time until a date."""
    for name, scale in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) / scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - unix_now()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return 0.0


def _media_type(response: httpx.Response) -> str:
    media_type: str = response.headers.get("content-type", "")
    return media_type.strip().lower()


async def at_most(limit: int, chunks: AsyncIterator[bytes]) -> bytes:
    """Return a body, cut off soon after `limit` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


S = TypeVar("S", bound=ApiSettings)


def api_plugin(
    role: Role, does: str, settings: type[S], provider: Callable[[ApiClient, S], object]
) -> Plugin[S]:
    """Return the plugin of a provider that is created from a client and its settings."""
    return Plugin(
        role=role,
        name=PROVIDER,
        summary=f"{does} any OpenAI-compatible endpoint: OpenAI, Azure, a server of your own.",
        settings=settings,
        open=without_weights(lambda chosen: provider(ApiClient.open(chosen, role=role), chosen)),
        about=lambda chosen: f"{chosen.model} at {chosen.base_url}",
    )
