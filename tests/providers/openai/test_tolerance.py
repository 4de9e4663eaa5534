"""Streams and bodies that no reference describes: what is absent, null or of another type is passed over."""

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.openai.endpoint import Answer, Endpoint, asking, body, delta, events, pieces, replied
from vivavoce.dates import unix_now
from vivavoce.errors import ProviderError
from vivavoce.providers.base import ChatUsage, ToolCall
from vivavoce.providers.openai.completion import StreamedCompletion

pytestmark = pytest.mark.anyio

HELLO = events(delta("stop", content="Hello."))
END = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
WEATHER, TIME = ToolCall("get_weather", '{"city": "Oslo"}'), ToolCall("get_time", "{}")


def piece(**what: object) -> dict[str, object]:
    return {"choices": [{"delta": {"tool_calls": [what]}}]}


def function(name: str | None, arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


async def words_and_calls(*chunks: object, done: bool = True) -> list[object]:
    endpoint = Endpoint([events(*chunks, done=done)])
    found = await endpoint.reply(asking("get_weather", "get_time", "hang_up"), patience=0)
    words = "".join(one for one in found if isinstance(one, str))
    return [*([words] if words else []), *(one for one in found if isinstance(one, ToolCall))]


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        pytest.param(
            [
                piece(index=0, id="a", function=function("get_weather", '{"city": "Oslo"}')),
                piece(index=0, id="b", function=function("get_time", "{}")),
                END,
            ],
            [WEATHER, TIME],
            id="two ids, one index",
        ),
        pytest.param(
            [
                piece(id="a", function=function("get_weather", '{"city": "Oslo"}')),
                piece(id="b", function=function("get_time", "{}")),
                END,
            ],
            [WEATHER, TIME],
            id="two ids, no index",
        ),
        pytest.param(
            [
                piece(id="a", function=function("get_weather", '{"city"')),
                piece(id="b", function=function("get_time", "{")),
                piece(id="a", function=function(None, ': "Oslo"}')),
                piece(id="b", function=function(None, "}")),
                END,
            ],
            [WEATHER, TIME],
            id="two ids, no index, in turns",
        ),
        pytest.param(
            [
                piece(index=None, id="a", type=None, function=function("get_weather", None)),
                piece(index=None, function=None),
                piece(index=None, id=None, function=function(None, '{"city": "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="nulls",
        ),
        pytest.param(
            [
                piece(index=0, id="a", function=function("get_weather", '{"city"')),
                piece(index=0, id="a", function=function("get_weather", ': "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="the name again in each piece",
        ),
        pytest.param(
            [
                piece(index=0, id="1", function=function("get_weather", '{"city"')),
                piece(index=0, id="2", function=function("get_weather", ': "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="the name again, and another id in each piece",
        ),
        pytest.param(
            [piece(id="a", function=function("get_weather", {"city": "Oslo"})), END], [WEATHER], id="an object"
        ),
        pytest.param(
            [piece(id="a", function=function("get_weather", json.dumps('{"city": "Oslo"}'))), END],
            [WEATHER],
            id="JSON in JSON",
        ),
        pytest.param(
            [
                piece(function=function("get_weather", '{"city": "Oslo"}')),
                piece(function=function("get_time", "{}")),
                END,
            ],
            [WEATHER, TIME],
            id="neither id nor index",
        ),
        pytest.param(
            [
                piece(index=0, function=function("get_weather", '{"city": "Oslo"}')),
                piece(index=0, function=function("get_weather", '{"city": "Rome"}')),
                END,
            ],
            [WEATHER, ToolCall("get_weather", '{"city": "Rome"}')],
            id="one tool twice, without ids",
        ),
        pytest.param(
            [
                piece(index=0, id="a", function=function("get_weather", '{"city": "Oslo"}')),
                piece(index=0, id="a", function=function("get_weather", '{"city": "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="the whole call twice",
        ),
        pytest.param(
            [
                piece(index=0, function=function("get_weather", '{"ci')),
                piece(index=0, function=function("get_weather", '{"city": "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="all the arguments so far in each piece",
        ),
        pytest.param(
            [
                piece(index=0, id="a", function=function("get_", "")),
                piece(index=0, function=function("weather", '{"city": "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="the name in two pieces",
        ),
        pytest.param(
            [
                piece(index=1, id="b", function=function("get_time", "")),
                piece(index=0, id="a", function=function("get_weather", "")),
                piece(index=0, function=function(None, '{"city": "Oslo"}')),
                END,
            ],
            [TIME, WEATHER],
            id="indexes in another order",
        ),
        pytest.param(
            [piece(index="0", id=7, function=function("get_time", " ")), END], [TIME], id="other types"
        ),
        pytest.param([piece(id="a", name="get_time", arguments="{}"), END], [TIME], id="without function"),
        pytest.param(
            [
                piece(index="0", function=function("get_weather", '{"city"')),
                piece(index="1", function=function("get_time", "{")),
                piece(index="0", function=function(None, ': "Oslo"}')),
                piece(index="1", function=function(None, "}")),
                END,
            ],
            [WEATHER, TIME],
            id="indexes as text",
        ),
        pytest.param(
            [
                piece(index=0, id="call_0", function=function("get_weather", '{"city": "Oslo"}')),
                piece(index=1, id="call_0", function=function("get_time", "{}")),
                END,
            ],
            [WEATHER, TIME],
            id="one id for all",
        ),
        pytest.param(
            [
                piece(index=0, id="a", function=function(None, '{"city"')),
                piece(index=0, function=function("get_weather", ': "Oslo"}')),
                END,
            ],
            [WEATHER],
            id="the name last",
        ),
        pytest.param(
            [piece(index=float("inf"), function=function("get_time", "{}")), END], [TIME], id="no index"
        ),
        pytest.param([piece(id="a", function=function("get_time", "null")), END], [TIME], id="null as text"),
        pytest.param(
            [
                {"choices": [{"delta": {"tool_calls": [None, "x", {"function": function("get_time", "{}")}]}}]},
                END,
            ],
            [TIME],
            id="nulls among the calls",
        ),
        pytest.param(
            [
                {"choices": [{"delta": {"function_call": function("get_time", "{")}}]},
                {
                    "choices": [
                        {"delta": {"function_call": function(None, "}")}, "finish_reason": "function_call"}
                    ]
                },
            ],
            [TIME],
            id="as before there were tools",
        ),
        pytest.param(
            [
                {"choices": [{"delta": {"tool_calls": {"id": "a", "function": function("get_time", "{}")}}}]},
                END,
            ],
            [TIME],
            id="no list",
        ),
        pytest.param(
            [
                piece(id="a", function=function("get_time", None)),
                {"choices": [{"delta": None, "finish_reason": "tool_calls"}]},
            ],
            [TIME],
            id="no arguments",
        ),
        pytest.param(
            [
                {"choices": [{"delta": {"content": "\n\n"}}]},
                piece(id="a", function=function("get_time", "{}")),
                END,
            ],
            [TIME],
            id="after a blank",
        ),
        pytest.param(
            [
                {
                    "choices": [
                        {
                            "delta": {
                                "content": "Wait. ",
                                "tool_calls": [{"id": "a", "function": function("get_time", "{}")}],
                            },
                            "finish_reason": "stop",
                        }
                    ]
                }
            ],
            ["Wait. ", TIME],
            id="with words, in one chunk, and stop",
        ),
        pytest.param(
            [END, piece(id="a", function=function("get_time", "{}"))], [TIME], id="after the reason for the end"
        ),
        pytest.param(
            [delta(content="Hm."), delta("tool_calls")], ["Hm."], id="none, in spite of the reason for the end"
        ),
        pytest.param([piece(id="a", function=function("", "{}")), piece(), END], [], id="no name"),
    ],
)
async def test_calls_are_put_together(chunks: Sequence[object], calls: list[object]) -> None:
    assert await words_and_calls(*chunks) == calls


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([delta(content="Hello.")], id="no reason for the end"),
        pytest.param(
            [delta(content="Hello."), {"choices": None, "usage": {"completion_tokens": None}}], id="null"
        ),
        pytest.param(
            [delta(content="Hello."), {"choices": [{"delta": None, "finish_reason": None}]}], id="delta null"
        ),
        pytest.param(
            [{"choices": [None, delta(content="Hello.")["choices"][0]]}, {}], id="null among the choices"
        ),  # type: ignore[index]
        pytest.param(
            [delta(content="Hello."), END, {"choices": [], "usage": {"prompt_tokens": "9"}}],
            id="usage of another type",
        ),
        pytest.param([delta(content="Hello."), END, {"choices": 7}, [1]], id="nonsense after the end"),
        pytest.param(
            [delta(content="Hello."), END, {"error": {"message": "late"}}], id="an error after the end"
        ),
        pytest.param(
            [delta(content="Hello."), END, END, delta("length", content=None)], id="several reasons for the end"
        ),
        pytest.param([{"choices": [{"index": 0, "text": "Hello."}]}, END], id="text, as of older completions"),
        pytest.param(
            [{"choices": [{"delta": {"content": {"type": "text", "text": "Hello."}}}]}, END],
            id="a part, no list",
        ),
        pytest.param(
            [{"choices": [{"delta": {"content": None, "audio": {"id": "x", "transcript": "Hello."}}}]}, END],
            id="audio",
        ),
        pytest.param(
            [delta(content="Hello.", role=None, tool_calls=None, function_call=None, refusal=None), END],
            id="nulls",
        ),
        pytest.param(
            [{"choices": [], "usage": None}, delta(content="Hello."), END, {"choices": []}], id="no choices"
        ),
        pytest.param([{"choices": [{"delta": "Hello."}]}, {"choices": [{"finish_reason": ""}]}], id="text"),
        pytest.param([delta(content="\ufeffHello."), END], id="a byte order mark"),
        pytest.param([{"choices": [{"index": 1, "delta": {"content": "Hello."}}]}, END], id="counted from one"),
        pytest.param([{"error": {}, "choices": [{"delta": {"content": "Hello."}}]}, END], id="an empty error"),
        pytest.param([delta(content=True), delta(content=7), delta(content=[None, "Hello."]), END], id="types"),
        pytest.param([{"type": "ping"}, delta(content="Hello."), {"object": "ping"}, END], id="pings"),
        pytest.param(
            [delta(content="Hello."), {"choices": [{"index": 1, "delta": {"content": "no"}}]}, END],
            id="another choice",
        ),
        pytest.param([delta(content="\n"), delta(content=" "), delta(content="\tHello."), END], id="blanks"),
        pytest.param(
            [delta(content="Hello.", reasoning_content="Hm", reasoning="Hm", thinking="Hm"), END], id="thoughts"
        ),
    ],
)
async def test_words_are_understood(chunks: Sequence[object]) -> None:
    assert await words_and_calls(*chunks) == ["Hello."]


@pytest.mark.parametrize(
    ("texts", "spoken"),
    [
        (["<think>hm</think>Hello."], "Hello."),
        (["<th", "ink>h", "m</", "think", ">", "\n\nHello."], "Hello."),
        ([*"<think>a<b</think>Hello."], "Hello."),
        (["<THINKING>hm</THINKING> Hello."], "Hello."),
        (['<think type="x">hm</think>Hello.'], "Hello."),
        (["[THINK]hm[/THINK]Hello."], "Hello."),
        (["◁think▷hm◁/think▷Hello."], "Hello."),
        (["Hello <thought>", "hm</thought>there."], "Hello there."),
        (["<think></think>", "\n", "Hello."], "Hello."),
        (["<think>hm"], ""),
        (["<think>one</think>\n<think>two</think>Hello."], "Hello."),
        (["3 < 4", " and <b> is bold", " <"], "3 < 4 and <b> is bold <"),
        (["I think [so]", " <thinker>"], "I think [so] <thinker>"),
    ],
)
async def test_thoughts_are_not_spoken(texts: list[str], spoken: str) -> None:
    assert await words_and_calls(*[delta(content=text) for text in texts], END) == ([spoken] if spoken else [])


async def test_calls_among_the_words_are_calls() -> None:
    written = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    texts = ["One moment. ", *written, '\n<tool_call>{"name": "get_time", "parameters": {}}']
    assert await words_and_calls(*[delta(content=text) for text in texts], END) == [
        "One moment. \n",
        WEATHER,
        TIME,
    ]
    for other in ('{"name": "unknown"}', "no JSON"):
        assert await words_and_calls(delta(content=f"Hm. <tool_call>{other}</tool_call>"), END) == ["Hm. "]


async def test_an_endpoint_whose_template_begins_the_thoughts_is_known_the_next_time() -> None:
    endpoint = Endpoint([events(delta(content="Hm, hm.</think>"), delta(content="Hello."), END)])
    chat = endpoint.chat()
    assert "Hello." in await replied(chat), "the first thoughts were spoken before they could be known"
    assert await replied(chat) == ["Hello.", ChatUsage(0, 0)]
    endpoint.answers = [events(delta(content="No "), delta(content="thoughts."), END)]
    assert await replied(chat) == ["No thoughts.", ChatUsage(0, 0)]
    endpoint.answers = [events(delta(content="<think>hm"), delta(content="</think>Hello."), END)]
    assert await replied(chat) == ["Hello.", ChatUsage(0, 0)]


def written(text: bytes) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text


WORDS = written("Naïve".encode()) + written(" 😀".encode())
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("answer", "spoken"),
    [
        (pieces(*[bytes([one]) for one in WORDS + DONE]), "Naïve 😀"),
        (body(b"\xef\xbb\xbf" + (WORDS + DONE).replace(b"\n", b"\r\n")), "Naïve 😀"),
        (body((WORDS + DONE).replace(b"\n", b"\r")), "Naïve 😀"),
        (body(gzip.compress(WORDS + DONE), content_encoding="gzip"), "Naïve 😀"),
        (body(b": hello\nid: 1\nretry: 10\nevent: message\n" + WORDS + b"data: [DONE]"), "Naïve 😀"),
        (body((WORDS + DONE).replace(b"\n\n", b"\n")), "Naïve 😀"),
        (body((WORDS + DONE).replace(b"data: ", b"data:")), "Naïve 😀"),
        (
            body(WORDS.replace(b'{"choices"', b'{\ndata: "choices"').replace(b"}\n", b"\ndata: }\n") + DONE),
            "Naïve 😀",
        ),
        (body(b"\n\n" + WORDS + b"data: keep-alive\n\ndata:\n\n" + DONE), "Naïve 😀"),
        (
            body(
                WORDS.replace(b"data: ", b"").replace(b"\n\n", b"\n")
                + b'{"choices":[{"finish_reason":"stop"}]}'
            ),
            "Naïve 😀",
        ),
        (body(written(b"A \\ud83d") + written(b"\\ude00") + DONE), "A 😀"),
        (body(written(b"A \\ude00") + DONE), "A \ufffd"),
        (body(WORDS + DONE + b"data: {garbage\n\n"), "Naïve 😀"),
        (body(WORDS + b"event: done\ndata: [done]\n\n"), "Naïve 😀"),
        (body(json.dumps([delta(content="Naïve"), delta(content=" 😀"), END])), "Naïve 😀"),
        (body(WORDS + DONE, content_type="text/html"), "Naïve 😀"),
        (
            pieces(WORDS, b'data: {"choices":[{"finish_reason":"stop"}]}\n\n', httpx.ReadError("reset")),
            "Naïve 😀",
        ),
        (pieces(WORDS, b'data: {"choices":[{"finish_reason":"stop"}]}\n\n', anyio.sleep_forever), "Naïve 😀"),
        (pieces(WORDS + DONE, anyio.sleep_forever), "Naïve 😀"),
    ],
)
async def test_bytes_arrive_in_any_form(answer: object, spoken: str) -> None:
    found = await Endpoint([answer]).reply()  # type: ignore[list-item]
    assert "".join(one for one in found if isinstance(one, str)) == spoken
    assert isinstance(found[-1], ChatUsage)


async def test_a_stream_is_read_to_its_end_so_that_the_connection_can_be_used_again() -> None:
    read: list[bool] = []

    async def at_the_end() -> None:
        read.append(True)

    await Endpoint([pieces(WORDS + DONE, at_the_end)]).reply()
    assert read


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (body(""), "sent an empty answer"),
        (body("", 204), "sent an empty answer"),
        (body("<html><title>Sign in</title>", content_type="text/html"), r"a web page \(Sign in\)"),
        (body("\ufeff\n<!doctype html>"), "a web page"),
        (body("upstream connect error"), "no chat completion: upstream connect error"),
        (body('{"error": {"message": "No credit", "code": 402}}'), "No credit"),
        (body('{"error": "No credit"}'), "No credit"),
        (body('{"detail": "Not Found"}'), "Not Found"),
        (
            body('{"detail": [{"loc": ["body", "model"], "msg": "field required"}]}', 422),
            "body.model: field required",
        ),
        (body('[{"error": {"message": "listed"}}]'), "listed"),
        (body(WORDS), "hung up in the middle"),
        (body(b"data: " + b"[" * 100_000 + b"\n\n"), "no chat completion"),
        (body(b"\x1f\x8bnonsense", content_encoding="gzip"), "the connection failed"),
        (body("", 301, location="https://far.example/v2/"), "has moved to https://far.example/v2/"),
        (events({"error": {"message": ""}}), "no reason given"),
        (body(b"data: {\n" + b"data: 1,\n" * 5000), "more than 4096 lines"),
    ],
)
async def test_what_is_no_answer_is_named(answer: object, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        await Endpoint([answer]).reply(patience=0)  # type: ignore[list-item]


async def test_calls_do_not_grow_without_end() -> None:
    chunks = [piece(id="a", function=function("get_time", '{"x": "' + "x" * 500_000)) for _ in range(3)]
    with pytest.raises(ProviderError, match="longer than 1048576 characters"):
        await words_and_calls(*chunks, END)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud83d")
FIELDS = (
    "choices delta message content text tool_calls function name arguments id index finish_reason usage error"
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS.split()), inner, max_size=3)
    ),
    max_leaves=8,
)
CHUNKS = st.lists(
    st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"delta": ANYTHING}))}) | ANYTHING
)


@settings(max_examples=40)
@given(CHUNKS)
def test_whatever_arrives_is_words_and_calls_or_a_failure(chunks: list[object]) -> None:
    completion = StreamedCompletion(lambda message, error: ProviderError("openai", message), ["look"])
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    words = [*completion.push(stream), *completion.flush()]
    for text in [*words, *(call.arguments for call, _ in completion.calls())]:
        assert text.encode()
    assert completion.usage.input_tokens >= 0


# what endpoints refuse


def refusing(*names: str, content: str) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        refused = next((name for name in names if name in json.loads(request.content)), None)
        return (HELLO if refused is None else body(content.replace("NAME", refused), 400))(request)

    return answer


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([refusing("max_tokens", "max_completion_tokens", content='{"error": {"param": "NAME"}}')], 3),
        ([refusing("stream_options", content='json: unknown field "NAME"')], 2),
        ([refusing("tool_choice", content='{"detail": "NAME is not supported"}')], 2),
        ([refusing("temperature", "seed", content='{"error": "`NAME`: no such parameter"}')], 3),
        ([events({"error": {"code": 400, "param": "temperature", "message": "no"}}), HELLO], 2),
        ([body('{"error": {"message": "no role \'system\'", "param": "messages[0].role"}}', 400), HELLO], 2),
        ([body("{}", 503), body('{"error": {"param": "seed"}}', 400), HELLO], 3),
    ],
)
async def test_refusals_are_understood_however_they_are_written(answers: list[Answer], asked: int) -> None:
    endpoint = Endpoint(answers)
    request = asking("look", instructions="Be brief.", max_tokens=40, options={"temperature": 0.2, "seed": 1})
    assert (await endpoint.reply(request))[0] == "Hello."
    assert len(endpoint.asked) == asked


async def test_a_number_that_is_too_large_is_left_out_once() -> None:
    too_large = body('{"error": {"message": "max_tokens is too large: 40, at most 7 are left"}}', 400)
    endpoint = Endpoint([too_large, HELLO])
    chat = endpoint.chat()
    assert (await replied(chat, asking(max_tokens=40)))[0] == "Hello."
    assert not {"max_tokens", "max_completion_tokens"} & endpoint.body.keys()
    await replied(chat, asking(max_tokens=5))
    assert endpoint.body["max_tokens"] == 5
    await replied(endpoint.chat(context=80), asking(max_tokens=40))
    assert endpoint.body["max_tokens"] == 20, "an answer has a quarter of the context"


async def test_what_did_not_help_is_not_remembered() -> None:
    refused = body('{"error": {"message": "stream_options"}}', 400)
    endpoint = Endpoint([refused, refused, HELLO])
    chat = endpoint.chat()
    with pytest.raises(ProviderError):
        await replied(chat)
    await replied(chat)
    assert "stream_options" in endpoint.body


async def test_a_word_of_the_callers_is_no_parameter() -> None:
    endpoint = Endpoint([body('{"error": {"message": "invalid: What is the temperature outside?"}}', 400)])
    with pytest.raises(ProviderError, match="invalid"):
        await endpoint.reply(temperature=0.5)
    assert len(endpoint.asked) == 1


async def test_what_was_cut_off_is_neither_called_nor_spoken() -> None:
    cut = [
        piece(id="a", function=function("get_time", "{}")),
        piece(id="b", function=function("get_weather", '{"ci')),
    ]
    assert await words_and_calls(*cut, delta("length")) == [TIME]
    endpoint = Endpoint(
        [events(delta(content="hm</think>Hello."), END), events(delta(content="hm, h"), delta("length"))]
    )
    chat = endpoint.chat()
    await replied(chat)
    assert await replied(chat) == [ChatUsage(0, 0, finish="length")]


async def test_what_cannot_be_left_out_is_a_failure() -> None:
    endpoint = Endpoint([body('{"error": {"message": "no such model", "param": "model"}}', 400)])
    with pytest.raises(ProviderError, match="no such model"):
        await endpoint.reply()
    assert len(endpoint.asked) == 1


# trying again


def busy(status: int = 429, **headers: str) -> object:
    return body('{"error": {"message": "busy"}}', status, **headers)


@pytest.mark.parametrize(
    ("answers", "at_least", "at_most"),
    [
        ([busy(retry_after="2"), HELLO], 2, 2.3),
        ([busy(503, retry_after_ms="1500"), HELLO], 1.5, 1.8),
        ([busy(500), busy(502), HELLO], 0.3, 0.8),
        ([busy(429, retry_after="nonsense"), HELLO], 0.1, 0.3),
        ([busy(429, retry_after="-5"), HELLO], 0.1, 0.3),
        ([busy(429, retry_after="nan"), HELLO], 0.1, 0.3),
        ([pieces(httpx.ConnectError("refused")), HELLO], 0.1, 0.3),
        ([pieces(b": wait\n\n", httpx.ReadTimeout("")), HELLO], 0.1, 0.3),
        ([events({"error": {"code": 429, "message": "busy"}}), HELLO], 0.1, 0.3),
        (
            [events(delta(content="\n"), {"error": {"type": "overloaded_error", "message": "busy"}}), HELLO],
            0.1,
            0.3,
        ),
        ([body(""), busy(529), HELLO], 0.1, 0.8),
    ],
)
async def test_what_will_pass_is_waited_for(answers: list[object], at_least: float, at_most: float) -> None:
    began = anyio.current_time()
    assert (await Endpoint(answers).reply())[0] == "Hello."  # type: ignore[arg-type]
    assert at_least <= anyio.current_time() - began <= at_most


async def test_a_date_to_wait_for_is_understood() -> None:
    soon = datetime.fromtimestamp(unix_now(), UTC) + timedelta(seconds=5)
    began = anyio.current_time()
    await Endpoint([busy(retry_after=format_datetime(soon, usegmt=True)), HELLO]).reply()  # type: ignore[list-item]
    assert 3 <= anyio.current_time() - began <= 6


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (busy(retry_after="60"), 1),
        (busy(), 5),
        (busy(401), 1),
        (busy(500, x_should_retry="false"), 1),
        (events(delta(content="Hel"), {"error": {"code": 429, "message": "busy"}}), 1),
    ],
)
async def test_trying_again_has_an_end(answer: object, attempts: int) -> None:
    endpoint, began = Endpoint([answer]), anyio.current_time()  # type: ignore[list-item]
    with pytest.raises(ProviderError, match="busy"):
        await endpoint.reply()
    assert len(endpoint.asked) == attempts
    assert anyio.current_time() - began < 10


async def test_who_goes_on_speaking_ends_the_wait() -> None:
    endpoint = Endpoint([busy(retry_after="5"), HELLO])  # type: ignore[list-item]
    with anyio.move_on_after(1) as scope:
        await endpoint.reply()
    assert scope.cancelled_caught
    assert len(endpoint.asked) == 1


# speech and transcripts


def wave(rate: int = 24_000) -> bytes:
    from vivavoce.audio.encode import encoder

    encoding = encoder("wav", rate)
    return encoding.push(b"\x00\x10" * rate) + encoding.finish()


def encoded(name: str) -> bytes:
    from vivavoce.audio.encode import encoder

    encoding = encoder(name, 24_000)
    return encoding.push(array_of_tone()) + encoding.finish()


def array_of_tone() -> bytes:
    from array import array
    from math import sin

    return array("h", [int(8000 * sin(at / 10)) for at in range(24_000)]).tobytes()


@pytest.mark.real_time
@pytest.mark.parametrize("name", ["wav", "mp3", "opus", "flac", "aac"])
@pytest.mark.parametrize("media_type", ["", "audio/pcm", "application/octet-stream"])
async def test_speech_in_another_format_is_decoded(name: str, media_type: str) -> None:
    file = encoded(name)
    sound = await Endpoint([pieces(file[:3], file[3:], content_type=media_type)]).speak()
    assert abs(len(b"".join(sound)) / 48_000 - 1) < 0.1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "media_type", "says"),
    [
        (b'{"error": {"message": "no voice"}}', "", "sent text instead of sound: no voice"),
        (
            b'{"error": {"message": "no voice"}}',
            "application/json; charset=utf-8",
            "application/json instead of sound",
        ),
        (b"<html><title>Hm</title>", "", r"a web page \(Hm\)"),
        (b"\0\x10" * 9000, "text/html", "text/html instead of sound"),
        (b"RIFF0000WAVEnothing", "", "sent WAV, but it cannot be read"),
        (b"ID3" + bytes(100), "", "sent MP3, but"),
        (b"\0\x10" * 9000, "audio/basic", "sent audio/basic, but"),
        (b"\0\x10" * 9000, "audio/pcm; rate=12", "a rate that is not supported"),
        (b"\0\x10" * 9000, "audio/L16; rate=24000; channels=2", "one channel is needed"),
        (b'data: {"type":"speech.audio.delta"}', "", "sent text instead of sound"),
        (b"Internal Server Error", "", "sent text instead of sound: Internal Server Error"),
        (b"UklGRiQAAABXQVZFZm10IBAAAAAB", "application/octet-stream", "sent text instead of sound"),
        (b"", "", "sent no sound"),
        (b"", "audio/mpeg", "sent no sound"),
    ],
)
@pytest.mark.real_time
async def test_what_is_no_speech_is_refused_by_name(content: bytes, media_type: str, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        await Endpoint([body(content, content_type=media_type)]).speak(patience=0)


@pytest.mark.parametrize("first", [b"{\0", b"<\0", b"\xff\xff", b"\xff\xfe", b"RI", b"[ "])
async def test_sound_that_begins_like_something_else_is_played(first: bytes) -> None:
    sound = await Endpoint([body(first + b"\x00\x10" * 24_000)]).speak()
    assert len(b"".join(sound)) > 47_000  # type: ignore[arg-type]


async def test_sound_at_another_rate_has_the_right_pitch() -> None:
    sound = await Endpoint([body(b"\x00\x10" * 16_000, content_type="audio/L16;codec=pcm;rate=16000")]).speak()
    assert abs(len(b"".join(sound)) / 48_000 - 1) < 0.02  # type: ignore[arg-type]


@pytest.mark.real_time
async def test_an_endpoint_that_has_no_pcm_is_asked_for_wav_from_then_on() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["response_format"] == "wav":
            return httpx.Response(200, content=encoded("wav"))
        return httpx.Response(400, json={"error": {"message": "response_format must be one of [wav]"}})

    endpoint = Endpoint([answer])
    synthesizer = endpoint.synthesizer()
    for _ in range(2):
        assert [chunk async for chunk in synthesizer.speak("Hello.")]
    assert len(endpoint.asked) == 3


async def test_speech_and_transcripts_are_waited_for_too() -> None:
    assert await Endpoint([busy(503), body(b"\x00\x10" * 9000)]).speak()  # type: ignore[list-item]
    assert (await Endpoint([busy(503), body('{"text": "Hi"}')]).transcribe()).text == "Hi"  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("content", "media_type", "text"),
    [
        ('{"text": null}', "application/json", ""),
        ('\ufeff{"text": " Hello.", "language": 7, "usage": null}', "application/json", "Hello."),
        ('{"segments": [{"text": " Hello"}, {"text": " there."}]}', "application/json", "Hello there."),
        ('"Hello."', "application/json", "Hello."),
        (" Hello.\n", "text/plain; charset=utf-8", "Hello."),
        ("42", "text/plain", "42"),
        ("\n", "text/plain", ""),
        ('{"text": "Hello."}', "text/plain", "Hello."),
    ],
)
async def test_a_transcript_comes_in_any_form(content: str, media_type: str, text: str) -> None:
    assert (await Endpoint([body(content.encode(), content_type=media_type)]).transcribe()).text == text


@pytest.mark.parametrize(
    ("content", "media_type", "says"),
    [
        ("", "application/json", "sent an empty answer"),
        ("<html><title>Hm</title></html>", "text/html", r"a web page \(Hm\)"),
        ("<html><title>Hm</title></html>", "text/plain", r"a web page \(Hm\)"),
        ('{"error": {"message": "no ears"}}', "application/json", "no ears"),
        ("Hello.", "application/json", "no transcript: Hello"),
        ("7", "application/json", "no transcript"),
    ],
)
async def test_what_is_no_transcript_is_named(content: str, media_type: str, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        await Endpoint([body(content.encode(), content_type=media_type)]).transcribe()


async def test_a_transcriber_learns_too() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"response_format" in request.content:
            return httpx.Response(422, json={"detail": [{"loc": ["body", "response_format"], "msg": "extra"}]})
        return httpx.Response(200, json={"text": "Hello."})

    assert (await Endpoint([answer]).transcribe()).text == "Hello."
