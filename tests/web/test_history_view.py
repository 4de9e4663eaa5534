"""The history on the page, in a real browser: what a real server has stored."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from store.played import PARIS
from vivavoce.config.schema import Config
from vivavoce.protocol import events as e
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import CallerSays, ClientSends, Timeline
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.accessibility import violations
from web.browser import browsing, in_state, said, write
from web.stored import SCRIPTED, serving_history, store

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]

LONG = "Wait a moment, there is a lot to say about it, and it goes on for quite some time."
ROME = CallerSays(0.5, "Tell me about Rome.")
SECRET = "some-long-secret"
FLAGS = ["--autoplay-policy=no-user-gesture-required"]


@asynccontextmanager
async def history(
    folder: Path, *, headers: Any = None, **tables: Any
) -> AsyncIterator[tuple[Page, httpx.AsyncClient]]:
    """Open the history, in which one conversation was cut off, and a later one was not."""
    url = f"sqlite:///{folder / 'db.sqlite'}"
    cut_off = ROME, CallerSays(4, "Stop, please."), ClientSends(4.4, _truncate)
    await store(url, folder, *cut_off, until=9, replies=[LONG, "As you like."])
    await store(url, folder, PARIS)
    async with (
        serving_history(url, folder, headers=headers, **tables) as client,
        browsing(f"{client.base_url}#/history", FLAGS) as page,
    ):
        yield page, client


def _truncate(timeline: Timeline) -> e.ClientEvent:
    return e.ConversationItemTruncate(item_id=timeline.answer_id, content_index=0, audio_end_ms=500)


def rows(page: Page) -> Locator:
    return page.locator("history-view li a")


async def open_first(page: Page) -> None:
    await rows(page).first.click()
    await page.get_by_role("button", name="Go on talking").wait_for()


async def test_conversations_are_listed_and_found_by_what_was_said(tmp_path: Path) -> None:
    async with history(tmp_path) as (page, _):
        await expect(rows(page)).to_have_count(2)
        await expect(rows(page).first).to_contain_text("What is the capital of France?")
        await expect(rows(page).first).to_contain_text("free")
        box = page.get_by_label("Search what was said")
        await box.fill("romes")
        await expect(rows(page)).to_have_count(1)
        await rows(page).click()
        await expect(page.get_by_role("heading", name="Tell me about Rome.")).to_be_visible()
        await page.go_back()
        await box.fill("elephant")
        await expect(page.get_by_text("Nobody said that.")).to_be_visible()


async def test_a_conversation_is_read_as_it_was_heard_and_shows_how_long_it_took(tmp_path: Path) -> None:
    async with history(tmp_path) as (page, _):
        await rows(page).nth(1).click()
        words = page.locator(".items .assistant .words").first
        await expect(words.locator("del")).to_contain_text("not heard")
        [heard, unheard] = (await words.text_content() or "").split(" (not heard: ")
        assert LONG.startswith(heard + unheard.removesuffix(")"))
        assert 0 < len(heard) < len(LONG) / 2
        turn = page.locator(".items .user").first
        await turn.get_by_text("What happened").click()
        table = turn.get_by_role("table")
        await expect(table.get_by_role("row", name="First sound")).to_contain_text("s")
        await expect(table.get_by_role("row", name="Interrupted")).to_be_visible()
        widths = await table.locator(".bar").evaluate_all("bars => bars.map(bar => bar.offsetWidth)")
        assert min(widths) >= 3
        assert max(widths) > 100


async def test_a_turn_is_played_alone_from_the_recording(tmp_path: Path) -> None:
    async with history(tmp_path) as (page, client):
        [stored, _] = (await client.get("/v1/history")).json()["data"]
        spoken = (await client.get(f"/v1/history/{stored['id']}")).json()["spoken"]
        part = next(one for one in spoken if one["channel"] == "assistant")
        await open_first(page)
        await page.get_by_role("button", name="Play: Paris, of course.").click()
        await expect(page.locator(".items .assistant")).to_have_class("assistant heard")
        await expect(page.locator("history-view audio")).to_have_js_property("paused", True)
        ended = await page.locator("history-view audio").evaluate("audio => audio.currentTime")
        assert part["ended"] <= ended < part["ended"] + 1


async def test_a_conversation_is_downloaded(tmp_path: Path) -> None:
    async with history(tmp_path) as (page, _):
        await open_first(page)
        await page.get_by_text("Download").click()
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name="All of it (JSON)").click()
        path = await (await downloading.value).path()
        items = json.loads(path.read_text())["items"]
        assert [item["text"].strip() for item in items] == [
            "What is the capital of France?",
            "Paris, of course.",
        ]


async def test_a_conversation_is_deleted_when_that_was_confirmed(tmp_path: Path) -> None:
    async with history(tmp_path) as (page, client):
        await open_first(page)
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_role("button", name="Keep it").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        assert len((await client.get("/v1/history")).json()["data"]) == 2
        await page.get_by_role("button", name="Delete it").click()
        await expect(rows(page)).to_have_count(1)
        [left] = (await client.get("/v1/history")).json()["data"]
        assert left["first"] == "Tell me about Rome."


async def test_a_conversation_goes_on_with_what_was_said(tmp_path: Path) -> None:
    async with history(tmp_path, talks=True) as (page, client):
        [stored, _] = (await client.get("/v1/history")).json()["data"]
        await open_first(page)
        await page.get_by_role("button", name="Go on talking").click()
        await expect(said(page, "assistant")).to_have_text("Paris, of course.")
        await write(page, "Thank you.")
        await expect(said(page, "assistant", 1)).to_contain_text(".")
        await in_state(page, "ready")
        await page.get_by_role("button", name="End", exact=True).click()
        continued: list[str] = []
        while not continued:
            found = (await client.get("/v1/history")).json()["data"]
            continued = [one["continues"] for one in found if one["first"] == "Thank you."]
        assert continued == [stored["id"]]


async def test_a_key_opens_the_sound_as_well(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db.sqlite'}"
    await store(url, tmp_path)
    headers = {"authorization": f"Bearer {SECRET}"}
    async with (
        serving_history(url, tmp_path, headers=headers, keys=SECRET) as client,
        browsing(f"{client.base_url}#key={SECRET}", FLAGS) as page,
    ):
        await page.get_by_role("link", name="History").click()
        await open_first(page)
        await expect(page.locator("history-view audio")).to_have_js_property("readyState", 4)


async def test_a_server_that_stores_nothing_says_so(tmp_path: Path) -> None:
    runtime = Runtime(Config(**SCRIPTED))
    async with (
        serving(Web(runtime), listen("127.0.0.1", 0)) as address,
        browsing(f"{address}#/history", [], harmless="404") as page,
    ):
        await expect(page.get_by_role("alert")).to_contain_text("[store]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong_with_it(tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    async with history(tmp_path) as (page, _):
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": 390, "height": 844})
        await expect(rows(page)).to_have_count(2)
        assert await violations(page) == []
        await rows(page).nth(1).click()
        await page.get_by_text("What happened").first.click()
        assert await violations(page) == []
