"""What a WebRTC caller hears, and when, with a peer in the network's place, so that time can jump."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.line import open_line
from vivavoce.transports.webrtc.transport import _Call
from vivavoce.transports.websocket.handshake import Handshake

pytestmark = pytest.mark.anyio

FRAME = 960
LOUD = b"\1" * 3 * FRAME


@dataclass
class Said:
    """Remembers what was said, and when."""

    sounds: list[tuple[float, bytes]] = field(default_factory=list)

    def say(self, sound: bytes, *, missed: int = 0) -> None:
        self.sounds.append((anyio.current_time(), sound))

    async def frames(self) -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""


class Peer:
    """A connection that is open, on which nothing comes."""

    def __init__(self) -> None:
        self.voice = self.ear = Said()
        self.opened, self.gone = anyio.Event(), anyio.Event()
        self.opened.set()
        self.largest_message = 0

    async def say(self, text: str) -> None: ...

    async def messages(self) -> AsyncIterator[str]:
        await anyio.sleep_forever()
        yield ""

    async def lost(self) -> None:
        await anyio.sleep_forever()


async def said_when(*, after: float) -> list[float]:
    """Return when an answer's frames were said, whose sound came so long `after` the call began."""
    ours, engine = open_line(32)
    peer = Peer()
    async with anyio.create_task_group() as tasks:
        call = _Call(ours, cast("Any", peer), Handshake(), Limits())
        tasks.start_soon(call.hold, anyio.Event())
        began = anyio.current_time()
        await anyio.sleep(after)
        place = {"response_id": "resp", "item_id": "item", "output_index": 0, "content_index": 0}
        await engine.send(e.ResponseOutputAudioDelta(**place, delta=LOUD))  # type: ignore[arg-type]
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
    return [at - began for at, sound in peer.voice.sounds if any(sound)]


@pytest.mark.parametrize("after", [0.106, 0.11, 0.118])
async def test_the_first_sound_of_an_answer_waits_for_no_beat(after: float) -> None:
    assert await said_when(after=after) == pytest.approx([after, after + 0.02, after + 0.04])
