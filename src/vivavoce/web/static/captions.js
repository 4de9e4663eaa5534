// The captions: who said what, as far as it was played.

const WIRE_RATE = 24000;
const HISTORY_TURNS = 200; // of a conversation that goes on in a new session,
const HISTORY_CHARS = 60000; // and characters
const CHARS_PER_MS = 0.015; // speed of speech, until it is known how long these words take

/** One answer: its words, and the moment in its audio at which each run of words begins. */
export class Answer {
  #runs = []; // {text, at}: words, and the milliseconds of audio that came before them
  #audioMs = 0; // received
  #finished = false;
  playedMs = 0;
  truncated = false;
  hasAudio = false;

  appendText(text) {
    this.#runs.push({ text, at: this.#audioMs });
  }

  appendAudio(samples) {
    this.hasAudio = true;
    this.#audioMs += (samples / WIRE_RATE) * 1000;
  }

  finish() {
    this.#finished = true;
  }

  get text() {
    return this.#runs.map((run) => run.text).join("");
  }

  /** The words played by now, and the rest. */
  split() {
    if (!this.hasAudio) return this.truncated ? ["", this.text] : [this.text, ""];
    const count = this.#runs.reduce((sum, run, i) => sum + this.#count(run, this.#end(run, i)), 0);
    const text = this.text;
    const at = count >= text.length ? text.length : text.lastIndexOf(" ", count) + 1;
    return [text.slice(0, at), text.slice(at)];
  }

  #end(run, i) {
    if (i + 1 < this.#runs.length) return this.#runs[i + 1].at;
    return this.#finished ? this.#audioMs : Math.max(this.#audioMs, run.at + run.text.length / CHARS_PER_MS);
  }

  #count({ text, at }, end) {
    if (this.playedMs <= at) return 0;
    return this.playedMs >= end ? text.length : Math.floor((text.length * (this.playedMs - at)) / (end - at));
  }
}

const LABELS = { user: "You", assistant: "Answer", apology: "Apology", filler: "Meanwhile" };

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

  /** Add a turn; its text may come later. */
  add(id, who, text = "", purpose = undefined) {
    if (this.#turns.has(id)) return;
    const words = make("p", "words", text || "…");
    const element = make("li", who, make("span", "who", LABELS[purpose] ?? LABELS[who]), words);
    element.classList.toggle("waiting", !text);
    element.classList.toggle("aside", Boolean(purpose));
    this.#turns.set(id, { element, words, who, text, purpose, answer: who === "assistant" ? new Answer() : undefined });
    this.#append(element);
  }

  answer(id) {
    return this.#turns.get(id)?.answer;
  }

  setText(id, text) {
    if (text.trim()) this.#write(this.#turns.get(id), text);
    else this.remove(id);
  }

  appendText(id, text) {
    const turn = this.#turns.get(id);
    this.#write(turn, (turn?.text ?? "") + text);
  }

  #write(turn, text) {
    if (!turn) return;
    turn.text = text;
    turn.words.textContent = text;
    turn.element.classList.remove("waiting");
    this.#follow();
  }

  /** Show an answer as far as it was played; what an interruption took away is struck through. */
  renderAnswer(id) {
    const turn = this.#turns.get(id);
    if (!turn?.answer) return;
    const [played, rest] = turn.answer.split();
    turn.element.classList.toggle("waiting", !played && !rest);
    const pieces = played || rest ? [played] : ["…"];
    if (rest && turn.answer.truncated) pieces.push(notPlayed(rest));
    else if (rest) pieces.push(make("span", "ahead", rest));
    turn.words.replaceChildren(...pieces);
    this.#follow();
  }

  remove(id) {
    this.#turns.get(id)?.element.remove();
    this.#turns.delete(id);
  }

  /** Add a line that nobody said. */
  note(text) {
    this.#append(make("li", "note", text));
  }

  /** Add a card. The server has removed unsafe HTML. */
  card(title, html) {
    const body = make("div", "body");
    body.innerHTML = html;
    for (const table of body.querySelectorAll("table")) table.replaceWith(make("div", "wide", table.cloneNode(true)));
    const element = make("li", "card", body);
    if (title) element.prepend(make("h2", "", title));
    this.#append(element);
  }

  /** What was said and heard, for a new session: [{id, who, text}], the newest of it. */
  history() {
    const answers = [...this.#turns].filter(([, { purpose }]) => !purpose); // no model is told the rest
    const turns = answers.map(([id, { who, text, answer }]) => ({ id, who, text: answer ? answer.split()[0] : text }));
    const said = turns.filter(({ text }) => text.trim()).slice(-HISTORY_TURNS);
    while (said.length > 1 && said.reduce((sum, { text }) => sum + text.length, 0) > HISTORY_CHARS) said.shift();
    return said;
  }

  /** Show what was said before the page was loaded again. */
  restore(said) {
    for (const { id, who, text } of said) {
      this.add(id, who, text);
      this.answer(id)?.appendText(text);
      this.renderAnswer(id);
    }
  }

  /** The session is gone: what it was still to say will not come. */
  dropWaiting() {
    for (const [id, { element }] of this.#turns) if (element.classList.contains("waiting")) this.remove(id);
  }

  #append(element) {
    this.list.append(element);
    this.list.scrollTop = this.list.scrollHeight;
  }

  /** Scroll to the newest words, unless the user reads further up. */
  #follow() {
    const { scrollTop, clientHeight, scrollHeight } = this.list;
    if (scrollHeight - scrollTop - clientHeight < 160) this.list.scrollTop = scrollHeight;
  }
}

function notPlayed(text) {
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
