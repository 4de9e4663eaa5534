"""Images that a client shows: whether the chat model sees any, and which can be passed on to it."""

import binascii
import re

from vivavoce.engines.cascade.context import Providers
from vivavoce.limits import Limits
from vivavoce.protocol.items import InputImage, Item, Message
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import SupportsImages

__all__ = ["check_images", "has_images"]

_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)


def has_images(item: Item) -> bool:
    """Say whether an item shows any."""
    return isinstance(item, Message) and any(isinstance(part, InputImage) for part in item.content)


def check_images(item: Item, crew: Providers, limits: Limits, at: str) -> None:
    """Raise `ProtocolError` for the first image that cannot be shown to the chat model.

    Images on the web are passed on by their address: it is the model's endpoint that fetches them, not we.
    """
    for index, part in enumerate(item.content if isinstance(item, Message) else ()):
        if not isinstance(part, InputImage):
            continue
        where = f"{at}.content[{index}]"
        if not (isinstance(crew.chat, SupportsImages) and crew.chat.supports_images):
            raise invalid(where, f"{crew.chat_is} sees no images.")
        _check_url(part.image_url, f"{where}.image_url", limits.image_bytes)


def _check_url(url: str, param: str, most: int) -> None:
    data = _DATA.match(url)
    size = (len(url) - data.end()) * 3 // 4 if data else len(url)
    if size > most:
        raise invalid(param, f"the image has {size} bytes; there may be {most} (limits.image_bytes).")
    if data is None and not url.startswith(("https://", "http://")):
        raise invalid(
            param, "expected a data URL of a PNG, JPEG, GIF or WebP in base64, or an address on the web."
        )
    if data and not _is_base64(url[data.end() :]):
        raise invalid(param, "what follows 'base64,' is no base64 (standard alphabet, padded).")


def _is_base64(text: str) -> bool:
    try:
        return bool(binascii.a2b_base64(text, strict_mode=True))
    except (binascii.Error, ValueError):
        return False
