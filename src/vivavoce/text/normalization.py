"""Text normalization for speech: no markup, no emoji, and numbers, dates, money and addresses as words.

Pure, and used in front of every synthesizer. English is put into words (`text/en`); of other languages only the
markup is removed. Rules are applied from top to bottom, each to what those before it left.
"""

import unicodedata

from vivavoce.text.en.normalization import address_rules, compile_rules, plain_digits, word_rules


def speakable(text: str, *, language: str = "en") -> str:
    """Return `text` in the words that are to be spoken; an empty text if it has none.

    A text that is speakable already stays as it is. `language` is an ISO 639-1 code.
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
"""Unicode categories of emoji and of other signs that have no words"""

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
