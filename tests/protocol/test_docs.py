"""The page about events knows every event, and every field of it."""

import re
from pathlib import Path

import pytest
from msgspec import inspect

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_client, error_event
from vivavoce.protocol.settings import DEFAULT, merge

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
ROWS = {row[1]: row[2] for row in re.finditer(r"^\| `([\w.]+)` \| ([^|]*) \|", PAGE, re.MULTILINE)}
KINDS: list[type[e.Event]] = [
    *e.kinds(e.ClientEvent),
    *e.kinds(e.ServerEvent),
    *e.kinds(e.OwnEvent),
    e.DtmfEventReceived,
]
EVENTS = {str(kind.__struct_config__.tag): kind for kind in KINDS}


@pytest.mark.parametrize("tag", sorted(EVENTS))
def test_an_event_and_its_fields_are_on_the_page(tag: str) -> None:
    assert tag in ROWS, f"docs/reference/events.md does not mention {tag}"
    shape = inspect.type_info(EVENTS[tag])
    assert isinstance(shape, inspect.StructType)
    told = dict(re.findall(r"`(\w+)`(\??)", ROWS[tag]))
    assert set(told) == {field.name for field in shape.fields} - {"event_id"}
    for field in shape.fields:
        if field.required:
            assert not told[field.name]


def test_the_page_knows_no_event_that_there_is_not() -> None:
    assert {tag for tag in ROWS if "." in tag} <= set(EVENTS)


def test_the_error_on_the_page_is_the_one_that_is_sent() -> None:
    update = decode_client(
        '{"type":"session.update","session":{"type":"realtime","audio":{"output":{"speed":9}}},"event_id":"my_event_7"}'
    )
    assert isinstance(update, e.SessionUpdate)
    with pytest.raises(ProtocolError) as caught:
        merge(DEFAULT, update.session)
    error = error_event(caught.value, "my_event_7").error
    for said in (error.type, error.code, error.param, error.message, error.event_id):
        assert f'"{said}"' in PAGE
