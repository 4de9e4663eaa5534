"""Where a tool that is an address on the web may lead: nowhere but there."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivavoce.config.tools import HttpToolTable
from vivavoce.tools.http import fill_url
from vivavoce.tools.types import ToolError

URL = "https://shop.example.org/v1/orders/{order_id}/lines.{kind}?fresh=1&words={words}"
WRITTEN = {"name": "x", "description": "X.", "url": "https://shop.example.org"}

ANYTHING = st.text() | st.sampled_from(
    ["..", ".", "%2e%2e", "../..", "//evil.example", "?a=b", "#", "@evil", "\\", "a/b"]
)


@given(ANYTHING, ANYTHING, ANYTHING)
@example("..", "", "")
@example("1042@evil.example", "x", "a&b=c#d")
@example("%2F..%2F", "json", "%")
def test_no_argument_leads_elsewhere(order_id: str, kind: str, words: str) -> None:
    values = {"order_id": order_id, "kind": kind, "words": words}
    try:
        url, left = fill_url(URL, values)
    except ToolError:
        return
    written, asked = urlsplit(URL), httpx.URL(url)
    assert left == {}
    assert (asked.scheme, asked.host, asked.port, asked.userinfo, asked.fragment) == (
        "https", "shop.example.org", None, b"", "",
    )  # fmt: skip
    segments = asked.raw_path.decode().partition("?")[0].split("/")
    assert [unquote(one) for one in segments] == ["", "v1", "orders", order_id, f"lines.{kind}"]
    assert asked.path.count("/") == written.path.count("/")
    assert parse_qsl(asked.query.decode(), keep_blank_values=True) == [("fresh", "1"), ("words", words)]


@pytest.mark.parametrize("order_id", ["", " ", ".", "..", "a/b", "a\\b", "a\nb", "\x00", "/", "../1"])
def test_what_can_be_no_part_of_a_path_is_refused(order_id: str) -> None:
    with pytest.raises(ToolError, match="cannot be part of an address"):
        fill_url("https://shop.example.org/orders/{order_id}", {"order_id": order_id})


def test_what_a_model_leaves_out_is_left_out_of_the_query() -> None:
    url = "https://shop.example.org/find?words={words}&shop=main&limit={limit}"
    assert fill_url(url, {"words": "a b&c"}) == ("https://shop.example.org/find?words=a%20b%26c&shop=main", {})
    assert fill_url(url, {"words": "x", "limit": 3, "page": 2})[1] == {"page": 2}


# what the owner writes


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"url": "ftp://shop.example.org"}, "not an http or https address"),
        ({"url": "https://"}, "not an http or https address"),
        ({"url": "https://me:secret@shop.example.org"}, "write a key into headers"),
        ({"url": "https://{shop}.example.org"}, "nowhere else"),
        ({"url": "https://shop.example.org/?{x}=1"}, "not for names"),
        ({"url": "https://shop.example.org/{order_id}"}, "none of the parameters"),
        ({"url": "https://shop.example.org/{a.b}"}, "the name of an argument, and nothing else"),
        (
            {"url": "https://shop.example.org/{a}", "parameters": {"a": {"type": "string", "required": False}}},
            "so it is required",
        ),
        ({"confirm": "Cancel {order_id}?"}, "none of the parameters"),
        ({"headers": {"Authorization": "Bearer mellon"}}, "Authorization is a secret"),
        ({"headers": {"x-api-key": "mellon"}}, "x-api-key is a secret"),
        ({"headers": {"Host": "evil.example"}}, "Host is not a header that can be set"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "printable ASCII"),
        ({"name": "two words"}, "is not a name of 1 to 64 letters"),
        ({"seconds": 0}, "greater than 0"),
        ({"method": "TRACE"}, "GET"),
        ({"parameters": {"type": "object", "properties": []}}, "JSON Schema"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_the_owner_is_told_what_is_wrong(written: Mapping[str, object], sentence: str) -> None:
    HttpToolTable.model_validate(WRITTEN)
    with pytest.raises(ValueError, match=r".") as caught:
        HttpToolTable.model_validate({**WRITTEN, **written})
    assert sentence in str(caught.value)
