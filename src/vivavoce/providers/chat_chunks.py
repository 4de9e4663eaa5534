"""The chunks in which chat completions are streamed, by OpenAI's API and by llama.cpp."""

import msgspec


class FunctionDelta(msgspec.Struct, frozen=True):
    """A further part of a function call."""

    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(msgspec.Struct, frozen=True):
    index: int = 0
    function: FunctionDelta = FunctionDelta()


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    tool_calls: tuple[_ToolCallDelta, ...] | None = None


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


class _CachedTokens(msgspec.Struct, frozen=True):
    cached_tokens: int | None = 0


class ChunkUsage(msgspec.Struct, frozen=True):
    """The cost of a completion in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _CachedTokens | None = None


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
    usage: ChunkUsage | None = None
    timings: Timings | None = None
    error: ApiError | str | None = None
    prompt_progress: PromptProgress | None = None
