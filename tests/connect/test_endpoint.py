"""Where servers of the protocol are, and what they are shown."""

import logging
from collections.abc import Mapping

import pytest

from vivavoce.connect import Endpoint, azure, endpoint_at, openai
from vivavoce.errors import ConfigError
from vivavoce.protocol.dialects import BETA, FIRST_BETA, GA, Dialect

KEY = "sk-mellon"
VARIABLES = (
    *("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"),
    *("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_ENDPOINT"),
)
RESOURCE = "https://res.openai.azure.com"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


# any server


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/realtime"),
        ("http://127.0.0.1:8765/", "ws://127.0.0.1:8765/v1/realtime"),
        ("https://voice.example.org/v1", "wss://voice.example.org/v1/realtime"),
        ("wss://voice.example.org/v1/realtime/", "wss://voice.example.org/v1/realtime"),
        ("ws://[::1]:8765/v1/realtime?model=m#top", "ws://[::1]:8765/v1/realtime?model=m"),
        (
            "ws://127.0.0.1/v1/realtime?call_id=rtc_1&extras=1",
            "ws://127.0.0.1/v1/realtime?call_id=rtc_1&extras=1",
        ),
        ("ws://127.0.0.1?intent=transcription", "ws://127.0.0.1/v1/realtime?intent=transcription"),
    ],
)
def test_an_address_may_be_short(url: str, meant: str) -> None:
    assert endpoint_at(url).url == meant


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8765", "ftp://host/v1", "ws://", "ws://:8765", "ws://[::1", "ws://h:x"]
)
def test_what_is_no_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a server; write for example ws://127"):
        endpoint_at(url)


@pytest.mark.parametrize(
    ("key", "dialect", "headers"),
    [
        (None, GA, {}),
        (KEY, GA, {"Authorization": f"Bearer {KEY}"}),
        (None, BETA, {"OpenAI-Beta": "realtime=v1"}),
        (KEY, FIRST_BETA, {"Authorization": f"Bearer {KEY}", "OpenAI-Beta": "realtime=v1"}),
    ],
)
def test_an_endpoint_has_headers_for_the_key_and_the_dialect(
    key: str | None, dialect: Dialect, headers: Mapping[str, str]
) -> None:
    there = endpoint_at("ws://host", key=key, dialect=dialect)
    assert there.headers == headers
    assert there.dialect is dialect


# OpenAI


def test_openai_is_shown_the_environments_key(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_API_KEY", KEY)
    there = openai("gpt-realtime-2")
    assert there.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2"
    assert there.headers == {"Authorization": f"Bearer {KEY}"}
    assert there.dialect is GA


def test_openai_receives_organization_and_project(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENAI_ORG_ID", "org-1")
    environment.setenv("OPENAI_PROJECT_ID", "proj-1")
    headers = openai(key=KEY).headers
    assert headers["OpenAI-Organization"] == "org-1"
    assert headers["OpenAI-Project"] == "proj-1"


def test_openais_beta_is_asked_for() -> None:
    there = openai(key=KEY, beta=True)
    assert there.headers["OpenAI-Beta"] == "realtime=v1"
    assert there.dialect is BETA


def test_another_server_may_accept_openais_keys() -> None:
    there = openai("my model", key=KEY, url="http://127.0.0.1:8765/v1?extras=1")
    assert there.url == "ws://127.0.0.1:8765/v1/realtime?extras=1&model=my+model"
    assert openai(key=KEY, url="ws://h/v1/realtime?model=theirs").url == "ws://h/v1/realtime?model=theirs"


def test_more_may_be_asked_for_in_the_address() -> None:
    there = endpoint_at("ws://h?model=mine&empty=", key=KEY)
    assert (
        there.with_query(model="other", call_id="rtc 1").url
        == "ws://h/v1/realtime?model=mine&empty=&call_id=rtc+1"
    )
    assert there.with_query(intent="transcription").headers == there.headers


def test_openai_wants_a_key() -> None:
    with pytest.raises(ConfigError, match=r"There is no key for OpenAI; write: export OPENAI_API_KEY=the-key"):
        openai()


# Azure


@pytest.mark.parametrize(
    ("version", "path", "dialect"),
    [
        (None, "/openai/v1/realtime?model=d", GA),
        ("preview", "/openai/v1/realtime?model=d", GA),
        ("2025-04-01-preview", "/openai/realtime?api-version=2025-04-01-preview&deployment=d", BETA),
        ("2024-10-01-preview", "/openai/realtime?api-version=2024-10-01-preview&deployment=d", FIRST_BETA),
    ],
)
def test_azure_has_two_forms(version: str | None, path: str, dialect: Dialect) -> None:
    there = azure(RESOURCE, "d", key=KEY, api_version=version)
    assert there.url == "wss://res.openai.azure.com" + path
    assert there.headers == {"api-key": KEY}
    assert there.dialect is dialect


def test_azures_endpoint_may_be_given_as_the_portal_shows_it() -> None:
    there = azure(f"{RESOURCE}/openai/v1/", "my-voice", key=KEY)
    assert there.url == "wss://res.openai.azure.com/openai/v1/realtime?model=my-voice"


def test_azure_takes_a_token_of_entras() -> None:
    assert azure(RESOURCE, "my-voice", token=KEY).headers == {"Authorization": f"Bearer {KEY}"}


def test_azure_is_known_by_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AZURE_OPENAI_ENDPOINT", RESOURCE)
    environment.setenv("AZURE_OPENAI_AD_TOKEN", KEY)
    assert azure(None, "my-voice") == azure(RESOURCE, "my-voice", token=KEY)
    environment.setenv("AZURE_OPENAI_API_KEY", KEY)
    assert azure(None, "my-voice") == azure(RESOURCE, "my-voice", key=KEY)


def test_azure_wants_an_endpoint_and_a_key() -> None:
    with pytest.raises(ConfigError, match="There is no endpoint for Azure; write: export AZURE_OPENAI"):
        azure(None, "my-voice")
    with pytest.raises(ConfigError, match="There is no key for Azure; write: export AZURE_OPENAI_API_KEY="):
        azure(RESOURCE, "my-voice")


# keys


@pytest.mark.parametrize(
    "there",
    [
        openai(key=KEY),
        azure(RESOURCE, "my-voice", key=KEY),
        azure(RESOURCE, "my-voice", token=KEY),
        endpoint_at(f"ws://user:{KEY}@host:1/v1?api-key={KEY}"),
    ],
)
def test_a_key_is_never_shown(there: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger(__name__).warning("%s %r", there, there)
    assert KEY not in caplog.text
    assert KEY not in there.name
    assert KEY in there.secrets


def test_a_key_in_what_is_no_address_is_not_shown_either() -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint_at(f"ftp://user:{KEY}@host/v1?api-key={KEY}")
    assert "ftp://host/v1" in str(caught.value)
    assert KEY not in str(caught.value)
