// Sound by WebRTC, events on its data channel: the server plays the answers, counts what was played, and truncates.

import { ServerError, readStatus, request } from "./server.js";

const CONNECT_MS = 12000;
const LOST_MS = 4000; // without a packet, in which a network may come back
const AHEAD_MS = 400; // by which a server sends words before their sound (limits.audio_ahead_seconds)
const FRAME_MS = 20;
const SILENT = 1e-4;
const LAG_MS = 600; // by which the sound comes after the event that it is played; Firefox buffers more than others
const FADE_SECONDS = 0.01;
const OVER = 1000; // codes of a WebSocket
const LOST = 1006;
const NO_WAY =
  "WebRTC does not get through to the server: it needs UDP. Choose WebSocket as the connection, under Settings.";

/** @typedef {import("./audio.js").CallAudio} CallAudio */
/** @typedef {import("./line.js").Listener} Listener */
/** @typedef {import("./line.js").ServerEvent} ServerEvent */
/** @typedef {import("./line.js").Transport} Transport */

/** @implements {Transport} */
export class WebRtcTransport {
  #audio;
  #transcript;
  #on;
  #microphone;
  /** @type {RTCPeerConnection | undefined} */
  #peer;
  /** @type {RTCDataChannel | undefined} */
  #channel;
  /** @type {Voice | undefined} */
  #voice;
  /** @type {Map<string, string>} responses, and the answer in each that was begun last */
  #answers = new Map();
  /** @type {string | null} the answer that is heard */
  #playing = null;
  #playedMs = 0;
  #waitedMs = 0; // for its first sound

  /**
   * @param {CallAudio} audio
   * @param {import("./transcript.js").Transcript} transcript
   * @param {Listener} on
   */
  constructor(audio, transcript, on) {
    this.#audio = audio;
    this.#transcript = transcript;
    this.#on = on;
    this.#microphone = new Microphone(audio);
  }

  /** @param {string} query */
  async connect(query) {
    const peer = new RTCPeerConnection();
    const channel = peer.createDataChannel("oai-events");
    this.#peer = peer;
    this.#channel = channel;
    const tooLate = setTimeout(() => this.#lose(peer, LOST, NO_WAY), CONNECT_MS);
    peer.addTrack(this.#microphone.track);
    peer.ontrack = ({ track }) => this.#hear(new MediaStream([track]));
    peer.onconnectionstatechange = () => this.#onState(peer);
    channel.onopen = () => clearTimeout(tooLate);
    channel.onmessage = ({ data }) => this.#peer === peer && this.#on.event(JSON.parse(data));
    channel.onclose = () => this.#onChannelClosed(peer);
    try {
      await peer.setLocalDescription();
      const headers = { "content-type": "application/sdp" };
      const body = peer.localDescription?.sdp;
      const answer = await request(`v1/realtime/calls?${query}`, { method: "POST", headers, body });
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    } catch (error) {
      if (peer.signalingState === "closed") return; // ended meanwhile
      if (!(error instanceof ServerError)) throw error;
      this.#lose(peer, LOST, error.message);
    }
  }

  /** @param {object} event */
  send(event) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(event));
  }

  get unsent() {
    return this.#channel?.bufferedAmount ?? 0;
  }

  get mostBytes() {
    return this.#peer?.sctp?.maxMessageSize ?? 0;
  }

  close() {
    this.#voice?.close();
    this.#voice = undefined;
    this.#peer?.close();
    this.#peer = undefined;
  }

  /** @param {ArrayBuffer | null} frame which the track carries already */
  sendInput(frame) {
    this.#microphone.open(frame !== null);
  }

  // the connection

  /** @param {RTCPeerConnection} peer */
  #onState(peer) {
    if (peer.connectionState === "failed") this.#lose(peer, LOST, NO_WAY);
    if (peer.connectionState === "disconnected")
      setTimeout(() => peer.connectionState === "disconnected" && this.#lose(peer, LOST), LOST_MS);
  }

  /**
   * The server has closed the call, because the conversation or the server itself is over.
   * @param {RTCPeerConnection} peer
   */
  async #onChannelClosed(peer) {
    const here = await readStatus().then(({ ready }) => ready, () => false);
    this.#lose(peer, here ? OVER : LOST);
  }

  /**
   * @param {RTCPeerConnection} peer
   * @param {number} code
   * @param {string} [why]
   */
  #lose(peer, code, why) {
    if (this.#peer !== peer) return; // we have closed it, or opened another
    this.close();
    if (this.#playing) this.#on.truncated(this.#playing, this.#heardMs);
    this.#playing = null;
    this.#on.closed(code, why);
  }

  // the sound

  /** @param {MediaStream} stream */
  async #hear(stream) {
    await this.#audio.ready;
    this.#voice?.close();
    this.#voice = new Voice(this.#audio, stream, (sound) => this.#onSound(sound));
  }

  /** @param {{frame: ArrayBuffer, level: number}} sound */
  #onSound({ frame, level }) {
    const item = this.#playing;
    if (!item) return;
    if (!this.#playedMs && level < SILENT && this.#waitedMs < LAG_MS) return void (this.#waitedMs += FRAME_MS);
    this.#playedMs += FRAME_MS;
    this.#transcript.appendAudio(item, new Int16Array(frame));
    this.#on.played({ item, ms: this.#heardMs, level });
  }

  get #heardMs() {
    return Math.max(0, Math.round(this.#playedMs - this.#audio.latencyMs));
  }

  /** @param {ServerEvent} event */
  handle(event) {
    switch (event.type) {
      case "response.output_item.added":
        if (event.item.type === "message") this.#answers.set(event.response_id, event.item.id);
        return;
      case "response.output_audio_transcript.delta":
        return this.#expect(event.item_id);
      case "output_audio_buffer.started":
        return this.#onStarted(this.#answers.get(event.response_id));
      case "output_audio_buffer.stopped":
        return this.#onStopped(event.response_id);
      case "output_audio_buffer.cleared":
        this.#answers.delete(event.response_id);
        return this.#silence();
      case "conversation.item.truncated":
        return this.#on.truncated(event.item_id, event.audio_end_ms);
    }
  }

  /**
   * Its words come before its sound, which says nothing of itself.
   * @param {string} item
   */
  #expect(item) {
    const answer = this.#transcript.answer(item);
    if (answer) Object.assign(answer, { hasAudio: true, aheadMs: AHEAD_MS });
  }

  /** @param {string | undefined} item */
  #onStarted(item) {
    if (!item) return;
    this.#voice?.silence(false);
    this.#playedMs = this.#waitedMs = 0;
    this.#playing = item;
    this.#on.playing(item);
  }

  /** @param {string} response */
  #onStopped(response) {
    const item = this.#answers.get(response);
    this.#answers.delete(response);
    this.#playing = null;
    if (item) this.#on.finished(item);
  }

  #silence() {
    this.#voice?.silence(true); // the browser has some of it still to play
    this.#playing = null;
  }

  interrupt() {
    this.#silence();
    this.send({ type: "output_audio_buffer.clear" });
  }
}

/** The microphone as a track, which is there before any microphone is open, and stays when another one is. */
class Microphone {
  #gate;

  /** @param {CallAudio} audio */
  constructor({ context, input }) {
    const sent = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    this.#gate = new GainNode(context, { gain: 0 });
    input.connect(this.#gate).connect(sent);
    this.track = sent.stream.getAudioTracks()[0];
  }

  /** @param {boolean} open whether the server hears it */
  open(open) {
    this.#gate.gain.value = Number(open);
  }
}

/** The server's track, heard as the page's own sound is. */
class Voice {
  #audio;
  #element;
  #source;
  #gate;
  #heard;

  /**
   * @param {CallAudio} audio
   * @param {MediaStream} stream
   * @param {(sound: {frame: ArrayBuffer, level: number}) => void} onsound
   */
  constructor(audio, stream, onsound) {
    this.#audio = audio;
    this.#element = new Audio(); // Chromium decodes what an element plays, and nothing else
    this.#element.muted = true;
    this.#element.srcObject = stream;
    this.#source = audio.context.createMediaStreamSource(stream);
    this.#gate = audio.context.createGain();
    this.#source.connect(this.#gate).connect(audio.output);
    this.#heard = audio.listen(this.#gate, onsound);
  }

  /** @param {boolean} is */
  silence(is) {
    this.#gate.gain.setTargetAtTime(is ? 0 : 1, this.#audio.context.currentTime, FADE_SECONDS / 3);
  }

  close() {
    this.#heard.port.onmessage = null;
    this.#source.disconnect();
    this.#gate.disconnect();
    this.#element.srcObject = null;
  }
}
