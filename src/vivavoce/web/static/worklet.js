// Capture and playback, in the audio thread. The protocol has 24 kHz; the device keeps its own rate.
// Forcing the context to 24 kHz instead costs fidelity in one browser and an exception in older others.

const WIRE_RATE = 24000;
const FRAME = WIRE_RATE / 50; // 20 ms
const PREBUFFER_MS = 60; // audio that is buffered before playback starts, or starts again
const FADE_SAMPLES = 256; // samples over which interrupted audio fades out, so that it does not click
const SILENCE = new Float32Array(128); // of a microphone that was lost, so that a turn begun before can end
const REPORT_EVERY = 8; // quanta of 128 samples

/** A windowed sinc in 512 phases: low-pass and interpolation in one. Audio is pushed in chunks of any length. */
class Resampler {
  static PHASES = 512;
  history = new Float32Array(0);
  at = 0; // where in `history` the next output sample lies

  /**
   * @param {number} from samples a second
   * @param {number} to samples a second
   */
  constructor(from, to) {
    this.step = from / to;
    const cutoff = Math.min(1, to / from) * 0.94;
    this.half = Math.ceil(16 / cutoff);
    this.taps = 2 * this.half;
    this.kernel = Array.from({ length: Resampler.PHASES }, (_, phase) => this.#row(phase / Resampler.PHASES, cutoff));
    this.clear();
  }

  /**
   * @param {number} fraction of a sample between two input samples
   * @param {number} cutoff of the low-pass, as a part of half the rate
   */
  #row(fraction, cutoff) {
    const row = new Float32Array(this.taps);
    let sum = 0;
    for (let k = 0; k < this.taps; k++) {
      const x = k - this.half + 1 - fraction;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / this.half);
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x * cutoff) / (Math.PI * x * cutoff);
      sum += row[k] = Math.abs(x) < this.half ? sinc * window : 0;
    }
    return row.map((value) => value / sum); // silence in, silence out; a constant stays what it is
  }

  clear() {
    this.history = new Float32Array(this.half);
    this.at = this.half - 1;
  }

  /** @param {Float32Array} samples */
  push(samples) {
    const all = new Float32Array(this.history.length + samples.length);
    all.set(this.history);
    all.set(samples, this.history.length);
    const out = [];
    for (; Math.floor(this.at) + this.half < all.length; this.at += this.step) {
      const whole = Math.floor(this.at);
      const row = this.kernel[Math.floor((this.at - whole) * Resampler.PHASES)];
      let value = 0;
      for (let k = 0, i = whole - this.half + 1; k < this.taps; k++, i++) value += row[k] * all[i];
      out.push(value);
    }
    const keep = Math.max(0, Math.floor(this.at) - this.half + 1);
    this.history = all.slice(keep);
    this.at -= keep;
    return Float32Array.from(out);
  }

  drain() {
    const rest = this.push(new Float32Array(this.half));
    this.clear();
    return rest;
  }
}

/** @param {Float32Array} samples */
function loudness(samples) {
  let sum = 0;
  for (const value of samples) sum += value * value;
  return Math.sqrt(sum / Math.max(1, samples.length));
}

/** The microphone, as 20 ms frames of 16-bit audio at 24 kHz: {frame, level}. */
class CaptureProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, WIRE_RATE);
    this.frame = new Float32Array(FRAME);
    this.filled = 0;
  }

  /** @param {Float32Array[][]} inputs */
  process([input]) {
    for (const value of this.resampler.push(input.length ? this.#mono(input) : SILENCE)) {
      this.frame[this.filled++] = value;
      if (this.filled === FRAME) this.#post();
    }
    return true;
  }

  /** @param {Float32Array[]} channels */
  #mono(channels) {
    if (channels.length === 1) return channels[0];
    return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
  }

  #post() {
    const frame = Int16Array.from(this.frame, (value) => Math.max(-1, Math.min(1, value)) * 32767);
    this.filled = 0;
    this.port.postMessage({ frame: frame.buffer, level: loudness(this.frame) }, [frame.buffer]);
  }
}

/**
 * Playback. Receives {item, samples}, {finish: item}, {hold: whether} and {clear: true}; sends {item, ms, level} as it plays,
 * {finished: item}, and {truncations: [{item, ms}]}: how much of each answer was played when it was cleared.
 */
class PlaybackProcessor extends AudioWorkletProcessor {
  /** @type {{item: string, samples: Float32Array}[]} not yet played, the first one from `at` on */
  chunks = [];
  at = 0;
  queued = 0; // samples in `chunks`
  /** @type {string | null} the answer that plays */
  item = null;
  played = 0; // samples of it
  /** @type {Set<string>} answers of which all audio is queued */
  ended = new Set();
  playing = false;
  held = false; // nothing is played for a moment, and nothing is lost
  /** @type {Float32Array | null} what was interrupted, fading out */
  tail = null;
  quanta = 0;

  constructor() {
    super();
    this.resampler = new Resampler(WIRE_RATE, sampleRate);
    this.prebuffer = (PREBUFFER_MS / 1000) * sampleRate;
    this.port.onmessage = ({ data }) => {
      if (data.clear) this.#clear();
      else if (data.hold !== undefined) this.#hold(data.hold);
      else if (data.finish) this.#finish(data.finish);
      else this.#queue(data.item, this.resampler.push(floats(data.samples)));
    };
  }

  #reset() {
    this.chunks = [];
    this.at = this.queued = this.played = 0;
    this.item = null;
    this.ended.clear();
    this.playing = false;
  }

  /**
   * @param {string} item
   * @param {Float32Array} samples
   */
  #queue(item, samples) {
    this.item ??= item;
    this.chunks.push({ item, samples });
    this.queued += samples.length;
  }

  /** @param {string} item */
  #finish(item) {
    if (this.item === null) return; // it was cleared
    this.#queue(item, this.resampler.drain());
    this.ended.add(item);
  }

  #clear() {
    const played = new Map();
    if (this.item !== null) played.set(this.item, this.#ms(this.played));
    for (const { item } of this.chunks) if (!played.has(item)) played.set(item, 0);
    this.#fadeOut();
    this.held = false;
    this.resampler.clear();
    this.#reset();
    this.port.postMessage({ truncations: [...played].map(([item, ms]) => ({ item, ms })) });
  }

  /** @param {boolean} held */
  #hold(held) {
    if (held && !this.held) this.#fadeOut();
    this.held = held;
  }

  #fadeOut() {
    const tail = this.playing && !this.held ? this.#read(Math.min(FADE_SAMPLES, this.queued)) : null;
    this.tail = tail && tail.map((value, i) => value * (1 - i / tail.length));
  }

  /** @param {number} samples */
  #ms(samples) {
    return Math.floor((samples / sampleRate) * 1000);
  }

  /**
   * @param {Float32Array[][]} _
   * @param {Float32Array[][]} outputs
   */
  process(_, [[out, ...others]]) {
    if (this.tail) this.#fade(out, this.tail);
    else if (!this.held) this.#play(out);
    for (const other of others) other.set(out);
    if (++this.quanta % REPORT_EVERY === 0 && this.item !== null)
      this.port.postMessage({ item: this.item, ms: this.#ms(this.played), level: loudness(out) });
    return true;
  }

  /**
   * @param {Float32Array} out
   * @param {Float32Array} tail
   */
  #fade(out, tail) {
    out.set(tail.subarray(0, out.length));
    this.tail = tail.length > out.length ? tail.slice(out.length) : null;
  }

  /** @param {Float32Array} out */
  #play(out) {
    if (!this.playing && this.queued > 0) this.playing = this.queued >= this.prebuffer || this.#hasEnded();
    if (!this.playing) return;
    out.set(this.#read(Math.min(out.length, this.queued)));
    if (this.queued > 0) return;
    this.playing = false; // either all was played, or the network is slow: then buffer again
    if (this.#hasEnded()) {
      this.port.postMessage({ finished: this.item });
      this.#reset();
    }
  }

  #hasEnded() {
    return this.item !== null && this.ended.has(this.item);
  }

  /** @param {number} count samples, of which so many are queued */
  #read(count) {
    const out = new Float32Array(count);
    for (let filled = 0; filled < count; ) {
      const { item, samples } = this.chunks[0];
      if (item !== this.item) this.#next(item);
      const part = samples.subarray(this.at, this.at + count - filled);
      out.set(part, filled);
      filled += part.length;
      this.at += part.length;
      this.played += part.length;
      this.queued -= part.length;
      if (this.at === samples.length) this.chunks.shift(), (this.at = 0);
    }
    return out;
  }

  /** @param {string} item */
  #next(item) {
    this.port.postMessage({ finished: this.item });
    this.item = item;
    this.played = 0;
  }
}

/** @param {Int16Array} samples */
function floats(samples) {
  return Float32Array.from(samples, (value) => value / 32768);
}

registerProcessor("capture", CaptureProcessor);
registerProcessor("playback", PlaybackProcessor);
