"""Chat completions, asked for by OpenAI's own client, and by hand where that is too polite."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from openai import APIError, APIStatusError, AsyncAzureOpenAI, AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from vivavoce.errors import ProviderError
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputImage, InputText, Message, OutputText
from vivavoce.protocol.session import ToolChoiceFunction
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import Simulation, Unresponsive

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
PATH = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "Hello?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "title", "schema": {"type": "object"}}}
CALL = ToolCall("get_weather", '{"city":"Paris"}')


def a_stage(*replies: Any) -> Simulation:
    return Simulation(replies or ("Paris, of course.",), chat_delay=0, word_delay=0, synthesizer_delay=0)


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, timeout=30) as client:
        yield client


async def post(url: str, body: object, path: str = PATH) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        return await client.post(path, json=body)


# whole answers


async def test_a_question_is_answered_in_writing(site: Site) -> None:
    simulation = a_stage()
    async with site(simulation) as url, client_of(url) as client:
        told: Any = [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        ]
        raw = await client.chat.completions.with_raw_response.create(model="gpt-5", messages=[*told, *HELLO])
        answer = ChatCompletion.model_validate_json(raw.content, strict=True)
    (choice,) = answer.choices
    assert choice.message.content == "Paris, of course. "
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert answer.model == "gpt-5"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        10,
        3,
        13,
    )
    (asked,) = simulation.chat.requests
    assert asked.instructions == "Be brief.\n\nBe kind."
    assert not asked.spoken, "it is read, not heard"
    assert asked.max_tokens == 4096


async def test_all_that_was_said_is_handed_on(site: Site) -> None:
    simulation = a_stage()
    said: Any = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Rain."}]},
        {"role": "assistant", "content": "It rains.", "refusal": None, "annotations": [], "audio": None},
        {"role": "system", "content": "The user is in a hurry."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "tomorrow?"}]},
    ]  # fmt: skip
    async with site(simulation) as url, client_of(url) as client:
        await client.chat.completions.create(model="m", messages=said)
    assert list(simulation.chat.requests[0].items) == [
        Message(role="user", content=(InputText(text="Hello?"),)),
        FunctionCall(name="get_weather", arguments="{}", call_id="call_1"),
        FunctionCallOutput(call_id="call_1", output="Rain."),
        Message(role="assistant", content=(OutputText(text="It rains."),)),
        Message(role="system", content=(InputText(text="The user is in a hurry."),)),
        Message(role="user", content=(InputText(text="And"), InputText(text="tomorrow?"))),
    ]


async def test_images_are_shown_to_a_model_that_sees(site: Site) -> None:
    simulation = a_stage("A cat.")
    simulation.chat.supports_images = True
    url_of_cat = "data:image/png;base64," + base64.b64encode(bytes(200_000)).decode()
    shown: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url_of_cat}},
    ]
    async with site(simulation) as url, client_of(url) as client:
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": shown}])
    (said,) = simulation.chat.requests[0].items
    assert said == Message(
        role="user", content=(InputText(text="What is it?"), InputImage(image_url=url_of_cat, detail="auto"))
    )


async def test_a_tool_is_called_and_its_answer_taken(site: Site) -> None:
    async with site(a_stage(CALL, "It rains in Paris.")) as url, client_of(url) as client:
        first = await client.chat.completions.create(model="m", messages=HELLO, tools=[TOOL])
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.content is None
        assert message.tool_calls is not None
        (call,) = message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
        answer: Any = {"role": "tool", "tool_call_id": call.id, "content": "Rain."}
        asked: Any = [*HELLO, message.model_dump(), answer, {"role": "user", "content": "And?"}]
        second = await client.chat.completions.create(model="m", messages=asked, tools=[TOOL])
        assert second.choices[0].message.content == "It rains in Paris. "


async def test_a_choice_of_tools_is_handed_on_and_kept_to(site: Site) -> None:
    simulation = a_stage(["Well.", CALL, CALL])
    async with site(simulation) as url, client_of(url) as client:
        ask = client.chat.completions.create
        choice: Any = {"type": "function", "function": {"name": "get_weather"}}
        forced = await ask(model="m", messages=HELLO, tools=[TOOL], tool_choice=choice)
        none = await ask(model="m", messages=HELLO, tools=[TOOL], tool_choice="none")
        single = await ask(model="m", messages=HELLO, tools=[TOOL], parallel_tool_calls=False)
    assert simulation.chat.requests[0].tool_choice == ToolChoiceFunction(name="get_weather")
    assert [len(answer.choices[0].message.tool_calls or ()) for answer in (forced, none, single)] == [2, 0, 1]
    assert none.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_no_longer_than_was_wished(site: Site, name: str) -> None:
    async with site(a_stage()) as url, client_of(url) as client:
        wish: Any = {name: 2}
        answer = await client.chat.completions.create(model="m", messages=HELLO, **wish)
        assert answer.choices[0].finish_reason == "length"
        assert answer.choices[0].message.content == "Paris, of "


@pytest.mark.parametrize("stop", ["of", [" co", "course"], ["nowhere", "of course"]])
async def test_an_answer_ends_where_it_was_told_to(site: Site, stop: Any) -> None:
    async with site(a_stage(["Paris, of course.", Unresponsive()])) as url, client_of(url) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO, stop=stop)
        assert answer.choices[0].message.content in {"Paris, ", "Paris, of"}
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is None, "nobody knows what it cost"


async def test_what_was_no_stop_after_all_is_written(site: Site) -> None:
    async with site(a_stage(["Paris, of", CALL])) as url, client_of(url) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO, tools=[TOOL], stop="of course")
        assert answer.choices[0].message.content == "Paris, of "
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.usage is not None


async def test_a_model_that_heeds_more_is_told_more(site: Site) -> None:
    simulation = a_stage('{"title": "Paris"}')
    simulation.chat.supported_options = frozenset({"response_format", "logit_bias", "temperature", "stop"})
    async with site(simulation) as url, client_of(url) as client:
        await client.chat.completions.create(
            model="m",
            messages=HELLO,
            response_format=SCHEMA,
            logit_bias={"50256": -100},
            temperature=0.2,
            top_p=0.5,
            stop=["END"],
        )
        await client.chat.completions.create(
            model="m", messages=HELLO, response_format={"type": "text"}, logit_bias={}, stop=None
        )
    assert [asked.options for asked in simulation.chat.requests] == [
        {
            "response_format": SCHEMA,
            "logit_bias": {"50256": -100},
            "temperature": 0.2,
            "stop": ["END"],
        },
        {},
    ]


# as they are written


async def test_an_answer_may_be_read_as_it_is_written(site: Site) -> None:
    async with site(a_stage()) as url, client_of(url) as client:
        stream = await client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "Paris, of course. "
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None, None, None, "stop"]
    assert (chunks[-1].choices, chunks[-1].usage and chunks[-1].usage.total_tokens) == ([], 13)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_what_is_streamed_is_as_openai_streams_it(site: Site) -> None:
    async with site(a_stage(["Well.", CALL])) as url:
        answer = await post(url, {"messages": HELLO, "tools": [TOOL], "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [
        ChatCompletionChunk.model_validate_json(line.removeprefix("data: "), strict=True) for line in lines
    ]
    assert chunks[0].model == "vivavoce"
    assert all(chunk.usage is None for chunk in chunks)
    (call,) = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert (call.index, call.function and call.function.name) == (0, "get_weather")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_a_streamed_answer_ends_where_it_was_told_to(site: Site) -> None:
    async with site(a_stage(["Paris, of course.", Unresponsive()])) as url:
        wish = {"stream": True, "stream_options": {"include_usage": True}, "stop": ", of c"}
        answer = await post(url, {"messages": HELLO, **wish})
    *lines, done, _ = answer.text.split("\n\n")
    chunks = [
        ChatCompletionChunk.model_validate_json(line.removeprefix("data: "), strict=True) for line in lines
    ]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Paris"
    assert (chunks[-1].choices[0].finish_reason, done) == ("stop", "data: [DONE]")


async def test_openais_client_puts_a_streamed_call_together(site: Site) -> None:
    async with (
        site(a_stage([CALL, CALL])) as url,
        client_of(url) as client,
        client.chat.completions.stream(model="m", messages=HELLO, tools=[TOOL]) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.arguments for call in calls] == [CALL.arguments] * 2
    assert len({call.id for call in calls}) == 2


# failures


async def test_a_model_that_fails_at_once_is_answered_with_a_status(site: Site) -> None:
    async with site(a_stage(ProviderError("chat", "is out of words"))) as url, client_of(url) as client:
        for stream in (False, True):
            with pytest.raises(APIStatusError, match="out of words") as caught:
                await client.chat.completions.create(model="m", messages=HELLO, stream=stream)  # type: ignore[call-overload]
            assert caught.value.status_code == 502


async def test_a_model_that_fails_in_the_middle_says_so(site: Site) -> None:
    simulation = a_stage(["Well,", ProviderError("chat", "is out of words")])
    async with site(simulation) as url, client_of(url) as client:
        stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert (await anext(stream)).choices[0].delta.content == "Well, "
        with pytest.raises(APIError, match="out of words"):
            await anext(stream)


async def test_a_model_that_is_silent_is_given_up(site: Site) -> None:
    async with site(a_stage(Unresponsive()), limits={"first_token_seconds": 0.1}) as url:
        answer = await post(url, {"messages": HELLO})
        assert (answer.status_code, "silent" in answer.text) == (502, True)


@pytest.mark.parametrize("reply", [Unresponsive(), ["Well,", Unresponsive()]], ids=["silent", "in the middle"])
@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_frees_the_place_and_stops_the_model(site: Site, reply: Any, stream: bool) -> None:
    async with site(a_stage(reply), limits={"http_requests": 1, "first_token_seconds": 60}) as url:
        with anyio.move_on_after(0.5):
            await post(url, {"messages": HELLO, "stream": stream})
        with anyio.fail_after(5):
            while (await post(url, {"messages": []})).status_code == 503:
                continue


async def test_one_more_than_there_is_room_for_is_told_to_come_back(site: Site) -> None:
    async with site(a_stage(Unresponsive()), limits={"http_requests": 1, "first_token_seconds": 0.5}) as url:
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await post(url, {"messages": HELLO}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
    refused, _ = sorted(answers, key=lambda answer: -answer.status_code)
    assert refused.status_code == 503
    assert "limits.http_requests" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"]


# what is wrong


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": "a" * 300}, "stop"),
        ({"stop": 7}, "stop"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"logit_bias": {"50256": "never"}}, "logit_bias.50256"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": SCHEMA}, "response_format"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"presence_penalty": "much"}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        ({"modalities": ["text", "audio"]}, "modalities[1]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"functions": []}, "functions"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "pirate", "content": "Arr."}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
            "messages[0].content[0]",
        ),  # the stage's model sees nothing
        (
            {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "Rain."}]},
            "messages[0].tool_call_id",
        ),
        ({"messages": [{"role": "user", "content": "a" * 200}]}, "messages[0].content"),
        ({"messages": HELLO * 20}, "messages"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
        ({"tools": [TOOL] * 3}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice.function.name"),
        ({"stream": "yes"}, "stream"),
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_refused_by_its_name(site: Site, wish: dict[str, Any], param: str) -> None:
    async with site(a_stage(), limits={"text_chars": 100, "items": 10, "tools": 2}) as url:
        answer = await post(url, {"messages": HELLO, **wish})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_what_would_not_be_missed_is_ignored(site: Site) -> None:
    async with site(a_stage()) as url, client_of(url) as client:
        answer = await client.chat.completions.create(
            model="m",
            messages=HELLO,
            temperature=0.2,
            top_p=0.9,
            seed=7,
            prompt_cache_key="titles",
            extra_body={"prompt_cache_options": {"mode": "implicit"}},
            user="ada",
            metadata={"a": "b"},
            store=False,
            n=1,
            stop=None,
            response_format={"type": "text"},
            reasoning_effort="low",
            frequency_penalty=0.1,
        )
        assert answer.choices[0].message.content


async def test_a_body_too_large_or_no_json_is_refused(site: Site) -> None:
    async with site(a_stage(), limits={"body_bytes": 1000}) as url:
        answer = await post(url, {"messages": HELLO, "user": "a" * 2000})
        assert (answer.status_code, "limits.body_bytes" in answer.text) == (413, True)
        assert (await post(url, [])).status_code == 400


async def test_openais_client_is_told_the_param(site: Site) -> None:
    async with site(a_stage()) as url, client_of(url) as client:
        with pytest.raises(BadRequestError) as caught:
            await client.chat.completions.create(model="m", messages=HELLO, n=3)
        assert caught.value.param == "n"


# addresses


async def test_azures_clients_find_it_too(site: Site) -> None:
    async with site(a_stage(), keys="sesame") as url:
        async with AsyncAzureOpenAI(
            api_key="sesame", azure_endpoint=url, api_version="2024-10-21", max_retries=0
        ) as client:
            answer = await client.chat.completions.create(model="my-deployment", messages=HELLO)
            assert answer.model == "my-deployment"
            assert answer.choices[0].message.content
        async with AsyncOpenAI(api_key="sesame", base_url=f"{url}/openai/v1", max_retries=0) as v1:
            assert "vivavoce" in [model.id async for model in v1.models.list()]
            assert (await v1.chat.completions.create(model="m", messages=HELLO)).choices
