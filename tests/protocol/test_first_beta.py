"""The beta of 2024: the same, but for what came later."""

from vivavoce.protocol import events as e
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.dialects import FIRST_BETA


def test_what_came_later_is_not_said() -> None:
    later = e.TranscriptionDelta(item_id="i", content_index=0, delta="Hello")
    assert beta.encode(later)
    assert FIRST_BETA.encode(later) is None


def test_all_else_is_said_and_read_as_in_the_beta() -> None:
    known = e.ResponseOutputTextDelta(
        response_id="r", item_id="i", output_index=0, content_index=0, delta="Hello"
    )
    assert FIRST_BETA.encode(known) == beta.encode(known)
    assert FIRST_BETA.decode_client is beta.decode_client
