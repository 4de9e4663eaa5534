"""What is spoken is speech: no markup, no emoji, and numbers, dates, money and addresses as people read them.

Pure, and used in front of every synthesizer. English is read as Americans do; of other languages only the
markup is taken away. Rules are applied from top to bottom: each sees what those before it left.
"""

import unicodedata

from vivavoce.text.en.normalization import ADDRESSES, ENGLISH, plain_digits, rules

__all__ = ["speakable"]


def speakable(text: str, *, language: str = "en") -> str:
    """Return `text` in the words that are to be heard; nothing if it has none.

    What is speakable already stays as it is.
    """
    if language.lower().startswith("en"):
        text = "".join(plain_digits(char) for char in text)
        steps = (*LINKS, *ADDRESSES, *MARKUP, *ENGLISH)
    else:
        steps = (*LINKS, *MARKUP)
    for pattern, words in steps:
        text = pattern.sub(words, text)
    text = "".join(" " if unicodedata.category(char) in UNSAID else char for char in text)
    for pattern, words in TIDY:
        text = pattern.sub(words, text)
    return text.strip() if any(char.isalnum() for char in text) else ""


UNSAID = {"So", "Sk", "Cn", "Co", "Cs", "Me"}
"""Unicode's categories of emoji and of what nobody can say"""

LINKS = rules(
    (r"[ \t]+", " "),
    (r"(?m)^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$", ""),
    (r"!?\[([^\[\]\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?: \"[^\"\n]*\")?\)", r"\1"),
)
MARKUP = rules(
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
TIDY = rules(
    (r"[ \t]+(?:[\u200d\ufe0e\ufe0f]+[ \t]*)*|[\ufe0e\ufe0f]", " "),
    (r"[ \t]*[\n\r]\s*", "\n"),
    (r"(?<=[\w)'\"”’%])\n", ". "),
    (r"\s+", " "),
    (r" +(?=[,.;:!?])", ""),
    (r"^ ?(?:[-+•=]+(?: |$))+", ""),
)
