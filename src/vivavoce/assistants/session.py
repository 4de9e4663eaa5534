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
from vivavoce.session.middleware import ObservedEvent, SessionHandle
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
        self._handle: SessionHandle | None = None

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Return what the engine may hear of what the caller says. Raises `ProtocolError` for the rest."""
        if _is_output(event) and self._toolbox.intercept(event) is None:
            return None  # many clients say of every call that they do not know what to do; an error ends some
        passed = self._greeting.intercept(client_policy(event, any_voice=self._any_voice))
        return passed and self._toolbox.intercept(passed)

    def on_event(self, observed: ObservedEvent) -> None:
        """Observe an event."""
        self._toolbox.on_event(observed)
        if observed.source == "server":
            self._greeting.on_event(observed.event)
            self._note(observed.event)

    def _note(self, event: e.Event) -> None:
        match event:
            case (
                e.SessionCreated(session=Session() as session) | e.SessionUpdated(session=Session() as session)
            ):
                self._session = session
            case e.ErrorEvent(error=error) if error.event_id and error.event_id == self._update.event_id:
                log.error("%s: the session cannot be handed over: %s", self._caller, error.message)

    async def run(self, handle: SessionHandle) -> None:
        """Work until the conversation is over."""
        self._handle = handle
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._toolbox.run, handle)
            tasks.start_soon(self._greeting.run, handle)

    async def _hand_over(self, to: Assistant) -> str:
        """Let another one answer from now on; return its greeting, if it has not greeted yet.

        Raises `ConfigError` if it hands over to somebody whom nobody knows.
        """
        staff = self._staff if self._staff.known.get(to.name) is to else self._staff.joined_by(to)
        self._staff, self._toolbox.tools = staff, staff.tools_of(to)
        session = staff.session_of(to, self._session)
        self._update = e.SessionUpdate(event_id=e.new_id("event"), session=session)
        if self._handle:
            await self._handle.send(self._update)
            await self._handle.notify(e.AssistantChanged(name=to.name))
        log.info("%s: %r has taken over", self._caller, to.name)
        greeting = "" if to.name in self._greeted else to.greeting
        self._greeted.add(to.name)
        return greeting


def _is_output(event: e.ClientEvent) -> bool:
    return isinstance(event, e.ConversationItemCreate) and isinstance(event.item, FunctionCallOutput)
