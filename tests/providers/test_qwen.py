"""The offline chat model: how it is asked, with a scripted llama.cpp, and how it answers, with the real one."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from providers.offline import weights
from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message, OutputText
from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.dialogue import DialogueTurn, system_prompt
from vivavoce.providers.qwen.chat import PLUGIN, Qwen, QwenSettings
from vivavoce.providers.qwen.llama import Llama
from vivavoce.providers.qwen.prompts import EXAMPLES, STYLE
from vivavoce.providers.qwen.tool_picker.router import FIXED

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Asked = Mapping[str, object]
OPENING = (DialogueTurn("system", system_prompt("", STYLE)), *EXAMPLES, DialogueTurn("user", "Hello."))
TIMINGS = {"cache_n": 5, "prompt_n": 7, "predicted_n": 2, "prompt_ms": 1.0, "predicted_ms": 1.0}


class Scripted:
    """Stands where llama.cpp stands: `answer` says in what pieces to answer a request."""

    def __init__(self, answer: Callable[[Asked], Iterator[str]], finish: str | None = "stop") -> None:
        self.asked: list[Asked] = []
        self.stopped = threading.Event()
        self._answer, self._finish = answer, finish

    def handle_chat_completions(self, request: Asked, callback: Callable[[object], bool], /) -> object:
        self.asked.append(request)
        for piece in self._answer(request):
            if callback({"choices": [{"delta": {"content": piece}, "finish_reason": None}]}):
                self.stopped.set()
                return None
        callback({"choices": [{"delta": {}, "finish_reason": self._finish}]})
        callback({"choices": [], "timings": TIMINGS})
        return None


def words(*pieces: str) -> Callable[[Asked], Iterator[str]]:
    return lambda request: iter(pieces)


def user(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(OutputText(text=text),))


WEATHER = FunctionTool(
    name="get_weather",
    description="Current weather or forecast for a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "day": {"type": "string", "enum": ["today", "tomorrow"]}},
        "required": ["city"],
    },
)
ORDER = FunctionTool(
    name="order_status",
    description="Look up the status of a customer's order.",
    parameters={
        "type": "object",
        "properties": {"order_id": {"type": "string", "description": "digits of the order number"}},
        "required": ["order_id"],
    },
)
SUM = FunctionTool(
    name="calculate",
    description="Work out an arithmetic expression.",
    parameters={
        "type": "object",
        "properties": {"expression": {"type": "string", "description": "such as 3*4"}},
        "required": ["expression"],
    },
)
TOOLS = (WEATHER, ORDER, SUM)


async def ask(qwen: Qwen, *items: Item, **how: object) -> list[str | ToolCall | ChatUsage]:
    request = ChatRequest(items=items, **how)  # type: ignore[arg-type]
    return [piece async for piece in qwen.reply(request)]


def open_scripted(server: Scripted, *, slots: int = 2, context: int = 4096) -> Qwen:
    return Qwen(Llama(server), slots=slots, context=context, read=OPENING)


async def test_words_come_as_they_are_written_and_then_the_usage() -> None:
    server = Scripted(words("Hel", "lo."))
    assert await ask(open_scripted(server), user("Hi"), instructions="Be kind.") == [
        "Hel",
        "lo.",
        ChatUsage(12, 2, 5),
    ]
    (asked,) = server.asked
    messages = asked["messages"]
    assert isinstance(messages, list)
    assert messages[0]["content"].endswith("Be kind.")
    assert [message["content"] for message in messages[1:]] == [*(said.text for said in EXAMPLES), "Hi"]
    assert (asked["temperature"], asked["cache_prompt"]) == (0.0, True)
    assert "root ::=" in str(asked["grammar"])


async def test_what_is_not_spoken_is_not_held_to_speech() -> None:
    server = Scripted(words("# Hello"), finish="length")
    assert (await ask(open_scripted(server), user("Hi"), spoken=False, max_tokens=9))[-1] == ChatUsage(
        12, 2, 5, "length"
    )
    (asked,) = server.asked
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert asked["max_tokens"] == 9
    assert "grammar" not in asked


async def test_an_answer_is_held_to_the_format_that_a_client_chooses() -> None:
    server, options = Scripted(words("{}")), {"response_format": {"type": "json_object"}, "stop": ["END"]}
    qwen = open_scripted(server)
    await ask(qwen, user("Hi"), spoken=False, options=options)
    (asked,) = server.asked
    assert {name: asked[name] for name in options} == options
    assert set(options) <= qwen.supported_options
    huge = {"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": "b" * 40_000}}}}
    with pytest.raises(ProtocolError, match="more than"):
        await ask(qwen, user("Hi"), spoken=False, options=huge)


@pytest.mark.parametrize(
    "message",
    ["Unable to generate parser: JSON schema error at #: unknown type", "failed to parse grammar"],
)
async def test_a_format_that_cannot_be_used_is_the_clients_fault(message: str) -> None:
    options = {"response_format": {"type": "json_schema"}}
    with failing({"error": {"message": message}}) as server:
        with pytest.raises(ProtocolError, match="held to it") as caught:
            await ask(open_scripted(server), user("Hi"), spoken=False, options=options)
        assert caught.value.param == "response_format.json_schema.schema"
        with pytest.raises(ProviderError):
            await ask(open_scripted(server), user("Hi"))


async def test_a_conversation_returns_to_its_slot() -> None:
    server = Scripted(words("Fine."))
    qwen = open_scripted(server)
    await ask(qwen, user("I am Ada."))
    await ask(qwen, user("Rain?"))
    await ask(qwen, user("I am Ada."), assistant("Fine."), user("Who am I?"))
    assert [asked["id_slot"] for asked in server.asked][0::2] == [server.asked[0]["id_slot"]] * 2
    assert server.asked[0]["id_slot"] != server.asked[1]["id_slot"]


async def test_the_oldest_turns_are_forgotten_before_the_instructions() -> None:
    server = Scripted(words("Yes."))
    talk = [item for i in range(60) for item in (user(f"Question {i}, " + "x" * 90), assistant("Answer " * 9))]
    await ask(open_scripted(server, context=2048), *talk, user("And now?"), instructions="Be kind.")
    text = str(server.asked[0]["messages"])
    assert "Be kind." in text
    assert "And now?" in text
    assert "Question 0," not in text
    assert len(text) < 2048 * 4


def routed(name: str, arguments: str) -> Scripted:
    def answer(request: Asked) -> Iterator[str]:
        messages = request["messages"]
        assert isinstance(messages, list)
        if messages[0]["content"] != FIXED[0].text:
            return iter(["Well."])
        return iter([arguments if "Arguments of" in str(messages[-2:]) else name.partition("_")[0]])

    return Scripted(answer)


async def test_a_tool_is_called_and_nothing_is_said() -> None:
    server = routed("get_weather", ' "Rome"')
    assert await ask(open_scripted(server), user("Rain in Rome?"), tools=TOOLS) == [
        ToolCall("get_weather", '{"city":"Rome"}'),
        ChatUsage(24, 4, 10),
    ]
    assert [asked["id_slot"] for asked in server.asked] == [2, 2]


async def test_where_no_tool_is_needed_the_answer_is_spoken() -> None:
    server = routed("none", "")
    assert (await ask(open_scripted(server), user("Hello"), tools=TOOLS))[0] == "Well."
    assert len(server.asked) == 2


RAIN = FunctionCall(name="get_weather", arguments="{}", call_id="1")


async def test_what_a_tool_has_answered_is_read_out() -> None:
    server = routed("get_weather", "{}")
    output = FunctionCallOutput(call_id="1", output="It rains in Rome.")
    assert await ask(open_scripted(server), user("Rain?"), RAIN, output, tools=TOOLS) == [
        "It rains in Rome.",
        ChatUsage(0, 0),
    ]
    assert server.asked == []


async def test_what_is_too_long_to_be_read_out_the_model_tells() -> None:
    server = routed("get_weather", "{}")
    output = FunctionCallOutput(call_id="1", output="rain and " * 90)
    assert (await ask(open_scripted(server), user("Rain?"), RAIN, output, tools=TOOLS))[0] == "Well."
    assert "From get_weather: rain and" in str(server.asked[0]["messages"])


async def test_what_the_caller_has_not_said_is_asked_for() -> None:
    server = routed("order_status", "{}")
    answer = await ask(open_scripted(server), user("Where is my order?"), tools=TOOLS)
    assert answer[0] == "Could you tell me the digits of the order number?"


async def test_a_number_that_was_said_needs_no_second_question() -> None:
    server = routed("order_status", "not asked")
    called = (await ask(open_scripted(server), user("Where is order ten forty-two?"), tools=TOOLS))[0]
    assert called == ToolCall("order_status", '{"order_id":"1042"}')


async def test_no_tool_is_called_where_none_may_be() -> None:
    server = routed("get_weather", "{}")
    assert (await ask(open_scripted(server), user("Rain?"), tools=TOOLS, tool_choice="none"))[0] == "Well."
    assert len(server.asked) == 1


async def test_a_tool_may_be_demanded() -> None:
    server = routed("order_status", '{"order_id": "7"}')
    qwen = open_scripted(server)
    assert (await ask(qwen, user("Hm"), tools=TOOLS, tool_choice="required"))[0] == ToolCall(
        "order_status", '{"order_id":"7"}'
    )
    assert "none" not in str(server.asked[0]["grammar"])
    server.asked.clear()
    assert (await ask(qwen, user("Hm"), tools=TOOLS, tool_choice=ToolChoiceFunction(name="order_status")))[0]
    assert len(server.asked) == 1
    with pytest.raises(ProviderError, match="none of that name"):
        await ask(qwen, user("Hm"), tools=TOOLS, tool_choice=ToolChoiceFunction(name="unknown"))


async def test_arguments_that_do_not_fit_are_asked_for() -> None:
    server = routed("get_weather", " null")
    assert (await ask(open_scripted(server), user("Rain at her place?"), tools=TOOLS))[0] == (
        "Could you tell me the city?"
    )
    with pytest.raises(ProviderError, match="fill in city of get_weather"):
        await ask(open_scripted(server), user("Rain?"), tools=TOOLS, tool_choice="required")


@contextmanager
def failing(chunk: object) -> Iterator[Scripted]:
    class Failing(Scripted):
        def handle_chat_completions(self, request: Asked, callback: Callable[[object], bool], /) -> object:
            callback(chunk)
            return None

    yield Failing(words())


async def test_what_goes_wrong_is_told_in_plain_words() -> None:
    too_long = {"error": {"message": "n_ctx", "type": "exceed_context_size_error"}}
    with failing(too_long) as server, pytest.raises(ProviderError, match=r"raise \[chat\] context"):
        await ask(open_scripted(server), user("Hi"))
    with (
        failing({"error": {"message": "odd"}}) as server,
        pytest.raises(ProviderError, match=r"qwen: could not answer: odd"),
    ):
        await ask(open_scripted(server), user("Hi"))
    with failing({}) as server, pytest.raises(ProviderError, match="broke off"):
        await ask(open_scripted(server), user("Hi"))

    def refuse(request: Asked) -> Iterator[str]:
        raise ValueError("no such template")

    with pytest.raises(ProviderError, match="no such template"):
        await ask(open_scripted(Scripted(refuse)), user("Hi"))


async def test_closing_the_answer_stops_the_model() -> None:
    def endless(request: Asked) -> Iterator[str]:
        while True:
            yield "on and "

    server = Scripted(endless)
    reply = open_scripted(server).reply(ChatRequest(items=[user("Hi")]))
    assert await anext(reply) == "on and "
    await reply.aclose()  # type: ignore[attr-defined]
    assert await anyio.to_thread.run_sync(server.stopped.wait, 5)


# opening


async def test_settings_that_cannot_be_are_told() -> None:
    async def two(model: str) -> Mapping[str, Path]:
        return {"a": Path("a.gguf"), "b": Path("b.gguf")}

    for settings, says in (
        (QwenSettings(threads=0), "threads must be at least 1"),
        (QwenSettings(slots=0), "slots must be at least 1"),
        (QwenSettings(context=100), "context must be at least 1024"),
        (QwenSettings(), "must be one GGUF file, not 2"),
    ):
        with pytest.raises(ConfigError, match=says):
            await PLUGIN.open(settings, two)


def test_it_says_who_answers_and_what_it_needs() -> None:
    assert PLUGIN.about(QwenSettings()) == (
        "Qwen 2.5 Coder, half a billion parameters, on this machine; it may be wrong"
    )
    hub = QwenSettings(model="hf:Someone/Repository/better-q4.gguf@0123")
    assert PLUGIN.about(hub) == "better-q4.gguf, on this machine; it may be wrong"
    assert PLUGIN.models(QwenSettings(model="large")) == ("llm/qwen2.5-coder-1.5b-instruct-q4",)
    assert PLUGIN.models(hub) == (hub.model,)


def test_looking_at_it_does_not_load_llama() -> None:
    script = "import sys, vivavoce.providers.qwen.chat; sys.exit('xllamacpp' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_llama_the_owner_is_told_what_to_install() -> None:
    script = (
        "import sys, pathlib; sys.modules['xllamacpp'] = None\n"
        "from vivavoce.providers.qwen.llama import Llama\n"
        "try: Llama.load(pathlib.Path('x'), threads=1, context=9, slots=1)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.startswith("ConfigError")
    assert "vivavoce[local]" in said


async def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"

    async def given(model: str) -> Mapping[str, Path]:
        return {"model.gguf": file}

    with pytest.raises(ConfigError, match="there is no file"):
        await PLUGIN.open(QwenSettings(), given)
    file.write_bytes(b"no model at all")
    with pytest.raises(ProviderError, match=r"cannot load model\.gguf"):
        await PLUGIN.open(QwenSettings(), given)


# the real model


INSTRUCTIONS = "You are a friendly assistant who talks with people by voice."
QUESTIONS = (
    "Hi, how are you?",
    "What is the capital of France?",
    "Can you explain what a black hole is?",
    "Give me three tips for sleeping better.",
    "I'm feeling a bit sad today.",
    "How do I boil an egg?",
    "Can you hear me?",
    "Tell me a joke.",
    "What's the weather like?",
    "Okay thanks, bye!",
)
REQUESTS = (
    ("Where is my order one two three four?", "order_status"),
    ("Has order 88 shipped yet?", "order_status"),
    ("When will order 301 arrive?", "order_status"),
    ("What's the weather in Paris?", "get_weather"),
    ("Will it rain in London tomorrow?", "get_weather"),
    ("Do I need an umbrella in Bergen today?", "get_weather"),
    ("What's twelve times seven?", "calculate"),
    ("How much is 230 divided by 5?", "calculate"),
    ("Hi, how are you?", None),
    ("Tell me a joke.", None),
    ("What is the capital of France?", None),
    ("Thanks, that's all.", None),
)


@pytest.mark.models
async def test_the_small_model_talks_calls_tools_and_stops() -> None:
    qwen = await PLUGIN.open(QwenSettings(warm=INSTRUCTIONS), weights)
    assert isinstance(qwen, Qwen)
    await _answers_in_plain_speech(qwen)
    await _calls_the_right_tools(qwen)
    await _stops_and_goes_on(qwen)
    await _talks_with_two_at_once(qwen)
    await _drops_its_oldest_turns(qwen._llama)
    with pytest.raises(ProviderError, match="more than fits"):
        await ask(qwen, user("word " * 6000))


async def _answers_in_plain_speech(qwen: Qwen) -> None:
    for question in QUESTIONS:
        began, first = anyio.current_time(), None
        answer = ""
        async for piece in qwen.reply(ChatRequest(items=[user(question)], instructions=INSTRUCTIONS)):
            first = first or anyio.current_time() - began
            answer += piece if isinstance(piece, str) else ""
        print(f"{(first or 0) * 1000:.0f} ms  {question} {answer}")
        assert re.fullmatch(r"[\w ,;:.!?'’%$€£°-]+[.!?]", answer), answer
        assert len(answer.split()) <= 60


async def _calls_the_right_tools(qwen: Qwen) -> None:
    right = 0
    for request, wanted in REQUESTS:
        answer = await ask(qwen, user(request), tools=TOOLS, instructions=INSTRUCTIONS)
        called = answer[0].name if isinstance(answer[0], ToolCall) else None
        assert called is None or len(answer) == 2
        right += called == wanted
        print(request, answer[0])
    assert right >= 10


async def _stops_and_goes_on(qwen: Qwen) -> None:
    reply = qwen.reply(
        ChatRequest(items=[user("Tell me a long story about a dragon.")], instructions=INSTRUCTIONS)
    )
    await anext(reply)
    await reply.aclose()  # type: ignore[attr-defined]
    answer = await ask(qwen, user("What is the capital of Spain?"), instructions=INSTRUCTIONS)
    assert "Madrid" in "".join(piece for piece in answer if isinstance(piece, str))
    usage = answer[-1]
    assert isinstance(usage, ChatUsage)
    assert usage.cached_tokens > usage.input_tokens * 0.8


async def _drops_its_oldest_turns(llama: Llama) -> None:
    """What follows the dropped turns is moved in llama.cpp's cache, and is not read again."""
    system, asked = DialogueTurn("system", "Be kind."), DialogueTurn("user", "What is the name of my dog?")
    talk = [DialogueTurn("user", "Hello!"), DialogueTurn("assistant", "Hello! How can I help you today?")]
    kept = [
        *(DialogueTurn("user", "I live in a small town."), DialogueTurn("assistant", "That sounds nice.")),
        DialogueTurn("user", "My dog is called Rex, and my cat is called Mia."),
        DialogueTurn("assistant", "What lovely names!"),
    ]
    await llama.complete([system, *talk, *kept, DialogueTurn("user", "Well?")], slot=0, max_tokens=1)
    async with llama.stream([system, *kept, asked], {"max_tokens": 12}, slot=0, has_dropped=True) as pieces:
        *words, usage = [piece async for piece in pieces]
    assert isinstance(usage, ChatUsage)
    assert usage.input_tokens - usage.cached_tokens < 20
    assert "Rex" in "".join(map(str, words))


async def _talks_with_two_at_once(qwen: Qwen) -> None:
    heard: dict[str, str] = {}

    async def talk(question: str) -> None:
        answer = await ask(qwen, user(question), instructions=INSTRUCTIONS)
        heard[question] = "".join(piece for piece in answer if isinstance(piece, str))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk, "What is the capital of France?")
        tasks.start_soon(talk, "What is the capital of Italy?")
    assert "Paris" in heard["What is the capital of France?"]
    assert "Rome" in heard["What is the capital of Italy?"]
