"""Cards as sanitized HTML: text, lists, tables and links, but no scripts, styles, images or forms."""

from functools import cache

import anyio.to_thread
import nh3
from markdown_it import MarkdownIt

from vivavoce.tools.types import Card

_QUICK = 2000
"""characters that are sanitized on the event loop: they take some milliseconds at worst"""
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "div", "span", "blockquote", "pre", "code", "kbd"),
    *("b", "strong", "i", "em", "u", "s", "del", "ins", "mark", "small", "sub", "sup", "abbr", "time", "a"),
    *("ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
_WITHOUT_CONTENT = {
    *("script", "style", "title", "template", "textarea", "iframe", "noscript", "svg", "math"),
}
_ATTRIBUTES = {
    "*": {"dir", "lang"},
    "a": {"href", "title"},
    "abbr": {"title"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
    "time": {"datetime"},
}
"""No classes, ids or styles, which would affect the page; no images, whose server could track the user."""

_SANITISER = nh3.Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    clean_content_tags=_WITHOUT_CONTENT,
    url_schemes={"http", "https", "mailto", "tel"},
    url_relative="deny",
    link_rel="noopener noreferrer",
    set_tag_attribute_values={"a": {"target": "_blank"}},  # a click must not end the call
)


async def as_html(card: Card, most: int) -> str | None:
    """Return a card as sanitized HTML; None if the card or the HTML has more than `most` characters.

    A long card is sanitized in a thread: 20 000 characters of malicious HTML can take a second.
    """
    size = len(card.title) + len(card.markdown) + len(card.html)
    if size > most:
        return None
    html = _html(card) if size <= _QUICK else await anyio.to_thread.run_sync(_html, card)
    return html if len(html) <= most else None


def _html(card: Card) -> str:
    return _SANITISER.clean(_from_markdown(card.markdown) + card.html)


def _from_markdown(markdown: str) -> str:
    """Return the HTML of CommonMark with tables. Columns are aligned by `align`, since styles are removed."""
    reader = _reader()
    tokens = reader.parse(markdown)
    for token in tokens:
        style = token.attrs.pop("style", None)
        if isinstance(style, str):
            token.attrSet("align", style.removeprefix("text-align:"))
    return str(reader.renderer.render(tokens, reader.options, {}))


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
