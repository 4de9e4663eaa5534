"""llama.cpp in this process: one loaded model, asked from the event loop.

A question is worked on in a thread of ours, which hands each piece to the event loop as it comes. When nobody
waits for pieces any more, the thread is told so at the next one, and the model stops within a word.
"""

import atexit
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Protocol
from weakref import WeakSet

import anyio
import msgspec
from anyio.from_thread import run_sync
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from vivavoce.errors import ConfigError, ProviderError

__all__ = ["Chunk", "Failure", "Llama", "Server", "Timings"]

PIECES = 8192
READ_AT_ONCE = 128
LAST_SECONDS = 5

_at_work: WeakSet[Thread] = WeakSet()


@atexit.register
def _let_them_finish() -> None:
    """Wait for who still works: a thread that Python ends inside the model's C++ ends the process."""
    for thread in tuple(_at_work):
        thread.join(LAST_SECONDS)


class Timings(msgspec.Struct, frozen=True):
    """What an answer took: tokens read from the cache, read anew and written, and the milliseconds of both."""

    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0
    prompt_ms: float = 0
    predicted_ms: float = 0


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Likely(msgspec.Struct, frozen=True):
    token: str = ""
    logprob: float = 0.0


class _Token(msgspec.Struct, frozen=True):
    top_logprobs: tuple[_Likely, ...] = ()


class _Logprobs(msgspec.Struct, frozen=True):
    content: tuple[_Token, ...] | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why the model did not answer."""

    message: str = "no reason given"
    type: str = ""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer; the last carries the timings, or there was a failure."""

    choices: tuple[_Choice, ...] = ()
    timings: Timings | None = None
    error: Failure | None = None

    @property
    def text(self) -> str:
        return "".join(choice.delta.content or "" for choice in self.choices)

    @property
    def likely(self) -> Mapping[str, float]:
        """The likeliest first tokens of this piece, by their log probability, where they were asked for."""
        tokens = [token for one in self.choices if one.logprobs for token in one.logprobs.content or ()]
        return {one.token: one.logprob for one in tokens[0].top_logprobs} if tokens else {}

    @property
    def finish(self) -> str | None:
        return next((choice.finish_reason for choice in self.choices if choice.finish_reason), None)


class Server(Protocol):
    """What we use of xllamacpp: `callback` is called in the thread that asks, and says whether to stop."""

    def handle_chat_completions(
        self, request: Mapping[str, object], callback: Callable[[object], bool], /
    ) -> object: ...


class Llama:
    """A model with `slots` conversations side by side, each of at most `context` tokens."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @classmethod
    def load(cls, path: Path, *, provider: str, threads: int, context: int, slots: int) -> "Llama":
        """Load the weights in `path`; takes a second or two, so call it from a thread.

        Raises `ConfigError` where xllamacpp is not installed, `ProviderError` where it cannot read the file.
        """
        # libgomp reads this when it is loaded: its threads otherwise spin, and starve whoever else has work
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
        params.n_batch = params.n_ubatch = READ_AT_ONCE  # between two batches it hears that nobody waits
        params.cache_ram_mib = 0  # we choose the slots; prompts are not kept elsewhere
        params.verbosity = 0
        # it also listens on a port of loopback, which nobody needs: no page, no slots to read, a key none knows
        params.ui = params.endpoint_slots = params.endpoint_props = False
        params.api_keys = [secrets.token_urlsafe()]
        try:
            server = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise ProviderError(provider, f"cannot load {path.name}: {error}") from error
        return cls(server)

    @asynccontextmanager
    async def ask(self, request: Mapping[str, object]) -> AsyncIterator[MemoryObjectReceiveStream[Chunk]]:
        """Begin to work on an OpenAI chat completion request, and give its chunks as they come.

        Leaving the block stops the work. While it reads, a model hears that after `READ_AT_ONCE` tokens.
        """
        send, receive = anyio.create_memory_object_stream[Chunk](PIECES)
        body = {**request, "stream": True, "return_progress": True, "cache_prompt": True}
        work = partial(self._work, body, send, current_token())
        thread = Thread(target=work, name="llama", daemon=True)
        _at_work.add(thread)
        thread.start()
        with receive:
            yield receive

    def _work(
        self, body: Mapping[str, object], send: MemoryObjectSendStream[Chunk], loop: EventLoopToken
    ) -> None:
        def hand_over(raw: object) -> bool:
            """Give a chunk to who waits for it. Say whether to stop, because nobody does."""
            try:
                run_sync(send.send_nowait, msgspec.convert(raw, Chunk), token=loop)
            except (anyio.BrokenResourceError, anyio.WouldBlock, anyio.RunFinishedError):
                return True
            return False

        try:
            if not hand_over({}):  # else it was given up before its turn came
                self._server.handle_chat_completions(body, hand_over)
        except (RuntimeError, ValueError) as error:
            hand_over({"error": {"message": str(error)}})
        finally:
            try:
                run_sync(send.close, token=loop)
            except anyio.RunFinishedError:
                send.close()
