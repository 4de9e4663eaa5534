"""The configured assistant and the shared tools: sessions and middleware for each conversation."""

import logging
from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.assistants.session import AssistantSession
from vivavoce.assistants.team import Team
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AnySession, FunctionTool, Session, TranscriptionSession
from vivavoce.session.call import Caller, Storing, least
from vivavoce.session.middleware import Middleware
from vivavoce.tools.registry import ToolRegistry
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Assistant, Tool

log = logging.getLogger(__name__)


class AssistantRegistry:
    """An assistant, or None, together with the tools that all conversations share.

    Raises `ConfigError` like `Team`, and if an assistant has more than `limits.tools`.
    """

    def __init__(self, assistant: Assistant | None, tools: ToolRegistry, limits: Limits) -> None:
        self.assistant, self._registry, self._limits = assistant, tools, limits
        own = Team(assistant) if assistant else None
        each = [own.tools_of(one) for one in own.members.values()] if own else []
        self._taken = {tool.name for tools in each for tool in tools}
        self._room = limits.tools - max(map(len, each), default=0)
        if self._room < 0:
            raise ConfigError(f"An assistant has more than {limits.tools} tools (limits.tools).")
        self.team  # noqa: B018 (raises errors of the configuration now, not in the first call)

    @property
    def team(self) -> Team | None:
        """The team, with the tools that are loaded now; MCP servers may add theirs later."""
        return self._team_for(None)

    @property
    def store(self) -> Storing:
        """What may be written down of a conversation: a caller may be handed over to everybody of the team."""
        return least("all", *(one.store for one in self.team.members.values()) if self.team else ())

    def _team_for(self, caller: Caller | None) -> Team | None:
        return Team(self.assistant, self._shared_tools(caller)) if self.assistant else None

    def _shared_tools(self, caller: Caller | None) -> Sequence[Tool]:
        """Return the shared tools that are offered to a caller; None is nobody in particular."""
        every = self._registry.tools(self._taken)
        tools = [tool for tool in every if not tool.offered_to or (caller and tool.offered_to(caller))]
        if len(tools) > self._room:
            log.warning("only %d of %d shared tools are used (limits.tools)", self._room, len(tools))
        return tools[: self._room]

    def _tools(self, caller: Caller | None) -> tuple[FunctionTool, ...]:
        """Return the tools of a conversation that begins now."""
        team = self._team_for(caller)
        tools = team.tools_of(team.first) if team else self._shared_tools(caller)
        return tuple(tool.definition for tool in tools)

    def middleware(self, caller: Caller | None = None) -> Middleware | None:
        """Return the middleware of a conversation; None if there is neither an assistant nor a tool for it."""
        team, name = self._team_for(caller), caller.id if caller else ""
        if team:
            return AssistantSession(team, self._limits, name)
        tools = self._shared_tools(caller)
        return Toolbox(tools, self._limits, name) if tools else None

    def initial_session(self, session: Session) -> Session:
        """Return a session with the assistant's settings and the tools, for the start of a conversation."""
        team = self.team
        return team.initial_session(session) if team else replace(session, tools=self._tools(None))

    def with_tools(self, caller: Caller, session: AnySession | None) -> AnySession | None:
        """Return the session that a caller requests, with the tools that are loaded by now."""
        has_tools = isinstance(session, Session) and session.tools is not UNSET
        if self._registry.is_empty or isinstance(session, TranscriptionSession) or has_tools:
            return session
        return replace(session or Session(), tools=self._tools(caller))

    def allowed(self, session: Session) -> Session:
        """Return a client's session as the middleware would pass it to the engine."""
        middleware = self.middleware()
        update = middleware and middleware.intercept(e.SessionUpdate(session=session))
        if isinstance(update, e.SessionUpdate) and isinstance(update.session, Session):
            return update.session
        return session
