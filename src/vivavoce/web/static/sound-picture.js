// <sound-picture>: the sound of both sides, moving outward from the circle as it ages: the answer's above a line, yours
// below it. Without motion, where people want none, it is two meters.

import { h } from "./dom.js";

const BAR_MS = 70;
const BARS = 256; // 18 seconds
const WIDTH = 3; // of a bar, and
const PITCH = 6; // from one to the next, in pixels
const QUIET_DB = -50; // the level that shows as nothing,
const LOUD_DB = -8; // and the one that fills the picture
const STEPS = 12; // of the meters
const CALM_MS = 250; // between two pictures of the meters
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");

/** @typedef {"user" | "assistant"} Who */

export class SoundPicture extends HTMLElement {
  #canvas = h("canvas");
  #pen = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
  /** @type {Record<Who, Float32Array>} heights of 0 to 1 by time, in a ring */
  #bars = { user: new Float32Array(BARS), assistant: new Float32Array(BARS) };
  /** @type {Record<Who | "line", string>} */
  #colours = { user: "", assistant: "", line: "" };
  #newest = 0; // the bar that still grows, counted from the beginning of time
  #lastSound = -Infinity;
  #frame = 0;
  #clear = 0; // pixels around the middle that belong to the circle
  #observer = new ResizeObserver(() => this.#resize());

  connectedCallback() {
    this.setAttribute("aria-hidden", "true");
    this.append(this.#canvas);
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /**
   * Show what sounds now.
   * @param {Who} who
   * @param {number} level 0 to 1
   */
  push(who, level) {
    const now = performance.now();
    this.#advance(now);
    const bars = this.#bars[who];
    bars[this.#newest % BARS] = Math.max(bars[this.#newest % BARS], height(level));
    if (level > 1e-4) this.#lastSound = now;
    this.#frame ||= requestAnimationFrame((time) => this.#draw(time));
  }

  /** @param {number} now */
  #advance(now) {
    const newest = Math.floor(now / BAR_MS);
    for (let bar = Math.max(this.#newest + 1, newest - BARS + 1); bar <= newest; bar++)
      this.#bars.user[bar % BARS] = this.#bars.assistant[bar % BARS] = 0;
    this.#newest = newest;
  }

  #resize() {
    const scale = Math.min(2, devicePixelRatio);
    this.#canvas.width = Math.round(this.clientWidth * scale);
    this.#canvas.height = Math.round(this.clientHeight * scale);
    this.#pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#clear = this.clientHeight / 2; // the circle is as high
    this.#draw(performance.now());
  }

  /** @param {number} now */
  #draw(now) {
    this.#frame = 0;
    this.#advance(now);
    const style = getComputedStyle(this); // the colours are those of the theme
    this.#colours = { user: style.color, assistant: style.caretColor, line: style.borderTopColor };
    this.#pen.clearRect(0, 0, this.clientWidth, this.clientHeight);
    if (REDUCED.matches) this.#drawMeters();
    else this.#drawBars((now % BAR_MS) / BAR_MS);
    if (now - this.#lastSound > BARS * BAR_MS) return;
    if (REDUCED.matches) setTimeout(() => (this.#frame ||= requestAnimationFrame((time) => this.#draw(time))), CALM_MS);
    else this.#frame ||= requestAnimationFrame((time) => this.#draw(time));
  }

  /** @param {number} part of the newest bar's time that has passed */
  #drawBars(part) {
    const reach = Math.min(BARS, Math.ceil((this.clientWidth / 2 - this.#clear) / PITCH));
    const at = (/** @type {Float32Array} */ bars, /** @type {number} */ age) => bars[(this.#newest - age + BARS) % BARS];
    this.#fill("line", (bar) => {
      for (let age = 0; age < reach; age++)
        if (at(this.#bars.user, age) + at(this.#bars.assistant, age) < 0.02) bar(age + part, -WIDTH / 2, WIDTH);
    });
    for (const who of /** @type {const} */ (["user", "assistant"]))
      this.#fill(who, (bar) => {
        for (let age = 0; age < reach; age++) {
          const high = at(this.#bars[who], age);
          if (high >= 0.02) bar(age + part, ...span(who, high * (age ? 1 : part), this.clientHeight));
        }
      });
  }

  #drawMeters() {
    for (const who of /** @type {const} */ (["user", "assistant"])) {
      const high = Math.max(...[0, 1, 2].map((age) => this.#bars[who][(this.#newest - age + BARS) % BARS]));
      const lit = Math.round(high * STEPS);
      this.#fill("line", (bar) => {
        for (let step = lit; step < STEPS; step++) bar(step, ...span(who, 0.12, this.clientHeight));
      });
      this.#fill(who, (bar) => {
        for (let step = 0; step < lit; step++) bar(step, ...span(who, 0.12 + 0.02 * step, this.clientHeight));
      });
    }
  }

  /**
   * Fill bars in one colour, to both sides of the middle.
   * @param {Who | "line"} colour
   * @param {(bar: (place: number, top: number, high: number) => void) => void} add top counts from the line
   */
  #fill(colour, add) {
    const middle = this.clientWidth / 2;
    const line = this.clientHeight / 2;
    this.#pen.beginPath();
    add((place, top, high) => {
      for (const side of [-1, 1])
        this.#pen.roundRect(middle + side * (this.#clear + place * PITCH) - WIDTH / 2, line + top, WIDTH, high, WIDTH / 2);
    });
    this.#pen.fillStyle = this.#colours[colour];
    this.#pen.fill();
  }
}

/**
 * The top and the height of a bar: the answer's stands on the line, yours hangs from it.
 * @param {Who} who
 * @param {number} high 0 to 1
 * @param {number} room
 * @returns {[number, number]}
 */
function span(who, high, room) {
  const length = WIDTH + high * (room / 2 - WIDTH - 2);
  return [who === "assistant" ? -length - 0.5 : 0.5, length];
}

/**
 * Loudness as people sense it.
 * @param {number} level
 */
function height(level) {
  return Math.max(0, Math.min(1, (20 * Math.log10(level + 1e-6) - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}

customElements.define("sound-picture", SoundPicture);
