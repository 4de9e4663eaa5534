"""`viva serve --https` in a process of its own: clients that verify it, phones that sign in, a real browser."""

import os
import pty
import re
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import segno
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import BrowserContext, Page, async_playwright, expect
from websockets.asyncio.client import connect

from cli.forking import run_viva
from clients.serving import running
from vivavoce.web.security.tls import first_certificate, local_addresses
from web.asking import asking
from web.browser import CHROMIUM, PATIENCE, in_state, microphone, said, talk
from web.connecting import ask, door, hear
from web.test_shell import controlled

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]
EVERYWHERE = "0.0.0.0"  # noqa: S104
KEY = {"authorization": "Bearer sesame"}
ADDRESS = re.compile(r"^(https://\S+)/#code=([0-9A-Z]{5}-[0-9A-Z]{5})$", re.MULTILINE)
WEBRTC = """async () => {
    const peer = new RTCPeerConnection();
    const channel = peer.createDataChannel("oai-events");
    const first = new Promise((done) => (channel.onmessage = ({ data }) => done(JSON.parse(data).type)));
    peer.addTransceiver("audio");
    await peer.setLocalDescription(await peer.createOffer());
    const gathered = () => peer.iceGatheringState === "complete";
    if (!gathered()) await new Promise((done) => (peer.onicegatheringstatechange = () => gathered() && done()));
    const headers = { "content-type": "application/sdp" };
    const body = peer.localDescription.sdp;
    const answer = await fetch("v1/realtime/calls", { method: "POST", headers, body });
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    return first;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("https")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The address of a server for all in the network, on a port that the configuration in its folder names."""
    options = ("--preset", "scripted", "--https", "--host", EVERYWHERE, "--data", str(folder / "data"))
    with running(*options, folder=folder, scheme="https", VIVAVOCE_KEYS="sesame") as found:
        port = urlsplit(found).port
        table = f'host = "{EVERYWHERE}"\nport = {port}\ndata = "data"\nhttps = true\n'
        (folder / "vivavoce.toml").write_text(f'preset = "scripted"\n[server]\n{table}')
        yield found.removesuffix("/v1")


@pytest.fixture
def trust(url: str, folder: Path) -> ssl.SSLContext:
    """What a client has that trusts the authority, and checks names as usual."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=first_certificate(folder / "data/https/authority.pem"))
    return context


def viva(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "VIVAVOCE_KEYS": "sesame", "PYTHONIOENCODING": "utf-8"}
    return run_viva(*arguments, folder=folder, environment=environment)


async def test_clients_that_trust_the_authority_reach_the_server_by_all_its_names(
    url: str, trust: ssl.SSLContext
) -> None:
    port = urlsplit(url).port
    for host in ("127.0.0.1", "localhost"):
        async with asking(f"https://{host}:{port}", verify=trust, headers=KEY) as client:
            assert (await client.get("/v1/models")).status_code == 200
            authority = await client.get("/authority.crt")
            assert authority.headers["content-type"] == "application/x-x509-ca-cert"
            assert authority.content in trust.get_ca_certs(binary_form=True)
    async with asking(url) as stranger:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.get("/healthz")


async def test_a_conversation_is_held_over_wss(url: str, trust: ssl.SSLContext) -> None:
    async with connect(door(url), ssl=trust, compression=None, additional_headers=KEY) as client:
        await hear(client, "session.created")
        assert await ask(client, "Say exactly good morning.") == "good morning."


async def test_plain_http_is_sent_on(url: str, trust: ssl.SSLContext) -> None:
    plain = url.replace("https", "http", 1)
    async with asking(plain, verify=trust, headers=KEY) as client:
        refused = await client.get("/v1/models?a=b")
        assert refused.status_code == 307
        assert refused.headers["location"] == f"{url}/v1/models?a=b"
        assert f"write {url}/v1/models?a=b" in refused.text
        assert (await client.get("/v1/status", follow_redirects=True)).json()["ready"]
    async with asking(url, verify=trust, headers=KEY) as client:
        assert (await client.get("/v1/models")).status_code == 200, "others are not affected"


def test_a_client_that_says_nothing_or_nonsense_disturbs_nobody(url: str, trust: ssl.SSLContext) -> None:
    at = ("127.0.0.1", urlsplit(url).port or 0)
    with socket.create_connection(at), socket.create_connection(at) as other:
        other.sendall(b"SSH-2.0-OpenSSH_9\r\n\0\0\0\0\0")
        assert httpx.get(f"{url}/healthz", trust_env=False, verify=trust).status_code == 200
        assert other.recv(1000)[:1] in (b"", b"\x15"), "an alert of TLS, or the end"


def test_a_phone_scans_what_viva_phone_prints(url: str, folder: Path, trust: ssl.SSLContext) -> None:
    done = viva(folder, "phone")
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode()
    (address, code), *others = ADDRESS.findall(printed)
    assert [address, *(other for other, _ in others)][0].startswith("https://")
    assert urlsplit(address).port == urlsplit(url).port
    assert picture(printed) == matrix(f"{address}/#code={code}")
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", urlsplit(url).port or 0)))
    assert sha256(certificate).digest().hex(":").upper() in printed
    assert f"{address}/authority.crt" in printed
    secret = {"secret": code}
    for status in (204, 401):
        answer = httpx.post(f"{url}/v1/sign-in", json=secret, verify=trust, trust_env=False)
        assert answer.status_code == status
        assert ("Secure" in answer.headers.get("set-cookie", "")) == (status == 204)


def picture(printed: str) -> list[list[bool]]:
    """Return the dark modules of a QR code that is printed in half blocks, without its margin."""
    halves = {"█": (False, False), "▀": (False, True), "▄": (True, False), " ": (True, True)}
    lines = [line for line in printed.splitlines() if line and set(line) <= set(halves)]
    rows: list[list[bool]] = []
    for line in lines:
        rows += [[halves[letter][half] for letter in line] for half in (0, 1)]
    rows = [row for row in rows if any(row) and not all(row)]
    left = min(row.index(True) for row in rows)
    return [row[left : left + len(rows)] for row in rows]


def matrix(address: str) -> list[list[bool]]:
    return [[bool(module) for module in row] for row in segno.make(address, micro=False).matrix]


def test_viva_talks_with_its_own_server(url: str, folder: Path) -> None:
    question = Path(__file__).parents[1] / "recordings" / "weather.wav"
    asked = viva(folder, "ask", str(question))
    assert asked.returncode == 0, asked.stderr.decode()
    assert f"That is the server at {url}" in asked.stderr.decode()


@pytest.mark.parametrize("host", [EVERYWHERE, "127.0.0.1"])
def test_a_terminal_is_shown_a_code_and_a_log_is_not(tmp_path: Path, host: str) -> None:
    options = ["--preset", "scripted", "--https", "--host", host, "--port", "0", "--data", str(tmp_path)]
    environment = {**os.environ, "VIVAVOCE_KEYS": "sesame", "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    command = [str(Path(sys.executable).parent / "viva"), "serve", *options]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment) as server:
        os.close(theirs)
        printed = ""
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            while not re.search(r"authority   \S+|add --host", printed):
                printed += terminal.read(4096).decode(errors="replace")
            server.terminate()
            assert server.wait(timeout=60) == 0
    if host == EVERYWHERE:
        assert re.search(r"https://\S+/#code=[0-9A-Z]{5}-[0-9A-Z]{5}\r", printed)
        assert "\x1b[38;5;231;48;5;16m█" in printed, "light on dark, whatever the terminal's colours"
    else:
        assert "#code=" not in printed
        assert "Only this machine reaches it" in printed


def test_a_log_is_told_how_to_get_a_code(url: str, folder: Path) -> None:
    log = (folder / "serve.log").read_text()
    assert "viva phone" in log
    assert "#code=" not in log


def test_without_a_server_viva_phone_says_how_to_start_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "vivavoce.toml").write_text(f"[server]\nport = {port}\n")
    done = viva(tmp_path, "phone")
    assert done.returncode == 1
    assert "viva serve --https" in done.stderr.decode()


# in a browser


@asynccontextmanager
async def phone(folder: Path, tmp_path: Path, *heard: float | str) -> AsyncIterator[BrowserContext]:
    """A browser that trusts the server's certificate and no other, and whose microphone hears this."""
    expect.set_options(timeout=1000 * PATIENCE)
    certificate = x509.load_der_x509_certificate(first_certificate(folder / "data/https/server.pem"))
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = f"--ignore-certificate-errors-spki-list={b64encode(sha256(key).digest()).decode()}"
    async with async_playwright() as playwright:
        flags = [trusted, *microphone(tmp_path / "mic.wav", *heard)]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield await browser.new_context()
        await browser.close()


async def scan(page: Page, url: str, trust: ssl.SSLContext, host: str) -> None:
    """Open what a phone scans."""
    async with asking(url, verify=trust, headers=KEY) as owner:
        code = (await owner.post("/v1/sign-in/codes")).json()["code"]
    await page.goto(f"https://{host}:{urlsplit(url).port}/#code={code}")


@pytest.mark.browser
async def test_a_phone_that_has_scanned_the_code_talks(
    url: str, folder: Path, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    host = next((address for address in local_addresses() if ":" not in address), "127.0.0.1")
    async with phone(folder, tmp_path, 1.5, "weather", 30.0) as context:
        page = await context.new_page()
        await scan(page, url, trust, host)
        assert await page.evaluate("[isSecureContext, location.hash, location.pathname]") == [True, "", "/"]
        await talk(page)
        await in_state(page, "speaking")
        await expect(said(page, "user")).to_have_text("I said something for 1.0 seconds.")
        (cookie,) = await context.cookies()
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
        assert await page.evaluate("document.cookie") == ""
        await page.reload()
        await expect(page.locator("#sign-in")).to_have_count(0)
        assert await page.evaluate(WEBRTC) == "session.created"


@pytest.mark.browser
async def test_a_page_whose_certificate_is_trusted_opens_without_its_server(
    url: str, folder: Path, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    async with phone(folder, tmp_path, 1.0) as context:
        page = await context.new_page()
        await page.goto(url)
        await controlled(page)
        assert await page.evaluate("navigator.serviceWorker.ready.then(({ scope }) => scope)") == f"{url}/"


@pytest.mark.browser
async def test_whoever_has_no_code_is_asked_for_one(
    url: str, folder: Path, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    async with phone(folder, tmp_path, 30.0) as context:
        page = await context.new_page()
        await page.goto(f"{url}/#code=AAAAA-AAAAA")
        question = page.get_by_role("dialog", name="Sign in")
        await expect(question.get_by_role("alert")).to_contain_text("viva phone")
        assert await page.evaluate("location.hash") == ""
        async with asking(url, verify=trust, headers=KEY) as owner:
            code = (await owner.post("/v1/sign-in/codes")).json()["code"]
        box = question.get_by_label("Code or key")
        for written in ("wrong", code.lower()):
            await box.fill(written)
            await box.press("Enter")
        await expect(question).to_have_count(0)
        await talk(page)
        await in_state(page, "listening")


@pytest.mark.browser
async def test_what_a_person_chose_is_there_in_her_other_browser(
    url: str, folder: Path, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    for chooses in (True, False):
        async with phone(folder, tmp_path, 1.0) as context:
            page = await context.new_page()
            await scan(page, url, trust, "127.0.0.1")
            if chooses:
                await expect(page.locator("html")).to_have_attribute("data-theme", "system")
                await page.get_by_role("link", name="Settings").click()
                async with page.expect_response(lambda response: response.request.method == "PUT"):
                    await page.get_by_role("radio", name="Dark", exact=True).check()
            await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
