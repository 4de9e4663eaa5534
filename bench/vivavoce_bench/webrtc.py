"""How the bench calls by WebRTC: with aiortc as it is, with the 80 ms of jitter buffer that ears need."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction

import anyio
import httpx
import msgspec
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from vivavoce.audio.rates import OPUS_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce_bench.measures import Note, first_audible
from vivavoce_bench.wires import Dial, Wire, noted

__all__ = ["dial_webrtc"]

_PATIENCE = 15

_STARTED = "output_audio_buffer.started"
_SOUND = "response.output_audio.delta"


class _Microphone(MediaStreamTrack):
    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self._resampler = Resampler(OUTPUT_RATE, OPUS_RATE)  # where aiortc resamples it is 20 ms late
        self._at = 0

    async def recv(self) -> AudioFrame:
        """Give what is said as it is said."""
        sound = self._resampler.push(await self.said.get())
        samples = len(sound) // 2
        frame = AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(sound)
        frame.sample_rate, frame.time_base, frame.pts = OPUS_RATE, Fraction(1, OPUS_RATE), self._at
        self._at += samples
        return frame


class _OverWebRtc:
    def __init__(self) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._microphone = _Microphone()
        self._connection.addTrack(self._microphone)
        self._channel = self._connection.createDataChannel("oai-events")
        self._notes: asyncio.Queue[Note | None] = asyncio.Queue()
        self._playing = ""
        self._channel.on("message", self._hear)
        self._channel.on("close", lambda: self._notes.put_nowait(None))

    async def say(self, frame: bytes) -> None:
        self._microphone.said.put_nowait(frame)

    async def update(self, session: Session) -> None:
        self._channel.send(msgspec.json.encode(e.SessionUpdate(session=session)).decode())

    async def notes(self) -> AsyncIterator[Note]:
        while (note := await self._notes.get()) is not None:
            yield note

    async def call(self, url: str, key: str | None) -> None:
        """Offer, and take the answer. Raises `ProviderError`."""
        await self._connection.setLocalDescription()
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {key}"} if key else {})
        offer = self._connection.localDescription.sdp
        try:
            async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE, trust_env=False) as http:
                answer = await http.post("/v1/realtime/calls", content=offer, headers=headers)
        except httpx.TransportError as error:
            raise ProviderError("viva serve", f"did not take the call: {error}") from error
        if answer.status_code != httpx.codes.CREATED:
            raise ProviderError("viva serve", f"did not take the call: {answer.text}")
        await self._connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))

    async def listen(self) -> None:
        """Note every 20 ms in which something can be heard."""
        track = self._connection.getTransceivers()[0].receiver.track
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, AudioFrame):
                    for note in self._heard(frame):
                        self._notes.put_nowait(note)
        except MediaStreamError:
            return

    async def hang_up(self) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_PATIENCE):
            await self._connection.close()

    def _hear(self, message: str) -> None:
        note = noted(message, anyio.current_time())
        if note.type == _STARTED:
            self._playing = note.response
        self._notes.put_nowait(note)

    def _heard(self, frame: AudioFrame) -> Iterator[Note]:
        left = array("h", bytes(frame.planes[0])[: 4 * frame.samples])[::4].tobytes()  # the left, at 24 kHz
        audible = first_audible(left)
        if audible is not None:
            seconds = frame.samples / frame.sample_rate
            yield Note(anyio.current_time(), _SOUND, self._playing, seconds=seconds, audible=audible)


def dial_webrtc(url: str, key: str | None = None) -> Dial:
    """Return how to call the server at a URL such as `http://127.0.0.1:8765`."""

    @asynccontextmanager
    async def dial() -> AsyncIterator[Wire]:
        wire = _OverWebRtc()
        try:
            await wire.call(url, key)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wire.listen)
                yield wire
                tasks.cancel_scope.cancel()
        finally:
            await wire.hang_up()

    return dial
