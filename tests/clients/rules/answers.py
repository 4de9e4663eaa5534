"""Answers: begun and ended once, one at a time in the conversation; items and parts open and close in order."""

import base64
from dataclasses import dataclass, field

from clients.rules.hearing import Hearing
from clients.rules.items import Items
from clients.rules.score import Complaints, Event

__all__ = ["Answers"]

SOUND, WORDS = "response.output_audio.", ("response.output_audio_transcript.", "response.output_text.")
ARGUMENTS = ("response.function_call_arguments.", "response.mcp_call_arguments.")
PLAYED = "output_audio_buffer."


@dataclass
class Part:
    """A part of a message. `closed` is how many of its closing events have come."""

    kind: str
    words: str = ""
    closed: list[str] = field(default_factory=list)

    @property
    def closes_with(self) -> list[str]:
        return ["sound", "words", "part"] if self.kind == "audio" else ["words", "part"]


@dataclass
class Output:
    """An item of an answer."""

    item: Event
    parts: list[Part] = field(default_factory=list)
    arguments: str = ""
    arguments_done: bool = False
    final: Event | None = None

    @property
    def outlives(self) -> bool:
        """Whether it is done only after the answer: a server's tool works then."""
        return bool(self.item["type"] == "mcp_call")

    @property
    def in_answer(self) -> Event:
        """The item as the answer's end shows it."""
        return self.final or {**self.item, "arguments": self.arguments}


@dataclass
class Answer:
    """A response."""

    response: Event
    in_conversation: bool
    output: list[Output] = field(default_factory=list)
    hushed: bool = False
    played: str | None = None
    final: Event | None = None


@dataclass
class Answers:
    """Follows every response."""

    complaints: Complaints
    items: Items
    hearing: Hearing
    beta: bool = False
    answers: dict[str, Answer] = field(default_factory=dict)
    _asked: int = 0
    _metadata: list[object] = field(default_factory=lambda: [None])
    _interruptible: bool = True

    def asked(self, kind: str, event: Event) -> None:
        if kind == "response.create":
            self._asked += 1
            self._metadata.append((event.get("response") or {}).get("metadata"))

    def told(self, kind: str, event: Event) -> None:
        match kind:
            case "session.created" | "session.updated":
                self._session(event["session"])
            case "input_audio_buffer.speech_started" if self._interruptible:
                for answer in self.answers.values():
                    answer.hushed = answer.hushed or (answer.in_conversation and answer.final is None)
            case "conversation.item.done":
                self._in_order(event["item"])
            case "response.created":
                self._created(event["response"])
            case "response.done":
                self._done(event["response"])
            case "rate_limits.updated":
                self.complaints.expect(self.answers, "it comes with an answer")
            case _ if kind.startswith("response.") and "response_id" in event:
                self._within(kind, event)
            case _ if kind.startswith(PLAYED):
                self._plays(kind.removeprefix(PLAYED), event["response_id"])

    def _session(self, session: Event) -> None:
        audio = session if self.beta else session.get("audio", {}).get("input", {})
        self._interruptible = (audio.get("turn_detection") or {}).get("interrupt_response", True)

    # the answer

    def _created(self, response: Event) -> None:
        expect = self.complaints.expect
        expect(response["id"] not in self.answers, "an answer begins once")
        expect(response["status"] == "in_progress" and response["output"] == [], "it begins empty")
        expect(len(self.answers) < self._asked + self.hearing.turns, "it was asked for")
        expect(response.get("metadata") in self._metadata, "its metadata is the client's")
        expect(self.items.settled(), "what was said before it is done")
        inside = self.beta or response.get("conversation_id") is not None
        others = [a for a in self.answers.values() if a.in_conversation and a.final is None]
        expect(not inside or not others, "one answer at a time in the conversation")
        self.answers[response["id"]] = Answer(response, inside)

    def _done(self, response: Event) -> None:
        expect, answer = self.complaints.expect, self.answers.get(response["id"])
        expect(answer and answer.final is None, "an answer ends once, after it has begun")
        if answer is None:
            return
        answer.final = response
        expect(all(one.final or one.outlives for one in answer.output), "its items are done before")
        expect(response["output"] == [one.in_answer for one in answer.output], "its output is its items")
        expect(response.get("metadata") == answer.response.get("metadata"), "it keeps its metadata")
        status, details = response["status"], response.get("status_details") or {}
        expect(status in ("completed", "cancelled", "incomplete", "failed"), "it is no longer in progress")
        expect(details.get("type", "completed") == status, "the details are those of its status")
        usage = response.get("usage") or {"total_tokens": 0, "input_tokens": 0, "output_tokens": 0}
        expect(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], "usage adds up")

    def _within(self, kind: str, event: Event) -> None:
        """Find the answer and the item that an event belongs to, and check it there."""
        expect, answer = self.complaints.expect, self.answers.get(event["response_id"])
        expect(answer, "its answer has begun")
        if answer is None:
            return
        late = kind == "response.output_item.done" and event["item"]["type"] == "mcp_call"
        expect((answer.final is None) != late, "only what a server did comes after an answer's end")
        expect(not (answer.hushed and kind.endswith(".delta")), "an answer that was interrupted says no more")
        index = event["output_index"]
        if kind == "response.output_item.added":
            self._item_added(answer, index, event["item"])
            return
        item_id = event["item"]["id"] if kind == "response.output_item.done" else event["item_id"]
        output = answer.output[index] if index < len(answer.output) else None
        expect(output and output.item["id"] == item_id, "its item was added, and is at this index")
        if output:
            expect(output.final is None, "nothing of an item comes after its end")
            self._of_item(kind, event, answer, output)

    # its items

    def _item_added(self, answer: Answer, index: int, item: Event) -> None:
        expect = self.complaints.expect
        expect(index == len(answer.output), "items come one after the other")
        expect(item["id"] not in self.items.known, "the answer tells of an item before the conversation does")
        expect(item.get("status", "in_progress") == "in_progress", "an item begins in progress")
        expect(item.get("content", []) == [], "a message begins empty")
        expect(all(one.final or one.outlives for one in answer.output), "the item before it is done")
        answer.output.append(Output(item))
        if answer.in_conversation:
            self.items.expected.add(item["id"])
            self.items.in_answers.add(item["id"])

    def _of_item(self, kind: str, event: Event, answer: Answer, output: Output) -> None:
        expect, item_id = self.complaints.expect, output.item["id"]
        expect((item_id in self.items.known) == answer.in_conversation, "the conversation has it")
        if kind == "response.output_item.done":
            self._item_done(event["item"], answer, output)
        elif kind == "response.content_part.added":
            expect(event["content_index"] == len(output.parts), "parts come one after the other")
            expect(not event["part"].get("text") and not event["part"].get("transcript"), "a part begins empty")
            output.parts.append(Part(event["part"]["type"]))
        elif kind.startswith(ARGUMENTS):
            self._of_call(kind, event, output)
        elif "content_index" in event:
            parts, index = output.parts, event["content_index"]
            expect(index < len(parts), "its part was added")
            if index < len(parts):
                self._of_part(kind, event, parts[index])

    def _of_part(self, kind: str, event: Event, part: Part) -> None:
        expect = self.complaints.expect
        expect((part.kind == "audio") == ("audio" in kind or "transcript" in event.get("part", {})), "its kind")
        if kind == f"{SOUND}delta":
            expect(part.closed == [], "no sound after its end")
            expect(base64.b64decode(event["delta"], validate=True), "sound is not empty")
        elif kind.endswith(".delta"):
            expect("words" not in part.closed, "no words after their end")
            part.words += event["delta"]
        else:
            step = "sound" if kind == f"{SOUND}done" else "words" if kind.startswith(WORDS) else "part"
            part.closed.append(step)
            expect(part.closes_with[: len(part.closed)] == part.closed, "sound, words, part end in this order")
            whole = event.get("part", event)
            words = whole.get("transcript", whole.get("text", part.words))
            expect(words == part.words, "the deltas make the whole")

    def _of_call(self, kind: str, event: Event, output: Output) -> None:
        expect = self.complaints.expect
        expect(not output.arguments_done, "no arguments after their end")
        for name in ("call_id", "name"):
            expect(event.get(name, output.item.get(name)) == output.item.get(name), f"{name} is the item's")
        if kind.endswith(".delta"):
            output.arguments += event["delta"]
        else:
            output.arguments_done = True
            expect(event["arguments"] == output.arguments, "the deltas make the whole")

    def _in_order(self, item: Event) -> None:
        """`conversation.item.done` comes after the item's parts, and before `response.output_item.done`."""
        for output in (one for answer in self.answers.values() for one in answer.output):
            if output.item["id"] == item["id"]:
                self.complaints.expect(output.final is None, "the conversation comes first")
                self._closed(output)

    def _closed(self, output: Output) -> None:
        parts_closed = all(part.closed == part.closes_with for part in output.parts)
        self.complaints.expect(parts_closed, "its parts are done before")
        if output.item["type"] in ("function_call", "mcp_call"):
            self.complaints.expect(output.arguments_done, "its arguments are done before")

    def _item_done(self, item: Event, answer: Answer, output: Output) -> None:
        expect = self.complaints.expect
        output.final = item
        self._closed(output)
        deleted = item["id"] not in self.items.order
        expect(
            item["id"] in self.items.done or deleted or not answer.in_conversation,
            "the conversation comes first",
        )
        expect(item.get("status", "completed") in ("completed", "incomplete"), "it is no longer in progress")
        if "arguments" in item:
            expect(
                item["arguments"] == output.arguments or item["type"] != "function_call", "it has its arguments"
            )
        cut_short = item.get("status") == "incomplete" or item["id"] in self.items.truncated
        expect(len(item.get("content", [])) == len(output.parts), "it holds the parts that were told")
        for part, content in zip(output.parts, item.get("content", []), strict=False):
            words = content.get("transcript", content.get("text", ""))
            whole = part.words == words or (cut_short and part.words.startswith(words.rstrip()))
            expect(whole, "it holds the words that were said")

    # its sound, where the server plays it

    def _plays(self, what: str, response_id: str) -> None:
        expect, answer = self.complaints.expect, self.answers.get(response_id)
        expect(answer, "its answer has begun")
        if answer:
            expect(answer.played == (None if what == "started" else "started"), "played once, to the end")
            expect(what != "stopped" or answer.final, "it stops when the answer is done")
            answer.played = what
