"""Deterministic providers without models, for tests of clients and load tests; rules in `english.toml`."""

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

__all__ = ["PATTERNS", "WORDS"]

WORDS: dict[str, Any] = tomllib.loads(
    (files("vivavoce.providers.scripted") / "english.toml").read_text(encoding="utf-8")
)
PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile("".join(pattern)) for name, pattern in WORDS["patterns"].items()
}
