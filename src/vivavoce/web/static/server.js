// The server that this page comes from, by HTTP.

const AWAY = "The server cannot be reached. Is it running?";
const AGAIN_MS = 3000;

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
 * @typedef {object} Status
 * @property {boolean} ready
 * @property {boolean} key_needed by this browser
 * @property {boolean} [signed_in] whether what its person chose is kept by the server, too
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
