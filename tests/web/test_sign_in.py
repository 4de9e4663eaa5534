"""Signing in: a code that works once, or a key, becomes a cookie, which counts as a key for our own page."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from vivavoce.errors import ProtocolError
from vivavoce.testing.clock import JumpingClock
from vivavoce.web.security.sign_in import ALPHABET, BrowserCookies, SignInCodes
from web.asking import asking, error
from web.connecting import Site, door

pytestmark = pytest.mark.anyio
KEY = {"authorization": "Bearer sesame"}


def run(test: Any) -> None:
    anyio.run(test, backend_options={"loop_factory": JumpingClock})


# codes


@given(st.sampled_from(["", "-", " ", "lower", "look-alikes"]))
def test_a_code_is_recognized_as_a_person_writes_it(habit: str) -> None:
    async def test() -> None:
        codes = SignInCodes(5, 600)
        code = codes.issue()
        written = {
            "": code.replace("-", ""),
            "-": "-".join(code),
            " ": f" {code.replace('-', ' ')}\n",
            "lower": code.lower(),
            "look-alikes": code.replace("0", "O").replace("1", "l"),
        }[habit]
        assert codes.redeem(written)
        assert not codes.redeem(written), "it works once"

    run(test)


async def test_a_code_is_long_enough_and_easy_to_read() -> None:
    codes = {SignInCodes(1, 600).issue() for _ in range(50)}
    assert len(codes) == 50
    assert len(ALPHABET) ** 10 > 2**49
    assert set("ILOU") & set("".join(codes)) == set()


async def test_a_code_that_is_too_old_is_void() -> None:
    codes = SignInCodes(1, 600)
    code = codes.issue()
    with pytest.raises(ProtocolError, match=r"limits\.sign_in_codes"):
        codes.issue()
    await anyio.sleep(601)
    assert not codes.redeem(code)
    assert codes.issue(), "and makes room for another"


# cookies


@pytest.mark.real_time
async def test_a_cookie_outlasts_the_process_but_not_its_key(tmp_path: Path) -> None:
    file = tmp_path / "data" / "browsers.secret"
    cookie = await BrowserCookies(("one", "two"), file, 3600).issue("two")
    assert file.stat().st_mode & 0o777 == 0o600
    assert BrowserCookies(("one", "two"), file, 3600).is_valid(cookie)
    assert BrowserCookies(("two",), file, 3600).is_valid(cookie)
    assert not BrowserCookies(("one",), file, 3600).is_valid(cookie), "its key is known no more"
    file.unlink()
    assert not BrowserCookies(("one", "two"), file, 3600).is_valid(cookie), "all have been signed out"


@pytest.mark.real_time
async def test_a_cookie_ends(tmp_path: Path) -> None:
    cookies = BrowserCookies(("one",), tmp_path / "browsers.secret", -1)
    assert not cookies.is_valid(await cookies.issue("one"))


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{1,14}\.[0-9a-fé]{0,64}", fullmatch=True))
def test_what_we_have_not_signed_is_no_cookie(value: str) -> None:
    cookies = BrowserCookies(("one",), Path("/nowhere"), 3600, b"secret" * 6)
    assert not cookies.is_valid(value)


# a server


@asynccontextmanager
async def visiting(site: Site, tmp_path: Path) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """Serve with keys; give the URL, and what acts as a browser that has not signed in."""
    async with site(keys="sesame,other", server={"data": tmp_path}) as url, asking(url) as browser:
        yield url, browser


async def a_code(url: str) -> dict[str, Any]:
    async with asking(url, headers=KEY) as owner:
        answer = await owner.post("/v1/sign-in/codes")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def handshake(url: str, **headers: str) -> int:
    try:
        async with connect(door(url), compression=None, additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.real_time
async def test_a_code_signs_a_browser_in_once(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (url, browser):
        issued = await a_code(url)
        assert issued["addresses"] == [url]
        assert issued["certificate"] is None
        assert (await browser.get("/v1/status")).json()["key_needed"]
        assert error(await browser.get("/v1/models"), 401)
        signed_in = await browser.post("/v1/sign-in", json={"secret": issued["code"]})
        assert signed_in.status_code == 204
        assert (await browser.get("/v1/models")).status_code == 200
        assert not (await browser.get("/v1/status")).json()["key_needed"]
        (cookie,) = [f"{name}={value}" for name, value in browser.cookies.items()]
        assert await handshake(url, cookie=cookie, origin=url) == 101
        async with asking(url) as another:
            answer = await another.post("/v1/sign-in", json={"secret": issued["code"]})
            assert "viva phone" in error(answer, 401)["message"]
            assert not another.cookies


@pytest.mark.real_time
async def test_a_key_signs_a_browser_in(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (_, browser):
        for wrong in ("sesam", "", "ek_0123", "💥"):
            assert error(await browser.post("/v1/sign-in", json={"secret": wrong}), 401)
        assert (await browser.post("/v1/sign-in", json={"secret": "other"})).status_code == 204
        assert (await browser.get("/v1/models")).status_code == 200
        assert (await browser.delete("/v1/sign-in")).status_code == 204
        assert error(await browser.get("/v1/models"), 401)


@pytest.mark.real_time
async def test_scripts_and_other_sites_have_no_use_for_the_cookie(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (url, browser):
        answer = await browser.post("/v1/sign-in", json={"secret": "sesame"})
        header = answer.headers["set-cookie"]
        assert "HttpOnly" in header
        assert "SameSite=strict" in header
        assert "sesame" not in header
        (cookie,) = [f"{name}={value}" for name, value in browser.cookies.items()]
        port = int(url.rpartition(":")[2])
        assert cookie.startswith(f"vivavoce{port}="), "browsers send it to the other ports of this host, too"
        for origin in (f"http://127.0.0.1:{port + 1}", "http://localhost:3000", "https://evil.example"):
            assert await handshake(url, cookie=cookie, origin=origin) in (401, 403)
            answer = await browser.post("/v1/audio/speech", json={"input": "x"}, headers={"origin": origin})
            assert answer.status_code in (401, 403)


@pytest.mark.real_time
async def test_whoever_has_signed_in_lets_nobody_else_in(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (_, browser):
        await browser.post("/v1/sign-in", json={"secret": "sesame"})
        for path in ("/v1/sign-in/codes", "/v1/realtime/client_secrets", "/openai/v1/realtime/sessions"):
            assert error(await browser.post(path, json={}), 401)


@pytest.mark.real_time
async def test_where_no_key_is_needed_nobody_has_to_sign_in(site: Site, tmp_path: Path) -> None:
    async with site(server={"data": tmp_path}) as url, asking(url) as browser:
        assert not (await browser.get("/v1/status")).json()["key_needed"]
        answer = await browser.post("/v1/sign-in", json={"secret": "anything"})
        assert (answer.status_code, answer.headers.get("set-cookie")) == (204, None)
        assert error(await browser.post("/v1/sign-in/codes"), 400)["code"] == "not_configured"
        assert error(await browser.get("/authority.crt"), 404)


@pytest.mark.real_time
async def test_bad_requests_to_sign_in_are_refused(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (_, browser):
        for body in (b"", b"sesame", b"[]", b'{"secret": 1}', b"{}"):
            assert error(await browser.post("/v1/sign-in", content=body), 400)
        assert error(await browser.post("/v1/sign-in", content=b" " * 1_000_000), 413)


@pytest.mark.real_time
async def test_no_code_and_no_cookie_is_ever_written_down(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with visiting(site, tmp_path) as (url, browser):
        code = (await a_code(url))["code"]
        await browser.post("/v1/sign-in", json={"secret": code})
        (value,) = browser.cookies.values()
        await browser.get("/v1/models")
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("vivavoce"))
    assert code not in ours
    assert value not in ours


# what a person chose

CHOICES = "/v1/page-settings"


@pytest.mark.real_time
async def test_what_a_person_chose_follows_her_to_her_other_browsers(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (url, browser), asking(url) as phone, asking(url) as other:
        for one, key in ((browser, "sesame"), (phone, "sesame"), (other, "other")):
            assert (await one.post("/v1/sign-in", json={"secret": key})).status_code == 204
            assert (await one.get("/v1/status")).json()["signed_in"]
            assert (await one.get(CHOICES)).json() == {}
        chosen = {"theme": "dark", "pace": 1.2, "advised": True}
        assert (await browser.put(CHOICES, json=chosen)).status_code == 204
        assert (await phone.get(CHOICES)).json() == chosen
        assert (await other.get(CHOICES)).json() == {}, "another key is another person"
    (file,) = (tmp_path / "page-settings").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "sesame" not in file.name


@pytest.mark.real_time
async def test_who_has_not_signed_in_has_no_settings_here(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as (_, browser):
        assert error(await browser.get(CHOICES), 401)
        assert error(await browser.get(CHOICES, headers=KEY), 404)["code"] == "not_signed_in"
        await browser.post("/v1/sign-in", json={"secret": "sesame"})
        for body in (b"", b"[]", b'{"a": []}', b'{"a": null}', b"[" * 5000):
            assert error(await browser.put(CHOICES, content=body), 400)
        assert error(await browser.put(CHOICES, content=b" " * 100_000), 413)
        assert (await browser.get(CHOICES)).json() == {}
