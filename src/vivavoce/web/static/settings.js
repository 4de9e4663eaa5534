// What people chose in this browser. Every setting has a default and its allowed values here, so that a view can show
// it, and what an older version of the page has kept cannot break a newer one.

/**
 * @typedef {object} Choices
 * @property {"hands-free" | "hold"} talking
 * @property {"off" | "touch" | "speech" | "words"} interrupting
 * @property {"spoken" | "karaoke" | "full"} captions
 * @property {string} microphone id of the device; "" is the browser's choice
 * @property {number} volume 0 to 1
 * @property {number} speed of answers that are played again
 * @property {string} voice "" is the server's choice
 * @property {number} pace of the voice, 1 as it speaks by itself
 * @property {string} language of what people say, such as "de"; "" is found by itself
 * @property {"patient" | "normal" | "quick"} pauses how soon a pause ends a turn
 * @property {string} personality a name in session-wishes.js, "own", or "" for the server's
 * @property {string} instructions of the personality "own"
 * @property {"websocket" | "webrtc"} transport of the next conversation
 * @property {"system" | "light" | "dark"} theme
 * @property {boolean} advised to use push-to-talk with a screen reader
 */

/** @type {{readonly [Name in keyof Choices]: {readonly initial: Choices[Name], allows: (value: unknown) => boolean}}} */
export const SCHEMA = {
  talking: { initial: "hands-free", allows: oneOf("hands-free", "hold") },
  interrupting: { initial: "speech", allows: oneOf("off", "touch", "speech", "words") },
  captions: { initial: "karaoke", allows: oneOf("spoken", "karaoke", "full") },
  microphone: { initial: "", allows: textUpTo(256) },
  volume: { initial: 1, allows: within(0, 1) },
  speed: { initial: 1, allows: within(0.5, 2) },
  voice: { initial: "", allows: textUpTo(64) },
  pace: { initial: 1, allows: within(0.5, 1.5) },
  language: { initial: "", allows: textUpTo(16) },
  pauses: { initial: "normal", allows: oneOf("patient", "normal", "quick") },
  personality: { initial: "", allows: textUpTo(32) },
  instructions: { initial: "", allows: textUpTo(4000) },
  transport: { initial: "websocket", allows: oneOf("websocket", "webrtc") },
  theme: { initial: "system", allows: oneOf("system", "light", "dark") },
  advised: { initial: false, allows: oneOf(true, false) },
};

const KEPT = "vivavoce settings";
const SHARED_AT = "v1/page-settings";
const SHARE_AFTER_MS = 500;
/** @type {Set<string>} what belongs to a device, not to a person */
const OF_DEVICE = new Set(["microphone", "volume", "transport", "advised"]);

/** Reads and writes the choices. `changed` is dispatched as a CustomEvent with the name of the setting as detail. */
export class Settings extends EventTarget {
  /** @type {Partial<Choices>} */
  #chosen = read();
  /** Of a person who has signed in: makes requests to the server. @type {typeof import("./server.js").request | undefined} */
  #request;
  #sharing = 0;

  /**
   * @template {keyof Choices} Name
   * @param {Name} name
   * @returns {Choices[Name]}
   */
  get(name) {
    return /** @type {Choices[Name]} */ (this.#chosen[name] ?? SCHEMA[name].initial);
  }

  /**
   * Whether somebody has chosen this.
   * @param {keyof Choices} name
   */
  has(name) {
    return name in this.#chosen;
  }

  /**
   * Keep a choice in this browser. A value that the schema does not allow is an error of ours.
   * @template {keyof Choices} Name
   * @param {Name} name
   * @param {Choices[Name]} value
   */
  set(name, value) {
    if (!SCHEMA[name].allows(value)) throw new RangeError(`${value} is no value of the setting ${name}.`);
    this.#keep({ ...this.#chosen, [name]: value });
    this.dispatchEvent(new CustomEvent("changed", { detail: name }));
    if (this.#request && !OF_DEVICE.has(name)) this.#share();
  }

  /**
   * Have what this person chose in all browsers that have signed in: from now on, the server keeps it as well.
   * @param {typeof import("./server.js").request} request
   */
  async share(request) {
    const known = Object.entries(await (await request(SHARED_AT)).json());
    const shared = known.filter(([name, value]) => isAllowed(name, value) && !OF_DEVICE.has(name));
    this.#request = request;
    this.#keep({ ...this.#chosen, ...Object.fromEntries(shared) });
    for (const [name] of shared) this.dispatchEvent(new CustomEvent("changed", { detail: name }));
    if (!shared.length && this.#shared().length) this.#share();
  }

  #share() {
    clearTimeout(this.#sharing);
    this.#sharing = setTimeout(() => {
      const body = JSON.stringify(Object.fromEntries(this.#shared()));
      // a server that is away is told with the next choice; this browser has kept it
      this.#request?.(SHARED_AT, { method: "PUT", body }).catch(console.warn);
    }, SHARE_AFTER_MS);
  }

  #shared() {
    return Object.entries(this.#chosen).filter(([name]) => !OF_DEVICE.has(name));
  }

  /** @param {Partial<Choices>} chosen */
  #keep(chosen) {
    this.#chosen = chosen;
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.#chosen));
    } catch {
      // a browser that keeps nothing for this page forgets the choice with it
    }
  }
}

/** @returns {Partial<Choices>} */
function read() {
  try {
    const kept = Object.entries(JSON.parse(localStorage.getItem(KEPT) ?? "{}"));
    return Object.fromEntries(kept.filter(([name, value]) => isAllowed(name, value)));
  } catch {
    return {}; // nothing is kept, or nothing that can be read
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function isAllowed(name, value) {
  return Object.hasOwn(SCHEMA, name) && SCHEMA[/** @type {keyof Choices} */ (name)].allows(value);
}

/** @param {...unknown} values */
function oneOf(...values) {
  return (/** @type {unknown} */ value) => values.includes(value);
}

/** @param {number} most */
function textUpTo(most) {
  return (/** @type {unknown} */ value) => typeof value === "string" && value.length <= most;
}

/**
 * @param {number} lowest
 * @param {number} highest
 */
function within(lowest, highest) {
  return (/** @type {unknown} */ value) => typeof value === "number" && value >= lowest && value <= highest;
}
