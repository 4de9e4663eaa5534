"""Recordings in, spoken answers out, one after the other: `WS /ws/audio/`.

A binary message is a recording, a text message a written question. Each is answered by one binary message, the
answer as a file, or by an `error`. Close codes: 1000 the conversation is over, 1001 the server shuts down, 1008
too many messages, 1009 one is too large.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress

import anyio
import msgspec
from anyio.abc import TaskGroup
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.runtime import Runtime
from vivavoce.session.switchboard import Busy
from vivavoce.transports.base import Handshake, address_of, run_until_first
from vivavoce.transports.upload import AnswerEvent, Upload, UploadedQuestion, UploadTransport
from vivavoce.transports.websocket import GOING_AWAY, NORMAL, accept_websocket
from vivavoce.web.errors import HttpError, error_body, require_ready, status_of
from vivavoce.web.recordings import Recordings
from vivavoce.web.requests import identity_of, read_query
from vivavoce.web.spoken_answers import Encoders, SpokenAnswer
from vivavoce.web.uploads import DEFAULT_FORMAT, AudioSocketQuery, check_size, decode_turn, turn_recordings

POLICY_VIOLATION = 1008
MINUTE = 60.0
WAITING = 1
"""messages that may wait for the one that is being answered"""


class AudioSocketEndpoint:
    """An ASGI application for WebSockets, each of which is one conversation."""

    def __init__(self, runtime: Runtime, transport: UploadTransport) -> None:
        self._runtime, self._transport = runtime, transport
        self._recordings, self._encoders = turn_recordings(runtime.config.limits), Encoders()
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a WebSocket, and answer its recordings until it is closed."""
        await receive()  # `websocket.connect`
        require_ready(self._runtime)
        if self._open >= self._transport.limits.conversations:
            raise Busy(self._transport.limits.conversations)
        connection = HTTPConnection(scope)
        query = read_query(connection, AudioSocketQuery)
        await self._encoders.open(query.format or DEFAULT_FORMAT)  # refused before it is accepted
        await accept_websocket(scope, send)
        address, identity = address_of(connection.scope), identity_of(connection)
        continues = query.conversation or None
        handshake = Handshake(address, identity=identity, continues=continues, store=query.store)
        socket = _AudioSocket(receive, send, query, self._transport.limits)
        self._open += 1
        try:
            await socket.run(self._transport, handshake, self._recordings, self._encoders)
        finally:
            self._open -= 1


class _AudioSocket:
    """One WebSocket. While a message is answered, it is read on, so that a client who leaves is noticed."""

    def __init__(self, receive: Receive, send: Send, query: AudioSocketQuery, limits: Limits) -> None:
        self._receive, self._send, self._query, self._limits = receive, send, query, limits
        self._code: int | None = NORMAL
        self._refusal: HttpError | None = None
        """why the server closes the WebSocket, the last thing that its client is told"""
        self._put, self._contents = anyio.create_memory_object_stream[bytes | str](WAITING)
        self._minute, self._count = anyio.current_time(), 0

    async def run(
        self, transport: UploadTransport, handshake: Handshake, recordings: Recordings, encoders: Encoders
    ) -> None:
        """Answer messages until one side ends that; then close the WebSocket, if it is open."""

        async def converse() -> None:
            async with (
                anyio.create_task_group() as answering,
                aclosing(self._questions(recordings, encoders, answering)) as questions,
            ):
                await self._converse(transport, handshake, questions)

        with self._put, self._contents:
            if await run_until_first(self._receive_all, converse, transport.closing.wait):
                self._code = None
        if self._code == NORMAL and transport.closing.is_set():
            self._code = GOING_AWAY
        if self._code is not None:
            with anyio.move_on_after(self._limits.send_seconds), suppress(OSError):
                if self._refusal:
                    await self._send_failure(self._refusal)
                await self._send({"type": "websocket.close", "code": self._code})

    # from the client

    async def _receive_all(self) -> None:
        while (message := await self._receive())["type"] == "websocket.receive":
            if not self._count_message():
                most = self._limits.responses_per_minute
                problem = f"{most} messages a minute are allowed (limits.responses_per_minute); connect again."
                self._refusal = HttpError(429, problem, code="rate_limit_exceeded")
                self._code = POLICY_VIOLATION
                return
            content, text = message.get("bytes"), message.get("text")
            if content is None:  # the server passes text on as it was received
                content = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
            try:
                self._put.send_nowait(content)
            except anyio.WouldBlock:
                problem = "This message is dropped: two are being answered; send the next one after an answer."
                await self._send_failure(HttpError(429, problem, code="conversation_busy"))
        self._code = None

    def _count_message(self) -> bool:
        now = anyio.current_time()
        if now - self._minute >= MINUTE:
            self._minute, self._count = now, 0
        self._count += 1
        return self._count <= self._limits.responses_per_minute

    # questions

    async def _converse(
        self, transport: UploadTransport, handshake: Handshake, questions: AsyncIterator[UploadedQuestion]
    ) -> None:
        """Begin the conversation with the first question, so that nobody is greeted who asks nothing."""
        async for first in questions:
            upload = Upload(_chain(first, questions), handshake, must_continue=True)
            try:
                await transport.accept(upload)
                return
            except ProtocolError as refusal:
                first.finish(refusal)

    async def _questions(
        self, recordings: Recordings, encoders: Encoders, answering: TaskGroup
    ) -> AsyncGenerator[UploadedQuestion, None]:
        async for content in self._contents:
            try:
                question = UploadedQuestion(await self._read(content, recordings))
            except ProtocolError as error:
                await self._send_failure(error)
                continue
            answered = anyio.Event()
            answering.start_soon(self._answer, question, encoders, answered)
            yield question
            await answered.wait()

    async def _read(self, content: bytes | str, recordings: Recordings) -> bytes | str:
        """Return a recording as PCM, or a text. Raises `HttpError`."""
        if isinstance(content, str):
            if not content.strip():
                raise HttpError(400, "This message is empty; send a recording.", code="empty_recording")
            return content
        check_size(len(content), self._limits)
        pcm = await decode_turn(recordings, content)
        await self._send_progress(type="recording", seconds=round(len(pcm) / (2 * OUTPUT_RATE), 3))
        return pcm

    # to the client

    async def _answer(self, question: UploadedQuestion, encoders: Encoders, answered: anyio.Event) -> None:
        name = self._query.format or DEFAULT_FORMAT
        with question:
            answer = SpokenAnswer(question, await encoders.open(name), encoders.threads)
            while (events := await answer.receive()) and answer.size <= self._limits.message_bytes:
                await self._send_progress_of(events)
        if question.failure:
            await self._send_failure(question.failure)
        elif answer.size > self._limits.message_bytes:
            problem = f"The answer is larger than {self._limits.message_bytes:,} bytes (limits.message_bytes)."
            await self._send_failure(HttpError(500, problem, code="answer_too_large"))
        else:
            await self._send_in_time("bytes", answer.pop())
            seconds = round(answer.seconds, 3)
            words = {"transcript": answer.transcript or "", "answer": answer.text.strip()}
            await self._send_progress(type="done", format=name, seconds=seconds, **words, times=answer.times)
        answered.set()

    async def _send_progress_of(self, events: Sequence[AnswerEvent]) -> None:
        for event in events:
            match event:
                case e.TranscriptionCompleted(transcript=words):
                    await self._send_progress(type="transcript", text=words.strip())
                case e.ResponseOutputAudioTranscriptDelta(delta=words) | e.ResponseOutputTextDelta(delta=words):
                    await self._send_progress(type="answer", delta=words)

    async def _send_progress(self, **message: object) -> None:
        """Send progress, if the client wants it."""
        if self._query.progress:
            await self._send_in_time("text", msgspec.json.encode(message).decode())

    async def _send_failure(self, error: ProtocolError) -> None:
        body = error_body(status_of(error), error.message, error.code, error.param)
        await self._send_in_time("text", msgspec.json.encode({"type": "error", **body}).decode())

    async def _send_in_time(self, kind: str, content: bytes | str) -> None:
        with anyio.fail_after(self._limits.send_seconds):
            await self._send({"type": "websocket.send", kind: content})


async def _chain(
    first: UploadedQuestion, others: AsyncIterator[UploadedQuestion]
) -> AsyncIterator[UploadedQuestion]:
    yield first
    async for question in others:
        yield question
