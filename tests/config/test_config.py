from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from vivavoce.addresses import is_loopback
from vivavoce.config.loading import load
from vivavoce.config.schema import PRESETS, SLOTS, Config, McpTable, ServerTable, SessionTable
from vivavoce.config.telephone import TelephoneTable
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol.session import InputSettings, SemanticVad, ServerVad, SessionAudio
from vivavoce.providers.openai.client import ApiClient, ApiSettings
from vivavoce.providers.registry import Role, find, settings_for
from vivavoce.runtime import choose_providers

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    path = Path("vivavoce.toml")
    path.write_text(text, encoding="utf-8")
    return path


def complaint(**arguments: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**arguments)  # type: ignore[arg-type]
    return str(caught.value)


# defaults and layers


def test_nothing_written_is_a_local_keyless_assistant() -> None:
    config = load().config
    assert config == Config()
    assert config.server.is_local
    assert config.secrets == ()
    assert {role: config.slot(role).provider for role in SLOTS} == {
        role: PRESETS["offline"][role]["provider"]  # type: ignore[index]
        for role in SLOTS
    }


def test_the_empty_file_changes_nothing() -> None:
    write("")
    assert load().config == Config()


def test_a_later_layer_wins_value_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[server]\nhost = '::1'\nport = 1\n[session]\nspeed = 0.5\nvoice = 'a'\n[limits]\nitems = 7\n")
    monkeypatch.setenv("VIVAVOCE_SERVER__PORT", "2")
    monkeypatch.setenv("VIVAVOCE_SESSION__VOICE", "b")
    config = load(flags={"server": {"port": 3}}).config
    assert (config.server.host, config.server.port) == ("::1", 3)
    assert (config.session.speed, config.session.voice) == (0.5, "b")
    assert config.limits == Limits(items=7)


def test_each_value_says_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[server]\nhost = 'localhost'\n[chat]\nmodel = 'x'\n")
    Path(".env").write_text("VIVAVOCE_SESSION__SPEED=0.9\nVIVAVOCE_CHAT__TEMPERATURE=0.1\n")
    for name in ("VIVAVOCE_SESSION__SPEED", "VIVAVOCE_CHAT__TEMPERATURE"):
        monkeypatch.setenv(name, "forgotten at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIVAVOCE_LIMITS__ITEMS", "5")
    loaded = load(flags={"server": {"port": 1}})
    assert loaded.origin("server.host") == "vivavoce.toml"
    assert loaded.origin("server.port") == "command line"
    assert loaded.origin("server.origins") == "default"
    assert loaded.origin("chat.provider") == "preset offline"
    assert loaded.origin("chat.model") == "vivavoce.toml"
    assert loaded.origin("chat.temperature") == "VIVAVOCE_CHAT__TEMPERATURE in .env"
    assert loaded.origin("session.speed") == "VIVAVOCE_SESSION__SPEED in .env"
    assert loaded.origin("limits.items") == "VIVAVOCE_LIMITS__ITEMS in the environment"


def test_the_environment_wins_over_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("VIVAVOCE_SERVER__PORT=1\n")
    monkeypatch.setenv("VIVAVOCE_SERVER__PORT", "2")
    assert load().config.server.port == 2


def test_dotenv_gives_providers_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("SOME_PROVIDERS_KEY", "")
    monkeypatch.delenv("SOME_PROVIDERS_KEY")
    Path(".env").write_text("SOME_PROVIDERS_KEY=secret\n")
    load()
    assert os.environ["SOME_PROVIDERS_KEY"] == "secret"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_lies_below_the_file(preset: str) -> None:
    write(f"preset = '{preset}'\n[chat]\nprovider = 'openai'\nmodel = 'm'\n")
    config = load().config
    assert config.transcriber.provider == PRESETS[preset]["transcriber"]["provider"]  # type: ignore[index]
    assert (config.chat.provider, config.chat.settings) == ("openai", {"model": "m"})


def test_the_command_line_chooses_the_preset_over_the_file() -> None:
    write("preset = 'offline'\n")
    assert load(flags={"preset": "scripted"}).config.chat.provider == "scripted"


def test_another_provider_does_not_inherit_the_settings_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[chat]\nprovider = 'openai'\nbase_url = 'http://127.0.0.1:1/v1'\n")
    monkeypatch.setenv("VIVAVOCE_CHAT__PROVIDER", "qwen")
    loaded = load()
    assert loaded.config.chat.settings == {}
    assert loaded.origin("chat.base_url") == "default"


def test_lists_may_be_separated_by_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_SERVER__ORIGINS", "https://a.example, https://b.example")
    assert load().config.server.origins == ("https://a.example", "https://b.example")


# the session


def turn_detection(config: Config) -> object:
    audio = config.session.session().audio
    assert isinstance(audio, SessionAudio)
    assert isinstance(audio.input, InputSettings)
    return audio.input.turn_detection


def test_turns_are_detected_by_meaning_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert turn_detection(load().config) == SemanticVad()
    monkeypatch.setenv("VIVAVOCE_SESSION__TURN_DETECTION__EAGERNESS", "high")
    assert turn_detection(load().config) == SemanticVad(eagerness="high")


def test_turns_may_be_detected_by_silence_or_left_to_the_client() -> None:
    write("[session.turn_detection]\ntype = 'server_vad'\nsilence_duration_ms = 200\n")
    assert turn_detection(load().config) == ServerVad(silence_duration_ms=200)
    write("[session.turn_detection]\ntype = 'none'\n")
    assert turn_detection(load().config) is None


def test_transcription_can_be_switched_off() -> None:
    write("[session]\ntranscription = false\n")
    audio = load().config.session.session().audio
    assert audio is not UNSET
    assert audio.input is not UNSET
    assert audio.input.transcription is None


# keys


def test_keys_come_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    write("keys = 'secret'\n")
    assert "VIVAVOCE_KEYS" in complaint()
    write("")
    monkeypatch.setenv("VIVAVOCE_KEYS", "alpha, beta")
    config = load().config
    assert config.secrets == ("alpha", "beta")
    assert "alpha" not in repr(config)


def test_beyond_this_machine_a_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = complaint(flags={"server": {"host": "0.0.0.0"}})  # noqa: S104
    assert "VIVAVOCE_KEYS=" in said
    monkeypatch.setenv("VIVAVOCE_KEYS", "secret")
    assert not load(flags={"server": {"host": "0.0.0.0"}}).config.server.is_local  # noqa: S104


def test_a_webhook_needs_a_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[server]\nwebhook = 'https://museum.example/calls'\n")
    assert "VIVAVOCE_WEBHOOK_SECRET=" in complaint()
    monkeypatch.setenv("VIVAVOCE_WEBHOOK_SECRET", "whsec_no base64")
    assert "not base64" in complaint()
    monkeypatch.setenv("VIVAVOCE_WEBHOOK_SECRET", "whsec_c2VzYW1l")
    assert "c2VzYW1l" not in repr(load().config)
    write("webhook_secret = 'open'\n")
    assert "VIVAVOCE_WEBHOOK_SECRET=" in complaint()
    write("[server]\nwebhook = 'museum.example'\n")
    assert "http" in complaint()


@given(st.ip_addresses())
def test_only_loopback_addresses_are_this_machine(address: object) -> None:
    assert is_loopback(str(address)) == (str(address).startswith("127.") or str(address) == "::1")


def test_localhost_is_this_machine_and_other_names_are_not() -> None:
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example.org")
    assert not is_loopback("")


# mistakes: one sentence that says file, table, key, and what to write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server", ["vivavoce.toml", "TOML"]),
        ("[server]\nport = 'x'", ["vivavoce.toml", "[server] port", "integer"]),
        ("[server]\nport = 70000", ["vivavoce.toml", "[server] port", "65535"]),
        ("[server]\nprot = 1", ["vivavoce.toml", "[server] prot", "port"]),
        ("[servr]\nport = 1", ["vivavoce.toml", "servr", "server"]),
        ("[limits]\nitem = 1", ["vivavoce.toml", "item", "items"]),
        ("[limits]\nitems = 0", ["vivavoce.toml", "items", "more than 0"]),
        ("[session]\nspeed = 9", ["vivavoce.toml", "[session] speed", "1.5"]),
        ("[session.turn_detection]\ntype = 'x'", ["vivavoce.toml", "turn_detection", "'x'"]),
        ("[session.turn_detection]\nthreshold = 0.5", ["turn_detection", "threshold", "eagerness"]),
        ("[mcp]\nservers = ['a.example']", ["vivavoce.toml", "[mcp] servers", "a.example", "http"]),
        ("preset = 'x'", ["preset", "'x'", "offline", "scripted"]),
        ("chat = 'qwen'", ["vivavoce.toml", "chat is a table"]),
        ("limits = 1", ["vivavoce.toml", "limits is a table"]),
        ("webrtc = 1", ["vivavoce.toml", "webrtc is a table"]),
        ("[server]\norigins = [1]", ["vivavoce.toml", "[server] origins", "string"]),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, words: list[str]) -> None:
    write(text)
    said = complaint()
    assert "\n" not in said
    assert [word for word in words if word not in said] == []


def test_a_flag_does_not_hide_a_mistake_below_it() -> None:
    write("server = 1")
    assert complaint(flags={"server": {"port": 9000}}).startswith("vivavoce.toml: server is a table")


def test_a_mistake_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_SERVER__PORT", "x")
    assert "VIVAVOCE_SERVER__PORT in the environment" in complaint()
    monkeypatch.delenv("VIVAVOCE_SERVER__PORT")
    monkeypatch.setenv("VIVAVOCE_SERVR__PORT", "1")
    assert "VIVAVOCE_SERVR__PORT" in complaint()


def test_a_file_that_is_named_must_be_there() -> None:
    assert "nowhere.toml" in complaint(file=Path("nowhere.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sever]\nport = 1", "did you mean 'server'?"),
        ("[session]\nvocie = 'a'", "did you mean 'voice'?"),
        ("engine = 'casacade'", "engine cannot be 'casacade'; did you mean 'cascade'?"),
        ("preset = 'ofline'", "did you mean 'offline'?"),
        ("[limits]\nitem = 1", "did you mean 'items'?"),
        ("[session.turn_detection]\ntype = 'semantic-vad'", "did you mean 'semantic_vad'?"),
        ("[session.turn_detection]\neagerness = 'hihg'", "eagerness cannot be 'hihg'; did you mean 'high'?"),
        ("[session]\nspeed = 'fast'", "[session] speed must be a number, not 'fast'."),
        ("[session]\ntranscription = 'maybe'", "must be true or false, not 'maybe'."),
        ("[session]\ninstructions = ['a']", "must be a string in quotes, not a list."),
        ("[webrtc]\nstun = 'x'", "'x' is not an address such as stun:"),
        ("[server]\nport = true", "must be a number, not true."),
        ("[server]\norigins = ['a.example']", "'a.example' is not an origin such as"),
        ("[session]\nlanguage = 'english'", "'english' is not a code of ISO 639-1"),
        ("[remote]\nserver = 'opnai'", "did you mean 'openai'?"),
    ],
)
def test_what_was_meant_is_said_in_plain_words(text: str, words: str) -> None:
    write(text)
    assert words in complaint()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("VIVAVOCE_SERVER_PORT", "VIVAVOCE_SERVER__PORT"),
        ("VIVAVOCE_SERVER_PROT", "VIVAVOCE_SERVER__PORT"),
        ("VIVAVOCE_CHAT_MODEL", "VIVAVOCE_CHAT__MODEL"),
        ("VIVAVOCE_LIMITS_TOOL_SECONDS", "VIVAVOCE_LIMITS__TOOL_SECONDS"),
        ("VIVAVOCE_PORT", "VIVAVOCE_SERVER__PORT"),
        ("VIVAVOCE_KEY", "VIVAVOCE_KEYS"),
        ("VIVAVOCE_OFLINE", "VIVAVOCE_OFFLINE"),
    ],
)
def test_a_variable_that_sets_nothing_is_named_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")
    (warning,) = load().warnings
    assert warning.startswith(f"{name} in the environment sets nothing; did you mean {meant}")


@pytest.mark.parametrize(
    "name", ["VIVAVOCE_CACHE", "VIVAVOCE_CHAT_KEY", "VIVAVOCE_ENGINE", "VIVAVOCE_CHAT__MODEL"]
)
def test_a_variable_that_is_read_is_no_mistake(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "cascade")
    assert load().warnings == []


def test_a_voice_that_the_synthesizer_does_not_have_is_refused_before_anything_is_loaded() -> None:
    for table, known in (("synthesizer", "emma, fable, fenrir, heart"), ("session", "heart")):
        write(f"[{table}]\nvoice = 'bob'\n")
        with pytest.raises(ConfigError, match=f"'bob'.*there are: {known}"):
            choose_providers(load().config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[session]\nlanguage = 'de'", "'moonshine' transcribes no German; there are: en."),
        ("[turn]\nprovider = 'nonn'", "did you mean 'none'?"),
        ("[chat]\nprovider = 'qwn'", "did you mean 'qwen'?"),
        ("[chat]\ntread = 1", "did you mean 'threads'?"),
        ("[chat]\nmodel = 'smal'", "did you mean 'small'?"),
        ("[chat]\nthreads = 'two'", "[chat] threads of 'qwen' must be an integer"),
        ("[chat]\nthreads = 0", "must be an integer of at least 1"),
    ],
)
def test_a_mistake_about_a_provider_is_said_in_plain_words(text: str, words: str) -> None:
    write(text)
    with pytest.raises(ConfigError) as caught:
        choose_providers(load().config)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *(
            (f"[limits]\naudio_ahead_seconds = {n}", ["audio_ahead_seconds", "finite"])
            for n in ("nan", "inf", "-inf", "-1")
        ),
        ("[session]\nspeed = nan", ["[session] speed"]),
        ("[session.turn_detection]\ntype = 'server_vad'\nthreshold = nan", ["turn_detection", "threshold"]),
        (
            "[session.turn_detection]\ntype = 'server_vad'\nsilence_duration_ms = -1",
            ["turn_detection", "silence"],
        ),
        ("[[tools.http]]\nname = 'x'\ndescription = 'y'\nurl = 'http://a.example'\nseconds = inf", ["seconds"]),
        ("[[tools.mcp]]\nlabel = 'x'\nurl = 'http://a.example:99999'", ["a.example:99999", "http"]),
        ("[server]\nwebhook = 'http://'", ["[server] webhook", "http"]),
        ("[server]\nwebhook = 'http://[::1'", ["[server] webhook", "IPv6"]),
        ("[server]\nwebhook = 'http://a.example:x'", ["[server] webhook", "a.example:x"]),
        ("[remote]\nserver = 'wss://'", ["[remote] server"]),
        ("[remote]\nserver = 'wss://a.example:99999'", ["[remote] server"]),
    ],
)
def test_what_is_no_number_and_no_address_is_named(text: str, words: list[str]) -> None:
    write(text)
    said = complaint()
    assert "\n" not in said
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("role", ["chat", "transcriber", "synthesizer"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("base_url = 'http://'", ["base_url", "http://", "address"]),
        ("base_url = 'example.org/v1'", ["example.org", "http"]),
        ("base_url = 'http://a.example:99999/v1'", ["a.example:99999"]),
        ("base_url = 'http://a.example:0/v1'", ["a.example:0"]),
        ("base_url = 'http://a.example:port/v1'", ["a.example:port"]),
        ("base_url = 'http://[::1/v1'", ["[::1"]),
        ("base_url = 'http://[zz]/v1'", ["[zz]"]),
        ("base_url = 'http://a b.example/v1'", ["a b.example"]),
        ("base_url = 'http://ä.example/v1'", ["ä.example"]),
        ("base_url = 'http://me:secret@a.example/v1'", ["no user"]),
        ("base_url = 'http://a.example/v1?x=1'", ["no query"]),
        ("base_url = 'http://a.example/v1/chat/completions/'", ["base_url ends before /chat/completions"]),
        ("headers = { x-name = 'Jürgen' }", ["x-name", "ASCII"]),
        ('headers = { x-name = "a\\nb" }', ["x-name", "ASCII"]),
        ("headers = { 'x name' = 'a' }", ["'x name'"]),
        ("headers = { x-name = 1 }", ["headers"]),
        ("timeout = -1", ["] timeout of 'openai'"]),
        ("timeout = 0", ["timeout"]),
        ("timeout = nan", ["timeout"]),
        ("timeout = inf", ["timeout"]),
        ("timeout = 'soon'", ["timeout"]),
        ("patience = -1", ["patience"]),
        ("patience = nan", ["patience"]),
    ],
)
def test_a_mistake_about_an_endpoint_is_named(role: Role, line: str, words: list[str]) -> None:
    write(f"[{role}]\nprovider = 'openai'\n{line}")
    with pytest.raises(ConfigError) as caught:
        settings_for(find(role, "openai"), load().config.slot(role).settings)
    said = str(caught.value)
    assert said.startswith(f"[{role}]")
    assert "\n" not in said
    assert "secret" not in said
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("role", "name", "line"),
    [
        ("chat", "openai", "temperature = nan"),
        ("chat", "openai", "temperature = -1"),
        ("chat", "openai", "context = 0"),
        ("chat", "qwen", "threads = -1"),
        ("chat", "qwen", "context = 0"),
        ("transcriber", "moonshine", "threads = 0"),
        ("synthesizer", "hibari", "gain = nan"),
        ("vad", "silero", "gain = inf"),
        ("denoiser", "rnnoise", "rest = nan"),
        ("turn", "scripted", "over = 2"),
        ("chat", "scripted", "first_token_ms = -1"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(role: Role, name: str, line: str) -> None:
    write(f"[{role}]\nprovider = '{name}'\n{line}")
    with pytest.raises(ConfigError, match=line.split()[0]):
        settings_for(find(role, name), load().config.slot(role).settings)


def test_a_key_that_cannot_be_sent_is_named_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("schlüssel", "two\nlines"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(
            ConfigError, match="the key in OPENAI_API_KEY has more than printable ASCII"
        ) as caught:
            ApiClient.open(ApiSettings(), role="chat")
        assert key not in str(caught.value)


# servers of tools


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", None),
        ("[mcp]\nservers = ['https://a.example']", None),
        ("[mcp]\nallow = 'listed'", ()),
        ("[mcp]\nallow = 'listed'\nservers = ['https://a.example']", ("https://a.example",)),
        ("[server]\nhosts = ['voice.example']", ()),
        ("[server]\norigins = ['https://voice.example']", ()),
        ("[server]\nhosts = ['voice.example']\n[mcp]\nallow = 'any'", None),
    ],
)
def test_whoever_lets_others_in_says_which_servers_they_may_name(
    text: str, named: tuple[str, ...] | None
) -> None:
    write(text)
    assert load().config.mcp_servers == named


def test_with_keys_only_listed_servers_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_KEYS", "one")
    monkeypatch.setenv("VIVAVOCE_MCP__SERVERS", "https://a.example, http://b.example/mcp")
    assert load().config.mcp_servers == ("https://a.example", "http://b.example/mcp")


# telephone

AVR_VARIABLES = {
    "PORT": "6031",
    "AMI_URL": "http://127.0.0.1:6006",
    "OPENAI_MODEL": "gpt-realtime-2",
    "OPENAI_URL_INSTRUCTIONS": "http://crm.example/instructions",
    "OPENAI_FILE_INSTRUCTIONS": "desk.txt",
    "OPENAI_LANGUAGE": "de",
    "OPENAI_MAX_TOKENS": "300",
    "OPENAI_TEMPERATURE": "0.8",
    "OPENAI_TURN_DETECTION": "semantic_vad",
    "OPENAI_TURN_DETECTION_EAGERNESS": "low",
}


def set_avr_variables(monkeypatch: pytest.MonkeyPatch, **others: str) -> None:
    for name, value in (AVR_VARIABLES | others).items():
        monkeypatch.setenv(name, value)


def test_the_variables_of_agent_voice_response_count_for_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    set_avr_variables(monkeypatch)
    loaded = load(flags={"preset": "openai-realtime", "telephone": {"avr": True}})
    config = loaded.config
    assert (config.telephone.avr_port, config.telephone.avr_ami) == (6031, "http://127.0.0.1:6006")
    assert config.remote.model == "gpt-realtime-2"
    assert config.session.instructions_url == "http://crm.example/instructions"
    assert config.session.instructions_file == Path("desk.txt")
    assert not config.session.has_own_instructions
    assert config.session.language == "de"
    assert config.session.turn_detection == {"type": "semantic_vad", "eagerness": "low"}
    assert config.limits.output_tokens == 300
    (warning,) = loaded.warnings
    assert "OPENAI_TEMPERATURE has no effect" in warning
    assert loaded.origin("remote.model") == "the environment of Agent Voice Response"


def test_without_it_they_are_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    set_avr_variables(monkeypatch)
    loaded = load()
    assert loaded.config == Config()
    assert loaded.warnings == []


def test_our_own_variables_come_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    set_avr_variables(monkeypatch, OPENAI_MAX_TOKENS="inf", OPENAI_INSTRUCTIONS="You sell bicycles.")
    monkeypatch.setenv("VIVAVOCE_TELEPHONE__AVR", "true")
    monkeypatch.setenv("VIVAVOCE_TELEPHONE__AVR_PORT", "7000")
    config = load().config
    assert config.telephone.avr_port == 7000
    assert config.limits.output_tokens == Config().limits.output_tokens
    assert config.session.instructions == "You sell bicycles."
    assert config.session.has_own_instructions


def test_whoever_lets_telephone_peers_in_says_which() -> None:
    write("[telephone]\nhost = '0.0.0.0'")
    assert 'peers = ["192.0.2.7"]' in complaint()
    write("[telephone]\nhost = '0.0.0.0'\npeers = ['10.1.0.0/16', '192.0.2.7', '2001:db8::/32']")
    assert load().config.telephone.peers[0] == "10.1.0.0/16"
    write("[telephone]\nsip = true\nhost = '0.0.0.0'\npeers = ['10.1.0.0/16']")
    assert "sip_account" in complaint()
    write("[telephone]\npeers = ['somewhere']")
    assert "'somewhere' is no address or network" in complaint()


def test_the_manager_interface_needs_a_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[telephone]\nami = 'ami://vivavoce@127.0.0.1:5038'\n")
    assert "VIVAVOCE_AMI_SECRET=" in complaint()
    monkeypatch.setenv("VIVAVOCE_AMI_SECRET", "hush")
    assert "hush" not in repr(load().config)
    write("ami_secret = 'hush'\n")
    assert "VIVAVOCE_AMI_SECRET=" in complaint()
    for wrong in ("127.0.0.1:5038", "ami://127.0.0.1", "ami://ada:hush@127.0.0.1", "http://ada@127.0.0.1"):
        write(f"[telephone]\nami = '{wrong}'\n")
        assert "such as ami://vivavoce@127.0.0.1:5038" in complaint()


# the reference


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("server", [*ServerTable.model_fields]),
        ("session", [*SessionTable.model_fields]),
        ("mcp", [*McpTable.model_fields]),
        ("telephone", [*TelephoneTable.model_fields]),
        *((slot, ["provider"]) for slot in SLOTS),
    ],
)
def test_every_setting_is_on_its_page(table: str, names: list[str]) -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    assert f"[{table}]" in page
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_limit_is_on_its_page_with_its_default() -> None:
    page = (REFERENCE / "limits.md").read_text(encoding="utf-8")
    lines = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert set(lines) == {field.name for field in fields(Limits)}
    for field in fields(Limits):
        assert f"| {field.default:,} |" in lines[field.name]


def test_the_relays_password_is_not_for_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[webrtc]\nturn = "turn:turn.example.org"\nturn_credential = "hush"')
    assert "VIVAVOCE_WEBRTC__TURN_CREDENTIAL" in complaint()
    write('[webrtc]\nturn = "turn:turn.example.org"')
    monkeypatch.setenv("VIVAVOCE_WEBRTC__TURN_CREDENTIAL", "hush")
    credential = load().config.webrtc.turn_credential
    assert credential is not None
    assert credential.get_secret_value() == "hush"
    assert "hush" not in repr(load().config)


@pytest.mark.parametrize("line", ['stun = "turn.example.org"', 'turn = "http://turn.example.org"', "ports = 5"])
def test_who_helps_callers_by_webrtc_is_named_as_its_protocol_does(line: str) -> None:
    write(f"[webrtc]\n{line}")
    assert complaint().startswith(f"vivavoce.toml: [webrtc] {line.split()[0]}")
