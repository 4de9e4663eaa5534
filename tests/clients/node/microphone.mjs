/** 20 ms of silence. */
const SILENCE = { pcm: new Uint8Array((24000 / 50) * 2), ulaw: new Uint8Array(8000 / 50).fill(0xff) };

/** Sends 20 ms of sound every 20 ms, as PCM16 or mu-law: the recordings that are to be said, and silence. */
export class Microphone {
  #toSay = [];
  #timer;

  constructor(recordings, send, format = 'pcm') {
    this.recordings = recordings;
    this.send = send;
    this.format = format;
  }

  /** Speaks a recording. The microphone is open from the first one on. */
  say(name) {
    const sound = this.recordings[`${name}.${this.format}`];
    const { length } = SILENCE[this.format];
    for (let at = 0; at < sound.length; at += length) this.#toSay.push(sound.slice(at, at + length));
    this.#timer ??= this.#open();
  }

  close() {
    clearInterval(this.#timer);
  }

  #open() {
    const began = performance.now();
    let sent = 0;
    return setInterval(() => {
      for (; sent < (performance.now() - began) / 20; sent++)
        this.send(this.#toSay.shift() ?? SILENCE[this.format]);
    }, 20);
  }
}
