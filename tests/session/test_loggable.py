"""What is logged of events."""

import json
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.shapes import made
from vivavoce.protocol import events as e
from vivavoce.session.loggable import loggable, loggable_json


@pytest.mark.parametrize("kind", [*e.kinds(e.ServerEvent), *e.kinds(e.ClientEvent)])
@given(data=st.data())
def test_the_short_way_to_json_says_the_same(kind: type[e.Event], data: st.DataObject) -> None:
    event = cast("e.Event", data.draw(made(kind)))
    assert json.loads(loggable_json(event)) == json.loads(msgspec.json.encode(loggable(event)))


def test_long_strings_are_cut() -> None:
    words = e.ResponseOutputAudioTranscriptDone(
        response_id="resp_1", item_id="item_1", output_index=0, content_index=0, transcript="word " * 1000
    )
    assert len(loggable_json(words)) < 2300
