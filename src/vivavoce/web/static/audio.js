// One AudioContext for microphone and playback: browsers are certain to cancel the echo only of what plays
// through it.

/** Why there is no microphone, in words for the user. */
export class MicrophoneError extends Error {}

const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** @typedef {{item: string, ms: number}} Played milliseconds of an item */

export class CallAudio {
  /** 20 ms of the microphone at 24 kHz, Int16. @type {(input: {frame: ArrayBuffer, level: number}) => void} */
  onframe = () => {};
  /** While an answer plays. @type {(played: Played & {level: number}) => void} */
  onplayed = () => {};
  /** An item was played to its end. @type {(item: string) => void} */
  onfinished = () => {};
  /** The microphone was disconnected. @type {() => void} */
  onlost = () => {};

  /** @type {MediaStream | undefined} */
  stream;
  /** @type {AudioWorkletNode | undefined} */
  #playback;
  /** @type {AudioWorkletNode | undefined} */
  #capture;
  /** @type {((truncations: Played[]) => void)[]} that wait for what was truncated, in order */
  #interrupts = [];
  #closed = false;

  /** Must be called in a gesture, before its first `await`: browsers block autoplay. */
  constructor() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.ready = this.#build();
    this.ready.catch(() => {}); // reported where it is awaited
  }

  async #build() {
    this.context.resume();
    if (!this.context.audioWorklet)
      throw new MicrophoneError("This browser is too old for live sound. You can talk in a newer one, or over https.");
    await this.context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    this.#playback = new AudioWorkletNode(this.context, "playback", { numberOfInputs: 0, outputChannelCount: [2] });
    this.#playback.port.onmessage = ({ data }) => this.#onMessage(data);
    this.#playback.connect(this.context.destination);
  }

  /** @param {{truncations: Played[]} | {finished: string} | Played & {level: number}} message */
  #onMessage(message) {
    if ("truncations" in message) this.#interrupts.shift()?.(message.truncations.map((played) => this.#audible(played)));
    else if ("finished" in message) this.onfinished(message.finished);
    else this.onplayed(this.#audible(message));
  }

  /**
   * What has left the worklet is not yet played.
   * @template {Played} Report
   * @param {Report} played
   * @returns {Report}
   */
  #audible(played) {
    return { ...played, ms: Math.max(0, Math.round(played.ms - (this.context.outputLatency || 0) * 1000)) };
  }

  /** Open the microphone. Throws `MicrophoneError`. */
  async openMicrophone() {
    if (navigator.audioSession) navigator.audioSession.type = "play-and-record";
    this.stream = await getMicrophone();
    await this.ready;
    if (this.#closed) return this.#stopTracks();
    for (const track of this.stream.getAudioTracks()) track.onended = () => this.onlost();
    this.#capture?.disconnect(); // of a microphone that was lost
    if (this.#capture) this.#capture.port.onmessage = null;
    this.#capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.#capture.port.onmessage = ({ data }) => this.onframe(data);
    this.context.createMediaStreamSource(this.stream).connect(this.#capture);
  }

  /**
   * A muted microphone sends silence, so that a turn begun before can end.
   * @param {boolean} muted
   */
  mute(muted) {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  get canPlay() {
    return this.#playback !== undefined;
  }

  /**
   * Queue samples of an answer.
   * @param {string} item
   * @param {Int16Array<ArrayBuffer>} samples at 24 kHz
   */
  play(item, samples) {
    this.#playback?.port.postMessage({ item, samples }, [samples.buffer]);
  }

  /**
   * All audio of an answer is queued.
   * @param {string} item
   */
  finish(item) {
    this.#playback?.port.postMessage({ finish: item });
  }

  /**
   * Stop playing at once; resolve to what was played of each unfinished answer.
   * @returns {Promise<Played[]>}
   */
  interrupt() {
    return new Promise((resolve) => {
      this.#interrupts.push(resolve);
      this.#playback?.port.postMessage({ clear: true });
    });
  }

  async close() {
    this.#closed = true;
    this.#stopTracks();
    if (navigator.audioSession) navigator.audioSession.type = "playback";
    await this.ready.catch(() => {}); // a worklet that is still loading would fail
    await this.context.close();
  }

  #stopTracks() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
  }
}

async function getMicrophone() {
  if (!window.isSecureContext)
    throw new MicrophoneError(
      "Browsers give a microphone only to pages from this computer or over https. " +
        "Open this page on the computer that runs vivavoce, or put https before it.",
    );
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
  } catch (error) {
    const { name, message } = /** @type {DOMException} */ (error);
    throw new MicrophoneError(GET_USER_MEDIA_ERRORS[name] ?? `The microphone could not be opened (${message}).`);
  }
}

/** @type {Record<string, string>} */
const GET_USER_MEDIA_ERRORS = {
  NotAllowedError:
    "This page may not use the microphone. Allow it with the sign beside the page's address, then talk again.",
  NotFoundError: "No microphone was found. Connect one, then talk again.",
  NotReadableError: "Another program holds the microphone. Close it there, then talk again.",
};
