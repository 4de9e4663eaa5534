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
    sidebands: int = 4
    """others that may join one call (`?call_id=`)"""
    sideband_depth: int = 512
    """events by which one who has joined may lag behind; then their line is closed"""
    ringing: int = 64
    """incoming calls that wait to be accepted; one more is turned away"""
    ringing_seconds: float = 30
    """seconds that an incoming call waits to be accepted; then it is turned away (480)"""
    webhook_seconds: float = 5
    """seconds that `[server] webhook` may take to answer; then it is told again"""
    message_bytes: int = 21 * 1024 * 1024
    """bytes of one WebSocket message: 15 MiB of sound as base64, and what surrounds it"""
    append_bytes: int = 15 * 1024 * 1024
    """bytes of sound in one `input_audio_buffer.append`"""
    values: int = 40_000
    """values of one event: texts, numbers, entries of a list; so that reading it holds up nobody"""
    buffer_seconds: float = 300
    """seconds of sound in one turn, or not yet committed"""
    body_bytes: int = 20 * 1024 * 1024
    """bytes of a JSON body (`POST /v1/chat/completions`)"""
    body_seconds: float = 60
    """seconds that the body of a request may take to come"""
    session_bytes: int = 512 * 1024
    """bytes of a session's settings that come by HTTP"""
    sdp_bytes: int = 64 * 1024
    """bytes of the offer that opens a WebRTC call"""
    client_secrets: int = 1000
    """client secrets that have not expired (`POST /v1/realtime/client_secrets`)"""
    upload_bytes: int = 25 * 1024 * 1024
    """bytes of an uploaded recording"""
    upload_seconds: float = 600
    """seconds of sound in an uploaded recording"""
    kept_seconds: float = 120
    """seconds of sound that `conversation.item.retrieve` can give back; of older items it gives the words"""
    image_bytes: int = 5 * 1024 * 1024
    """bytes of one image that a client shows"""
    kept_image_bytes: int = 16 * 1024 * 1024
    """bytes of images, as they were sent, that one conversation keeps; older ones are forgotten"""
    items: int = 2000
    """items that one conversation may hold"""
    text_chars: int = 100_000
    """characters of one text: an item's, the instructions', a tool's output"""
    tools: int = 128
    """tools that a session may name"""
    out_of_band: int = 4
    """responses outside the conversation that one conversation may have running"""
    mcp_servers: int = 8
    """MCP servers with which one conversation may be connected"""
    mcp_tools: int = 128
    """tools that the MCP servers of one conversation may offer, all together"""
    mcp_calls: int = 16
    """calls of MCP tools at work or waiting for approval at once; one more fails"""
    mcp_seconds: float = 30
    """seconds that an MCP server may take to list its tools, or to do what a tool does"""
    mcp_output_chars: int = 20_000
    """characters of what an MCP tool says; the rest is cut off"""
    mcp_bytes: int = 4 * 1024 * 1024
    """bytes of one answer of an MCP server"""
    tool_seconds: float = 30
    """seconds that a tool of the house may take, unless it says otherwise itself; then it has failed"""
    tool_calls: int = 16
    """calls of the house's tools at work at once in one conversation; one more fails"""
    tool_rounds: int = 8
    """times that answers may call tools one after the other, before the caller has said something again"""
    tool_output_chars: int = 20_000
    """characters of what a tool of the house says; the rest is cut off"""
    card_chars: int = 20_000
    """characters of a card that a tool shows; a longer one is not shown"""
    filler_seconds: float = 1.2
    """seconds after which a slow tool that has a filler says it"""
    confirm_seconds: float = 60
    """seconds that a caller has for a yes or a no, where a tool needs one; then it is not done"""
    responses_per_minute: int = 120
    """responses that one conversation may begin in a minute; then `rate_limit_exceeded`"""
    tokens_per_minute: int = 200_000
    """tokens that its responses may cost in a minute, read and written; then `rate_limit_exceeded`"""
    upstream_connect_seconds: float = 10
    """seconds in which an upstream server must accept the connection and the session"""
    upstream_reconnect_seconds: float = 20
    """seconds for which a lost upstream server is tried again in the middle of a conversation"""
    upstream_silence_seconds: float = 30
    """seconds that an upstream server may send nothing while a response is due; then it counts as lost"""
    upstream_audio_seconds: float = 30
    """seconds of the client's audio that are kept while there is no upstream server"""
    upstream_cooldown_seconds: float = 30
    """seconds for which an upstream server that failed is not tried again, where the engine can fail over"""
    drafts: int = 8
    """drafts of one answer, each begun in a pause and dropped when the caller went on"""
    ahead_seconds: float = 0.4
    """seconds of speech that may be sent before their time"""
    output_tokens: int = 4096
    """tokens of one answer"""
    glimpse_seconds: float = 30
    """seconds of one turn of which there are partial transcripts; the rest is written down when it is over"""
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
    connect_seconds: float = 15
    """seconds that a WebRTC caller may take from the answer to an open data channel; then the call is over"""
    lost_seconds: float = 15
    """seconds without a packet after which a WebRTC call counts as lost"""
    playout_seconds: float = 300
    """seconds of an answer's sound that may wait for the server to play it (WebRTC)"""
    speech_chars: int = 4096
    """characters of one text to be spoken (`POST /v1/audio/speech`)"""
    requests: int = 8
    """recordings, texts and questions in work at once by HTTP; one more is refused and told to come back"""
    connect_attempts: int = 3
    """calls in a row after which a `RealtimeClient` that was never connected gives up"""
    reconnect_attempts: int = 8
    """calls in a row after which a `RealtimeClient` that has lost its connection gives up; 0 is at once"""
    answer_seconds: float = 10
    """seconds that a server may take to begin a session, or to do what a `RealtimeClient` waits for"""
    handler_depth: int = 512
    """events that may wait for one handler of a `RealtimeClient`, or for one loop over its events"""
    log_events: int = 10_000
    """events that the log of a `RealtimeClient` keeps, the newest"""
