"""How much of a conversation the chat model is asked with: all of it, while that fits. Pure.

Tokens are guessed, rather too high: nobody but the model can count its own.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET

from vivavoce.errors import ProtocolError
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    Item,
    McpCall,
    McpListTools,
    Message,
)
from vivavoce.protocol.session import RetentionRatio
from vivavoce.providers.dialogue import content_text, estimate_tokens

__all__ = ["Truncation", "budget", "cost", "remembered"]

Truncation = Literal["auto", "disabled"] | RetentionRatio

_AUTO = 0.5
"""What is kept under `auto`. The rest goes at once: then what the model has read stays good for a while."""
_IMAGE_TOKENS = 1000


def budget(room: int, truncation: Truncation) -> int:
    """Return how many tokens a conversation may have in a model with so much room; a client may want fewer."""
    limits = truncation.token_limits if isinstance(truncation, RetentionRatio) else UNSET
    wished = limits.post_instructions if limits else UNSET
    return room if wished is UNSET else min(room, wished)


def remembered(items: Sequence[Item], truncation: Truncation, *, room: int, most: int) -> Sequence[Item]:
    """Leave out the oldest items where there are more than `most`, or more tokens than there is room.

    What is left begins with a user's turn. The last of these, and whatever came after, always stay. Raises
    `ProtocolError` instead of leaving anything out where truncation is disabled.
    """
    costs, affordable = [cost(item) for item in items], budget(room, truncation)
    if sum(costs) <= affordable and len(items) <= most:
        return items
    if truncation == "disabled":
        raise ProtocolError(
            f"The conversation has {len(items)} items, some {sum(costs)} tokens. {most} items (limits.items) "
            f"and {affordable} tokens can be read, and session.truncation is 'disabled': delete some.",
            code="context_length_exceeded",
            param="session.truncation",
        )
    ratio = truncation.retention_ratio if isinstance(truncation, RetentionRatio) else _AUTO
    begin = max(_beginning(costs, affordable, ratio), _beginning([1] * len(items), most, ratio))
    return _without_orphans(items, _next_said(items, begin))


def cost(item: Item) -> int:
    """Guess how many tokens a model reads for an item."""
    match item:
        case Message(content=content):
            images = sum(isinstance(part, InputImage) for part in content)
            return estimate_tokens(content_text(content)) + images * _IMAGE_TOKENS
        case FunctionCall(name=name, arguments=arguments):
            return estimate_tokens(name + arguments)
        case FunctionCallOutput(output=output):
            return estimate_tokens(output)
        case McpCall(name=name, arguments=arguments, output=output):
            return estimate_tokens(name + arguments + (output or ""))
        case McpListTools():
            return 0  # its tools are counted as tools
        case _:
            return estimate_tokens("")


def _beginning(costs: Sequence[int], budget: int, ratio: float) -> int:
    """Return with which item to begin. Surplus goes in steps, so that many turns begin at the same item."""
    surplus = sum(costs) - budget
    if surplus <= 0:
        return 0
    step = max(1, round(budget * (1 - ratio)))
    leave_out = -(-surplus // step) * step
    for begin, one in enumerate(costs):
        if leave_out <= 0:
            return begin
        leave_out -= one
    return len(costs)


def _next_said(items: Sequence[Item], begin: int) -> int:
    """Return where a user speaks next, or spoke last: what is left begins with a turn of theirs."""
    said = [at for at, item in enumerate(items) if isinstance(item, Message) and item.role == "user"]
    return next((at for at in said if at >= begin), said[-1] if said else len(items) - 1)


def _without_orphans(items: Sequence[Item], begin: int) -> Sequence[Item]:
    """Leave out what came before, and the outputs of calls that were left out."""
    gone = {item.call_id for item in items[:begin] if isinstance(item, FunctionCall)}
    return [
        item for item in items[begin:] if not (isinstance(item, FunctionCallOutput) and item.call_id in gone)
    ]
