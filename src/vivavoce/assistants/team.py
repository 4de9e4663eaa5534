"""Everyone who may answer a caller, and how a session is held when one of them does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import ConfigError
from vivavoce.protocol.session import InputSettings, OutputSettings, Session, SessionAudio
from vivavoce.protocol.settings import merge
from vivavoce.text.languages import language_name
from vivavoce.tools.types import Assistant, Context, Outcome, Tool

__all__ = ["Team", "system_prompt"]

_NOTHING = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Team:
    """The assistant who answers first, and all to whom the caller may be handed over. All have `shared` tools.

    Raises `ConfigError` if somebody hands over to a name that nobody has, or two assistants, or two tools of
    one assistant, have the same name.
    """

    first: Assistant
    shared: Sequence[Tool] = ()
    known: Mapping[str, Assistant] = field(default_factory=dict, repr=False)
    """who was there before, and can be handed over to by name"""

    def __post_init__(self) -> None:
        met = dict(_met(self.first, {}))
        object.__setattr__(self, "known", {**self.known, **met})
        for one in met.values():
            self.tools_of(one)

    def joined_by(self, assistant: Assistant) -> "Team":
        """Return the staff with somebody whom a tool has called in, and whom they know."""
        return Team(assistant, self.shared, self.known)

    def tools_of(self, assistant: Assistant) -> Sequence[Tool]:
        """Return all that an assistant can do: what it brings, to hand over, and what everyone can."""
        transfers = [_transfer(self._find(other, assistant)) for other in assistant.hand_over]
        tools = (*assistant.tools, *transfers, *self.shared)
        names = [tool.name for tool in tools]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(
                f"{assistant.name!r} has two tools called {twice!r}; give one of them another name."
            )
        return tools

    def begin(self, session: Session) -> Session:
        """Return a session as it is when the first assistant answers, who also gives it its voice."""
        update = self.session_of(self.first, session)
        session = merge(session, update, tools=len(update.tools or ()))
        voice = OutputSettings(voice=self.first.voice or UNSET)
        return merge(session, Session(audio=SessionAudio(output=voice)))

    def session_of(self, assistant: Assistant, held: Session) -> Session:
        """Return what of a session is to change when this assistant answers. The voice is another matter."""
        tools = tuple(tool.definition for tool in self.tools_of(assistant))
        hearing = _hearing(assistant.language, held)
        return Session(
            instructions=system_prompt(assistant),
            tools=tools,
            tool_choice="auto",
            audio=SessionAudio(input=hearing) if hearing else UNSET,
        )

    def _find(self, other: Assistant | str, whose: Assistant) -> Assistant:
        if isinstance(other, Assistant):
            return other
        if other in self.known:
            return self.known[other]
        names = ", ".join(sorted(self.known))
        raise ConfigError(f"{whose.name!r} hands over to {other!r}, whom nobody knows; there are: {names}.")


def system_prompt(assistant: Assistant) -> str:
    """Return an assistant's instructions, and the language to answer in, unless they say so already."""
    if assistant.language is None or language_name(assistant.language) in assistant.instructions:
        return assistant.instructions
    return f"{assistant.instructions}\n\nAnswer in {language_name(assistant.language)}.".strip()


def _met(assistant: Assistant, met: dict[str, Assistant]) -> Mapping[str, Assistant]:
    """Gather whom an assistant knows, and whom those know."""
    if met.setdefault(assistant.name, assistant) is not assistant:
        raise ConfigError(f"Two assistants are called {assistant.name!r}; give one of them another name.")
    for other in assistant.hand_over:
        if isinstance(other, Assistant) and met.get(other.name) is not other:
            _met(other, met)
    return met


def _transfer(to: Assistant) -> Tool:
    async def run(arguments: str, context: Context) -> Outcome:  # noqa: ARG001
        return Outcome(f"You are through to {to.name} now.", hand_over_to=to)

    name = "transfer_to_" + re.sub(r"[^a-z0-9]+", "_", to.name.lower()).strip("_")
    asked = f'For example: "please hand me over to {to.name}", "may I speak with {to.name}?"'
    return Tool(name, f"Hand the caller over to {to.name}{_duty(to)} {asked}", _NOTHING, run)


def _duty(assistant: Assistant) -> str:
    """Return what somebody is there for: the first sentence that they are told, as others would say it."""
    sentence = _SENTENCE.match(assistant.instructions.strip())
    return f": {re.sub('^You (are )?', '', sentence[0])}" if sentence else "."


def _hearing(language: str | None, held: Session) -> InputSettings | None:
    """Return how the caller is to be heard, where that changes: a transcript that nobody wants is not begun."""
    settings = held.audio and held.audio.input and held.audio.input.transcription
    if not language or not settings or settings.language == language:
        return None
    return InputSettings(transcription=replace(settings, language=language))
