"""What a conversation cost, to the last digit; what is not known is not free."""

import tomllib
from datetime import date
from decimal import Decimal
from importlib.resources import files

import pytest

from engines.simulations import done
from vivavoce.protocol.events import DurationUsage, TokensUsage
from vivavoce.protocol.responses import CachedTokens, InputTokens, TokenDetails, Usage
from vivavoce.store.prices import AnyUsage, Cost, SpeechUsage, cost
from vivavoce.testing.simulation import CallerSays, Simulation

TODAY = date(2026, 11, 30)
SPOKEN = Usage(
    total_tokens=1500,
    input_tokens=1000,
    output_tokens=500,
    input_token_details=InputTokens(
        text_tokens=400,
        audio_tokens=600,
        cached_tokens=500,
        cached_tokens_details=CachedTokens(text_tokens=300, audio_tokens=200),
    ),
    output_token_details=TokenDetails(text_tokens=100, audio_tokens=400),
)


def tokens(text: int = 0, output: int = 0, **told: int) -> Usage:
    """The usage of a chat model, which does not always tell of which kind its tokens are."""
    return Usage(
        total_tokens=text + output,
        input_tokens=text,
        output_tokens=output,
        input_token_details=InputTokens(**told),
        output_token_details=TokenDetails(),
    )


def test_a_spoken_response_costs_its_tokens_by_kind_and_cached_ones_less() -> None:
    # in: text 100 x 4, cached 300 x 0.4; audio 400 x 32, cached 200 x 0.4; out: text 100 x 16, audio 400 x 64
    expected = Decimal(100 * 4 + 120 + 400 * 32 + 80 + 100 * 16 + 400 * 64) / 10**6
    assert (
        cost(SPOKEN, "openai", "gpt-realtime", TODAY) == Cost(expected, "USD") == Cost(Decimal("0.0406"), "USD")
    )


@pytest.mark.parametrize(
    ("usage", "model", "dollars"),
    [
        (DurationUsage(seconds=90), "whisper-1", "0.009"),
        (SpeechUsage(characters=200, seconds=12), "tts-1", "0.003"),
        (SpeechUsage(characters=200, seconds=12), "gpt-4o-mini-tts", "0.003"),
        (DurationUsage(seconds=10), "gpt-4o-transcribe", "0.001"),
        (tokens(1000, 200), "gpt-4o-mini", "0.00027"),
        (tokens(1000, 200, text_tokens=1000, cached_tokens=400), "gpt-4o-mini", "0.00024"),
        (
            TokensUsage(
                input_tokens=110,
                output_tokens=20,
                total_tokens=130,
                input_token_details=TokenDetails(text_tokens=10, audio_tokens=100),
            ),
            "gpt-4o-transcribe",
            "0.000825",
        ),
    ],
)
def test_other_models_are_paid_by_the_minute_the_character_or_the_token(
    usage: AnyUsage, model: str, dollars: str
) -> None:
    assert cost(usage, "openai", model, TODAY) == Cost(Decimal(dollars), "USD")


@pytest.mark.anyio
async def test_the_sound_of_a_cascade_is_not_the_chat_models() -> None:
    timeline = await Simulation(["Paris, of course."]).run(CallerSays(0.5, "What is the capital?"), until=6)
    usage = done(timeline).response.usage
    assert usage
    assert usage.output_token_details.audio_tokens
    expected = Decimal("0.15") * usage.input_tokens + Decimal("0.6") * usage.output_token_details.text_tokens
    assert cost(usage, "openai", "gpt-4o-mini", TODAY) == Cost(expected / 10**6, "USD")


def test_local_models_cost_nothing() -> None:
    assert cost(SPOKEN, "qwen", "Qwen3", TODAY) == Cost(Decimal(0), "USD")


def test_a_snapshot_has_the_price_of_its_model() -> None:
    assert cost(SPOKEN, "openai", "gpt-realtime-2025-08-28", TODAY) == cost(
        SPOKEN, "openai", "gpt-realtime", TODAY
    )


@pytest.mark.parametrize(
    ("usage", "provider", "model", "at"),
    [
        (SPOKEN, "openai", "gpt-realtime-99", TODAY),
        (SPOKEN, "azure", "gpt-realtime", TODAY),
        (SPOKEN, "openai", "gpt-realtime", date(2025, 8, 27)),
        (SPOKEN, "openai", "gpt-4o-mini", TODAY),
        (DurationUsage(seconds=1), "openai", "gpt-4o-mini-transcribe", TODAY),
        (SpeechUsage(characters=1, seconds=1), "openai", "gpt-realtime", TODAY),
    ],
)
def test_a_price_that_is_not_known_is_unknown_and_not_nothing(
    usage: AnyUsage, provider: str, model: str, at: date
) -> None:
    assert cost(usage, provider, model, at) is None


def test_every_price_says_whence_and_when_it_was_taken() -> None:
    table = tomllib.loads((files("vivavoce.store") / "prices.toml").read_text(encoding="utf-8"))
    units = {f"{kind}_{way}" for kind in ("text", "audio", "image") for way in ("in", "cached", "out")}
    for price in table["price"]:
        assert price["source"]
        assert price["read"] >= price["from"]
        assert set(price) - {"provider", "models", "from", "source", "read", "speaks"} <= units | {
            "minute",
            "characters",
        }
