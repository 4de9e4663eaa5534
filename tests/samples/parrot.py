# [start:provider]
from collections.abc import AsyncIterator

import msgspec

from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.dialogue import last_user_text, turns_of
from vivavoce.providers.registry import Plugin, Weights


class ParrotSettings(msgspec.Struct, frozen=True):
    """What can be set in [chat], beside `provider = "parrot"`. Every field has a default."""

    prefix: str = "You said:"


class Parrot:
    """Repeats the user."""

    def __init__(self, settings: ParrotSettings) -> None:
        self.settings = settings

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield text as it comes, and at last the usage. When the iterator is closed, stop."""
        words = f"{self.settings.prefix} {last_user_text(turns_of(request.items))}".split()
        for word in words[: request.max_tokens]:
            yield f"{word} "
        yield ChatUsage(input_tokens=0, output_tokens=len(words))


async def open_parrot(settings: ParrotSettings, weights: Weights) -> Parrot:
    """Called once per process: load a model here, off the event loop."""
    return Parrot(settings)


PLUGIN = Plugin(
    role="chat",
    name="parrot",
    summary="Repeats what it is told.",
    settings=ParrotSettings,
    open=open_parrot,
    about=lambda settings: f"a parrot that begins with {settings.prefix!r}",
)
# [end:provider]
