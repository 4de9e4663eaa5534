"""The HTTP client for OpenAI-compatible APIs, which the providers of this folder share.

Keys are read from the environment, and never appear in errors.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import msgspec

from vivavoce.errors import ConfigError, ProviderError
from vivavoce.providers.chat_chunks import ApiError
from vivavoce.providers.registry import Plugin, Role, without_weights

PROVIDER = "openai"
OPENAI = "https://api.openai.com/v1"
CONNECTIONS = 200
LINE_BYTES = 1024 * 1024
ANSWER_BYTES = 1024 * 1024
ERROR_CHARS = 300
ERROR_BYTES = 64 * 1024


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint and its requirements.

    `base_url` is the address without `/chat/completions` or the like. `key_env` names the environment variable
    with the key; empty if none is required. `timeout` is the maximum in seconds for connecting, and for a pause
    in the response. `headers` are added to requests. With `api_version` the endpoint is Azure's: the key is
    sent as `api-key`, the version in the URL.
    """

    model: str = ""
    base_url: str = OPENAI
    key_env: str = "OPENAI_API_KEY"
    timeout: float = 20
    headers: Mapping[str, str] = {}
    api_version: str = ""


class ApiClient:
    """A pooled HTTP client for one endpoint, shared by all conversations."""

    def __init__(self, client: httpx.AsyncClient, secret: str = "") -> None:
        self._client, self._secret = client, secret

    @classmethod
    def open(cls, settings: ApiSettings, *, role: str) -> "ApiClient":
        """Return a client, not connected yet. Raises `ConfigError` for a missing key or an invalid URL."""
        key = os.environ.get(settings.key_env, "").strip() if settings.key_env else ""
        if settings.key_env and not key:
            raise ConfigError(
                f"[{role}] needs a key for {settings.base_url}; write {settings.key_env}=… in the environment, "
                f'or key_env = "" in [{role}] if the endpoint requires none.'
            )
        if not settings.base_url.startswith(("http://", "https://")):
            raise ConfigError(
                f"[{role}] base_url must begin with http:// or https://, unlike {settings.base_url!r}."
            )
        headers = dict(settings.headers)
        if key:
            headers |= {"api-key": key} if settings.api_version else {"Authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(
            base_url=settings.base_url.rstrip("/") + "/",
            headers=headers,
            params={"api-version": settings.api_version} if settings.api_version else {},
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=CONNECTIONS),
        )
        return cls(client, key)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def post(
        self, path: str, *, data: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]
    ) -> bytes:
        """Send a form and return the response, of at most `ANSWER_BYTES`. Raises `ProviderError`."""
        async with self._sent(self._client.build_request("POST", path, data=data, files=files)) as response:
            answer = await _at_most(ANSWER_BYTES, response)
        if len(answer) > ANSWER_BYTES:
            raise self.failure(f"answered with more than {ANSWER_BYTES} bytes")
        return answer

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send JSON, and yield the response's bytes as they arrive. Leaving the block closes the connection.

        Raises `ProviderError`, also inside the block.
        """
        async with self._sent(self._client.build_request("POST", path, json=body)) as response:
            yield response.aiter_bytes()

    @asynccontextmanager
    async def _sent(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        try:
            response = await self._client.send(request, stream=True)
            try:
                if response.is_error:
                    raise await self._refused(response)
                yield response
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise self.failure("took too long to answer", retryable=True) from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise self.failure(f"the connection failed: {reason}", retryable=True) from error

    async def _refused(self, response: httpx.Response) -> ProviderError:
        body = await _at_most(ERROR_BYTES, response)
        retryable = response.status_code in (408, 409, 429) or response.status_code >= 500
        return self.failure(f"answered {response.status_code}: {_message(body)}", retryable=retryable)

    def failure(self, message: str, *, retryable: bool = False) -> ProviderError:
        """Return the error to raise; the key is removed, in case the endpoint repeats it."""
        text = message.replace(self._secret, "***") if self._secret else message
        return ProviderError(PROVIDER, text[:ERROR_CHARS], retryable=retryable)


async def _at_most(limit: int, response: httpx.Response) -> bytes:
    """Return the body of a response, cut off after `limit` bytes."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


class _Refusal(msgspec.Struct, frozen=True):
    error: ApiError | str = ""


def _message(body: bytes) -> str:
    """Return the message of an endpoint's error, which has various formats."""
    try:
        error = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.MsgspecError:
        error = ""
    text = error.message if isinstance(error, ApiError) else error
    return text or " ".join(body.decode(errors="replace").split()) or "no reason given"


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


class EventLines:
    """Assembles the data of server-sent events from bytes that may be split anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> list[bytes]:
        """Return the data lines that are complete now. Raises `ValueError` for a line that is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            raise ValueError(f"a line is longer than {LINE_BYTES} bytes")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]
