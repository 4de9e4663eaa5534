"""The answers of somebody far away, as far as the caller was told of them, and what closes them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypedDict

from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    AudioPart,
    ContentPart,
    FunctionCall,
    Item,
    McpCall,
    McpToolExecutionError,
    Message,
    OutputAudio,
    OutputText,
    TextPart,
)
from vivavoce.protocol.responses import Failed, FailedError, InputTokens, OutputTokens, Response, Usage
from vivavoce.session.conversation import Conversation

__all__ = ["Answers"]

_NOTHING = Usage(
    total_tokens=0,
    input_tokens=0,
    output_tokens=0,
    input_token_details=InputTokens(),
    output_token_details=OutputTokens(),
)


class _Place(TypedDict):
    """Where in an answer an event belongs."""

    response_id: str
    item_id: str
    output_index: int


class _PartPlace(_Place):
    content_index: int


@dataclass
class _Part:
    """A part of a message. `closed` counts the closing events that have come: sound, words, the part itself."""

    spoken: bool
    words: str = ""
    closed: int = 0


@dataclass
class _Output:
    """An item of an answer."""

    item: Item
    index: int
    parts: dict[int, _Part] = field(default_factory=dict)
    arguments: str = ""
    arguments_done: bool = False
    settled: bool = False
    """it has its final form in the conversation"""
    done: bool = False

    @property
    def id(self) -> str:
        return self.item.id or ""

    def part(self, index: int) -> _Part:
        return self.parts.setdefault(index, _Part(spoken=True))


@dataclass
class _Answer:
    """A response. Calls of MCP tools outlive it."""

    response: Response
    output: dict[int, _Output] = field(default_factory=dict)
    over: bool = False


@dataclass
class Answers:
    """Follows every answer that is not over."""

    conversation: Conversation
    _answers: dict[str, _Answer] = field(default_factory=dict)

    def __contains__(self, item_id: object) -> bool:
        """Whether an item belongs to an answer that is not over: that closes it."""
        return any(out.id == item_id for answer in self._answers.values() for out in answer.output.values())

    @property
    def speaking(self) -> Response | None:
        """The answer that is under way in the conversation."""
        responses = (answer.response for answer in self._answers.values() if not answer.over)
        return next((response for response in responses if response.conversation_id), None)

    @property
    def busy(self) -> bool:
        """Whether any answer is under way."""
        return any(not answer.over for answer in self._answers.values())

    # what the caller is told

    def tell(self, event: e.Event) -> None:
        """Take in one event."""
        match event:
            case e.ResponseCreated(response=response):
                self._answers[response.id] = _Answer(response)
            case e.ResponseDone(response=response):
                self._end(response.id)
            case e.ResponseOutputItemAdded(response_id=answer, output_index=index, item=item):
                if answer in self._answers:
                    self._answers[answer].output[index] = _Output(item, index)
            case e.ResponseOutputItemDone(response_id=answer, output_index=index, item=item):
                if output := self._output(answer, index):
                    output.item, output.done = item, True
                    self._forget(answer)
            case e.ResponseContentPartAdded(response_id=answer, output_index=index, part=part):
                if output := self._output(answer, index):
                    output.parts[event.content_index] = _Part(isinstance(part, AudioPart))
            case e.ConversationItemDone(item=item):
                self._settle(item)
            case e.ResponseOutputAudioTranscriptDelta(delta=words) | e.ResponseOutputTextDelta(delta=words) if (
                output := self._output(event.response_id, event.output_index)
            ):
                output.part(event.content_index).words += words
            case (
                e.ResponseFunctionCallArgumentsDelta(delta=words) | e.ResponseMcpCallArgumentsDelta(delta=words)
            ) if output := self._output(event.response_id, event.output_index):
                output.arguments += words
            case _:
                self._close(event)

    def _close(self, event: e.Event) -> None:
        match event:
            case (
                e.ResponseFunctionCallArgumentsDone(arguments=arguments)
                | e.ResponseMcpCallArgumentsDone(arguments=arguments)
            ) if output := self._output(event.response_id, event.output_index):
                output.arguments, output.arguments_done = arguments, True
            case e.ResponseOutputAudioDone():
                self._closed(event, 1)
            case e.ResponseOutputAudioTranscriptDone() | e.ResponseOutputTextDone():
                self._closed(event, 2)
            case e.ResponseContentPartDone():
                self._closed(event, 3)
            case _:
                pass

    def _closed(
        self,
        event: (
            e.ResponseOutputAudioDone
            | e.ResponseOutputAudioTranscriptDone
            | e.ResponseOutputTextDone
            | e.ResponseContentPartDone
        ),
        step: int,
    ) -> None:
        if output := self._output(event.response_id, event.output_index):
            output.part(event.content_index).closed = step

    def _settle(self, item: Item) -> None:
        for output in (out for answer in self._answers.values() for out in answer.output.values()):
            if output.id == item.id:
                output.item, output.settled = item, True

    def _end(self, response_id: str) -> None:
        if answer := self._answers.get(response_id):
            answer.over = True
            self._forget(response_id)

    def _forget(self, response_id: str) -> None:
        """Forget an answer that is over, unless a server is still at work for it."""
        answer = self._answers[response_id]
        if answer.over and all(out.done for out in answer.output.values() if isinstance(out.item, McpCall)):
            del self._answers[response_id]

    def _output(self, response_id: str, index: int) -> _Output | None:
        answer = self._answers.get(response_id)
        return answer.output.get(index) if answer else None

    # what is left to tell

    def closing(self, why: str) -> Iterator[e.ServerEvent]:
        """Give what closes all that is open: answers fail, with what was said of them; `why` is for people."""
        for answer in list(self._answers.values()):
            if not answer.over:
                yield from self._breaking_off(answer, why)
            for output in answer.output.values():
                if isinstance(output.item, McpCall) and not output.done:
                    yield from self._failing(answer, output, output.item, why)

    def _breaking_off(self, answer: _Answer, why: str) -> Iterator[e.ServerEvent]:
        for output in answer.output.values():
            if not output.done:
                yield from self._ending(answer, output)
        error = FailedError(type="server_error", code="connection_lost", message=why)
        response = replace(
            answer.response,
            status="failed",
            status_details=Failed(error=error),
            output=tuple(output.item for output in answer.output.values()),
            usage=_NOTHING,
        )
        yield e.ResponseDone(response=response)

    def _ending(self, answer: _Answer, output: _Output) -> Iterator[e.ServerEvent]:
        if answer.response.conversation_id and output.id not in self.conversation:
            yield e.ConversationItemAdded(item=output.item, previous_item_id=self.conversation.last_id)
        at: _Place = {
            "response_id": answer.response.id,
            "item_id": output.id,
            "output_index": output.index,
        }
        match output.item:
            case _ if output.settled:
                pass
            case Message() as message:
                for index, part in output.parts.items():
                    yield from _ending_part({**at, "content_index": index}, part)
                content = tuple(self._said(output.id, part) for part in output.parts.values())
                output.item = replace(message, status="incomplete", content=content)
            case FunctionCall(call_id=call_id, name=name) as call:
                # "Also emitted when a Response is interrupted, incomplete, or cancelled."
                if not output.arguments_done:
                    yield e.ResponseFunctionCallArgumentsDone(
                        **at, call_id=call_id or "", name=name, arguments=output.arguments
                    )
                output.item = replace(call, status="incomplete", arguments=output.arguments)
            case McpCall() as call:
                if not output.arguments_done:
                    yield e.ResponseMcpCallArgumentsDone(**at, arguments=output.arguments)
                output.item = replace(call, arguments=output.arguments)
                return
            case _:
                pass
        yield from self._done(answer, output)

    def _said(self, item_id: str, part: _Part) -> ContentPart:
        if not part.spoken:
            return OutputText(text=part.words)
        heard = self.conversation.heard(item_id) if item_id in self.conversation else part.words
        return OutputAudio(transcript=heard)

    def _failing(self, answer: _Answer, output: _Output, call: McpCall, why: str) -> Iterator[e.ServerEvent]:
        yield e.ResponseMcpCallFailed(item_id=output.id, output_index=output.index)
        output.item = replace(call, error=McpToolExecutionError(message=why))
        yield from self._done(answer, output)

    def _done(self, answer: _Answer, output: _Output) -> Iterator[e.ServerEvent]:
        """Give an item its final form: in the conversation, if it is there, and in the answer."""
        if output.id in self.conversation and not output.settled:
            yield e.ConversationItemDone(item=output.item, previous_item_id=self.conversation.before(output.id))
        yield e.ResponseOutputItemDone(
            response_id=answer.response.id, output_index=output.index, item=output.item
        )


def _ending_part(at: _PartPlace, part: _Part) -> Iterator[e.ServerEvent]:
    if part.spoken and part.closed < 1:
        yield e.ResponseOutputAudioDone(**at)
    if part.closed < 2:
        yield (
            e.ResponseOutputAudioTranscriptDone(**at, transcript=part.words)
            if part.spoken
            else e.ResponseOutputTextDone(**at, text=part.words)
        )
    if part.closed < 3:
        done = AudioPart(transcript=part.words) if part.spoken else TextPart(text=part.words)
        yield e.ResponseContentPartDone(**at, part=done)
