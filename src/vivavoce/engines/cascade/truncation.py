"""Truncation of the history to the context of the chat model. No I/O.

Token counts are high estimates: only the model itself can count them.
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
from vivavoce.providers.dialogue import KEPT, content_text, estimate_tokens, first_kept

Truncation = Literal["auto", "disabled"] | RetentionRatio

_IMAGE_TOKENS = 1000


def token_budget(max_tokens: int, truncation: Truncation) -> int:
    """Return the token budget of the history for a model with a budget of `max_tokens`."""
    limits = truncation.token_limits if isinstance(truncation, RetentionRatio) else UNSET
    limit = limits.post_instructions if limits else UNSET
    return max_tokens if limit is UNSET else min(max_tokens, limit)


def truncate_history(
    items: Sequence[Item], truncation: Truncation, *, max_tokens: int, max_items: int
) -> Sequence[Item]:
    """Drop the oldest items if there are more than `max_items` items, or more than `max_tokens` tokens.

    The rest begins with a user's turn. The last user's turn, and all after it, are always kept. Raises
    `ProtocolError` instead of dropping items if truncation is disabled.
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
    ratio = truncation.retention_ratio if isinstance(truncation, RetentionRatio) else KEPT
    begin = max(first_kept(costs, budget, ratio), first_kept([1] * len(items), max_items, ratio))
    return _without_orphans(items, _next_user_turn(items, begin))


def estimate_item(item: Item) -> int:
    """Estimate the number of tokens of an item."""
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


def _next_user_turn(items: Sequence[Item], begin: int) -> int:
    """Return the index of the next user's turn from `begin` on, or else of the last one."""
    turns = [at for at, item in enumerate(items) if isinstance(item, Message) and item.role == "user"]
    return next((at for at in turns if at >= begin), turns[-1] if turns else len(items) - 1)


def _without_orphans(items: Sequence[Item], begin: int) -> Sequence[Item]:
    """Drop the items before `begin`, and the outputs of calls that were dropped."""
    gone = {item.call_id for item in items[:begin] if isinstance(item, FunctionCall)}
    return [
        item for item in items[begin:] if not (isinstance(item, FunctionCallOutput) and item.call_id in gone)
    ]
