"""Long silence: of whom nothing is heard for `idle_timeout_ms` is asked whether they are still there."""

from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.input_audio import InputAudioStream
from vivavoce.engines.cascade.responses import Responses
from vivavoce.engines.cascade.transcripts import Transcripts
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Item, Message

__all__ = ["IdleTimeout"]

_SILENT_CALLER = "The caller has said nothing for a while. Ask in a few words whether they are still there."


@dataclass
class IdleTimeout:
    """Knows for how long nobody has spoken, in milliseconds of what was heard."""

    call: CascadeContext
    voice: Responses
    ear: InputAudioStream
    minutes: Transcripts
    _since_ms: float = 0

    def begin_anew(self) -> None:
        """The caller has just been heard of."""
        self._since_ms = self.ear.floor.now_ms

    async def watch(self, *, caller_speaks: bool) -> None:
        """Say something if nobody has for as long as the session allows. Our own voice is no silence."""
        patience = self.ear.hearing.idle_timeout_ms
        if patience is None or caller_speaks or self.voice.busy or self.voice.audible:
            self.begin_anew()
        elif self.ear.floor.now_ms - self._since_ms >= patience:
            await self._nudge()

    async def _nudge(self) -> None:
        """Make an empty item of nobody's speaking, and answer that."""
        item_id, since, now = e.new_id("item"), self._since_ms, self.ear.floor.now_ms
        self.begin_anew()
        await self.call.send(
            e.InputAudioBufferTimeoutTriggered(
                audio_start_ms=round(since), audio_end_ms=round(now), item_id=item_id
            )
        )
        await self.minutes.put_down_silence(item_id)
        note = Message(role="system", content=(InputText(text=_SILENT_CALLER),))

        async def given() -> Sequence[Item]:
            return (*await self.minutes.everything_said(), note)

        self.voice.respond(given=given)
