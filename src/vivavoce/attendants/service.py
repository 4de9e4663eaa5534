"""Who answers in a house, and with which tools: every conversation gets its attendant here."""

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.attendants.assistant import OnDuty
from vivavoce.attendants.staff import Staff
from vivavoce.limits import Limits
from vivavoce.line import Attendant
from vivavoce.protocol import events as e
from vivavoce.protocol.session import FunctionTool, Session, TranscriptionSession
from vivavoce.protocol.settings import merge
from vivavoce.tools.kinds import Assistant
from vivavoce.tools.shelf import Shelf
from vivavoce.tools.toolbox import Toolbox

__all__ = ["Service"]


class Service:
    """An assistant, or nobody in particular, with the tools on the shelf. Raises `ConfigError` like `Staff`."""

    def __init__(self, assistant: Assistant | None, shelf: Shelf, limits: Limits) -> None:
        self.assistant, self._shelf, self._limits = assistant, shelf, limits
        own = Staff(assistant) if assistant else None
        self._taken = {tool.name for one in own.known.values() for tool in own.tools_of(one)} if own else set()
        self.staff  # noqa: B018 (what is wrong with it is told at once)

    @property
    def staff(self) -> Staff | None:
        """Who may answer, with the tools that are there now: a server of tools may come late."""
        return Staff(self.assistant, self._shelf.beside(self._taken)) if self.assistant else None

    @property
    def tools(self) -> tuple[FunctionTool, ...]:
        """The tools with which a conversation begins now."""
        staff = self.staff
        tools = staff.tools_of(staff.first) if staff else self._shelf.beside()
        return tuple(tool.definition for tool in tools)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything for an attendant to do."""
        return self.assistant is not None or not self._shelf.is_empty

    def attendant(self, caller: str = "") -> Attendant:
        """Give one conversation its attendant."""
        staff = self.staff
        if staff is None:
            return Toolbox(self._shelf.beside(), self._limits, caller)
        return OnDuty(staff, self._limits, caller)

    def begin(self, session: Session) -> Session:
        """Return a session as it is when a conversation begins."""
        staff = self.staff
        return staff.begin(session) if staff else merge(session, Session(tools=self.tools))

    def equipped(self, wish: Session | TranscriptionSession | None) -> Session | TranscriptionSession | None:
        """Return how a conversation is to begin, with the tools that are there by now."""
        if self._shelf.is_empty or isinstance(wish, TranscriptionSession) or (wish and wish.tools is not UNSET):
            return wish
        return replace(wish or Session(), tools=self.tools)

    def passing(self, wish: Session) -> Session:
        """Return what of a client's wish the engine will hear."""
        passed = self.attendant().passing(e.SessionUpdate(session=wish))
        return (
            passed.session
            if isinstance(passed, e.SessionUpdate) and isinstance(passed.session, Session)
            else wish
        )
