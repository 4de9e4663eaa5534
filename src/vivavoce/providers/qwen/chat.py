"""Qwen: an offline chat model, with weights on this machine.

A conversation is continued in the model's slot that has processed it before, so that only new text is
processed; most of it was read ahead, while nobody waited. When the context is full, the oldest turns are
dropped from the slot's cache, and the rest stays. If there are tools, a `Router` with a slot of its own first
decides whether one is called, before the answer is started: running both at once would delay both.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
import msgspec

from vivavoce.errors import ConfigError, ProtocolError, alternatives
from vivavoce.protocol.json_schema import Schema, as_schema, fits_schema
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
from vivavoce.providers.qwen.answer_schema import unenforceable
from vivavoce.providers.qwen.llama import PROVIDER, ContextExceeded, FormatRefused, Llama
from vivavoce.providers.qwen.prompts import EXAMPLES, FEW, STYLE, is_latin, max_sentences, speech_grammar
from vivavoce.providers.qwen.slots import Lent, Prompt, PromptWindow, Slots
from vivavoce.providers.qwen.tool_picker.router import FIXED, Router
from vivavoce.providers.qwen.tool_results import verbatim_results
from vivavoce.providers.registry import Plugin, Weights
from vivavoce.weights.manifest import built_in_manifest

SIZES = {"small": "llm/qwen2.5-coder-0.5b-instruct-q4", "large": "llm/qwen2.5-coder-1.5b-instruct-q4"}
TITLES = {
    "small": "Qwen 2.5 Coder, half a billion parameters",
    "large": "Qwen 2.5 Coder, one and a half billion parameters",
}
ANSWER_TOKENS = 1024
MIN_CONTEXT = 1024
REPETITION_PENALTY = 0.8
"""repetition penalties: without them a small model repeats its third sentence when asked for length"""
FORMAT_BYTES = 32 * 1024
"""characters of a JSON Schema: a grammar of thousands of rules would block the model"""
HELLO = DialogueTurn("user", "Hello.")
NOTHING_YET = DialogueTurn("user", "")
RESERVE = 1 / 16
"""The part of the context that reading ahead leaves free: turns are dropped before the user's next words."""
FULL = 3 / 4
"""The part of the context that must be in use where turns that still fit stay dropped."""


Positive = Annotated[int, msgspec.Meta(gt=0)]


class QwenSettings(msgspec.Struct, frozen=True):
    """The settings of the offline chat model.

    `model` is `small` (0.5B), `large` (1.5B), or a GGUF file of one's own: its path, or
    `hf:OWNER/REPOSITORY/FILE@REVISION`. `threads` is the number of cores. `context` is the number of tokens per
    conversation; beyond it the oldest turns are dropped, a few at a time. `slots` is the number of concurrent
    conversations; further ones wait. `warm` are the instructions of most sessions, which are processed in
    advance. `verbatim_results` speaks short, plain tool results verbatim; otherwise the model rephrases them.
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
        self._slots, self._tools_slot = Slots(slots, tuple(read)), slots

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
        """Return how many tokens are left for the conversation; tools are processed in a slot of their own.

        It is the same for short and long answers, so that the prompt begins with the same turn.
        """
        opening = sum(estimate_tokens(turn.text) for turn in _opening(request))
        return max(0, self._context - self._most_tokens - opening)

    async def prefill(self, request: ChatRequest) -> None:
        """Read the conversation so far and its tools, between replies, to answer the next question sooner."""
        turns = turns_of(request.items)
        if not turns or turns[-1].role != "user":
            turns.append(NOTHING_YET)
        window = _window(turns, self.context_budget(request), ahead=True)
        await self._slots.read_ahead(_opening(request), window, self._read)

        async def read_tools() -> bool:
            await self._tool_picker(request).prefill(request, turns)
            return True

        if request.tools:
            await self._slots.when_idle(read_tools)

    async def _read(self, lent: Lent) -> None:
        """Read a prompt into the cache of its slot. One that is too long is left to the reply."""
        with suppress(ContextExceeded):
            options = {"max_tokens": 1}
            async with self._llama.stream(
                lent.prompt, options, slot=lent.slot, has_dropped=lent.has_dropped
            ) as pieces:
                async for _ in pieces:
                    pass

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield words, or one tool call. Closing the iterator stops the model within a word.

        Raises `ProviderError` if the last message does not fit, or a required tool cannot be called,
        `ProtocolError` for a format that cannot be enforced.
        """
        if len(msgspec.json.encode(request.options)) > FORMAT_BYTES:
            raise _refused(f": it has more than {FORMAT_BYTES:,} bytes")
        if where := unenforceable(_answer_schema(request)):
            raise _refused(f" by this model: it cannot enforce {where}")
        reads_results = self._verbatim_results and request.spoken and request.tool_choice in ("auto", "none")
        if reads_results and (text := verbatim_results(request.items)):
            yield text
            yield ChatUsage(0, 0)
            return
        turns = turns_of(request.items)
        with self._slots.replying():
            if picked := await self._tool_picker(request).pick(request, turns):
                for piece in picked:
                    yield piece
                return
            try:
                async with aclosing(self._answer(request, turns)) as words:
                    async for word in words:
                        yield word
            except FormatRefused as error:
                if "response_format" in request.options:
                    raise _refused(error.reason) from error
                raise

    def _tool_picker(self, request: ChatRequest) -> Router:
        return Router(partial(self._llama.complete, slot=self._tools_slot, on_progress=request.on_progress))

    async def _answer(
        self, request: ChatRequest, turns: Sequence[DialogueTurn]
    ) -> AsyncGenerator[str | ChatUsage, None]:
        """Generate the answer. If the estimate of the tokens was too low, half as many turns are tried."""
        budget, options = self.context_budget(request), self._options(request, turns)
        while True:
            window = _window(turns, budget)
            try:
                async with (
                    self._slots.lend(_opening(request), window) as lent,
                    self._llama.stream(
                        lent.prompt,
                        options,
                        slot=lent.slot,
                        has_dropped=lent.has_dropped,
                        on_progress=request.on_progress,
                    ) as pieces,
                ):
                    async for piece in pieces:
                        lent.on_read()
                        yield piece
                return
            except ContextExceeded:
                if len(window.turns) <= 2:
                    raise
                budget //= 2

    def _options(self, request: ChatRequest, turns: Sequence[DialogueTurn]) -> dict[str, object]:
        """Return how the model is to write: for speech, in a few speakable sentences."""
        options: dict[str, object] = {"max_tokens": min(request.max_tokens or ANSWER_TOKENS, self._most_tokens)}
        if not request.spoken:
            return options | dict(request.options)
        asked = last_user_text(turns)
        most = max_sentences(request.instructions, asked)
        options["grammar"] = speech_grammar(most, latin=is_latin(request.instructions + asked))
        options["dry_multiplier"] = REPETITION_PENALTY if most > FEW else 0
        return options

    @property
    def _most_tokens(self) -> int:
        """The maximum number of tokens of any answer."""
        return min(ANSWER_TOKENS, self._context // 4)


def _opening(request: ChatRequest) -> Prompt:
    """Return the part of the prompt before the conversation."""
    system = DialogueTurn("system", system_prompt(request.instructions, STYLE if request.spoken else ""))
    return tuple(turn for turn in (system, *(EXAMPLES if request.spoken else ())) if turn.text)


def _window(turns: Sequence[DialogueTurn], budget: int, *, ahead: bool = False) -> PromptWindow:
    """Return the turns that fit, and where a prompt may begin; reading `ahead` leaves `RESERVE` of the budget.

    A prompt goes on to begin where it does in a slot as long as that fits, and fills enough of the context.
    """
    most = round(budget * (1 - RESERVE))
    fitting = tuple(fit_turns(turns, most if ahead else budget, kept=1))
    first = latest = max(0, len(fitting) - len(fit_turns(turns, most)))
    used = sum(estimate_tokens(turn.text) for turn in fitting[first:])
    for index in range(first, len(fitting) - 2):
        used -= estimate_tokens(fitting[index].text)
        if used < budget * FULL:
            break
        if fitting[index + 1].role == "user":
            latest = index + 1
    return PromptWindow(fitting, first, latest)


def _answer_schema(request: ChatRequest) -> Schema:
    wanted = as_schema(as_schema(request.options.get("response_format")).get("json_schema"))
    return as_schema(wanted.get("schema"))


def _refused(reason: str) -> ProtocolError:
    return invalid("response_format.json_schema.schema", f"no answer can be held to it{reason}.")


def _weights_of(settings: QwenSettings) -> str:
    return SIZES.get(settings.model, settings.model)


def _about(settings: QwenSettings) -> str:
    title = TITLES.get(settings.model) or settings.model.partition("@")[0].rpartition("/")[2]
    return f"{title}, on this machine; it may be wrong"


def _check(settings: QwenSettings) -> None:
    for name, least in (("threads", 1), ("slots", 1), ("context", MIN_CONTEXT)):
        if getattr(settings, name) < least:
            raise ConfigError(f"[chat] {name} must be at least {least}.")
    model, ids = settings.model, [model.id for model in built_in_manifest().models]
    if model not in (*SIZES, *ids) and not model.startswith("hf:") and not Path(model).expanduser().exists():
        problem = f"[chat] model: there is no {model!r} and no file of that name; {alternatives(model, SIZES)}"
        raise ConfigError(f"{problem}, a GGUF file, or hf:OWNER/REPOSITORY/FILE@REVISION.")


async def _open(settings: QwenSettings, weights: Weights) -> Qwen:
    _check(settings)
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
    check=_check,
)
