"""Reads one streamed chat completion as endpoints really send it. No I/O.

Servers that call themselves compatible leave fields out, send null or another type, end a stream in their own
way, and write thoughts among the words. So nothing is required of a chunk: what is absent or of another type is
passed over. What each server does, and where that is known from, is in `tests/providers/openai/shapes`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vivavoce.errors import ProviderError
from vivavoce.providers.base import ChatUsage, ToolCall
from vivavoce.providers.openai.errors import NO_API, reason, web_page

LINE_BYTES = 1024 * 1024
"""bytes of one event, and of a completion that is not streamed"""
CALL_CHARS = 1024 * 1024
"""characters of all tool calls of one completion"""
_EVENT_LINES = 4096
_OPENING_CHARS = 200
_LINE_END = re.compile(rb"\r\n|\r|\n")
_DONE = "[DONE]"
_BLANKS = re.compile(r"^[\s\ufeff\u200b]+")
_BROKEN_OFF = ("error", "abort", "insufficient_system_resource")

Json = Mapping[str, object]
Fail = Callable[[str, object], ProviderError]
"""Returns the error to raise, from a message and what the endpoint has sent"""


class EventLines:
    """Assembles server-sent events, as (name, data), from bytes that may be split anywhere.

    An event is complete when its data is JSON, because some servers omit the empty line that ends an event. A
    body that is no event stream at all, such as one JSON object, is one event without a name.
    """

    def __init__(self) -> None:
        self._rest, self._data, self._name = b"", list[str](), ""
        self._is_body: bool | None = None
        self.opening = ""
        """the beginning of the body, for errors"""

    def push(self, data: bytes) -> list[tuple[str, object]]:
        """Return the events that are complete now. Raises `ValueError` for one that is too long."""
        self._rest += data
        if self._is_body is None:
            self._rest = self._rest.removeprefix(b"\xef\xbb\xbf").lstrip()
            if len(self._rest) < 3:  # could be the beginning of a byte order mark
                return []
            self._is_body = self._rest.startswith((b"{", b"[", b"<"))
            self.opening = self._rest[:_OPENING_CHARS].decode(errors="replace")
        lines = [] if self._is_body else self._lines()
        if len(self._rest) > LINE_BYTES:
            raise ValueError(f"a line is longer than {LINE_BYTES} bytes")
        return [event for line in lines for event in self._read(line)]

    def flush(self) -> list[tuple[str, object]]:
        """Return what is left at the end of the body: its last event may lack its end."""
        rest, self._rest = self._rest.decode(errors="replace").strip(), b""
        if not self._is_body:
            self.opening = self.opening or rest
            return [*self._read(rest), *self._read("")]
        whole = _parsed(rest)
        if whole is None and rest.startswith("{"):  # one object on each line
            return [("", _parsed(line)) for line in rest.splitlines() if line.strip()]
        return [("", one) for one in (whole if isinstance(whole, list) else [whole or rest])]

    def _lines(self) -> Iterator[str]:
        held = b"\r" if self._rest.endswith(b"\r") else b""  # the first half of \r\n, perhaps
        *lines, rest = _LINE_END.split(self._rest.removesuffix(held) if held else self._rest)
        self._rest = rest + held
        return (line.decode(errors="replace") for line in lines)

    def _read(self, line: str) -> Iterator[tuple[str, object]]:
        name, _, value = line.partition(":")
        match name.strip():
            case "data":
                self._data.append(value.strip())
                if len(self._data) > _EVENT_LINES:
                    raise ValueError(f"an event has more than {_EVENT_LINES} lines")
                text = "\n".join(self._data)
                parsed = _parsed(text) if text.endswith(("}", "]", '"')) else None
                if parsed is not None or text.upper() == _DONE:
                    yield self._event(text if parsed is None else parsed)
            case "event":
                self._name = value.strip()
            case "error":  # older servers of llama.cpp
                yield "error", _parsed(value) or value
            case "" if not line.strip() and self._data:
                yield self._event("\n".join(self._data))

    def _event(self, value: object) -> tuple[str, object]:
        name, self._name, self._data = self._name, "", []
        return name, value


def _parsed(text: str) -> object:
    """Return the value of a JSON text; None if it is not JSON. Unlike msgspec, this accepts half an emoji."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# thoughts

_CALL = "tool_call"
_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", _CALL)
_NAME = "|".join(_NAMES)
_TAG = re.compile(rf"<(/?)({_NAME})(?:\s[^<>]{{0,64}})?>|\[(/?)THINK\]|◁(/?)think▷", re.IGNORECASE)
_PLAIN_TAGS = [f"<{end}{name}>" for name in _NAMES for end in ("", "/")]
_TAG_STARTS = {
    tag[:n] for tag in [*_PLAIN_TAGS, "[think]", "[/think]", "◁think▷", "◁/think▷"] for n in range(1, 12)
}
_WITH_ATTRIBUTES = re.compile(rf"</?(?:{_NAME})\s[^<>]{{0,64}}", re.IGNORECASE)


class ThoughtFilter:
    """Removes the model's thoughts from its words: `<think>…</think>`, also where a tag is split over chunks.

    `implicit` means that every answer begins with thoughts, without a tag: some chat templates end with
    `<think>`, so that the model writes only `</think>`. `<tool_call>…</tool_call>` is how many models write a
    call; a server without a parser for them leaves it among the words. It goes to `calls`.
    """

    def __init__(self, *, implicit: bool = False) -> None:
        self.implicit, self.calls = implicit, list[str]()
        self._held, self._hidden, self._opened = "", "", False
        self._inside: str | None = "" if implicit else None

    def push(self, text: str) -> str:
        """Return the words that are certain to be no thoughts."""
        self._held += text
        words = ""
        while tag := _TAG.search(self._held):
            words += self._pass(self._held[: tag.start()])
            self._held = self._held[tag.end() :]
            name, closes = (tag[2] or "think").lower(), bool(tag[1] or tag[3] or tag[4])
            if not self._opened:
                words += "" if closes else self._hidden
                self.implicit = closes and name != _CALL
            elif self._inside == _CALL:
                self.calls.append(self._hidden)
            self._opened, self._inside, self._hidden = True, None if closes else name, ""
        kept = self._begun()
        words += self._pass(self._held[: len(self._held) - kept])
        self._held = self._held[len(self._held) - kept :]
        return words

    def flush(self) -> str:
        """Return the words withheld at the end of the answer."""
        words = self._pass(self._held)
        if self._inside == _CALL:  # its end may be the model's token for the end of its answer
            self.calls.append(self._hidden)
        elif not self._opened:
            words += self._hidden
        self._held = self._hidden = ""
        return words

    def _pass(self, text: str) -> str:
        if self._inside is None:
            return text
        if self._inside in ("", _CALL):
            self._hidden = (self._hidden + text)[:LINE_BYTES]
        return ""

    def _begun(self) -> int:
        """Return how many characters at the end could be the beginning of a tag."""
        at = max(self._held.rfind(char) for char in "<[◁")
        tail = self._held[at:] if at >= 0 else ""
        return len(tail) if tail.lower() in _TAG_STARTS or _WITH_ATTRIBUTES.fullmatch(tail) else 0


# tool calls


@dataclass
class _PartialCall:
    """A tool call as far as it has arrived."""

    id: str
    index: int | None
    name: str
    pieces: list[str] = field(default_factory=list)
    extra: object = None

    @property
    def arguments(self) -> str:
        """The arguments so far: the pieces together, or the last one if each has all that came before."""
        whole = "".join(self.pieces).strip()
        if _parsed(whole) is None:
            whole = next((piece for piece in reversed(self.pieces) if isinstance(_parsed(piece), dict)), whole)
        text = _parsed(whole)
        return text if isinstance(text, str) else "" if whole == "null" else whole

    def with_name(self, name: str) -> str:
        """Return the name with a further piece, or with one that has all that came before."""
        return name if name.startswith(self.name) else self.name + name

    @property
    def is_whole(self) -> bool:
        return isinstance(_parsed(self.arguments), dict)


class _Calls:
    """Puts tool calls together. Servers differ in whether a piece has an index, an id, or the name again."""

    def __init__(self, names: Collection[str]) -> None:
        self.calls = list[_PartialCall]()
        self._names, self._chars = names, 0

    def add(self, piece: Json) -> None:
        """Add a piece. Raises `ValueError` if all calls together are too long."""
        function = _object(piece.get("function")) or piece
        call_id, index = _text(piece.get("id")), _index(piece.get("index"))
        name, arguments = _text(function.get("name")).strip(), _arguments(function.get("arguments"))
        call = self._of(call_id, index, name, arguments)
        if call is None:
            if not (name or call_id or arguments):
                return
            call = _PartialCall(call_id, index, name)
            self.calls.append(call)
        elif name != call.name:
            call.name = call.with_name(name)
        call.id, call.extra = call.id or call_id, piece.get("extra_content") or call.extra
        self._chars += len(name) + len(arguments)
        if self._chars > CALL_CHARS:
            raise ValueError(f"tool calls are longer than {CALL_CHARS} characters")
        if arguments:
            call.pieces.append(arguments)

    def _of(self, call_id: str, index: int | None, name: str, arguments: str) -> _PartialCall | None:
        """Return the call that a piece belongs to; None if it begins a new one."""
        here = [call for call in reversed(self.calls) if None in (index, call.index) or index == call.index]
        same_id = [call for call in here if call_id and call.id == call_id]
        call = next(iter([*same_id, *here]), None)
        if call is None or not (name and call.name):  # mostly, only the first piece of a call has its name
            return call
        if call_id and call.id and not same_id:  # a new call, unless the server makes up an id for each piece
            goes_on = bool(call.pieces) and not call.is_whole and not arguments.lstrip().startswith("{")
            return call if goes_on and name == call.name else None
        if name == call.name:
            return None if call.is_whole and arguments.strip() not in ("", call.arguments) else call
        if call.pieces or call.name in self._names:
            return None
        so_far = call.with_name(name)
        return call if any(known.startswith(so_far) for known in self._names) else None


# the completion


class StreamedCompletion:
    """One completion as far as it has arrived. `tools` are the names of those that may be called.

    `fail` makes the error for a message and the value that the endpoint has sent. `on_progress` is called for
    each chunk, thoughts included.
    """

    def __init__(
        self,
        fail: Fail,
        tools: Collection[str] = (),
        *,
        implicit_thoughts: bool = False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._fail, self._on_progress = fail, on_progress
        self._lines, self._thoughts = EventLines(), ThoughtFilter(implicit=implicit_thoughts)
        self._calls, self._tools = _Calls(tools), tools
        self._surrogate, self._has_words = "", False
        self._choice_index: int | None = None
        self._usage = ChatUsage(0, 0)
        self.finish_reason = ""
        self.done = False
        """whether `[DONE]` has arrived: nothing follows"""
        self.failure: ProviderError | None = None
        """why it broke off; what failed after the reason for its end is known is not the answer's failure"""

    @property
    def has_ended(self) -> bool:
        """Whether the answer is complete; only bookkeeping may follow."""
        return self.done or bool(self.finish_reason)

    @property
    def implicit_thoughts(self) -> bool:
        """Whether it began with thoughts without saying so."""
        return self._thoughts.implicit

    def push(self, data: bytes) -> list[str]:
        """Return the words in the next bytes of the body. Sets `failure`, and then reads no further."""
        return self._words(lambda: self._lines.push(data))

    def flush(self) -> list[str]:
        """Return the last words, at the end of the body."""
        words = self._words(self._lines.flush)
        if self.has_ended and _finish(self.finish_reason) == "stop":  # what was cut off may have been thoughts
            words.append(self._spoken(self._thoughts.flush()))
        if not (self.has_ended or self.failure):
            opening = self._lines.opening
            if not opening:
                self.failure = self._fail("sent an empty answer", {"type": "unavailable"})
            elif not opening.startswith(("data", "event", "id", "retry", ":")):
                self.failure = self._fail(f"sent something that is no chat completion: {opening}", None)
        return [word for word in words if word]

    def calls(self) -> Iterator[tuple[ToolCall, object]]:
        """Yield the tool calls, each with what the endpoint wants to have sent back with it."""
        is_cut = _finish(self.finish_reason) != "stop"
        for number, text in enumerate(self._thoughts.calls):
            if (written := _object(_parsed(text))) and written.get("name") in self._tools:
                arguments = written.get("arguments", written.get("parameters"))
                self._calls.add({"id": f"{_CALL} {number}", "name": written["name"], "arguments": arguments})
        self._thoughts.calls.clear()
        for call in self._calls.calls:
            if call.name and (call.is_whole or not (is_cut and call.arguments)):
                yield ToolCall(_whole(call.name), _whole(call.arguments) or "{}"), call.extra

    @property
    def usage(self) -> ChatUsage:
        """The usage, as far as the endpoint told it, with the reason for the end."""
        usage = self._usage
        return ChatUsage(
            usage.input_tokens, usage.output_tokens, usage.cached_tokens, _finish(self.finish_reason)
        )

    def _words(self, read: Callable[[], Sequence[tuple[str, object]]]) -> list[str]:
        words = list[str]()
        try:
            for name, value in read():
                if self.done or self.failure:
                    break
                words.append(self._spoken(self._thoughts.push(self._read(name, value))))
        except ValueError as error:
            self._break_off(f"sent something that is no chat completion: {error}", None)
        return [word for word in words if word]

    def _read(self, name: str, value: object) -> str:
        """Read one event; return its text, with thoughts. Raises `ValueError`."""
        if isinstance(value, str) and value.upper() == _DONE:
            self.done = True
            return ""
        chunk = value[0] if isinstance(value, list) and len(value) == 1 else value
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if fault := _fault(name, chunk, choices):
            self._break_off(reason(fault) or "failed, with no reason given", fault)
            return ""
        if isinstance(chunk, str) and (page := web_page(chunk)):
            self._break_off(f"{page} and {NO_API}", None)
            return ""
        if not isinstance(chunk, dict) or not isinstance(choices, list | None):
            is_beat = isinstance(chunk, str) and not chunk.startswith(("{", "["))
            if self.has_ended or is_beat:
                return ""
            raise ValueError(str(value)[:_OPENING_CHARS])
        self._on_progress()
        text = "".join(self._choice(choice) for choice in choices or () if isinstance(choice, dict))
        self._count(chunk)
        return text

    def _choice(self, choice: Json) -> str:
        index = _index(choice.get("index"))
        self._choice_index = index if self._choice_index is None else self._choice_index
        if index not in (None, self._choice_index):
            return ""
        whole = _object(choice.get("message"))
        delta = _object(choice.get("delta")) or whole or {}
        calls = delta.get("tool_calls")
        pieces = [*(calls if isinstance(calls, list) else [calls]), delta.get("function_call")]
        for piece in pieces:
            if isinstance(piece, dict):
                self._calls.add(piece)
        if end := _text(choice.get("finish_reason")) or ("stop" if whole else ""):
            if end in _BROKEN_OFF:
                self._break_off(f"broke off: {reason(choice) or end}", choice)
            self.finish_reason = self.finish_reason if end == "stop" and self.finish_reason else end
        self._count(choice)
        audio = _object(delta.get("audio")) or {}
        words = _content(delta.get("content")) or _text(delta.get("refusal")) or _text(audio.get("transcript"))
        return words or _text(choice.get("text")) or _text(choice.get("delta"))

    def _break_off(self, message: str, value: object) -> None:
        if not self.has_ended:
            self.failure = self._fail(message, value)

    def _count(self, chunk: Json) -> None:
        groq, timings = _object(chunk.get("x_groq")) or {}, _object(chunk.get("timings"))
        if usage := _object(chunk.get("usage")) or _object(groq.get("usage")):
            details = _object(usage.get("prompt_tokens_details")) or usage
            cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")
            counted = ChatUsage(
                _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached)
            )
        elif timings and not self._usage.output_tokens:
            cached = _count(timings.get("cache_n"))
            counted = ChatUsage(
                cached + _count(timings.get("prompt_n")), _count(timings.get("predicted_n")), cached
            )
        else:
            return
        if counted != ChatUsage(0, 0):
            self._usage = counted

    def _spoken(self, text: str) -> str:
        """Return text without blanks before its first word, and with emoji whole that were split in two."""
        text, self._surrogate = self._surrogate + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._surrogate = text[:-1], text[-1]
        if not text.isascii():
            text = _whole(text)
        if not self._has_words:
            text = _BLANKS.sub("", text)
        self._has_words = self._has_words or bool(text)
        return text


def _whole(text: str) -> str:
    """Return a text in which the halves of characters are put together, or replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _fault(name: str, chunk: object, choices: object) -> object:
    """Return the error in an event, if it is one."""
    if name == "error":
        return chunk
    if not isinstance(chunk, dict):
        return None
    if error := chunk.get("error"):
        return error
    is_error = chunk.get("object") == "error" or chunk.get("type") == "error" or "detail" in chunk
    return chunk if is_error and not choices else None


def _finish(finish: str) -> Literal["stop", "length", "content_filter"]:
    match finish.lower():
        case "length" | "max_tokens" | "model_length":
            return "length"
        case "content_filter" | "safety" | "recitation" | "prohibited_content" | "blocklist" | "spii":
            return "content_filter"
    return "stop"


def _content(content: object) -> str:
    """Return the words of `content`, which may be a list of parts, thoughts among them."""
    parts = content if isinstance(content, list) else [content]
    return "".join(
        part if isinstance(part, str) else _text(part.get("text")) if isinstance(part, dict) else ""
        for part in parts
        if not (isinstance(part, dict) and part.get("type") not in (None, "text", "output_text"))
    )


def _arguments(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Json | None:
    return value if isinstance(value, dict) else None


def _index(value: object) -> int | None:
    text = str(value).removesuffix(".0")
    return int(text) if text.isdecimal() else None


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0
