// One AudioContext for microphone and playback: browsers are certain to cancel the echo only of what plays
// through it.

/** Why there is no microphone, in words for the user. */
export class MicrophoneError extends Error {}

const DUCKED = 0.25; // -12 dB, while it is not clear whether somebody interrupts
const GLIDE_SECONDS = 0.015; // in which the volume changes, so that it does not click
const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** @typedef {{item: string, ms: number}} Played milliseconds of an item */

export class CallAudio {
  /** 20 ms of the microphone at 24 kHz, Int16. @type {(input: {frame: ArrayBuffer, level: number}) => void} */
  onframe = () => {};
  /** While an answer plays. @type {(played: Played & {level: number}) => void} */
  onplayed = () => {};
  /** An item was played to its end. @type {(item: string) => void} */
  onfinished = () => {};
  /** The browser holds the sound back, or does no more. @type {(blocked: boolean) => void} */
  onblocked = () => {};
  /** The microphone was disconnected. @type {() => void} */
  onlost = () => {};

  /** @type {MediaStream | undefined} */
  stream;
  /** @type {AudioWorkletNode | undefined} */
  #playback;
  /** @type {AudioNode | undefined} */
  #microphone;
  /** @type {AudioWorkletNode | undefined} */
  #capture;
  /** @type {((truncations: Played[]) => void)[]} that wait for what was truncated, in order */
  #interrupts = [];
  #closed = false;
  #volume = 1;
  #ducked = false;

  /** Must be called in a gesture, before its first `await`: browsers block autoplay. */
  constructor() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.output = this.context.createGain();
    this.output.connect(this.context.destination);
    this.input = this.context.createGain(); // whatever microphone is open
    this.context.onstatechange = () => this.#closed || this.onblocked(this.blocked);
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
    this.#playback.connect(this.output);
  }

  get blocked() {
    return this.context.state !== "running";
  }

  /** Have the browser play what it holds back. Must be called in a gesture. */
  unblock() {
    return this.context.resume();
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
    return { ...played, ms: Math.max(0, Math.round(played.ms - this.latencyMs)) };
  }

  /**
   * Open the microphone, or another one. Throws `MicrophoneError`.
   * @param {string} [device] its id; "" is the browser's choice
   */
  async openMicrophone(device = "") {
    if (navigator.audioSession) navigator.audioSession.type = "play-and-record";
    const stream = await getMicrophone(device);
    this.#stopTracks();
    this.stream = stream;
    await this.ready;
    if (this.#closed) return this.#stopTracks();
    for (const track of this.stream.getAudioTracks()) track.onended = () => this.onlost();
    this.#microphone?.disconnect(); // the one before, which may be lost
    this.#microphone = this.context.createMediaStreamSource(this.stream);
    this.#microphone.connect(this.input);
    this.#capture ??= this.listen(this.input, (input) => this.onframe(input));
  }

  /**
   * Be given the sound of a node, in frames of 20 ms at 24 kHz, Int16. The worklet must be `ready`.
   * @param {AudioNode} node
   * @param {(sound: {frame: ArrayBuffer, level: number}) => void} onframe
   */
  listen(node, onframe) {
    const capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => onframe(data);
    node.connect(capture);
    return capture;
  }

  /**
   * A muted microphone sends silence, so that a turn begun before can end.
   * @param {boolean} muted
   */
  mute(muted) {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** @param {number} volume 0 to 1 */
  setVolume(volume) {
    this.#volume = volume;
    this.#adjust();
  }

  /**
   * Until it is clear whether somebody interrupts, play nothing of what is queued here, and the rest more quietly.
   * @param {boolean} ducked
   */
  duck(ducked) {
    this.#ducked = ducked;
    this.#playback?.port.postMessage({ hold: ducked });
    this.#adjust();
  }

  #adjust() {
    const loudness = this.#volume ** 2; // as people sense it, more or less
    this.output.gain.setTargetAtTime(loudness * (this.#ducked ? DUCKED : 1), this.context.currentTime, GLIDE_SECONDS);
  }

  /** Milliseconds from the worklet to the loudspeaker. */
  get latencyMs() {
    return (this.context.outputLatency || 0) * 1000;
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

/** @param {string} device */
async function getMicrophone(device) {
  if (!window.isSecureContext)
    throw new MicrophoneError(
      "Browsers give a microphone only to pages from this computer or over https. " +
        "Open this page on the computer that runs vivavoce, or put https before it.",
    );
  try {
    return await getUserMedia(device);
  } catch (error) {
    const { name, message } = /** @type {DOMException} */ (error);
    throw new MicrophoneError(GET_USER_MEDIA_ERRORS[name] ?? `The microphone could not be opened (${message}).`);
  }
}

/** @param {string} device that was chosen; if it is gone, the browser's choice has to do */
async function getUserMedia(device) {
  const audio = device ? { ...CONSTRAINTS, deviceId: { exact: device } } : CONSTRAINTS;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    if (!device || !(error instanceof OverconstrainedError)) throw error;
    return navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
  }
}

/** @type {Record<string, string>} */
const GET_USER_MEDIA_ERRORS = {
  NotAllowedError:
    "This page may not use the microphone. Allow it with the sign beside the page's address, then talk again.",
  NotFoundError: "No microphone was found. Connect one, then talk again.",
  NotReadableError: "Another program holds the microphone. Close it there, then talk again.",
};
