"""A recorded question in, the spoken answer out, by one HTTP request: `POST /voice-chat/`."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from vivavoce.audio.encode import CONTENT_TYPES, Encoder, encoder
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.runtime import Runtime
from vivavoce.transports.base import Handshake
from vivavoce.transports.upload import NO_SOUND, AnswerEvent, Upload, UploadedQuestion, UploadTransport
from vivavoce.web.errors import needs_pyav
from vivavoce.web.requests import Admission, respond_while_connected, send_chunk, start_response
from vivavoce.web.uploads import (
    EXTENSIONS,
    answer_format,
    decode_turn,
    header_text,
    read_form,
    turn_recordings,
)

log = logging.getLogger(__name__)

TEXT_SECONDS = 0.05
"""how long the first sound waits for the rest of the text: a short one is then complete in its header"""
TRANSCRIPT_SECONDS = 2.0
"""the same for the transcript, which comes later than the first sound from some upstream servers"""


class VoiceChatEndpoint:
    """An ASGI application that answers one recorded question, and streams the answer while it is made."""

    def __init__(self, runtime: Runtime, admission: Admission, transport: UploadTransport) -> None:
        self.limits, self._admission, self._transport = runtime.config.limits, admission, transport
        self._recordings = turn_recordings(self.limits)
        self._threads = anyio.CapacityLimiter(2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a form; stop when the client disconnects."""
        request = Request(scope, receive)
        with self._admission.admit(needs_models=False):
            form = await read_form(request, self.limits)
            name = answer_format(form.fields.get("format"), request.headers.get("accept", ""))
            patience = inf if form.fields.get("text") == "complete" else TEXT_SECONDS
            respond = partial(self._respond, request, form.recording, name, patience)
            await respond_while_connected(receive, send, self.limits, respond)

    async def _respond(
        self, request: Request, recording: bytes, name: str, patience: float, send: Send
    ) -> None:
        encoding = await self._encoder(name)
        with UploadedQuestion(await decode_turn(self._recordings, recording)) as question:
            upload = Upload(_once(question), _handshake(request))
            answer = SpokenAnswer(question, upload.id, name, encoding, self._threads, patience)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._ask, upload, question)
                await answer.stream(send)
        if question.failure and not answer.is_started:
            raise question.failure

    async def _ask(self, upload: Upload, question: UploadedQuestion) -> None:
        try:
            await self._transport.accept(upload)
        except ProtocolError as refusal:
            question.finish(refusal)

    async def _encoder(self, name: str) -> Encoder:
        try:
            return await anyio.to_thread.run_sync(encoder, name, OUTPUT_RATE, limiter=self._threads)
        except ImportError as error:
            raise needs_pyav(f"format {name}", "format") from error


@dataclass
class SpokenAnswer:
    """The response to a question: headers once the first sound is there, then the sound while it is made.

    A text is complete in its header if it is so `patience` seconds after the first sound.
    """

    question: UploadedQuestion
    conversation_id: str
    format: str
    encoder: Encoder
    threads: anyio.CapacityLimiter
    patience: float
    is_started: bool = False
    _transcript: str | None = None
    _text: str = ""
    _item_id: str = ""
    _sound_at: float | None = None
    _waiting: bytearray = field(default_factory=bytearray)
    """sound that is encoded, but not yet sent"""

    async def stream(self, send: Send) -> None:
        """Send the response; if there is no answer, send nothing; if it breaks off, so does the response."""
        await self._receive(send)
        failure = self.question.failure
        if failure is None and self._sound_at is None:
            failure = self.question.failure = ProtocolError("The answer has no sound.", code=NO_SOUND)
        if failure is None:
            self._waiting += await anyio.to_thread.run_sync(self.encoder.finish, limiter=self.threads)
            await self._start(send, is_complete=True)
            await send_chunk(send, bytes(self._waiting), more=False)
        elif self.is_started:
            log.warning("a spoken answer broke off: %s", failure.message)

    async def _receive(self, send: Send) -> None:
        while True:
            events: Sequence[AnswerEvent] = ()
            with anyio.CancelScope(deadline=self._deadline()) as waiting:
                events = await self.question.receive()
            if not (events or waiting.cancelled_caught):
                return
            await self._encode(b"".join(map(self._on_event, events)))
            if self.is_started or waiting.cancelled_caught:
                await self._start(send, is_complete=False)
                await self._flush(send)

    def _deadline(self) -> float:
        """Return when the response is started at the latest, by the event loop's clock."""
        if self.is_started or self._sound_at is None:
            return inf
        knows_question = self._transcript is not None or isinstance(self.question.content, str)
        return self._sound_at + max(self.patience, 0.0 if knows_question else TRANSCRIPT_SECONDS)

    def _on_event(self, event: AnswerEvent) -> bytes:
        """Process an event, and return its audio."""
        match event:
            case e.TranscriptionCompleted(transcript=words):
                self._transcript = words
            case e.TranscriptionFailed():
                self._transcript = ""
            case e.ResponseOutputAudioDelta(delta=audio):
                return audio
            case e.ResponseOutputAudioTranscriptDelta(delta=words) | e.ResponseOutputTextDelta(delta=words):
                self._text += words if event.item_id == self._item_id else f" {words}"
                self._item_id = event.item_id
        return b""

    async def _encode(self, audio: bytes) -> None:
        if not audio:
            return
        if self._sound_at is None:
            self._sound_at = anyio.current_time()
        self._waiting += await anyio.to_thread.run_sync(self.encoder.push, audio, limiter=self.threads)

    async def _start(self, send: Send, *, is_complete: bool) -> None:
        """Send the headers, unless they were sent."""
        if self.is_started:
            return
        self.is_started = True
        text = self._text if is_complete else f"{self._text.rstrip()}…"
        headers = {
            "content-disposition": f'attachment; filename="answer.{EXTENSIONS[self.format]}"',
            "x-transcript": header_text(self._transcript or ""),
            "x-ai-response": header_text(text),
            "x-ai-response-complete": "true" if is_complete else "false",
            "x-conversation-id": self.conversation_id,
        }
        await start_response(send, CONTENT_TYPES[self.format], headers)

    async def _flush(self, send: Send) -> None:
        sound, self._waiting = bytes(self._waiting), bytearray()
        if sound:
            await send_chunk(send, sound)


async def _once(question: UploadedQuestion) -> AsyncIterator[UploadedQuestion]:
    yield question


def _handshake(request: Request) -> Handshake:
    address = request.client.host if request.client else ""
    return Handshake(address, identity=getattr(request.state, "identity", None))
