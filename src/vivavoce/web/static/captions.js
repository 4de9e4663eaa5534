// <caption-list>: the transcript on the page. Text goes in as text only.

import { h } from "./dom.js";
import { isWaiting } from "./transcript.js";

/** @typedef {import("./transcript.js").Transcript} Transcript */
/** @typedef {import("./transcript.js").Turn} Turn */

/** @type {Record<string, string>} */
const LABELS = { user: "You", assistant: "Answer", apology: "Apology", filler: "Meanwhile" };
const NEAR_END = 160; // pixels from the newest words within which the list follows them

export class CaptionList extends HTMLElement {
  /** @type {Map<string, {element: HTMLElement, words?: HTMLElement}>} */
  #shown = new Map();
  #list = h("ol", { id: "turns", tabIndex: 0 });

  connectedCallback() {
    this.role = "log";
    this.ariaLive = "off"; // it would be heard by the microphone
    this.ariaLabel = "What was said";
    this.append(this.#list);
  }

  /**
   * @param {Transcript} transcript
   * @param {import("./settings.js").Settings} settings
   */
  show(transcript, settings) {
    this.dataset.mode = settings.get("captions");
    settings.addEventListener("changed", () => (this.dataset.mode = settings.get("captions")));
    for (const turn of transcript.turns) this.#add(turn);
    transcript.addEventListener("change", (event) => {
      const { detail } = /** @type {CustomEvent<import("./transcript.js").Change>} */ (event);
      if (detail.change === "cleared") this.#clear();
      else if (detail.change === "added") this.#add(detail.turn);
      else if (detail.change === "removed") this.#remove(detail.turn);
      else this.#render(detail.turn);
    });
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
      const said = h("li", { className: turn.who }, h("span", { className: "who" }, label), words);
      said.classList.toggle("aside", Boolean(turn.purpose));
      this.#shown.set(turn.id, { element: said, words });
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
    const { element, words } = this.#shown.get(turn.id) ?? {};
    if (!element || !words) return;
    const waiting = isWaiting(turn);
    element.classList.toggle("waiting", waiting);
    words.replaceChildren(...(waiting ? ["…"] : pieces(turn)));
    this.#follow();
  }

  /** Scroll to the newest words, unless the user reads further up. */
  #follow() {
    const { scrollTop, clientHeight, scrollHeight } = this.#list;
    if (scrollHeight - scrollTop - clientHeight < NEAR_END) this.#list.scrollTop = scrollHeight;
  }
}

/**
 * @param {Turn} turn
 * @returns {(Node | string)[]}
 */
function pieces({ text, answer }) {
  if (!answer) return [text];
  const [played, rest] = answer.split();
  if (!rest) return [played];
  return [played, answer.truncated ? notPlayed(rest) : h("span", { className: "ahead" }, rest)];
}

/** @param {string} text */
function notPlayed(text) {
  return h("del", {}, h("span", { className: "unseen" }, " (not heard: "), text, h("span", { className: "unseen" }, ")"));
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
