const LOUD = 0.01;

/** Measures what an audio element plays, fifty times a second. */
export class Ear {
  peak = 0;
  #lastLoud = 0;
  #context = new AudioContext();
  #timer;

  constructor(element, notice) {
    this.#timer = setInterval(() => {
      if (element.srcObject) this.#analyser ??= this.#listen(element.srcObject);
      if (this.#analyser) this.#measure();
      notice();
    }, 20);
  }

  /** Milliseconds since there was something to hear. */
  get silence() {
    return performance.now() - this.#lastLoud;
  }

  close() {
    clearInterval(this.#timer);
    this.#context.close();
  }

  #analyser;
  #samples;

  #listen(stream) {
    const analyser = this.#context.createAnalyser();
    this.#samples = new Float32Array(analyser.fftSize);
    this.#context.createMediaStreamSource(stream).connect(analyser);
    return analyser;
  }

  #measure() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const level = this.#samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0);
    this.peak = Math.max(this.peak, level);
    if (level > LOUD) this.#lastLoud = performance.now();
  }
}
