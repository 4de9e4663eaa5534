// The server that this page comes from: by HTTP, and the line of a conversation.

const AWAY = "The server cannot be reached. Is it running?";
const AGAIN_MS = 3000;
const RETRY_MS = [250, 1000, 2000, 4000, 8000]; // and then always the last
const MAX_RETRIES = 24; // in nearly three minutes, in which a server that was started again is ready
const LOADING_MS = 1500;
const LOADING = "The models are loading";

/** What the server said why not, in words for people. */
export class ServerError extends Error {
  /**
   * @param {number} status of HTTP; 0 if the server could not be reached
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Settled when this browser has signed in, if its address said how; with why it could not, or "". */
export const signedIn = readSecret();

/** What lets somebody in comes behind the address (`/#code=…`), which is in no request, and does not stay there. */
async function readSecret() {
  const given = new URLSearchParams(location.hash.slice(1));
  const secret = given.get("code") ?? given.get("key");
  if (!secret) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return signIn(secret);
}

/**
 * Exchange a code or a key for a cookie, which scripts cannot read. Resolves to why that did not work, or "".
 * @param {string} secret
 */
export async function signIn(secret) {
  const body = JSON.stringify({ secret });
  try {
    const response = await fetch(new URL("v1/sign-in", document.baseURI), { method: "POST", body });
    return response.ok ? "" : await reason(response);
  } catch {
    return AWAY;
  }
}

/**
 * Make a request, once this browser has signed in. Throws `ServerError`.
 * @param {string} path relative to the page, such as `v1/status`
 * @param {RequestInit} [init]
 */
export async function request(path, init = {}) {
  await signedIn;
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServerError(0, AWAY);
  }
  if (response.ok) return response;
  throw new ServerError(response.status, await reason(response));
}

/** @param {Response} response */
async function reason(response) {
  const refused = `The server refused this (${response.status}).`;
  try {
    const { error, detail } = await response.json();
    return error?.message ?? detail ?? refused; // OpenAI's format, or RFC 9457's
  } catch {
    return refused; // what refused is something in between
  }
}

/**
 * `GET /v1/status`. Throws `ServerError`.
 * @returns {Promise<Status>}
 */
export async function readStatus() {
  return (await request("v1/status")).json();
}

/**
 * The status as soon as there is a server: while there is none, ask again. `onaway` is called once.
 * @param {() => void} onaway
 * @returns {Promise<Status>}
 */
export async function waitForStatus(onaway) {
  for (let asked = 0; ; asked++) {
    try {
      return await readStatus();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      if (!asked) onaway();
    }
    await new Promise((done) => {
      setTimeout(done, AGAIN_MS);
      addEventListener("online", done, { once: true });
    });
  }
}

/** Have the browser keep the page's files, so that it opens without a server too. */
export function keepPage() {
  if (!navigator.serviceWorker) return; // the page did not come from this machine, nor over https
  const register = () => navigator.serviceWorker.register("worker.js", { updateViaCache: "none" }).catch(() => {});
  // without a certificate that the browser trusts it keeps nothing, and all else works
  if (document.readyState === "complete") register();
  else addEventListener("load", register); // what the page needs itself comes first
}

/**
 * A conversation's WebSocket, which is opened again when it is lost. After `begun` it is open: until then there is no
 * session, and what is sent is lost.
 */
export class Line {
  /** @type {(event: import("./state.js").ServerEvent) => void} */
  onevent = () => {};
  /** With what there is to say about it. @type {(phase: "connecting" | "reconnecting", words: string) => void} */
  onphase = () => {};
  /** It is not opened again; `over` if the server has ended the conversation. @type {(why: string, over: boolean) => void} */
  onfailed = () => {};
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {"connecting" | "open" | "reconnecting" | "closed"} */
  #phase = "connecting";
  #attempts = 0;
  /** @type {() => string | null} */
  #earlier = () => null;

  /**
   * Open it.
   * @param {() => string | null} earlier the conversation that a session continues, as the server knows it
   */
  async open(earlier, words = "") {
    this.#earlier = earlier;
    this.onphase(this.#attempts ? "reconnecting" : "connecting", words);
    await signedIn;
    if (this.#phase === "closed") return; // ended meanwhile
    const url = new URL("v1/realtime?extras=1", document.baseURI); // for the events that only vivavoce has
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    const id = earlier();
    if (id) url.searchParams.set("conversation", id);
    const socket = new WebSocket(url, ["realtime"]);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.onevent(JSON.parse(data));
    socket.onclose = ({ code }) => this.#onClose(code);
  }

  /** The session is there. Returns whether there was one before, which was lost. */
  begun() {
    const again = this.#attempts > 0;
    this.#attempts = 0;
    this.#phase = "open";
    return again;
  }

  /** @param {object} event */
  send(event) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  /** Bytes that have not left this device. */
  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  close() {
    this.#phase = "closed";
    if (this.#socket) this.#socket.onclose = this.#socket.onmessage = null;
    this.#socket?.close();
  }

  /** @param {number} code */
  #onClose(code) {
    this.#socket = undefined;
    if (this.#phase === "open" && code === 1000) return this.#fail("The conversation is over. Press to begin a new one.", true);
    if (this.#phase === "connecting") return this.#explainRefusal();
    const wait = RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)];
    if (++this.#attempts > MAX_RETRIES) return this.#fail("The server cannot be reached. Press to try again: the conversation goes on.");
    this.#phase = "reconnecting";
    const words = this.#attempts > RETRY_MS.length ? "Still trying" : "";
    const again = () => this.#phase === "reconnecting" && this.open(this.#earlier, words);
    setTimeout(again, wait * (0.8 + 0.4 * Math.random()));
    this.onphase("reconnecting", words);
  }

  /** A browser does not say why a WebSocket was refused; the server does by HTTP. */
  async #explainRefusal() {
    let status;
    try {
      status = await readStatus();
    } catch (error) {
      return this.#fail(/** @type {Error} */ (error).message);
    }
    if (this.#phase !== "connecting") return; // closed meanwhile
    if (status.key_needed) return this.#fail("This server asks for a code or a key: load the page again to sign in.");
    if (status.ready) return this.#fail("The server takes no conversation just now. Try again in a moment.");
    this.onphase("connecting", LOADING);
    setTimeout(() => this.#phase === "connecting" && this.open(this.#earlier, LOADING), LOADING_MS);
  }

  /** @param {string} why */
  #fail(why, over = false) {
    this.close();
    this.onfailed(why, over);
  }
}

/**
 * @typedef {object} Status
 * @property {boolean} ready
 * @property {boolean} key_needed by this browser
 * What else there is, is told to those who may come in (docs/reference/endpoints.md).
 * @property {string} [description] of what answers, in a sentence
 * @property {string} [model] that answers, in a few words
 * @property {Record<string, string>} [providers] by role: what it is
 * @property {number} [conversations] that go on now
 * @property {string | null} [voice] of a new session
 * @property {string[] | null} [voices] that one may choose, where that is known
 * @property {string[] | null} [languages] that are transcribed, where they are limited
 * @property {boolean} [webrtc]
 * @property {boolean} [history]
 * @property {boolean} [recordings]
 * @property {Record<string, number>} [limits]
 */
