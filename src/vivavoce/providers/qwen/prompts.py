"""How a small language model is made to speak instead of write: by example turns, and by a grammar.

Instructions alone are enough only for large models. `prompts.toml` beside this file has the texts.
"""

import re
import tomllib
import unicodedata
from importlib.resources import files

from vivavoce.providers.dialogue import DialogueTurn

_TABLE = tomllib.loads((files("vivavoce.providers.qwen") / "prompts.toml").read_text(encoding="utf-8"))

STYLE: str = _TABLE["style"]
"""The style prompt, and what the model cannot know."""
EXAMPLES = tuple(
    turn
    for asked, answer in _TABLE["examples"]
    for turn in (DialogueTurn("user", asked), DialogueTurn("assistant", answer))
)
FEW, MANY = 3, 16
"""Sentences of an answer, and of an answer for which length was requested."""

_LONG = re.compile(_TABLE["long"], re.IGNORECASE)
_SHORT = re.compile(_TABLE["short"], re.IGNORECASE)
FOR_THE_MODEL = re.compile("".join(_TABLE["for_the_model"]), re.IGNORECASE)
"""Patterns of tool results that are not meant to be read out."""


def max_sentences(instructions: str, asked: str) -> int:
    """Return how many sentences an answer may have: more if the user asks for length."""
    wanted = _LONG.search(asked) or (_LONG.search(instructions) and not _SHORT.search(instructions))
    return MANY if wanted and not _SHORT.search(asked) else FEW


def is_latin(text: str) -> bool:
    """Return whether all letters of a text are Latin."""
    return all(unicodedata.name(c, "").startswith("LATIN") for c in text if c.isalpha() and c not in "ªºµ")


def speech_grammar(most: int, *, latin: bool = True) -> str:
    """Return a GBNF grammar of at most this many speakable sentences: words and punctuation only.

    For a Latin text only Latin letters are allowed, so that a small model does not switch to another script;
    otherwise all letters, but no markup, brackets or emoji. Sentences have at most 40 words.
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
