"""The cascade engine: transcriber, chat model, synthesizer. `_Conversation._handle` lists the client events."""

import dataclasses
import logging
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from math import inf

import anyio
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.backoff import backoff
from vivavoce.dates import unix_now
from vivavoce.engines.cascade.context import CascadeContext, Providers
from vivavoce.engines.cascade.input_audio import InputAudioStream
from vivavoce.engines.cascade.input_turns import InputTurns
from vivavoce.engines.cascade.items import Items
from vivavoce.engines.cascade.mcp_servers import named
from vivavoce.engines.cascade.response_task import Apology
from vivavoce.engines.cascade.responses import Responses
from vivavoce.engines.cascade.settings import InputProcessing, ResponseSettings
from vivavoce.engines.cascade.transcripts import Transcripts
from vivavoce.engines.sessions import (
    create_transcription,
    error_for,
    expired,
    not_a_client_event,
    update_transcription,
)
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.mcp.servers import McpServers
from vivavoce.protocol import events as e
from vivavoce.protocol.items import McpApprovalResponse
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import AnySession, Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT, check_response, merge
from vivavoce.providers.base import ChatRequest, Prefillable
from vivavoce.session.line import Line
from vivavoce.text.sentences import Segmenter

log = logging.getLogger(__name__)

APOLOGY = "I'm sorry, I couldn't answer that just now. Could you say it again?"


@dataclass
class Cascade:
    """An engine that answers conversations with a transcriber, a chat model and a synthesizer.

    `session` contains the settings of a conversation whose client requests none.
    """

    providers: Providers
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    apology: Apology = field(default_factory=lambda: Apology(APOLOGY))
    mcp: McpServers = field(default_factory=McpServers)
    _is_cold: bool = field(default=False, init=False)
    """whether `warm_up` has failed"""
    _warming_up: anyio.Lock = field(default_factory=anyio.Lock, init=False)

    async def warm_up(self) -> None:
        """Synthesize the apology and prefill the chat model, so that the first caller does not wait for that.

        Raises `ProviderError` if a model fails; it is then tried again during the next conversations.
        """
        self._is_cold = True
        settings = ResponseSettings.of(self.session)
        chat, spoken = self.providers.chat, settings.modality == "audio"
        if settings.tools and isinstance(chat, Prefillable):
            await chat.prefill(
                ChatRequest((), settings.instructions, settings.tools, settings.tool_choice, spoken=spoken)
            )
        segmenter = Segmenter()  # when it is first used, it compiles its rules, which takes 0.1 s
        clauses = [*segmenter.push(self.apology.text), *segmenter.flush()]
        words = " ".join(clause.spoken.words for clause in clauses)
        audio = self.providers.synthesize(words, self.limits, voice=settings.voice, speed=settings.speed)
        async with aclosing(audio) as chunks:
            apology = [chunk async for chunk in chunks if isinstance(chunk, bytes)]
        self.apology.audio = b"".join(apology)
        self._is_cold = False

    async def _warm_up_again(self) -> None:
        """Try again what failed at the start, until it works; one conversation after the other does it."""
        async with self._warming_up:
            for attempt in count(1):
                if not self._is_cold:
                    return
                try:
                    await self.warm_up()
                except ProviderError as error:
                    log.warning("%s; it is tried again", error)
                    await anyio.sleep(backoff(attempt, first=1, longest=60))

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        """Serve one conversation that begins with `session`. Cancelling ends all tasks of it."""
        async with line, anyio.create_task_group() as tasks:
            if self._is_cold:
                tasks.start_soon(self._warm_up_again)
            own = self.session
            if isinstance(session, Session):
                own = merge(own, session, tools=self.limits.tools)
            expires_at = unix_now() + round(self.limits.conversation_minutes * 60)
            own = replace(own, id=e.new_id("sess"), object="realtime.session", expires_at=expires_at)
            limits = (
                self.limits if line.in_real_time else dataclasses.replace(self.limits, audio_ahead_seconds=inf)
            )
            context = CascadeContext(line, self.providers, limits, own, tasks)
            if isinstance(session, TranscriptionSession):
                context.transcription = create_transcription(own, session)
            await _Conversation(context, self.apology, self.mcp).run()
            tasks.cancel_scope.cancel()


class _Conversation:
    """One conversation, from its first event to its last."""

    def __init__(self, context: CascadeContext, apology: Apology, mcp: McpServers) -> None:
        self.context = context
        self.responses = Responses(context, apology, mcp)
        self.input_audio = InputAudioStream(
            context.providers.vad.detector(),
            InputProcessing.of(context.client_session),
            is_audible=lambda: self.responses.audible and self.input_audio.settings.interrupt_response,
            is_asking=lambda: self.responses.asks,
            input_buffer_seconds=context.limits.input_buffer_seconds,
            denoising_model=context.providers.denoiser,
        )
        self.transcripts = Transcripts(context, self.input_audio)
        self.turns = InputTurns(context, self.responses, self.input_audio, self.transcripts)
        self.items = Items(context, self.responses, self.transcripts)

    async def run(self) -> None:
        await self.context.send(e.SessionCreated(session=self.context.client_session))
        if self.context.transcription is None:
            await self.responses.mcp_servers.update(named(self.context.session.tools))
        if self.context.session.tools:  # an assistant's: no client has to send them first
            self.responses.read_ahead()
        with anyio.move_on_after(self.context.limits.conversation_minutes * 60) as lifetime:
            async for event in self.context.line:
                try:
                    await self._handle(event)
                except ProtocolError as error:
                    await self.context.line.refuse(error_for(event, error))
        if lifetime.cancelled_caught:
            await self.context.send(expired(self.context.limits))

    async def _handle(self, event: e.Event) -> None:
        match event:
            case e.InputAudioBufferAppend(audio=audio):
                await self.turns.append(audio)
            case e.InputAudioBufferCommit():
                await self.turns.commit()
            case e.InputAudioBufferClear():
                await self.turns.clear()
            case e.SessionUpdate(session=update):
                await self._update(update)
            case e.ConversationItemCreate(item=McpApprovalResponse() as item, previous_item_id=previous):
                mcp_call = self.responses.mcp_servers.awaiting(item)
                await self.items.create(item, previous)
                mcp_call.decide(item)
            case e.ConversationItemCreate(item=item, previous_item_id=previous):
                await self.items.create(item, previous)
            case e.ConversationItemRetrieve(item_id=item_id):
                await self.items.retrieve(item_id)
            case e.ConversationItemTruncate(item_id=item_id, content_index=part, audio_end_ms=ms):
                await self.items.truncate(item_id, part, ms)
            case e.ConversationItemDelete(item_id=item_id):
                await self.items.delete(item_id)
            case e.ResponseCreate(response=params):
                self._respond(params or ResponseParams())
            case e.ResponseCancel(response_id=response_id):
                self.responses.cancel(None if response_id is UNSET else response_id)
            case e.OutputAudioBufferClear():
                raise ProtocolError(
                    "output_audio_buffer.clear is for transports that play the audio themselves (WebRTC, SIP); "
                    "on this one the client plays it: drop it there and send conversation.item.truncate.",
                    code="invalid_event",
                    param="type",
                )
            case _:
                raise not_a_client_event()

    def _respond(self, params: ResponseParams) -> None:
        if self.context.transcription:
            raise ProtocolError(
                "This session only transcribes (its type is 'transcription'). "
                'For responses connect anew, and send session.update with "type": "realtime".',
                code="invalid_value",
                param="type",
            )
        check_response(params, self.context.session, tools=self.context.limits.tools)
        own_input = None if params.input is UNSET else self.items.response_input(params.input)
        self.responses.respond(own_input or self.transcripts.read_messages, params)

    # the session

    async def _update(self, update: AnySession) -> None:
        if type(update) is not type(self.context.client_session):
            self._check_unused()
        self.context.providers.transcriber_queue.check_session(update)
        if isinstance(update, TranscriptionSession):
            known, session = self.context.transcription, self.context.session
            changed = update_transcription(known, update) if known else create_transcription(session, update)
            self.context.transcription = changed
            self.turns.configure(InputProcessing.of(changed))
            await self.context.send(e.SessionUpdated(session=changed))
            return
        session = merge(self.context.session, update, tools=self.context.limits.tools)
        self.responses.check_update(session)
        self.responses.mcp_servers.check(update.tools, "session")
        before, self.context.session, self.context.transcription = self.context.session, session, None
        self.context.revision += 1
        self.turns.configure(InputProcessing.of(session))
        await self.context.send(e.SessionUpdated(session=self.context.client_session))
        await self.responses.mcp_servers.update(named(session.tools))
        if (session.instructions, session.tools) != (before.instructions, before.tools):
            self.responses.read_ahead()

    def _check_unused(self) -> None:
        """Raise `ProtocolError` if there was audio, an item or a response: the session's type is then fixed."""
        conversation = self.context.conversation
        if self.input_audio.now_ms or conversation.last_turn_id or self.responses.in_progress:
            raise ProtocolError(
                "A session cannot change its type after audio, items or responses; connect anew, for "
                "transcripts alone with ?intent=transcription.",
                code="invalid_value",
                param="session.type",
            )
