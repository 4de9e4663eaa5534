"""Text normalization for speech: removes markup and emoji, and spells out numbers, dates, money and addresses.

No I/O; used before every synthesizer. Only English is spelled out (`text/en`); for other languages only markup
is removed. Rules are applied from top to bottom, each to the result of those before it.
"""

import unicodedata

from vivavoce.text.en.normalization import address_rules, compile_rules, plain_digits, word_rules


def speakable(text: str, *, language: str = "en") -> str:
    """Return `text` in the words to be spoken; an empty text if there are none.

    Text that is speakable already is unchanged. `language` is an ISO 639-1 code.
    """
    if language.lower().startswith("en"):
        text = "".join(plain_digits(char) for char in text)
        steps = (*LINKS, *address_rules(), *MARKUP, *word_rules())
    else:
        steps = (*LINKS, *MARKUP)
    for pattern, words in steps:
        text = pattern.sub(words, text)
    text = "".join(" " if unicodedata.category(char) in UNSPEAKABLE else char for char in text)
    for pattern, words in TIDY:
        text = pattern.sub(words, text)
    return text.strip() if any(char.isalnum() for char in text) else ""


UNSPEAKABLE = {"So", "Sk", "Cn", "Co", "Cs", "Me"}
"""Unicode categories of emoji and other symbols without words"""

LINKS = compile_rules(
    (r"[ \t]+", " "),
    (r"(?m)^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$", ""),
    (r"!?\[([^\[\]\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?: \"[^\"\n]*\")?\)", r"\1"),
)
MARKUP = compile_rules(
    (r"</?(?:a|b|i|u|s|p|br|em|strong|code|pre|ul|ol|li|span|div|sub|sup|h[1-6])(?:\s[^<>]*)?/?>", " "),
    (r"(?m)^[ \t]*(?:[-*_=][ \t]*){3,}$", ""),
    (r"(?m)^[ \t]*\|?[ \t:]*-{2,}[-|: \t]*$", ""),
    (r"(?m)^[ \t]*(?:(?:>|#{1,6}|[-*+•])(?:[ \t]+|$))+", ""),
    (r"(?<=\d) ?\* ?(?=\d)", " × "),
    (r"(?<=\w)_+(?=\w)", " "),
    (r"(?<!\w)#(?=\d)", "No. "),
    (r"[*_`#]|~{2,}", ""),
    (r"(?<=\s)<(?=\s)|(?<=\d)<(?=\d)", " ≺ "),
    (r"(?<=\s)>(?=\s)|(?<=\d)>(?=\d)", " ≻ "),
    (r"[\[\]{}<>|\\]", " "),
)
TIDY = compile_rules(
    (r"[ \t]+(?:[\u200d\ufe0e\ufe0f]+[ \t]*)*|[\ufe0e\ufe0f]", " "),
    (r"[ \t]*[\n\r]\s*", "\n"),
    (r"(?<=[\w)'\"”’%])\n", ". "),
    (r"\s+", " "),
    (r" +(?=[,.;:!?])", ""),
    (r"^ ?(?:[-+•=]+(?: |$))+", ""),
)
