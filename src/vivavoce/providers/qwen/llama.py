"""llama.cpp in this process: one loaded model, used from the event loop.

A request runs in a thread, which passes each chunk to the event loop. When nobody waits for chunks any more,
the thread notices that at the next one, and the model stops within a word.
"""

import atexit
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NamedTuple, Protocol
from weakref import WeakSet

import anyio
import msgspec
from anyio.from_thread import run_sync
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectSendStream

from vivavoce.errors import ConfigError, ProviderError
from vivavoce.providers.base import ChatUsage
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.chunks import ApiError, ChatChunk, Timings

PROVIDER = "qwen"
MAX_PIECES = 8192
BATCH_TOKENS = 128
"""tokens processed at once; between two batches the model can be stopped"""
REUSED_TOKENS = 32
"""tokens in a row that are kept when older ones are dropped; fewer might be a greeting that comes twice"""
EXIT_SECONDS = 5

_working: WeakSet[Thread] = WeakSet()


@atexit.register
def _join_threads() -> None:
    """Wait for running threads: a thread that Python ends inside the model's C++ code crashes the process."""
    for thread in tuple(_working):
        thread.join(EXIT_SECONDS)


class FormatRefused(ProviderError):
    """The model cannot be constrained by a grammar or a JSON Schema."""

    def __init__(self, reason: str) -> None:
        super().__init__(PROVIDER, f"cannot be held to this format{reason}")
        self.reason = reason


class ContextExceeded(ProviderError):
    """The prompt has more tokens than a slot."""


class Completion(NamedTuple):
    """A complete completion; `candidates` are the most likely first tokens, with their log probabilities."""

    text: str
    usage: ChatUsage
    candidates: Mapping[str, float]


class LlamaServer(Protocol):
    """The part of xllamacpp that is used. `callback` runs in the calling thread; it returns whether to stop."""

    def handle_chat_completions(
        self, request: Mapping[str, object], callback: Callable[[object], bool], /
    ) -> object: ...


class Llama:
    """A loaded model."""

    def __init__(self, server: LlamaServer) -> None:
        self._server = server

    @classmethod
    def load(cls, path: Path, *, threads: int, context: int, slots: int) -> "Llama":
        """Load the weights in `path`, for `slots` concurrent conversations of at most `context` tokens each.

        It takes one or two seconds, so call it in a thread. Raises `ConfigError` if xllamacpp is not installed,
        `ProviderError` if it cannot read the file.
        """
        # read by libgomp when it is loaded: otherwise its idle threads spin, and take CPU from other processes
        os.environ.setdefault("GOMP_SPINCOUNT", "300")
        try:
            import xllamacpp
        except ImportError as error:
            raise ConfigError(
                "The offline chat model needs xllamacpp: install vivavoce[local], or write another [chat]."
            ) from error
        if not path.is_file():
            raise ConfigError(f"[chat] model: there is no file {path}.")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel, params.n_ctx = slots, slots * context
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.cache_ram_mib = 0  # slots are chosen here; prompts need no further cache
        params.verbosity = 0
        # the library also listens on a loopback port, which is not used: no page, no slots, a secret key
        params.ui = params.endpoint_slots = params.endpoint_props = False
        params.api_keys = [secrets.token_urlsafe()]
        try:
            server = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise ProviderError(PROVIDER, f"cannot load {path.name}: {error}") from error
        return cls(server)

    async def complete(
        self,
        prompt: Sequence[DialogueTurn],
        *,
        slot: int,
        on_progress: Callable[[], None] = lambda: None,
        **options: object,
    ) -> Completion:
        """Return what the model writes after `prompt`. Raises `ProviderError`."""
        candidates: dict[str, float] = {}
        async with self.stream(
            prompt, options, slot=slot, candidates=candidates, on_progress=on_progress
        ) as pieces:
            parts = [piece async for piece in pieces]
        text = "".join(part for part in parts if isinstance(part, str))
        return Completion(text, next(part for part in parts if isinstance(part, ChatUsage)), candidates)

    @asynccontextmanager
    async def stream(
        self,
        prompt: Sequence[DialogueTurn],
        options: Mapping[str, object],
        *,
        slot: int,
        candidates: dict[str, float] | None = None,
        has_dropped: bool = False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[AsyncIterator[str | ChatUsage]]:
        """Start a completion of `prompt`, and yield its chunks, the usage last.

        `options` are further fields of a chat completion request; empty ones are left out. `candidates` is
        filled with the first token's, if `logprobs` requests them. `has_dropped` means that the slot has read
        older turns than these, and what follows them: llama.cpp removes them from its cache, and moves the rest
        to its new position, instead of reading it again. `on_progress` is called after each batch of the
        prompt. Leaving the block stops the work; while the prompt is processed, after at most `BATCH_TOKENS`.
        The chunks raise `ProviderError`.
        """
        send, receive = anyio.create_memory_object_stream[ChatChunk](MAX_PIECES)
        body = {
            "messages": [{"role": turn.role, "content": turn.text} for turn in prompt],
            "id_slot": slot,
            "temperature": 0.0,
            "stream": True,
            "return_progress": True,
            "cache_prompt": True,
            **({"n_cache_reuse": REUSED_TOKENS} if has_dropped else {}),
            **{name: value for name, value in options.items() if value},
        }
        work = partial(self._work, body, send, current_token())
        thread = Thread(target=work, name="llama", daemon=True)
        _working.add(thread)
        thread.start()
        with receive:
            yield _pieces(receive, candidates if candidates is not None else {}, on_progress)

    def _work(
        self, body: Mapping[str, object], send: MemoryObjectSendStream[ChatChunk], loop: EventLoopToken
    ) -> None:
        def pass_on(raw: object) -> bool:
            """Pass a chunk to the event loop. Return whether to stop, because nobody waits for it."""
            try:
                run_sync(send.send_nowait, msgspec.convert(raw, ChatChunk), token=loop)
            except (anyio.BrokenResourceError, anyio.WouldBlock, anyio.RunFinishedError):
                return True
            return False

        try:
            if not pass_on({}):  # otherwise it was cancelled while it was queued
                self._server.handle_chat_completions(body, pass_on)
        except (RuntimeError, ValueError) as error:
            pass_on({"error": {"message": str(error)}})
        finally:
            try:
                run_sync(send.close, token=loop)
            except anyio.RunFinishedError:
                send.close()


async def _pieces(
    chunks: AsyncIterator[ChatChunk], candidates: dict[str, float], on_progress: Callable[[], None]
) -> AsyncIterator[str | ChatUsage]:
    timings, finish = Timings(), None
    async for chunk in chunks:
        if chunk.error:
            raise _failure(chunk.error)
        if chunk.prompt_progress:
            on_progress()
        for choice in chunk.choices:
            if choice.logprobs and choice.logprobs.content and not candidates:
                candidates |= {one.token: one.logprob for one in choice.logprobs.content[0].top_logprobs}
            finish = choice.finish_reason or finish
            if choice.delta.content:
                yield choice.delta.content
        timings = chunk.timings or timings
    if finish is None:
        raise ProviderError(PROVIDER, "broke off in the middle of its answer", retryable=True)
    yield ChatUsage(
        input_tokens=timings.cache_n + timings.prompt_n,
        output_tokens=timings.predicted_n,
        cached_tokens=timings.cache_n,
        finish="length" if finish == "length" else "stop",
    )


def _failure(error: ApiError | str) -> ProviderError:
    error = ApiError(error) if isinstance(error, str) else error
    if error.type == "exceed_context_size_error":
        return ContextExceeded(
            PROVIDER, "the instructions, tools and last words are together more than fits; raise [chat] context"
        )
    _, schema_error, reason = error.message.partition("JSON schema error")
    if schema_error or "parse grammar" in error.message:
        return FormatRefused(reason)
    return ProviderError(PROVIDER, f"could not answer: {error.message or 'no reason given'}")
