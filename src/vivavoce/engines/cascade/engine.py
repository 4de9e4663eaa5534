"""The cascade engine: hear, understand, answer, speak. Here is its table of contents: one `match`."""

from dataclasses import dataclass, field

import anyio
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.dates import unix_now
from vivavoce.engines.cascade.answer import timely
from vivavoce.engines.cascade.context import CascadeContext, Providers
from vivavoce.engines.cascade.input_audio import InputAudioStream
from vivavoce.engines.cascade.input_turns import InputTurns
from vivavoce.engines.cascade.items import Items
from vivavoce.engines.cascade.mcp_servers import named
from vivavoce.engines.cascade.responses import Apology, Responses
from vivavoce.engines.cascade.settings import InputProcessing, ResponseSettings
from vivavoce.engines.cascade.transcripts import Transcripts
from vivavoce.engines.refusals import expired, naming, not_a_clients
from vivavoce.engines.transcription_session import begun, changed, no_answers
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.mcp.servers import McpServers, Reach
from vivavoce.protocol import events as e
from vivavoce.protocol.items import McpApprovalResponse
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT, check_response, merge
from vivavoce.providers.base import ChatRequest, Prefillable
from vivavoce.session.line import Line

__all__ = ["Cascade", "Providers"]

APOLOGY = "I'm sorry, I couldn't answer that just now. Could you say it again?"


@dataclass
class Cascade:
    """An engine: give it a line and it converses until the caller hangs up.

    `session` is how a conversation is held until its client says otherwise.
    """

    crew: Providers
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    apology: Apology = field(default_factory=lambda: Apology(APOLOGY))
    reach: Reach = field(default_factory=McpServers)

    async def rehearse(self) -> None:
        """Do beforehand what can be done while all is well. Raises `ProviderError` if that is not the case.

        That is the sound of the apology, and to read what the tools of the session are for: the first caller
        who asks a question should not wait for it.
        """
        manner = ResponseSettings.of(self.session)
        await self._record_apology(manner)
        chat = self.crew.chat
        if manner.tools and isinstance(chat, Prefillable):
            spoken = manner.modality == "audio"
            await chat.prefill(
                ChatRequest((), manner.instructions, manner.tools, manner.tool_choice, spoken=spoken)
            )

    async def _record_apology(self, manner: ResponseSettings) -> None:
        sound = self.crew.synthesizer.speak(self.apology.text, voice=manner.voice, speed=manner.speed)
        wait = self.limits.first_audio_seconds
        chunks = [c async for c in timely(sound, wait, wait, provider="synthesizer") if isinstance(c, bytes)]
        self.apology = Apology(self.apology.text, b"".join(chunks))

    async def converse(self, line: Line, session: Session | TranscriptionSession | None = None) -> None:
        """Hold one conversation, as `session` wants it. Cancelling it ends all that it started."""
        async with line, anyio.create_task_group() as tasks:
            held = self.session
            if isinstance(session, Session):
                held = merge(held, session, tools=self.limits.tools)
            expires_at = unix_now() + round(self.limits.conversation_minutes * 60)
            held = replace(held, id=e.new_id("sess"), object="realtime.session", expires_at=expires_at)
            call = CascadeContext(line, self.crew, self.limits, held, tasks)
            if isinstance(session, TranscriptionSession):
                call.transcription = begun(held, session)
            await _Conversing(call, self.apology, self.reach).run()
            tasks.cancel_scope.cancel()


class _Conversing:
    """One conversation, from the first event to the last."""

    def __init__(self, call: CascadeContext, apology: Apology, reach: Reach) -> None:
        self.call = call
        self.voice = Responses(call, apology, reach)
        hearing = InputProcessing.of(call.held)
        ear = InputAudioStream(
            call.crew.vad.detector(),
            hearing,
            we_speak=self._we_speak,
            input_buffer_seconds=call.limits.input_buffer_seconds,
            model=call.crew.denoiser,
        )
        self.minutes = Transcripts(call, ear)
        self.turns = InputTurns(call, self.voice, ear, self.minutes)
        self.items = Items(call, self.voice, self.minutes)

    async def run(self) -> None:
        await self.call.send(e.SessionCreated(session=self.call.held))
        await self._visit_servers()
        if self.call.session.tools:  # an assistant's: nobody has to send them first
            self.call.tasks.start_soon(self.voice.prepare)
        with anyio.move_on_after(self.call.limits.conversation_minutes * 60) as life:
            async for event in self.call.line:
                try:
                    await self._handle(event)
                except ProtocolError as error:
                    await self.call.line.refuse(naming(error, event))
        if life.cancelled_caught:
            await self.call.send(expired(self.call.limits))

    async def _handle(self, event: e.Event) -> None:
        match event:
            case e.InputAudioBufferAppend(audio=sound):
                await self.turns.hear(sound)
            case e.InputAudioBufferCommit():
                await self.turns.commit()
            case e.InputAudioBufferClear():
                await self.turns.clear()
            case e.SessionUpdate(session=update):
                await self._update(update)
            case e.ConversationItemCreate(item=McpApprovalResponse() as word, previous_item_id=previous):
                errand = self.voice.errands.awaiting(word)
                await self.items.create(word, previous)
                errand.decide(word)
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
                self.voice.cancel(None if response_id is UNSET else response_id)
            case e.OutputAudioBufferClear():
                raise ProtocolError(
                    "output_audio_buffer.clear is for transports that play the sound themselves (WebRTC, SIP); "
                    "on this one the client plays it: drop it there and send conversation.item.truncate.",
                    code="invalid_event",
                    param="type",
                )
            case _:
                raise not_a_clients()

    def _we_speak(self) -> bool:
        return self.voice.audible and self.turns.ear.hearing.interrupt_response

    async def _update(self, update: Session | TranscriptionSession) -> None:
        if type(update) is not type(self.call.held):
            self._check_untouched()
        if isinstance(update, TranscriptionSession):
            await self._update_transcription(update)
            return
        session = merge(self.call.session, update, tools=self.call.limits.tools)
        self.voice.check_update(session)
        self.voice.hosts.check(update.tools, "session")
        before, self.call.session, self.call.transcription = self.call.session, session, None
        self.call.edition += 1
        self.turns.listen(InputProcessing.of(session))
        await self.call.send(e.SessionUpdated(session=self.call.held))
        await self._visit_servers()
        if (session.instructions, session.tools) != (before.instructions, before.tools):
            self.call.tasks.start_soon(self.voice.prepare)

    async def _update_transcription(self, update: TranscriptionSession) -> None:
        known = self.call.transcription
        self.call.transcription = changed(known, update) if known else begun(self.call.session, update)
        self.turns.listen(InputProcessing.of(self.call.transcription))
        await self.call.send(e.SessionUpdated(session=self.call.transcription))

    async def _visit_servers(self) -> None:
        if self.call.transcription is None:
            await self.voice.hosts.visit(named(self.call.session.tools))

    def _check_untouched(self) -> None:
        """Let a session change its type while nothing has been said in it."""
        if self.turns.ear.floor.now_ms or self.call.conversation.last_said_id or self.voice.busy:
            raise ProtocolError(
                "A session cannot change its type once something was said; connect anew, for transcripts alone "
                "with ?intent=transcription.",
                code="invalid_value",
                param="session.type",
            )

    # responses

    def _respond(self, params: ResponseParams) -> None:
        if self.call.transcription:
            raise no_answers()
        check_response(params, self.call.session, tools=self.call.limits.tools)
        given = self.minutes.everything_said if params.input is UNSET else self.items.given(params.input)
        self.voice.respond(params, given=given, out_of_band=params.conversation == "none")
