"""Tools of MCP servers in a conversation, as plays: what is offered, called, approved, and what goes wrong."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from vivavoce.limits import Limits
from vivavoce.mcp.servers import McpFailure
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import encode
from vivavoce.protocol.items import (
    InputText,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpHttpError,
    McpListTools,
    McpProtocolError,
    McpTool,
    McpToolExecutionError,
    Message,
)
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    FunctionTool,
    McpApproval,
    McpServerTool,
    McpToolFilter,
    Session,
    ToolChoiceFunction,
    ToolChoiceMcp,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Reply, Simulation, Step, Timeline, Unresponsive

pytestmark = pytest.mark.anyio

ROLL = McpTool(name="roll", description="Rolls dice.", input_schema={"type": "object"})
LOOK = McpTool(
    name="look up", description="", input_schema={"type": "object"}, annotations={"readOnlyHint": True}
)
ASKS = McpServerTool(server_label="dice", server_url="https://dice.example/mcp")
DICE = replace(ASKS, require_approval="never")
CALLED = ToolCall("roll", '{"sides":6}')


@dataclass
class Servers:
    """Servers of tools that take their time, and remember who came."""

    offers: Sequence[McpTool] = (ROLL,)
    listing: float = 0.2
    working: float = 0.3
    output: str = "5"
    failure: McpError | None = None
    forgets: int = 0
    refused: str = "nowhere"
    breaks: bool = False
    arrived: list[str] = field(default_factory=list)
    opening: float = 0
    parting: float = 0
    left: int = 0
    parted: int = 0
    called: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def refusal(self, url: str) -> str | None:
        return "not that one." if self.refused in url else None

    @asynccontextmanager
    async def connect(self, server: McpServerTool) -> AsyncIterator["Servers"]:
        self.arrived.append(server.server_label)
        await anyio.sleep(self.opening)
        try:
            yield self
        finally:
            self.left += 1
            await anyio.sleep(self.parting)
            self.parted += 1
        if self.breaks:
            raise RuntimeError("the connection broke")

    async def list_tools(self) -> Sequence[McpTool]:
        await anyio.sleep(self.listing)
        return self.offers

    async def call_tool(self, name: str, arguments: dict[str, object]) -> str:
        self.called.append((name, arguments))
        await anyio.sleep(self.working)
        if self.forgets:
            self.forgets -= 1
            raise McpFailure("dice", McpHttpError(code=404, message="Session terminated"))
        if self.failure:
            raise McpFailure("dice", self.failure)
        return self.output


def naming(*servers: McpServerTool | FunctionTool, **more: Any) -> Session:
    return Session(tools=servers, output_modalities=("text",), **more)


def update(at: float, *servers: McpServerTool | FunctionTool, **more: Any) -> ClientSends:
    return ClientSends(at, e.SessionUpdate(session=naming(*servers, **more)))


def ask(at: float, text: str = "Roll the dice.", params: ResponseParams | None = None) -> list[ClientSends]:
    item = Message(role="user", content=(InputText(text=text),))
    return [
        ClientSends(at, e.ConversationItemCreate(item=item)),
        ClientSends(at, e.ResponseCreate(response=params)),
    ]


def decide(at: float, *, approve: bool, reason: str | None = None) -> ClientSends:
    def word(timeline: Timeline) -> e.ClientEvent:
        (request,) = items(timeline, McpApprovalRequest)
        answer = McpApprovalResponse(approval_request_id=request.id, approve=approve, reason=reason)
        return e.ConversationItemCreate(item=answer)

    return ClientSends(at, word)


async def play(
    *steps: Step,
    until: float = 3,
    replies: Sequence[Reply | Sequence[Reply]] = (CALLED, "Five it is."),
    servers: Servers | None = None,
    simulation: Simulation | None = None,
    **limits: Any,
) -> tuple[Timeline, Simulation]:
    simulation = simulation or Simulation(replies, limits=Limits(**limits))
    simulation.engine.mcp = servers or Servers()
    return await simulation.run(*steps, until=until), simulation


def items(timeline: Timeline, kind: type[Any]) -> list[Any]:
    """The items of a kind in their final form."""
    done = [event.item for event in timeline.events if isinstance(event, e.ConversationItemDone)]
    return [item for item in done if isinstance(item, kind)]


def types(timeline: Timeline) -> list[str]:
    """What the server said, without what it says of every response."""
    said = [event.__struct_config__.tag for event in timeline.of(e.ServerEvent)]
    return [str(tag) for tag in said if tag != "rate_limits.updated"]


def codes(timeline: Timeline) -> list[tuple[str | None, str | None]]:
    return [(event.error.code, event.error.param) for event in timeline.of(e.ErrorEvent)]  # type: ignore[attr-defined]


def offered(simulation: Simulation, nth: int = 0) -> list[str]:
    return [tool.name for tool in simulation.chat.requests[nth].tools]


# what servers offer


async def test_a_server_lists_its_tools_in_the_background() -> None:
    timeline, _ = await play(update(0, DICE), until=1)
    assert types(timeline) == [
        "session.created",
        "session.updated",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ]
    added, done = timeline.of(e.ConversationItemAdded)[0], timeline.of(e.ConversationItemDone)[0]
    assert added.item == McpListTools(id=added.item.id, server_label="dice", tools=())  # type: ignore[attr-defined]
    assert done.item == replace(added.item, tools=(ROLL,))  # type: ignore[attr-defined]
    assert timeline.at(e.McpListToolsCompleted) == pytest.approx(0.2, abs=0.01)


async def test_a_session_may_have_servers_from_its_beginning() -> None:
    timeline, _ = await play(until=1, simulation=Simulation(session=merge(DEFAULT, naming(DICE))))
    assert types(timeline)[:3] == ["session.created", "conversation.item.added", "mcp_list_tools.in_progress"]
    assert items(timeline, McpListTools)[0].tools == (ROLL,)


async def test_an_answer_knows_the_tools_that_are_listed_when_it_begins() -> None:
    _, simulation = await play(
        update(0, DICE), *ask(0.1), *ask(1), servers=Servers(listing=0.5), replies=["Yes.", "Yes."]
    )
    assert (offered(simulation, 0), offered(simulation, 1)) == ([], ["roll"])
    assert simulation.chat.prefills[-1].tools == simulation.chat.requests[1].tools


async def test_what_is_required_but_not_yet_there_is_left_to_the_model() -> None:
    _, simulation = await play(
        update(0, DICE, tool_choice="required"),
        *ask(0.1),
        *ask(1),
        replies=["Yes."],
        servers=Servers(listing=0.5),
    )
    assert [request.tool_choice for request in simulation.chat.requests] == ["auto", "required"]


async def test_only_allowed_tools_are_listed_and_offered() -> None:
    for allowed in (("look up",), McpToolFilter(read_only=True), McpToolFilter(tool_names=("look up",))):
        servers = Servers(offers=(ROLL, LOOK))
        timeline, simulation = await play(
            update(0, replace(DICE, allowed_tools=allowed)), *ask(1), servers=servers, replies=["Yes."]
        )
        assert items(timeline, McpListTools)[0].tools == (LOOK,)
        assert offered(simulation) == ["look_up"]


async def test_tools_of_one_name_are_told_apart() -> None:
    roll = FunctionTool(name="roll")
    cards = replace(DICE, server_label="cards")
    servers = Servers()
    timeline, simulation = await play(
        update(0, roll, DICE, cards),
        *ask(1),
        *ask(2),
        update(2.5, DICE),
        *ask(3),
        replies=[ToolCall("cards_roll", "{}"), CALLED, "Yes."],
        servers=servers,
        until=4,
    )
    assert offered(simulation) == ["roll", "dice_roll", "cards_roll"]
    assert [(call.server_label, call.name) for call in items(timeline, McpCall)] == [("cards", "roll")]
    assert len(timeline.of(e.ResponseFunctionCallArgumentsDone)) == 1
    assert offered(simulation, -1) == ["dice_roll"]  # a name is kept


async def test_a_server_says_what_it_is_for() -> None:
    server = replace(DICE, server_description="for games")
    _, simulation = await play(update(0, server), *ask(1), replies=["Yes."])
    assert simulation.chat.requests[0].tools[0].description == "Rolls dice. (for games)"


@pytest.mark.parametrize("listing", [0.2, inf])
async def test_a_server_that_cannot_list_its_tools_is_asked_again_when_it_is_named_again(
    listing: float,
) -> None:
    servers = Servers(offers=(ROLL, LOOK), listing=listing)
    timeline, simulation = await play(
        update(0, DICE),
        *ask(1),
        update(1.5, DICE),
        servers=servers,
        replies=["No."],
        mcp_tools=1,
        mcp_seconds=0.5,
    )
    assert len(timeline.of(e.McpListToolsFailed)) == 2
    assert timeline.of(e.McpListToolsCompleted) == []
    assert [item.tools for item in items(timeline, McpListTools)] == [(), ()]
    assert offered(simulation) == []


async def test_a_server_that_is_named_again_is_not_asked_again() -> None:
    servers = Servers()
    timeline, _ = await play(update(0, DICE), update(1, ASKS), servers=servers)
    assert len(timeline.of(e.McpListToolsInProgress)) == 1
    assert servers.arrived == ["dice"]


async def test_a_server_that_is_not_named_any_more_is_left() -> None:
    servers = Servers()
    await play(update(0, DICE), update(1, replace(DICE, server_label="cards")), servers=servers)
    assert servers.arrived == ["dice", "cards"]
    assert servers.left == 2  # the second when the caller hung up


async def test_servers_listed_while_the_caller_speaks_do_not_cost_the_answer() -> None:
    timeline, _ = await play(
        update(0.9, DICE),
        CallerSays(0.5, "How are you?"),
        until=4,
        replies=["Fine."],
        servers=Servers(listing=0.6),
    )
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed"]  # type: ignore[attr-defined]


# what clients may name


async def test_a_server_that_may_not_be_named_changes_nothing() -> None:
    elsewhere = replace(DICE, server_url="https://nowhere.example")
    timeline, simulation = await play(update(0, DICE), update(0.5, elsewhere), *ask(1), replies=["Yes."])
    assert codes(timeline) == [("invalid_value", "session.tools[0].server_url")]
    assert offered(simulation) == ["roll"]
    params = ResponseParams(tools=(FunctionTool(name="f"), elsewhere))
    timeline, _ = await play(ClientSends(0, e.ResponseCreate(response=params)))
    assert codes(timeline) == [("invalid_value", "response.tools[1].server_url")]


async def test_a_session_names_only_so_many_servers() -> None:
    more = [replace(DICE, server_label=label) for label in ("a", "b", "c")]
    timeline, _ = await play(update(0, *more), mcp_servers=2)
    assert codes(timeline) == [("invalid_value", "session.tools")]
    timeline, _ = await play(
        update(0, *more[:2]),
        ClientSends(0.5, e.ResponseCreate(response=ResponseParams(tools=(more[2],)))),
        mcp_servers=2,
    )
    assert codes(timeline) == [("invalid_value", "response.tools")]
    simulation = Simulation(session=merge(DEFAULT, naming(*more)), limits=Limits(mcp_servers=2))
    timeline, _ = await play(simulation=simulation)
    assert len(timeline.of(e.McpListToolsFailed)) > 0


async def test_secrets_are_for_servers_only() -> None:
    secret = replace(DICE, authorization="mellon", headers={"X-Key": "mellon"})
    timeline, _ = await play(update(0, secret), *ask(1), until=2)
    assert b"mellon" not in b"".join(encode(event).encode() for event in timeline.of(e.ServerEvent))


# what the model wants done


async def test_a_tool_is_called_after_the_answer_and_the_client_goes_on() -> None:
    servers = Servers()
    timeline, simulation = await play(update(0, DICE), *ask(1), *ask(2, "And?"), until=3, servers=servers)
    began = types(timeline).index("response.created")
    assert types(timeline)[began : began + 11] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert servers.called == [("roll", {"sides": 6})]
    (in_answer,) = timeline.of(e.ResponseDone)[0].response.output  # type: ignore[attr-defined]
    assert isinstance(in_answer, McpCall)
    assert (in_answer.arguments, in_answer.output, in_answer.error) == ('{"sides":6}', None, None)
    (call,) = items(timeline, McpCall)
    assert call == replace(in_answer, output="5")
    assert timeline.of(e.ResponseOutputItemDone)[0].item == call  # type: ignore[attr-defined]
    assert simulation.chat.requests[1].items[1] == call
    assert len(timeline.of(e.ResponseCreated)) == 2


async def test_a_server_is_told_when_the_caller_hangs_up() -> None:
    servers = Servers(parting=0.5, working=inf)
    await play(update(0, DICE), *ask(0.5), servers=servers)
    assert (servers.left, servers.parted) == (1, 1), "though one of its tools was still at work"


@pytest.mark.parametrize("at", ["the door", "goodbye"])
async def test_a_server_keeps_nobody_who_hangs_up(at: str) -> None:
    servers = Servers(parting=inf) if at == "goodbye" else Servers(opening=inf)
    began = anyio.current_time()
    await play(update(0, DICE), until=1, servers=servers)
    assert anyio.current_time() - began < 4
    assert servers.parted == 0


async def test_what_a_client_asks_while_a_tool_works_is_answered() -> None:
    timeline, simulation = await play(
        update(0, DICE), *ask(1), *ask(1.5, "How are you?"), servers=Servers(working=2), until=4
    )
    pending = simulation.chat.requests[1].items[1]
    assert isinstance(pending, McpCall)
    assert pending.output is None
    assert timeline.at(e.ResponseDone, 1) < timeline.at(e.ResponseMcpCallCompleted)
    assert items(timeline, McpCall)[0].output == "5"


async def test_a_caller_who_talks_on_does_not_disturb_the_tool() -> None:
    timeline, simulation = await play(
        ClientSends(0, e.SessionUpdate(session=Session(tools=(DICE,)))),
        CallerSays(0.5, "Roll the dice for me."),
        CallerSays(3.5, "Are you still there?"),
        until=8,
        replies=[["One moment.", CALLED], "I am here."],
        servers=Servers(working=3),
    )
    statuses = [event.response.status for event in timeline.of(e.ResponseDone)]  # type: ignore[attr-defined]
    assert statuses == ["completed", "completed"]
    assert timeline.at(e.ResponseMcpCallInProgress) < timeline.at(e.InputAudioBufferSpeechStarted, 1)
    assert timeline.at(e.ResponseMcpCallCompleted) > timeline.at(e.InputAudioBufferSpeechStarted, 1)
    (call,) = items(timeline, McpCall)
    assert call.output == "5"
    assert any(isinstance(item, McpCall) for item in simulation.chat.requests[-1].items)


async def test_a_tool_is_not_called_for_an_answer_that_was_cut_short_before() -> None:
    servers = Servers()
    timeline, _ = await play(
        update(0, DICE),
        *ask(1),
        ClientSends(2, e.ResponseCancel()),
        replies=[["Let me see.", CALLED, Unresponsive()]],
        servers=servers,
    )
    assert timeline.of(e.ResponseDone)[0].response.status == "cancelled"  # type: ignore[attr-defined]
    assert servers.called == []


async def test_two_calls_are_done_at_once() -> None:
    timeline, _ = await play(update(0, DICE), *ask(1), replies=[[CALLED, CALLED]])
    assert [call.output for call in items(timeline, McpCall)] == ["5", "5"]
    assert timeline.at(e.ResponseMcpCallCompleted, 0) == timeline.at(e.ResponseMcpCallCompleted, 1)
    assert [event.output_index for event in timeline.of(e.ResponseMcpCallCompleted)] == [0, 1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "failure",
    [
        McpToolExecutionError(message="no dice"),
        McpHttpError(code=502, message="Bad Gateway"),
        McpProtocolError(code=-32602, message="Invalid params"),
    ],
)
async def test_a_tool_that_fails_is_told_of(failure: McpError) -> None:
    timeline, simulation = await play(update(0, DICE), *ask(1), *ask(2), servers=Servers(failure=failure))
    assert "response.mcp_call.completed" not in types(timeline)
    (call,) = items(timeline, McpCall)
    assert (call.output, call.error) == (None, failure)
    assert simulation.chat.requests[1].items[1] == call
    failed = types(timeline).index("response.mcp_call.failed")
    assert types(timeline)[failed - 1 : failed + 3] == [
        "response.mcp_call.in_progress",
        "response.mcp_call.failed",
        "conversation.item.done",
        "response.output_item.done",
    ]


async def test_a_tool_has_only_so_much_time() -> None:
    timeline, _ = await play(update(0, DICE), *ask(1), servers=Servers(working=inf), mcp_seconds=0.5)
    (call,) = items(timeline, McpCall)
    assert call.error == McpProtocolError(code=-32001, message="no answer within 0.5 s (limits.mcp_seconds)")


@pytest.mark.parametrize("arguments", ["[]", "{", "6"])
async def test_arguments_that_are_none_are_not_sent(arguments: str) -> None:
    servers = Servers()
    timeline, _ = await play(update(0, DICE), *ask(1), replies=[ToolCall("roll", arguments)], servers=servers)
    assert items(timeline, McpCall)[0].error.code == -32602
    assert servers.called == []


async def test_a_tool_may_only_say_so_much() -> None:
    timeline, _ = await play(update(0, DICE), *ask(1), servers=Servers(output="x" * 99), mcp_output_chars=10)
    assert items(timeline, McpCall)[0].output == "xxxxxxxxxx… (cut off: limits.mcp_output_chars)"


async def test_only_so_many_calls_are_under_way() -> None:
    timeline, _ = await play(update(0, ASKS), *ask(1), replies=[[CALLED, CALLED, CALLED]], mcp_calls=2)
    assert len(items(timeline, McpApprovalRequest)) == 2
    (refused,) = items(timeline, McpCall)
    assert "limits.mcp_calls" in refused.error.message


async def test_a_server_that_has_forgotten_us_is_visited_again() -> None:
    servers = Servers(forgets=1)
    timeline, _ = await play(update(0, DICE), *ask(1), servers=servers)
    assert items(timeline, McpCall)[0].output == "5"
    assert servers.arrived == ["dice", "dice"]


async def test_a_connection_that_breaks_is_nobodys_end() -> None:
    servers = Servers(breaks=True)
    timeline, _ = await play(update(0, DICE), update(1), update(1.5, DICE), *ask(2), servers=servers, until=3)
    assert items(timeline, McpCall)[0].output == "5"
    assert codes(timeline) == []


async def test_an_item_may_be_deleted_while_its_tool_works() -> None:
    def delete(timeline: Timeline) -> e.ClientEvent:
        return e.ConversationItemDelete(item_id=timeline.of(e.ResponseMcpCallInProgress)[0].item_id)  # type: ignore[attr-defined]

    timeline, _ = await play(update(0, DICE), *ask(1), ClientSends(1.4, delete))
    assert types(timeline)[-2:] == ["response.mcp_call.completed", "response.output_item.done"]


# approval


async def test_a_call_waits_for_the_clients_word() -> None:
    servers = Servers()
    timeline, _ = await play(update(0, ASKS), *ask(1), decide(2, approve=True), servers=servers)
    began = types(timeline).index("response.mcp_call_arguments.done")
    assert types(timeline)[began:] == [
        "response.mcp_call_arguments.done",
        "conversation.item.added",
        "conversation.item.done",
        "response.done",
        "conversation.item.added",
        "conversation.item.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    (request,), (call,) = items(timeline, McpApprovalRequest), items(timeline, McpCall)
    assert (request.server_label, request.name, request.arguments) == ("dice", "roll", '{"sides":6}')
    assert (call.approval_request_id, call.output) == (request.id, "5")
    assert timeline.at(e.ResponseMcpCallInProgress) == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize(
    ("reason", "message"), [(None, "the call was not approved"), ("no", "the call was not approved: no")]
)
async def test_a_call_that_is_not_approved_fails_and_is_not_made(reason: str | None, message: str) -> None:
    servers = Servers()
    timeline, simulation = await play(
        update(0, ASKS), *ask(1), decide(2, approve=False, reason=reason), *ask(2.2), servers=servers
    )
    assert servers.called == []
    assert "response.mcp_call.in_progress" not in types(timeline)
    assert len(timeline.of(e.ResponseMcpCallFailed)) == 1
    (call,) = items(timeline, McpCall)
    assert call.error == McpToolExecutionError(message=message)
    assert call in simulation.chat.requests[1].items


async def test_nobody_waits_for_a_word_that_was_given_or_never_asked_for() -> None:
    made_up = McpApprovalResponse(approval_request_id="mcpr_1", approve=True)
    servers = Servers()
    timeline, _ = await play(
        update(0, ASKS),
        *ask(1),
        ClientSends(1.5, e.ConversationItemCreate(item=made_up)),
        decide(2, approve=True),
        decide(2.02, approve=True),
        servers=servers,
    )
    assert codes(timeline) == [("invalid_value", "item.approval_request_id")] * 2
    assert len(servers.called) == 1
    assert len(items(timeline, McpApprovalResponse)) == 1


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        ("always", {"roll", "look up"}),
        (None, {"roll", "look up"}),
        ("never", set()),
        (McpApproval(), {"roll", "look up"}),
        (McpApproval(never=McpToolFilter()), {"roll", "look up"}),
        (McpApproval(never=McpToolFilter(read_only=True)), {"roll"}),
        (McpApproval(never=McpToolFilter(tool_names=("roll",))), {"look up"}),
        (
            McpApproval(always=McpToolFilter(tool_names=("roll",)), never=McpToolFilter(tool_names=("roll",))),
            {"roll", "look up"},
        ),
        (McpApproval(always=McpToolFilter(tool_names=("roll",))), {"roll", "look up"}),
        (McpApproval(never=McpToolFilter(tool_names=("look up",), read_only=False)), {"roll", "look up"}),
    ],
)
async def test_the_session_says_which_calls_need_approval(rule: Any, asked: set[str]) -> None:
    timeline, _ = await play(
        update(0, replace(ASKS, require_approval=rule)),
        *ask(1),
        servers=Servers(offers=(ROLL, LOOK)),
        replies=[[CALLED, ToolCall("look_up", "{}")]],
    )
    assert {request.name for request in items(timeline, McpApprovalRequest)} == asked


# what must be called


async def test_a_servers_tool_can_be_demanded() -> None:
    servers = Servers(offers=(ROLL, LOOK), listing=0.5)
    by_name = ToolChoiceMcp(server_label="dice", name="look up")
    _, simulation = await play(
        update(0, DICE, FunctionTool(name="other")),
        *ask(0.1, params=ResponseParams(tool_choice=by_name)),
        *ask(1, params=ResponseParams(tool_choice=ToolChoiceMcp(server_label="dice"))),
        servers=servers,
        replies=["Yes."],
    )
    first, second = simulation.chat.requests
    assert first.tool_choice == ToolChoiceFunction(name="look_up")  # it has waited
    assert {tool.name for tool in first.tools} == {"other", "roll", "look_up"}
    assert (second.tool_choice, {tool.name for tool in second.tools}) == ("required", {"roll", "look_up"})


async def test_what_is_not_there_cannot_be_demanded() -> None:
    missing = ResponseParams(tool_choice=ToolChoiceMcp(server_label="dice", name="fly"))
    stranger = ResponseParams(tool_choice=ToolChoiceMcp(server_label="cards"))
    timeline, _ = await play(
        update(0, DICE), *ask(0.1, params=missing), *ask(2, params=missing), *ask(2.2, params=stranger), until=4
    )
    assert codes(timeline) == [
        ("invalid_value", "response.tool_choice"),
        ("invalid_value", "response.tool_choice.server_label"),
    ]
    (failed,) = timeline.of(e.ResponseDone)
    assert failed.response.status == "failed"  # type: ignore[attr-defined]
    assert "has no tool called 'fly'" in failed.response.status_details.error.message  # type: ignore[attr-defined]


async def test_a_choice_of_the_sessions_does_not_bind_an_answer_without_its_tools() -> None:
    _, simulation = await play(
        update(0, DICE, tool_choice=ToolChoiceMcp(server_label="dice")),
        *ask(1, params=ResponseParams(tools=())),
        replies=["Yes."],
    )
    assert (simulation.chat.requests[0].tools, simulation.chat.requests[0].tool_choice) == ((), "auto")


# servers of one answer alone


async def test_an_answer_waits_for_a_server_that_it_alone_names() -> None:
    servers = Servers()
    timeline, simulation = await play(*ask(0.5, params=ResponseParams(tools=(DICE,))), *ask(2), servers=servers)
    assert (offered(simulation, 0), offered(simulation, 1)) == (["roll"], [])
    assert items(timeline, McpCall)[0].output == "5"
    assert len(items(timeline, McpListTools)) == 1
    assert servers.left == 1


async def test_out_of_band_nothing_is_offered_that_needs_approval() -> None:
    aside = ResponseParams(conversation="none")
    _, simulation = await play(update(0, ASKS), *ask(1, params=aside), replies=["Yes."])
    assert offered(simulation) == []
    timeline, simulation = await play(update(0, DICE), *ask(1, params=aside))
    assert offered(simulation) == ["roll"]
    assert items(timeline, McpCall) == []
    done = timeline.of(e.ResponseOutputItemDone)[0]
    assert done.item.output == "5"  # type: ignore[attr-defined]
