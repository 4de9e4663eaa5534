// Who said what, as far as it was played: the data behind the captions, without the page.

const WIRE_RATE = 24000;
const HISTORY_TURNS = 200; // of a conversation that goes on in a new session,
const HISTORY_CHARS = 60000; // and characters
const MAX_SOUND = 4_000_000; // samples of answers that can be played again without the server: nearly three minutes
const CHARS_PER_MS = 0.015; // speed of speech, until it is known how long these words take,
const MOST_CHARS_PER_MS = 0.03; // and what nobody speaks faster than

/** One answer: its words, and the moment in its audio at which each run of words begins. */
export class Answer {
  /** @type {{text: string, at: number}[]} words, and the milliseconds of audio that came before them */
  #runs = [];
  #audioMs = 0; // received
  #finished = false;
  /** @type {Int16Array[]} what was received, as long as there is room for it */
  sound = [];
  samples = 0; // in `sound`
  playedMs = 0;
  truncated = false;
  hasAudio = false;
  aheadMs = 0; // by which words come before their sound, where sound is not received before it is played

  /** @param {string} text */
  appendText(text) {
    this.#runs.push({ text, at: this.#audioMs + (this.aheadMs && this.#earliestMs) });
  }

  /** Milliseconds of audio, beside what was received, before which words that come now are not spoken. */
  get #earliestMs() {
    const last = this.#runs.at(-1);
    if (!last) return 0;
    const spoken = last.at + last.text.length / MOST_CHARS_PER_MS - this.#audioMs;
    return Math.max(spoken, this.#audioMs && this.aheadMs);
  }

  /** @param {Int16Array} samples at 24 kHz */
  appendAudio(samples) {
    this.hasAudio = true;
    this.#audioMs += (samples.length / WIRE_RATE) * 1000;
    this.sound.push(samples);
    this.samples += samples.length;
  }

  forgetSound() {
    this.sound = [];
    this.samples = 0;
  }

  /** Whether it was played to its end, or to where it was interrupted. */
  get isOver() {
    return this.hasAudio && (this.truncated || this.playedMs === Infinity);
  }

  finish() {
    this.#finished = true;
  }

  get text() {
    return this.#runs.map((run) => run.text).join("");
  }

  /**
   * The words played by now, and the rest.
   * @returns {[string, string]}
   */
  split() {
    if (!this.hasAudio) return this.truncated ? ["", this.text] : [this.text, ""];
    const count = this.#runs.reduce((sum, run, i) => sum + this.#count(run, this.#end(run, i)), 0);
    const text = this.text;
    const at = count >= text.length ? text.length : text.lastIndexOf(" ", count) + 1;
    return [text.slice(0, at), text.slice(at)];
  }

  /**
   * @param {{text: string, at: number}} run
   * @param {number} i
   */
  #end(run, i) {
    const following = this.#runs[i + 1];
    if (following) return following.at;
    return this.#finished ? this.#audioMs : Math.max(this.#audioMs, run.at + run.text.length / CHARS_PER_MS);
  }

  /**
   * @param {{text: string, at: number}} run
   * @param {number} end
   */
  #count({ text, at }, end) {
    if (this.playedMs <= at) return 0;
    return this.playedMs >= end ? text.length : Math.floor((text.length * (this.playedMs - at)) / (end - at));
  }
}

/**
 * A turn of somebody, a note that nobody said, or a card of a tool. An `answer` has its words itself. `purpose` is set
 * for words that are no answer, such as an apology.
 * @typedef {object} Turn
 * @property {string} id
 * @property {"user" | "assistant" | "note" | "card"} who
 * @property {string} text
 * @property {string} [purpose]
 * @property {Answer} [answer]
 * @property {{title: string, html: string}} [card]
 * @property {string | null} session in which it was said, as the server names it
 * @property {{name: string, sent: number}} [file] a recording that is sent, and the part of it that was
 */
/** @typedef {{change: "added" | "changed" | "removed", turn: Turn} | {change: "cleared"}} Change */
/** @typedef {{id: string, who: "user" | "assistant", text: string}} Said */

/** All turns, in order. Each change is dispatched as a CustomEvent `change`, with a `Change` as detail. */
export class Transcript extends EventTarget {
  /** @type {Map<string, Turn>} */
  #turns = new Map();
  /** @type {Set<Answer>} those whose sound is kept, the oldest first */
  #sounding = new Set();
  #unsaid = 0; // notes and cards so far, which have no ids of their own
  /** @type {string | null} */
  session = null;

  get empty() {
    return this.#turns.size === 0;
  }

  get turns() {
    return this.#turns.values();
  }

  clear() {
    this.#turns.clear();
    this.#sounding.clear();
    this.#tell({ change: "cleared" });
  }

  /**
   * Add what somebody says; its text may come later.
   * @param {string} id
   * @param {"user" | "assistant"} who
   * @param {string} [text]
   * @param {string} [purpose]
   */
  add(id, who, text = "", purpose) {
    if (this.#turns.has(id)) return;
    const answer = who === "assistant" ? new Answer() : undefined;
    this.#add({ id, who, text, purpose, answer, session: this.session });
  }

  /**
   * Add a recording that somebody sends.
   * @param {string} id
   * @param {string} name
   */
  addFile(id, name) {
    this.#add({ id, who: "user", text: "", session: this.session, file: { name, sent: 0 } });
  }

  /**
   * @param {string} id of a recording
   * @param {number} sent the part of it that was sent, 0 to 1
   */
  setSent(id, sent) {
    const turn = this.#turns.get(id);
    if (!turn?.file) return;
    turn.file.sent = sent;
    this.#tell({ change: "changed", turn });
  }

  /**
   * Add a line that nobody said.
   * @param {string} text
   */
  note(text) {
    this.#add({ id: `note ${this.#unsaid++}`, who: "note", text, session: null });
  }

  /**
   * Add a card. The server has removed unsafe HTML.
   * @param {string} title
   * @param {string} html
   */
  card(title, html) {
    this.#add({ id: `card ${this.#unsaid++}`, who: "card", text: "", session: null, card: { title, html } });
  }

  /** @param {string | null} id */
  get(id) {
    return id === null ? undefined : this.#turns.get(id);
  }

  /**
   * More sound of an answer. Of older answers it is dropped.
   * @param {string} id
   * @param {Int16Array} samples at 24 kHz
   */
  appendAudio(id, samples) {
    const newest = this.answer(id);
    if (!newest) return;
    newest.appendAudio(samples);
    this.#sounding.add(newest);
    let kept = 0;
    for (const answer of this.#sounding) kept += answer.samples;
    for (const answer of this.#sounding) {
      if (kept <= MAX_SOUND || answer === newest) break;
      kept -= answer.samples;
      answer.forgetSound();
      this.#sounding.delete(answer);
    }
  }

  /** @param {string | null} id */
  answer(id) {
    return this.get(id)?.answer;
  }

  /**
   * @param {string} id
   * @param {string} text an empty one removes the turn
   */
  setText(id, text) {
    const turn = this.#turns.get(id);
    if (!text.trim()) return this.remove(id);
    if (turn) this.#change(turn, text);
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  appendText(id, text) {
    const turn = this.#turns.get(id);
    if (turn) this.#change(turn, turn.text + text);
  }

  /**
   * An answer has changed: words came, or were played.
   * @param {string | null} id
   */
  touch(id) {
    const turn = this.get(id);
    if (turn?.answer) this.#tell({ change: "changed", turn });
  }

  /** @param {string | null} id */
  remove(id) {
    const turn = this.get(id);
    if (!turn) return;
    this.#turns.delete(turn.id);
    if (turn.answer) this.#sounding.delete(turn.answer);
    this.#tell({ change: "removed", turn });
  }

  /** The session is gone: what it was still to say will not come. */
  dropWaiting() {
    for (const turn of this.#turns.values()) if (isWaiting(turn)) this.remove(turn.id);
  }

  /**
   * What was said and heard, for a new session; of a long conversation the newest. No model is told the rest.
   * @returns {Said[]}
   */
  history() {
    const turns = [...this.#turns.values()].filter(({ purpose }) => !purpose).map(heard).filter((turn) => turn !== null);
    const said = turns.slice(-HISTORY_TURNS);
    let length = said.reduce((sum, { text }) => sum + text.length, 0);
    while (said.length > 1 && length > HISTORY_CHARS) length -= said.shift()?.text.length ?? 0;
    return said;
  }

  /**
   * Show what was said before the page was loaded again.
   * @param {Said[]} said
   */
  restore(said) {
    for (const { id, who, text } of said) {
      this.add(id, who, text);
      this.answer(id)?.appendText(text);
      this.touch(id);
    }
  }

  /** @param {Turn} turn */
  #add(turn) {
    this.#turns.set(turn.id, turn);
    this.#tell({ change: "added", turn });
  }

  /**
   * @param {Turn} turn
   * @param {string} text
   */
  #change(turn, text) {
    turn.text = text;
    this.#tell({ change: "changed", turn });
  }

  /** @param {Change} detail */
  #tell(detail) {
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }
}

/**
 * Whether the words of a turn are still to come.
 * @param {Turn} turn
 */
export function isWaiting({ who, text, answer, file }) {
  return (who === "user" && !text && !file) || (answer !== undefined && !answer.text);
}

/**
 * @param {Turn} turn
 * @returns {Said | null}
 */
function heard({ id, who, text, answer }) {
  const words = answer ? answer.split()[0] : text;
  return (who === "user" || who === "assistant") && words.trim() ? { id, who, text: words } : null;
}
