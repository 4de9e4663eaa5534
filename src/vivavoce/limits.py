"""All limits, in one place. An error that a limit causes names the limit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds for one conversation or one process; set in `[limits]` of the configuration."""

    # call: connections, events, conversations

    conversations: int = 64
    """conversations at once; one more is refused with `server_busy`"""
    conversation_minutes: float = 60
    """minutes that one conversation may last; then `session_expired`"""
    line_depth: int = 32
    """events that a client or an engine may run ahead of the other"""
    message_bytes: int = 21 * 1024 * 1024
    """bytes of one WebSocket message: 15 MiB of audio as base64, and what surrounds it"""
    event_values: int = 40_000
    """values of one event: texts, numbers, entries of a list; so that decoding it does not delay others"""
    events_per_second: int = 1000
    """events of one client; what comes faster waits, and delays no other client"""
    send_seconds: float = 10
    """seconds that a client may take to read what is sent; then its connection is closed"""
    sidebands: int = 4
    """further connections that may join one call (`?call_id=`)"""
    sideband_depth: int = 512
    """events that may wait to be read by a connection that has joined; then it is closed"""
    ringing_calls: int = 64
    """incoming calls that wait to be accepted; one more is refused"""
    ringing_seconds: float = 30
    """seconds that an incoming call waits to be accepted; then it is rejected (480)"""
    webhook_seconds: float = 5
    """seconds that `[server] webhook` may take to answer; then the request is sent again"""
    webrtc_connect_seconds: float = 15
    """seconds that a WebRTC client may take from the answer to an open data channel; then the call is over"""
    webrtc_silence_seconds: float = 15
    """seconds without a packet after which a WebRTC call counts as lost"""
    items: int = 2000
    """items of one conversation"""
    text_chars: int = 100_000
    """characters of one text: an item's, the instructions', a tool's output"""
    image_bytes: int = 5 * 1024 * 1024
    """bytes of one image that a client sends"""
    conversation_image_bytes: int = 16 * 1024 * 1024
    """bytes of images, as they were sent, that one conversation keeps; older ones are dropped"""
    recall_seconds: float = 3
    """seconds that an earlier conversation may take to be read; then this one begins without it"""
    recalled_items: int = 40
    """items, the newest, of an earlier conversation with which one begins that continues it"""
    recalled_chars: int = 100_000
    """characters of these items, all together"""
    instructions_seconds: float = 3
    """seconds that the instructions of a conversation may take to be read; then the next source is asked"""
    summary_chars: int = 1000
    """characters of the notes on what is older than the context of a chat model"""
    out_of_band_responses: int = 4
    """responses outside the conversation that one conversation may have running"""
    drafts: int = 8
    """drafts of one response, each begun in a pause and dropped when the user went on"""
    responses_per_minute: int = 120
    """responses that one conversation may begin in a minute; then `rate_limit_exceeded`"""
    tokens_per_minute: int = 200_000
    """input and output tokens of the responses of a minute; then `rate_limit_exceeded`"""
    output_tokens: int = 4096
    """tokens of one response"""

    # audio: buffers, pacing, and the models that work on it

    append_bytes: int = 15 * 1024 * 1024
    """bytes of audio in one `input_audio_buffer.append`"""
    input_buffer_seconds: float = 300
    """seconds of audio in one turn, or not yet committed"""
    item_audio_seconds: float = 120
    """seconds of audio that `conversation.item.retrieve` can return; older items have their transcript only"""
    audio_ahead_seconds: float = 0.4
    """seconds of audio that may be sent before their time"""
    playout_seconds: float = 300
    """seconds of one response's audio that may wait for the server to play it (WebRTC)"""
    partial_transcript_seconds: float = 30
    """seconds of one turn of which there are partial transcripts; the rest is transcribed when it is over"""
    turn_detection_seconds: float = 1
    """seconds that a turn detector may take; without its result, silence alone decides"""
    transcription_seconds: float = 15
    """seconds that a transcriber may take"""
    first_token_seconds: float = 15
    """seconds that a chat model may take to its first token, or to the next sign that it reads its prompt"""
    reading_seconds: float = 300
    """seconds that a chat model may read its prompt, before a reply or ahead of it, and think"""
    next_token_seconds: float = 10
    """seconds between two tokens of a chat model"""
    first_audio_seconds: float = 8
    """seconds that a synthesizer may take to its first chunk of audio, and between two chunks"""

    # tools: those that the server runs

    tools: int = 128
    """tools that a session may name"""
    tool_calls: int = 16
    """calls of the server's tools at work at once in one conversation; one more fails"""
    tool_rounds: int = 8
    """times that responses may call tools one after the other, before the user has said something again"""
    tool_seconds: float = 30
    """seconds that a tool of the server may take, unless it says otherwise itself; then it has failed"""
    tool_output_chars: int = 20_000
    """characters of the output of a tool of the server; the rest is cut off"""
    card_chars: int = 20_000
    """characters of a card that a tool shows; a longer one is not shown"""
    filler_seconds: float = 1.2
    """seconds after which the filler of a slow tool that has one is spoken"""
    confirmation_seconds: float = 60
    """seconds that a user has for a yes or a no, where a tool needs one; then the call is not made"""

    # mcp: servers of tools that a session names

    mcp_servers: int = 8
    """MCP servers to which one conversation may be connected"""
    mcp_tools: int = 128
    """tools that the MCP servers of one conversation may offer, all together"""
    mcp_calls: int = 16
    """calls of MCP tools at work or waiting for approval at once; one more fails"""
    mcp_seconds: float = 30
    """seconds that an MCP server may take to list its tools, or for one call"""
    mcp_output_chars: int = 20_000
    """characters of the output of an MCP tool; the rest is cut off"""
    mcp_bytes: int = 4 * 1024 * 1024
    """bytes of one response of an MCP server"""

    # upstream: the server that the remote engine is connected to

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

    # http: requests beside the Realtime protocol

    http_requests: int = 8
    """recordings, texts and chats at work at once by HTTP; one more is refused with 503"""
    body_bytes: int = 20 * 1024 * 1024
    """bytes of a JSON body (`POST /v1/chat/completions`)"""
    body_seconds: float = 60
    """seconds that the body of a request may take to arrive"""
    session_bytes: int = 512 * 1024
    """bytes of a session's settings that come by HTTP"""
    sdp_bytes: int = 64 * 1024
    """bytes of the offer that opens a WebRTC call"""
    client_secrets: int = 1000
    """client secrets that have not expired (`POST /v1/realtime/client_secrets`)"""
    sign_in_codes: int = 100
    """codes with which a browser may sign in that are valid at once (`viva phone`)"""
    sign_in_code_seconds: float = 600
    """seconds for which such a code is valid"""
    sign_in_days: float = 30
    """days for which a browser that has signed in needs neither code nor key"""
    upload_bytes: int = 25 * 1024 * 1024
    """bytes of an uploaded recording"""
    upload_seconds: float = 600
    """seconds of audio in an uploaded recording"""
    upload_idle_seconds: float = 60
    """seconds that a conversation by uploads waits for the next one; a later one continues what was stored"""
    upload_idle_calls: int = 16
    """conversations that wait so; one more, and the one that waits longest ends"""
    speech_chars: int = 4096
    """characters of one text to be spoken (`POST /v1/audio/speech`)"""

    # store: what conversations leave behind

    journal_bytes: int = 256 * 1024 * 1024
    """bytes of what is said that wait for the database; half of it for the event log; more is lost, as a gap"""
    history_requests: int = 4
    """requests for stored conversations that ask the database at once; others wait"""
    history_seconds: float = 10
    """seconds that a request for stored conversations may wait for the database; then it fails with 503"""

    # client: `RealtimeClient`

    connect_attempts: int = 3
    """attempts in a row after which a `RealtimeClient` that was never connected gives up"""
    reconnect_attempts: int = 8
    """attempts in a row after which a `RealtimeClient` that has lost its connection gives up; 0 is at once"""
    reply_seconds: float = 10
    """seconds that a server may take to begin a session, or to do what a `RealtimeClient` waits for"""
    handler_depth: int = 512
    """events that may wait for one handler of a `RealtimeClient`, or for one loop over its events"""
    log_events: int = 10_000
    """events that the log of a `RealtimeClient` keeps, the newest"""
