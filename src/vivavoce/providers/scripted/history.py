"""The conversation as an obedient speaker sees it, and how it takes words apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.protocol.items import (
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.providers.base import ChatRequest
from vivavoce.providers.dialogue import outcome

__all__ = ["UNHEARD", "Said", "said_in", "sentences_of", "spaced", "stems", "text_of"]

UNHEARD = "I said something for"
"""How the scripted transcriber's account of a sound begins; it may mean anything."""

_GENERIC = frozenset(
    "get set find do run make fetch call tool check create use show give tell look up "
    "a an the of for to in on and or with by from my your me is it this that what user".split()
)
"""Words that say nothing of what a text is about."""


def text_of(item: Message) -> str:
    """Return the words of a message, written or said."""
    texts: list[str] = []
    for part in item.content:
        match part:
            case InputText(text=text) | OutputText(text=text):
                texts.append(text)
            case InputAudio(transcript=str(text)) | OutputAudio(transcript=str(text)):
                texts.append(text)
    return " ".join(filter(None, texts))


@dataclass(frozen=True)
class Said:
    """The conversation as the obedient speaker sees it, newest first."""

    asked: str
    earlier: Sequence[str]
    replies: Sequence[str]
    outputs: Sequence[str]
    rules: str
    images: Sequence[str] = ()


def said_in(request: ChatRequest) -> Said:
    """Read a conversation."""
    messages = [item for item in request.items if isinstance(item, Message)]
    users = [text_of(message) for message in reversed(messages) if message.role == "user"]
    replies = [text_of(message) for message in reversed(messages) if message.role == "assistant"]
    systems = [text_of(message) for message in messages if message.role == "system"]
    return Said(
        asked=users[0] if users else "",
        earlier=[text for text in users[1:] if text],
        replies=[text for text in replies if text],
        outputs=_last_outputs(request.items),
        rules="\n".join([*reversed(systems), request.instructions]),
        images=_images(messages),
    )


def _images(messages: Sequence[Message]) -> list[str]:
    """Return what the user shows in the last message."""
    shown = messages[-1].content if messages else ()
    return [_about(part.image_url) for part in shown if isinstance(part, InputImage)]


def _about(url: str) -> str:
    head, comma, data = url.partition(";base64,")
    return f"an image of {len(data.rstrip('=')) * 3 // 4} bytes" if comma else f"an image at {head}"


def _last_outputs(items: Sequence[Item]) -> list[str]:
    """Return what tools have answered since anyone last spoke."""
    outputs: list[str] = []
    for item in reversed(items):
        if isinstance(item, Message):
            break
        if isinstance(item, FunctionCallOutput):
            outputs.append(item.output)
        if isinstance(item, McpCall):
            outputs.append(outcome(item))
    return outputs[::-1]


def sentences_of(text: str) -> list[str]:
    """Cut a text into its sentences and lines."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def spaced(name: str) -> str:
    """Return a name such as `get_weather` or `getWeather` as words."""
    return re.sub(r"[_-]+|(?<=[a-z])(?=[A-Z])", " ", name)


def stems(text: str) -> set[str]:
    """Return what a text is about: its words without endings, and without those that say nothing."""
    words = set(re.findall(r"[a-z0-9']+", text.lower())) - _GENERIC
    return {re.sub(r"(?:ing|es|s|ed)$", "", word) if len(word) > 4 else word for word in words}
