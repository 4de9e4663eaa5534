"""What is sent to a WebRTC caller, and when, with a peer in the network's place, so that time can jump."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.line import open_line
from vivavoce.transports.base import Handshake
from vivavoce.transports.webrtc.transport import _Call

pytestmark = pytest.mark.anyio

FRAME = 960
LOUD = b"\1" * 3 * FRAME


@dataclass
class Codec:
    """Remembers what was written, and when."""

    written: list[tuple[float, bytes]] = field(default_factory=list)

    def write(self, audio: bytes, *, skipped: int = 0) -> None:
        self.written.append((anyio.current_time(), audio))

    async def frames(self) -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""


class Peer:
    """A connection that is open, on which nothing comes."""

    def __init__(self) -> None:
        self.encoder = self.decoder = Codec()
        self.opened, self.closed = anyio.Event(), anyio.Event()
        self.opened.set()
        self.max_message_size = 0

    async def send(self, text: str) -> None: ...

    async def messages(self) -> AsyncIterator[str]:
        await anyio.sleep_forever()
        yield ""

    async def wait_until_lost(self) -> None:
        await anyio.sleep_forever()


async def sent_when(*, after: float) -> list[float]:
    """Return when an answer's frames were sent, whose audio came so long `after` the call began."""
    ours, engine = open_line(32)
    peer = Peer()
    async with anyio.create_task_group() as tasks:
        call = _Call(ours, cast("Any", peer), Handshake(), Limits())
        tasks.start_soon(call.run, anyio.Event())
        began = anyio.current_time()
        await anyio.sleep(after)
        place = {"response_id": "resp", "item_id": "item", "output_index": 0, "content_index": 0}
        await engine.send(e.ResponseOutputAudioDelta(**place, delta=LOUD))  # type: ignore[arg-type]
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
    return [at - began for at, audio in peer.encoder.written if any(audio)]


@pytest.mark.parametrize("after", [0.106, 0.11, 0.118])
async def test_the_first_audio_of_a_response_does_not_wait_for_the_next_frame(after: float) -> None:
    assert await sent_when(after=after) == pytest.approx([after, after + 0.02, after + 0.04])
