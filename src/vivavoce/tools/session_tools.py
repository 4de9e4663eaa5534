"""Which tools a session names: the house's, and beside them the client's own. Pure."""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.errors import ConfigError
from vivavoce.protocol import events as e
from vivavoce.protocol import session as s
from vivavoce.protocol.responses import ResponseParams
from vivavoce.tools.types import Tool

__all__ = ["SessionTools"]


class SessionTools:
    """Adds the house's tools to what a client names, and tells whose a tool is.

    Where both have one of the same name, the house's counts. Raises `ConfigError` if the house has two.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._named: tuple[s.Tool, ...] = ()
        self._shown: frozenset[str] = frozenset()
        self._for_once: frozenset[str] = frozenset()

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The house's tools."""
        return tuple(self._ours.values())

    @tools.setter
    def tools(self, tools: Sequence[Tool]) -> None:
        self._ours = {tool.name: tool for tool in tools}
        if len(self._ours) < len(tools):
            names = [tool.name for tool in tools]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"There are two tools called {twice!r}; give one of them another name.")

    @property
    def session(self) -> s.Session:
        """What a session is to name: what the client has named, and ours."""
        return s.Session(tools=self._with_ours(self._named))

    def intercept(self, event: e.SessionUpdate) -> e.SessionUpdate:
        """Return what a client says with our tools, if it speaks of tools."""
        if not isinstance(event.session, s.Session) or event.session.tools is UNSET:
            return event
        self._named = event.session.tools
        return replace(event, session=replace(event.session, tools=self._with_ours(self._named)))

    def _with_ours(self, named: Sequence[s.Tool]) -> tuple[s.Tool, ...]:
        theirs = (one for one in named if not (isinstance(one, s.FunctionTool) and one.name in self._ours))
        return (*theirs, *(tool.definition for tool in self.tools))

    def hear(self, event: e.Event) -> None:
        """Hear what others have named: the engine for the session, the client for one answer."""
        match event:
            case (
                e.SessionCreated(session=s.Session(tools=tools))
                | e.SessionUpdated(session=s.Session(tools=tools))
            ):
                self._shown = _names(tools)
            case e.ResponseCreate(response=ResponseParams(tools=tuple() as tools)):
                self._for_once = _names(tools)

    def find(self, name: str) -> Tool | None:
        """Return the tool of ours that has this name."""
        return self._ours.get(name)

    def is_theirs(self, name: str) -> bool:
        """Say whether somebody else has a tool of this name, and will do what it is called for."""
        return name not in self._ours and name in _names(self._named) | self._shown | self._for_once


def _names(tools: Iterable[s.Tool] | UnsetType) -> frozenset[str]:
    return frozenset(tool.name for tool in tools or () if isinstance(tool, s.FunctionTool))
