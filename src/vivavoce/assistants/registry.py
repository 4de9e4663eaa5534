"""Who answers in a house, and with which tools: every conversation gets its middleware here."""

import logging
from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.assistants.session import AssistantSession
from vivavoce.assistants.team import Team
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import FunctionTool, Session, TranscriptionSession
from vivavoce.session.middleware import Middleware
from vivavoce.tools.registry import ToolRegistry
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Assistant, Tool

__all__ = ["AssistantRegistry"]


log = logging.getLogger(__name__)


class AssistantRegistry:
    """An assistant, or nobody in particular, with the tools on the shelf.

    Raises `ConfigError` like `Staff`, and if an assistant has more than `limits.tools`.
    """

    def __init__(self, assistant: Assistant | None, shelf: ToolRegistry, limits: Limits) -> None:
        self.assistant, self._shelf, self._limits = assistant, shelf, limits
        own = Team(assistant) if assistant else None
        each = [own.tools_of(one) for one in own.known.values()] if own else []
        self._taken = {tool.name for tools in each for tool in tools}
        self._room = limits.tools - max(map(len, each), default=0)
        if self._room < 0:
            raise ConfigError(f"An assistant has more than {limits.tools} tools (limits.tools).")
        self.staff  # noqa: B018 (what is wrong with it is told at once)

    @property
    def staff(self) -> Team | None:
        """Who may answer, with the tools that are there now: a server of tools may come late."""
        return Team(self.assistant, self.shared) if self.assistant else None

    @property
    def shared(self) -> Sequence[Tool]:
        """What everyone can do, as far as there is room for it."""
        tools = self._shelf.tools(self._taken)
        if len(tools) > self._room:
            log.warning("of %d tools on the shelf only %d are offered (limits.tools)", len(tools), self._room)
        return tools[: self._room]

    @property
    def tools(self) -> tuple[FunctionTool, ...]:
        """The tools with which a conversation begins now."""
        staff = self.staff
        tools = staff.tools_of(staff.first) if staff else self.shared
        return tuple(tool.definition for tool in tools)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything for middleware to do."""
        return self.assistant is not None or not self._shelf.is_empty

    def middleware(self, caller: str = "") -> Middleware:
        """Return the middleware of one conversation."""
        staff = self.staff
        if staff is None:
            return Toolbox(self.shared, self._limits, caller)
        return AssistantSession(staff, self._limits, caller)

    def begin(self, session: Session) -> Session:
        """Return a session as it is when a conversation begins."""
        staff = self.staff
        return staff.begin(session) if staff else replace(session, tools=self.tools)

    def equipped(self, wish: Session | TranscriptionSession | None) -> Session | TranscriptionSession | None:
        """Return how a conversation is to begin, with the tools that are there by now."""
        if self._shelf.is_empty or isinstance(wish, TranscriptionSession) or (wish and wish.tools is not UNSET):
            return wish
        return replace(wish or Session(), tools=self.tools)

    def passing(self, wish: Session) -> Session:
        """Return what of a client's wish the engine will hear."""
        passed = self.middleware().intercept(e.SessionUpdate(session=wish))
        return (
            passed.session
            if isinstance(passed, e.SessionUpdate) and isinstance(passed.session, Session)
            else wish
        )
