"""Transfers and hang-ups by Asterisk's manager interface, which was seen with Asterisk 22.10."""

import anyio
import pytest

from transports.asterisk import FakeAmi, answered, dialled
from vivavoce.errors import ProviderError
from vivavoce.transports.telephony.ami import Ami

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

UUID = "233ed629-08a2-4c4b-99e2-d70ed61e9ae7"
CALLER = "PJSIP/ada-00000001"


@pytest.mark.parametrize("channels", [answered(UUID), dialled(UUID), dialled(UUID.upper())])
async def test_the_callers_channel_is_moved_however_it_came_to_us(channels: list[dict[str, str]]) -> None:
    fake = FakeAmi(channels)
    async with fake.serving() as ami:
        await ami.redirect(UUID, "200@internal")
    (action,) = fake.actions
    assert action == {
        "Action": "Redirect",
        "Channel": CALLER,
        "Context": "internal",
        "Exten": "200",
        "Priority": "1",
    }


@pytest.mark.parametrize("target", ["200", "tel:200", "200@internal"])
async def test_a_target_without_a_context_is_in_the_configured_one(target: str) -> None:
    fake = FakeAmi(answered(UUID))
    async with fake.serving() as ami:
        await ami.redirect(UUID, target)
    assert (fake.actions[0]["Exten"], fake.actions[0]["Context"]) == ("200", "internal")


async def test_a_caller_is_not_sent_to_an_extension_that_does_not_exist() -> None:
    fake = FakeAmi(answered(UUID))
    async with fake.serving() as ami:
        with pytest.raises(ProviderError, match="Did not find extension 999@internal"):
            await ami.redirect(UUID, "999")
    assert fake.actions == []


@pytest.mark.parametrize("target", ["", "200\r\nAction: Command", "200@a b", "sip:200@example.org", "2" * 100])
async def test_nothing_else_is_sent_to_asterisk(target: str) -> None:
    fake = FakeAmi(answered(UUID))
    async with fake.serving() as ami:
        with pytest.raises(ProviderError, match="exten or exten@context"):
            await ami.redirect(UUID, target)
    assert fake.connections == 0


async def test_the_numbers_of_a_call_are_known_by_its_channel() -> None:
    fake = FakeAmi([{**row, "CallerIDNum": "201", "Exten": "600"} for row in answered(UUID)])
    async with fake.serving() as ami:
        assert await ami.numbers(UUID) == ("201", "600")
        fake.channels = [{**row, "CallerIDNum": "<unknown>"} for row in answered(UUID)]
        assert await ami.numbers(UUID) == ("", "")


async def test_a_call_is_hung_up() -> None:
    fake = FakeAmi(dialled(UUID))
    async with fake.serving() as ami:
        await ami.hang_up(UUID)
    assert fake.actions == [{"Action": "Hangup", "Channel": CALLER}]


async def test_a_call_that_is_gone_or_not_the_only_one_of_its_uuid_is_left_alone() -> None:
    fake = FakeAmi()
    async with fake.serving() as ami:
        with pytest.raises(ProviderError, match="no channel of this call"):
            await ami.hang_up(UUID)
        fake.channels = [*answered(UUID), *answered(UUID, "PJSIP/eve-00000003")]
        with pytest.raises(ProviderError, match="2 channels have its UUID"):
            await ami.hang_up(UUID)
    assert fake.actions == []


async def test_a_wrong_secret_is_reported_and_not_shown() -> None:
    async with FakeAmi().serving(secret="guess") as ami:
        with pytest.raises(ProviderError, match="Login failed: Authentication failed"):
            await ami.check()
        assert "guess" not in repr(ami)


@pytest.mark.parametrize("action", ["Login", "CoreShowChannels", "ShowDialPlan", "Redirect"])
async def test_a_connection_that_breaks_in_the_middle_fails_the_transfer_and_not_the_next(action: str) -> None:
    fake = FakeAmi(answered(UUID), breaks_at=action)
    async with fake.serving() as ami:
        with anyio.fail_after(2), pytest.raises(ProviderError, match="broke the connection off") as caught:
            await ami.redirect(UUID, "200")
        assert caught.value.retryable
        fake.breaks_at = ""
        await ami.redirect(UUID, "200")
    assert fake.actions


async def test_an_asterisk_that_is_not_there_is_reported() -> None:
    with pytest.raises(ProviderError, match="nothing listens there"):
        await Ami("127.0.0.1", "vivavoce", "hush", port=1).check()


async def test_an_action_that_is_never_answered_takes_five_seconds() -> None:
    fake = FakeAmi(answered(UUID), hangs_at="Redirect")
    async with fake.serving() as ami:
        began = anyio.current_time()
        with pytest.raises(ProviderError, match="no answer in 5 s"):
            await ami.redirect(UUID, "200")
        assert anyio.current_time() - began == pytest.approx(5, abs=0.5)


def test_an_address_names_host_port_and_user() -> None:
    ami = Ami.at("ami://viva%40voce@pbx.example.org:5039", "hush", context="internal", hangs_up=False)
    assert (ami.host, ami.port, ami.username) == ("pbx.example.org", 5039, "viva@voce")
    assert Ami.at("ami://u@pbx", "hush", context="c", hangs_up=True).port == 5038
