"""Which tools an obedient speaker calls, and with what."""

import re
from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers.argument_search import arguments_from
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.providers.scripted.history import UNHEARD, Said, sentences_of, spaced, stems

__all__ = ["calls_for"]

_NEVER = re.compile(r"\b(?:not|never|don't|no longer)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\b(?:when|whenever|if|once|can|may|available|for|to)\b", re.IGNORECASE)
_DIRECTIVE = re.compile(r"\b(?:call|use|invoke|run|always|must)\b", re.IGNORECASE)


def calls_for(said: Said, request: ChatRequest) -> tuple[ToolCall, ...]:
    """Return the calls that are asked for, with arguments that fit their schemas."""
    tools = {tool.name: tool for tool in request.tools}
    match request.tool_choice:
        case "none":
            return ()
        case ToolChoiceFunction(name=name):
            chosen = [tools[name]] if name in tools else []
        case "required":
            chosen = _wanted(said, request.tools) or list(request.tools[:1])
        case _:
            chosen = _wanted(said, request.tools)
    return tuple(_call(tool, said) for tool in chosen)


def _wanted(said: Said, tools: Sequence[FunctionTool]) -> list[FunctionTool]:
    """Return the tools that the caller names, else the one the words are about, else those of the rules."""
    if named := [tool for tool in tools if _names(said.asked, tool) and not _NEVER.search(said.asked)]:
        return named
    forbidden = [tool for tool in tools if _forbidden(said.rules, tool)]
    allowed = [tool for tool in tools if tool not in forbidden]
    scores = [(_score(said.asked, tool), -index) for index, tool in enumerate(allowed)]
    if scores and (best := max(scores))[0] >= 2:
        return [allowed[-best[1]]]
    return [tool for tool in allowed if _ordered(said, tool)]


def _names(text: str, tool: FunctionTool) -> bool:
    words = re.escape(tool.name).replace("_", r"[\s_-]+")
    return ("_" in tool.name and bool(re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE))) or bool(
        re.search(
            rf"\b(?:call|use|invoke|run|tool)\s+(?:the\s+)?(?:tool\s+)?[`'\"]?{words}(?!\w)",
            text,
            re.IGNORECASE,
        )
    )


def _forbidden(rules: str, tool: FunctionTool) -> bool:
    return any(_NEVER.search(sentence) and _names(sentence, tool) for sentence in sentences_of(rules))


def _score(text: str, tool: FunctionTool) -> int:
    """Count two for each word of the tool's name in `text`, one for each of its description."""
    said = stems(text)
    description = tool.description if tool.description is not UNSET else ""
    return 2 * len(said & stems(spaced(tool.name))) + len(said & stems(description))


def _ordered(said: Said, tool: FunctionTool) -> bool:
    """Say whether the rules order this tool now; a sound that nobody understood fulfils every condition."""
    for sentence in sentences_of(said.rules):
        if not _names(sentence, tool) or not _DIRECTIVE.search(sentence):
            continue
        if not _CONDITION.search(sentence) or not said.asked or said.asked.startswith(UNHEARD):
            return True
        if stems(said.asked) & stems(sentence):
            return True
    return False


def _call(tool: FunctionTool, said: Said) -> ToolCall:
    schema = tool.parameters if tool.parameters is not UNSET else {}
    rule = " ".join(sentence for sentence in sentences_of(said.rules) if _names(sentence, tool))
    request = "" if said.asked.startswith(UNHEARD) and rule else said.asked
    spoken = re.sub(re.escape(tool.name), " ", request)
    arguments = arguments_from(schema, spoken, rule.partition(tool.name)[2])
    return ToolCall(tool.name, msgspec.json.encode(arguments).decode())
