"""What the usage of a model cost, by the dated prices in `prices.toml`. Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from vivavoce.protocol.events import DurationUsage, TokensUsage
from vivavoce.protocol.responses import Usage

_SNAPSHOT = re.compile(r"-\d{4}-\d\d-\d\d$")
_UNITS = {"minute": 60, "characters": 10**6}
_TOKENS = 10**6


@dataclass(frozen=True)
class Cost:
    """An amount of money, exact; `currency` is an ISO 4217 code."""

    amount: Decimal
    currency: str


@dataclass(frozen=True)
class SpeechUsage:
    """The usage of a synthesizer, which is paid by the character or by the minute."""

    characters: int
    seconds: float


AnyUsage = Usage | DurationUsage | TokensUsage | SpeechUsage
"""`Usage` is that of `response.done`; those for durations and tokens come with a transcript."""


def cost(usage: AnyUsage, provider: str, model: str, at: date) -> Cost | None:
    """Return what the usage of a provider's model on the day `at` cost.

    A cascade's response is the chat model's usage; its sound is to be paid as `SpeechUsage` of the synthesizer.
    None means unknown: the table has not this model, no price on that day, or none for a part of the usage.
    """
    table = _table()
    if provider in table["free"]:
        return Cost(Decimal(0), table["currency"])
    price = _price(provider, model, at)
    if price is None:
        return None
    amount = Decimal(0)
    for unit, quantity in _quantities(usage, price):
        if quantity > 0 and unit not in price:
            return None
        amount += Decimal(str(max(0, quantity))) * price.get(unit, 0) / _UNITS.get(unit, _TOKENS)
    return Cost(amount, table["currency"])


def _price(provider: str, model: str, at: date) -> Mapping[str, Any] | None:
    names = model, _SNAPSHOT.sub("", model)
    for name in names:
        valid = [
            price
            for price in _table()["price"]
            if price["provider"] == provider and name in price["models"] and price["from"] <= at
        ]
        if valid:
            found: Mapping[str, Any] = max(valid, key=lambda price: price["from"])
            return found
    return None


def _quantities(usage: AnyUsage, price: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what is paid for, by the name of its price. Tokens of which no kind is told are text."""
    match usage:
        case DurationUsage(seconds=seconds):
            yield "minute", seconds
        case SpeechUsage(characters=characters, seconds=seconds):
            yield ("characters", characters) if "characters" in price else ("minute", seconds)
        case TokensUsage(input_token_details=told):
            yield "audio_in", told.audio_tokens
            yield "text_in", usage.input_tokens - told.audio_tokens
            yield "text_out", usage.output_tokens
        case Usage(input_token_details=told, output_token_details=output):
            cached = told.cached_tokens_details
            cached_text = told.cached_tokens - cached.audio_tokens - cached.image_tokens
            yield "text_cached", cached_text
            yield "audio_cached", cached.audio_tokens
            yield "image_cached", cached.image_tokens
            yield "audio_in", told.audio_tokens - cached.audio_tokens
            yield "image_in", told.image_tokens - cached.image_tokens
            yield "text_in", usage.input_tokens - told.audio_tokens - told.image_tokens - cached_text
            yield "audio_out", output.audio_tokens if price.get("speaks", True) else 0
            yield "text_out", usage.output_tokens - output.audio_tokens


@cache
def _table() -> dict[str, Any]:
    text = (files("vivavoce.store") / "prices.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)
