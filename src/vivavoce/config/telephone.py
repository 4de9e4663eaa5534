"""`[telephone]`, and the environment variables of Agent Voice Response, under their own names."""

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from vivavoce.addresses import is_loopback
from vivavoce.config.base import HttpAddress, SettingsTable, Table, Texts, matching

Port = Annotated[int, Field(ge=0, le=65535)]
NO_EFFECT = ("OPENAI_TEMPERATURE", "OPENAI_REASONING_EFFORT")
"""variables of Agent Voice Response for which the protocol has no setting"""

_AVR_VARIABLES: Mapping[str, tuple[str, str]] = {
    "PORT": ("telephone", "avr_port"),
    "AMI_URL": ("telephone", "avr_ami"),
    "WEBHOOK_URL": ("telephone", "webhook"),
    "OPENAI_MODEL": ("remote", "model"),
    "OPENAI_TRANSCRIPTION_MODEL": ("remote", "transcriber"),
    "OPENAI_INSTRUCTIONS": ("session", "instructions"),
    "OPENAI_URL_INSTRUCTIONS": ("session", "instructions_url"),
    "OPENAI_FILE_INSTRUCTIONS": ("session", "instructions_file"),
    "OPENAI_VOICE": ("session", "voice"),
    "OPENAI_LANGUAGE": ("session", "language"),
    "OPENAI_MAX_TOKENS": ("limits", "output_tokens"),
}


class TelephoneTable(SettingsTable):
    """`[telephone]`: the telephone peers that bring calls."""

    avr: bool = False
    """whether Agent Voice Response brings calls (`viva serve --avr`)"""
    avr_port: Port = 6030
    """port for Agent Voice Response; 0 takes any free one"""
    avr_ami: HttpAddress = ""
    """address of AVR's `avr-ami`, such as `http://127.0.0.1:6006`, which hangs calls up and transfers them"""
    audiosocket: bool = False
    """whether Asterisk brings calls by AudioSocket (`viva serve --audiosocket`)"""
    audiosocket_port: Port = 9092
    """port for AudioSocket; 0 takes any free one"""
    ami: Annotated[
        str,
        matching(
            r"^(ami://[^\s:/@]+@[^\s:/@]+(:[0-9]{1,5})?)?$", "an address such as ami://vivavoce@127.0.0.1:5038"
        ),
    ] = ""
    """Asterisk's manager interface, such as `ami://vivavoce@127.0.0.1:5038`, which transfers its calls"""
    ami_hangup: bool = False
    """whether the end of a conversation ends the caller's channel by `ami`; otherwise the dialplan goes on"""
    context: Annotated[str, matching(r"^[A-Za-z0-9_.-]+$", "a context of the dialplan")] = "default"
    """context of Asterisk's dialplan in which an extension is looked up to which a call is transferred"""
    sip: bool = False
    """whether calls come directly by SIP (`viva serve --sip`; the extra `sip`)"""
    sip_port: Annotated[int, Field(ge=1, le=65535)] = 5060
    """port for SIP"""
    sip_account: Annotated[
        str, matching(r"^(sip:[^\s:;/@<>]+@[^\s;/@<>]+)?$", "an account such as sip:1001@pbx.example.org")
    ] = ""
    """our account at a registrar, such as `sip:1001@pbx.example.org`; without one, anybody may call"""
    host: Annotated[str, matching(r"^\S+$", "an address to listen on")] = "127.0.0.1"
    """address to listen on for calls; beyond loopback, `peers` says who may bring some"""
    peers: Texts = ()
    """addresses or networks, such as `10.1.0.0/16`, that may bring calls; none is any that reaches `host`"""

    webhook: HttpAddress = ""
    """address that is told what happens in calls: their start, end, words, keys and interruptions"""
    tools: bool = True
    """whether the model may hang up, transfer the call and press keys"""
    transfers: Mapping[str, str] = {}
    """to whom it may transfer a call: targets by name, such as `sales = "200@desk"` or `"tel:+15550199"`"""

    @field_validator("peers")
    @classmethod
    def _check_peers(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        for peer in peers:
            try:
                ip_network(peer, strict=False)
            except ValueError as error:
                problem = f"{peer!r} is no address or network such as 192.0.2.7 or 10.1.0.0/16"
                raise ValueError(problem) from error
        return peers

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        if not is_loopback(self.host) and not self.peers:
            raise ValueError(
                f"telephone.host {self.host} can be reached from other machines, and telephone peers have no "
                'key; say who may bring calls, such as peers = ["192.0.2.7"]'
            )
        if self.sip and not is_loopback(self.host) and not self.sip_account:
            raise ValueError(
                f"telephone.host {self.host} can be reached from other machines, and SIP does not check peers; "
                "name our account at a registrar in sip_account, or let a PBX on this machine bring the calls"
            )
        return self


def avr_settings() -> Table:
    """Return the settings that the environment has under the names of Agent Voice Response."""
    tables: dict[str, dict[str, object]] = {}
    for variable, (table, key) in _AVR_VARIABLES.items():
        value = os.environ.get(variable, "").strip()
        if value and (variable, value) != ("OPENAI_MAX_TOKENS", "inf"):
            tables.setdefault(table, {})[key] = value
    if detection := os.environ.get("OPENAI_TURN_DETECTION"):
        eagerness = os.environ.get("OPENAI_TURN_DETECTION_EAGERNESS")
        tables.setdefault("session", {})["turn_detection"] = {
            "type": detection,
            **({"eagerness": eagerness} if eagerness and detection == "semantic_vad" else {}),
        }
    return tables


def avr_warnings() -> Iterator[str]:
    """Yield a sentence for each variable of Agent Voice Response that is set and has no effect."""
    for variable in NO_EFFECT:
        if os.environ.get(variable):
            yield f"{variable} has no effect: the Realtime protocol has no such setting any more."
