// <history-view>: what was said earlier. `#/history` lists and searches it, `#/history/ID` opens one conversation.

import { find, h, write } from "../dom.js";
import { ServerError, request } from "../server.js";
import { StoredConversation } from "./stored-conversation.js";
import { cost, day, length, time } from "./formats.js";

const PAGE = 30;
const TYPING_MS = 250; // a pause in typing after which is searched

/** @typedef {import("../app.js").App} App */
/** @typedef {import("./stored-conversation.js").Item} Item */
/**
 * @typedef {object} Summary
 * @property {string} id
 * @property {string} started
 * @property {number | null} seconds
 * @property {string | null} first
 * @property {string} transport
 * @property {string | null} ended
 * @property {import("./formats.js").Cost} cost
 */

export class HistoryView extends HTMLElement {
  /** @type {App | undefined} */
  #app;
  #asking = new AbortController();
  #query = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;
  #box = h("input", {
    type: "search",
    id: "query",
    placeholder: "Search what was said",
    autocomplete: "off",
    maxLength: 200,
    oninput: () => this.#type(),
  });
  #found = h("div", { id: "found" });
  #told = h("p", { id: "told", role: "status" });

  connectedCallback() {
    this.tabIndex = -1;
  }

  disconnectedCallback() {
    clearTimeout(this.#typing);
    this.#asking.abort();
  }

  /** @param {App} app */
  open(app) {
    this.#app = app;
  }

  /** @param {string[]} path */
  show([id, item]) {
    this.#asking.abort();
    this.#asking = new AbortController();
    if (!this.#app) return;
    if (id) this.replaceChildren(new StoredConversation(this.#app, id, item));
    else this.#list();
    this.scrollTop = 0;
  }

  #list() {
    const search = h("form", { role: "search", onsubmit: (/** @type {Event} */ event) => this.#submit(event) });
    search.append(h("label", { className: "unseen", htmlFor: "query" }, "Search what was said"), this.#box);
    this.replaceChildren(h("h2", {}, "History"), search, this.#told, this.#found);
    this.#ask();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    this.#search();
  }

  #type() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#search(), TYPING_MS);
  }

  #search() {
    clearTimeout(this.#typing);
    const query = this.#box.value.trim();
    if (query === this.#query) return;
    this.#query = query;
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#ask();
  }

  /** @param {string} [before] the cursor of the next page */
  async #ask(before) {
    const path = this.#query ? "v1/history/search" : "v1/history";
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.#query) query.set("q", this.#query);
    if (before) query.set("before", before);
    const { signal } = this.#asking;
    let page;
    try {
      page = await (await request(`${path}?${query}`, { signal })).json();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServerError)) throw error;
      return this.#fail(error.message);
    }
    if (signal.aborted) return;
    if (!before) this.#found.replaceChildren();
    this.#found.querySelector("#more")?.remove();
    for (const one of page.data) this.#place(one.started ?? one.created).append(this.#query ? hit(one) : row(one));
    if (page.next) this.#found.append(h("button", { id: "more", type: "button", onclick: () => this.#ask(page.next) }, "Show more"));
    const none = this.#query ? "Nobody said that." : "There is nothing yet. What you say is kept here, on your server.";
    write(this.#told, this.#found.children.length ? "" : none);
  }

  /** @param {string} words */
  #fail(words) {
    this.#found.replaceChildren(h("p", { className: "problem", role: "alert" }, words));
    write(this.#told, "");
  }

  /**
   * The list of a day, the last one on the page.
   * @param {string} date
   */
  #place(date) {
    const title = day(date);
    const last = this.#found.lastElementChild;
    if (last?.querySelector("h3")?.textContent === title) return find(last, "ol", HTMLElement);
    const list = h("ol");
    this.#found.append(h("section", {}, h("h3", {}, title), list));
    return list;
  }
}

/** @param {Summary} one */
function row(one) {
  const running = one.ended === null && one.seconds === null;
  const facts = [time(one.started), running ? "going on" : length(one.seconds), one.transport, cost(one.cost)];
  return link(one.id, one.first ?? "Nothing was said", facts);
}

/** @param {Item & {conversation_id: string}} item */
function hit(item) {
  const who = item.role === "user" ? "You" : "Answer";
  return link(`${item.conversation_id}/${item.id}`, item.text ?? "", [time(item.created), who]);
}

/**
 * @param {string} path
 * @param {string} title
 * @param {string[]} facts
 */
function link(path, title, facts) {
  const href = `#/history/${path.split("/").map(encodeURIComponent).join("/")}`;
  const shown = facts.filter(Boolean).join(" · ");
  return h("li", {}, h("a", { href }, h("span", { className: "title" }, title), h("small", {}, shown)));
}

customElements.define("history-view", HistoryView);
