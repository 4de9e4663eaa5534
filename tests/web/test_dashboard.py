"""The dashboard on the page, in a real browser: sums of what a real server has stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from store.played import PARIS
from vivavoce.config.schema import Config
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import CallerSays
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.accessibility import violations
from web.browser import browsing
from web.connecting import calling
from web.stored import SCRIPTED, serving_history, store

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.browser]


@asynccontextmanager
async def dashboard(folder: Path) -> AsyncIterator[tuple[Page, httpx.AsyncClient]]:
    """Open the dashboard of a server where two conversations were held."""
    url = f"sqlite:///{folder / 'db.sqlite'}"
    await store(url, folder, PARIS)
    await store(url, folder, PARIS, CallerSays(4, "And of Italy?"), until=8, replies=["Paris.", "Rome."])
    async with (
        serving_history(url, folder, talks=True) as client,
        browsing(f"{client.base_url}#/dashboard/7", []) as page,
    ):
        yield page, client


def figure(page: Page, title: str) -> Locator:
    return page.get_by_role("figure").filter(has_text=title)


async def test_it_shows_what_was_held_how_long_users_waited_and_what_it_cost(tmp_path: Path) -> None:
    async with dashboard(tmp_path) as (page, client):
        [day] = (await client.get("/v1/history/statistics")).json()["data"]
        held = figure(page, "2 conversations")
        await expect(held.get_by_role("row")).to_have_count(2)  # the head and today
        await expect(held.get_by_role("row").last.get_by_role("cell")).to_have_text("2")
        assert await held.locator(".day").count() == 7
        assert await held.locator(".column").count() == 1
        waited = figure(page, "Wait for an answer").get_by_role("row").last.get_by_role("cell")
        p90, p50 = (day["stages"]["first_audio"][name] for name in ("p90", "p50"))
        assert await waited.all_inner_texts() == [f"{round(1000 * time)} ms" for time in (p90, p50)]
        await expect(figure(page, "0 errors")).to_be_visible()
        await expect(figure(page, "Cost: free")).to_be_visible()
        models = page.get_by_role("table", name="Cost by model")
        await expect(models.get_by_role("row").last.get_by_role("rowheader")).to_have_text("scripted")


async def test_it_counts_the_conversations_that_go_on_now(tmp_path: Path) -> None:
    async with dashboard(tmp_path) as (page, client):
        now = page.get_by_label("Now", exact=True)
        await expect(now).to_contain_text("0 conversations go on now")
        roles = (await client.get("/v1/status")).json()["providers"]
        await expect(now.locator(".dot.ready")).to_have_count(len(roles))
        async with calling(str(client.base_url)):
            await expect(now).to_contain_text("1 conversation goes on now")


async def test_a_server_that_stores_nothing_says_so_there() -> None:
    runtime = Runtime(Config(**SCRIPTED))
    await runtime.open()
    async with (
        serving(Web(runtime), listen("127.0.0.1", 0)) as address,
        browsing(f"{address}#/dashboard", [], harmless="404") as page,
    ):
        await expect(page.get_by_role("alert").filter(has_text="[store]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong_with_the_dashboard(
    tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    async with dashboard(tmp_path) as (page, _):
        await page.emulate_media(color_scheme=scheme)
        await expect(page.get_by_role("figure")).to_have_count(4)
        assert await violations(page) == []
