"""A desk with tools, for plays: who sits there, what the model wants of it, and what became of that."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, Message
from vivavoce.protocol.responses import VERBATIM
from vivavoce.protocol.session import Session
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.testing.simulation import Reply, Script, Simulation, Timeline
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Context, Outcome, Tool

Run = Callable[[str, Context], Awaitable[Outcome]]

CANCEL = ToolCall("cancel_order", '{"order_id": "4321"}')
QUESTION = "Shall I cancel order 4321?"


@dataclass
class Made:
    """The calls that tools were really made with."""

    arguments: list[str] = field(default_factory=list)

    def tool(self, name: str = "order_status", run: Run | None = None, **settings: Any) -> Tool:
        """Make a tool that notes its calls; without `run` it says at once that the order is on its way."""

        async def noted(arguments: str, context: Context) -> Outcome:
            self.arguments.append(arguments)
            return await run(arguments, context) if run else Outcome("on its way")

        return Tool(name, f"What {name} does.", {"type": "object", "properties": {}}, noted, **settings)

    def canceller(self, **settings: Any) -> Tool:
        """Make a tool that cancels an order, if the caller says yes."""
        run = returning("cancelled")
        return self.tool("cancel_order", run, confirm="Shall I cancel order {order_id}?", **settings)


def returning(output: str) -> Run:
    async def run(arguments: str, context: Context) -> Outcome:
        return Outcome(output)

    return run


def model(*calls: Reply, then: Sequence[Reply] = ()) -> Script:
    """Make a model that calls tools for whatever is asked, and tells what they have said.

    What it does `then` it does after the first outputs, before it tells anything.
    """

    def script(request: ChatRequest) -> Sequence[Reply]:
        outputs = untold(request)
        if not outputs:
            return calls
        return then if then and len(outputs) <= len(calls) else ["So: " + " | ".join(outputs)]

    return script


def untold(request: ChatRequest) -> list[str]:
    """The outputs that a model has not yet spoken about, whatever the caller has said meanwhile."""
    outputs: list[str] = []
    for item in request.items:
        match item:
            case FunctionCallOutput(output=output):
                outputs.append(output)
            case Message(role="assistant", content=content) if str(content).count("So: "):
                outputs = []
    return outputs


def desk(*tools: Tool, replies: Sequence[Any], limits: Limits | None = None, **cast: Any) -> Simulation:
    """Return a simulation with a toolbox."""
    limits = limits or Limits()
    cast = {"client_session": Session(tools=()), **cast}
    middleware = lambda caller: Toolbox(tools, limits, caller.id)  # noqa: E731
    return Simulation(replies, limits=limits, middleware=middleware, **cast)


def outputs(timeline: Timeline) -> dict[str, str]:
    """What every call was answered, by the name of the call and its place: all of them, each once."""
    calls = {item.call_id: item.name for item in items(timeline) if isinstance(item, FunctionCall)}
    answers = [item for item in items(timeline) if isinstance(item, FunctionCallOutput)]
    assert len({answer.call_id for answer in answers}) == len(answers), "a call was answered twice"
    return {calls[answer.call_id]: answer.output for answer in answers}


def items(timeline: Timeline) -> list[Any]:
    """Everything that was put into the conversation, as it was added."""
    return [event.item for event in timeline.of(e.ConversationItemAdded)]


def said(timeline: Timeline) -> list[str]:
    """What each answer said, if anything."""
    texts: dict[str, str] = {}
    for event in timeline.of(
        e.ResponseCreated, e.ResponseOutputAudioTranscriptDelta, e.ResponseOutputTextDelta, e.ResponseDone
    ):
        if isinstance(event, e.ResponseOutputAudioTranscriptDelta | e.ResponseOutputTextDelta):
            texts[event.response_id] = texts.get(event.response_id, "") + event.delta
    return [text.strip() for text in texts.values()]


def wishes(timeline: Timeline) -> list[e.ResponseCreate]:
    """Every wish for an answer that is not one for given words."""
    return [
        event for event in timeline.of(e.ResponseCreate) if VERBATIM not in (given(event).get("metadata") or {})
    ]


def given(event: e.ResponseCreate) -> dict[str, Any]:
    return {"metadata": event.response.metadata or {}} if event.response else {}
