"""A recorded question in, the spoken answer out, by one HTTP request: `POST /voice-chat/`."""

import logging
from functools import partial
from math import inf

import anyio
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from vivavoce.audio.encode import CONTENT_TYPES
from vivavoce.errors import first_failure
from vivavoce.limits import Limits
from vivavoce.transports.base import Handshake, address_of
from vivavoce.transports.upload import UploadedQuestion, UploadTransport
from vivavoce.web.requests import (
    Admission,
    identity_of,
    respond_while_connected,
    send_chunk,
    start_response,
)
from vivavoce.web.spoken_answers import Encoders, SpokenAnswer
from vivavoce.web.upload_calls import UploadCall, UploadCalls
from vivavoce.web.uploads import (
    EXTENSIONS,
    AnswerFormat,
    VoiceChatQuery,
    accepted_format,
    decode_turn,
    header_text,
    read_form,
    turn_recordings,
)

log = logging.getLogger(__name__)

TEXT_SECONDS = 0.02
"""how long the first sound waits for the rest of the text: a short one is then complete in its header"""
TRANSCRIPT_SECONDS = 2.0
"""the same for the transcript, which comes later than the first sound from some upstream servers"""
WAITING_BYTES = 8 * 1024 * 1024
"""of sound that may wait for the text"""
CONVERSATION, COOKIE = "x-conversation-id", "viva_conversation"
NEW = "new"


class VoiceChatEndpoint:
    """An ASGI application that answers one recorded question, and streams the answer while it is made.

    The task of a request that begins a call runs it until it has ended, also after the response.
    """

    def __init__(self, limits: Limits, admission: Admission, transport: UploadTransport) -> None:
        self._limits, self._admission = limits, admission
        self._recordings, self._encoders = turn_recordings(limits), Encoders()
        self._calls = UploadCalls(transport, limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a form; stop when the client disconnects."""
        request = Request(scope, receive)
        try:
            async with anyio.create_task_group() as tasks:
                with self._admission.admit(needs_models=False):
                    recording, query = await read_form(request, self._limits, VoiceChatQuery)
                    respond = partial(self._respond, request, recording, query, tasks)
                    await respond_while_connected(receive, send, self._limits, respond)
        except ExceptionGroup as failures:
            raise first_failure(failures) from None

    async def _respond(
        self, request: Request, recording: bytes, query: VoiceChatQuery, tasks: TaskGroup, send: Send
    ) -> None:
        name = query.format or accepted_format(request.headers.get("accept", ""))
        patience = inf if query.text == "complete" else TEXT_SECONDS
        encoding = await self._encoders.open(name)
        with UploadedQuestion(await decode_turn(self._recordings, recording)) as question:
            call = self._call(request, query, tasks)
            call.ask(question)
            answer = SpokenAnswer(question, encoding, self._encoders.threads)
            headers = _headers(name, call.upload.id, is_secure=request.url.scheme == "https")
            is_started = await _stream(answer, patience, headers, send)
        if question.failure and not is_started:
            raise question.failure

    def _call(self, request: Request, query: VoiceChatQuery, tasks: TaskGroup) -> UploadCall:
        """Return the call of the conversation that a client names, or a new one that runs among `tasks`."""
        named = query.conversation or request.headers.get(CONVERSATION, "")
        earlier = "" if named == NEW else named or request.cookies.get(COOKIE, "")
        identity = identity_of(request)
        if call := self._calls.find(earlier, identity):
            return call
        handshake = Handshake(
            address_of(request.scope), identity=identity, continues=earlier or None, store=query.store
        )
        call = self._calls.open(handshake, must_continue=bool(named))
        tasks.start_soon(self._calls.run, call)
        return call


async def _stream(answer: SpokenAnswer, patience: float, headers: dict[str, str], send: Send) -> bool:
    """Send headers once the first sound is there, then the sound while it is made. Return whether that began.

    The text is complete in its header if it is so `patience` seconds after the first sound. If the answer
    breaks off, so does the response.
    """
    sound_at: float | None = None
    is_started = is_complete = False
    while not is_complete:
        until = inf
        if sound_at is not None and not is_started:
            until = sound_at + max(patience, 0 if answer.knows_question else TRANSCRIPT_SECONDS)
        events = await answer.receive(until)
        is_complete = events is not None and not events
        if failure := answer.question.failure:
            if is_started:
                log.warning("a spoken answer broke off: %s", failure.message)
            return is_started
        if sound_at is None and answer.seconds:
            sound_at = anyio.current_time()
        if not is_started and (is_complete or events is None or answer.size > WAITING_BYTES):
            is_started = True
            await start_response(send, headers | _words(answer, is_complete=is_complete))
        if is_started and (sound := answer.pop()):
            await send_chunk(send, sound)
    await send_chunk(send, b"", more=False)
    return True


def _headers(name: AnswerFormat, conversation_id: str, *, is_secure: bool) -> dict[str, str]:
    cookie = f"{COOKIE}={conversation_id}; Path=/voice-chat; HttpOnly; SameSite=Strict"
    return {
        "content-type": CONTENT_TYPES[name],
        "content-disposition": f'attachment; filename="answer.{EXTENSIONS[name]}"',
        CONVERSATION: conversation_id,
        "set-cookie": f"{cookie}; Secure" if is_secure else cookie,
    }


def _words(answer: SpokenAnswer, *, is_complete: bool) -> dict[str, str]:
    return {
        "x-transcript": header_text(answer.transcript or ""),
        "x-ai-response": header_text(answer.text if is_complete else f"{answer.text.rstrip()}…"),
        "x-ai-response-complete": "true" if is_complete else "false",
        "server-timing": ", ".join(f"{stage};dur={1000 * at:.0f}" for stage, at in answer.times.items()),
    }
