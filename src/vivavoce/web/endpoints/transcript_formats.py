"""Transcripts of recordings in the formats of OpenAI's `response_format`."""

import html
import zlib
from collections.abc import Sequence
from typing import Literal

from starlette.responses import JSONResponse, PlainTextResponse, Response

from vivavoce.engines.speech import Segment

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["segment", "word"]


def transcript_response(
    segments: Sequence[Segment],
    seconds: float,
    format: ResponseFormat,
    granularities: Sequence[Granularity],
    temperature: float,
) -> Response:
    """Return the response for the transcript of a recording of so many seconds."""
    match format:
        case "text":
            return PlainTextResponse(joined(segments) + "\n")
        case "srt":
            return PlainTextResponse(_srt(segments))
        case "vtt":
            return PlainTextResponse(_vtt(segments), media_type="text/vtt")
    usage = {"type": "duration", "seconds": seconds}
    if format == "json":
        return JSONResponse({"text": joined(segments), "usage": usage})
    body: dict[str, object] = {
        "task": "transcribe",
        "language": segments[0].transcript.language or "und",
        "duration": seconds,
        "text": joined(segments),
        "usage": usage,
    }
    if "segment" in granularities:
        body["segments"] = [_segment(number, one, temperature) for number, one in enumerate(segments)]
    if "word" in granularities:
        body["words"] = [word for one in segments for word in _words(one)]
    return JSONResponse(body)


def joined(segments: Sequence[Segment]) -> str:
    """Return the whole transcript."""
    return " ".join(one.transcript.text for one in segments)


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, object]:
    """Return a segment with the fields of Whisper's. Null and an empty list are what is not known."""
    text, logprob = segment.transcript.text, segment.transcript.logprob
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": None if logprob is None else round(logprob, 3),
        "compression_ratio": round(len(text.encode()) / len(zlib.compress(text.encode())), 3),
        "no_speech_prob": round(1 - segment.speech, 3),
    }


def _words(segment: Segment) -> list[dict[str, object]]:
    start = segment.start
    return [
        {"word": word.text, "start": round(start + word.start, 3), "end": round(start + word.end, 3)}
        for word in segment.transcript.words
    ]


def _srt(segments: Sequence[Segment]) -> str:
    cues = (
        f"{number}\n{_clock(one.start, ',')} --> {_clock(one.end, ',')}\n{_line(one)}\n\n"
        for number, one in enumerate(segments, 1)
    )
    return "".join(cues)


def _vtt(segments: Sequence[Segment]) -> str:
    cues = (
        f"{_clock(one.start, '.')} --> {_clock(one.end, '.')}\n{html.escape(_line(one), quote=False)}\n\n"
        for one in segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def _line(segment: Segment) -> str:
    return " ".join(segment.transcript.text.split())


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
