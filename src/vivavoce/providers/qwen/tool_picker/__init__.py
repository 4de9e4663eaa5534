"""Chooses tools for a chat model that is too small to do so by itself."""

import re
import tomllib
from importlib.resources import files
from typing import Any

__all__ = ["WORDS", "pattern"]

WORDS: dict[str, Any] = tomllib.loads(
    (files("vivavoce.providers.qwen.tool_picker") / "words.toml").read_text(encoding="utf-8")
)
"""The prompts, examples and English words for the choice."""


def pattern(name: str) -> re.Pattern[str]:
    """Return a compiled pattern of `words.toml`."""
    return re.compile(WORDS["patterns"][name], re.IGNORECASE)
