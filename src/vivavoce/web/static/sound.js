// One AudioContext for the microphone and the voice: only what plays through it is certain to be cancelled
// out of the microphone again.

/** Words for a microphone that we were not given. */
export class NoMicrophone extends Error {}

const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

export class Sound {
  /** Told {frame, level} (20 ms at 24 kHz, Int16). */
  onframe = () => {};
  /** Told {item, ms, level} while an answer plays. */
  onplayed = () => {};
  /** Told the item that was played to its end. */
  onfinished = () => {};
  /** Told when the microphone went away by itself. */
  onlost = () => {};

  /** Must be called in a gesture, before its first `await`: browsers hold back sound that nobody asked for. */
  constructor() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.ready = this.#build();
    this.ready.catch(() => {}); // whoever needs it awaits it, and learns why
  }

  async #build() {
    this.context.resume();
    if (!this.context.audioWorklet)
      throw new NoMicrophone("This browser is too old for live sound. You can talk in a newer one, or over https.");
    await this.context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    const options = { numberOfInputs: 0, outputChannelCount: [2] };
    this.mouth = new AudioWorkletNode(this.context, "mouth", options);
    this.mouth.port.onmessage = ({ data }) => this.#told(data);
    this.mouth.connect(this.context.destination);
  }

  #told(data) {
    if (data.cuts) this.#hushes.shift()(data.cuts.map(({ item, ms }) => ({ item, ms: this.#heard(ms) })));
    else if (data.finished) this.onfinished(data.finished);
    else this.onplayed({ ...data, ms: this.#heard(data.ms) });
  }

  /** What has left the worklet is not yet in the room. */
  #heard(ms) {
    return Math.max(0, Math.round(ms - (this.context.outputLatency || 0) * 1000));
  }

  /** Open the microphone. Throws `NoMicrophone`. */
  async listen() {
    if (navigator.audioSession) navigator.audioSession.type = "play-and-record";
    this.stream = await microphone();
    await this.ready;
    if (this.#closed) return this.#letGo();
    const [track] = this.stream.getAudioTracks();
    track.onended = () => this.onlost();
    this.ear = new AudioWorkletNode(this.context, "ear", { numberOfOutputs: 0 });
    this.ear.port.onmessage = ({ data }) => this.onframe(data);
    this.context.createMediaStreamSource(this.stream).connect(this.ear);
  }

  get listening() {
    return this.stream !== undefined;
  }

  /** A muted microphone goes on as silence, so that a turn begun before can end. */
  mute(muted) {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  get plays() {
    return this.mouth !== undefined;
  }

  /** Queue `samples` (Int16Array, 24 kHz) of an answer. */
  play(item, samples) {
    this.mouth.port.postMessage({ item, samples }, [samples.buffer]);
  }

  /** All sound of an answer is queued. */
  end(item) {
    this.mouth?.port.postMessage({ end: item });
  }

  #hushes = []; // who waits to be told what was cut, in order

  /** Stop the voice at once and tell what was heard of each unfinished answer: [{item, ms}]. */
  hush() {
    return new Promise((resolve) => {
      this.#hushes.push(resolve);
      this.mouth.port.postMessage({ hush: true });
    });
  }

  #closed = false;

  async close() {
    this.#closed = true;
    this.#letGo();
    if (navigator.audioSession) navigator.audioSession.type = "playback";
    await this.ready.catch(() => {}); // a worklet that is still loading would complain
    await this.context.close();
  }

  #letGo() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
  }
}

async function microphone() {
  if (!window.isSecureContext)
    throw new NoMicrophone(
      "Browsers give a microphone only to pages from this computer or over https. " +
        "Open this page on the computer that runs vivavoce, or put https before it.",
    );
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
  } catch (error) {
    throw new NoMicrophone(REFUSALS[error.name] ?? `The microphone could not be opened (${error.message}).`);
  }
}

const REFUSALS = {
  NotAllowedError:
    "This page may not use the microphone. Allow it with the sign beside the page's address, then talk again.",
  NotFoundError: "No microphone was found. Connect one, then talk again.",
  NotReadableError: "Another program holds the microphone. Close it there, then talk again.",
};
