"""How much of the history a chat model is given: all of it, while that fits. Pure.

Tokens are estimated, rather too high: only the model itself can count them.
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

Truncation = Literal["auto", "disabled"] | RetentionRatio

_AUTO = 0.5
"""What is kept under `auto`. The rest goes at once: then what the model has read stays good for a while."""
_IMAGE_TOKENS = 1000


def token_budget(max_tokens: int, truncation: Truncation) -> int:
    """Return how many tokens the history may have in a model that takes `max_tokens`."""
    limits = truncation.token_limits if isinstance(truncation, RetentionRatio) else UNSET
    limit = limits.post_instructions if limits else UNSET
    return max_tokens if limit is UNSET else min(max_tokens, limit)


def truncate_history(
    items: Sequence[Item], truncation: Truncation, *, max_tokens: int, max_items: int
) -> Sequence[Item]:
    """Leave out the oldest items where there are more than `max_items`, or more tokens than `max_tokens`.

    What is left begins with a user's turn. The last of these, and whatever came after, always stay. Raises
    `ProtocolError` instead of leaving anything out where truncation is disabled.
    """
    costs, budget = [estimate_item(item) for item in items], token_budget(max_tokens, truncation)
    if sum(costs) <= budget and len(items) <= max_items:
        return items
    if truncation == "disabled":
        raise ProtocolError(
            f"The conversation has {len(items)} items, some {sum(costs)} tokens. "
            f"{max_items} items (limits.items) and {budget} tokens can be read, "
            "and session.truncation is 'disabled': delete some.",
            code="context_length_exceeded",
            param="session.truncation",
        )
    ratio = truncation.retention_ratio if isinstance(truncation, RetentionRatio) else _AUTO
    begin = max(_first_index(costs, budget, ratio), _first_index([1] * len(items), max_items, ratio))
    return _without_orphans(items, _next_user_turn(items, begin))


def estimate_item(item: Item) -> int:
    """Estimate how many tokens a model reads for an item."""
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


def _first_index(costs: Sequence[int], budget: int, ratio: float) -> int:
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


def _next_user_turn(items: Sequence[Item], begin: int) -> int:
    """Return where a user speaks next, or spoke last: what is left begins with a turn of theirs."""
    turns = [at for at, item in enumerate(items) if isinstance(item, Message) and item.role == "user"]
    return next((at for at in turns if at >= begin), turns[-1] if turns else len(items) - 1)


def _without_orphans(items: Sequence[Item], begin: int) -> Sequence[Item]:
    """Leave out what came before, and the outputs of calls that were left out."""
    gone = {item.call_id for item in items[:begin] if isinstance(item, FunctionCall)}
    return [
        item for item in items[begin:] if not (isinstance(item, FunctionCallOutput) and item.call_id in gone)
    ]
