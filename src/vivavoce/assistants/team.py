"""The assistants of a conversation, and the session settings of each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import ConfigError
from vivavoce.protocol.session import InputSettings, OutputSettings, Session, SessionAudio, input_settings
from vivavoce.protocol.settings import merge
from vivavoce.text.languages import language_name
from vivavoce.tools.types import Assistant, Context, Outcome, Tool

_NOTHING = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Team:
    """The assistant who answers first, and all others reachable by hand-over. All have the `shared` tools.

    Raises `ConfigError` if a `hand_over` contains an unknown name, or if two assistants, or two tools of one
    assistant, have the same name.
    """

    first: Assistant
    shared: Sequence[Tool] = ()
    members: Mapping[str, Assistant] = field(default_factory=dict, repr=False)
    """all assistants by name; the argument contains those that are known already"""

    def __post_init__(self) -> None:
        reached = dict(_reached(self.first, {}))
        object.__setattr__(self, "members", {**self.members, **reached})
        for one in reached.values():
            self.tools_of(one)

    def joined_by(self, assistant: Assistant) -> "Team":
        """Return the team with an assistant that a tool has created, and those reachable from it."""
        return Team(assistant, self.shared, self.members)

    def tools_of(self, assistant: Assistant) -> Sequence[Tool]:
        """Return all tools of an assistant: its own, those for hand-overs, and the shared ones."""
        transfers = [_transfer(self._find(other, assistant)) for other in assistant.hand_over]
        tools = (*assistant.tools, *transfers, *self.shared)
        names = [tool.name for tool in tools]
        if twice := next((name for name in names if names.count(name) > 1), None):
            message = f"{assistant.name!r} has two tools called {twice!r}; give one of them another name."
            raise ConfigError(message)
        return tools

    def initial_session(self, session: Session) -> Session:
        """Return a session with the settings and the voice of the first assistant."""
        update = self.session_update(self.first, session)
        session = merge(session, update, tools=len(update.tools or ()))
        voice = OutputSettings(voice=self.first.voice or UNSET)
        return merge(session, Session(audio=SessionAudio(output=voice)))

    def session_update(self, assistant: Assistant, session: Session) -> Session:
        """Return the session update for a hand-over to an assistant. The voice cannot change during a call."""
        tools = tuple(tool.definition for tool in self.tools_of(assistant))
        settings = _input_settings(assistant.language, session)
        return Session(
            instructions=system_prompt(assistant),
            tools=tools,
            tool_choice="auto",
            audio=SessionAudio(input=settings) if settings else UNSET,
        )

    def _find(self, other: Assistant | str, whose: Assistant) -> Assistant:
        if isinstance(other, Assistant):
            return other
        if other in self.members:
            return self.members[other]
        names = ", ".join(sorted(self.members))
        raise ConfigError(f"{whose.name!r} hands over to {other!r}, who is not there; there are: {names}.")


def system_prompt(assistant: Assistant) -> str:
    """Return an assistant's instructions, plus the language of its answers unless they name it already."""
    if assistant.language is None or language_name(assistant.language) in assistant.instructions:
        return assistant.instructions
    return f"{assistant.instructions}\n\nAnswer in {language_name(assistant.language)}.".strip()


def _reached(assistant: Assistant, reached: dict[str, Assistant]) -> Mapping[str, Assistant]:
    """Collect an assistant and all reachable from it by `hand_over`. Raises `ConfigError`."""
    if reached.setdefault(assistant.name, assistant) is not assistant:
        raise ConfigError(f"Two assistants are called {assistant.name!r}; give one of them another name.")
    for other in assistant.hand_over:
        if isinstance(other, Assistant) and reached.get(other.name) is not other:
            _reached(other, reached)
    return reached


def _transfer(to: Assistant) -> Tool:
    async def run(arguments: str, context: Context) -> Outcome:  # noqa: ARG001
        return Outcome(f"You are through to {to.name} now.", hand_over_to=to)

    name = "transfer_to_" + re.sub(r"[^a-z0-9]+", "_", to.name.lower()).strip("_")
    asked = f'For example: "please hand me over to {to.name}", "may I speak with {to.name}?"'
    return Tool(name, f"Hand the caller over to {to.name}{_purpose(to)} {asked}", _NOTHING, run)


def _purpose(assistant: Assistant) -> str:
    """Return the first sentence of an assistant's instructions, without "You are", to describe its purpose."""
    sentence = _SENTENCE.match(assistant.instructions.strip())
    return f": {re.sub('^You (are )?', '', sentence[0])}" if sentence else "."


def _input_settings(language: str | None, session: Session) -> InputSettings | None:
    """Return the new language of the transcription, if that is enabled and the language changes."""
    settings = input_settings(session).transcription
    if not language or not settings or settings.language == language:
        return None
    return InputSettings(transcription=replace(settings, language=language))
