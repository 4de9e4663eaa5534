"""The other end of a WebRTC call, by aiortc. The one file that knows it; it is imported when somebody calls."""

import logging
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import anyio
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError

from vivavoce.limits import Limits
from vivavoce.transports.webrtc.opus import OpusDecoder, OpusEncoder
from vivavoce.transports.webrtc.sdp import Ice, largest_message, taken, with_refusals, wrong_offer

__all__ = ["Peer"]

log = logging.getLogger(__name__)

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
_UNFIT = (InternalError, InvalidAccessError, InvalidStateError, OperationError)
"""what aiortc raises for a description that it cannot read, and for one that it cannot agree to"""
_UNSENT_BYTES = 1 << 20
_FAREWELL_SECONDS = 1
_CLOSING_SECONDS = 5


class _Connection(RTCPeerConnection):
    """aiortc's, which connects in a task that nobody awaits: what goes wrong there is told of, and ends there.

    It goes wrong for descriptions that could be read but make no sense, and when the caller leaves meanwhile.
    """

    async def _RTCPeerConnection__connect(self) -> None:  # noqa: N802  (its name)
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]
        except (*_UNREADABLE, *_UNFIT) as error:
            log.info("no connection to a WebRTC caller could be made: %r", error)


class Peer:
    """A caller's connection: their sound and their messages, ours to them. Leaving the block closes it.

    `opened` is set when messages can pass, `gone` when nothing can any more.
    """

    def __init__(self, ice: Ice, limits: Limits) -> None:
        """Prepare a connection; `answer` begins it."""
        servers = [RTCIceServer(ice.stun)] if ice.stun else []
        if ice.turn:
            servers.append(RTCIceServer(ice.turn, ice.turn_username, ice.turn_credential))
        self.voice, self.ear = OpusEncoder(), OpusDecoder()
        self.opened, self.gone = anyio.Event(), anyio.Event()
        self.largest_message = 0
        self._limits = limits
        self._connection = _Connection(RTCConfiguration(iceServers=servers))
        self._channel: RTCDataChannel | None = None
        self._unsaid: deque[str] = deque()
        self._heard: deque[str | bytes] = deque()
        self._heard_bytes = 0
        self._news = anyio.Event()
        self._sent = anyio.Event()
        self._connection.on("datachannel", self._take)
        self._connection.on("connectionstatechange", self._look)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what was said last arrive, and leave."""
        with anyio.CancelScope(shield=True):
            if not self.gone.is_set():
                with anyio.move_on_after(_FAREWELL_SECONDS):
                    await self._until_sent(0)
            with anyio.move_on_after(_CLOSING_SECONDS):
                await self._close()
            self.voice.stop()

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer. Raises `ProtocolError` if it cannot be read, or is not for us."""
        ours = self._connection.addTransceiver(self.voice)
        ours.setCodecPreferences(_opus())
        # aiortc's jitter buffer is for ears, 80 ms long, and leads to a thread: we take the packets ourselves
        ours.receiver._RTCRtpReceiver__jitter_buffer = self.ear  # type: ignore[attr-defined]
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(taken(offer), "offer"))
            for other in self._connection.getTransceivers():
                other.direction = "sendrecv" if other is ours else "inactive"
            await self._connection.setLocalDescription()
            answer = with_refusals(self._connection.localDescription.sdp, offer)
        except _UNREADABLE as error:
            raise wrong_offer("it cannot be read") from error
        except _UNFIT as error:
            raise wrong_offer("there is nothing in it that we can agree to; audio must be Opus") from error
        self.largest_message = largest_message(offer)
        return answer

    async def say(self, text: str) -> None:
        """Send a message, once most of what went before has left; or keep it until the channel is open.

        Raises `ConnectionError` if the channel is closed.
        """
        if not self.opened.is_set() and len(self._unsaid) < self._limits.line_depth:
            self._unsaid.append(text)
            return
        await self.opened.wait()
        if self._channel is None or self._channel.readyState != "open":
            raise ConnectionError("the data channel is closed")
        self._channel.send(text)
        await self._until_sent(_UNSENT_BYTES)

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield what the caller says on the data channel."""
        while True:
            while self._heard:
                message = self._heard.popleft()
                self._heard_bytes -= len(message)
                yield message
            self._news = anyio.Event()
            await self._news.wait()

    async def lost(self) -> None:
        """Return when nothing has come for `limits.lost_seconds`."""
        before = -1
        while (now := await self._received()) != before:
            before = now
            await anyio.sleep(self._limits.lost_seconds)

    async def _close(self) -> None:
        try:
            await self._connection.close()
        except _UNREADABLE as error:  # of half an offer that it could not read, aiortc cannot let go
            log.info("a connection that was never made could not be closed: %r", error)

    async def _received(self) -> int:
        stats = await self._connection.getStats()
        return sum(one.packetsReceived for one in stats.values() if one.type == "transport")

    async def _until_sent(self, rest: int) -> None:
        channel = self._channel
        while channel and channel.readyState == "open" and channel.bufferedAmount > rest:
            if self._sent.is_set():  # several may wait for it
                self._sent = anyio.Event()
            channel.bufferedAmountLowThreshold = rest
            await self._sent.wait()

    # what aiortc tells

    def _take(self, channel: RTCDataChannel) -> None:
        """Take the first channel for events, whatever it is called; clients call it `oai-events`."""
        if self._channel is not None:
            return
        self._channel = channel
        channel.on("message", self._hear)
        channel.on("close", self._leave)
        channel.on("bufferedamountlow", lambda: self._sent.set())
        while self._unsaid:
            channel.send(self._unsaid.popleft())
        self.opened.set()

    def _hear(self, message: str | bytes) -> None:
        self._heard_bytes += len(message)
        if len(self._heard) >= self._limits.events_per_second or self._heard_bytes > self._limits.message_bytes:
            log.info("a caller sends events faster than they can be heard; their call is over")
            self._leave()
            return
        self._heard.append(message)
        self._news.set()

    def _look(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._leave()

    def _leave(self) -> None:
        self.gone.set()
        self._sent.set()


def _opus() -> list[RTCRtpCodecCapability]:
    known = RTCRtpReceiver.getCapabilities("audio")
    return [codec for codec in known.codecs if codec.mimeType == "audio/opus"] if known else []
