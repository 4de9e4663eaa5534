// <talk-view>: the conversation on the page. Its elements are in index.html, so that they are there at once.

import { CaptionList } from "../captions.js";
import { find } from "../dom.js";

const NO_INPUT_MS = 4000;
const SLOW_RESPONSE_MS = 4000;

/** @typedef {import("../state.js").State} State */

/** @type {Record<State, [string, string]>} */
const STATE_TEXTS = {
  idle: ["Press and speak", "You may interrupt at any time."],
  asking: ["Opening the microphone", ""],
  connecting: ["Connecting", ""],
  ready: ["Write to me", "Or press the circle to talk."],
  listening: ["Listening", "Speak whenever you like."],
  hearing: ["I hear you", ""],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Talk to interrupt, or press the circle."],
  muted: ["Muted", "I do not hear you until you unmute."],
  reconnecting: ["The line dropped", "Trying to get it back."],
  error: ["That did not work", ""],
};
/** @type {Partial<Record<State, string>>} */
const BUTTON_LABELS = {
  idle: "Talk",
  ready: "Talk",
  error: "Talk again",
  speaking: "Stop the voice",
  thinking: "Stop the answer",
};
const TURNS = new Set(["listening", "hearing", "thinking", "speaking"]); // the states of people who talk
const GOES_ON = /** @type {const} */ (["Press and go on", "Or press End, and then begin anew."]);

export class TalkView extends HTMLElement {
  /** @type {import("../conversation.js").Conversation} */
  #conversation;
  #orb = find(this, "#orb", HTMLButtonElement);
  #mute = find(this, "#mute", HTMLButtonElement);
  #words = find(this, "#words", HTMLInputElement);
  #news = find(document, "#news", HTMLElement);
  #since = 0; // when the state was entered

  /** @param {import("../app.js").App} app */
  open({ conversation, status }) {
    this.#conversation = conversation;
    find(this, "caption-list", CaptionList).show(conversation.transcript);
    conversation.addEventListener("change", () => this.#render());
    conversation.transcript.addEventListener("change", () => this.#render());
    conversation.addEventListener("level", (event) => this.#onLevel(/** @type {CustomEvent} */ (event).detail));
    this.#orb.addEventListener("click", () => this.#press());
    this.#mute.addEventListener("click", () => this.#toggleMute());
    find(this, "#end", HTMLButtonElement).addEventListener("click", () => conversation.end());
    find(this, "#write", HTMLFormElement).addEventListener("submit", (event) => this.#submit(event));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    status.then((known) => known && write(find(this, "#about", HTMLElement), known.description));
    this.#render();
  }

  // what people do

  #press() {
    const { state, hasMicrophone, model } = this.#conversation;
    if (state === "speaking" || state === "thinking") return this.#conversation.stop();
    if (!hasMicrophone && model.line !== "connecting" && model.line !== "reconnecting") return this.#conversation.talk();
  }

  #toggleMute() {
    this.#conversation.mute(!this.#conversation.model.muted);
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const text = this.#words.value.trim();
    if (!text) return;
    this.#words.value = "";
    this.#conversation.write(text);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (this.hidden || !(event.target instanceof Element)) return;
    if (event.key === "Escape") return this.#conversation.stop();
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      if (event.target.closest("button:not([aria-disabled=true]), a")) return; // the element's own key
      if (!event.repeat) this.#conversation.hasMicrophone ? this.#toggleMute() : this.#press();
    } else if (event.key === "/") this.#words.focus();
    else return;
    event.preventDefault();
  }

  // rendering

  #render() {
    const { state, words, problem, model, goesOn, hasMicrophone, transcript } = this.#conversation;
    const [name, hint] = state === "idle" && goesOn ? GOES_ON : STATE_TEXTS[state];
    this.#announce(state, words || name);
    if (document.body.dataset.state !== state) {
      this.#since = performance.now();
      if (state !== "speaking" && state !== "hearing") this.#showLevel(0);
    }
    document.body.dataset.state = state;
    const slow = state === "thinking" && performance.now() - this.#since > SLOW_RESPONSE_MS;
    if (slow) this.#announce(state, "Still thinking");
    const noInput = state === "listening" && performance.now() - this.#conversation.lastInputAt > NO_INPUT_MS;
    write(find(this, "#state", HTMLElement), slow ? "Still thinking" : words || name);
    write(find(this, "#hint", HTMLElement), noInput ? "No sound comes from your microphone. Is it switched off?"
      : state === "speaking" && !hasMicrophone ? "Press the circle to stop the voice." : hint);
    write(find(this, "#trouble", HTMLElement), problem);
    write(find(this, "#orb-name", HTMLElement), BUTTON_LABELS[state] ?? "Talk");
    this.#orb.setAttribute("aria-disabled", String(!(state in BUTTON_LABELS)));
    find(this, "#controls", HTMLElement).hidden = state === "error" ? !goesOn : state === "idle" && !goesOn;
    this.#mute.hidden = !hasMicrophone;
    this.#mute.setAttribute("aria-pressed", String(model.muted));
    if (model.muted) this.#mute.dataset.level = "0";
    write(find(this, "#mute-name", HTMLElement), model.muted ? "Unmute" : "Mute");
    find(this, "#talk", HTMLElement).hidden = transcript.empty;
  }

  /**
   * Name the state for screen readers. It is read aloud, except over a voice, and from turn to turn while the
   * microphone is open: the reader would be heard as the user, interrupt the answer, and be answered.
   * @param {State} state
   * @param {string} words
   */
  #announce(state, words) {
    if (this.#news.textContent === words) return;
    const { hasMicrophone, model } = this.#conversation;
    const turn = TURNS.has(state) && TURNS.has(document.body.dataset.state ?? "") && hasMicrophone && !model.muted;
    this.#news.setAttribute("aria-live", turn || state === "speaking" || state === "hearing" ? "off" : "polite");
    this.#news.textContent = words;
  }

  /** @param {{who: "user" | "assistant", level: number}} sound */
  #onLevel({ who, level }) {
    const { state, model } = this.#conversation;
    if (who === "assistant") return this.#showLevel(level);
    const bars = model.muted ? 0 : Math.min(4, Math.max(0, Math.round((20 * Math.log10(level + 1e-6) + 58) / 10)));
    this.#mute.dataset.level = String(bars);
    if (state === "hearing" || state === "listening") this.#showLevel(level);
  }

  /** @param {number} level of the microphone or the answer, which moves the circle (--level) */
  #showLevel(level) {
    this.#orb.style.setProperty("--level", Math.min(1, Math.sqrt(level) * 1.8).toFixed(3));
  }
}

/**
 * Writing what is there already would be a change to a screen reader.
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

customElements.define("talk-view", TalkView);
