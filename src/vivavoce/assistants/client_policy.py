"""What a caller may say where an assistant of the house answers: words and sound, and how to hear and be heard.

What the assistant is told, and what it can do, are the house's. A client's own instructions and tools, which
many send without being asked, are left out; so nobody with a browser can tell a support desk what to be.
"""

from typing import TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item, ItemReference, Message
from vivavoce.protocol.responses import VERBATIM, ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.protocol.validation import invalid

__all__ = ["client_policy"]

_W = TypeVar("_W", Session, ResponseParams)


def client_policy(event: e.ClientEvent, *, any_voice: bool = True) -> e.ClientEvent:
    """Return what of a client's event the engine may hear. `any_voice` says that the client may choose one.

    Raises `ProtocolError` for an item that is nobody's words: a system message, or what a tool is to have said.
    """
    match event:
        case e.SessionUpdate(session=Session() as wish):
            return replace(event, session=_wish(wish, any_voice=any_voice))
        case e.ResponseCreate(response=ResponseParams() as wish):
            for index, item in enumerate(wish.input or ()):
                _check(item, f"response.input[{index}]")
            metadata = {name: text for name, text in (wish.metadata or {}).items() if name != VERBATIM}
            wish = _wish(wish, any_voice=any_voice)
            return replace(event, response=replace(wish, metadata=metadata or UNSET))
        case e.ConversationItemCreate(item=item):
            _check(item, "item")
    return event


def _wish(wish: _W, *, any_voice: bool) -> _W:
    wish = replace(wish, instructions=UNSET, prompt=UNSET, tools=UNSET, tool_choice=UNSET)
    if any_voice or not wish.audio or not wish.audio.output:
        return wish
    return replace(wish, audio=replace(wish.audio, output=replace(wish.audio.output, voice=UNSET)))


def _check(item: Item | ItemReference, param: str) -> None:
    is_said = isinstance(item, Message) and item.role != "system"
    if not (is_said or isinstance(item, ItemReference)):
        raise invalid(
            param,
            "an assistant of the house answers here: it is for the house to say what it is told, and what its "
            "tools have said. Send messages of the user.",
        )
