"""Who is on duty: sits at one conversation for an assistant, and for whoever takes over from it."""

import anyio

from vivavoce.attendants.greeting import Greeting
from vivavoce.attendants.permitted import permitted
from vivavoce.attendants.staff import Staff
from vivavoce.limits import Limits
from vivavoce.line import Heard, Seat
from vivavoce.protocol import events as e

__all__ = ["OnDuty"]


class OnDuty:
    """Attends one conversation: greets, runs the tools, and lets another assistant take over where one does."""

    def __init__(self, staff: Staff, limits: Limits, caller: str = "") -> None:
        self._staff = staff
        self._greeting = Greeting(staff.first.greeting)

    def passing(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Return what the engine may hear of what the caller says. Raises `ProtocolError` for what it may not."""
        return self._greeting.passing(permitted(event))

    def hear(self, heard: Heard) -> None:
        """Hear what passes."""
        if heard.by == "server":
            self._greeting.hear(heard.event)

    async def attend(self, seat: Seat) -> None:
        """Work until the conversation is over."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._greeting.attend, seat)
