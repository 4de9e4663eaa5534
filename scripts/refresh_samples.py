"""Copies tested code into the documentation: each block that follows `<!-- sample: FILE -->` or `FILE:SECTION`.

A section of a file stands between `# [start:SECTION]` and `# [end:SECTION]`. Neither a code host nor the site
shows the comments, so a page can be read wherever it lies.
"""

import re
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "bench/README.md",
]
SAMPLE = re.compile(r"(<!-- sample: ([\w/.-]+)(?::(\w+))? -->\n+```\w+\n).*?(^```$)", re.DOTALL | re.MULTILINE)


def code(file: str, section: str | None) -> str:
    """Return the code of a file below the root, or of one of its sections."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if section:
        text = dedent(text.split(f"# [start:{section}]\n")[1].split(f"# [end:{section}]")[0])
    return text.strip("\n") + "\n"


def refreshed(page: str) -> str:
    """Return the text of a page with its samples as they are now."""
    return SAMPLE.sub(lambda found: found[1] + code(found[2], found[3]) + found[4], page)


def main() -> None:
    """Refresh every page that needs it, and say which."""
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        if old != (new := refreshed(old)):
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)} has its samples as they are now.\n")


if __name__ == "__main__":
    main()
