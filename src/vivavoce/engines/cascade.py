"""The cascade engine: hear, understand, answer, speak. Here is its table of contents: one `match`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.audio.resample import Resampler
from vivavoce.engines.answer import timely
from vivavoce.engines.call import Call, Crew
from vivavoce.engines.listening import Ear
from vivavoce.engines.manner import Hearing, Manner
from vivavoce.engines.turns import Turns
from vivavoce.engines.voice import Apology, Voice
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.line import Line
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputAudio, Item, ItemReference, Message
from vivavoce.protocol.response import ResponseParams
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT, check_response, merge
from vivavoce.protocol.wire import error_event
from vivavoce.providers import HEARING_RATE, SPEAKING_RATE

__all__ = ["Cascade", "Crew"]

APOLOGY = "I'm sorry, I couldn't answer that just now. Could you say it again?"
_TRUNCATE_SLACK_MS = 1000


@dataclass
class Cascade:
    """An engine: give it a line and it converses until the caller hangs up.

    `session` is how a conversation is held until its client says otherwise.
    """

    crew: Crew
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    apology: Apology = field(default_factory=lambda: Apology(APOLOGY))

    async def rehearse(self) -> None:
        """Make the sound of the apology while all is well. Raises `ProviderError` if that is not the case."""
        manner = Manner.of(self.session)
        sound = self.crew.synthesizer.speak(self.apology.text, voice=manner.voice, speed=manner.speed)
        wait = self.limits.first_sound_seconds
        chunks = [c async for c in timely(sound, wait, wait, provider="synthesizer") if isinstance(c, bytes)]
        self.apology = replace_sound(self.apology, b"".join(chunks))

    async def converse(self, line: Line) -> None:
        """Hold one conversation. Cancelling it ends all that it started."""
        async with line, anyio.create_task_group() as tasks:
            session = replace(self.session, id=e.new_id("sess"), object="realtime.session")
            call = Call(line, self.crew, self.limits, session, tasks)
            await _Conversing(call, self.apology).run()
            tasks.cancel_scope.cancel()


def replace_sound(apology: Apology, sound: bytes) -> Apology:
    """Return the apology with its sound."""
    return Apology(apology.text, sound)


class _Conversing:
    """One conversation, from the first event to the last."""

    def __init__(self, call: Call, apology: Apology) -> None:
        self.call = call
        self.voice = Voice(call, apology)
        hearing = Hearing.of(call.session)
        ear = Ear(
            call.crew.vad.detector(),
            hearing,
            we_speak=self._we_speak,
            buffer_seconds=call.limits.buffer_seconds,
        )
        self.turns = Turns(call, self.voice, ear)

    async def run(self) -> None:
        await self.call.send(e.SessionCreated(session=self.call.session))
        with anyio.move_on_after(self.call.limits.conversation_minutes * 60) as life:
            async for event in self.call.line:
                try:
                    await self._handle(event)
                except ProtocolError as error:
                    await self.call.send(_naming(error, event))
        if life.cancelled_caught:
            minutes = self.call.limits.conversation_minutes
            message = (
                f"Your session hit the maximum duration of {minutes:g} minutes (limits.conversation_minutes)."
            )
            await self.call.send(error_event(ProtocolError(message, code="session_expired")))

    async def _handle(self, event: e.Event) -> None:
        match event:
            case e.InputAudioBufferAppend(audio=sound):
                await self._hear(sound)
            case e.InputAudioBufferCommit():
                await self.turns.commit()
            case e.InputAudioBufferClear():
                await self.turns.clear()
            case e.SessionUpdate(session=update):
                await self._update(update)
            case e.ConversationItemCreate(item=item, previous_item_id=previous):
                await self._create(item, previous)
            case e.ConversationItemRetrieve(item_id=item_id):
                await self.call.send(e.ConversationItemRetrieved(item=self._find(item_id, "retrieve")))
            case e.ConversationItemTruncate(item_id=item_id, audio_end_ms=ms):
                await self._truncate(item_id, ms, event.content_index)
            case e.ConversationItemDelete(item_id=item_id):
                self._find(item_id, "delete")
                self.call.edition += 1
                await self.call.send(e.ConversationItemDeleted(item_id=item_id))
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
                raise ProtocolError("An engine is told client events only.", code="invalid_event")

    def _we_speak(self) -> bool:
        return self.voice.audible and self.turns.ear.hearing.interrupt_response

    async def _hear(self, sound: bytes) -> None:
        if len(sound) % 2:
            raise ProtocolError(
                f"audio must be whole samples of 16 bits; this append has {len(sound)} bytes, an odd number.",
                code="invalid_value",
                param="audio",
            )
        await self.turns.hear(sound)

    async def _update(self, update: Session | TranscriptionSession) -> None:
        if isinstance(update, TranscriptionSession):
            raise ProtocolError(
                "This is a conversation; its type cannot be changed to 'transcription'.",
                code="invalid_value",
                param="session.type",
            )
        session = merge(self.call.session, update)
        if self.voice.has_sounded and Manner.of(session).voice != Manner.of(self.call.session).voice:
            raise ProtocolError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.audio.output.voice",
            )
        self.call.session = session
        self.call.edition += 1
        self.turns.listen(Hearing.of(session))
        await self.call.send(e.SessionUpdated(session=session))

    # items

    async def _create(self, item: Item, previous: str | UnsetType | None) -> None:
        conversation, limits = self.call.conversation, self.call.limits
        item, sound = _without_sound(item)
        item_id = item.id or e.new_id("item")
        if item_id in conversation:
            raise ProtocolError(
                f"Error adding item: item with ID '{item_id}' already exists in the conversation.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )
        if len(conversation) >= limits.items:
            raise ProtocolError(
                f"A conversation holds at most {limits.items} items (limits.items); delete some.",
                code="too_many_items",
                param="item",
            )
        if isinstance(item, FunctionCallOutput) and not self._was_called(item.call_id):
            raise ProtocolError(
                f"Tool call ID '{item.call_id}' not found in conversation.",
                code="invalid_value",
                param="item.call_id",
            )
        before = self._place(previous)
        item = replace(item, id=item_id)
        if hasattr(item, "status"):
            item = replace(item, object="realtime.item", status="completed")
        self.call.edition += 1
        await self.call.send(e.ConversationItemAdded(item=item, previous_item_id=before))
        await self.call.send(e.ConversationItemDone(item=item, previous_item_id=before))
        if sound:
            self.turns.take_down(item_id, sound)

    def _place(self, previous: str | UnsetType | None) -> str | None:
        """Return after which item a new one goes (realtime.md 1.3): absent is the end, `root` the start."""
        if previous is UNSET or previous is None:
            return self.call.conversation.last_id
        if previous == "root":
            return None
        if previous not in self.call.conversation:
            raise ProtocolError(
                f"Error adding item: the previous item with ID '{previous}' does not exist.",
                code="invalid_value",
                param="previous_item_id",
            )
        return previous

    def _find(self, item_id: str, verb: str) -> Item:
        item = self.call.conversation.find(item_id)
        if item is None:
            raise ProtocolError(
                f"Error: item with ID '{item_id}' does not exist in the conversation.",
                code=f"item_{verb}_invalid_item_id",
                param="item_id",
            )
        return item

    def _was_called(self, call_id: str) -> bool:
        return any(isinstance(i, FunctionCall) and i.call_id == call_id for i in self.call.conversation.items)

    async def _truncate(self, item_id: str, ms: int, content_index: int) -> None:
        self._find(item_id, "truncate")
        length = self.call.conversation.spoken_ms(item_id)
        if length is None or content_index != 0:
            raise ProtocolError(
                f"Only the sound of an answer can be truncated; item '{item_id}' has none there.",
                code="invalid_value",
                param="content_index" if length is not None else "item_id",
            )
        if ms < 0 or ms > length + _TRUNCATE_SLACK_MS:
            raise ProtocolError(
                f"Audio content of {length:.0f}ms is already shorter than {ms}ms",
                code="invalid_value",
                param="audio_end_ms",
            )
        self.call.edition += 1
        await self.call.send(
            e.ConversationItemTruncated(item_id=item_id, content_index=content_index, audio_end_ms=ms)
        )

    # responses

    def _respond(self, params: ResponseParams) -> None:
        check_response(params)
        if params.input is UNSET:
            given = self.turns.everything_said
        else:
            items = [self._referred(item) for item in params.input]

            async def given() -> Sequence[Item]:
                return items

        self.voice.respond(params, given=given, out_of_band=params.conversation == "none")

    def _referred(self, item: Item | ItemReference) -> Item:
        return self._find(item.id, "retrieve") if isinstance(item, ItemReference) else item


def _naming(error: ProtocolError, event: e.Event) -> e.ErrorEvent:
    """Make an `error` that names the client's event (realtime.md 1.4 G)."""
    if error.event_id is None and isinstance(event, e.ClientEvent) and event.event_id is not UNSET:
        error.event_id = event.event_id
    return error_event(error)


def _without_sound(item: Item) -> tuple[Item, bytes]:
    """Return an item without its sound, and the sound at `HEARING_RATE`, if it still has to be understood."""
    if not isinstance(item, Message):
        return item, b""
    sound = b""
    content = []
    for part in item.content:
        if isinstance(part, InputAudio) and part.audio is not UNSET:
            if len(part.audio) % 2:
                raise ProtocolError(
                    "audio must be whole samples of 16 bits; this part has an odd number of bytes.",
                    code="invalid_value",
                    param="item.content[0].audio",
                )
            sound += b"" if part.transcript else Resampler(SPEAKING_RATE, HEARING_RATE).push(part.audio)
            part = InputAudio(transcript=part.transcript or None)
        content.append(part)
    return replace(item, content=tuple(content)), sound
