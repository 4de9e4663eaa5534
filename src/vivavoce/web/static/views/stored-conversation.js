// <stored-conversation>: one conversation of the history, to be read, heard, kept, deleted and gone on with.

import { h, icon, notHeard, save, write } from "../dom.js";
import { ServerError, request } from "../server.js";
import { cost, day, length, time } from "./formats.js";
import { waterfall } from "./waterfall.js";

/** @typedef {import("../app.js").App} App */
/**
 * @typedef {object} Item
 * @property {string} id
 * @property {string} type
 * @property {string | null} role
 * @property {string | null} text
 * @property {string | null} heard
 * @property {string | null} purpose
 * @property {string | null} name
 * @property {string | null} arguments
 * @property {string | null} output
 * @property {string} created
 */
/** @typedef {{item_id: string, channel: string, began: number, ended: number}} Part */
/** @typedef {{id: string, kind: string, stages: import("./waterfall.js").Stage[]}} Turn */
/**
 * @typedef {object} Stored
 * @property {string} id
 * @property {string | null} continues
 * @property {string} started
 * @property {number | null} seconds
 * @property {string} transport
 * @property {string | null} identity
 * @property {Record<string, string> | null} models
 * @property {import("./formats.js").Cost} cost
 * @property {{url: string, seconds: number | null, problem: string | null} | null} audio
 * @property {Item[]} items
 * @property {Turn[]} turns
 * @property {Part[]} spoken
 */

/** @type {Record<string, string>} */
const FORMATS = { wav: "Sound (WAV)", markdown: "Text (Markdown)", srt: "Subtitles (SRT)", json: "All of it (JSON)" };

export class StoredConversation extends HTMLElement {
  #app;
  #id;
  #wanted;
  #asking = new AbortController();
  #player = h("audio", { controls: true, preload: "metadata", ontimeupdate: () => this.#follow() });
  #told = h("p", { className: "problem", role: "alert" });
  /** @type {Part[]} */
  #spoken = [];
  /** @type {Map<string, HTMLElement>} by item */
  #shown = new Map();
  /** @type {number | undefined} where the turn that is played ends, in seconds */
  #until;

  /**
   * @param {App} app
   * @param {string} id
   * @param {string} [item] to be shown first
   */
  constructor(app, id, item) {
    super();
    this.#app = app;
    this.#id = id;
    this.#wanted = item;
  }

  connectedCallback() {
    this.replaceChildren(h("p", { className: "back" }, h("a", { href: "#/history" }, "All conversations")), this.#told);
    this.#load();
  }

  disconnectedCallback() {
    this.#asking.abort();
    this.#player.pause();
  }

  get #path() {
    return `v1/history/${encodeURIComponent(this.#id)}`;
  }

  async #load() {
    const { signal } = this.#asking;
    try {
      const stored = await (await request(this.#path, { signal })).json();
      if (!signal.aborted) this.#show(stored);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ServerError)) throw error;
    write(this.#told, error.message);
  }

  /** @param {Stored} stored */
  #show(stored) {
    const said = stored.items.filter(isShown);
    const title = said.find(({ role }) => role === "user")?.text ?? "Nothing was said";
    const models = [...new Set(Object.values(stored.models ?? {}))].join(", ");
    const facts = [day(stored.started), time(stored.started), length(stored.seconds), stored.transport, cost(stored.cost)];
    this.append(
      h("h2", {}, title),
      h("p", { className: "facts" }, facts.filter(Boolean).join(" · ")),
      h("p", { className: "facts" }, [stored.identity, models].filter(Boolean).join(" · ")),
      this.#actions(stored, said),
    );
    if (stored.audio) this.#showPlayer(stored.audio);
    if (stored.continues) {
      const href = `#/history/${encodeURIComponent(stored.continues)}`;
      this.append(h("p", { className: "facts" }, "It went on from ", h("a", { href }, "an earlier conversation"), "."));
    }
    this.#spoken = stored.audio ? stored.spoken : [];
    const turns = new Map(stored.turns.map((turn) => [turn.id, turn]));
    const list = h("ol", { className: "items" });
    for (const item of said) list.append(this.#item(item, turns.get(item.id)));
    this.append(list);
    if (this.#wanted) this.#shown.get(this.#wanted)?.scrollIntoView({ block: "center" });
  }

  /** @param {{url: string, problem: string | null}} audio */
  #showPlayer({ url, problem }) {
    this.#player.setAttribute("aria-label", "The whole conversation");
    this.append(this.#player);
    if (problem) this.append(h("p", { className: "facts" }, `The recording is not whole: ${problem}`));
    this.#player.src = new URL(url.replace(/^\//, ""), document.baseURI).href;
  }

  /**
   * @param {Stored} stored
   * @param {Item[]} said
   */
  #actions(stored, said) {
    const formats = Object.entries(FORMATS).filter(([format]) => format !== "wav" || stored.audio);
    const exports = formats.map(([format, name]) =>
      h("button", { type: "button", onclick: () => this.#export(format) }, name),
    );
    const menu = h("details", { className: "menu" }, h("summary", {}, "Download"), h("div", {}, ...exports));
    return h(
      "div",
      { className: "actions" },
      h("button", { className: "go-on", type: "button", onclick: () => this.#goOn(stored, said) }, "Go on talking"),
      menu,
      h("button", { className: "delete", type: "button", onclick: () => this.#askToDelete() }, "Delete"),
    );
  }

  /**
   * @param {Stored} stored
   * @param {Item[]} said
   */
  #goOn(stored, said) {
    this.#app.conversation.resume(stored.id, said.flatMap(heardWords));
    location.hash = "#/";
  }

  /** @param {string} format */
  async #export(format) {
    try {
      const file = await request(`${this.#path}/export?format=${format}`);
      const name = /filename="([^"]+)"/.exec(file.headers.get("content-disposition") ?? "")?.[1];
      save(await file.blob(), name ?? `conversation.${format}`);
    } catch (error) {
      this.#fail(error);
    }
  }

  #askToDelete() {
    const words = "Delete this conversation, with its sound, for good?";
    const answer = h("form", { method: "dialog" }, h("p", {}, words));
    answer.append(h("button", { value: "" }, "Keep it"), h("button", { className: "delete", value: "yes" }, "Delete it"));
    const dialog = h("dialog", { className: "question", ariaLabel: words }, answer);
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue) this.#delete();
    });
    this.append(dialog);
    dialog.showModal();
  }

  async #delete() {
    try {
      await request(this.#path, { method: "DELETE" });
      location.hash = "#/history";
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * @param {Item} item
   * @param {Turn | undefined} turn
   */
  #item(item, turn) {
    const line = h("li", { className: item.role ?? "tool" });
    this.#shown.set(item.id, line);
    if (item.type !== "message") {
      line.append(h("p", { className: "call" }, h("code", {}, `${item.name}(${item.arguments ?? ""})`)));
      if (item.output) line.append(h("p", { className: "call" }, h("code", {}, `→ ${item.output}`)));
      return line;
    }
    const head = h("p", { className: "head" }, h("span", { className: "who" }, label(item)), h("time", {}, time(item.created)));
    const part = this.#spoken.find(({ item_id }) => item_id === item.id);
    if (part) {
      const play = h("button", { className: "icon", type: "button", onclick: () => this.#play(part) }, icon("play"));
      play.setAttribute("aria-label", `Play: ${item.text}`);
      head.append(play);
    }
    line.append(head, h("p", { className: "words" }, ...words(item)));
    if (turn?.stages.length) line.append(h("details", {}, h("summary", {}, "What happened"), waterfall(turn.stages)));
    return line;
  }

  /** @param {Part} part */
  #play({ began, ended }) {
    this.#until = ended;
    this.#player.currentTime = began;
    this.#player.play();
  }

  /** Mark what is heard, and stop at the end of a turn that was played alone. */
  #follow() {
    const { currentTime, paused } = this.#player;
    if (this.#until !== undefined && currentTime >= this.#until) {
      this.#until = undefined;
      this.#player.pause();
    }
    for (const { item_id, began, ended } of this.#spoken) {
      const heard = !paused && began <= currentTime && currentTime < ended;
      this.#shown.get(item_id)?.classList.toggle("heard", heard);
    }
  }
}

/** @param {Item} item */
function isShown({ type, text, name }) {
  return type === "message" ? Boolean(text?.trim()) : Boolean(name);
}

/**
 * What the model is told of an item when the conversation goes on.
 * @param {Item} item
 * @returns {import("../transcript.js").Said[]}
 */
function heardWords({ id, role, heard, purpose }) {
  const text = heard?.trim();
  return text && !purpose && (role === "user" || role === "assistant") ? [{ id, who: role, text }] : [];
}

/** @param {Item} item */
function label({ role, purpose }) {
  if (purpose) return purpose === "apology" ? "Apology" : "Meanwhile";
  return role === "user" ? "You" : role === "assistant" ? "Answer" : "System";
}

/**
 * What was said; of an answer, what was not heard is struck through.
 * @param {Item} item
 * @returns {(Node | string)[]}
 */
function words({ role, text, heard }) {
  const all = (text ?? "").trim();
  const played = (heard ?? "").trim();
  if (role !== "assistant" || !all.startsWith(played) || all === played) return [all];
  const rest = all.slice(played.length);
  return [played, notHeard(rest)];
}

customElements.define("stored-conversation", StoredConversation);
