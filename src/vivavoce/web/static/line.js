// The line of a conversation: it is opened again when it is lost, whatever carries it.

import { readStatus, signedIn } from "./server.js";

const RETRY_MS = [250, 1000, 2000, 4000, 8000]; // and then always the last
const MAX_RETRIES = 24; // in nearly three minutes, in which a server that was started again is ready
const LOADING_MS = 1500;
const LOADING = "The models are loading";
const OVER = 1000; // the code of a WebSocket whose conversation the server has ended

/**
 * What carries a conversation: its events, and the sound of both sides. It is made for one conversation, with the audio
 * and the transcript of that, and connected once or more.
 * @typedef {object} Transport
 * @property {(query: string) => void} connect to the server, with this query; again, after it was lost
 * @property {(event: object) => void} send an event. What is sent while there is no session is lost
 * @property {number} unsent bytes that have not left this device
 * @property {number} mostBytes that an event may have
 * @property {(frame: ArrayBuffer | null) => void} sendInput 20 ms of the microphone; null if they are not for the server
 * @property {(event: ServerEvent) => void} handle the events of the server that are about sound
 * @property {(item: string) => void} interrupt this answer, and all others that wait: none is heard from now on
 * @property {() => void} close
 */
/**
 * What a transport tells.
 * @typedef {object} Listener
 * @property {(event: ServerEvent) => void} event of the server
 * @property {(code: number, why?: string) => void} closed by the other side: the code of a WebSocket, and what people are told
 * @property {(item: string) => void} playing an answer begins to play
 * @property {(played: {item: string, ms: number, level: number}) => void} played so much of it, 50 times a second
 * @property {(item: string) => void} finished it was played to its end
 * @property {(item: string, ms: number) => void} truncated it was interrupted after these milliseconds
 */
/** @typedef {import("./state.js").ServerEvent} ServerEvent */

/** After `begun` it is open: until then there is no session. */
export class Line {
  /** With what there is to say about it. @type {(phase: "connecting" | "reconnecting", words: string) => void} */
  onphase = () => {};
  /** It is not opened again; `over` if the server has ended the conversation. @type {(why: string, over: boolean) => void} */
  onfailed = () => {};
  /** @type {"connecting" | "open" | "reconnecting" | "closed"} */
  #phase = "connecting";
  #attempts = 0;
  /** @type {() => string | null} */
  #earlier = () => null;

  /** @param {Transport} transport whose `closed` is told to `onClosed` */
  constructor(transport) {
    this.transport = transport;
  }

  /**
   * Open it.
   * @param {() => string | null} earlier the conversation that a session continues, as the server knows it
   */
  async open(earlier, words = "") {
    this.#earlier = earlier;
    this.onphase(this.#attempts ? "reconnecting" : "connecting", words);
    await signedIn;
    if (this.#phase === "closed") return; // ended meanwhile
    const query = new URLSearchParams({ extras: "1" }); // for the events that only vivavoce has
    const id = earlier();
    if (id) query.set("conversation", id);
    this.transport.connect(String(query));
  }

  /** The session is there. Returns whether there was one before, which was lost. */
  begun() {
    const again = this.#attempts > 0;
    this.#attempts = 0;
    this.#phase = "open";
    return again;
  }

  close() {
    this.#phase = "closed";
    this.transport.close();
  }

  /**
   * The transport was closed by the other side.
   * @param {number} code
   * @param {string} [why]
   */
  onClosed(code, why = "") {
    if (this.#phase === "open" && code === OVER) return this.#fail("The conversation is over. Press to begin a new one.", true);
    if (this.#phase === "connecting") return this.#explainRefusal(why);
    const wait = RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)];
    if (++this.#attempts > MAX_RETRIES) return this.#fail("The server cannot be reached. Press to try again: the conversation goes on.");
    this.#phase = "reconnecting";
    const words = this.#attempts > RETRY_MS.length ? "Still trying" : "";
    const again = () => this.#phase === "reconnecting" && this.open(this.#earlier, words);
    setTimeout(again, wait * (0.8 + 0.4 * Math.random()));
    this.onphase("reconnecting", words);
  }

  /**
   * A browser does not say why a WebSocket was refused; the server does by HTTP.
   * @param {string} why as far as the transport knows
   */
  async #explainRefusal(why) {
    let status;
    try {
      status = await readStatus();
    } catch (error) {
      return this.#fail(/** @type {Error} */ (error).message);
    }
    if (this.#phase !== "connecting") return; // closed meanwhile
    if (status.key_needed) return this.#fail("This server asks for a code or a key: load the page again to sign in.");
    if (status.ready) return this.#fail(why || "The server takes no conversation just now. Try again in a moment.");
    this.onphase("connecting", LOADING);
    setTimeout(() => this.#phase === "connecting" && this.open(this.#earlier, LOADING), LOADING_MS);
  }

  /** @param {string} why */
  #fail(why, over = false) {
    this.close();
    this.onfailed(why, over);
  }
}
