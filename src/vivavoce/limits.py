"""Every limit there is, in one place. Whatever runs into one is told its name."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """How much of everything one conversation, or one process, may have."""

    conversations: int = 64
    """conversations at once; one more is refused and told to come back"""
    conversation_minutes: float = 60
    """minutes that one conversation may last; then `session_expired`"""
    line_depth: int = 32
    """events that a client or an engine may run ahead of the other"""
    message_bytes: int = 21 * 1024 * 1024
    """bytes of one WebSocket message: 15 MiB of sound as base64, and what surrounds it"""
    append_bytes: int = 15 * 1024 * 1024
    """bytes of sound in one `input_audio_buffer.append`"""
    buffer_seconds: float = 300
    """seconds of sound in one turn, or not yet committed"""
    upload_bytes: int = 25 * 1024 * 1024
    """bytes of an uploaded recording"""
    upload_seconds: float = 600
    """seconds of sound in an uploaded recording"""
    items: int = 2000
    """items that one conversation may hold"""
    text_chars: int = 100_000
    """characters of one text: an item's, the instructions', a tool's output"""
    tools: int = 128
    """tools that a session may name"""
    out_of_band: int = 4
    """responses outside the conversation that one conversation may have running"""
    drafts: int = 8
    """drafts of one answer, each begun in a pause and dropped when the caller went on"""
    ahead_seconds: float = 0.4
    """seconds of speech that may be sent before their time"""
    output_tokens: int = 4096
    """tokens of one answer"""
    transcribe_seconds: float = 15
    """seconds that a transcriber may take"""
    first_word_seconds: float = 15
    """seconds that a chat model may think before its first word"""
    next_word_seconds: float = 10
    """seconds between two words of a chat model"""
    first_sound_seconds: float = 8
    """seconds that a synthesizer may take before its first sound, and between two chunks"""
    turn_seconds: float = 1
    """seconds that a turn detector may take; without its answer, silence alone decides"""
    events_per_second: int = 1000
    """events of one client; what comes faster waits, and harms no neighbour"""
    send_seconds: float = 10
    """seconds that a client may take to read what is sent; then its line is closed"""
    speech_chars: int = 4096
    """characters of one text to be spoken (`POST /v1/audio/speech`)"""
    requests: int = 8
    """recordings and texts in work at once by HTTP; one more is refused and told to come back"""
