// An answer that is played again: as it was heard, faster or slower with its pitch kept, or as a file.

import { ServerError, request } from "./server.js";

const RATE = 24000;
const HEADER = 44;
const SPEEDS = [1, 1.25, 1.5, 2, 0.5, 0.75];

/**
 * The speed after this one, round and round.
 * @param {number} speed
 */
export function nextSpeed(speed) {
  return SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length] ?? 1;
}

/**
 * Samples as a WAV file.
 * @param {readonly Int16Array[]} chunks at 24 kHz
 * @param {number} ms of it that was heard
 */
export function wav(chunks, ms) {
  const received = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const length = Math.min(received, Math.round((ms * RATE) / 1000));
  const bytes = new Uint8Array(HEADER + 2 * length);
  const view = new DataView(bytes.buffer);
  const text = (/** @type {number} */ at, /** @type {string} */ word) => bytes.set(new TextEncoder().encode(word), at);
  text(0, "RIFF");
  view.setUint32(4, HEADER - 8 + 2 * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format: PCM, one channel, rate, bytes a second, bytes a sample, bits
  [1, 1].forEach((value, i) => view.setUint16(20 + 2 * i, value, true));
  [RATE, 2 * RATE].forEach((value, i) => view.setUint32(24 + 4 * i, value, true));
  [2, 16].forEach((value, i) => view.setUint16(32 + 2 * i, value, true));
  text(36, "data");
  view.setUint32(40, 2 * length, true);
  const samples = new Int16Array(bytes.buffer, HEADER);
  let at = 0;
  for (const chunk of chunks) {
    samples.set(chunk.subarray(0, length - at), at);
    at = Math.min(length, at + chunk.length);
  }
  return new Blob([bytes], { type: "audio/wav" });
}

/** Plays answers of a conversation again, one at a time; `replaying` of its model says which. */
export class Player {
  #conversation;
  /** @type {Replay | undefined} */
  #replay;

  /** @param {import("./conversation.js").Conversation} conversation */
  constructor(conversation) {
    this.#conversation = conversation;
    conversation.settings.addEventListener("changed", () => this.#adjust());
  }

  /**
   * Play an answer, or stop it. Must be called soon after a gesture.
   * @param {string} id
   */
  async toggle(id) {
    const again = this.#conversation.model.replaying !== id;
    await this.#conversation.stop();
    this.#conversation.report(""); // what was wrong before is over
    const file = again && (await this.soundOf(id));
    if (!file) return;
    const { audio } = this.#conversation;
    const replay = new Replay(file, audio?.canPlay ? audio : undefined);
    this.#replay = replay;
    this.#adjust();
    this.#conversation.on({ type: "replaying", is: id });
    replay.onended = () => this.stop();
    await replay.play().catch((error) => {
      this.stop();
      this.#conversation.report(`The browser cannot play this (${error.message}).`);
    });
  }

  stop() {
    if (!this.#replay) return;
    this.#replay.stop();
    this.#replay = undefined;
    this.#conversation.on({ type: "replaying", is: null });
  }

  /**
   * An answer as a file, from the page or from the server; null, and a problem, if neither has it.
   * @param {string} id
   * @returns {Promise<Blob | null>}
   */
  async soundOf(id) {
    const { answer, session } = this.#conversation.transcript.get(id) ?? {};
    if (answer?.sound.length) return wav(answer.sound, answer.playedMs);
    try {
      return await (await request(`v1/history/${session}/audio?item=${id}`)).blob();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.#conversation.report("The sound of this answer is not kept any more.");
      return null;
    }
  }

  #adjust() {
    const { settings } = this.#conversation;
    this.#replay?.adjust(settings.get("speed"), settings.get("volume"));
  }
}

/** A file that is played once. `onended` is called at its end. */
class Replay {
  #element;
  #url;
  /** @type {MediaElementAudioSourceNode | undefined} */
  #source;
  onended = () => {};

  /**
   * @param {Blob} file
   * @param {import("./audio.js").CallAudio | undefined} audio of a conversation: what an element plays by itself is in
   *   no browser's reference for cancelling the echo
   */
  constructor(file, audio) {
    this.#url = URL.createObjectURL(file);
    this.#element = new Audio(this.#url);
    this.#element.preservesPitch = true;
    this.#source = audio?.context.createMediaElementSource(this.#element);
    if (audio) this.#source?.connect(audio.output);
    this.#element.onended = () => this.onended();
  }

  /**
   * @param {number} speed
   * @param {number} volume
   */
  adjust(speed, volume) {
    this.#element.playbackRate = speed;
    if (!this.#source) this.#element.volume = volume ** 2;
  }

  play() {
    return this.#element.play();
  }

  stop() {
    this.#element.pause();
    this.#source?.disconnect();
    URL.revokeObjectURL(this.#url);
  }
}
