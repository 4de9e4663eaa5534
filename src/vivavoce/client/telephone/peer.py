"""The contract of a telephone peer: one call to a server, as Asterisk, AVR or a carrier would make it."""

import ssl
from binascii import Error, a2b_base64
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar
from uuid import uuid4

import anyio
from websockets.exceptions import ConnectionClosed

from vivavoce.client.telephone.codecs import Codec
from vivavoce.client.telephone.playout_queue import PlayoutQueue

T = TypeVar("T")

HUNG_UP = (ConnectionClosed, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""raised when something is sent to a server that has hung up"""
KEYS = "0123456789*#ABCD"
QUEUE_SECONDS = 120.0
"""seconds of audio that a peer queues if nothing smaller is known; what is more is lost"""
PROBLEMS = 50
"""different problems that are kept"""


class PeerTranscript(NamedTuple):
    """What somebody said, as the server reports it."""

    role: str
    text: str


@dataclass
class CallRecord:
    """What a server sent in one call. `began` is by the event loop's clock, all else in seconds since then."""

    queue: PlayoutQueue
    began: float = field(default_factory=anyio.current_time)
    transcripts: list[PeerTranscript] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def now(self) -> float:
        """Seconds since the call began."""
        return anyio.current_time() - self.began

    def audio(self, pcm: bytes) -> None:
        """Play whole samples to the caller, after what is still queued."""
        self.queue.push(pcm, self.now)
        self._wake()

    def clear(self) -> None:
        """Drop what was not played yet."""
        self.queue.clear(self.now)
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    def problem(self, sentence: str) -> None:
        """Note that the server did something that its real peer would not accept."""
        if sentence in self.problems or len(self.problems) < PROBLEMS:
            self.problems[sentence] += 1


@dataclass(frozen=True)
class CallOptions:
    """Who calls whom, and how. `key` signs the call where the peer does so, else it is a bearer token.

    `signed_url` is the public address that is signed, if it is not the one that is called; `tls` says which
    certificates are trusted, if not the usual ones.
    """

    codec: Codec
    call_id: str = field(default_factory=lambda: str(uuid4()))
    from_number: str = "+15550100"
    to_number: str = "+15550199"
    key: str | None = None
    signed_url: str | None = None
    tls: ssl.SSLContext | None = None


class TelephonePeer(Protocol):
    """One call. Its methods may raise one of `HUNG_UP`."""

    queue_seconds: ClassVar[float]
    """how much audio the real peer queues before it is played"""
    keys_pause_audio: ClassVar[bool]
    """whether the real peer sends no audio while a key is pressed"""

    async def send(self, audio: bytes) -> None:
        """Send 20 ms, in the codec of the call."""
        ...

    async def press(self, key: str) -> None:
        """Report a key, one of `KEYS`, that was let go."""
        ...

    async def listen(self, record: CallRecord) -> None:
        """Receive until the server hangs up. Raises `ProviderError` if it refuses or breaks the call."""
        ...

    async def hang_up(self) -> None:
        """Tell the server that the caller hangs up. Raises `ProviderError` if it does not let him."""
        ...


Dial = Callable[[str, CallOptions], AbstractAsyncContextManager[TelephonePeer]]
"""Calls a URL. Raises `ProviderError` if that fails, `ConfigError` if it cannot succeed."""


def text_of(message: Mapping[str, object], *names: str) -> str:
    """Return a text in nested JSON objects; empty if there is none."""
    found: object = message
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


@dataclass
class Later(Generic[T]):
    """What a peer reports when the audio before it has been played, in order."""

    due: list[tuple[float, T]] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def add(self, what: T, wait: float) -> None:
        """Report this in so many seconds."""
        self.due.append((anyio.current_time() + wait, what))
        self._wake()

    def take_all(self) -> list[T]:
        """Return what was not reported yet, and forget it."""
        taken, self.due = [what for _, what in self.due], []
        self._wake()
        return taken

    async def run(self, report: Callable[[T], Awaitable[None]]) -> None:
        """Report what is due, until the server hangs up."""
        with suppress(*HUNG_UP):
            while True:
                changed = self.changed
                until = self.due[0][0] if self.due else inf
                if until <= anyio.current_time():
                    await report(self.due.pop(0)[1])
                    continue
                with anyio.CancelScope(deadline=until):
                    await changed.wait()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


def base64_audio(text: str, record: CallRecord) -> bytes:
    """Return what is in base64; nothing, and a problem, if it is none, or the beginning of a file."""
    try:
        audio = a2b_base64(text, strict_mode=True)
    except Error:
        record.problem("A message's audio is no base64.")
        return b""
    if audio.startswith((b"RIFF", b"ID3", b"OggS")):
        record.problem("A message's audio begins with the header of a file, which is played as noise.")
    return audio


def whole_samples(carry: bytearray, data: bytes) -> bytes:
    """Append `data` to what was left over, and return the whole 16-bit samples; half a one is left over."""
    carry += data
    whole = bytes(carry[: len(carry) // 2 * 2])
    del carry[: len(whole)]
    return whole


def keys_in(text: str) -> Iterator[str]:
    """Yield the keys of a text such as `12#`. Raises `ValueError` for what is no key of a telephone."""
    for key in text.upper():
        if key not in KEYS:
            raise ValueError(key)
        yield key
