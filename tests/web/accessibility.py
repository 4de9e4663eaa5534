"""What axe says about a page."""

import subprocess
from functools import cache
from pathlib import Path

from playwright.async_api import Page

from clients.environments import installing
from clients.javascript import has_node

_NODE = Path(__file__).parent / "node"


@cache
def _axe() -> str:
    """Return the source of axe, which npm fetches once."""
    has_node()
    script = _NODE / "node_modules/axe-core/axe.min.js"
    with installing("page"):
        if not script.exists():
            subprocess.run(["npm", "ci", "--no-progress"], cwd=_NODE, check=True, timeout=300)
    return script.read_text(encoding="utf-8")


async def violations(page: Page) -> list[str]:
    """Return the rules that the page breaks, each with the elements that break it."""
    await page.evaluate(_axe())
    found = await page.evaluate("axe.run()")
    return [
        f"{rule['id']}: {' | '.join(node['html'] for node in rule['nodes'])}" for rule in found["violations"]
    ]
