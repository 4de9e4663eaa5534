"""The order of events: what each may follow, and what it may refer to."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from clients.rules.answers import Answers
from clients.rules.hearing import Hearing
from clients.rules.items import Items
from clients.rules.score import Complaints, Event, Score
from clients.rules.servers import Servers

__all__ = ["broken"]

FIRST = {"session.created", "transcription_session.created"}
UPDATED = {"session.update": "session.updated", "transcription_session.update": "transcription_session.updated"}
WITHOUT_ID = {"input_audio_buffer.dtmf_event_received"}
IN_GA = {
    "conversation.item.created": "conversation.item.added",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
}
"""What the beta calls otherwise. It has no `conversation.item.done`."""


def broken(score: Score, *, beta: bool = False, plays: bool = False) -> list[str]:
    """Return a complaint for every event of the server's that comes where it may not."""
    complaints = Complaints()
    items = Items(complaints, beta=beta, plays=plays)
    hearing = Hearing(complaints, items)
    answers = Answers(complaints, items, hearing, beta=beta)
    parts = (Session(complaints), items, hearing, Servers(complaints, items), answers)
    for index, (by, event) in enumerate(_as_ga(score, beta=beta)):
        complaints.now_at(index, event)
        for part in parts:
            (part.asked if by == "client" else part.told)(event.get("type", ""), event)
    return complaints.found


def _as_ga(score: Score, *, beta: bool) -> Iterator[tuple[str, Event]]:
    for by, event in score:
        kind = event.get("type", "")
        yield by, {**event, "type": IN_GA.get(kind, kind)} if beta else event


@dataclass
class Session:
    """The session comes first and is one; every event has its own id; errors name events of the client's."""

    complaints: Complaints
    _id: str | None = None
    _event_ids: set[str] = field(default_factory=set)
    _theirs: set[str] = field(default_factory=set)
    _updates: list[str] = field(default_factory=list)

    def asked(self, kind: str, event: Event) -> None:
        if isinstance(event.get("event_id"), str):
            self._theirs.add(event["event_id"])
        if kind in UPDATED:
            self._updates.append(UPDATED[kind])

    def told(self, kind: str, event: Event) -> None:
        expect = self.complaints.expect
        if kind not in WITHOUT_ID:
            expect(event.get("event_id") not in self._event_ids, "an event id is used once")
        expect(bool(self._event_ids) == (kind not in FIRST), "session.created comes first, and once")
        self._event_ids.add(event.get("event_id", ""))
        match kind:
            case "session.created":
                self._id = event["session"].get("id")
                expect(self._id, "a session has an id")
            case "session.updated" | "transcription_session.updated":
                expect(kind in self._updates, "each update is answered once")
                if kind in self._updates:
                    self._updates.remove(kind)
                expect(event["session"].get("id") in (self._id, None), "a session keeps its id")
            case "error":
                named = event["error"].get("event_id")
                expect(named is None or named in self._theirs, "an error names an event of the client's")
