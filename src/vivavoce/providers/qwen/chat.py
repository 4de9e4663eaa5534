"""Qwen: an offline chat model, with weights on this machine.

A conversation is continued in the model's slot that has processed it before, so that only new text is
processed. If there are tools, a `Router` with a slot of its own first decides whether one is called, before
the answer is started: running both at once would delay both.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
import msgspec

from vivavoce.errors import ConfigError, ProtocolError
from vivavoce.protocol.json_schema import fits_schema
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.dialogue import (
    DialogueTurn,
    estimate_tokens,
    fit_turns,
    last_user_text,
    system_prompt,
    turns_of,
)
from vivavoce.providers.qwen.llama import PROVIDER, FormatRefused, Llama, Slots
from vivavoce.providers.qwen.prompts import EXAMPLES, FEW, STYLE, is_latin, max_sentences, speech_grammar
from vivavoce.providers.qwen.tool_picker.router import FIXED, Router
from vivavoce.providers.qwen.tool_results import verbatim_results
from vivavoce.providers.registry import Plugin, Weights

SIZES = {"small": "llm/qwen2.5-coder-0.5b-instruct-q4", "large": "llm/qwen2.5-coder-1.5b-instruct-q4"}
TITLES = {"small": "Qwen2.5-Coder 0.5B", "large": "Qwen2.5-Coder 1.5B"}
ANSWER_TOKENS = 1024
MIN_CONTEXT = 1024
REPETITION_PENALTY = 0.8
"""repetition penalties: without them a small model repeats its third sentence when asked for length"""
FORMAT_BYTES = 32 * 1024
"""characters of a JSON Schema: a grammar of thousands of rules would block the model"""
HELLO = DialogueTurn("user", "Hello.")


Positive = Annotated[int, msgspec.Meta(gt=0)]


class QwenSettings(msgspec.Struct, frozen=True):
    """The settings of the offline chat model.

    `model` is `small` (0.5B), `large` (1.5B), or a GGUF file of one's own: its path, or
    `hf:OWNER/REPOSITORY/FILE@REVISION`. `threads` is the number of cores. `context` is the number of tokens per
    conversation; beyond it the oldest turns are dropped. `slots` is the number of concurrent conversations;
    further ones wait. `warm` are the instructions of most sessions, which are processed in advance.
    `verbatim_results` speaks short, plain tool results verbatim; otherwise the model rephrases them.
    """

    model: str = "small"
    threads: Positive = 2
    context: Positive = 4096
    slots: Positive = 2
    warm: str = ""
    verbatim_results: bool = True


class Qwen:
    """A chat model on this machine. Create it with `Qwen.load`."""

    def __init__(
        self,
        llama: Llama,
        *,
        slots: int,
        context: int,
        read: Sequence[DialogueTurn] = (),
        verbatim_results: bool = True,
    ) -> None:
        """`read` is what each of the `slots` has processed; the model has one more slot, which picks tools."""
        self._llama, self._context, self._verbatim_results = llama, context, verbatim_results
        self._slots = Slots(slots, tuple(read))
        self._tools = Router(partial(llama.complete, slot=slots))

    @classmethod
    async def load(cls, path: Path, settings: QwenSettings) -> "Qwen":
        """Load the weights, and process the beginning of all prompts. Raises `ConfigError`, `ProviderError`."""
        count = settings.slots
        load = partial(Llama.load, path, threads=settings.threads, context=settings.context, slots=count + 1)
        llama = await anyio.to_thread.run_sync(load, limiter=anyio.CapacityLimiter(1))
        await anyio.to_thread.run_sync(fits_schema, None, {})  # which imports the library
        opening = [DialogueTurn("system", system_prompt(settings.warm, STYLE)), *EXAMPLES, HELLO]
        for slot in range(count):
            await llama.complete(opening, slot=slot, max_tokens=1, grammar=speech_grammar(FEW))
        await llama.complete([*FIXED, HELLO], slot=count, max_tokens=1)
        return cls(
            llama,
            slots=count,
            context=settings.context,
            read=opening,
            verbatim_results=settings.verbatim_results,
        )

    @property
    def supported_options(self) -> frozenset[str]:
        """The supported options: a response format, enforced by a grammar, and stop sequences."""
        return frozenset({"response_format", "stop"})

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens are left for the conversation; tools are processed in a slot of their own."""
        opening = sum(estimate_tokens(turn.text) for turn in _opening(request))
        return max(0, self._context - self._max_tokens(request) - opening)

    async def prefill(self, request: ChatRequest) -> None:
        """Process the beginning of a conversation and its tools, to answer its first question sooner.

        With items, only the tools' slot has to process them: the other one has generated or processed them.
        """
        if request.items:
            await self._tools.prefill(request, [*turns_of(request.items), DialogueTurn("user", "")])
            return
        async with self._answer(replace(request, max_tokens=1), [HELLO]) as pieces:
            async for _ in pieces:
                pass
        await self._tools.prefill(request, [HELLO])

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield words, or one tool call. Closing the iterator stops the model within a word.

        Raises `ProviderError` if the last message does not fit, or a required tool cannot be called,
        `ProtocolError` for a format that cannot be enforced.
        """
        if len(msgspec.json.encode(request.options)) > FORMAT_BYTES:
            raise _refused(f": it has more than {FORMAT_BYTES:,} bytes")
        reads_results = self._verbatim_results and request.spoken and request.tool_choice in ("auto", "none")
        if reads_results and (text := verbatim_results(request.items)):
            yield text
            yield ChatUsage(0, 0)
            return
        turns = turns_of(request.items)
        if picked := await self._tools.pick(request, turns):
            for piece in picked:
                yield piece
            return
        try:
            async with self._answer(request, turns) as pieces:
                async for piece in pieces:
                    yield piece
        except FormatRefused as error:
            if "response_format" in request.options:
                raise _refused(error.reason) from error
            raise

    @asynccontextmanager
    async def _answer(
        self, request: ChatRequest, turns: Sequence[DialogueTurn]
    ) -> AsyncIterator[AsyncIterator[str | ChatUsage]]:
        """Start to generate the answer; leaving the block stops it."""
        turns = fit_turns(turns, self.context_budget(request))
        prompt = tuple(turn for turn in [*_opening(request), *turns] if turn.text)
        options: dict[str, object] = {"max_tokens": self._max_tokens(request)}
        if not request.spoken:
            options |= request.options
        else:
            asked = last_user_text(turns)
            most = max_sentences(request.instructions, asked)
            options["grammar"] = speech_grammar(most, latin=is_latin(request.instructions + asked))
            options["dry_multiplier"] = REPETITION_PENALTY if most > FEW else 0
        async with (
            self._slots.lend(prompt) as slot,
            self._llama.stream(prompt, options, slot=slot) as pieces,
        ):
            yield pieces

    def _max_tokens(self, request: ChatRequest) -> int:
        """Return the maximum number of tokens of an answer."""
        return min(request.max_tokens or ANSWER_TOKENS, ANSWER_TOKENS, self._context // 4)


def _opening(request: ChatRequest) -> list[DialogueTurn]:
    """Return the part of the prompt before the conversation."""
    system = DialogueTurn("system", system_prompt(request.instructions, STYLE if request.spoken else ""))
    return [system, *(EXAMPLES if request.spoken else ())]


def _refused(reason: str) -> ProtocolError:
    return invalid("response_format.json_schema.schema", f"no answer can be held to it{reason}.")


def _weights_of(settings: QwenSettings) -> str:
    return SIZES.get(settings.model, settings.model)


def _about(settings: QwenSettings) -> str:
    title = TITLES.get(settings.model) or settings.model.partition("@")[0].rpartition("/")[2]
    return f"{title}, offline; it may be wrong"


async def _open(settings: QwenSettings, weights: Weights) -> Qwen:
    for name, least in (("threads", 1), ("slots", 1), ("context", MIN_CONTEXT)):
        if getattr(settings, name) < least:
            raise ConfigError(f"[chat] {name} must be at least {least}.")
    files = await weights(_weights_of(settings))
    found = [path for path in files.values() if path.suffix == ".gguf"]
    if len(found) != 1:
        raise ConfigError(f"[chat] model {settings.model!r} must be one GGUF file, not {len(found)} of them.")
    return await Qwen.load(found[0], settings)


PLUGIN = Plugin(
    role="chat",
    name=PROVIDER,
    summary="Answers offline, from a small model on this machine. English above all; it may be wrong.",
    settings=QwenSettings,
    open=_open,
    models=lambda settings: (_weights_of(settings),),
    about=_about,
    extra="local",
    packages=("xllamacpp",),
)
