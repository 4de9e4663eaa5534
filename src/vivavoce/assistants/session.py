"""Who is on duty: sits at one conversation for an assistant, and for whoever takes over from it."""

import logging

import anyio

from vivavoce.assistants.client_policy import client_policy
from vivavoce.assistants.greeting import Greeting
from vivavoce.assistants.team import Team
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput
from vivavoce.protocol.session import Session
from vivavoce.session.line import Heard, SessionHandle
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Assistant

__all__ = ["AssistantSession"]

log = logging.getLogger(__name__)


class AssistantSession:
    """Attends one conversation: greets, has the tools work, and lets another assistant take over."""

    def __init__(self, staff: Team, limits: Limits, caller: str = "") -> None:
        self._staff, self._caller = staff, caller
        self._greeting = Greeting(staff.first.greeting)
        self._toolbox = Toolbox(staff.tools_of(staff.first), limits, caller, self._hand_over)
        self._any_voice = staff.first.voice is None
        self._greeted = {staff.first.name}
        self._session = Session()
        self._update = e.SessionUpdate(session=Session())
        self._seat: SessionHandle | None = None

    def passing(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Return what the engine may hear of what the caller says. Raises `ProtocolError` for the rest."""
        if _is_output(event) and self._toolbox.passing(event) is None:
            return None  # many clients say of every call that they do not know what to do; an error ends some
        passed = self._greeting.passing(client_policy(event, any_voice=self._any_voice))
        return passed and self._toolbox.passing(passed)

    def hear(self, heard: Heard) -> None:
        """Hear what passes."""
        self._toolbox.hear(heard)
        if heard.by == "server":
            self._greeting.hear(heard.event)
            self._note(heard.event)

    def _note(self, event: e.Event) -> None:
        match event:
            case (
                e.SessionCreated(session=Session() as session) | e.SessionUpdated(session=Session() as session)
            ):
                self._session = session
            case e.ErrorEvent(error=error) if error.event_id and error.event_id == self._update.event_id:
                log.error("%s: the session cannot be handed over: %s", self._caller, error.message)

    async def attend(self, seat: SessionHandle) -> None:
        """Work until the conversation is over."""
        self._seat = seat
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._toolbox.attend, seat)
            tasks.start_soon(self._greeting.attend, seat)

    async def _hand_over(self, to: Assistant) -> str:
        """Let another one answer from now on; return its greeting, if it has not greeted yet.

        Raises `ConfigError` if it hands over to somebody whom nobody knows.
        """
        staff = self._staff if self._staff.known.get(to.name) is to else self._staff.joined_by(to)
        self._staff, self._toolbox.tools = staff, staff.tools_of(to)
        session = staff.session_of(to, self._session)
        self._update = e.SessionUpdate(event_id=e.new_id("event"), session=session)
        if self._seat:
            await self._seat.say(self._update)
            await self._seat.tell(e.AssistantChanged(name=to.name))
        log.info("%s: %r has taken over", self._caller, to.name)
        greeting = "" if to.name in self._greeted else to.greeting
        self._greeted.add(to.name)
        return greeting


def _is_output(event: e.ClientEvent) -> bool:
    return isinstance(event, e.ConversationItemCreate) and isinstance(event.item, FunctionCallOutput)
