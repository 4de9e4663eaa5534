"""Agent Voice Response by HTTP: one POST carries the whole call, both ways at once.

The request's body is the caller, the response's body the answer: 16-bit PCM at 8 kHz, in pieces of any size.
httpx sends a request to its end before it reads the response, so this is written with h11.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar
from urllib.parse import urlsplit

import anyio
import h11
import msgspec
from anyio.abc import ByteStream

from vivavoce.client.telephone.peer import HUNG_UP, QUEUE_SECONDS, CallOptions, CallRecord, whole_samples
from vivavoce.connect.websocket import CONNECT_SECONDS
from vivavoce.errors import ProviderError, connection_problem

PATH = "/speech-to-speech-stream"
RECEIVE_BYTES = 65_536
ERROR_BYTES = 4_096
"""of a refusal that are read"""
GOODBYE_SECONDS = 2.0
"""seconds in which the response must end after the request has"""


@asynccontextmanager
async def dial(url: str, options: CallOptions) -> AsyncIterator["AvrHttp"]:
    """Call `http://host:6030/speech-to-speech-stream`. Raises `ProviderError` if nobody answers."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            if tls is not None:
                stream: ByteStream = await anyio.connect_tcp(parts.hostname or "", port, ssl_context=tls)
            else:
                stream = await anyio.connect_tcp(parts.hostname or "", port)
    except (OSError, TimeoutError) as error:
        raise ProviderError(host, f"cannot be reached ({connection_problem(error)})") from error
    async with stream:
        call = AvrHttp(stream, host)
        target = (parts.path.rstrip("/") or PATH) + (f"?{parts.query}" if parts.query else "")
        with suppress(*HUNG_UP):  # `listen` says so
            await call.begin(target, options)
        yield call


class AvrHttp:
    """One call by POST."""

    queue_seconds: ClassVar[float] = QUEUE_SECONDS
    keys_pause_audio: ClassVar[bool] = True

    def __init__(self, stream: ByteStream, host: str) -> None:
        self._stream, self._host = stream, host
        self._http = h11.Connection(h11.CLIENT)
        self._writing = anyio.Lock()  # audio and the end come from two tasks
        self._ended = anyio.Event()

    async def begin(self, target: str, options: CallOptions) -> None:
        """Send the head of the request."""
        headers = [
            ("Host", self._host),
            ("Content-Type", "audio/x-raw"),
            ("Transfer-Encoding", "chunked"),
            ("X-UUID", options.call_id),
        ]
        if options.key:
            headers.append(("Authorization", f"Bearer {options.key}"))
        await self._write(h11.Request(method="POST", target=target, headers=headers))

    async def send(self, audio: bytes) -> None:
        """Send audio as one chunk of the body."""
        await self._write(h11.Data(data=audio))

    async def press(self, key: str) -> None:
        """Do nothing: this contract has no keys."""

    async def hang_up(self) -> None:
        """End the request, and wait until the server has ended the response."""
        await self._write(h11.EndOfMessage())
        with anyio.move_on_after(GOODBYE_SECONDS) as patience:
            await self._ended.wait()
        if patience.cancelled_caught:
            raise ProviderError(
                self._host, f"did not end its response within {GOODBYE_SECONDS:g} s of the request"
            )

    async def _write(self, event: h11.Event) -> None:
        async with self._writing:
            try:
                data = self._http.send(event)
            except h11.LocalProtocolError as error:  # the connection is in error since something wrong came
                raise anyio.ClosedResourceError from error
            await self._stream.send(data or b"")

    async def listen(self, record: CallRecord) -> None:
        """Receive the response. Raises `ProviderError` if it is none, or another than 200."""
        carry = bytearray()
        try:
            while not isinstance(event := await self._next(), h11.EndOfMessage | h11.ConnectionClosed):
                if isinstance(event, h11.Response) and event.status_code != 200:
                    raise await self._refusal(event.status_code)
                if isinstance(event, h11.Data):
                    record.audio(whole_samples(carry, bytes(event.data)))
        except h11.RemoteProtocolError as error:
            raise ProviderError(self._host, f"broke the call: {error}") from error
        finally:
            self._ended.set()
        if carry:
            record.problem("The answer ended with half a sample.")

    async def _refusal(self, status: int) -> ProviderError:
        body = bytearray()
        with suppress(h11.RemoteProtocolError):
            while isinstance(event := await self._next(), h11.Data) and len(body) < ERROR_BYTES:
                body += event.data
        said = ""
        with suppress(msgspec.DecodeError):
            said = f": {msgspec.json.decode(body, type=dict[str, object]).get('message', '')}"
        return ProviderError(self._host, f"refuses the call (HTTP {status}){said}")

    async def _next(self) -> h11.Event:
        while True:
            event = self._http.next_event()
            if event is h11.PAUSED:  # the response is over
                return h11.EndOfMessage()
            if isinstance(event, h11.Event):
                return event
            try:
                self._http.receive_data(await self._stream.receive(RECEIVE_BYTES))
            except anyio.EndOfStream:
                self._http.receive_data(b"")
            except HUNG_UP as error:
                raise ProviderError(self._host, "broke the connection") from error
