"""Chooses tools for a chat model that is too small to do so by itself."""

import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.dialogue import DialogueTurn

__all__ = ["WORDS", "ToolPicker", "pattern"]

WORDS: dict[str, Any] = tomllib.loads(
    (files("vivavoce.providers.qwen.tool_picker") / "words.toml").read_text(encoding="utf-8")
)
"""The prompts, examples and English words for the choice."""


def pattern(name: str) -> re.Pattern[str]:
    """Return a compiled pattern of `words.toml`."""
    return re.compile(WORDS["patterns"][name], re.IGNORECASE)


class ToolPicker(Protocol):
    """Decides before a chat model replies whether a tool is called instead."""

    async def pick(
        self, request: ChatRequest, turns: Sequence[DialogueTurn]
    ) -> tuple[ToolCall | str, ChatUsage] | None:
        """Return the call for a request, or a question for missing arguments; None if no tool is needed.

        `turns` are the items of the request. Raises `ProviderError` if a call is required but impossible.
        """
        ...

    async def prefill(self, request: ChatRequest, turns: Sequence[DialogueTurn]) -> None:
        """Process the tools and the conversation so far, so that the next request is answered sooner."""
        ...
