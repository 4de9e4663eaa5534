"""Parts of this server for a foreign Agent Voice Response: transcriber, chat model and synthesizer.

`POST /speech-to-text-stream` (ASR), `/transcribe` (STT), `/prompt-stream` (LLM) and `/text-to-speech-stream`
(TTS), in AVR's own shapes: PCM of 16 bits at 8 kHz, errors `{"message": ...}`. `POST /hangup` and `/transfer`
end or transfer calls of this server by their UUID, as `avr-ami` does; `/call` announces one, as to `avr-core`.
"""

import logging
from contextlib import aclosing
from functools import partial

import anyio
import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vivavoce.audio.rates import G711_RATE, INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler, resample
from vivavoce.audio.sample_aligner import SampleAligner
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import read_body
from vivavoce.protocol.session import TranscriptionSession
from vivavoce.protocol.validation import invalid, missing
from vivavoce.providers.base import SupportsOptions
from vivavoce.session.call import Caller
from vivavoce.session.line import HungUp, Line
from vivavoce.transports.base import address_of, run_until_first
from vivavoce.transports.telephony.avr import FRAME_BYTES, respond_message
from vivavoce.transports.telephony.leg import ID_CHARS, printable
from vivavoce.web.app import Web
from vivavoce.web.endpoints.chat_schema import read_chat_request, to_chat_request
from vivavoce.web.endpoints.transcript_formats import joined
from vivavoce.web.errors import HttpError, status_of
from vivavoce.web.requests import (
    Admission,
    read_bytes,
    respond_while_connected,
    send_chunk,
    start_response,
)

log = logging.getLogger(__name__)

RATES = ("8000", "16000", "24000", "32000", "44100", "48000")
"""sample rates of a recording, in Hz"""
ENDS = (".", "!", "?")
"""What ends a sentence: some clients read each piece of a response as one JSON object, so pieces are few."""


class AvrPrompt(msgspec.Struct):
    """The body of `POST /prompt-stream`, of which `uuid` and others are ignored."""

    messages: msgspec.Raw = msgspec.Raw(b"[]")


class AvrText(msgspec.Struct):
    """The body of `POST /text-to-speech-stream`."""

    text: str = ""


class AvrCall(msgspec.Struct):
    """The body of `POST /hangup` and `/transfer`; `priority` is always 1."""

    uuid: str
    exten: str = ""
    context: str = ""
    priority: int = 1


class AvrAnnouncement(msgspec.Struct):
    """The body of `POST /call`: what is known of a call that is about to come."""

    uuid: str
    payload: dict[str, str | int | float | bool | None] = {}


class AvrParts:
    """An ASGI application. A request counts as running until its response has been sent."""

    def __init__(self, web: Web) -> None:
        self._web, self._runtime, self._limits = web, web.runtime, web.runtime.config.limits
        self._admission = Admission(web.runtime)
        self._paths: dict[str, ASGIApp] = {
            "/speech-to-text-stream": self._transcribe_stream,
            "/transcribe": self._transcribe,
            "/prompt-stream": self._reply,
            "/text-to-speech-stream": self._speak,
        }
        self._control: dict[str, ASGIApp] = {
            "/call": self._announce,
            "/hangup": self._hang_up,
            "/transfer": self._transfer,
        }

    def serves(self, path: str) -> bool:
        """Return whether something is at a path."""
        return path in self._paths or path in self._control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            control = self._control.get(scope["path"])
            with self._admission.admit(needs_models=control is None):
                await (control or self._paths[scope["path"]])(scope, receive, send)
        except ProtocolError as error:
            await respond_message(send, status_of(error), error.message)
        except ProviderError as error:
            log.warning("a request of AVR failed: %s", error)
            await respond_message(send, 500, "The model has failed; try again.")

    # speech to text

    async def _transcribe_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the transcript of each turn, without anything between them, while the audio still comes."""
        address = address_of(scope)
        async with self._web.connect(Caller("avr", address, session=TranscriptionSession())) as line:
            await start_response(send, "text/event-stream")
            await run_until_first(partial(self._append, line, receive), partial(self._send_turns, line, send))
            await send_chunk(send, b"", more=False)

    async def _append(self, line: Line, receive: Receive) -> None:
        aligner, resampler = SampleAligner(), Resampler(G711_RATE, OUTPUT_RATE)
        try:
            while (message := await receive())["type"] == "http.request":
                if audio := aligner.push(message.get("body", b"")):
                    await line.send(e.InputAudioBufferAppend(audio=resampler.push(audio)))
                if not message.get("more_body", False):
                    return
        except HungUp:
            return

    async def _send_turns(self, line: Line, send: Send) -> None:
        async for event in line:
            if isinstance(event, e.TranscriptionCompleted) and event.transcript.strip():
                with anyio.fail_after(self._limits.send_seconds):
                    await send_chunk(send, event.transcript.strip().encode())

    async def _transcribe(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Transcribe a whole utterance, whose rate is in `X-Sample-Rate`."""
        http = Request(scope, receive)
        named = http.headers.get("x-sample-rate", str(G711_RATE))
        if named not in RATES:
            raise invalid("X-Sample-Rate", f"{named[:16]!r} is none of {', '.join(RATES)}.")
        size = round(self._limits.upload_seconds * 2 * int(named))
        pcm = await read_bytes(http, self._limits, "upload_seconds", size)

        async def respond(send: Send) -> None:
            audio = resample(pcm[: len(pcm) // 2 * 2], int(named), INPUT_RATE)
            async with aclosing(self._runtime.speech.transcribe(audio)) as parts:
                words = joined([part async for part in parts])
            await start_response(send, "application/json")
            await send_chunk(send, msgspec.json.encode({"transcription": words}), more=False)

        await respond_while_connected(receive, send, self._limits, respond)

    # answers

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer to messages as JSON objects, a sentence each."""
        body = await read_bytes(Request(scope, receive), self._limits, "body_bytes")
        try:
            prompt = msgspec.json.decode(body, type=AvrPrompt)
        except msgspec.MsgspecError as error:
            raise invalid("messages", f"the body is not as it should be: {error}.") from error
        request = read_chat_request(b'{"messages":%b}' % bytes(prompt.messages), self._limits)
        if not request.messages:
            raise missing("messages")
        chat = self._runtime.speech.providers.chat
        asked = to_chat_request(
            request, self._limits, chat.supported_options if isinstance(chat, SupportsOptions) else ()
        )

        async def respond(send: Send) -> None:
            reply, text = self._runtime.speech.providers.reply(asked, self._limits), ""
            async with aclosing(reply) as pieces:
                first = await anext(pieces, "")  # a failure before it can still have an HTTP status
                await start_response(send, "text/event-stream")
                text = first if isinstance(first, str) else ""
                async for piece in pieces:
                    text += piece if isinstance(piece, str) else ""
                    if text.rstrip().endswith(ENDS):
                        await send_chunk(send, _content(text))
                        text = ""
            if text.strip():
                await send_chunk(send, _content(text))
            await send_chunk(send, b"", more=False)

        await respond_while_connected(receive, send, self._limits, respond)

    # text to speech

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a text as PCM, in pieces of 20 ms."""
        body = await read_bytes(
            Request(scope, receive), self._limits, "speech_chars", self._limits.speech_chars * 8
        )
        text = read_body(body, AvrText).text
        if not text.strip():
            raise missing("text")
        if len(text) > self._limits.speech_chars:
            raise invalid(
                "text", f"it has more than {self._limits.speech_chars} characters (limits.speech_chars)."
            )

        async def respond(send: Send) -> None:
            resampler, audio, has_begun = Resampler(OUTPUT_RATE, G711_RATE), b"", False
            async with aclosing(self._runtime.speech.synthesize(text)) as chunks:
                async for chunk in chunks:
                    if not has_begun:
                        await start_response(send, "audio/l16")
                        has_begun = True
                    audio += resampler.push(chunk)
                    whole = len(audio) // FRAME_BYTES * FRAME_BYTES
                    for at in range(0, whole, FRAME_BYTES):
                        await send_chunk(send, audio[at : at + FRAME_BYTES])
                    audio = audio[whole:]
            if not has_begun:
                raise invalid("text", "there is nothing in it that can be spoken.")
            await send_chunk(send, audio, more=False)

        await respond_while_connected(receive, send, self._limits, respond)

    # control

    async def _announce(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep what is said of a call until it comes, as `avr-core` does."""
        body = await read_bytes(Request(scope, receive), self._limits, "body_bytes")
        asked = read_body(body, AvrAnnouncement)
        if not asked.uuid.strip():
            raise missing("uuid")
        self._web.announced.announce(printable(asked.uuid, ID_CHARS), asked.payload)
        if self._web.webhooks:
            self._web.webhooks.send(printable(asked.uuid, ID_CHARS), "call_initiated", asked.payload)
        await respond_message(send, 200, f"Call with UUID {asked.uuid} announced")

    async def _hang_up(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End a call once what was said has been heard."""
        asked = await self._read_call(scope, receive)
        caller = self._find(asked.uuid)
        await self._runtime.switchboard.leave(caller.id)
        await respond_message(send, 200, f"Call with UUID {asked.uuid} hung up")

    async def _transfer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Transfer a call once what was said has been heard."""
        asked = await self._read_call(scope, receive)
        if not asked.exten:
            raise missing("exten")
        caller = self._find(asked.uuid)
        target = f"{asked.exten}@{asked.context}" if asked.context else asked.exten
        await self._runtime.switchboard.refer(caller.id, target)
        await respond_message(send, 200, f"Call with UUID {asked.uuid} transferred to {target}")

    async def _read_call(self, scope: Scope, receive: Receive) -> AvrCall:
        return read_body(await read_bytes(Request(scope, receive), self._limits, "body_bytes"), AvrCall)

    def _find(self, uuid: str) -> Caller:
        callers = self._runtime.switchboard.callers
        found = next((caller for caller in callers if uuid and caller.external_id == uuid), None)
        if found is None:
            raise HttpError(404, f"Call with UUID {uuid[:64]} not found", code="call_id_not_found")
        return found


def _content(text: str) -> bytes:
    return msgspec.json.encode({"type": "text", "content": text})
