"""Chooses a tool and its arguments for a request, by small questions that a small model answers reliably.

With their native tool format, models of this size write calls as prose, or call tools without need (3 of 20
right). Therefore the model is asked for a name, limited to the existing ones, after a few example requests. The
user's words determine most arguments (`arguments`); the model is asked for the others (`grammar`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import msgspec
from msgspec import UNSET

from vivavoce.errors import ProviderError
from vivavoce.protocol.items import Message
from vivavoce.protocol.json_schema import argument_schema
from vivavoce.protocol.session import FunctionTool, ToolChoice, ToolChoiceFunction
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.llama import PROVIDER, Completion
from vivavoce.providers.qwen.tool_picker import WORDS, pattern
from vivavoce.providers.qwen.tool_picker.arguments import (
    Arguments,
    ToolArgument,
    call_of,
    find_arguments,
    own_words,
    parameters_of,
    question_for,
    read_arguments,
    unfit_arguments,
)
from vivavoce.providers.qwen.tool_picker.grammar import argument_grammar, known_arguments
from vivavoce.text.en.inverse_normalization import as_written

NONE = "none"
NAME_TOKENS = 32
ARGUMENT_TOKENS = 160
CANDIDATES = 20
"""number of first tokens whose probability is requested"""
CLOSE, DOUBT = 1.0, 0.3
"""Differences in log probability to `none` within which the user's words decide."""

_EXAMPLES_PER_TOOL = 2
_DESCRIPTION_CHARS = 160
_HINT_CHARS = 60
_EARLIER_CHARS = 80
_REQUEST_CHARS = 1000
_EXAMPLES = pattern("examples")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)")


@dataclass(frozen=True)
class Router:
    """Decides before a chat model replies whether a tool is called instead; `complete` calls that model."""

    complete: Callable[..., Awaitable[Completion]]

    async def pick(
        self, request: ChatRequest, turns: Sequence[DialogueTurn]
    ) -> tuple[ToolCall | str, ChatUsage] | None:
        """Return the call for a request, or a question for missing arguments; None if no tool is needed.

        `turns` are the items of the request. Unless required, a call is only made directly after the user's
        words, not after a tool's result. Raises `ProviderError` if a call is required but impossible.
        """
        tools = eligible_tools(request.tools, request.tool_choice)
        if request.tool_choice not in ("auto", "none"):
            return await self._required_call(tools, turns)
        last = request.items[-1] if request.items else None
        if not (isinstance(last, Message) and last.role == "user"):
            return None
        tool, usage = await self._choose(tools, turns)
        return (await self._call_or_question(tool, tools, turns, usage)) if tool else None

    async def prefill(self, request: ChatRequest, turns: Sequence[DialogueTurn]) -> None:
        """Process the tools and the conversation so far, so that the next request is answered sooner."""
        await self._choose(eligible_tools(request.tools, request.tool_choice), turns)

    async def _call_or_question(
        self, tool: FunctionTool, tools: Sequence[FunctionTool], turns: Sequence[DialogueTurn], usage: ChatUsage
    ) -> tuple[ToolCall | str, ChatUsage]:
        found = find_arguments(tool, tools, turns)
        if found.missing:
            return question_for(tool, found.missing), usage
        arguments = dict(found.known)
        if found.open:
            written, cost = await self._write_arguments(tool, tools, turns, found)
            usage += cost
            arguments = read_arguments(tool, written) | arguments
        unfit = unfit_arguments(tool, arguments)
        return (question_for(tool, unfit) if unfit else call_of(tool, arguments)), usage

    async def _required_call(
        self, tools: Sequence[FunctionTool], turns: Sequence[DialogueTurn]
    ) -> tuple[ToolCall, ChatUsage]:
        """Call a tool because the client requires it, whatever the user has said."""
        tool = tools[0] if len(tools) == 1 else (await self._choose(tools, turns, required=True))[0]
        if tool is None:
            raise ProviderError(PROVIDER, "is to call a tool, but there is none of that name")
        written, usage = await self._write_arguments(tool, tools, turns)
        arguments = read_arguments(tool, written)
        if unfit := unfit_arguments(tool, arguments):
            problem = f"could not fill in {', '.join(unfit)} of {tool.name}"
            raise ProviderError(PROVIDER, problem, retryable=True)
        return call_of(tool, arguments), usage

    async def _choose(
        self, tools: Sequence[FunctionTool], turns: Sequence[DialogueTurn], *, required: bool = False
    ) -> tuple[FunctionTool | None, ChatUsage]:
        """Ask the model for a tool; with `required`, `none` is not allowed."""
        if not tools:
            return None, ChatUsage(0, 0)
        prompt, _ = choice_prompt(tools, turns)
        answer = await self.complete(
            prompt,
            max_tokens=NAME_TOKENS,
            grammar=name_grammar(tools, none=not required),
            logprobs=not required,
            top_logprobs=0 if required else CANDIDATES,
        )
        tool = tool_of_answer(tools, answer.text)
        if not required:
            find = partial(find_arguments, tools=tools, turns=turns)
            tool = reconsider(tools, tool, answer.candidates, find)
        return tool, answer.usage

    async def _write_arguments(
        self,
        tool: FunctionTool,
        tools: Sequence[FunctionTool],
        turns: Sequence[DialogueTurn],
        found: Arguments | None = None,
    ) -> tuple[str, ChatUsage]:
        """Let the model write a tool's arguments as JSON: the open ones, or all."""
        prompt, request = choice_prompt(tools, turns)
        prompt += [
            DialogueTurn("assistant", tool.name),
            DialogueTurn("user", arguments_prompt(tool.name, request)),
        ]
        grammar = argument_grammar(tool, found, turns) if found else None
        if found and grammar:
            begun = known_arguments(found)
            prompt.append(DialogueTurn("assistant", begun))
            answer = await self.complete(prompt, max_tokens=ARGUMENT_TOKENS, grammar=grammar)
            return f"{begun}{answer.text}}}", answer.usage
        schema = {"type": "json_schema", "json_schema": {"schema": argument_schema(tool)}}
        answer = await self.complete(prompt, max_tokens=ARGUMENT_TOKENS, response_format=schema)
        return answer.text, answer.usage


def eligible_tools(tools: Sequence[FunctionTool], choice: ToolChoice) -> Sequence[FunctionTool]:
    """Return the tools that may be called."""
    if choice == "none":
        return ()
    if isinstance(choice, ToolChoiceFunction):
        return [tool for tool in tools if tool.name == choice.name]
    return tools


# the prompt


def _request(text: str, earlier: str = "") -> str:
    return f"Earlier: {earlier}\nRequest: {text}" if earlier else f"Request: {text}"


def arguments_prompt(tool: str, request: str) -> str:
    """Return the next question to a model that chose `tool`."""
    return f"Arguments of {tool} for: {request}"


def _example(request: str, tool: str = NONE, arguments: str = "", earlier: str = "") -> list[DialogueTurn]:
    turns = [DialogueTurn("user", _request(request, earlier)), DialogueTurn("assistant", tool)]
    if arguments:
        turns += [DialogueTurn("user", arguments_prompt(tool, request)), DialogueTurn("assistant", arguments)]
    return turns


def _fixed() -> tuple[DialogueTurn, ...]:
    first, *rest = (turn for example in WORDS["examples"] for turn in _example(**example))
    return (DialogueTurn("system", WORDS["rule"]), DialogueTurn("user", WORDS["tools"] + first.text), *rest)


FIXED = _fixed()
"""Return the beginning of all prompts, which is processed once, when the model is loaded."""


def choice_prompt(
    tools: Sequence[FunctionTool], turns: Sequence[DialogueTurn]
) -> tuple[list[DialogueTurn], str]:
    """Return the prompt that asks for a tool's name, and the request in it.

    The constant part comes first, then the tools with example requests, which seldom change, and last the
    request with the two turns before it, so that the prompt cache is used best.
    """
    spoken = [turn for turn in turns if turn.role != "system"]
    request = as_written(_one_line(spoken[-1].text))[:_REQUEST_CHARS] if spoken else ""
    earlier = " / ".join(filter(None, map(_shortened, spoken[-3:-1])))
    return [*FIXED, *_tool_turns(tools), DialogueTurn("user", _request(request, earlier))], request


def _shortened(turn: DialogueTurn) -> str:
    """Return the beginning of a user's turn, or the end of an assistant's, to keep the prompt short."""
    text = _one_line(own_words(turn))
    if len(text) <= _EARLIER_CHARS:
        return text
    if turn.role == "user":
        return text[:_EARLIER_CHARS].rpartition(" ")[0]
    return text[-_EARLIER_CHARS:].partition(" ")[2]


def _tool_turns(tools: Sequence[FunctionTool]) -> list[DialogueTurn]:
    listed = "Now the tools are others:\n" + "\n".join(map(_signature, tools)) + "\n\n"
    turns = [DialogueTurn("user", listed + _request("hello there")), DialogueTurn("assistant", NONE)]
    others, asked = cycle(WORDS["requests_without_tool"]), [(tool.name, _requests_for(tool)) for tool in tools]
    for which in range(_EXAMPLES_PER_TOOL):
        for name, requests in asked:
            for request in requests[which : which + 1]:
                turns += [*_example(request, name), *_example(next(others))]
    return turns


def _requests_for(tool: FunctionTool) -> Sequence[str]:
    """Return example requests for a tool: from its description, or else typical ones for its kind of name."""
    about, examples = _about(tool)
    about = about or tool.name.replace("_", " ")
    topic = f"{tool.name} {about}".lower()
    usual = next((requests for known, *requests in WORDS["usual_requests"] if re.search(known, topic)), None)
    return examples or usual or (f"please {about[0].lower()}{about[1:].rstrip('.')}",)


def _about(tool: FunctionTool) -> tuple[str, Sequence[str]]:
    """Return a tool's purpose, and the requests in its description after `For example:`."""
    text = _one_line(tool.description) if tool.description is not UNSET else ""
    quoting = _EXAMPLES.search(text)
    examples = (
        [next(filter(None, found)) for found in _QUOTED.findall(text[quoting.end() :])] if quoting else []
    )
    about = text[: quoting.start()].strip() if quoting and examples else text
    return about[:_DESCRIPTION_CHARS], [as_written(example) for example in examples]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _signature(tool: FunctionTool) -> str:
    arguments = ", ".join(f"{one.name}: {_values(one)}" for one in parameters_of(tool))
    return f"{tool.name}({arguments})" + (f": {about}" if (about := _about(tool)[0]) else "")


def _values(argument: ToolArgument) -> str:
    options, kind = argument.schema.get("enum"), str(argument.schema.get("type", "any"))
    values = " or ".join(map(str, options)) if isinstance(options, list) else kind
    return f"{values} ({argument.about[:_HINT_CHARS]})" if argument.about else values


# the model's choice


def name_grammar(tools: Sequence[FunctionTool], *, none: bool) -> str:
    """Return a GBNF grammar of the tools' names, or unique prefixes of them, and if allowed of `none`."""
    prefixes = _prefixes(tools, none=none)
    return "root ::= " + " | ".join(msgspec.json.encode(prefix).decode() for prefix in prefixes)


def tool_of_answer(tools: Sequence[FunctionTool], answer: str) -> FunctionTool | None:
    """Return the tool for an answer by `name_grammar`; None for `none`."""
    return _prefixes(tools, none=True).get(answer) or _prefixes(tools, none=False).get(answer)


def reconsider(
    tools: Sequence[FunctionTool],
    chosen: FunctionTool | None,
    candidates: Mapping[str, float],
    find: Callable[[FunctionTool], Arguments],
) -> FunctionTool | None:
    """Adjust a choice by the model's confidence (log probabilities of first tokens) and the user's words.

    A tool nearly as likely as none is chosen if all that it needs was said, and leaves no choice: a number. A
    tool hardly more likely than none is not chosen if nothing that it needs was said.
    """
    ahead = _ahead_of_none(tools, candidates)
    if chosen is None:
        close = sorted((name for name in ahead if ahead[name] > -CLOSE), key=lambda name: -ahead[name])
        known = {tool.name: tool for tool in tools}
        return next((known[name] for name in close if find(known[name]).is_complete), None)
    found = find(chosen)
    doubtful = ahead.get(chosen.name, DOUBT) < DOUBT and found.missing and not found.known
    return None if doubtful else chosen


def _ahead_of_none(tools: Sequence[FunctionTool], candidates: Mapping[str, float]) -> Mapping[str, float]:
    """Return by how much tools were more likely than none, as far as their first tokens differ."""
    names = [*(tool.name for tool in tools), NONE]
    begun = {token: [name for name in names if name.startswith(token)] for token in candidates if token}
    sure = {found[0]: candidates[token] for token, found in reversed(begun.items()) if len(found) == 1}
    none = sure.pop(NONE, None)
    return {} if none is None else {name: sure[name] - none for name in sure}


def _prefixes(tools: Sequence[FunctionTool], *, none: bool) -> Mapping[str, FunctionTool | None]:
    """Return a unique prefix of each name, since each word takes time to generate."""
    known: dict[str, FunctionTool | None] = {tool.name: tool for tool in tools}
    if none:
        known.setdefault(NONE, None)
    first = {name: name.partition("_")[0] for name in known}
    counts = list(first.values())
    return {first[name] if counts.count(first[name]) == 1 else name: tool for name, tool in known.items()}
