"""How a language model speaks instead of writing: what it is told, what it is shown, what it may utter.

Being told is enough for a large model. A small one learns from example turns, and is held to speech by a
grammar.
"""

import re
import unicodedata

from vivavoce.providers.dialogue import Turn

__all__ = [
    "EXAMPLES",
    "FEW",
    "MANY",
    "SPOKEN_OFFLINE",
    "is_latin",
    "sentences",
    "speakable",
]

SPOKEN_OFFLINE = (
    "You are a friendly voice assistant on the phone, a computer program. You hear the caller well. Answer "
    "what was asked, directly, in one or two short spoken sentences of plain words, unless you are asked for "
    "more. You run offline: you have no clock, no internet and no eyes, so you can't know the time, date, "
    "weather, news or prices. If you are not sure, say that you don't know."
)
"""For a small model: the same, and what it cannot know."""

EXAMPLES = (
    Turn("user", "Hi there!"),
    Turn("assistant", "Hello! I'm listening. What can I do for you?"),
    Turn("user", "What's a glacier?"),
    Turn("assistant", "It's a huge mass of ice that slowly flows over land, a bit like a frozen river."),
    Turn("user", "I had a rough day."),
    Turn("assistant", "I'm sorry to hear that. Do you want to talk about what happened?"),
    Turn("user", "I love gardening."),
    Turn("assistant", "That sounds lovely! What do you like to grow?"),
    Turn("user", "What's the weather like today?"),
    Turn("assistant", "I can't look up the weather from here, sorry. A quick look outside may help."),
    Turn("user", "Tell me a story."),
    Turn(
        "assistant",
        "Once there was a small fox who wanted to touch the moon. Every night she climbed a little higher, "
        "until one evening she saw it shining in a lake. She touched the water, smiled, and went home happy.",
    ),
    Turn("user", "Make me laugh."),
    Turn("assistant", "Why did the bicycle fall over? Because it was two tired!"),
    Turn("user", "When do I see the dentist?\n(From appointments: date: 3 May, time: 9:30. Tell the caller.)"),
    Turn("assistant", "Your appointment is on the third of May at nine thirty."),
    Turn("user", "What's your name?"),
    Turn("assistant", "You can call me Viva."),
    Turn("user", "What time is it now?"),
    Turn("assistant", "I can't see a clock from here, sorry."),
)
"""Turns that never happened, from which a small model takes its tone."""

FEW, MANY = 3, 16
"""Sentences of an answer, and of one for which length was asked."""

_LONG = re.compile(
    r"\b(stor(y|ies)|tale|poem|song|essay|speech|long(er)?|at length|in (more )?detail|detailed|everything|"
    r"step by step|more about|go on|keep going|continue|recite|count (from|to|up|down)|list (all|every))\b",
    re.IGNORECASE,
)
_SHORT = re.compile(r"\b(short|brief(ly)?|concise(ly)?|few words|one sentence)\b", re.IGNORECASE)


def sentences(instructions: str, asked: str) -> int:
    """Say how many sentences an answer may have: three, or a dozen and more where length is asked for."""
    wanted = _LONG.search(asked) or (_LONG.search(instructions) and not _SHORT.search(instructions))
    return MANY if wanted and not _SHORT.search(asked) else FEW


def is_latin(text: str) -> bool:
    """Say whether all letters of a text are Latin ones."""
    return all(unicodedata.name(c, "").startswith("LATIN") for c in text if c.isalpha() and c not in "ªºµ")


def speakable(most: int, *, latin: bool = True) -> str:
    """Return a GBNF grammar of at most so many sentences that can be said aloud: words and punctuation only.

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
