"""Languages: their names in English, which chat models know better than codes, and what is written for each.

A language is a folder of this package, named by its ISO 639-1 code, with its word lists in it.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

__all__ = ["base_language", "language_name", "same_language", "word_lists"]


def language_name(code: str) -> str:
    """Return a language's English name, such as `Hindi`; for an unknown code a phrase with the code in it."""
    return _names().get(base_language(code), f"the language {code!r}")


def same_language(one: str, other: str) -> bool:
    """Return whether two codes mean the same language, in whatever region: `pt` and `pt-BR`."""
    return base_language(one) == base_language(other)


def base_language(code: str) -> str:
    """Return a code without its region: `pt` for `pt-BR`."""
    return code.partition("-")[0].lower()


def word_lists(file: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Read a file of word lists in every language that has one: `yes_no.toml` by the language's code."""
    found = {folder.name: folder / file for folder in files("vivavoce.text").iterdir() if folder.is_dir()}
    return {
        code: tomllib.loads(path.read_text(encoding="utf-8"))
        for code, path in sorted(found.items())
        if path.is_file()
    }


@cache
def _names() -> Mapping[str, str]:
    return tomllib.loads((files("vivavoce.text") / "languages.toml").read_text(encoding="utf-8"))
