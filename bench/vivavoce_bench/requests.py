"""What people ask of an assistant with tools, what it should do about it, and whether it did."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from vivavoce.errors import ConfigError
from vivavoce.protocol.items import InputText, Item, Message, OutputText
from vivavoce.providers.base import ToolCall
from vivavoce.providers.qwen.tool_picker.arguments import ASKING
from vivavoce_bench.measures import normalised

__all__ = ["Asked", "Within", "fits", "requests_in", "right"]

ARTICLES = frozenset({"a", "an", "the", "my", "our", "your"})

Plain = str | int | float | bool


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of which all of `has` must be there, and none but those of `of`."""

    has: str
    of: str


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request: what it is about, with which arguments; without any, the tool must not be called yet.

    `earlier` are the turns before it, the caller's first. What is `held_out` is not for tuning; what is
    `spoken` comes by voice.
    """

    says: str
    tool: str | None = None
    arguments: Mapping[str, Plain | Within] | None = None
    earlier: Sequence[str] = ()
    held_out: bool = False
    spoken: bool = False

    def items(self, says: str | None = None) -> Sequence[Item]:
        """Return the conversation that ends in these words, as a chat model is given it."""
        turns = [*self.earlier, self.says if says is None else says]
        return [_message(text, from_caller=place % 2 == 0) for place, text in enumerate(turns)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request: tuple[Asked, ...]


def requests_in(file: Path) -> Sequence[Asked]:
    """Read a TOML file of `[[request]]` tables. Raises `ConfigError`."""
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=_File).request
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file} cannot be read as requests: {error}.") from error
    if odd := next((asked for asked in found if len(asked.earlier) % 2), None):
        raise ConfigError(f"{file}: `earlier` of {odd.says!r} must end with the assistant's turn.")
    return found


def _message(text: str, *, from_caller: bool) -> Message:
    if from_caller:
        return Message(role="user", content=(InputText(text=text),))
    return Message(role="assistant", content=(OutputText(text=text),))


def right(asked: Asked, call: ToolCall | None, said: str = "") -> bool:
    """Say whether this is what should have come: the call, a question for what it lacks, or just words."""
    if asked.tool is None:
        return call is None and not said.startswith(ASKING)
    if asked.arguments is None:
        return call is None and "?" in said
    if call is None or call.name != asked.tool:
        return False
    given = msgspec.json.decode(call.arguments, type=dict[str, object])
    stated = {name: value for name, value in given.items() if value not in (None, "")}
    return stated.keys() <= asked.arguments.keys() and all(
        fits(wanted, stated.get(name, "")) for name, wanted in asked.arguments.items()
    )


def fits(wanted: Plain | Within, given: object) -> bool:
    """Say whether an argument is the one that was wanted."""
    if isinstance(wanted, Within):
        words = set(_words(str(given)))
        return set(_words(wanted.has)) <= words <= set(_words(wanted.of))
    if not isinstance(wanted, str):
        return wanted == given
    if wanted.isdecimal():
        return re.sub(r"[\s-]", "", str(given)) == wanted
    if "@" in wanted:
        return str(given).strip().lower() == wanted.lower()
    return _words(wanted) == _words(str(given))


def _words(text: str) -> list[str]:
    return [word for word in normalised(text) if word not in ARTICLES]
