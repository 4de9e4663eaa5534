"""An endpoint in the same process: answers as it is told, and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import httpx

from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.base import ChatRequest, Transcript
from vivavoce.providers.openai.chat import OpenAIChat, OpenAIChatSettings
from vivavoce.providers.openai.client import ApiClient, ApiSettings
from vivavoce.providers.openai.synthesizer import OpenAISynthesizer, OpenAISynthesizerSettings
from vivavoce.providers.openai.transcriber import OpenAITranscriber, OpenAITranscriberSettings

URL = "http://far.example/v1"
Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class Endpoint:
    """`answers` come one after the other; the last answers whatever follows."""

    answers: list[Answer]
    asked: list[httpx.Request] = field(default_factory=list)
    _made: dict[type, object] = field(default_factory=dict)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return answer(request)

    @property
    def body(self) -> dict[str, object]:
        found = json.loads(self.asked[-1].content)
        assert isinstance(found, dict)
        return found

    def client(self, settings: ApiSettings, role: str) -> ApiClient:
        return ApiClient.open(settings, role=role, transport=httpx.MockTransport(self))

    def chat(self, **settings: object) -> OpenAIChat:
        chosen = OpenAIChatSettings(base_url=URL, **{"key_env": "", **settings})  # type: ignore[arg-type]
        return OpenAIChat(self.client(chosen, "chat"), chosen)

    async def reply(self, request: ChatRequest | None = None, **settings: object) -> list[object]:
        chat = self.chat(**settings)
        return await replied(chat, request)

    async def transcribe(self, **how: str) -> Transcript:
        settings = OpenAITranscriberSettings(base_url=URL, key_env="", model="ears")
        return await OpenAITranscriber(self.client(settings, "transcriber"), settings).transcribe(
            b"\1\0" * 160, **how
        )

    def synthesizer(self, **settings: object) -> OpenAISynthesizer:
        chosen = OpenAISynthesizerSettings(base_url=URL, key_env="", **settings)  # type: ignore[arg-type]
        return OpenAISynthesizer(self.client(chosen, "synthesizer"), chosen)

    async def speak(self, speed: float = 1.0, **settings: object) -> list[object]:
        return [chunk async for chunk in self.synthesizer(**settings).speak("Hello.", speed=speed)]


async def replied(chat: OpenAIChat, request: ChatRequest | None = None) -> list[object]:
    return [piece async for piece in chat.reply(request or ChatRequest(items=[said("Hi")]))]


class Stream(httpx.AsyncByteStream):
    """A body that arrives piece by piece; a piece may be an exception, or something to wait for."""

    def __init__(self, pieces: Iterable[bytes | Exception | Callable[[], object]]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                await piece()  # type: ignore[misc]
            else:
                yield piece


def body(content: bytes | str, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(status, content=content, headers=named)


def pieces(*parts: bytes | Exception | Callable[[], object], **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(200, stream=Stream(parts), headers=named)


def events(*chunks: object, done: bool = True) -> Answer:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + (["data: [DONE]\n\n"] if done else [])
    return body(": hello\n\n" + "".join(lines), content_type="text/event-stream")


def delta(finish: str | None = None, **what: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": what, "finish_reason": finish}]}


def said(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


def asking(*tools: str, **options: object) -> ChatRequest:
    return ChatRequest(items=[said("Hi")], tools=[FunctionTool(name=name) for name in tools], **options)  # type: ignore[arg-type]
