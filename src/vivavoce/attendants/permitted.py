"""What a caller may say where an assistant of the house answers: words and sound, and how to hear and be heard.

What the assistant is told, and what it can do, are the house's. A client's own instructions and tools, which
many send without being asked, are left out; so nobody with a browser can tell a support desk what to be.
"""

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item, ItemReference, Message
from vivavoce.protocol.response import VERBATIM, ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.protocol.strict import invalid

__all__ = ["allowed", "permitted"]


def permitted(event: e.ClientEvent) -> e.ClientEvent:
    """Return what of a client's event the engine may hear.

    Raises `ProtocolError` for an item that is nobody's words: a system message, or what a tool is to have said.
    """
    match event:
        case e.SessionUpdate(session=Session() as wish):
            return replace(event, session=allowed(wish))
        case e.ResponseCreate(response=ResponseParams() as wish):
            return replace(event, response=_permitted(wish))
        case e.ConversationItemCreate(item=item):
            _check(item, "item")
    return event


def allowed(wish: Session) -> Session:
    """Return what of a session a client may decide."""
    return replace(wish, instructions=UNSET, prompt=UNSET, tools=UNSET, tool_choice=UNSET)


def _permitted(wish: ResponseParams) -> ResponseParams:
    for index, item in enumerate(wish.input or ()):
        _check(item, f"response.input[{index}]")
    metadata = {name: text for name, text in (wish.metadata or {}).items() if name != VERBATIM}
    return replace(
        wish,
        instructions=UNSET,
        prompt=UNSET,
        tools=UNSET,
        tool_choice=UNSET,
        metadata=metadata or UNSET,
    )


def _check(item: Item | ItemReference, param: str) -> None:
    is_said = isinstance(item, Message) and item.role != "system"
    if not (is_said or isinstance(item, ItemReference)):
        raise invalid(
            param,
            "an assistant of the house answers here: it is for the house to say what it is told, and what its "
            "tools have said. Send messages of the user.",
        )
