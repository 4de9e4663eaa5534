"""The chunks in which llama.cpp streams chat completions, as far as they are read."""

import msgspec


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Candidate(msgspec.Struct, frozen=True):
    token: str = ""
    logprob: float = 0.0


class _Token(msgspec.Struct, frozen=True):
    top_logprobs: tuple[_Candidate, ...] = ()


class _Logprobs(msgspec.Struct, frozen=True):
    content: tuple[_Token, ...] | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Timings(msgspec.Struct, frozen=True):
    """llama.cpp's usage: tokens from the cache, tokens read and tokens written."""

    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class ApiError(msgspec.Struct, frozen=True):
    """The reason why a completion failed or broke off."""

    message: str = ""
    type: str | None = None


class PromptProgress(msgspec.Struct, frozen=True):
    """llama.cpp's progress: how many tokens of the prompt are read."""

    processed: int = 0


class ChatChunk(msgspec.Struct, frozen=True):
    """A part of a completion; the last has the usage, or there is an error."""

    choices: tuple[_Choice, ...] = ()
    timings: Timings | None = None
    error: ApiError | str | None = None
    prompt_progress: PromptProgress | None = None
