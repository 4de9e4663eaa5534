"""Qwen: answers offline, from weights on this machine, and is held to good manners because it is small.

Every conversation returns to the slot of the model that has read it before: only its new words are read then.
Where tools may be called, another slot chooses one first, of which no other work takes the cores: see `router`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.protocol.items import Message
from vivavoce.protocol.session import FunctionTool
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.dialogue import (
    Turn,
    estimate_tokens,
    fit_turns,
    last_user_text,
    system_prompt,
    turns_of,
)
from vivavoce.providers.json_schema import form
from vivavoce.providers.qwen import argument_grammar as blanks
from vivavoce.providers.qwen import router, tool_results
from vivavoce.providers.qwen.argument_search import Evidence, evidence
from vivavoce.providers.qwen.llama import Chunk, Failure, Llama, Timings
from vivavoce.providers.qwen.prompt import EXAMPLES, FEW, SPOKEN_OFFLINE, is_latin, sentences, speakable
from vivavoce.providers.qwen.slots import Slots
from vivavoce.providers.registry import Plugin, Weights

__all__ = ["PLUGIN", "Qwen", "QwenSettings"]

NAME = "qwen"
SIZES = {"small": "llm/qwen2.5-coder-0.5b-instruct-q4", "large": "llm/qwen2.5-coder-1.5b-instruct-q4"}
TITLES = {"small": "Qwen2.5-Coder 0.5B", "large": "Qwen2.5-Coder 1.5B"}
ANSWER_TOKENS = 1024
ARGUMENT_TOKENS = 160
NAME_TOKENS = 32
LEAST_CONTEXT = 1024
NO_ECHO = 0.8
HEEDS = frozenset({"response_format", "stop"})
FORM_BYTES = 32 * 1024
"""of a JSON Schema; a grammar of thousands of rules would keep the model from ever writing a word"""


class QwenSettings(msgspec.Struct, frozen=True):
    """How the offline chat model is loaded.

    `model` is `small` (0.5B), `large` (1.5B), or a GGUF file of one's own: its path, or
    `hf:OWNER/REPOSITORY/FILE@REVISION`. `threads` are the cores it uses. `context` is how many tokens one
    conversation may have before its oldest turns are forgotten. `slots` conversations are answered at once, and
    more wait. `warm` is the instructions that most sessions have: they are read before the first caller comes.
    `verbatim_results` reads out short, plain tool results word for word; else the model retells them.
    """

    model: str = "small"
    threads: int = 2
    context: int = 4096
    slots: int = 2
    warm: str = ""
    verbatim_results: bool = True


class Qwen:
    """A chat model on this machine. Open one with `Qwen.load`."""

    def __init__(
        self,
        llama: Llama,
        *,
        slots: int,
        context: int,
        read: Sequence[Turn] = (),
        verbatim_results: bool = True,
    ) -> None:
        self._llama, self._context, self._verbatim = llama, context, verbatim_results
        self._slots, self._router = Slots(slots, tuple(read)), slots

    @classmethod
    async def load(cls, path: Path, settings: QwenSettings) -> "Qwen":
        """Load the weights and read what they all begin with. Raises `ConfigError`, `ProviderError`."""
        slots = settings.slots + 1  # the last is the router's
        load = partial(
            Llama.load, path, provider=NAME, threads=settings.threads, context=settings.context, slots=slots
        )
        llama = await anyio.to_thread.run_sync(load, limiter=anyio.CapacityLimiter(1))
        opening = [
            Turn("system", system_prompt(settings.warm, SPOKEN_OFFLINE)),
            *EXAMPLES,
            Turn("user", "Hello."),
        ]
        qwen = cls(
            llama,
            slots=settings.slots,
            context=settings.context,
            read=opening,
            verbatim_results=settings.verbatim_results,
        )
        for slot in range(settings.slots):
            await qwen._write(opening, slot=slot, max_tokens=1, grammar=speakable(FEW))
        await qwen._write([*router.FIXED, Turn("user", "Hello.")], slot=qwen._router, max_tokens=1)
        return qwen

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Answer in words, or with one tool call. Closing the iterator stops the model within a word.

        Raises `ProviderError` where the last words do not fit, or a tool was demanded and cannot be called,
        `ProtocolError` for a form to which no answer can be held.
        """
        if len(msgspec.json.encode(request.options)) > FORM_BYTES:
            raise _no_form(f": it has more than {FORM_BYTES:,} bytes")
        turns = turns_of(request.items)
        tools = router.eligible(request.tools, request.tool_choice)
        if request.tool_choice in ("auto", "none"):
            if self._verbatim and request.spoken and (text := tool_results.verbatim_results(request.items)):
                yield text
                yield ChatUsage(0, 0)
                return
            step = await self._step(tools, turns) if _is_asked(request) else None
            if step is None:
                async with self._answering(request, turns) as chunks:
                    async for piece in _spoken(chunks, held="response_format" in request.options):
                        yield piece
                return
            first, usage = step
        else:
            first, usage = await self._demanded(tools, turns)
        yield first
        yield usage

    @property
    def supported_options(self) -> frozenset[str]:
        """What a client may wish of it: a form, to which it is held by a grammar, and where to end."""
        return HEEDS

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens are left for the conversation; tools have a place of their own."""
        opening = _opening(request)
        return max(
            0, self._context - self._longest(request) - sum(estimate_tokens(said.text) for said in opening)
        )

    async def prefill(self, request: ChatRequest) -> None:
        """Read what a conversation begins with, and its tools, so that its first question is answered soon.

        Once something was said, only the tools' slot has to read it: the other has said it.
        """
        tools = router.eligible(request.tools, request.tool_choice)
        if request.items:
            await self._choose(tools, [*turns_of(request.items), Turn("user", "")], none=True)
            return
        hello = [Turn("user", "Hello.")]
        async with self._answering(replace(request, max_tokens=1), hello) as chunks:
            async for _ in _spoken(chunks):
                pass
        await self._choose(tools, hello, none=True)

    def _answering(
        self, request: ChatRequest, turns: Sequence[Turn]
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Begin to write the answer; leaving the block stops it."""
        turns = fit_turns(turns, self.context_budget(request))
        prompt = tuple(said for said in [*_opening(request), *turns] if said.text)
        held = _held_to_speech(request, last_user_text(turns)) if request.spoken else request.options
        return self._written(prompt, max_tokens=self._longest(request), **held)

    def _longest(self, request: ChatRequest) -> int:
        """Return how many tokens an answer may have."""
        return min(request.max_tokens or ANSWER_TOKENS, ANSWER_TOKENS, self._context // 4)

    async def _step(
        self, tools: Sequence[FunctionTool], turns: Sequence[Turn]
    ) -> tuple[ToolCall | str, ChatUsage] | None:
        """Return the call that the last words need, or a question for what it lacks; None if they need none."""
        tool, usage = await self._choose(tools, turns, none=True)
        if tool is None:
            return None
        told = evidence(tool, tools, turns)
        if told.missing:
            return blanks.asking(tool, told.missing), usage
        arguments = dict(told.found)
        if told.left:
            written, filling = await self._fill(tool, told, tools, turns)
            usage = _sum(usage, filling)
            arguments = blanks.completed(tool, written) | arguments
        wrong = blanks.wrong(tool, arguments)
        return (blanks.asking(tool, wrong) if wrong else blanks.call(tool, arguments)), usage

    async def _demanded(
        self, tools: Sequence[FunctionTool], turns: Sequence[Turn]
    ) -> tuple[ToolCall, ChatUsage]:
        """Call a tool because the client says so, whatever was said."""
        tool = tools[0] if len(tools) == 1 else (await self._choose(tools, turns, none=False))[0]
        if tool is None:
            raise ProviderError(NAME, "is to call a tool, but there is none of that name")
        written, usage = await self._fill(tool, None, tools, turns)
        arguments = blanks.completed(tool, written)
        if wrong := blanks.wrong(tool, arguments):
            problem = f"could not fill in {', '.join(wrong)} of {tool.name}"
            raise ProviderError(NAME, problem, retryable=True)
        return blanks.call(tool, arguments), usage

    async def _choose(
        self, tools: Sequence[FunctionTool], turns: Sequence[Turn], *, none: bool
    ) -> tuple[FunctionTool | None, ChatUsage]:
        if not tools:
            return None, ChatUsage(0, 0)
        prompt, _ = router.question(tools, turns)
        grammar, look = router.names(tools, none=none), partial(evidence, tools=tools, turns=turns)
        likely: dict[str, float] = {}
        options = {
            "max_tokens": NAME_TOKENS,
            "grammar": grammar,
            "logprobs": none,
            "top_logprobs": router.LIKELY * none,
        }
        name, usage = await self._write(prompt, slot=self._router, likely=likely, **options)
        tool = router.named(tools, name)
        return (router.on_second_thoughts(tools, tool, likely, look) if none else tool), usage

    async def _fill(
        self, tool: FunctionTool, told: Evidence | None, tools: Sequence[FunctionTool], turns: Sequence[Turn]
    ) -> tuple[str, ChatUsage]:
        """Let the model write a tool's arguments: what `told` leaves to it, or all of them."""
        prompt, request = router.question(tools, turns)
        prompt += [Turn("assistant", tool.name), Turn("user", router.details(tool.name, request))]
        ask = partial(self._write, slot=self._router, max_tokens=ARGUMENT_TOKENS)
        grammar = blanks.rest(tool, told, turns) if told else None
        if told and grammar:
            begun = blanks.beginning(told)
            written, usage = await ask([*prompt, Turn("assistant", begun)], grammar=grammar)
            return f"{begun}{written}}}", usage
        schema = {"type": "json_schema", "json_schema": {"schema": form(tool)}}
        return await ask(prompt, response_format=schema)

    async def _write(
        self, prompt: Sequence[Turn], *, slot: int, likely: dict[str, float] | None = None, **options: object
    ) -> tuple[str, ChatUsage]:
        """Let the model write, and note what its first token was `likely` to be."""
        async with self._llama.ask(_body(prompt, slot, options)) as chunks:
            pieces = [piece async for piece in _spoken(_noting(chunks, likely))]
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        return text, next(piece for piece in pieces if isinstance(piece, ChatUsage))

    @asynccontextmanager
    async def _written(
        self, prompt: tuple[Turn, ...], **options: object
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        async with self._slots.lend(prompt) as slot, self._llama.ask(_body(prompt, slot, options)) as chunks:
            yield chunks


def _sum(one: ChatUsage, other: ChatUsage) -> ChatUsage:
    """Return what two steps cost together."""
    return ChatUsage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        other.finish,
    )


def _opening(request: ChatRequest) -> list[Turn]:
    """Return what stands before the conversation."""
    told = Turn("system", system_prompt(request.instructions, SPOKEN_OFFLINE if request.spoken else ""))
    return [told, *(EXAMPLES if request.spoken else ())]


def _body(prompt: Sequence[Turn], slot: int, options: Mapping[str, object]) -> dict[str, object]:
    messages = [{"role": said.role, "content": said.text} for said in prompt]
    given = {name: value for name, value in options.items() if value}
    return {"messages": messages, "id_slot": slot, "temperature": 0.0, **given}


def _is_asked(request: ChatRequest) -> bool:
    """Say whether the user spoke last; after a tool's answer one speaks, and calls no other."""
    last = request.items[-1] if request.items else None
    return isinstance(last, Message) and last.role == "user"


def _held_to_speech(request: ChatRequest, asked: str) -> dict[str, object]:
    most = sentences(request.instructions, asked)
    grammar = speakable(most, latin=is_latin(request.instructions + asked))
    # at length, a small model says its third sentence for ever, unless what it said before is made dear
    return {"grammar": grammar, "dry_multiplier": NO_ECHO if most > FEW else 0}


async def _noting(chunks: AsyncIterator[Chunk], likely: dict[str, float] | None) -> AsyncIterator[Chunk]:
    async for chunk in chunks:
        if likely is not None and not likely:
            likely.update(chunk.likely)
        yield chunk


async def _spoken(chunks: AsyncIterator[Chunk], *, held: bool = False) -> AsyncIterator[str | ChatUsage]:
    """Give the words of an answer, and at last what it cost. `held` says that a client gave it its form."""
    timings, finish = Timings(), None
    async for chunk in chunks:
        if chunk.error:
            _, form, reason = chunk.error.message.partition("JSON schema error")
            if held and (form or "parse grammar" in chunk.error.message):
                raise _no_form(reason)
            raise ProviderError(NAME, _plain_words(chunk.error))
        if text := chunk.text:
            yield text
        timings, finish = chunk.timings or timings, chunk.finish or finish
    if finish is None:
        raise ProviderError(NAME, "broke off in the middle of its answer", retryable=True)
    yield ChatUsage(
        input_tokens=timings.cache_n + timings.prompt_n,
        output_tokens=timings.predicted_n,
        cached_tokens=timings.cache_n,
        finish="length" if finish == "length" else "stop",
    )


def _no_form(reason: str) -> ProtocolError:
    return invalid("response_format.json_schema.schema", f"no answer can be held to it{reason}.")


def _plain_words(failure: Failure) -> str:
    if failure.type == "exceed_context_size_error":
        return "the instructions, tools and last words are together more than fits; raise [chat] context"
    return f"could not answer: {failure.message}"


def _weights_of(settings: QwenSettings) -> str:
    return SIZES.get(settings.model, settings.model)


def _about(settings: QwenSettings) -> str:
    title = TITLES.get(settings.model) or settings.model.partition("@")[0].rpartition("/")[2]
    return f"{title}, offline; it may be wrong"


async def _open(settings: QwenSettings, weights: Weights) -> Qwen:
    for name in ("threads", "slots"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"[chat] {name} must be at least 1.")
    if settings.context < LEAST_CONTEXT:
        raise ConfigError(f"[chat] context must be at least {LEAST_CONTEXT}.")
    files = await weights(_weights_of(settings))
    found = [path for path in files.values() if path.suffix == ".gguf"]
    if len(found) != 1:
        raise ConfigError(f"[chat] model {settings.model!r} must be one GGUF file, not {len(found)} of them.")
    return await Qwen.load(found[0], settings)


PLUGIN = Plugin(
    role="chat",
    name=NAME,
    summary="Answers offline, from a small model on this machine. English above all; it may be wrong.",
    settings=QwenSettings,
    open=_open,
    models=lambda settings: (_weights_of(settings),),
    about=_about,
    extra="local",
    packages=("xllamacpp",),
)
