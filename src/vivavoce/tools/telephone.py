"""Tools for calls by telephone: hang up, transfer, press keys. Only callers for whom they work have them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Annotated, Protocol

import msgspec

from vivavoce.errors import VivavoceError, alternatives
from vivavoce.session.call import Caller
from vivavoce.tools.function import tool
from vivavoce.tools.types import Context, Tool, ToolError


class Calls(Protocol):
    """The active calls, by the id of their caller. All methods raise `ProtocolError` or `ProviderError`."""

    async def leave(self, call_id: str) -> None:
        """End a call once what was said has been heard."""
        ...

    async def refer(self, call_id: str, target: str) -> None:
        """Transfer a call, once what was said has been heard."""
        ...

    async def press(self, call_id: str, keys: str) -> None:
        """Send the tones of keys, once what was said has been heard."""
        ...


TOOL_SECONDS = 60
"""seconds for the last words, and for what comes after them"""

Keys = Annotated[str, msgspec.Meta(pattern="^[0-9*#A-D]{1,32}$")]


def telephone_tools(calls: Callable[[], Calls], transfers: Mapping[str, str]) -> list[Tool]:
    """Return the tools. `transfers` are the targets to which a call may be transferred, by name."""

    @tool
    async def hang_up(goodbye: str, context: Context) -> str:  # noqa: D417
        """End the telephone call, when the caller says goodbye or asks for it.

        Args:
            goodbye: The last words to the caller, such as "Thank you for calling. Goodbye."
        """
        await _say(goodbye, context)
        await _done(calls().leave(context.caller))
        return "The call has ended."

    @tool
    async def transfer_call(to: str, announcement: str, context: Context) -> str:  # noqa: D417
        """Transfer the caller to somebody else, when the caller asks for it or needs a person.

        Args:
            to: Who is to talk with the caller.
            announcement: What the caller is told before, such as "I am connecting you with sales."
        """
        if to not in transfers:
            raise ToolError(f"Nobody is called {to!r}; {alternatives(to, transfers)}.")
        await _say(announcement, context)
        await _done(calls().refer(context.caller, transfers[to]))
        return f"The caller was transferred to {to}."

    @tool
    async def press_keys(keys: Keys, context: Context) -> str:  # noqa: D417
        """Press keys on the telephone, such as to answer the menu of another machine.

        Args:
            keys: The keys, in order: digits, * and #.
        """
        await _done(calls().press(context.caller, keys))
        return f"The keys {keys} were pressed."

    listed = f"{transfer_call.description} There are: {', '.join(transfers)}."
    found: list[Tool] = [
        replace(hang_up, offered_to=lambda caller: caller.leave is not None, seconds=TOOL_SECONDS),
        replace(press_keys, offered_to=lambda caller: caller.press is not None, seconds=TOOL_SECONDS),
    ]
    if transfers:
        transferring = replace(
            transfer_call, description=listed, seconds=TOOL_SECONDS, offered_to=_can_be_referred
        )
        found.append(transferring)
    return found


def _can_be_referred(caller: Caller) -> bool:
    return caller.refer is not None


async def _say(words: str, context: Context) -> None:
    if words.strip():
        await context.say(words.strip())


async def _done(ending: Awaitable[None]) -> None:
    """Await what is done to a call. Raises `ToolError`, so that the model knows why it cannot be done."""
    try:
        await ending
    except VivavoceError as error:
        raise ToolError(str(error)) from error
