// <caption-list>: the transcript on the page. Text goes in as text only.

import { h, icon, notHeard, save, write } from "./dom.js";
import { isWaiting } from "./transcript.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {import("./transcript.js").Turn} Turn */

/** @type {Record<string, string>} */
const LABELS = { user: "You", assistant: "Answer", apology: "Apology", filler: "Meanwhile" };
const DONE_MS = 1500;
const NEAR_END = 160; // pixels from the newest words within which the list follows them

export class CaptionList extends HTMLElement {
  /** @type {Map<string, {element: HTMLElement, words?: HTMLElement, actions?: Actions, progress?: HTMLProgressElement}>} */
  #shown = new Map();
  /** @type {Conversation} */
  #conversation;
  /** @type {Settings} */
  #settings;
  /** @type {string | null} the answer that is played again */
  #replaying = null;
  #list = h("ol", { id: "turns", tabIndex: 0 });

  connectedCallback() {
    this.role = "log";
    this.ariaLive = "off"; // it would be heard by the microphone
    this.ariaLabel = "What was said";
    this.append(this.#list);
  }

  /**
   * @param {Conversation} conversation
   * @param {Settings} settings
   */
  show(conversation, settings) {
    const { transcript } = conversation;
    this.#conversation = conversation;
    this.#settings = settings;
    this.#onSetting();
    settings.addEventListener("changed", () => this.#onSetting());
    conversation.addEventListener("change", () => this.#onChange());
    for (const turn of transcript.turns) this.#add(turn);
    transcript.addEventListener("change", (event) => {
      const { detail } = /** @type {CustomEvent<import("./transcript.js").Change>} */ (event);
      if (detail.change === "cleared") this.#clear();
      else if (detail.change === "added") this.#add(detail.turn);
      else if (detail.change === "removed") this.#remove(detail.turn);
      else this.#render(detail.turn);
    });
  }

  #onSetting() {
    this.dataset.mode = this.#settings.get("captions");
    for (const { actions } of this.#shown.values()) actions?.showSpeed(this.#settings.get("speed"));
  }

  /** An answer is played again, or is not any more. */
  #onChange() {
    const { replaying } = this.#conversation.model;
    if (replaying === this.#replaying) return;
    this.#shown.get(this.#replaying ?? "")?.actions?.showPlaying(false);
    this.#shown.get(replaying ?? "")?.actions?.showPlaying(true);
    this.#replaying = replaying;
  }

  #clear() {
    this.#shown.clear();
    this.#list.replaceChildren();
  }

  /** @param {Turn} turn */
  #add(turn) {
    const element = turn.card ? card(turn.card) : turn.who === "note" ? h("li", { className: "note" }, turn.text) : null;
    if (element) {
      this.#shown.set(turn.id, { element });
      this.#list.append(element);
    } else {
      const words = h("p", { className: "words" });
      const label = LABELS[turn.purpose ?? ""] ?? LABELS[turn.who] ?? "";
      const actions = turn.answer && new Actions(turn.id, this.#conversation, this.#settings);
      const head = h("div", { className: "head" }, h("span", { className: "who" }, label), ...(actions ? [actions.element] : []));
      const said = h("li", { className: turn.who }, head, words);
      const progress = turn.file && h("progress", { ariaLabel: "Sent", max: 1 });
      if (turn.file && progress) said.append(h("p", { className: "file" }, icon("attach"), h("span", {}, turn.file.name), progress));
      said.classList.toggle("aside", Boolean(turn.purpose));
      this.#shown.set(turn.id, { element: said, words, actions, progress });
      this.#list.append(said);
      this.#render(turn);
    }
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {Turn} turn */
  #remove(turn) {
    this.#shown.get(turn.id)?.element.remove();
    this.#shown.delete(turn.id);
  }

  /**
   * Show a turn as far as it was said; what an interruption took away is struck through.
   * @param {Turn} turn
   */
  #render(turn) {
    const { element, words, actions, progress } = this.#shown.get(turn.id) ?? {};
    if (!element || !words) return;
    const waiting = isWaiting(turn);
    element.classList.toggle("waiting", waiting);
    this.#write(words, waiting ? ["…", "", false] : pieces(turn));
    actions?.showWhat({ words: Boolean(turn.answer?.text), sound: turn.answer?.isOver ?? false });
    if (progress && turn.file) progress.value = turn.file.sent;
    if (progress) progress.hidden = turn.file?.sent === 1;
    this.#follow();
  }

  /**
   * Write what was said, and what is still to be played or was cut off. Most of the fifty times a second in which this
   * happens nothing has changed.
   * @param {HTMLElement} words
   * @param {[string, string, boolean]} pieces
   */
  #write(words, [played, rest, truncated]) {
    const key = `${played.length} ${rest.length} ${truncated}`;
    if (words.dataset.shown === key && words.textContent?.startsWith(played)) return;
    words.dataset.shown = key;
    const after = truncated ? notHeard(rest) : h("span", { className: "ahead" }, rest);
    words.replaceChildren(played, ...(rest ? [after] : []));
  }

  /** Scroll to the newest words, unless the user reads further up. */
  #follow() {
    const { scrollTop, clientHeight, scrollHeight } = this.#list;
    if (scrollHeight - scrollTop - clientHeight < NEAR_END) this.#list.scrollTop = scrollHeight;
  }
}

/** What one can do with an answer: play it again, faster or slower, download it, copy its words. */
class Actions {
  #play = button("play", "Play again", () => this.#replay());
  #speed = h("button", { type: "button", className: "speed", onclick: () => this.#changeSpeed() });
  #download = button("download", "Download", () => this.#save());
  #copy = button("copy", "Copy", () => this.#copyWords());
  element = h("div", { className: "actions" }, this.#play, this.#speed, this.#download, this.#copy);
  #id;
  #conversation;
  #settings;

  /**
   * @param {string} id
   * @param {Conversation} conversation
   * @param {Settings} settings
   */
  constructor(id, conversation, settings) {
    this.#id = id;
    this.#conversation = conversation;
    this.#settings = settings;
    this.showSpeed(settings.get("speed"));
  }

  /** @param {{words: boolean, sound: boolean}} what there is of the answer; the room for the rest is kept */
  showWhat({ words, sound }) {
    for (const element of [this.#play, this.#speed, this.#download]) element.toggleAttribute("data-idle", !sound);
    this.#copy.toggleAttribute("data-idle", !words || !navigator.clipboard);
  }

  /** @param {number} speed */
  showSpeed(speed) {
    write(this.#speed, `${speed}×`);
    this.#speed.ariaLabel = `Speed ${speed}`;
  }

  /** @param {boolean} playing */
  showPlaying(playing) {
    const label = playing ? "Stop" : "Play again";
    if (this.#play.ariaLabel === label) return;
    this.#play.ariaLabel = this.#play.title = label;
    this.#play.replaceChildren(icon(playing ? "stop" : "play"));
  }

  async #replay() {
    await (await this.#conversation.player()).toggle(this.#id);
  }

  async #changeSpeed() {
    const { nextSpeed } = await import("./replay.js");
    this.#settings.set("speed", nextSpeed(this.#settings.get("speed")));
  }

  async #save() {
    const file = await (await this.#conversation.player()).soundOf(this.#id);
    if (!file) return;
    const time = new Date().toISOString().slice(0, 16).replace("T", " ").replace(":", "");
    save(file, `vivavoce ${time}.wav`);
  }

  async #copyWords() {
    const answer = this.#conversation.transcript.answer(this.#id);
    await navigator.clipboard.writeText(answer?.truncated ? answer.split()[0] : (answer?.text ?? ""));
    this.#copy.replaceChildren(icon("done"));
    setTimeout(() => this.#copy.replaceChildren(icon("copy")), DONE_MS);
  }
}

/**
 * @param {string} sign
 * @param {string} name
 * @param {() => void} onclick
 */
function button(sign, name, onclick) {
  return h("button", { type: "button", ariaLabel: name, title: name, onclick }, icon(sign));
}

/**
 * What was said or played, the rest, and whether that was cut off.
 * @param {Turn} turn
 * @returns {[string, string, boolean]}
 */
function pieces({ text, answer }) {
  return answer ? [...answer.split(), answer.truncated] : [text, "", false];
}

/** @param {{title: string, html: string}} shown */
function card({ title, html }) {
  const body = h("div", { className: "body" });
  body.innerHTML = html;
  for (const table of body.querySelectorAll("table"))
    table.replaceWith(h("div", { className: "wide" }, table.cloneNode(true)));
  return h("li", { className: "card" }, ...(title ? [h("h2", {}, title)] : []), body);
}

customElements.define("caption-list", CaptionList);
