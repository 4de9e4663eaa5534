// A conversation: a client of the Realtime protocol like any other. The server knows nothing about it in advance.

import { CallAudio, MicrophoneError } from "./audio.js";
import { START, next, stateOf } from "./state.js";
import { Transcript } from "./transcript.js";

const MAX_BUFFERED_FRAMES = 250; // five seconds of input, while the socket is connecting
const STALLED_BYTES = 128000; // two seconds of input that do not leave this device
const EVENT_BYTES = 1000; // of an event with a recording, beside that
const TICK_MS = 500;
const PROGRESS_MS = 100;
const TAIL_MS = 150; // heard after the button is released: people let go in their last syllable
const ECHO_MS = 250; // after an answer, in which a loudspeaker may still be heard
const KEPT = `vivavoce ${location.pathname}`;
const CONFIGURE = "page_configure"; // the event that changes how turns begin and end
const ANSWER = "page_answer"; // the event that asks for an answer
const WISH = "page_wish"; // the event that asks for a voice, a language and the like
const NOT_CONTINUED = new Set(["conversation_not_found", "conversation_unavailable"]);
const HARMLESS = new Set([
  "response_cancel_not_active", // it had just ended
  "item_truncate_invalid_item_id", // the item was deleted before anything of it was played
]);
/** @type {Record<string, string>} */
const ENGINE_NOTES = {
  lost: "The upstream server does not answer. Trying again.",
  remote: "The upstream server is back.",
  cascade: "The upstream server does not answer. From here on the models of this server do.",
};
const STALLED = "The connection is slow, or lost. What you say waits for it.";

/** @typedef {import("./state.js").ServerEvent} ServerEvent */

/**
 * Dispatches `change` when `state`, `words`, `problem` or anything else that is shown has changed, and `level` as a
 * CustomEvent with `{who, level}` for each 20 ms of sound that is for somebody, and `input` with the level of the microphone.
 */
export class Conversation extends EventTarget {
  transcript = new Transcript();
  model = START;
  words = ""; // about the state, where there is more to say than its name
  problem = "";
  over = false; // somebody ended it: the next one is a new one
  settings;
  lastInputAt = 0; // when the microphone last gave more than digital silence
  /** For tests and debugging. */
  stats = { playedMs: 0, peak: 0, truncations: /** @type {{item: string, ms: number}[]} */ ([]), framesSent: 0 };
  /** @type {import("./replay.js").Player | undefined} */
  #player;
  /** @type {CallAudio | undefined} from the first gesture to the end of the conversation */
  audio;
  /** @type {import("./line.js").Line | undefined} */
  #line;
  /** @type {string | undefined} of the words of the response in progress, if they are no answer */
  #purpose;
  /** @type {Set<string>} items of an earlier session: they are text, and on the page already */
  #replayed = new Set();
  /** @type {(() => void)[]} actions that wait until the response in progress is done */
  #whenResponseDone = [];
  /** @type {ArrayBuffer[]} input that waits for the session */
  #bufferedFrames = [];
  /** @type {any} the session's turn detection as the server made it, for hands-free */
  #detection = null;
  /** @type {typeof import("./session-wishes.js") | undefined} loaded when it is needed */
  #wishes;
  #told = ""; // the turn detection that the session has
  /** @type {string | null} the conversation before this one, as the server knows it */
  #earlier = null;
  #continuing = false; // the server is about to say whether it knows that one
  #recalled = 0; // items of it that the server is still to add
  #unkept = false; // what was said since it was kept for this tab
  #pressed = false; // the button of push-to-talk
  #lastPlayedAt = -Infinity;

  /** @param {import("./settings.js").Settings} settings */
  constructor(settings) {
    super();
    this.settings = settings;
    this.model = next(START, { type: "byHand", is: settings.get("talking") === "hold" });
    this.#restore();
    settings.addEventListener("changed", (event) => this.#onSetting(/** @type {CustomEvent} */ (event).detail));
    this.transcript.addEventListener("change", () => (this.#unkept = true));
    addEventListener("pagehide", () => this.#keep());
    setInterval(() => this.#tick(), TICK_MS);
  }

  get state() {
    return stateOf(this.model);
  }

  get hasMicrophone() {
    return this.model.microphone === "open";
  }

  /** Whether there is something that the next session goes on with. */
  get goesOn() {
    return !this.over && !this.transcript.empty;
  }

  // what people do

  /** Open the microphone, and begin a conversation or go on with the one on the page. Must be called in a gesture. */
  async talk() {
    if (this.model.microphone !== "none") return;
    const fresh = this.#isClosed;
    const opening = (this.audio ??= this.#createAudio());
    if (fresh) this.#begin();
    this.on({ type: "microphone", is: "asking" });
    try {
      await opening.openMicrophone(this.settings.get("microphone"));
      if (this.audio !== opening) return; // ended meanwhile
      this.on({ type: "microphone", is: "open" });
      this.problem = "";
      this.lastInputAt = performance.now();
      requestWakeLock();
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      if (this.audio !== opening) return;
      if (fresh) return this.#fail(`${error.message} You can also write.`);
      this.problem = error.message;
      this.on({ type: "microphone", is: "none" });
    }
    if (fresh) this.#connect();
    this.#changed();
  }

  /**
   * Say something in writing.
   * @param {string} text
   */
  async write(text) {
    await this.#prepare((this.audio ??= this.#createAudio()));
    this.#whenIdle(() => this.#sendText(text));
  }

  get #isClosed() {
    return this.model.line === "closed" || this.model.line === "failed";
  }

  /**
   * Have a session in which nothing sounds, for what is not spoken.
   * @param {CallAudio} audio
   */
  async #prepare(audio) {
    const silent = await audio.ready.then(() => "", ({ message }) => message);
    this.problem = silent;
    if (this.#isClosed) this.#beginConnecting();
    else await this.stop();
    this.problem = silent; // a conversation that begins forgets it
  }

  /** Stop the response without speaking. */
  async stop() {
    const { playing, response } = this.model;
    this.#player?.stop();
    if (!playing && !response) return;
    if (response) this.#send({ type: "response.cancel", response_id: response });
    await this.#interrupt();
    this.#changed();
  }

  /** Play what the browser holds back. Must be called in a gesture. */
  unblock() {
    return this.audio?.unblock();
  }

  /**
   * Send a recording, which is answered like what somebody says.
   * @param {File} file
   */
  async sendRecording(file) {
    const audio = (this.audio ??= this.#createAudio()); // in the gesture, so that the answer can be played
    const { readRecording, UploadError } = await import("./upload.js");
    try {
      const base64 = await readRecording(file);
      await this.#prepare(audio);
      this.#whenIdle(() => this.#sendFile(file.name, base64));
    } catch (error) {
      if (!(error instanceof UploadError)) throw error;
      this.report(error.message);
    }
  }

  /** What plays answers again. */
  async player() {
    const { Player } = await import("./replay.js");
    return (this.#player ??= new Player(this));
  }

  /** The button of push-to-talk is pressed: the answer stops, and the microphone is heard. Must be called in a gesture. */
  async press() {
    this.#pressed = true;
    if (!this.hasMicrophone) await this.talk();
    if (!this.#pressed || !this.hasMicrophone || this.model.held) return;
    const { playing, response } = this.model;
    this.on({ type: "held", is: true });
    if (playing || response) this.stop();
  }

  /**
   * It is released: what was said is answered, or dropped.
   * @param {{drop?: boolean}} [how]
   */
  async release({ drop = false } = {}) {
    this.#pressed = false;
    if (!this.model.held) return;
    if (!drop) await new Promise((done) => setTimeout(done, TAIL_MS));
    if (!this.model.held || this.#pressed) return;
    const spoken = this.model.spoken !== null;
    this.on({ type: "held", is: false });
    if (spoken && !drop) return this.commit();
    if (!drop) this.problem = "I heard nothing. Speak while you hold.";
    this.#bufferedFrames = [];
    this.#send({ type: "input_audio_buffer.clear" });
    this.#changed();
  }

  /** What was said is all: answer it now. */
  commit() {
    this.#send({ type: "input_audio_buffer.commit" });
    this.#createResponse();
  }

  /** @param {boolean} muted */
  mute(muted) {
    if (!this.hasMicrophone) return;
    this.audio?.mute(muted);
    this.on({ type: "muted", is: muted });
  }

  end() {
    this.over = true;
    this.#keep();
    this.problem = "";
    this.#close("closed");
  }

  /**
   * Show an earlier conversation; it goes on when somebody talks or writes.
   * @param {string} id as the server knows it
   * @param {import("./transcript.js").Said[]} said
   */
  resume(id, said) {
    this.end();
    this.transcript.clear();
    this.transcript.restore(said);
    this.over = false;
    this.#earlier = id;
    this.#keep();
    this.#changed();
  }

  // begin and end

  #createAudio() {
    const opened = new CallAudio();
    opened.setVolume(this.settings.get("volume"));
    opened.onframe = (input) => this.#onInputFrame(input);
    opened.onblocked = (is) => this.on({ type: "blocked", is });
    opened.onlost = () => {
      opened.stream = undefined;
      this.problem = "The microphone went away. Connect it and talk again; until then you can write.";
      this.on({ type: "microphone", is: "none" });
    };
    return opened;
  }

  #beginConnecting() {
    this.#begin();
    this.#connect();
  }

  /**
   * Do something as soon as there is a session, and no response in progress.
   * @param {() => void} action
   */
  #whenIdle(action) {
    if (this.model.response || this.model.line !== "open") this.#whenResponseDone.push(action);
    else action();
  }

  #begin() {
    if (this.over) {
      this.transcript.clear();
      this.#earlier = null;
    }
    this.over = false;
    this.problem = "";
    Object.assign(this.stats, { playedMs: 0, peak: 0, truncations: [], framesSent: 0 });
  }

  /** @param {string} sentence */
  #fail(sentence) {
    this.problem = sentence;
    this.#close("failed");
  }

  /** @param {"closed" | "failed"} line */
  #close(line) {
    this.#line?.close();
    this.#line = undefined;
    this.audio?.close();
    this.audio = undefined;
    this.#whenResponseDone = [];
    this.#bufferedFrames = [];
    this.transcript.dropWaiting();
    this.words = "";
    this.on({ type: "line", is: line });
  }

  // the session

  /** Begin a session: the first of a conversation, or the next. */
  async #connect() {
    this.on({ type: "line", is: "connecting" });
    const [{ Line }, Transport, wishes] = await Promise.all([import("./line.js"), this.#loadTransport(), import("./session-wishes.js")]);
    if (this.model.line !== "connecting" || this.#line || !this.audio) return; // ended meanwhile
    this.#wishes = wishes;
    const transport = new Transport(this.audio, this.transcript, {
      event: (event) => this.#onEvent(event),
      closed: (code, why) => line.onClosed(code, why),
      playing: (item) => this.#onPlaying(item),
      played: (played) => this.#onPlayed(played),
      finished: (item) => this.#onFinished(item),
      truncated: (item, ms) => this.#onTruncated(item, ms),
    });
    const line = new Line(transport);
    line.onphase = (phase, words) => this.#onPhase(phase, words);
    line.onfailed = (sentence, over) => {
      this.over = over;
      this.#fail(sentence);
    };
    this.#line = line;
    line.open(() => this.#earlier);
  }

  async #loadTransport() {
    if (this.settings.get("transport") === "webrtc") return (await import("./webrtc.js")).WebRtcTransport;
    return (await import("./websocket.js")).WebSocketTransport;
  }

  /**
   * @param {"connecting" | "reconnecting"} phase
   * @param {string} words
   */
  #onPhase(phase, words) {
    if (this.model.line === "open") this.transcript.note("The line dropped. Trying again.");
    this.transcript.dropWaiting();
    this.words = words;
    this.on({ type: "line", is: phase });
  }

  /** @param {object} event */
  #send(event) {
    this.#line?.transport.send(event);
  }

  /** @param {any} session */
  #onSessionCreated(session) {
    this.#detection = session.audio?.input?.turn_detection;
    this.#told = JSON.stringify(this.#detection);
    this.#continuing = this.#earlier !== null;
    this.#earlier = this.transcript.session = session.id;
    this.#configure();
    for (const wished of this.#wishes?.sessionWishes(this.settings, session) ?? [])
      this.#send({ type: "session.update", event_id: WISH, session: wished });
    this.#replayed.clear();
    if (!this.#continuing) this.#onBegun();
  }

  /** The session knows what it knows of what was said before; it is told the rest. */
  #onBegun() {
    const said = this.transcript.history();
    const again = this.#line?.begun();
    this.#continuing = false;
    this.#retell(said.slice(1 + said.findLastIndex(({ id }) => this.#replayed.has(id))));
    if (again) this.transcript.note("The line is back.");
    else if (said.length) this.transcript.note("The conversation goes on.");
    this.words = "";
    this.on({ type: "line", is: "open" });
    for (const frame of this.#bufferedFrames.splice(0)) this.#sendInput(frame);
    for (const action of this.#whenResponseDone.splice(0)) action();
  }

  /** Tell the session how turns begin and end, unless it does so already. */
  #configure() {
    if (!this.#detection || !this.#wishes) return; // turns are not detected here
    const wanted = this.#wishes.detectionWith(this.settings, this.#detection);
    const session = { type: "realtime", audio: { input: { turn_detection: wanted } } };
    const told = JSON.stringify(wanted);
    if (told !== this.#told) this.#send({ type: "session.update", event_id: CONFIGURE, session });
    this.#told = told;
  }

  /** @param {keyof import("./settings.js").Choices} name */
  #onSetting(name) {
    if (name === "talking") this.on({ type: "byHand", is: this.settings.get("talking") === "hold" });
    if (name === "talking" || name === "interrupting" || name === "pauses") this.#configure();
    if (name === "volume") this.audio?.setVolume(this.settings.get("volume"));
    if (name === "microphone" && this.hasMicrophone) this.#changeMicrophone();
    this.#changed();
  }

  async #changeMicrophone() {
    try {
      await this.audio?.openMicrophone(this.settings.get("microphone"));
      this.audio?.mute(this.model.muted);
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.report(error.message);
    }
  }

  /**
   * A server that stores nothing, or was killed before it did, is told by the page.
   * @param {import("./transcript.js").Said[]} said
   */
  #retell(said) {
    for (const { id, who, text } of said) {
      this.#replayed.add(id);
      const part = { type: who === "user" ? "input_text" : "output_text", text };
      this.#send({ type: "conversation.item.create", item: { id, type: "message", role: who, content: [part] } });
    }
  }

  /** Keep what was said for this tab, should it be loaded again: words only, and nothing of a conversation that is over. */
  #keep() {
    this.#unkept = false;
    try {
      const said = this.over ? [] : this.transcript.history();
      if (said.length) sessionStorage.setItem(KEPT, JSON.stringify({ earlier: this.#earlier, said }));
      else sessionStorage.removeItem(KEPT);
    } catch {
      // a browser that keeps nothing for this page loses the words with it
    }
  }

  #restore() {
    try {
      const { earlier, said } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
      this.transcript.restore(said ?? []);
      this.#earlier = earlier ?? null;
    } catch {
      // nothing is kept, or nothing that can be read
    }
  }

  /** Keep what is new, and show that sound does not leave. */
  #tick() {
    if (this.#unkept) this.#keep();
    const stalled = this.model.line === "open" && (this.#line?.transport.unsent ?? 0) > STALLED_BYTES;
    if (stalled !== (this.problem === STALLED)) this.report(stalled ? STALLED : "");
  }

  // server events

  /** @param {ServerEvent} event */
  #onEvent(event) {
    const { spoken } = this.model;
    this.model = next(this.model, event);
    this.#handle(event, spoken);
    this.#changed();
  }

  /**
   * @param {ServerEvent} event
   * @param {string | null} spoken the item that the user spoke until now
   */
  #handle(event, spoken) {
    const { transcript } = this;
    this.#line?.transport.handle(event);
    switch (event.type) {
      case "session.created":
        return this.#onSessionCreated(event.session);
      case "input_audio_buffer.speech_started":
        transcript.remove(spoken); // it was dropped
        transcript.add(event.item_id, "user");
        this.problem = "";
        if (this.#interruptible) this.#interrupt();
        return this.audio?.duck(false); // later, so that nothing more of the answer is heard
      case "input_audio_buffer.cleared":
        return transcript.remove(spoken);
      case "conversation.item.added":
        return this.#onItemAdded(event.item);
      case "conversation.item.deleted":
        return transcript.remove(event.item_id);
      case "conversation.item.input_audio_transcription.delta":
        return transcript.appendText(event.item_id, event.delta);
      case "conversation.item.input_audio_transcription.completed":
        if (transcript.get(event.item_id)?.file) this.#onFileTranscribed(event.item_id, event.transcript);
        return transcript.setText(event.item_id, event.transcript);
      case "conversation.item.input_audio_transcription.failed":
        return transcript.setText(event.item_id, event.error.code === "language_not_supported"
          ? `(${event.error.message})` : "(What you said could not be written down.)");
      case "response.created":
        this.#purpose = event.response.metadata?.["vivavoce.purpose"];
        return;
      case "response.output_text.delta":
      case "response.output_audio_transcript.delta":
        transcript.answer(event.item_id)?.appendText(event.delta);
        return transcript.touch(event.item_id);
      case "response.done":
        return this.#onResponseDone(event.response);
      case "vivavoce.interruption":
        return this.audio?.duck(event.judgement === "suspected" && this.#interruptible);
      case "vivavoce.continued":
        this.#recalled = event.items;
        return this.#recalled ? undefined : this.#onBegun();
      case "vivavoce.card":
        return transcript.card(event.title, event.html);
      case "vivavoce.assistant":
        return transcript.note(`You now talk with ${event.name}.`);
      case "vivavoce.engine":
        return transcript.note(ENGINE_NOTES[event.engine] ?? event.engine);
      case "error":
        return this.#onError(event.error);
    }
  }

  /** @param {any} item */
  #onItemAdded({ id, type, role, content }) {
    if (this.#recalled) return this.#onItemRecalled(id, role, (content ?? []).map(textOf).join(" "));
    if (type !== "message" || this.#replayed.has(id)) return;
    if (role === "assistant") this.transcript.add(id, role, "", /^(apology|filler)_/.exec(id)?.[1] ?? this.#purpose);
    if (role === "user") this.transcript.add(id, role, content.map(textOf).join(" "));
  }

  /**
   * An item of the conversation before this one, which the page may know already.
   * @param {string} id
   * @param {string} role
   * @param {string} text
   */
  #onItemRecalled(id, role, text) {
    this.#replayed.add(id);
    if (text && !this.transcript.get(id) && (role === "user" || role === "assistant"))
      this.transcript.restore([{ id, who: role, text }]);
    if (--this.#recalled === 0) this.#onBegun();
  }

  /** @param {any} response */
  #onResponseDone({ status, status_details: details }) {
    const reason = details?.error?.message ?? "the server did not say why";
    if (status === "failed") this.transcript.note(`The answer failed: ${reason}`);
    for (const action of this.#whenResponseDone.splice(0)) action();
  }

  /** @param {{code: string, message: string, event_id?: string}} error */
  #onError({ code, message, event_id: event }) {
    if (event && this.transcript.get(event)?.file) return this.#dropFile(event, withoutPath(message));
    if (event === CONFIGURE && this.settings.get("interrupting") === "words") {
      this.problem = "What answers here cannot tell words from other sounds, so speaking interrupts it.";
      return this.settings.set("interrupting", "speech");
    }
    if (event === WISH) return this.transcript.note(`Your settings do not hold here: ${message}`);
    if (HARMLESS.has(code)) return;
    if (NOT_CONTINUED.has(code)) return this.#onBegun();
    if (code === "conversation_already_has_active_response") // a greeting, for example
      return void this.#whenResponseDone.push(() => this.#createResponse());
    if (event === ANSWER) this.on({ type: "awaiting", is: false }); // none comes
    if (code === "session_expired")
      return this.#fail("This conversation has lasted as long as it may. Press to go on in another one.");
    this.problem = message;
  }

  // input

  /** Whether somebody interrupts the answer by speaking. */
  get #interruptible() {
    const interrupting = this.settings.get("interrupting");
    return !this.model.byHand && (interrupting === "speech" || interrupting === "words");
  }

  /** Whether what the microphone gives now is for the server. */
  get #heard() {
    if (this.model.replaying) return false;
    if (this.model.byHand) return this.model.held;
    if (this.settings.get("interrupting") !== "touch") return true;
    return !this.model.playing && performance.now() - this.#lastPlayedAt > ECHO_MS;
  }

  /** @param {{frame: ArrayBuffer, level: number}} input */
  #onInputFrame({ frame, level }) {
    if (level > 1e-5) this.lastInputAt = performance.now();
    const heard = this.#heard;
    this.#tellLevel("user", heard ? level : 0);
    this.dispatchEvent(new CustomEvent("input", { detail: level }));
    if (this.model.line === "open") this.#sendInput(heard ? frame : null);
    else if (heard && this.#bufferedFrames.push(frame) > MAX_BUFFERED_FRAMES) this.#bufferedFrames.shift();
  }

  /** @param {ArrayBuffer | null} frame */
  #sendInput(frame) {
    if (frame) this.stats.framesSent++;
    this.#line?.transport.sendInput(frame);
  }

  /** @param {string} text */
  #sendText(text) {
    const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
    this.#send({ type: "conversation.item.create", item });
    this.#createResponse();
  }

  #createResponse() {
    this.#send({ type: "response.create", event_id: ANSWER });
    this.on({ type: "awaiting", is: true });
  }

  /**
   * @param {string} name
   * @param {string} audio as base64
   */
  #sendFile(name, audio) {
    const most = this.#line?.transport.mostBytes ?? 0;
    if (audio.length + EVENT_BYTES > most)
      return this.report(`By WebRTC a recording has at most ${Math.floor((most * 3) / 4096)} kB. Choose WebSocket as the connection, under Settings.`);
    const id = `file_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
    this.transcript.addFile(id, name);
    const item = { id, type: "message", role: "user", content: [{ type: "input_audio", audio }] };
    this.#send({ type: "conversation.item.create", event_id: id, item });
    this.on({ type: "awaiting", is: true });
    const all = Math.max(1, this.#line?.transport.unsent ?? 0);
    const watch = setInterval(() => {
      const left = this.#line?.transport.unsent ?? 0;
      this.transcript.setSent(id, 1 - left / all);
      if (!left) clearInterval(watch);
    }, PROGRESS_MS);
  }

  /**
   * What was said in a recording is known: answer it.
   * @param {string} id
   * @param {string} transcript
   */
  #onFileTranscribed(id, transcript) {
    if (transcript.trim()) return this.#createResponse();
    this.#dropFile(id, "There is no speech in this recording.");
    this.#send({ type: "conversation.item.delete", item_id: id });
  }

  /**
   * @param {string} id
   * @param {string} problem
   */
  #dropFile(id, problem) {
    this.transcript.remove(id);
    this.problem = problem;
    this.on({ type: "awaiting", is: false });
  }

  // output audio

  /** @param {string} item */
  #onPlaying(item) {
    if (this.model.playing) return;
    this.on({ type: "blocked", is: this.audio?.blocked ?? false });
    this.on({ type: "playing", is: item });
  }

  /** @param {{item: string, ms: number, level: number}} played */
  #onPlayed({ item, ms, level }) {
    const answer = this.transcript.answer(item);
    if (answer) answer.playedMs = ms;
    this.stats.playedMs = Math.max(this.stats.playedMs, ms);
    this.stats.peak = Math.max(this.stats.peak, level);
    this.#lastPlayedAt = performance.now();
    this.#tellLevel("assistant", level);
    this.transcript.touch(item);
    if (this.model.playing !== item) this.on({ type: "playing", is: item });
  }

  /** @param {string} item */
  #onFinished(item) {
    const answer = this.transcript.answer(item);
    if (answer) answer.playedMs = Infinity;
    this.transcript.touch(item);
    if (this.model.playing === item) this.on({ type: "playing", is: null });
  }

  /** Play no more of the answers that are under way. */
  #interrupt() {
    const { playing } = this.model;
    if (!playing) return;
    const silent = this.#line?.transport.interrupt(playing);
    this.on({ type: "playing", is: null });
    return silent;
  }

  /**
   * @param {string} item
   * @param {number} ms
   */
  #onTruncated(item, ms) {
    if (this.model.playing === item) this.on({ type: "playing", is: null });
    const answer = this.transcript.answer(item);
    if (answer) Object.assign(answer, { playedMs: ms, truncated: true });
    this.transcript.touch(item);
    this.stats.truncations.push({ item, ms });
  }

  // telling

  /** @param {import("./state.js").PageEvent} event */
  on(event) {
    if (event.type === "replaying" && !event.is) this.#lastPlayedAt = performance.now();
    this.model = next(this.model, event);
    this.#changed();
  }

  /** @param {string} problem in words for people */
  report(problem) {
    this.problem = problem;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {"user" | "assistant"} who
   * @param {number} level
   */
  #tellLevel(who, level) {
    this.dispatchEvent(new CustomEvent("level", { detail: { who, level } }));
  }
}

/**
 * What is wrong with a value, without where it stands in an event.
 * @param {string} message
 */
function withoutPath(message) {
  const sentence = message.replace(/^Invalid value for '[^']*': /, "");
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** @param {{text?: string, transcript?: string}} part */
function textOf(part) {
  return part.text ?? part.transcript ?? "";
}

async function requestWakeLock() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // without a wake lock the screen may darken
  }
}
