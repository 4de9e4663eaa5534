"""The page's own files: small, kept by browsers, never old; and the page without its server."""

import json
import re
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from playwright.async_api import BrowserContext, CDPSession, Page, async_playwright, expect
from starlette.applications import Starlette
from starlette.routing import Route

from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from vivavoce.web.shell import STATIC, Shell
from web.asking import asking
from web.browser import CHROMIUM, PATIENCE
from web.connecting import Site

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

MOST_BYTES, MOST_REQUESTS = 80_000, 12
IMPORT = re.compile(r"""^\s*(?:import|export)\b[^"';]*["'](\./[^"']+|\.\./[^"']+)["']""", re.MULTILINE)


def modules(name: str = "app.js") -> set[str]:
    """Return the modules that a module needs before it runs, and those that they need."""
    found = {name}
    waiting = [name]
    while waiting:
        path = STATIC / waiting.pop()
        for other in IMPORT.findall(path.read_text(encoding="utf-8")):
            needed = (path.parent / other).resolve().relative_to(STATIC.resolve()).as_posix()
            if needed not in found:
                found.add(needed)
                waiting.append(needed)
    return found


def test_every_module_of_the_first_load_is_asked_for_at_once() -> None:
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    preloaded = re.findall(r'rel="modulepreload" href="static/([^"]+)"', index)
    assert len(preloaded) == len(set(preloaded))
    assert {"app.js", *preloaded} == modules()


def test_the_icons_are_as_large_as_the_manifest_says() -> None:
    manifest = json.loads((STATIC / "manifest.webmanifest").read_text(encoding="utf-8"))
    sizes = set()
    for icon in manifest["icons"]:
        file = STATIC.parent / icon["src"]
        if icon["type"] == "image/png":
            width, height = struct.unpack(">II", file.read_bytes()[16:24])
            assert icon["sizes"] == f"{width}x{height}"
            sizes.add((width, icon.get("purpose", "any")))
    assert {(192, "any"), (512, "any"), (512, "maskable")} <= sizes


# what is sent


async def test_a_file_is_kept_for_good_under_an_address_that_changes_with_it(site: Site) -> None:
    async with site() as url, asking(url) as client:
        index = await client.get("/")
        (script,) = re.findall(r'src="(static/[0-9a-f]{12}/app\.js)"', index.text)
        versioned = await client.get(f"/{script}")
        assert versioned.headers["cache-control"] == "public, max-age=31536000, immutable"
        for path in ("/static/app.js", "/static/0123456789ab/app.js"):
            found = await client.get(path)
            assert found.content == versioned.content
            assert found.headers["cache-control"] == "no-cache", "it may be another one tomorrow"
        assert index.headers["cache-control"] == "no-cache"
        for path in ("/static/", "/static/index.htm", "/static/0123456789ab/", "/static/..%2fapp.py"):
            assert (await client.get(path)).status_code == 404


async def test_a_file_that_changes_is_another_version(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    shell = Shell(tmp_path / "static")
    application = Starlette(
        routes=[
            Route("/", shell.index),
            Route("/worker.js", shell.worker),
            Route("/static/{path:path}", shell.file),
        ]
    )
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        before = [await client.get(path) for path in ("/", "/worker.js")]
        (script,) = re.findall(r'src="(static/[0-9a-f]{12}/app\.js)"', before[0].text)
        assert (await client.get(f"/{script}")).headers["cache-control"] != "no-cache"
        with (tmp_path / "static/style.css").open("a") as file:
            file.write("\n")
        after = [await client.get(path) for path in ("/", "/worker.js")]
        assert [one.text for one in before] != [one.text for one in after]
        assert before[0].headers["etag"] != after[0].headers["etag"]
        old = await client.get(f"/{script}")
        assert old.status_code == 200, "a page that was loaded before goes on"
        assert "immutable" not in old.headers.get("cache-control", "")


async def test_a_browser_that_has_a_file_is_not_sent_it_again(site: Site) -> None:
    async with site() as url, asking(url) as client:
        for path in ("/", "/worker.js", "/manifest.webmanifest", "/static/app.js", "/static/icon-192.png"):
            first = await client.get(path)
            again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
            assert "content-security-policy" in again.headers
            other = await client.get(path, headers={"if-none-match": '"another"'})
            assert other.content == first.content


async def test_text_is_compressed_and_sound_is_not(site: Site) -> None:
    async with site() as url, asking(url) as client:
        for path in ("/", "/static/app.js", "/static/style.css", "/worker.js", "/manifest.webmanifest"):
            async with client.stream("GET", path) as answer:
                assert answer.headers["content-encoding"] == "gzip", path
                raw = b"".join([chunk async for chunk in answer.aiter_raw()])
            plain = await client.get(path, headers={"accept-encoding": "identity"})
            assert "content-encoding" not in plain.headers
            assert len(raw) < 0.75 * len(plain.content)
            assert "Accept-Encoding" in plain.headers["vary"]
        secret = await client.post("/v1/realtime/client_secrets", json={})
        assert secret.headers["content-encoding"] == "gzip"
        assert secret.json()["session"]
        assert "content-encoding" not in (await client.get("/healthz")).headers, "it would not get smaller"
        wish = {"input": "Hello there. " * 20, "response_format": "wav"}
        spoken = await client.post("/v1/audio/speech", json=wish)
        assert spoken.headers["content-type"] == "audio/wav"
        assert "content-encoding" not in spoken.headers
        asked = {"messages": [{"role": "user", "content": "Count to fifty."}], "stream": True}
        streamed = await client.post("/v1/chat/completions", json=asked)
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in streamed.headers


async def test_every_page_and_file_tells_the_browser_to_be_strict(site: Site) -> None:
    async with site(keys="sesame") as url, asking(url) as client:
        paths = ["/", "/worker.js", "/manifest.webmanifest", "/v1/status", "/v1/models", "/nothing"]
        paths += [f"/static/{path.relative_to(STATIC).as_posix()}" for path in STATIC.rglob("*.*")]
        for path in paths:
            headers = (await client.get(path)).headers
            policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'", path
            for part in ("script-src", "worker-src", "manifest-src", "connect-src"):
                assert policy[part] == "'self'", (path, part)
            assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
            assert "microphone=(self)" in headers["permissions-policy"]
            assert "camera=()" in headers["permissions-policy"]
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"


# in a browser


@asynccontextmanager
async def browser_context() -> AsyncIterator[BrowserContext]:
    expect.set_options(timeout=1000 * PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield await browser.new_context()
        await browser.close()


@asynccontextmanager
async def a_server(port: int = 0) -> AsyncIterator[str]:
    runtime = Runtime(Config.model_validate(PRESETS["scripted"]))
    await runtime.open()
    async with serving(Web(runtime), listen("127.0.0.1", port)) as url:
        yield url
    await runtime.close()


async def controlled(page: Page) -> None:
    """Wait until the service worker has the page."""
    await page.evaluate(
        """async () => {
            const workers = navigator.serviceWorker;
            const changed = new Promise((done) => workers.addEventListener("controllerchange", done));
            if (!workers.controller) await changed;
            await workers.ready;
        }"""
    )


async def kept(page: Page) -> list[str]:
    """Return the addresses of everything that this browser keeps for the page."""
    found: list[str] = await page.evaluate(
        """async () => {
            const names = await caches.keys();
            const all = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
            return all.flat().map(({ url }) => new URL(url).pathname);
        }"""
    )
    return found


@pytest.mark.browser
async def test_the_first_load_is_small() -> None:
    async with a_server() as url, browser_context() as context:
        page = await context.new_page()
        cdp: CDPSession = await context.new_cdp_session(page)
        await cdp.send("Network.enable")
        requested: dict[str, str] = {}
        received: dict[str, int] = {}

        def on_request(event: dict[str, Any]) -> None:
            requested[event["requestId"]] = event["request"]["url"]

        def on_finished(event: dict[str, Any]) -> None:
            received[event["requestId"]] = event["encodedDataLength"]

        cdp.on("Network.requestWillBeSent", on_request)
        cdp.on("Network.loadingFinished", on_finished)
        await page.goto(url, wait_until="networkidle")
        sizes = {requested[each]: received.get(each, 0) for each in requested}
        assert len(sizes) <= MOST_REQUESTS, sizes
        assert sum(sizes.values()) <= MOST_BYTES, sizes
        assert any(address.endswith("/app.js") for address in sizes)


@pytest.mark.browser
async def test_the_page_can_be_installed() -> None:
    async with a_server() as url, browser_context() as context:
        page = await context.new_page()
        await page.goto(url)
        await controlled(page)
        cdp = await context.new_cdp_session(page)
        manifest = await cdp.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert manifest["url"] == f"{url}/manifest.webmanifest"
        found = await cdp.send("Page.getInstallabilityErrors")
        errors = {error["errorId"] for error in found["installabilityErrors"]}
        assert errors - {"in-incognito"} == set(), "every context of these tests is incognito"


@pytest.mark.browser
async def test_without_its_server_the_page_opens_says_so_and_goes_on_when_it_is_back() -> None:
    async with browser_context() as context:
        page = await context.new_page()
        async with a_server() as url:
            await page.goto(url)
            await controlled(page)
            stored = await kept(page)
            assert "/" in stored
            assert [path for path in stored if path != "/" and not path.startswith("/static/")] == []
        await page.reload()
        away = page.locator("body[data-server=away]")
        await away.wait_for()
        await expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        await expect(page.get_by_role("button", name="Talk", exact=True)).to_be_visible()
        async with a_server(int(url.rpartition(":")[2])):
            await expect(away).to_have_count(0)
            await expect(page.get_by_role("alert")).to_have_count(0)
            await expect(page.locator("#about")).to_contain_text("You talk with a script")


@pytest.mark.browser
async def test_a_new_version_of_the_page_is_shown_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "static"
    shutil.copytree(STATIC, folder)
    monkeypatch.setattr("vivavoce.web.app.Shell", lambda: Shell(folder))
    async with browser_context() as context:
        page = await context.new_page()
        async with a_server() as url:
            await page.goto(url)
            await controlled(page)
            old = await kept(page)
        for name in ("index.html", "app.js"):
            text = (folder / name).read_text(encoding="utf-8")
            text = text.replace("<h1>vivavoce</h1>", "<h1>another</h1>")
            (folder / name).write_text(text + ("\nwindow.another = true;\n" if name == "app.js" else ""))
        async with a_server(int(url.rpartition(":")[2])):
            await page.reload()
            await expect(page.locator("h1")).to_have_text("another")
            assert await page.evaluate("window.another")
            with anyio.fail_after(PATIENCE):
                while set(old) & set(await kept(page)) != {"/"}:
                    await controlled(page)
        await page.reload()
        await expect(page.locator("h1")).to_have_text("another")
        await page.locator("body[data-server=away]").wait_for()
        assert await page.evaluate("window.another")
