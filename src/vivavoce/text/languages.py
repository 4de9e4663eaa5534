"""Languages: their English names, for the prompts of chat models, and their word lists.

A language is a folder of this package, named by its ISO 639-1 code, which contains its word lists.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Letters, as a class of a pattern, of scripts that do not put blanks between words, and of Korean, whose words
end in particles."""


def language_name(code: str) -> str:
    """Return a language's English name, such as `Hindi`; for an unknown code a phrase with the code in it."""
    return _names().get(base_language(code), f"the language {code!r}")


def only_english(code: str | None) -> str:
    """Return the sentence by which a language's speakers are told that only English is understood, or ""."""
    return _only_english().get(base_language(code or ""), "")


def language_code(name: str) -> str:
    """Return the code of a language, for its English name or for the code itself: `de` for `German`."""
    return _codes().get(name.lower(), name)


def same_language(one: str, other: str) -> bool:
    """Return whether two codes mean the same language, ignoring the region: `pt` and `pt-BR`."""
    return base_language(one) == base_language(other)


def base_language(code: str) -> str:
    """Return a code without its region: `pt` for `pt-BR`."""
    return code.partition("-")[0].lower()


def language_table(code: str, file: str) -> dict[str, Any]:
    """Read a TOML file of one language's folder, such as `numbers.toml` of `en`."""
    return tomllib.loads((files("vivavoce.text") / code / file).read_text(encoding="utf-8"))


def word_lists(file: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Read a word list in all languages that have it, such as `yes_no.toml`; return it by language code."""
    folders = [folder for folder in files("vivavoce.text").iterdir() if (folder / file).is_file()]
    return {code: language_table(code, file) for code in sorted(folder.name for folder in folders)}


@cache
def _codes() -> Mapping[str, str]:
    return {name.lower(): code for code, name in _names().items()}


@cache
def _only_english() -> Mapping[str, str]:
    return tomllib.loads((files("vivavoce.text") / "only_english.toml").read_text(encoding="utf-8"))


@cache
def _names() -> Mapping[str, str]:
    return tomllib.loads((files("vivavoce.text") / "languages.toml").read_text(encoding="utf-8"))
