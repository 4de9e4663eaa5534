"""The upstream server that `[remote]` names, and a runtime that lets it answer."""

import logging

import httpx
import pytest

from vivavoce.config.loading import load
from vivavoce.config.schema import Config, RemoteTable
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol.dialects import BETA, GA
from vivavoce.protocol.settings import DEFAULT
from vivavoce.runtime import Runtime, choose_providers, describe
from vivavoce.upstream import endpoint_of, remote
from vivavoce.web.app import Web

KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_ENDPOINT")


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, "VIVAVOCE_REMOTE_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


def test_openai_is_reached_by_key_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    there = endpoint_of(RemoteTable(model="gpt-realtime-2.1"))
    assert there.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    assert there.headers == {"Authorization": "Bearer sk-1"}


def test_azure_is_reached_by_endpoint_and_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://name.openai.azure.com")
    there = endpoint_of(RemoteTable(server="azure", model="mine"))
    assert there.url == "wss://name.openai.azure.com/openai/v1/realtime?model=mine"
    assert (there.headers, there.dialect) == ({"api-key": "k"}, GA)
    preview = endpoint_of(RemoteTable(server="azure", model="mine", api_version="2025-04-01-preview"))
    assert "api-version=2025-04-01-preview&deployment=mine" in preview.url
    assert preview.dialect is BETA


def test_azure_takes_a_token_of_entras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "t")
    there = endpoint_of(RemoteTable(server="azure", endpoint="https://name.openai.azure.com"))
    assert there.headers == {"Authorization": "Bearer t"}


def test_any_other_server_is_reached_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    table = RemoteTable(server="http://voice.example.org:9000", model="m")
    assert endpoint_of(table).url == "ws://voice.example.org:9000/v1/realtime?model=m"
    assert not endpoint_of(table).headers
    monkeypatch.setenv("VIVAVOCE_REMOTE_KEY", "k")
    assert endpoint_of(table).headers == {"Authorization": "Bearer k"}
    assert endpoint_of(table.model_copy(update={"dialect": "beta"})).dialect is BETA


@pytest.mark.parametrize(
    ("table", "variable"),
    [
        (RemoteTable(), "OPENAI_API_KEY"),
        (RemoteTable(server="azure"), "AZURE_OPENAI_API_KEY"),
        (RemoteTable(server="ws://voice.example.org", key_env="VOICE_KEY"), "VOICE_KEY"),
    ],
)
def test_a_key_that_is_not_there_is_named(table: RemoteTable, variable: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        endpoint_of(table)


def test_the_key_of_the_upstream_server_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_REMOTE_KEY", "sesame")
    table = RemoteTable(server="ws://voice.example.org/v1?region=1", model="m")
    engine = remote(table, DEFAULT, Limits())
    assert (engine.name, table.about) == ("voice.example.org", "m at voice.example.org")
    assert "sesame" not in repr(engine) + repr(endpoint_of(table))


@pytest.mark.parametrize("server", ["ws://voice.example.org?api-key=k", "wss://me:pass@voice.example.org", "x"])
def test_an_address_is_one_and_holds_no_key(server: str) -> None:
    with pytest.raises(ConfigError, match=r"\[remote\] server"):
        load(flags={"remote": {"server": server}})


def test_the_presets_name_a_server() -> None:
    for preset, server in (("openai-realtime", "openai"), ("azure-realtime", "azure")):
        config = load(flags={"preset": preset}).config
        assert (config.engine, config.remote.server) == ("remote", server)


def test_a_server_with_an_upstream_server_needs_no_models() -> None:
    config = Config(engine="remote")
    assert not choose_providers(config)
    assert describe(config, choose_providers(config)) == "You talk with gpt-realtime at OpenAI."
    both = Config(engine="remote", remote=RemoteTable(failover=True))
    assert describe(both, choose_providers(both)).startswith(
        "You talk with gpt-realtime at OpenAI; while that is down, with Qwen"
    )


@pytest.mark.anyio
@pytest.mark.real_time
async def test_such_a_server_is_ready_at_once(caplog: pytest.LogCaptureFixture) -> None:
    runtime = Runtime(Config(engine="remote", remote=RemoteTable(server="ws://127.0.0.1:1")))
    with caplog.at_level(logging.WARNING):
        await runtime.open()
    assert runtime.ready
    assert not runtime.config.has_cascade
    assert not caplog.text


@pytest.mark.anyio
@pytest.mark.real_time
async def test_what_needs_models_of_this_machine_is_refused_with_what_to_write() -> None:
    runtime = Runtime(Config(engine="remote", remote=RemoteTable(server="ws://127.0.0.1:1", model="m")))
    await runtime.open()
    site = httpx.ASGITransport(Web(runtime).application)
    async with httpx.AsyncClient(transport=site, base_url="http://localhost") as client:
        refused = await client.post("/v1/audio/speech", json={"model": "tts-1", "input": "Hello."})
        assert refused.status_code == 501
        assert "[remote] failover = true" in refused.json()["error"]["message"]
        assert (await client.get("/readyz")).status_code == 200
        status = (await client.get("/v1/status")).json()
        assert (status["engine"], status["remote"]) == ("remote", "m at 127.0.0.1:1")
        models = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in models] == ["vivavoce", "m"]


@pytest.mark.anyio
async def test_a_missing_key_is_reported_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        await Runtime(Config(engine="remote", remote=RemoteTable(failover=True))).open()
