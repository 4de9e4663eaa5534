"""Chooses tools for a chat model that is too small to do so by itself; nothing outside knows how."""

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
"""The prompts, examples and English words that help to choose."""


def pattern(name: str) -> re.Pattern[str]:
    """Return a pattern of `words.toml`."""
    return re.compile(WORDS["patterns"][name], re.IGNORECASE)


class ToolPicker(Protocol):
    """Stands before a chat model, and answers in its place where a tool is to be called."""

    async def pick(
        self, request: ChatRequest, turns: Sequence[DialogueTurn]
    ) -> tuple[ToolCall | str, ChatUsage] | None:
        """Return the call that a request needs, or a question for what it lacks; None if it needs no tool.

        `turns` are the items of the request. Raises `ProviderError` where a call is required and impossible.
        """
        ...

    async def prefill(self, request: ChatRequest, turns: Sequence[DialogueTurn]) -> None:
        """Read the tools and the conversation so far, so that the next request is answered sooner."""
        ...
