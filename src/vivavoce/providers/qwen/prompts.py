"""How a small language model is made to speak instead of write: by example turns, and by a grammar.

Being told is enough for a large model. `prompts.toml` beside this file has the words.
"""

import re
import tomllib
import unicodedata
from importlib.resources import files

from vivavoce.providers.dialogue import DialogueTurn

_TABLE = tomllib.loads((files("vivavoce.providers.qwen") / "prompts.toml").read_text(encoding="utf-8"))

STYLE: str = _TABLE["style"]
"""How it is told to speak, and what it cannot know."""
EXAMPLES = tuple(
    turn
    for asked, answer in _TABLE["examples"]
    for turn in (DialogueTurn("user", asked), DialogueTurn("assistant", answer))
)
FEW, MANY = 3, 16
"""Sentences of an answer, and of one for which length was asked."""

_LONG = re.compile(_TABLE["long"], re.IGNORECASE)
_SHORT = re.compile(_TABLE["short"], re.IGNORECASE)
FOR_THE_MODEL = re.compile("".join(_TABLE["for_the_model"]), re.IGNORECASE)
"""Found in tool results that are not addressed to the caller."""


def max_sentences(instructions: str, asked: str) -> int:
    """Return how many sentences an answer may have: more where length is asked for."""
    wanted = _LONG.search(asked) or (_LONG.search(instructions) and not _SHORT.search(instructions))
    return MANY if wanted and not _SHORT.search(asked) else FEW


def is_latin(text: str) -> bool:
    """Return whether all letters of a text are Latin ones."""
    return all(unicodedata.name(c, "").startswith("LATIN") for c in text if c.isalpha() and c not in "ªºµ")


def speech_grammar(most: int, *, latin: bool = True) -> str:
    """Return a GBNF grammar of at most so many sentences that can be spoken: words and punctuation only.

    A Latin text keeps to Latin letters, so that a small model does not slip into another script; otherwise
    every letter goes, and what cannot be spoken (markup, brackets, emoji) does not. Sentences end in 40 words.
    """
    if latin:
        return (
            f'root ::= s (" " s){{0,{most - 1}}}\n'
            's ::= start "\'"? word? (sep word){0,39} [.!?]\n'
            "start ::= [¿¡]? [A-ZÀ-ÖØ-ÞŒŠŽĄĆĘŁŃŚŹŻČĎĚŇŘŤŮĐĞİŐŰ]\n"
            "word ::= (letter | number)+\n"
            "letter ::= [a-zA-ZÀ-ÖØ-öø-ſ'’%$€£°-]\n"
            "number ::= [0-9]+ ([.,:] [0-9]+)?\n"
            'sep ::= [,;:]? " "\n'
        )
    return (
        f'root ::= s (" "? s){{0,{most - 1}}}\n'
        "s ::= c{1,240} [.!?。！？؟।]\n"
        r"c ::= [^\x00-\x1F.!?。！？؟।*#_`~|<>{}\[\]()\\/=+^@&\"\u2010-\u2E7F\uE000-\uF8FF"
        "\\U0001F000-\\U0001FFFF]\n"
    )
