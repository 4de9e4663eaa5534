"""OpenAI's Agents SDK in a browser, on a page that somebody else serves, over a WebSocket and over WebRTC.

The page comes from another port than the server's, so the browser asks before it lets them talk.
"""

import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, reduce
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from operator import or_
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserType, Page, sync_playwright

from clients.javascript import NODE, Held, Reports, obeys, packages, write_recordings
from clients.recorder import Recorder, recording
from clients.rules import check
from clients.serving import running
from clients.talk import sound_of

pytestmark = [pytest.mark.real_time, pytest.mark.browser]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
KEY = "a-key-of-the-owner"
RATE = 48_000
ASKED_AT_MOST = 1000
STORY = "There was once a lighthouse at the edge of a quiet sea."

WEBSOCKET = ("update", "text", "spoken", "tool", "interruption", "cancel", "items", "invalid")
TOGETHER = ("update", "played", "tool"), ("hushed", "items"), ("invalid", "joined")
WEBRTC = tuple(scenario for each in TOGETHER for scenario in each)
MICROPHONE = ("asked", "barged")
PROVOKED = {"invalid": ("invalid_value", "item_retrieve_invalid_item_id", "invalid_event")}


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page, the SDK's bundle for browsers and the recordings; give the address."""
    folder = write_recordings(tmp_path_factory.mktemp("site"), "brooklyn", "weather")
    for file in (*NODE.glob("*.mjs"), NODE / "page.html"):
        shutil.copy(file, folder)
    (folder / "sdk").symlink_to(packages() / "@openai/agents-realtime/dist/bundle")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/page.html"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browsers() -> Iterator[BrowserType]:
    with sync_playwright() as playwright:
        yield playwright.chromium


@contextmanager
def opened(browsers: BrowserType, site: str, folder: Path, *heard: float | str) -> Iterator[Page]:
    """Open the page in a browser, whose microphone hears these silences (seconds) and recordings."""
    microphone = folder / "heard.wav"
    write_microphone(microphone, heard)
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    browser = browsers.launch(executable_path=CHROMIUM, args=flags)
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(site)
    page.wait_for_function("'run' in window")
    yield page
    browser.close()
    assert wrong == []


@pytest.fixture(scope="module")
def page(browsers: BrowserType, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, where nobody speaks."""
    with opened(browsers, site, tmp_path_factory.mktemp("silence"), 1.0) as page:
        yield page


def write_microphone(path: Path, heard: tuple[float | str, ...]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for part in heard:
            file.writeframes(sound_of(part, RATE) if isinstance(part, str) else bytes(2 * round(part * RATE)))


def start(page: Page, way: str, scenarios: tuple[str, ...], **how: Any) -> None:
    """Begin to hold the scenarios in the page, all at once."""
    page.evaluate("([way, names, how]) => { window.held = run(way, names, how) }", [way, scenarios, how])


def finish(page: Page) -> Reports:
    """Return how they went, once all are over."""
    return {name: Held(**report) for name, report in page.evaluate("held").items()}


def run(page: Page, way: str, scenarios: tuple[str, ...], **how: Any) -> Reports:
    start(page, way, scenarios, **how)
    return finish(page)


# over a WebSocket


@pytest.fixture(scope="module")
def relay(scripted: str) -> Iterator[Recorder]:
    with recording(scripted) as relay:
        yield relay


@pytest.fixture(scope="module")
def by_websocket(relay: Recorder, page: Page) -> Reports:
    how = {"url": f"{relay.websocket_url}/realtime", "apiKey": "none", "insecure": True}
    return run(page, "websocket", WEBSOCKET, **how)


@pytest.mark.parametrize("scenario", WEBSOCKET)
def test_over_a_websocket_the_client_understands_every_event(by_websocket: Reports, scenario: str) -> None:
    held = by_websocket[scenario]
    assert (held.failure, held.errors, held.ignored) == (None, [], [])


@pytest.mark.parametrize("scenario", WEBSOCKET)
def test_over_a_websocket_every_event_is_spelled_and_ordered_by_the_protocol(
    by_websocket: Reports, relay: Recorder, scenario: str
) -> None:
    obeys(relay, scenario, PROVOKED.get(scenario, ()))


def test_over_a_websocket_questions_are_answered(by_websocket: Reports) -> None:
    assert by_websocket["text"].step("answered")["history"][1]["text"] == "good morning."
    assert len(by_websocket["spoken"].step("answered")["history"][1]["text"].split()) == 3
    assert by_websocket["tool"].step("answered")["history"][2]["text"] == "It is sunny in Paris."


def test_over_a_websocket_answers_are_cut_where_they_were_heard(by_websocket: Reports) -> None:
    for scenario, step in {"interruption": "interrupted", "cancel": "cancelled"}.items():
        seen = by_websocket[scenario].step(step)
        assert seen["status"] == "cancelled"
        assert STORY.startswith(seen["history"][1]["text"])


def test_the_browser_is_given_the_subprotocol_that_it_asks_for(by_websocket: Reports, relay: Recorder) -> None:
    assert by_websocket
    for call in relay.calls:
        offered = call.headers["sec-websocket-protocol"].split(", ")
        assert offered[:2] == ["realtime", "openai-insecure-api-key.none"]
        assert call.subprotocol == "realtime"


# with a key that soon expires


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for a key."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / ".env").write_text(f"VIVAVOCE_KEYS={KEY}\n")
    with running("--preset", "scripted", folder=folder) as url:
        yield url


def secret(url: str) -> str:
    """Ask for a key that a page may know, as its own server would."""
    answer = httpx.post(
        f"{url}/realtime/client_secrets",
        headers={"Authorization": f"Bearer {KEY}"},
        json={"session": {"type": "realtime"}},
    )
    assert answer.status_code == 200, answer.text
    value: str = answer.json()["value"]
    assert value.startswith("ek_")
    return value


@pytest.mark.parametrize("way", ["websocket", "webrtc"])
def test_a_page_talks_with_a_key_that_soon_expires(guarded: str, page: Page, way: str) -> None:
    url = address(guarded, way)
    held = run(page, way, ("text",), url=url, apiKey=secret(guarded))["text"]
    strangers = run(page, way, ("text",), url=url, apiKey="ek_of_nobody")["text"]
    assert held.step("answered")["history"][1]["text"] == "good morning."
    assert strangers.failure is not None
    assert strangers.steps == []


def address(url: str, way: str) -> str:
    return f"{url.replace('http', 'ws')}/realtime" if way == "websocket" else f"{url}/realtime/calls"


# over WebRTC


@pytest.fixture(scope="module")
def by_webrtc(
    scripted: str, page: Page, browsers: BrowserType, site: str, tmp_path_factory: pytest.TempPathFactory
) -> Reports:
    how = {"url": address(scripted, "webrtc"), "apiKey": "none", "insecure": True}
    folder = tmp_path_factory.mktemp("speech")
    with opened(browsers, site, folder, 3.0, "brooklyn", 3.0, "weather", 30.0) as spoken:
        start(spoken, "webrtc", MICROPHONE, **how)
        silent = [run(page, "webrtc", scenarios, **how) for scenarios in TOGETHER]
        return reduce(or_, silent) | finish(spoken)


@pytest.mark.parametrize("scenario", WEBRTC + MICROPHONE)
def test_over_webrtc_the_client_understands_every_event(by_webrtc: Reports, scenario: str) -> None:
    held = by_webrtc[scenario]
    assert (held.failure, held.errors, held.ignored) == (None, [], [])


@pytest.mark.parametrize("scenario", WEBRTC + MICROPHONE)
def test_over_webrtc_every_event_is_spelled_and_ordered_by_the_protocol(
    by_webrtc: Reports, scenario: str
) -> None:
    check(by_webrtc[scenario].score, errors=PROVOKED.get(scenario, ()), plays=True)


def test_over_webrtc_an_answer_is_heard_on_the_track(by_webrtc: Reports) -> None:
    played = by_webrtc["played"].step("played")
    assert played["status"] == "connected"
    assert played["callId"].startswith("rtc_")
    assert played["history"][1]["text"] == "good morning."
    assert played["peak"] > 0.05


def test_over_webrtc_a_spoken_question_is_answered(by_webrtc: Reports) -> None:
    answered = by_webrtc["asked"].step("answered")
    question, answer = answered["history"]
    assert question["text"] == "Answer in three words."
    assert len(answer["text"].split()) == 3
    assert answered["peak"] > 0.05


def test_over_webrtc_a_tool_is_called_and_its_answer_said(by_webrtc: Reports) -> None:
    assert by_webrtc["tool"].step("answered")["history"][2]["text"] == "It is sunny in Paris."


@pytest.mark.parametrize(
    ("scenario", "step", "reason"),
    [("hushed", "hushed", "client_cancelled"), ("barged", "interrupted", "turn_detected")],
)
def test_over_webrtc_an_answer_is_cut_where_it_was_heard(
    by_webrtc: Reports, scenario: str, step: str, reason: str
) -> None:
    seen = by_webrtc[scenario].step(step)
    assert (seen["status"], seen["reason"]) == ("cancelled", reason)
    assert 0 < seen["audio_end_ms"] < 8000
    assert STORY.startswith(seen["history"][1]["text"])


def test_over_webrtc_the_conversation_goes_on(by_webrtc: Reports) -> None:
    answers = {"hushed": "thank you.", "items": "Your name is Grace.", "invalid": "we go on."}
    for scenario, answer in answers.items():
        assert by_webrtc[scenario].step("answered")["history"][-1]["text"] == answer


def test_a_second_line_into_the_call_sees_and_steers_it(by_webrtc: Reports) -> None:
    joined = by_webrtc["joined"].step("joined")
    assert joined["here"][-1]["text"] == joined["there"][-1]["text"] == "good morning."
    assert (joined["errors"], joined["ignored"]) == ([], [])
    assert by_webrtc["joined"].step("answered")["history"][-1]["text"] == "thank you."


@pytest.mark.usefixtures("by_webrtc", "by_websocket")
def test_whoever_hangs_up_is_gone(scripted: str) -> None:
    asked = (httpx.get(f"{scripted}/status").json()["conversations"] for _ in range(ASKED_AT_MOST))
    assert 0 in asked
