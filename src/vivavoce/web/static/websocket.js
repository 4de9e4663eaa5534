// Events and sound on one WebSocket: the page plays the answers, counts what was played, and truncates what was not.

/** @typedef {import("./line.js").Listener} Listener */
/** @typedef {import("./line.js").ServerEvent} ServerEvent */
/** @typedef {import("./line.js").Transport} Transport */

/** @implements {Transport} */
export class WebSocketTransport {
  #audio;
  #transcript;
  #on;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {string | null} the answer whose audio is being received */
  #receiving = null;
  /** @type {Set<string>} answers of this session with audio: it knows no others that could be truncated */
  #received = new Set();
  /** @type {Set<string>} answers whose audio is not to be played any more */
  #discarded = new Set();

  /**
   * @param {import("./audio.js").CallAudio} audio
   * @param {import("./transcript.js").Transcript} transcript
   * @param {Listener} on
   */
  constructor(audio, transcript, on) {
    this.#audio = audio;
    this.#transcript = transcript;
    this.#on = on;
    audio.onplayed = (played) => this.#discarded.has(played.item) || on.played(played);
    audio.onfinished = on.finished;
  }

  /** @param {string} query */
  connect(query) {
    const url = new URL(`v1/realtime?${query}`, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, ["realtime"]);
    this.#socket = socket;
    this.#received.clear();
    socket.onmessage = ({ data }) => this.#on.event(JSON.parse(data));
    socket.onclose = ({ code }) => {
      this.#socket = undefined;
      this.#onAudioDone(this.#receiving); // no more of it comes
      this.#on.closed(code);
    };
  }

  /** @param {object} event */
  send(event) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get mostBytes() {
    return Infinity;
  }

  close() {
    if (this.#socket) this.#socket.onclose = this.#socket.onmessage = null;
    this.#socket?.close();
  }

  /** @param {ArrayBuffer | null} frame */
  sendInput(frame) {
    if (frame) this.send({ type: "input_audio_buffer.append", audio: btoa(String.fromCharCode(...new Uint8Array(frame))) });
  }

  /** @param {ServerEvent} event */
  handle(event) {
    if (event.type === "response.output_audio.delta") this.#onAudioDelta(event.item_id, event.delta);
    if (event.type === "response.output_audio.done") this.#onAudioDone(event.item_id);
  }

  /**
   * @param {string} item
   * @param {string} base64
   */
  #onAudioDelta(item, base64) {
    if (this.#discarded.has(item) || !this.#audio.canPlay) return;
    const samples = new Int16Array(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer);
    this.#transcript.appendAudio(item, samples);
    this.#receiving = item;
    this.#received.add(item);
    this.#on.playing(item);
    this.#audio.play(item, samples.slice());
  }

  /** @param {string | null} item */
  #onAudioDone(item) {
    this.#receiving = null;
    this.#transcript.answer(item)?.finish();
    if (item && !this.#discarded.has(item)) this.#audio.finish(item);
  }

  /** @param {string} item */
  async interrupt(item) {
    this.#discarded.add(item); // it plays on until the audio thread has the message
    for (const { item, ms } of await this.#audio.interrupt()) {
      this.#discarded.add(item);
      this.#on.truncated(item, ms);
      if (this.#received.has(item))
        this.send({ type: "conversation.item.truncate", item_id: item, content_index: 0, audio_end_ms: ms });
    }
  }
}
