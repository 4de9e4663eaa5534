"""What the caller says: speech starts, stops, is committed, becomes an item, is written down; in this order."""

from dataclasses import dataclass, field

from clients.rules.items import Items
from clients.rules.score import Complaints, Event

__all__ = ["Hearing"]

TRANSCRIPTION = "conversation.item.input_audio_transcription."


@dataclass
class Hearing:
    """Follows one turn of the caller's after the other."""

    complaints: Complaints
    items: Items
    turns: int = 0
    """Turns that the server has committed by itself, each of which it may answer by itself."""
    _speaking: str | None = None
    _stopped: str | None = None
    _timed_out: str | None = None
    _start_ms: int = 0
    _commits: int = 0
    _clears: int = 0
    _interrupted: bool = False
    _writes_only: bool = False
    _heard: set[str] = field(default_factory=set)
    _deltas: dict[str, str] = field(default_factory=dict)
    _written: set[str] = field(default_factory=set)

    def asked(self, kind: str, event: Event) -> None:
        match kind:
            case "input_audio_buffer.commit":
                self._commits += 1
            case "input_audio_buffer.clear":
                self._clears += 1
            case "session.update" | "transcription_session.update":
                self._interrupted = True

    def told(self, kind: str, event: Event) -> None:
        match kind:
            case "session.created" | "session.updated":
                self._writes_only = event["session"].get("type") == "transcription"
            case "input_audio_buffer.speech_started":
                self._starts(event["item_id"], event["audio_start_ms"])
            case "input_audio_buffer.speech_stopped":
                self.complaints.expect(self._speaking == event["item_id"], "who stops has started")
                self.complaints.expect(event["audio_end_ms"] >= self._start_ms, "speech ends after it begins")
                self._speaking, self._stopped = None, event["item_id"]
            case "input_audio_buffer.timeout_triggered":
                self._timed_out = event["item_id"]
            case "input_audio_buffer.committed":
                self._committed(event["item_id"], event.get("previous_item_id"))
            case "input_audio_buffer.cleared":
                self.complaints.expect(self._clears > 0, "the client has asked for it")
                self._clears -= 1
                self._speaking = None
            case _ if kind.startswith(TRANSCRIPTION):
                self._writes(kind.removeprefix(TRANSCRIPTION), event)

    def _starts(self, item_id: str, start_ms: int) -> None:
        expect = self.complaints.expect
        expect(self._speaking is None or self._interrupted, "the speech before has stopped")
        expect(self._stopped is None, "the speech before was committed")
        expect(item_id not in self._heard and item_id not in self.items.known, "a turn has an id of its own")
        self._heard.add(item_id)
        self._speaking, self._start_ms, self._interrupted = item_id, start_ms, False

    def _committed(self, item_id: str, previous: str | None) -> None:
        expect, order = self.complaints.expect, self.items.order
        if item_id in (self._stopped, self._timed_out):
            self.turns += 1
        else:
            expect(self._commits > 0, "the client has asked for it")
            expect(self._speaking in (item_id, None), "what is being said is what is committed")
            self._commits -= 1
            self._speaking = None
        expect(item_id not in self.items.known, "a turn is committed once")
        expect(previous == (order[-1] if order else None), "it comes after all that was there")
        self._stopped = self._timed_out = None
        self._heard.add(item_id)
        self.items.expected.add(item_id)

    def _writes(self, what: str, event: Event) -> None:
        expect, item_id = self.complaints.expect, event["item_id"]
        if what != "delta" or not self._writes_only:  # with manual turns its words come before the commit
            expect(item_id in self._heard or item_id in self.items.known, "what is written down was said")
        expect(item_id not in self._written, "nothing is written after the whole")
        if what == "delta":
            self._deltas[item_id] = self._deltas.get(item_id, "") + event.get("delta", "")
        elif what in ("completed", "failed"):
            self._written.add(item_id)
            expect(item_id in self.items.known, "the whole is known when the item is there")
        if what == "completed" and item_id in self._deltas:
            deltas, whole = self._deltas[item_id].strip(), event["transcript"].strip()
            expect(deltas == whole or not whole.startswith(deltas), "the deltas make the whole they began")
