"""A caller by WebRTC with the stock `aiortc`: a microphone, a loudspeaker, a data channel, and patience."""

import json
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import anyio
import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from clients.rules import Direction, check
from clients.rules.order import broken
from clients.talk import sound_of

__all__ = ["SDP", "Phone", "calling", "has", "only"]

RATE = 48_000
FRAME = 960
LOUD = 300
SDP = {"Content-Type": "application/sdp"}

Event = dict[str, Any]


class Microphone(MediaStreamTrack):
    """Says what is to be said, and silence; 20 ms every 20 ms."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.to_say = b""
        self.frames = 0
        self._began: float | None = None

    async def recv(self) -> AudioFrame:
        self._began = self._began or anyio.current_time()
        await anyio.sleep_until(self._began + self.frames / 50)
        said, self.to_say = self.to_say[: 2 * FRAME], self.to_say[2 * FRAME :]
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(said.ljust(2 * FRAME, b"\0"))
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self.frames * FRAME
        self.frames += 1
        return frame


class Phone:
    """Offers, calls, talks, and keeps what comes back: events, and how loud each 20 ms of sound was."""

    def __init__(self, *, direction: str = "sendrecv", channel: str | None = "oai-events") -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.connection.addTransceiver(self.microphone, direction)
        self.score: list[tuple[Direction, Event]] = []
        self.heard: list[int] = []
        """the loudest sample of each 20 ms"""
        self.errors: list[str] = []
        self.location = ""
        self.over = anyio.Event()
        self._news = anyio.Event()
        self._channel = self.connection.createDataChannel(channel) if channel else None
        if self._channel:
            self._channel.on("message", self._hear)
            self._channel.on("close", self.over.set)

    @property
    def events(self) -> list[Event]:
        """What the server has said."""
        return [event for by, event in self.score if by == "server"]

    async def offer(self) -> str:
        await self.connection.setLocalDescription()
        return str(self.connection.localDescription.sdp)

    async def take(self, answer: httpx.Response) -> None:
        """Take the server's answer; it connects then."""
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/sdp"
        self.location = answer.headers["location"]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        self.score.append(("client", {"type": kind, **fields}))
        self.send(json.dumps({"type": kind, **fields}))

    def send(self, message: str | bytes) -> None:
        assert self._channel
        self._channel.send(message)

    def write(self, text: str, **response: Any) -> None:
        """Put a user's words into the conversation, and have them answered."""
        content = [{"type": "input_text", "text": text}]
        self.tell("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        self.tell("response.create", **({"response": response} if response else {}))

    def say(self, name: str) -> None:
        """Let the microphone hear a recording."""
        self.microphone.to_say += sound_of(name, RATE)

    async def until(
        self, done: Callable[[list[Event]], bool], *, since: int = 0, seconds: float = 30
    ) -> list[Event]:
        """Return the events since a moment, once they are what was waited for."""
        with anyio.fail_after(seconds):
            while not done(self.events[since:]):
                await self._news.wait()
        return self.events[since:]

    async def until_heard(self, done: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something is true of what was heard."""
        with anyio.fail_after(seconds):
            while not done():
                await self._news.wait()

    def loud(self) -> list[float]:
        """Return when there was something to be heard, in seconds of sound."""
        return [at / 50 for at, peak in enumerate(self.heard) if peak > LOUD]

    async def until_silent(self, seconds: float) -> float:
        """Wait for so much silence; return the seconds from the first to the last sound."""
        await self.until_heard(lambda: len(self.heard) / 50 > self.loud()[-1] + seconds)
        return self.loud()[-1] - self.loud()[0]

    async def listen(self) -> None:
        """Hear the server's track, until it ends."""
        track = self.connection.getTransceivers()[0].receiver.track
        try:
            while track:
                sound = array("h", bytes((await track.recv()).planes[0])[: 4 * FRAME])
                self.heard.append(max(sound))
                self._tell_news()
        except MediaStreamError:
            return

    def _hear(self, message: str) -> None:
        self.score.append(("server", json.loads(message)))
        self._tell_news()

    def _tell_news(self) -> None:
        self._news.set()
        self._news = anyio.Event()


@asynccontextmanager
async def calling(
    url: str, path: str = "/realtime/calls?model=gpt-realtime", *, session: Event | None = None, **kind: Any
) -> AsyncIterator[Phone]:
    """Call, wait for `session.created`, and hang up in the end; then check all that the server said."""
    phone = Phone(**kind)
    try:
        async with httpx.AsyncClient(base_url=url) as http, anyio.create_task_group() as tasks:
            sdp = await phone.offer()
            if session is None:
                answer = await http.post(path, content=sdp, headers=SDP)
            else:
                parts = {
                    "sdp": (None, sdp, "application/sdp"),
                    "session": (None, json.dumps(session), "application/json"),
                }
                answer = await http.post(path, files=parts)
            await phone.take(answer)
            await phone.until(lambda events: bool(events))
            tasks.start_soon(phone.listen)
            yield phone
            tasks.cancel_scope.cancel()
    finally:
        await phone.connection.close()
    if path.startswith("/realtime?"):  # the beta dialect; its objects are checked over WebSockets
        assert broken(phone.score, beta=True, plays=True) == []
    else:
        check(phone.score, errors=tuple(phone.errors), plays=True)


def has(kind: str, times: int = 1) -> Callable[[list[Event]], bool]:
    """Wait for so many events of a type."""
    return lambda events: sum(event["type"] == kind for event in events) >= times


def only(events: list[Event], kind: str) -> Event:
    """Return the one event of a type."""
    (event,) = [event for event in events if event["type"] == kind]
    return event
