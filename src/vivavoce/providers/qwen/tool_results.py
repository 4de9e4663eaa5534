"""Selects tool results that can be read out verbatim; the model rephrases all others.

A small model that rephrases a result drops facts and invents others (see docs/providers/qwen.md). Therefore a
short, plain result is spoken exactly as the tool wrote it.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, Item, McpCall
from vivavoce.providers.dialogue import mcp_result
from vivavoce.providers.qwen.prompts import FOR_THE_MODEL

MAX_CHARS = 400

_MARKUP = re.compile(r"[<>{}\[\]|`*#]|://|^\s*-\s", re.MULTILINE)


def verbatim_results(items: Sequence[Item]) -> str | None:
    """Return the tool results since the last message unchanged; None if one of them cannot be read out."""
    results = [verbatim(output) for output in _outputs(items)][::-1]
    texts = [text for text in results if text is not None]
    whole = "\n".join(texts)
    return whole if texts and len(texts) == len(results) and len(whole) <= MAX_CHARS else None


def _outputs(items: Sequence[Item]) -> Iterator[str]:
    """Yield the results since the last message, the newest first."""
    for item in reversed(items):
        match item:
            case FunctionCallOutput(output=output):
                yield output
            case McpCall():
                yield mcp_result(item)
            case FunctionCall():
                pass
            case _:
                return


def verbatim(output: str) -> str | None:
    """Return the text of one result unchanged; None if it is long, no plain text, or meant for the model."""
    try:
        text = msgspec.json.decode(output)
    except msgspec.DecodeError:
        text = output
    if not isinstance(text, str) or len(text) > MAX_CHARS or not any(map(str.isalpha, text)):
        return None
    return None if _MARKUP.search(text) or FOR_THE_MODEL.search(text) else text.strip()
