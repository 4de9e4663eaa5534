"""What endpoints send otherwise than OpenAI's reference says, from the data in `shapes`, with its sources."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.openai.endpoint import Endpoint, asking, body, replied, said
from vivavoce.errors import ProviderError
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, McpCall, Message, OutputAudio
from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall

pytestmark = pytest.mark.anyio

Shape = Mapping[str, Any]
SHAPES = {
    path.stem: tomllib.loads(path.read_text()) for path in sorted((Path(__file__).parent / "shapes").glob("*"))
}
ANSWER = 'data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STRICT = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}}
HISTORY = [
    Message(role="assistant", content=(OutputAudio(transcript="Good morning."),)),
    said("Hi"),
    said("Look."),
    FunctionCall(name="look", arguments="{}", call_id="call_0001"),
    FunctionCallOutput(call_id="call_0001", output="seen"),
    Message(role="assistant", content=(OutputAudio(transcript="There it is."),)),
    Message(role="system", content=(InputText(text="The user is in a hurry."),)),
    said("Thanks."),
]
FULL = ChatRequest(
    items=HISTORY,
    instructions="Be brief.",
    tools=[FunctionTool(name="look")],
    max_tokens=40,
    parallel_tool_calls=False,
    options={"temperature": 0.2, "response_format": STRICT},
)


def each(kind: str) -> Any:
    cases = [
        pytest.param(one, id=f"{name}: {one['name']}")
        for name, shape in SHAPES.items()
        for one in shape.get(kind, ())
    ]
    return pytest.mark.parametrize("shape", cases)


def test_every_endpoint_has_its_source() -> None:
    assert len(SHAPES) >= 11
    assert all(shape["endpoint"] and shape["sources"] for shape in SHAPES.values())


async def reply_to(stream: bytes, shape: Shape) -> tuple[list[object], str]:
    """Return what was yielded, and why it failed."""
    found: list[object] = []
    chat = Endpoint([body(stream, content_type="text/event-stream")]).chat(patience=0)
    try:
        async for piece in chat.reply(asking(*shape.get("tools", ()))):
            found.append(piece)  # noqa: PERF401  # what came before a failure counts
    except ProviderError as error:
        return found, str(error)
    return found, ""


@each("stream")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_stream_is_understood(shape: Shape, end: str) -> None:
    found, failure = await reply_to(shape["body"].replace("\n", end).encode(), shape)
    assert "".join(piece for piece in found if isinstance(piece, str)) == shape.get("words", "")
    assert shape.get("fails", "") in failure
    assert bool(failure) == ("fails" in shape)
    calls = [piece for piece in found if isinstance(piece, ToolCall)]
    assert [[call.name, call.arguments] for call in calls] == shape.get("calls", [])
    if not failure:
        assert found[-1] == ChatUsage(*shape.get("usage", (0, 0, 0)), finish=shape.get("finish", "stop"))


@each("failure")
async def test_a_failure_is_told_in_the_endpoints_words(shape: Shape) -> None:
    endpoint = Endpoint([body(shape["body"], shape["status"], **shape.get("headers", {})), body(ANSWER)])
    chat = endpoint.chat()
    if shape.get("retried"):
        assert (await replied(chat))[0] == "Yes."
        endpoint.answers = [body(shape["body"], shape["status"])]
    with pytest.raises(ProviderError) as caught:
        await replied(chat)
    assert shape["says"] in str(caught.value)
    assert caught.value.retryable is shape.get("retried", False)


@each("refusal")
async def test_what_an_endpoint_refuses_is_left_out_or_spelled_otherwise_from_then_on(shape: Shape) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        refused = has(json.loads(request.content), shape["refuses"])
        return (body(shape["body"], shape["status"]) if refused else body(shape.get("answer", ANSWER)))(request)

    endpoint = Endpoint([answer])
    chat = endpoint.chat(patience=0)
    assert (await replied(chat, FULL))[0] == "Yes."
    assert len(endpoint.asked) == 2
    assert shape.get("sends", {}).items() <= endpoint.body.items()
    assert (await replied(chat, FULL))[0] == "Yes."
    assert len(endpoint.asked) == (3 if shape.get("remembered", True) else 4)


def has(request: dict[str, Any], what: str) -> bool:
    """Whether a request has a parameter, or something in its messages or in its format."""
    calls = [call for message in request["messages"] for call in message.get("tool_calls", ())]
    match what:
        case "messages.system":
            return any(message["role"] == "system" for message in request["messages"])
        case "messages.in_a_row":
            roles = [
                one["role"] for one in request["messages"] if one["role"] != "tool" and "tool_calls" not in one
            ]
            later = roles[1:] if roles[0] == "system" else roles
            return later != ["user", "assistant"] * (len(later) // 2) + ["user"] * (len(later) % 2)
        case "messages.without_thoughts":
            told = [message for message in request["messages"] if message["role"] == "assistant"]
            return any("reasoning_content" not in message for message in told)
        case "messages.without_content":
            return any("content" not in message for message in request["messages"])
        case "tools.without_parameters":
            return any("parameters" not in tool["function"] for tool in request["tools"])
        case "messages.unsigned":
            return any("thought_signature" not in str(call.get("extra_content")) for call in calls)
        case "messages.long_ids":
            answered = [message["tool_call_id"] for message in request["messages"] if message["role"] == "tool"]
            assert [call["id"] for call in calls] == answered
            return any(len(call["id"]) != 9 or not call["id"].isalnum() for call in calls)
        case "response_format.strict":
            return "strict" in request["response_format"]["json_schema"]
    return what in request


@pytest.mark.parametrize("shape", [one for one in SHAPES["gemini"]["stream"] if "sent_back" in one])
async def test_a_signature_is_sent_back_with_its_call(shape: Shape) -> None:
    endpoint = Endpoint([body(shape["body"]), body(ANSWER)])
    chat = endpoint.chat()
    call, *_ = [one for one in await replied(chat, asking(*shape["tools"])) if isinstance(one, ToolCall)]
    function = FunctionCall(name=call.name, arguments=call.arguments, call_id=call.id)
    output = FunctionCallOutput(call_id=call.id, output="seen")
    mcp = McpCall(id=call.id, server_label="s", name=call.name, arguments=call.arguments, output="seen")
    for items in ([said("Hi"), function, output], [said("Hi"), mcp]):
        await replied(chat, ChatRequest(items=items))
        messages = endpoint.body["messages"]
        assert isinstance(messages, list)
        sent = [one["tool_calls"][0] for one in messages if "tool_calls" in one]
        assert [one["extra_content"] for one in sent] == [shape["sent_back"]]
