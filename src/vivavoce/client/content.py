"""What a user says in one message: words, sound, images."""

from collections.abc import Mapping, Sequence

import msgspec

from vivavoce.errors import ProtocolError
from vivavoce.protocol.events import new_id
from vivavoce.protocol.items import ContentPart, InputAudio, InputImage, InputText, Message
from vivavoce.protocol.validation import invalid

__all__ = ["Content", "Part", "image", "user_message"]

Part = str | bytes | bytearray | InputText | InputAudio | InputImage | Mapping[str, object]
"""Words, sound in the session's format, a part of the protocol's, or one as JSON has it."""
Content = Part | Sequence[Part]

_KINDS = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


def image(data: bytes) -> InputImage:
    """Return an image (PNG, JPEG, GIF or WebP) as a part of a message. Raises `ProtocolError` for others."""
    kind = next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), None)
    if kind is None:
        raise invalid("image", "expected the bytes of a PNG, JPEG, GIF or WebP image.")
    encoded = msgspec.json.encode(data).decode().strip('"')
    return InputImage(image_url=f"data:{kind};base64,{encoded}")


def user_message(content: Content) -> Message | None:
    """Return a message of the user's, with an id; None if there is nothing in it.

    Raises `ProtocolError` for what a user cannot say.
    """
    parts = content if isinstance(content, Sequence) and not isinstance(content, _ONE) else [content]
    read = tuple(_read(part, index) for index, part in enumerate(parts) if part)
    return Message(id=new_id("item"), role="user", content=read) if read else None


_ONE = str | bytes | bytearray


def _read(part: object, index: int) -> ContentPart:
    match part:
        case str():
            return InputText(text=part)
        case bytes() | bytearray():
            return InputAudio(audio=bytes(part))
        case InputText() | InputAudio() | InputImage():
            return part
        case Mapping():
            try:
                return msgspec.convert(dict(part), InputText | InputAudio | InputImage)
            except msgspec.ValidationError as error:
                raise invalid(f"item.content[{index}]", f"{error}.") from error
        case _:
            raise ProtocolError(
                f"A user's message holds words, bytes of sound, and images, not a {type(part).__name__}.",
                code="invalid_value",
                param=f"item.content[{index}]",
            )
