"""Each peer calls a server that answers, in time that jumps."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import inf
from typing import Any
from uuid import UUID

import anyio
import h11
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from client.telephone.answering import (
    Json,
    Listener,
    Pipe,
    WebSocketEnd,
    WebSocketServer,
    called,
    ends,
    from_mulaw,
    mulaw,
    question,
    tone,
)
from vivavoce.audio import g711
from vivavoce.client.telephone.audio_socket import AudioSocket
from vivavoce.client.telephone.avr_http import AvrHttp
from vivavoce.client.telephone.avr_websocket import AvrWebSocket
from vivavoce.client.telephone.caller import OutgoingCall, Script
from vivavoce.client.telephone.chan_websocket import ChanWebSocket
from vivavoce.client.telephone.codecs import SLIN, SLIN16, ULAW, Codec
from vivavoce.client.telephone.media_streams import (
    ExotelStream,
    PlivoStream,
    TelnyxStream,
    TwilioStream,
    twilio_signature,
)
from vivavoce.client.telephone.peer import CallOptions
from vivavoce.client.telephone.timings import TurnTimings, turns
from vivavoce.client.telephone.vonage import Vonage

pytestmark = pytest.mark.anyio
CALL_ID = "40325ec2-5efd-4bd3-805f-53576e581d13"
ASK = Script([question()], pause=0.5)
CUT_IN = Script([question()], interruption=question(name="barge.wav"), after=1.0, pause=0.5)


def options(codec: Codec) -> CallOptions:
    return CallOptions(codec, call_id=CALL_ID)


def timings(call: OutgoingCall) -> list[TurnTimings]:
    return turns(call.said, call.record.queue)


def assert_answered(call: OutgoingCall, after: float = 0.3, lasts: float = 1.0) -> None:
    """The answer began 0.3 s after the end of speech, plus the time in which a message fills."""
    (turn,) = timings(call)
    assert turn.first_sound is not None
    assert (round(turn.first_sound, 2), round(turn.answer, 2)) == (after, lasts)
    assert (turn.holes, call.hung_up, dict(call.record.problems)) == ([], False, {})
    assert len(call.heard) == 2 * round(call.seconds * call.codec.rate)


# Agent Voice Response by WebSocket


def avr(end: WebSocketEnd, play: Callable[[], list[Json]], **more: Any) -> WebSocketServer:
    def audio_of(message: Json) -> bytes | None:
        return b64decode(message["audio"]) if message["type"] == "audio" else None

    return WebSocketServer(end, audio_of, play, **more)


def avr_audio(seconds: float) -> Json:
    return {"type": "audio", "audio": b64encode(tone(seconds)).decode()}


async def test_avr_is_answered_and_told_of_keys() -> None:
    ours, theirs = ends(WebSocketEnd)
    server = avr(
        theirs, lambda: [avr_audio(0.02)] * 50 + [{"type": "transcript", "role": "user", "text": "Hi"}]
    )
    call = await called(AvrWebSocket(ours), SLIN, server.serve, Script([question()], pause=0.5))
    assert_answered(call)
    assert call.record.transcripts == [("user", "Hi")]
    assert call.record.queue.lead == pytest.approx(1.0)


async def test_an_interruption_makes_avr_drop_what_it_has_queued() -> None:
    ours, theirs = ends(WebSocketEnd)
    server = avr(theirs, lambda: [avr_audio(5)], interrupt=lambda: [{"type": "interruption"}])
    call = await called(AvrWebSocket(ours), SLIN, server.serve, CUT_IN)
    asked, interrupted = timings(call)
    assert interrupted.quiet == pytest.approx(0.02)
    assert asked.answer == pytest.approx(1.1, abs=0.03)  # until the caller, who has 0.1 s of silence first
    assert interrupted.first_sound == pytest.approx(0.3)


async def test_what_avr_cannot_use_is_a_problem_and_the_call_goes_on() -> None:
    ours, theirs = ends(WebSocketEnd)
    wrong: list[Json] = [
        {"type": "audio", "audio": "###"},
        {"type": "error", "message": "no model"},
        {"type": "x"},
    ]
    server = avr(theirs, lambda: [*wrong, avr_audio(1)], greeting=[[]])
    call = await called(AvrWebSocket(ours), SLIN, server.serve, ASK)
    assert list(call.record.problems) == [
        "A message is no JSON object.",
        "A message's audio is no base64.",
        "The server reports an error: no model",
        "A message has the type 'x', which avr-core does not know.",
    ]
    assert timings(call)[0].first_sound == pytest.approx(0.3)


async def test_keys_are_pressed_one_after_the_other_without_audio_meanwhile() -> None:
    ours, theirs = ends(WebSocketEnd)
    server = avr(theirs, list, greeting=[avr_audio(1)])
    arrivals = list[float]()
    original = server.audio_of

    def audio_of(message: Json) -> bytes | None:
        arrivals.append(anyio.current_time())
        return original(message)

    server.audio_of = audio_of
    call = await called(AvrWebSocket(ours), SLIN, server.serve, Script(keys="12", pause=0.5, answer_seconds=1))
    assert [message["digit"] for _, message in server.received] == ["1", "2"]
    first, second = (at for at, _ in server.received)
    assert second - first == pytest.approx(0.2)
    assert max(after - before for before, after in pairwise(arrivals)) > 0.07
    assert (call.said[0].what, call.said[0].start) == ("keys 12", pytest.approx(1.5, abs=0.03))


async def test_a_server_that_hangs_up_ends_the_call() -> None:
    ours, theirs = ends(WebSocketEnd)

    async def serve() -> None:
        await theirs.recv()
        await theirs.close()

    call = await called(AvrWebSocket(ours), SLIN, serve, ASK)
    assert (call.hung_up, call.said, dict(call.record.problems)) == (True, [], {})
    assert call.seconds < 0.1


async def test_a_call_that_never_ends_is_ended() -> None:
    ours, theirs = ends(WebSocketEnd)
    server = avr(theirs, list)
    script = Script([question()], pause=0.5, answer_seconds=inf)
    call = await called(AvrWebSocket(ours), SLIN, server.serve, script)
    assert (call.seconds, list(call.record.problems)) == (
        pytest.approx(600),
        ["The call was ended after 600 s."],
    )


# Agent Voice Response by HTTP


async def serve_http(
    end: Pipe, answer: list[bytes], seen: list[Any], status: int = 200, *, is_ending: bool = True
) -> None:
    http, listener = h11.Connection(h11.SERVER), Listener()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await end.receive())
        elif isinstance(event, h11.Request):
            seen.append((event.method, event.target, dict(event.headers)))
            headers = [("Transfer-Encoding", "chunked")]
            await end.send(http.send(h11.Response(status_code=status, headers=headers)) or b"")
            if status != 200:
                await end.send(http.send(h11.Data(data=b'{"message": "no model"}')) or b"")
                await end.send(http.send(h11.EndOfMessage()) or b"")
                return
        elif isinstance(event, h11.Data):
            if listener.hear(bytes(event.data)) == "ended":
                for piece in answer:
                    await end.send(http.send(h11.Data(data=piece)) or b"")
        elif isinstance(event, h11.EndOfMessage):
            seen.append("ended")
            if not is_ending:
                continue
            await end.send(http.send(h11.EndOfMessage()) or b"")
            return


async def http_call(
    answer: list[bytes], seen: list[Any], status: int = 200, *, responds: bool = True
) -> OutgoingCall:
    ours, theirs = ends(Pipe)
    peer = AvrHttp(ours, "server")
    await peer.begin("/speech-to-speech-stream", options(SLIN))
    return await called(peer, SLIN, partial(serve_http, theirs, answer, seen, status, is_ending=responds), ASK)


async def test_avr_by_http_sends_and_receives_at_once_in_pieces_of_any_size() -> None:
    seen, sound = list[Any](), tone(1)
    call = await http_call([sound[at : at + 333] for at in range(0, len(sound), 333)], seen)
    assert_answered(call)
    method, target, headers = seen[0]
    assert (method, target) == (b"POST", b"/speech-to-speech-stream")
    assert (headers[b"x-uuid"], headers[b"transfer-encoding"]) == (CALL_ID.encode(), b"chunked")
    assert seen[-1] == "ended"


async def test_a_response_must_end_with_the_request() -> None:
    call = await http_call([tone(1)], [], responds=False)
    assert list(call.record.problems) == ["server: did not end its response within 2 s of the request."]


async def test_a_refusal_by_http_says_why() -> None:
    call = await http_call([], [], status=500)
    assert dict(call.record.problems) == {"server: refuses the call (HTTP 500): no model.": 1}


# AudioSocket


async def serve_frames(
    end: Pipe, seen: list[tuple[int, bytes]], answer: Callable[[bytes], bytes] | None
) -> None:
    stream, listener = BufferedByteReceiveStream(end), Listener()
    while True:
        try:
            kind, *size = await stream.receive_exactly(3)
            payload = await stream.receive_exactly(int.from_bytes(bytes(size), "big"))
        except (anyio.IncompleteRead, anyio.ClosedResourceError):
            return
        seen.append((kind, payload))
        pcm = g711.decode(payload, "ulaw") if len(payload) == 160 else payload
        if kind == 0x10 and listener.hear(pcm) == "ended" and answer:
            due = anyio.current_time()
            for _ in range(50):
                await anyio.sleep_until(due)
                await end.send(answer(tone(0.02)))
                due += 0.02


async def frames_call(
    seen: list[tuple[int, bytes]], answer: Callable[[bytes], bytes], codec: Codec = SLIN, script: Script = ASK
) -> OutgoingCall:
    ours, theirs = ends(Pipe)
    peer = AudioSocket(ours, "server", codec.rate)
    await peer.write(0x01, UUID(CALL_ID).bytes)
    return await called(peer, codec, partial(serve_frames, theirs, seen, answer), script)


def slin(pcm: bytes) -> bytes:
    return b"\x10\x01\x40" + pcm


async def test_audiosocket_names_the_call_and_is_answered() -> None:
    seen = list[tuple[int, bytes]]()
    assert_answered(await frames_call(seen, slin))
    assert seen[0] == (0x01, UUID(CALL_ID).bytes)
    assert {len(payload) for kind, payload in seen[1:]} == {320}


async def test_audiosocket_sends_keys_between_its_frames() -> None:
    seen = list[tuple[int, bytes]]()
    call = await frames_call(seen, slin, script=Script([question()], "1" * 60, pause=0.5, answer_seconds=0.1))
    assert [payload for kind, payload in seen if kind == 0x03] == [b"1"] * 60
    assert dict(call.record.problems) == {}


async def test_audiosocket_may_send_mu_law_as_dial_does_and_is_answered_in_pcm() -> None:
    seen = list[tuple[int, bytes]]()
    assert_answered(await frames_call(seen, slin, ULAW))
    assert {(kind, len(payload)) for kind, payload in seen[1:]} == {(0x10, 160)}


async def test_what_makes_asterisk_drop_the_call_ends_it() -> None:
    for wrong, why in ((b"\x42\x00\x00", "a frame of type 0x42"), (b"\x10\x00\x00", "audio without samples")):
        call = await frames_call([], lambda pcm, wrong=wrong: wrong)
        assert list(call.record.problems) == [f"server: sent {why}, at which Asterisk drops the call."]


async def test_a_hang_up_by_the_server_ends_the_call() -> None:
    call = await frames_call([], lambda pcm: b"\x00\x00\x00")
    assert (call.hung_up, dict(call.record.problems)) == (True, {})


async def test_audio_in_another_rate_is_played_at_its_speed() -> None:
    call = await frames_call([], lambda pcm: b"\x12\x02\x80" + tone(0.02, 16_000))
    assert timings(call)[0].answer == pytest.approx(1.0, abs=0.01)
    assert dict(call.record.problems) == {}


async def test_audiosocket_plays_no_more_ahead_than_a_telephone_buffers() -> None:
    call = await frames_call([], lambda pcm: b"\x10" + (16_000).to_bytes(2, "big") + tone(1))
    assert call.record.queue.lost > 40
    assert "A frame has more than 20 ms, which Asterisk sends on as one packet." in call.record.problems


# Twilio, and those like it


def stream_audio(message: Json) -> bytes | None:
    return from_mulaw(message["media"]["payload"]) if message["event"] == "media" else None


def to_stream(event: str, **content: Any) -> Json:
    return {"event": event, "streamSid": "MZ" + CALL_ID.replace("-", ""), **content}


def twilio_media(seconds: float) -> Json:
    return to_stream("media", media={"payload": mulaw(tone(seconds))})


async def stream_call(
    kind: type[TwilioStream],
    play: Callable[[], list[Json]],
    script: Script = ASK,
    codec: Codec = ULAW,
    audio_of: Callable[[Json], bytes | None] = stream_audio,
    **more: Any,
) -> tuple[OutgoingCall, WebSocketServer]:
    ours, theirs = ends(WebSocketEnd)
    server = WebSocketServer(theirs, audio_of, play, **more)
    peer = kind(ours, options(codec))
    await peer.begin()
    return await called(peer, codec, server.serve, script), server


async def test_twilio_tells_what_it_sends_and_returns_a_mark_when_the_audio_before_it_was_played() -> None:
    mark = to_stream("mark", mark={"name": "end"})
    call, server = await stream_call(TwilioStream, lambda: [twilio_media(1), mark])
    assert_answered(call)
    assert server.events() == ["connected", "start", "mark", "stop"]
    start = server.received[1][1]
    assert start["sequenceNumber"] == "1"
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert start["start"]["streamSid"] == start["streamSid"]
    assert server.at("mark")[0] == pytest.approx(call.said[0].end + 0.3 + 1.0, abs=0.01)
    assert server.received[2][1]["mark"] == {"name": "end"}


async def test_twilio_returns_all_marks_at_once_when_it_is_cleared() -> None:
    marks = [to_stream("mark", mark={"name": str(number)}) for number in range(3)]
    call, server = await stream_call(
        TwilioStream,
        lambda: [*(one for mark in marks for one in (twilio_media(2), mark))],
        CUT_IN,
        interrupt=lambda: [to_stream("clear")],
    )
    assert timings(call)[1].quiet == pytest.approx(0.02, abs=0.005)
    cut = call.said[1].start + 0.02
    assert [round(at - cut, 2) for at in server.at("mark")[:3]] == [0, 0, 0]


async def test_twilio_ignores_what_names_no_stream() -> None:
    call, _ = await stream_call(
        TwilioStream, lambda: [{**twilio_media(1), "streamSid": "MZ1"}, twilio_media(1)]
    )
    assert dict(call.record.problems) == {"A message does not name the stream, and is ignored.": 1}
    assert timings(call)[0].answer == pytest.approx(1.0)


async def test_a_file_header_in_the_audio_is_a_problem() -> None:
    wav = to_stream("media", media={"payload": b64encode(b"RIFF" + bytes(316)).decode()})
    call, _ = await stream_call(TwilioStream, lambda: [wav, twilio_media(1)])
    assert list(call.record.problems) == [
        "A message's audio begins with the header of a file, which is played as noise."
    ]


def test_a_request_is_signed_as_the_carrier_does() -> None:
    # made with the carrier's own package
    assert twilio_signature("12345", "wss://voice.example.org/twilio") == "n3SsJD42KMgeyNWaA9rg2m68JjU="


async def test_telnyx_writes_its_names_in_another_way() -> None:
    media = {"event": "media", "media": {"payload": mulaw(tone(1))}}
    call, server = await stream_call(
        TelnyxStream,
        lambda: [media, {"event": "mark", "mark": {"name": "end"}}],
        Script([question()], "5", pause=0.5),
    )
    assert timings(call)[0].first_sound == pytest.approx(0.3)
    assert server.events() == ["connected", "start", "mark", "dtmf", "stop"]
    start = server.received[1][1]
    assert start["start"]["media_format"] == {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    assert (start["start"]["from"], start["start"]["to"]) == ("+15550100", "+15550199")
    assert server.received[3][1]["dtmf"] == {"digit": "5"}


async def test_plivo_has_checkpoints_and_says_that_it_has_cleared() -> None:
    stream = "MZ" + CALL_ID.replace("-", "")
    media = {"contentType": "audio/x-l16", "sampleRate": 8000, "payload": b64encode(tone(3)).decode()}
    played = [
        {"event": "playAudio", "media": media},
        {"event": "checkpoint", "streamId": stream, "name": "end"},
    ]
    call, server = await stream_call(
        PlivoStream, lambda: played, CUT_IN, interrupt=lambda: [{"event": "clearAudio", "streamId": stream}]
    )
    assert timings(call)[1].quiet == pytest.approx(0.02, abs=0.005)
    assert server.events() == ["start", "clearedAudio", "playedStream", "clearedAudio", "playedStream"]
    assert dict(call.record.problems) == {}


async def test_plivo_plays_no_audio_of_another_rate() -> None:
    media = {"contentType": "audio/x-l16", "sampleRate": 24000, "payload": b64encode(tone(1)).decode()}
    call, _ = await stream_call(PlivoStream, lambda: [{"event": "playAudio", "media": media}])
    assert dict(call.record.problems) == {"Audio came as audio/x-l16 at 24000 Hz.": 1}


def exotel_audio(message: Json) -> bytes | None:
    return b64decode(message["media"]["payload"]) if message["event"] == "media" else None


async def test_exotel_sends_pcm_of_100_ms_and_wants_as_much() -> None:
    def media(seconds: float) -> Json:
        return {"event": "media", "media": {"payload": b64encode(tone(seconds)).decode()}}

    sizes = set[int]()

    def audio_of(message: Json) -> bytes | None:
        pcm = exotel_audio(message)
        sizes.update([len(pcm)] if pcm else [])
        return pcm and pcm[-320:]

    call, _ = await stream_call(ExotelStream, lambda: [media(0.2), media(0.02)], codec=SLIN, audio_of=audio_of)
    assert sizes == {1600}
    assert list(call.record.problems) == [
        "A message has 320 bytes of audio, which must be a multiple of 320, and 3,200 to 100,000."
    ]


# Vonage


async def test_vonage_sends_binary_audio_and_notifies_when_it_was_played() -> None:
    ours, theirs = ends(WebSocketEnd)
    server = WebSocketServer(
        theirs,
        lambda message: message if isinstance(message, bytes) else None,
        lambda: [*[tone(0.02, 16_000)] * 150, {"action": "notify", "payload": {"n": 1}}],
        interrupt=lambda: [{"action": "clear"}],
    )
    script = Script([question(16_000)], interruption=question(16_000, name="barge.wav"), after=1.0, pause=0.5)
    call = await called(Vonage(ours, 640), SLIN16, server.serve, script)
    assert timings(call)[1].quiet == pytest.approx(0.02, abs=0.005)
    assert server.events() == ["websocket:cleared", "websocket:cleared", "websocket:notify"]
    assert server.received[-1][1]["payload"] == {"n": 1}


# Asterisk's chan_websocket


async def channel_call(
    play: Callable[[], list[Any]], script: Script, **more: Any
) -> tuple[OutgoingCall, WebSocketServer]:
    ours, theirs = ends(WebSocketEnd)
    server = WebSocketServer(
        theirs, lambda message: message if isinstance(message, bytes) else None, play, **more
    )
    peer = ChanWebSocket(ours, options(SLIN16))
    await peer.begin()
    return await called(peer, SLIN16, server.serve, script), server


def command(name: str, **more: str) -> Json:
    return {"command": name, **more}


ASK16 = Script([question(16_000)], pause=0.5)


async def test_asterisk_begins_with_its_format_and_reports_a_mark_when_it_was_played() -> None:
    mark = command("MARK_MEDIA", correlation_id="end")
    call, server = await channel_call(lambda: [command("ANSWER"), tone(1, 16_000), mark], ASK16)
    assert_answered(call)
    assert server.events() == ["MEDIA_START", "MEDIA_MARK_PROCESSED"]
    start = server.received[0][1]
    assert (start["format"], start["optimal_frame_size"], start["ptime"]) == ("slin16", 640, 20)
    assert server.at("MEDIA_MARK_PROCESSED")[0] == pytest.approx(call.said[0].end + 1.3, abs=0.01)


async def test_asterisk_throws_away_what_fills_no_frame_unless_it_is_buffering() -> None:
    pieces = [tone(1000 / 32_000, 16_000)] * 32
    call, _ = await channel_call(lambda: list[Any](pieces), ASK16)
    assert timings(call)[0].answer == pytest.approx(0.64)
    assert len(call.record.problems) == 1
    bracketed = [command("START_MEDIA_BUFFERING"), *pieces, command("STOP_MEDIA_BUFFERING", correlation_id="1")]
    call, server = await channel_call(lambda: bracketed, ASK16)
    assert_answered(call)
    assert server.events() == ["MEDIA_START", "MEDIA_BUFFERING_COMPLETED"]


async def test_asterisk_says_when_its_queue_is_full_and_when_it_is_not_and_when_it_is_empty() -> None:
    played = [*[tone(1, 16_000)] * 22, command("REPORT_QUEUE_DRAINED"), command("GET_STATUS")]
    call, server = await channel_call(lambda: played, ASK16)
    assert server.events() == ["MEDIA_START", "MEDIA_XOFF", "STATUS", "MEDIA_XON", "QUEUE_DRAINED"]
    assert server.received[2][1]["queue_full"]
    full, ready, drained = (server.at(name)[0] for name in ("MEDIA_XOFF", "MEDIA_XON", "QUEUE_DRAINED"))
    assert (ready - full, drained - full) == (pytest.approx(4, abs=0.05), pytest.approx(20, abs=0.05))
    assert list(call.record.problems) == ["A message came while 1000 frames were queued, and is ignored."]


async def test_flushing_stops_the_audio_and_drops_the_marks() -> None:
    played = [tone(5, 16_000), command("MARK_MEDIA", correlation_id="end")]
    script = Script([question(16_000)], interruption=question(16_000), after=1.0, pause=0.5)
    call, server = await channel_call(
        lambda: list[Any](played), script, interrupt=lambda: [command("FLUSH_MEDIA")]
    )
    assert timings(call)[1].quiet == pytest.approx(0.02, abs=0.005)
    assert len(server.at("MEDIA_MARK_PROCESSED")) == 1  # of the second answer


async def test_control_may_be_lines_of_words() -> None:
    ours, theirs = ends(WebSocketEnd)
    lines = list[str]()

    async def serve() -> None:
        listener = Listener()
        async for message in theirs:
            if isinstance(message, str):
                lines.append(message)
            elif listener.hear(message) == "ended":
                for part in (
                    "START_MEDIA_BUFFERING",
                    tone(1, 16_000),
                    "STOP_MEDIA_BUFFERING 7",
                    "MARK_MEDIA a b",
                ):
                    await theirs.send(part)

    peer = ChanWebSocket(ours, options(SLIN16), as_json=False)
    await peer.begin()
    script = Script([question(16_000)], "5", pause=0.5, answer_seconds=1)
    call = await called(peer, SLIN16, serve, script)
    assert timings(call)[0].answer == pytest.approx(1.0)
    assert lines[1:3] == ["MEDIA_BUFFERING_COMPLETED 7", "MEDIA_MARK_PROCESSED a b"]
    assert re.fullmatch(
        r"MEDIA_START .*connection_id:\S+ .*format:slin16 optimal_frame_size:640 ptime:20", lines[0]
    )
    assert lines[3].startswith("DTMF_END ")
    assert "digit:5" in lines[3].split()


async def test_a_command_that_is_too_long_is_ignored() -> None:
    call, server = await channel_call(lambda: [command("MARK_MEDIA", correlation_id="x" * 128)], ASK16)
    assert server.events() == ["MEDIA_START"]
    assert list(call.record.problems) == ["A command has more than 128 bytes, and is ignored."]
