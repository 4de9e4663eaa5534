"""What `transports/webrtc/peer.py` relies on that aiortc does not promise. If one fails, aiortc has changed."""

import inspect
import re

import anyio
import pytest
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import RTCRtpReceiver as Receiver

from vivavoce.transports.webrtc.opus import OpusDecoder


def test_a_connection_is_established_by_a_private_coroutine_that_nobody_awaits() -> None:
    connect = getattr(RTCPeerConnection, "_RTCPeerConnection__connect", None)
    assert connect, "aiortc renamed RTCPeerConnection.__connect: peer._Connection no longer catches its errors"
    assert inspect.iscoroutinefunction(connect)
    assert list(inspect.signature(connect).parameters) == ["self"]
    source = inspect.getsource(RTCPeerConnection)
    assert "asyncio.ensure_future(self.__connect())" in source, (
        "aiortc connects in another way: see whether peer._Connection is still needed"
    )


def test_a_receiver_keeps_its_packets_in_a_private_jitter_buffer() -> None:
    source = inspect.getsource(Receiver)
    assert "self.__jitter_buffer.add(packet)" in source, (
        "aiortc reads packets in another way: Peer.answer must put its OpusDecoder elsewhere"
    )
    assert "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)" in source, (
        "JitterBuffer.add returns something else: OpusDecoder.add must return the same"
    )


def test_the_decoder_has_the_interface_of_the_jitter_buffer() -> None:
    theirs = inspect.signature(JitterBuffer.add).parameters
    ours = inspect.signature(OpusDecoder.add).parameters
    assert list(theirs) == list(ours), "aiortc's JitterBuffer.add takes other arguments"
    calls = set(re.findall(r"__jitter_buffer\.(\w+)", inspect.getsource(Receiver)))
    assert calls == {"add"}, "aiortc's receiver calls more of its jitter buffer than `add`"


@pytest.mark.anyio
@pytest.mark.real_time
async def test_the_jitter_buffer_of_a_receiver_can_be_replaced() -> None:
    connection = RTCPeerConnection()
    receiver: RTCRtpReceiver = connection.addTransceiver("audio").receiver
    assert hasattr(receiver, "_RTCRtpReceiver__jitter_buffer"), "aiortc renamed RTCRtpReceiver.__jitter_buffer"
    with anyio.fail_after(10):
        await connection.close()
