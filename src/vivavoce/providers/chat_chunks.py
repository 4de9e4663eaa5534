"""The chunks in which chat completions are streamed, by OpenAI's API and by llama.cpp."""

import msgspec

__all__ = ["ApiError", "ChatChunk", "FunctionDelta", "Timings", "Usage"]


class FunctionDelta(msgspec.Struct, frozen=True):
    """A further part of a function call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A further part of the tool call of this index."""

    index: int = 0
    function: FunctionDelta = FunctionDelta()


class Delta(msgspec.Struct, frozen=True):
    """What a chunk adds to the message."""

    content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] | None = None


class Candidate(msgspec.Struct, frozen=True):
    """A token that could have stood here, and its log probability."""

    token: str = ""
    logprob: float = 0.0


class Token(msgspec.Struct, frozen=True):
    """One token's likeliest candidates."""

    top_logprobs: tuple[Candidate, ...] = ()


class Logprobs(msgspec.Struct, frozen=True):
    """The candidates of each token of a chunk."""

    content: tuple[Token, ...] | None = None


class Choice(msgspec.Struct, frozen=True):
    """The completion, of which we ask for one."""

    delta: Delta = Delta()
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class CachedTokens(msgspec.Struct, frozen=True):
    """Of the tokens that were read, those from the cache."""

    cached_tokens: int | None = 0


class Usage(msgspec.Struct, frozen=True):
    """The cost of a completion in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: CachedTokens | None = None


class Timings(msgspec.Struct, frozen=True):
    """llama.cpp's usage: tokens from the cache, tokens read and tokens written."""

    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class ApiError(msgspec.Struct, frozen=True):
    """Why there is no completion, or no more of it."""

    message: str = "no reason given"
    type: str | None = None


class ChatChunk(msgspec.Struct, frozen=True):
    """A part of a completion; the last has the usage, or there is an error."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    timings: Timings | None = None
    error: ApiError | str | None = None
