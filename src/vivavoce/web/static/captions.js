// What was said, by whom, as far as it was heard.

const WIRE_RATE = 24000;
const CHARS_PER_MS = 0.015; // how fast people speak, until we know how long these words take

/** One answer: its words, and the moment in its sound at which each run of words begins. */
export class Answer {
  #runs = []; // {text, at}: words, and the milliseconds of sound that came before them
  #ms = 0; // of sound received
  #whole = false;
  heard = 0;
  cut = false;
  spoken = false;

  say(text) {
    this.#runs.push({ text, at: this.#ms });
  }

  sound(samples) {
    this.spoken = true;
    this.#ms += (samples / WIRE_RATE) * 1000;
  }

  finish() {
    this.#whole = true;
  }

  get text() {
    return this.#runs.map((run) => run.text).join("");
  }

  /** The words heard by now, and the rest. */
  split() {
    if (!this.spoken) return this.cut ? ["", this.text] : [this.text, ""];
    const count = this.#runs.reduce((sum, run, i) => sum + this.#count(run, this.#end(run, i)), 0);
    const text = this.text;
    const at = count >= text.length ? text.length : text.lastIndexOf(" ", count) + 1;
    return [text.slice(0, at), text.slice(at)];
  }

  #end(run, i) {
    if (i + 1 < this.#runs.length) return this.#runs[i + 1].at;
    return this.#whole ? this.#ms : Math.max(this.#ms, run.at + run.text.length / CHARS_PER_MS);
  }

  #count({ text, at }, end) {
    if (this.heard <= at) return 0;
    return this.heard >= end ? text.length : Math.floor((text.length * (this.heard - at)) / (end - at));
  }
}

/** The list on the page. Text goes in as text only. */
export class Captions {
  #turns = new Map(); // item id -> {element, who, answer?}

  constructor(list) {
    this.list = list;
  }

  get empty() {
    return this.#turns.size === 0;
  }

  clear() {
    this.#turns.clear();
    this.list.replaceChildren();
  }

  /** Somebody said something; what, may come later. */
  add(id, who, text = "") {
    if (this.#turns.has(id)) return;
    const words = make("p", "words", text || "…");
    const element = make("li", who, make("span", "who", who === "you" ? "You" : "Answer"), words);
    element.classList.toggle("waiting", !text);
    this.#turns.set(id, { element, words, who, text, answer: who === "it" ? new Answer() : undefined });
    this.#append(element);
  }

  answer(id) {
    return this.#turns.get(id)?.answer;
  }

  write(id, text) {
    const turn = this.#turns.get(id);
    if (!turn) return;
    if (!text.trim()) return this.remove(id);
    turn.text = text;
    turn.words.textContent = text;
    turn.element.classList.remove("waiting");
    this.#follow();
  }

  more(id, text) {
    const turn = this.#turns.get(id);
    if (turn) this.write(id, turn.text + text);
  }

  /** Show an answer as far as it was heard; what an interruption took away is struck through. */
  show(id) {
    const turn = this.#turns.get(id);
    if (!turn?.answer) return;
    const [heard, rest] = turn.answer.split();
    turn.element.classList.toggle("waiting", !heard && !rest);
    const pieces = heard || rest ? [heard] : ["…"];
    if (rest && turn.answer.cut) pieces.push(unheard(rest));
    else if (rest) pieces.push(make("span", "ahead", rest));
    turn.words.replaceChildren(...pieces);
    this.#follow();
  }

  remove(id) {
    this.#turns.get(id)?.element.remove();
    this.#turns.delete(id);
  }

  /** A line that nobody said. */
  note(text) {
    this.#append(make("li", "note", text));
  }

  /** Something to look at. The server has taken out of the HTML whatever could do harm. */
  card(title, html) {
    const body = make("div", "body");
    body.innerHTML = html;
    for (const table of body.querySelectorAll("table")) table.replaceWith(make("div", "wide", table.cloneNode(true)));
    const element = make("li", "card", body);
    if (title) element.prepend(make("h2", "", title));
    this.#append(element);
  }

  /** What was said, for a new line after the old one dropped: [{who, text}]. */
  said() {
    const heard = ({ who, text, answer }) => ({ who, text: answer ? answer.split()[0] : text });
    return [...this.#turns.values()].map(heard).filter(({ text }) => text.trim());
  }

  /** The old line is gone: what was said stays to be read, and is nobody's item any more. */
  forget() {
    for (const { element } of this.#turns.values()) if (element.classList.contains("waiting")) element.remove();
    this.#turns.clear();
  }

  #append(element) {
    this.list.append(element);
    this.list.scrollTop = this.list.scrollHeight;
  }

  /** Keep the newest words in sight, unless somebody reads further up. */
  #follow() {
    const { scrollTop, clientHeight, scrollHeight } = this.list;
    if (scrollHeight - scrollTop - clientHeight < 160) this.list.scrollTop = scrollHeight;
  }
}

function unheard(text) {
  const del = make("del", "", text);
  del.prepend(make("span", "unseen", " (not heard: "));
  del.append(make("span", "unseen", ")"));
  return del;
}

function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}
