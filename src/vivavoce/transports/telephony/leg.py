"""The leg of a call: the connection of a telephone peer, whatever it speaks.

A peer (a PBX or a carrier) brings one call per leg. Its module reads and writes its framing, and nothing else;
the call itself is in `call`.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from vivavoce.errors import ProtocolError
from vivavoce.protocol.events import Event
from vivavoce.session.call import Refer

KEYS = frozenset("0123456789*#ABCD")
"""the keys of telephones (RFC 4733, events 0 to 15)"""


@dataclass(frozen=True)
class CallDetails:
    """What a peer says of a call. All of it may come from the caller, so nothing of it is trusted.

    `id` is the peer's, such as a UUID. `caller` and `called` are numbers, if they are known. `metadata` is what
    else was said, by name.
    """

    id: str
    caller: str = ""
    called: str = ""
    address: str = ""
    """the peer's IP address"""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyPressed:
    """The caller has pressed a key of `KEYS`."""

    key: str


@dataclass(frozen=True)
class MarkPlayed:
    """The peer has played everything that was sent before this mark."""

    name: str


ID_CHARS = 128
METADATA_FIELDS, METADATA_CHARS = 32, 512


def printable(text: str, limit: int = METADATA_CHARS) -> str:
    """Return what of a text is no control character, of at most `limit` characters."""
    return "".join(filter(str.isprintable, text)).strip()[:limit]


def printable_metadata(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the first `METADATA_FIELDS` pairs by name, printable and short; the first of a name counts."""
    found: dict[str, str] = {}
    for name, text in islice(pairs, METADATA_FIELDS):
        found.setdefault(name[:ID_CHARS], printable(text))
    return found


def plain_name(name: str) -> str:
    """Return a field's name however it is written: `CallSid`, `callSid` and `call_sid` are one."""
    return name.replace("_", "").lower()


LegEvent = bytes | KeyPressed | MarkPlayed
"""What comes from a peer: audio (16-bit little-endian mono PCM at the leg's rate, whole samples), or others."""


class Leg(Protocol):
    """One call of a telephone peer. What is sent to a peer that has gone is dropped, or raises an `OSError`."""

    name: str
    """the transport's name: `Caller.transport`"""
    details: CallDetails
    rate: int
    """the sample rate of its audio, both ways, in Hz"""
    has_clock: bool
    """Whether the peer queues audio and plays it by a clock of its own. To others it is sent in real time."""
    has_marks: bool
    """whether a peer with a clock reports marks"""
    keep_alive_seconds: float | None
    """seconds of silence after which some must be sent, so that the call is not dropped; None is never"""
    frame_bytes: int
    """the audio of a peer with a clock is sent in multiples of this"""

    @property
    def refer(self) -> Refer | None:
        """Transfers the call; None where nothing can, so that no model is offered a transfer."""
        ...

    def receive(self) -> AsyncIterator[LegEvent]:
        """Yield what comes from the peer, until the caller hangs up."""
        ...

    async def send_audio(self, audio: bytes) -> None:
        """Send PCM to be played. Raises `OSError` if it cannot be written in time."""
        ...

    async def send_mark(self, name: str) -> None:
        """Have the peer report when all audio before this was played."""
        ...

    async def clear(self) -> None:
        """Have a peer with a clock drop what it has not played."""
        ...

    async def on_event(self, event: Event) -> None:
        """Observe a server event; some peers are told of transcripts and errors."""
        ...

    async def answer(self) -> None:
        """Note that the call is answered: what is sent from now on is heard."""
        ...

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """End the call from our side, as this peer expects it. `refusal` is why it was not answered."""
        ...
