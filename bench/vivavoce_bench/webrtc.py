"""Calls by WebRTC: with aiortc as it is, and the 80 ms of jitter buffer that a listener needs."""

from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import anyio
import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from vivavoce.client import RealtimeClient
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_server, encode_client
from vivavoce.session.line import HungUp, Line, open_line
from vivavoce.transports.webrtc.opus import OpusEncoder
from vivavoce_bench.caller import LIMITS
from vivavoce_bench.measures import audio_delta, first_audible
from vivavoce_bench.server import MeasuredServer, key

ANSWER_SECONDS = 15
DEPTH = 1000
"""events that may wait for the caller, who reads them at once"""


class _Call:
    """Carries the events of a line by a data channel, and its audio by a track."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._microphone = OpusEncoder()
        self.connection.addTrack(self._microphone)
        self._channel = self.connection.createDataChannel("oai-events")
        self._open, self._closed = anyio.Event(), anyio.Event()
        self._playing = ""
        self._channel.on("open", self._open.set)
        self._channel.on("message", self._on_message)
        self._channel.on("close", self._closed.set)

    async def offer(self, url: str, key: str | None) -> None:
        """Send the offer and apply the answer. Raises `ProviderError`."""
        await self.connection.setLocalDescription()
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {key}"} if key else {})
        offer = self.connection.localDescription.sdp
        try:
            async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS, trust_env=False) as http:
                answer = await http.post("/v1/realtime/calls", content=offer, headers=headers)
        except httpx.TransportError as error:
            raise ProviderError("viva serve", f"did not accept the call: {error}") from error
        if answer.status_code != httpx.codes.CREATED:
            raise ProviderError("viva serve", f"did not accept the call: {answer.text}")
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))

    async def send(self) -> None:
        """Send what comes down the line."""
        await self._open.wait()
        async for event in self._line:
            if isinstance(event, e.InputAudioBufferAppend):
                self._microphone.write(event.audio)
            else:
                self._channel.send(encode_client(event))

    async def receive(self) -> None:
        """Put every 20 ms in which something is audible on the line."""
        track = self.connection.getTransceivers()[0].receiver.track
        try:
            while True:
                frame = await track.recv()
                if not isinstance(frame, AudioFrame):
                    continue
                left = array("h", bytes(frame.planes[0])[: 4 * frame.samples])[::4].tobytes()  # at 24 kHz
                if first_audible(left) is not None:
                    self._line.try_send(audio_delta(self._playing, "", left))
        except MediaStreamError:
            return

    async def hang_up_when_closed(self) -> None:
        """End the line when the server closes the channel."""
        async with self._line:
            await self._closed.wait()

    def _on_message(self, message: str) -> None:
        event = decode_server(message)
        if isinstance(event, e.OutputAudioBufferStarted):
            self._playing = event.response_id
        with suppress(HungUp):  # what comes after the caller has left
            if event is not None:
                self._line.try_send(event)


def by_webrtc(server: MeasuredServer) -> MeasuredServer:
    """Return the same server, called by WebRTC. Raises `ConfigError` for an engine in this process."""
    url = server.address

    @asynccontextmanager
    async def connect() -> AsyncIterator[Line]:
        caller_line, server_line = open_line(DEPTH)
        call = _Call(server_line)
        try:
            await call.offer(url, key())
            async with caller_line, anyio.create_task_group() as tasks:
                for task in (call.send, call.receive, call.hang_up_when_closed):
                    tasks.start_soon(task)
                yield caller_line
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(ANSWER_SECONDS):
                await call.connection.close()

    return replace(server, dial=partial(RealtimeClient, connect, limits=LIMITS))
