"""The requests, and the usual answers. What endpoints do otherwise is in `test_shapes.py`."""

import json
import struct
from dataclasses import replace

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.openai.endpoint import (
    URL,
    Answer,
    Endpoint,
    body,
    delta,
    events,
    pieces,
    replied,
    said,
)
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    McpCall,
    Message,
    OutputAudio,
)
from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction, ToolChoiceMcp
from vivavoce.providers.base import ChatRequest, ChatUsage, TimedWord, ToolCall, Transcript
from vivavoce.providers.dialogue import SPOKEN_STYLE
from vivavoce.providers.openai.chat import PLUGIN as CHAT
from vivavoce.providers.openai.chat import OpenAIChat, OpenAIChatSettings, chat_body
from vivavoce.providers.openai.client import ApiSettings
from vivavoce.providers.openai.completion import EventLines
from vivavoce.providers.openai.synthesizer import PLUGIN as SYNTHESIZER
from vivavoce.providers.openai.synthesizer import Chunks
from vivavoce.providers.openai.transcriber import PLUGIN as TRANSCRIBER
from vivavoce.providers.openai.transcriber import OpenAITranscriber, OpenAITranscriberSettings

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret"


class Far(Endpoint):
    @property
    def answer(self) -> Answer:
        return self.answers[0]

    @answer.setter
    def answer(self, answer: Answer) -> None:
        self.answers = [answer]


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return Far([body("", 500)])


async def no_weights(model: str) -> dict[str, object]:
    raise AssertionError("an endpoint needs no weights")


async def ask(far: Far, request: ChatRequest | None = None, **settings: object) -> list[object]:
    return await far.reply(request, **{"key_env": "OPENAI_API_KEY", **settings})


async def test_words_come_as_they_are_written_and_then_the_usage(far: Far) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    far.answer = events(delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo é"),
                        delta("stop"), {"choices": [], "usage": usage})  # fmt: skip
    assert await ask(far) == ["Hel", "lo é", ChatUsage(9, 2, 4)]


async def test_an_answer_cut_short_says_so(far: Far) -> None:
    far.answer = events(delta(content="Well"), delta("length"))
    assert await ask(far, ChatRequest(items=[said("Hi")], max_tokens=1)) == [
        "Well",
        ChatUsage(0, 0, 0, "length"),
    ]
    assert far.body["max_tokens"] == 1


async def test_tool_calls_are_put_together_from_their_pieces(far: Far) -> None:
    def piece(index: int, **function: str) -> dict[str, object]:
        return {"index": index, "function": function}

    far.answer = events(
        delta(tool_calls=[piece(0, name="weather", arguments="")]),
        delta(tool_calls=[piece(0, arguments='{"city": ')]),
        delta(tool_calls=[piece(0, arguments='"Oslo"}'), piece(1, name="hang_up")]),
        delta("tool_calls"),
    )
    tools = [FunctionTool(name="weather", description="Tells.", parameters={"type": "object"})]
    assert await ask(far, ChatRequest(items=[said("Hi")], tools=tools)) == [
        ToolCall("weather", '{"city": "Oslo"}'),
        ToolCall("hang_up", "{}"),
        ChatUsage(0, 0),
    ]
    assert far.body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Tells.", "parameters": {"type": "object"}},
        }
    ]


async def test_the_key_goes_where_the_endpoint_looks_for_it(far: Far) -> None:
    far.answer = events(delta("stop"))
    await ask(far, headers={"x-more": "1"})
    request = far.asked[-1]
    assert (request.url.path, request.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert request.headers["x-more"] == "1"
    await ask(far, api_version="2026-01-01")
    request = far.asked[-1]
    assert (request.headers["api-key"], request.url.params["api-version"]) == (KEY, "2026-01-01")
    assert "authorization" not in request.headers


async def test_an_endpoint_that_wants_no_key_gets_none(far: Far) -> None:
    far.answer = events(delta("stop"))
    await ask(far, key_env="")
    assert "authorization" not in far.asked[-1].headers


@pytest.mark.parametrize(
    ("status", "content", "says", "again"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "401: Incorrect API key", False),
        (429, {"error": {"message": "Slow down"}}, "429: Slow down", True),
        (404, {"error": "no such model"}, "404: no such model", False),
        (500, ["?"], "500: ?", True),
    ],
)
async def test_a_refusal_is_told_with_its_reason_and_without_the_key(
    far: Far, caplog: pytest.LogCaptureFixture, status: int, content: object, says: str, again: bool
) -> None:
    caplog.set_level("DEBUG")
    far.answer = body(json.dumps(content), status)
    with pytest.raises(ProviderError, match="openai: answered") as caught:
        await ask(far)
    assert says in str(caught.value)
    assert caught.value.retryable is again
    assert KEY not in str(caught.value) + caplog.text


async def test_a_refusal_may_be_long_and_empty(far: Far) -> None:
    far.answer = body(b"", 502)
    with pytest.raises(ProviderError, match="no reason given"):
        await ask(far)
    far.answer = body(b"x" * 100_000, 400)
    with pytest.raises(ProviderError) as caught:
        await ask(far)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("garbage", ["data: {\n\n", "data: [1]\n\n", 'data: {"choices": 7}\n\n'])
async def test_garbage_is_no_answer(far: Far, garbage: str) -> None:
    far.answer = body(garbage)
    with pytest.raises(ProviderError, match="no chat completion"):
        await ask(far)


async def test_an_error_may_come_in_the_middle(far: Far) -> None:
    far.answer = events(delta(content="Well"), {"error": {"message": f"out of luck, {KEY}"}})
    with pytest.raises(ProviderError, match=r"out of luck, \*\*\*"):
        await ask(far)
    far.answer = events({"error": "overloaded"})
    with pytest.raises(ProviderError, match="overloaded"):
        await ask(far)


async def test_an_endpoint_that_hangs_up_has_not_answered(far: Far) -> None:
    far.answer = events(delta(content="Well"), done=False)
    with pytest.raises(ProviderError, match="hung up") as caught:
        await ask(far)
    assert caught.value.retryable

    far.answer = pieces(b"data: ", httpx.ReadError("gone"))
    with pytest.raises(ProviderError, match="connection failed") as caught:
        await ask(far)
    assert caught.value.retryable


async def test_a_silent_endpoint_takes_too_long(far: Far) -> None:
    far.answer = pieces(b": hold the line\n\n", httpx.ReadTimeout(""))
    with pytest.raises(ProviderError, match="too long") as caught:
        await ask(far, timeout=0.2)
    assert caught.value.retryable


@pytest.mark.real_time
async def test_nobody_at_the_address_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
    await listener.aclose()
    settings = OpenAIChatSettings(base_url=f"http://127.0.0.1:{port}/v1", key_env="", patience=0)
    chat = await CHAT.open(settings, no_weights)
    assert isinstance(chat, OpenAIChat)
    with pytest.raises(ProviderError, match="connection failed") as caught:
        await replied(chat)
    assert caught.value.retryable


@pytest.mark.real_time
async def test_closing_the_answer_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    left = anyio.Event()

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            chunk = f"data: {json.dumps(delta(content='on and '))}\n\n".encode()
            await stream.send(b"HTTP/1.1 200 OK\r\n\r\n" + chunk)
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            left.set()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
        chat = await CHAT.open(OpenAIChatSettings(base_url=f"http://127.0.0.1:{port}", key_env=""), no_weights)
        assert isinstance(chat, OpenAIChat)
        reply = chat.reply(ChatRequest(items=[said("Hi")]))
        assert await anext(reply) == "on and "
        await reply.aclose()  # type: ignore[attr-defined]
        with anyio.fail_after(5):
            await left.wait()
        await chat.aclose()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("plugin", [CHAT, TRANSCRIBER, SYNTHESIZER])
async def test_a_missing_key_is_told_with_the_line_to_write(
    plugin: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for one in (CHAT, TRANSCRIBER, SYNTHESIZER):
        if one is plugin:
            with pytest.raises(ConfigError, match="write OPENAI_API_KEY=…"):
                await one.open(one.settings(), no_weights)
            assert one.about(one.settings()).endswith("https://api.openai.com/v1")


def test_what_is_asked_holds_the_conversation() -> None:
    items = [
        Message(role="system", content=(InputText(text="Be kind."),)),
        said("Weather?"),
        FunctionCall(name="weather", arguments="{}", call_id="c1"),
        FunctionCallOutput(call_id="c1", output="sunny"),
        FunctionCall(name="weather", arguments="{}", call_id="never answered"),
        Message(role="assistant", content=(OutputAudio(transcript="It is sunny."),)),
        McpCall(id="m1", server_label="s", name="look", arguments="{}", output="seen"),
        McpCall(id="m2", server_label="s", name="look", arguments="{}"),
        Message(role="user", content=()),
    ]
    request = ChatRequest(items=items, instructions="You are Viva.")
    messages = chat_body(request, OpenAIChatSettings(temperature=0.5))["messages"]

    def called(id: str, name: str) -> dict[str, object]:
        function = {"name": name, "arguments": "{}"}
        return {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]}

    assert messages == [
        {"role": "system", "content": f"{SPOKEN_STYLE}\n\nYou are Viva."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        called("c1", "weather"),
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
        called("m1", "look"),
        {"role": "tool", "tool_call_id": "m1", "content": "seen"},
        called("m2", "look"),
        {"role": "tool", "tool_call_id": "m2", "content": "There is no answer yet."},
    ]


def test_calls_that_were_made_together_stand_each_with_its_answer() -> None:
    calls = [FunctionCall(name="look", arguments="{}", call_id=f"c{n}") for n in (1, 2, 3)]
    outputs = [FunctionCallOutput(call_id=f"c{n}", output=str(n)) for n in (2, 1, 9)]
    messages = chat_body(ChatRequest(items=[*calls, *outputs], spoken=False), OpenAIChatSettings())["messages"]
    assert isinstance(messages, list)
    said = [one.get("content") or one["tool_calls"][0]["id"] for one in messages]
    assert said == ["c1", "1", "c2", "2"], "what has no answer, or answers nothing, is left out"


def test_images_are_shown_beside_the_words() -> None:
    near, far = (
        InputImage(image_url="data:image/png;base64,AAAA"),
        InputImage(image_url="https://x/y", detail="low"),
    )
    items = [
        Message(role="user", content=(InputText(text="What is this?"), near, far)),
        Message(role="user", content=(near,)),
    ]
    (words, alone) = chat_body(ChatRequest(items=items, spoken=False), OpenAIChatSettings())["messages"]
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert words["content"] == [
        {"type": "text", "text": "What is this?"},
        shown,
        {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}},
    ]
    assert alone["content"] == [shown]


async def test_a_filter_of_the_endpoints_is_told(far: Far) -> None:
    far.answer = events(delta(content="Well"), delta("content_filter"))
    assert (await ask(far))[-1] == ChatUsage(0, 0, 0, "content_filter")


def test_calls_come_one_at_a_time_on_request() -> None:
    request = ChatRequest(items=[], tools=[FunctionTool(name="weather")], parallel_tool_calls=False)
    assert chat_body(request, OpenAIChatSettings())["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in chat_body(
        replace(request, parallel_tool_calls=True), OpenAIChatSettings()
    )
    assert "parallel_tool_calls" not in chat_body(replace(request, tools=[]), OpenAIChatSettings())


async def test_a_model_says_what_it_can_read_and_see(far: Far) -> None:
    chat = far.chat(context=8000, images=False)
    assert not chat.supports_images
    few, many = ChatRequest(items=[], max_tokens=100), ChatRequest(items=[], max_tokens=4000)
    assert chat.context_budget(few) - chat.context_budget(many) == 1900, "an answer has at most a quarter"
    assert chat.context_budget(replace(few, instructions="x" * 3000)) < chat.context_budget(few) - 900
    assert chat.context_budget(replace(few, instructions="x" * 30_000)) == 0
    tool = FunctionTool(name="weather", description="x" * 3000)
    assert chat.context_budget(replace(few, tools=[tool])) < chat.context_budget(few) - 900
    await chat.aclose()


def test_options_of_a_client_are_passed_on() -> None:
    options = {"temperature": 0.2, "response_format": {"type": "json_object"}, "logit_bias": {"5": -100.0}}
    asked = chat_body(ChatRequest([said("Hello.")], options=options), OpenAIChatSettings(temperature=1))
    assert {name: asked[name] for name in options} == options


def test_what_is_not_spoken_has_no_style() -> None:
    asked = chat_body(ChatRequest(items=[said("Hi")], spoken=False), OpenAIChatSettings(temperature=0.5))
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert asked["temperature"] == 0.5
    assert "tools" not in asked


def test_a_tool_may_be_demanded() -> None:
    tools = [FunctionTool(name="weather")]

    def choice(which: object) -> object:
        request = ChatRequest(items=[], tools=tools, tool_choice=which)  # type: ignore[arg-type]
        return chat_body(request, OpenAIChatSettings())["tool_choice"]

    assert choice("required") == "required"
    assert choice(ToolChoiceFunction(name="weather")) == {"type": "function", "function": {"name": "weather"}}
    assert choice(ToolChoiceMcp(server_label="s")) == "auto"


@settings(max_examples=25)
@given(st.lists(st.text()), st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_are_the_same_wherever_bytes_are_cut(texts: list[str], data: st.DataObject, end: bytes) -> None:
    blocks = [b"data: %b" % json.dumps(text).encode() + end + end + b": beat" + end for text in texts]
    stream = b"\xef\xbb\xbf" + b"".join(blocks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    lines, found = EventLines(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += lines.push(stream[start:stop])
    assert [value for _, value in [*found, *lines.flush()]] == texts


def test_a_line_does_not_grow_without_end() -> None:
    lines = EventLines()
    with pytest.raises(ValueError, match="longer than"):
        lines.push(b"x" * (1024 * 1024 + 1))


# transcriber


async def test_the_times_of_words_are_those_of_the_endpoint(far: Far) -> None:
    words = [
        {"word": " Hello", "start": 0, "end": 0.4},
        {"word": "there.", "start": 0.4, "end": 0.9},
        {"word": 7},
    ]
    far.answer = body(json.dumps({"text": "Hello there.", "language": "english", "words": words}))
    settings = OpenAITranscriberSettings(base_url=URL, key_env="", word_times=True)
    transcriber = OpenAITranscriber(far.client(settings, "transcriber"), settings)
    assert transcriber.supported_options == {"prompt", "temperature", "words"}
    found = await transcriber.transcribe(b"\1\0" * 160, temperature=0.5, words=True)
    assert found.words == (TimedWord("Hello", 0, 0.4), TimedWord("there.", 0.4, 0.9))
    form = far.asked[-1].content
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word", "temperature": "0.5"}
    for name, value in fields.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in form


async def test_a_recording_is_sent_as_wav_and_comes_back_as_words(far: Far) -> None:
    far.answer = body(json.dumps({"text": " Hello there. ", "language": "english"}))
    assert await far.transcribe(language="en", prompt="names") == Transcript("Hello there.", "en")
    request = far.asked[-1]
    form = request.content
    assert request.url.path == "/v1/audio/transcriptions"
    assert request.headers["content-type"].startswith("multipart/form-data")
    start = form.index(b"RIFF")
    rate, data = struct.unpack_from("<I", form, start + 24)[0], struct.unpack_from("<I", form, start + 40)[0]
    assert (rate, data) == (16_000, 320)
    for word in (b"ears", b"names", b'name="language"'):
        assert word in form


async def test_the_endpoint_may_know_the_language(far: Far) -> None:
    far.answer = body(json.dumps({"text": "Hallo.", "language": "de"}))
    assert await far.transcribe() == Transcript("Hallo.", "de")


async def test_a_transcript_without_end_is_not_waited_for(far: Far) -> None:
    far.answer = pieces(*[b" " * 65_536] * 20)
    with pytest.raises(ProviderError, match="more than 1048576 bytes"):
        await far.transcribe()


async def test_what_is_no_transcript_is_an_error(far: Far) -> None:
    far.answer = body(b"<html>")
    with pytest.raises(ProviderError, match="no transcript"):
        await far.transcribe()
    far.answer = body(json.dumps({"error": {"message": "busy"}}), 503)
    with pytest.raises(ProviderError, match="503: busy"):
        await far.transcribe()


# synthesizer


SOUND, SILENCE = b"\x00\x10" * 24_000, b"\0\0" * 24_000


async def test_speech_comes_in_short_chunks_without_the_silence_around_it(far: Far) -> None:
    far.answer = body(SILENCE[:9_601] + b"\0" + SOUND[:19_200] + SILENCE)
    chunks = await far.speak(speed=1.2, instructions="Whisper.")
    sound = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))
    assert all(isinstance(chunk, bytes) and 0 < len(chunk) <= 4_800 for chunk in chunks)
    assert SOUND[:19_200] in sound
    assert len(sound) <= 19_200 + 2 * 480 + 2
    asked = {"input": "Hello.", "response_format": "pcm", "speed": 1.2, "instructions": "Whisper."}
    assert asked.items() <= far.body.items()


async def test_an_endpoint_without_a_sound_has_not_spoken(far: Far) -> None:
    far.answer = body(SILENCE)
    with pytest.raises(ProviderError, match="no sound"):
        await far.speak()
    assert "speed" not in far.body


@given(st.lists(st.integers(0, 3)), st.data())
def test_pauses_within_speech_are_kept(tenths: list[int], data: st.DataObject) -> None:
    parts = [(SILENCE if i % 2 else SOUND)[: n * 4_800 + 2] for i, n in enumerate(tenths)]
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=9)))
    chunks, found = Chunks(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += chunks.push(stream[start:stop])
    sound = b"".join([*found, *chunks.flush()])
    first, last = stream.find(b"\x10"), stream.rfind(b"\x10")
    assert chunks.audible is (first >= 0)
    if chunks.audible:
        assert sound[: last - first + 2] == stream[first - 1 : last + 1]


def test_settings_of_all_three_begin_alike() -> None:
    for plugin in (CHAT, TRANSCRIBER, SYNTHESIZER):
        assert issubclass(plugin.settings, ApiSettings)
