"""What axe says about a page."""

from pathlib import Path

from playwright.async_api import Page

_AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"


async def violations(page: Page) -> list[str]:
    """Return the rules that the page breaks, each with the elements that break it."""
    await page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run()")
    return [
        f"{rule['id']}: {' | '.join(node['html'] for node in rule['nodes'])}" for rule in found["violations"]
    ]
