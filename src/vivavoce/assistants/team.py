"""The assistants who may answer a caller, and what a session is when one of them does."""

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

_NOTHING = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Team:
    """The assistant who answers first, and all to whom the caller may be handed over. All have `shared` tools.

    Raises `ConfigError` if one hands over to a name that nobody has, or two assistants, or two tools of one
    assistant, have the same name.
    """

    first: Assistant
    shared: Sequence[Tool] = ()
    members: Mapping[str, Assistant] = field(default_factory=dict, repr=False)
    """all by their names; to begin with, those who were there before"""

    def __post_init__(self) -> None:
        reached = dict(_reached(self.first, {}))
        object.__setattr__(self, "members", {**self.members, **reached})
        for one in reached.values():
            self.tools_of(one)

    def joined_by(self, assistant: Assistant) -> "Team":
        """Return the team with an assistant whom a tool has made, and those whom it can reach."""
        return Team(assistant, self.shared, self.members)

    def tools_of(self, assistant: Assistant) -> Sequence[Tool]:
        """Return all tools of an assistant: its own, those that hand over, and those of everyone."""
        transfers = [_transfer(self._find(other, assistant)) for other in assistant.hand_over]
        tools = (*assistant.tools, *transfers, *self.shared)
        names = [tool.name for tool in tools]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(
                f"{assistant.name!r} has two tools called {twice!r}; give one of them another name."
            )
        return tools

    def initial_session(self, session: Session) -> Session:
        """Return a session as it is when the first assistant answers, who also gives it its voice."""
        update = self.session_update(self.first, session)
        session = merge(session, update, tools=len(update.tools or ()))
        voice = OutputSettings(voice=self.first.voice or UNSET)
        return merge(session, Session(audio=SessionAudio(output=voice)))

    def session_update(self, assistant: Assistant, session: Session) -> Session:
        """Return how a session changes when this assistant takes over. The voice of a call cannot change."""
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
    """Return an assistant's instructions, and the language to answer in, unless they say so already."""
    if assistant.language is None or language_name(assistant.language) in assistant.instructions:
        return assistant.instructions
    return f"{assistant.instructions}\n\nAnswer in {language_name(assistant.language)}.".strip()


def _reached(assistant: Assistant, reached: dict[str, Assistant]) -> Mapping[str, Assistant]:
    """Gather an assistant, and those to whom it and they hand over."""
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
    """Return what an assistant is for: the first sentence of its instructions, as others would say it."""
    sentence = _SENTENCE.match(assistant.instructions.strip())
    return f": {re.sub('^You (are )?', '', sentence[0])}" if sentence else "."


def _input_settings(language: str | None, session: Session) -> InputSettings | None:
    """Return the language of transcripts, if it changes: transcription that nobody wants is not begun."""
    settings = session.audio and session.audio.input and session.audio.input.transcription
    if not language or not settings or settings.language == language:
        return None
    return InputSettings(transcription=replace(settings, language=language))
