"""Which bytes a player asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from vivavoce.web.errors import HttpError
from vivavoce.web.ranges import byte_range

TAG = '"a"'


def asked(header: str, size: int = 100, **more: str) -> tuple[int, int] | None:
    return byte_range(Headers({"range": header, **more}), size, TAG)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes = 5-9", (5, 10)),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=x-y", None),
        ("samples=0-5", None),
        ("bytes=" + "9" * 100 + "-", None),
    ],
)
def test_a_part_is_read_as_the_rfc_has_it(header: str, part: tuple[int, int] | None) -> None:
    assert asked(header) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_part_in_which_there_is_nothing_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(HttpError) as refused:
        asked(header)
    assert refused.value.status == 416
    assert refused.value.headers["content-range"] == "bytes */100"


def test_a_part_of_something_else_is_no_part_of_this() -> None:
    assert asked("bytes=0-9", **{"if-range": TAG}) == (0, 10)
    assert asked("bytes=0-9", **{"if-range": '"b"'}) is None
    assert asked("bytes=0-9", **{"if-range": f"W/{TAG}"}) is None


@given(st.binary(min_size=1, max_size=20), st.integers(0, 30), st.integers(0, 30))
def test_a_part_has_the_bytes_that_were_asked_for(content: bytes, first: int, last: int) -> None:
    if first < len(content) and first <= last:
        start, end = asked(f"bytes={first}-{last}", len(content)) or (0, 0)
        assert content[start:end] == content[first : last + 1]
    if last:
        start, end = asked(f"bytes=-{last}", len(content)) or (0, 0)
        assert content[start:end] == content[-last:]
