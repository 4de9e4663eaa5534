"""Draws the icons of the installed page from `icon.svg`, in Chromium: `.venv/bin/python scripts/make_icons.py`.

An icon that the system masks (any shape within the middle 80 %) and one for iOS (which rounds the corners
itself, and shows what is transparent in black) need paper behind the picture, and room around it.
"""

import re
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

STATIC = Path(__file__).parents[1] / "src/vivavoce/web/static"
PAPER = "#faf8f5"
ICONS = {
    "icon-192.png": (192, 1.0, "transparent"),
    "icon-512.png": (512, 1.0, "transparent"),
    "icon-maskable-512.png": (512, 0.7, PAPER),
    "icon-apple-180.png": (180, 0.8, PAPER),
}
"""by file: the size in pixels, the part of it that the picture fills, and what is behind it"""


def main() -> None:
    """Write all icons."""
    picture = (STATIC / "icon.svg").read_text(encoding="utf-8")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium).new_page()
        for name, (size, part, behind) in ICONS.items():
            width = round(size * part)
            sized = re.sub("<svg", f'<svg width="{width}" height="{width}"', picture, count=1)
            style = f"margin:0;height:100vh;display:grid;place-items:center;background:{behind}"
            page.set_viewport_size({"width": size, "height": size})
            page.set_content(f'<body style="{style}">{sized}</body>')
            page.screenshot(path=STATIC / name, omit_background=True)


if __name__ == "__main__":
    main()
