"""A WebRTC peer connection by aiortc. Only this file uses aiortc's private interfaces.

It is imported when the first call arrives. `tests/transports/test_aiortc_internals.py` checks those interfaces.
"""

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
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError

from vivavoce.limits import Limits
from vivavoce.transports.webrtc.opus import OpusDecoder, OpusEncoder
from vivavoce.transports.webrtc.sdp import (
    Ice,
    complete_answer,
    invalid_offer,
    max_message_size,
    without_unsupported,
)

log = logging.getLogger(__name__)

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
_UNACCEPTABLE = (InternalError, InvalidAccessError, InvalidStateError, OperationError)
"""exceptions of aiortc for a description that it cannot parse or negotiate"""
_MAX_BUFFERED_BYTES = 1 << 20
_FLUSH_SECONDS = 1
_CLOSE_SECONDS = 5


class _Connection(RTCPeerConnection):
    """aiortc connects in a task that nobody awaits, so exceptions in it are logged here.

    They occur for descriptions that are valid but inconsistent, and when the caller leaves meanwhile.
    """

    async def _RTCPeerConnection__connect(self) -> None:  # noqa: N802  (its name)
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]  # private to aiortc
        except (*_UNREADABLE, *_UNACCEPTABLE) as error:
            log.info("a WebRTC connection could not be established: %r", error)


class Peer:
    """A caller's peer connection: audio both ways, and messages on a data channel. Leaving the block closes it.

    `opened` is set when the data channel opens, `closed` when nothing can be sent any more.
    """

    def __init__(self, ice: Ice, limits: Limits) -> None:
        """Prepare a connection; `answer` establishes it."""
        servers = [RTCIceServer(ice.stun)] if ice.stun else []
        if ice.turn:
            servers.append(RTCIceServer(ice.turn, ice.turn_username, ice.turn_credential))
        self.encoder, self.decoder = OpusEncoder(), OpusDecoder()
        self.opened, self.closed = anyio.Event(), anyio.Event()
        self.max_message_size = 0
        self._limits = limits
        self._connection = _Connection(RTCConfiguration(iceServers=servers))
        self._connection.on("datachannel", self._on_data_channel)
        self._connection.on("connectionstatechange", self._on_connection_state_change)
        self._channel: RTCDataChannel | None = None
        self._unsent: deque[str] = deque()
        self._messages: deque[str | bytes] = deque()
        self._message_bytes = 0
        self._received, self._flushed = anyio.Event(), anyio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush the data channel, and close the connection."""
        with anyio.CancelScope(shield=True):
            if not self.closed.is_set():
                with anyio.move_on_after(_FLUSH_SECONDS):
                    await self._flush(0)
            with anyio.move_on_after(_CLOSE_SECONDS):
                try:
                    await self._connection.close()
                except _UNREADABLE as raised:  # it cannot close what it created of a partly invalid offer
                    log.info("a WebRTC connection that was never established could not be closed: %r", raised)
            self.encoder.stop()

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer. Raises `ProtocolError` if it is invalid or cannot be negotiated."""
        transceiver = self._connection.addTransceiver(self.encoder)
        capabilities = RTCRtpReceiver.getCapabilities("audio")
        codecs = capabilities.codecs if capabilities else []
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType == "audio/opus"])
        # aiortc's own jitter buffer delays by 80 ms and feeds a thread: the packets are read here instead
        transceiver.receiver._RTCRtpReceiver__jitter_buffer = self.decoder  # type: ignore[attr-defined]  # private
        try:
            description = RTCSessionDescription(without_unsupported(offer), "offer")
            await self._connection.setRemoteDescription(description)
            for other in self._connection.getTransceivers():
                other.direction = "sendrecv" if other is transceiver else "inactive"
            await self._connection.setLocalDescription()
            answer = complete_answer(self._connection.localDescription.sdp, offer)
        except _UNREADABLE as error:
            raise invalid_offer("it cannot be read") from error
        except _UNACCEPTABLE as error:
            raise invalid_offer("nothing in it can be negotiated; audio must be Opus") from error
        self.max_message_size = max_message_size(offer)
        return answer

    async def send(self, text: str) -> None:
        """Send a message once most of the previous ones were sent; until the channel is open, it is kept.

        Raises `ConnectionError` if the channel is closed.
        """
        if not self.opened.is_set() and len(self._unsent) < self._limits.line_depth:
            self._unsent.append(text)
            return
        await self.opened.wait()
        if self._channel is None or self._channel.readyState != "open":
            raise ConnectionError("the data channel is closed")
        self._channel.send(text)
        await self._flush(_MAX_BUFFERED_BYTES)

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield the client's messages as they arrive."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                self._message_bytes -= len(message)
                yield message
            self._received = anyio.Event()
            await self._received.wait()

    async def wait_until_lost(self) -> None:
        """Return when no packet has come for `limits.webrtc_silence_seconds`."""
        before = -1
        while True:
            stats = (await self._connection.getStats()).values()
            received = sum(one.packetsReceived for one in stats if one.type == "transport")
            if received == before:
                return
            before = received
            await anyio.sleep(self._limits.webrtc_silence_seconds)

    async def _flush(self, rest: int) -> None:
        """Wait until no more than `rest` bytes are buffered."""
        channel = self._channel
        while channel and channel.readyState == "open" and channel.bufferedAmount > rest:
            if self._flushed.is_set():  # several tasks may wait for it
                self._flushed = anyio.Event()
            channel.bufferedAmountLowThreshold = rest
            await self._flushed.wait()

    # callbacks of aiortc

    def _on_data_channel(self, channel: RTCDataChannel) -> None:
        """Use the first channel for events, whatever its label is; clients call it `oai-events`."""
        if self._channel is not None:
            return
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", self._on_close)
        channel.on("bufferedamountlow", lambda: self._flushed.set())
        while self._unsent:
            channel.send(self._unsent.popleft())
        self.opened.set()

    def _on_message(self, message: str | bytes) -> None:
        limits = self._limits
        self._message_bytes += len(message)
        if len(self._messages) >= limits.events_per_second or self._message_bytes > limits.message_bytes:
            log.info("a WebRTC client sends events faster than they can be processed; its call is ended")
            self._on_close()
            return
        self._messages.append(message)
        self._received.set()

    def _on_connection_state_change(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._on_close()

    def _on_close(self) -> None:
        self.closed.set()
        self._flushed.set()
