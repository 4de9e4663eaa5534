/** What a client saw, step by step, and the patience to wait for more. */
export class Diary {
  steps = [];
  events = [];
  errors = [];
  /** What the client could not use although the server sent it. */
  ignored = new Set();
  #looks = new Set();

  step(name, facts = {}) {
    this.steps.push({ step: name, ...facts });
  }

  /** Returns what `look` finds; it looks again whenever there is news. */
  async until(look, seconds = 30) {
    return look() || new Promise((resolve, reject) => this.#wait(look, seconds, resolve, reject));
  }

  /** Returns the events of a type since a moment, once there are so many. */
  heard(type, { times = 1, since = 0 } = {}) {
    return this.until(() => {
      const found = this.events.slice(since).filter((event) => event.type === type);
      return found.length >= times && found;
    });
  }

  /** There is news. */
  notice() {
    for (const look of [...this.#looks]) look();
  }

  report() {
    return { steps: this.steps, errors: this.errors, ignored: [...this.ignored] };
  }

  #wait(look, seconds, resolve, reject) {
    const over = setTimeout(() => {
      this.#looks.delete(again);
      reject(new Error(`waited ${seconds} s for ${look}; heard ${this.events.map((event) => event.type)}`));
    }, seconds * 1000);
    const again = () => {
      const found = look();
      if (!found) return;
      clearTimeout(over);
      this.#looks.delete(again);
      resolve(found);
    };
    this.#looks.add(again);
  }
}
