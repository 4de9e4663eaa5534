"""The tools in a session: those of the toolbox, and those of the client. No I/O."""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.errors import ConfigError
from vivavoce.protocol import events as e
from vivavoce.protocol import session as s
from vivavoce.protocol.responses import ResponseParams
from vivavoce.tools.types import Tool


class SessionTools:
    """Adds our own tools to those that a client names, and decides whose a tool is.

    Of two tools with the same name, our own replaces the client's. Raises `ConfigError` if both are our own.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._named: tuple[s.Tool, ...] = ()
        self._in_session: frozenset[str] = frozenset()
        self._in_response: frozenset[str] = frozenset()

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Our own tools."""
        return tuple(self._own.values())

    @tools.setter
    def tools(self, tools: Sequence[Tool]) -> None:
        self._own = {tool.name: tool for tool in tools}
        if len(self._own) < len(tools):
            names = [tool.name for tool in tools]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"There are two tools called {twice!r}; give one of them another name.")

    @property
    def session(self) -> s.Session:
        """The session for a `session.update` with all tools: those that the client has named, and our own."""
        return s.Session(tools=self._with_own(self._named))

    def intercept(self, event: e.SessionUpdate) -> e.SessionUpdate:
        """Add our own tools to a client's update, if it has tools."""
        if not isinstance(event.session, s.Session) or event.session.tools is UNSET:
            return event
        self._named = event.session.tools
        return replace(event, session=replace(event.session, tools=self._with_own(self._named)))

    def _with_own(self, named: Sequence[s.Tool]) -> tuple[s.Tool, ...]:
        others = (one for one in named if not (isinstance(one, s.FunctionTool) and one.name in self._own))
        return (*others, *(tool.definition for tool in self.tools))

    def on_event(self, event: e.Event) -> None:
        """Record the tools of the session, and of a response that the client requests."""
        match event:
            case (
                e.SessionCreated(session=s.Session() as session)
                | e.SessionUpdated(session=s.Session() as session)
            ):
                self._in_session = _names(session.tools)
            case e.ResponseCreate(response=ResponseParams(tools=tuple() as tools)):
                self._in_response = _names(tools)

    def find(self, name: str) -> Tool | None:
        """Return our own tool of this name."""
        return self._own.get(name)

    def is_clients(self, name: str) -> bool:
        """Return whether a tool of this name is the client's, which then executes the call itself."""
        others = _names(self._named) | self._in_session | self._in_response
        return name not in self._own and name in others


def _names(tools: Iterable[s.Tool] | UnsetType) -> frozenset[str]:
    return frozenset(tool.name for tool in tools or () if isinstance(tool, s.FunctionTool))
