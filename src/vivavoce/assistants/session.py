"""The middleware of assistants: greeting, tools, hand-overs, and the policy for client events."""

import logging
from typing import TypeVar

import anyio
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.assistants.greeting import Greeting
from vivavoce.assistants.team import Team
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput, Item, ItemReference, Message
from vivavoce.protocol.responses import VERBATIM, ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.protocol.settings import without_voice
from vivavoce.protocol.validation import invalid
from vivavoce.session.middleware import ObservedEvent, SessionHandle
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Assistant

log = logging.getLogger(__name__)

S = TypeVar("S", Session, ResponseParams)


class AssistantSession:
    """The middleware of one conversation: greets, runs tools, and hands over to other assistants."""

    def __init__(self, team: Team, limits: Limits, caller: str = "") -> None:
        self._team, self._caller = team, caller
        self._greeting = Greeting(team.first.greeting)
        self._toolbox = Toolbox(team.tools_of(team.first), limits, caller, self._hand_over)
        self._any_voice = team.first.voice is None
        self._greeted = {team.first.name}
        self._session = Session()
        self._update = e.SessionUpdate(session=Session())
        self._handle: SessionHandle | None = None

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Return the event for the engine, or None. Raises `ProtocolError` like `client_policy`."""
        is_output = isinstance(event, e.ConversationItemCreate) and isinstance(event.item, FunctionCallOutput)
        if is_output and self._toolbox.intercept(event) is None:
            return None  # dropped without an error: many clients send "unknown tool" for every call
        allowed = self._greeting.intercept(client_policy(event, any_voice=self._any_voice))
        return allowed and self._toolbox.intercept(allowed)

    def on_event(self, observed: ObservedEvent) -> None:
        """Process an event of the client or the server."""
        self._toolbox.on_event(observed)
        if observed.source == "client":
            if isinstance(observed.event, e.ConversationItemCreate):
                self._greeting.on_event(observed.event)
            return
        self._greeting.on_event(observed.event)
        match observed.event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self._session = session if isinstance(session, Session) else self._session
            case e.ErrorEvent(error=error) if error.event_id and error.event_id == self._update.event_id:
                log.error("%s: the session cannot be handed over: %s", self._caller, error.message)

    async def run(self, handle: SessionHandle) -> None:
        """Run the toolbox and the greeting until the conversation is over."""
        self._handle = handle
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._toolbox.run, handle)
            tasks.start_soon(self._greeting.run, handle)

    async def _hand_over(self, to: Assistant) -> str:
        """Switch to another assistant; return its greeting, or an empty string if it has greeted before.

        Raises `ConfigError` if its `hand_over` contains an unknown name.
        """
        team = self._team if self._team.members.get(to.name) is to else self._team.joined_by(to)
        self._team, self._toolbox.session_tools.tools = team, team.tools_of(to)
        session = team.session_update(to, self._session)
        self._update = e.SessionUpdate(event_id=e.new_id("event"), session=session)
        if self._handle:
            await self._handle.send(self._update)
            await self._handle.notify(e.AssistantChanged(name=to.name))
        log.info("%s: %r has taken over", self._caller, to.name)
        greeting = "" if to.name in self._greeted else to.greeting
        self._greeted.add(to.name)
        return greeting


def client_policy(event: e.ClientEvent, *, any_voice: bool = True) -> e.ClientEvent:
    """Return a client event without what only the server may set where an assistant answers.

    Instructions, prompt and tools of the client are left out, silently, because many clients always send some;
    so a browser cannot change an assistant. The voice is left out unless `any_voice`. Raises `ProtocolError`
    for an item other than a user or assistant message, such as a system message or the output of a tool.
    """
    match event:
        case e.SessionUpdate(session=Session() as session):
            return replace(event, session=_allowed(session, any_voice=any_voice))
        case e.ResponseCreate(response=ResponseParams() as params):
            for index, item in enumerate(params.input or ()):
                _check_item(item, f"response.input[{index}]")
            metadata = {name: text for name, text in (params.metadata or {}).items() if name != VERBATIM}
            params = _allowed(params, any_voice=any_voice)
            return replace(event, response=replace(params, metadata=metadata or UNSET))
        case e.ConversationItemCreate(item=item):
            _check_item(item, "item")
    return event


def _allowed(settings: S, *, any_voice: bool) -> S:
    settings = replace(settings, instructions=UNSET, prompt=UNSET, tools=UNSET, tool_choice=UNSET)
    return settings if any_voice else without_voice(settings)


def _check_item(item: Item | ItemReference, param: str) -> None:
    is_spoken = isinstance(item, Message) and item.role != "system"
    if not (is_spoken or isinstance(item, ItemReference)):
        why = "an assistant answers here, whose instructions and tools are the server's; send user messages."
        raise invalid(param, why)
