// One AudioContext for microphone and playback: browsers are certain to cancel the echo only of what plays
// through it.

/** Why there is no microphone, in words for the user. */
export class MicrophoneError extends Error {}

const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

export class CallAudio {
  /** Called with {frame, level} (20 ms at 24 kHz, Int16). */
  onframe = () => {};
  /** Called with {item, ms, level} while an answer plays. */
  onplayed = () => {};
  /** Called with the item that was played to its end. */
  onfinished = () => {};
  /** Called when the microphone was disconnected. */
  onlost = () => {};

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
    const options = { numberOfInputs: 0, outputChannelCount: [2] };
    this.playback = new AudioWorkletNode(this.context, "playback", options);
    this.playback.port.onmessage = ({ data }) => this.#onMessage(data);
    this.playback.connect(this.context.destination);
  }

  #onMessage(data) {
    if (data.truncations) this.#interrupts.shift()(data.truncations.map(({ item, ms }) => ({ item, ms: this.#audibleMs(ms) })));
    else if (data.finished) this.onfinished(data.finished);
    else this.onplayed({ ...data, ms: this.#audibleMs(data.ms) });
  }

  /** What has left the worklet is not yet played. */
  #audibleMs(ms) {
    return Math.max(0, Math.round(ms - (this.context.outputLatency || 0) * 1000));
  }

  /** Open the microphone. Throws `MicrophoneError`. */
  async openMicrophone() {
    if (navigator.audioSession) navigator.audioSession.type = "play-and-record";
    this.stream = await getMicrophone();
    await this.ready;
    if (this.#closed) return this.#stopTracks();
    const [track] = this.stream.getAudioTracks();
    track.onended = () => this.onlost();
    this.capture?.disconnect(); // of a microphone that was lost
    if (this.capture) this.capture.port.onmessage = null;
    this.capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.capture.port.onmessage = ({ data }) => this.onframe(data);
    this.context.createMediaStreamSource(this.stream).connect(this.capture);
  }

  get hasMicrophone() {
    return this.stream !== undefined;
  }

  /** A muted microphone sends silence, so that a turn begun before can end. */
  mute(muted) {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  get canPlay() {
    return this.playback !== undefined;
  }

  /** Queue `samples` (Int16Array, 24 kHz) of an answer. */
  play(item, samples) {
    this.playback.port.postMessage({ item, samples }, [samples.buffer]);
  }

  /** All audio of an answer is queued. */
  finish(item) {
    this.playback?.port.postMessage({ finish: item });
  }

  #interrupts = []; // resolvers that wait for what was truncated, in order

  /** Stop playing at once; resolve to what was played of each unfinished answer: [{item, ms}]. */
  interrupt() {
    return new Promise((resolve) => {
      this.#interrupts.push(resolve);
      this.playback.port.postMessage({ clear: true });
    });
  }

  #closed = false;

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
    throw new MicrophoneError(GET_USER_MEDIA_ERRORS[error.name] ?? `The microphone could not be opened (${error.message}).`);
  }
}

const GET_USER_MEDIA_ERRORS = {
  NotAllowedError:
    "This page may not use the microphone. Allow it with the sign beside the page's address, then talk again.",
  NotFoundError: "No microphone was found. Connect one, then talk again.",
  NotReadableError: "Another program holds the microphone. Close it there, then talk again.",
};
