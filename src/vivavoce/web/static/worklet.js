// Both ends of the sound, in the audio thread. The wire wants 24 kHz; the device keeps its own rate.
// Forcing the context to 24 kHz instead costs fidelity in one browser and an exception in older others.

const WIRE_RATE = 24000;
const FRAME = WIRE_RATE / 50; // 20 ms
const CUSHION_MS = 60; // sound in hand before the voice starts, or starts again
const FADE = 256; // samples over which a hushed voice goes quiet, so that it does not click
const REPORT_EVERY = 8; // quanta of 128 samples

// A windowed sinc in 512 phases: low-pass and interpolation in one. Sound of any length goes in piece by piece.
class Resampler {
  static PHASES = 512;

  constructor(from, to) {
    this.step = from / to;
    const cutoff = Math.min(1, to / from) * 0.94;
    this.half = Math.ceil(16 / cutoff);
    this.taps = 2 * this.half;
    this.kernel = Array.from({ length: Resampler.PHASES }, (_, phase) => this.#row(phase / Resampler.PHASES, cutoff));
    this.clear();
  }

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
    this.held = new Float32Array(this.half);
    this.at = this.half - 1; // where in `held` the next sample out lies
  }

  push(samples) {
    const all = new Float32Array(this.held.length + samples.length);
    all.set(this.held);
    all.set(samples, this.held.length);
    const out = [];
    for (; Math.floor(this.at) + this.half < all.length; this.at += this.step) {
      const whole = Math.floor(this.at);
      const row = this.kernel[Math.floor((this.at - whole) * Resampler.PHASES)];
      let value = 0;
      for (let k = 0, i = whole - this.half + 1; k < this.taps; k++, i++) value += row[k] * all[i];
      out.push(value);
    }
    const keep = Math.max(0, Math.floor(this.at) - this.half + 1);
    this.held = all.slice(keep);
    this.at -= keep;
    return Float32Array.from(out);
  }

  drain() {
    const rest = this.push(new Float32Array(this.half));
    this.clear();
    return rest;
  }
}

function loudness(samples) {
  let sum = 0;
  for (const value of samples) sum += value * value;
  return Math.sqrt(sum / Math.max(1, samples.length));
}

// The microphone, as 20 ms frames of 16-bit sound at 24 kHz: {frame, level}.
class Ear extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, WIRE_RATE);
    this.frame = new Float32Array(FRAME);
    this.filled = 0;
  }

  process([input]) {
    if (input.length === 0) return true;
    for (const value of this.resampler.push(this.#mono(input))) {
      this.frame[this.filled++] = value;
      if (this.filled === FRAME) this.#post();
    }
    return true;
  }

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

// The voice. Told {item, samples}, {end: item} and {hush: true}; tells {item, ms, level} as it plays,
// {finished: item}, and {cuts: [{item, ms}]}: what of each answer was played when it was hushed.
class Mouth extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(WIRE_RATE, sampleRate);
    this.cushion = (CUSHION_MS / 1000) * sampleRate;
    this.quanta = 0;
    this.#forget();
    this.port.onmessage = ({ data }) => {
      if (data.hush) this.#hush();
      else if (data.end) this.#end(data.end);
      else this.#queue(data.item, this.resampler.push(Float32Array.from(data.samples, (value) => value / 32768)));
    };
  }

  #forget() {
    this.pieces = []; // {item, samples} not yet played, the first one from `at` on
    this.at = 0;
    this.waiting = 0; // samples in `pieces`
    this.item = null; // the answer that plays
    this.played = 0; // samples of it
    this.ended = new Set(); // answers of which all sound is here
    this.flowing = false;
  }

  #queue(item, samples) {
    this.item ??= item;
    this.pieces.push({ item, samples });
    this.waiting += samples.length;
  }

  #end(item) {
    if (this.item === null) return; // it was hushed
    this.#queue(item, this.resampler.drain());
    this.ended.add(item);
  }

  #hush() {
    const heard = new Map();
    if (this.item !== null) heard.set(this.item, this.#ms(this.played));
    for (const { item } of this.pieces) if (!heard.has(item)) heard.set(item, 0);
    this.tail = this.flowing ? this.#take(Math.min(FADE, this.waiting)) : null;
    this.tail?.forEach((value, i) => (this.tail[i] = value * (1 - i / this.tail.length)));
    this.resampler.clear();
    this.#forget();
    this.port.postMessage({ cuts: [...heard].map(([item, ms]) => ({ item, ms })) });
  }

  #ms(samples) {
    return Math.floor((samples / sampleRate) * 1000);
  }

  process(_, [[out, ...others]]) {
    if (this.tail) this.#fade(out);
    else this.#play(out);
    for (const other of others) other.set(out);
    if (++this.quanta % REPORT_EVERY === 0 && this.item !== null)
      this.port.postMessage({ item: this.item, ms: this.#ms(this.played), level: loudness(out) });
    return true;
  }

  #fade(out) {
    out.set(this.tail.subarray(0, out.length));
    this.tail = this.tail.length > out.length ? this.tail.slice(out.length) : null;
  }

  #play(out) {
    if (!this.flowing && this.waiting > 0) this.flowing = this.waiting >= this.cushion || this.ended.has(this.item);
    if (!this.flowing) return;
    out.set(this.#take(Math.min(out.length, this.waiting)));
    if (this.waiting > 0) return;
    this.flowing = false; // either all was said, or the line is slow: then wait for a new cushion
    if (this.ended.has(this.item)) {
      this.port.postMessage({ finished: this.item });
      this.#forget();
    }
  }

  #take(count) {
    const taken = new Float32Array(count);
    for (let filled = 0; filled < count; ) {
      const { item, samples } = this.pieces[0];
      if (item !== this.item) this.#next(item);
      const part = samples.subarray(this.at, this.at + count - filled);
      taken.set(part, filled);
      filled += part.length;
      this.at += part.length;
      this.played += part.length;
      this.waiting -= part.length;
      if (this.at === samples.length) this.pieces.shift(), (this.at = 0);
    }
    return taken;
  }

  #next(item) {
    this.port.postMessage({ finished: this.item });
    this.item = item;
    this.played = 0;
  }
}

registerProcessor("ear", Ear);
registerProcessor("mouth", Mouth);
