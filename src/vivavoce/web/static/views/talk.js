// <talk-view>: the conversation on the page. Its elements are in index.html, so that they are there at once.

import { find, write } from "../dom.js";

const NO_INPUT_MS = 4000;
const SLOW_MS = 4000; // after which thinking is still thinking,
const LATE_MS = 500;
const VERY_SLOW_MS = 10000; // and takes long
const CLICK_MS = 300; // a shorter press of push-to-talk is a click: the next one releases
const SLIDE_PX = 70; // from the circle, where letting go drops what was said

/** @typedef {import("../state.js").State} State */
/** @typedef {import("../conversation.js").Conversation} Conversation */

/** What is said about a state, and what one can do in it. @type {Record<State, [string, string]>} */
const STATE_TEXTS = {
  idle: ["Press and speak", "You may interrupt at any time."],
  asking: ["May I hear you?", "Your browser asks whether this page may use the microphone."],
  connecting: ["Connecting", ""],
  ready: ["Write to me", "Or press the circle to talk."],
  listening: ["Listening", "Speak whenever you like."],
  hearing: ["I hear you", "A pause ends your turn. Or press the circle."],
  thinking: ["Thinking", "Press the circle to stop."],
  speaking: ["Speaking", "Just talk to interrupt, or press the square."],
  blocked: ["Sound is held back", "Your browser plays nothing before you press something. Press the circle to hear the answer."],
  muted: ["Muted", "I do not hear you until you unmute."],
  reconnecting: ["The line dropped", "Trying to get it back. What was said is kept."],
  error: ["That did not work", ""],
};
const BY_HAND = {
  idle: ["Hold to talk", "Press the circle and keep it pressed, or click it twice: before and after."],
  ready: ["Hold to talk", "Or click: once to begin, once to send. Space does the same."],
  listening: ["Listening", "Let go to send. Slide away to drop it."],
  hearing: ["I hear you", "Let go to send. Slide away to drop it."],
};
const LATCHED = "Press again to send.";
const GOES_ON = /** @type {const} */ (["Press and go on", "Or press End, and then begin anew."]);
const INTERRUPT_HINTS = {
  off: "It finishes before it answers you. Press the square to stop it.",
  touch: "Press the square, or Esc, to interrupt. It does not hear you while it speaks.",
  speech: "Just talk to interrupt, or press the square.",
  words: "Say something to interrupt, or press the square.",
};
/** What pressing the circle does. @type {Partial<Record<State, string>>} */
const ACTIONS = {
  idle: "Talk",
  ready: "Talk",
  listening: "Pause listening",
  hearing: "Answer now",
  thinking: "Stop the answer",
  speaking: "Stop the voice",
  blocked: "Play the answer",
  muted: "Listen again",
  error: "Talk again",
};
const ADVICE = "With a screen reader, use push-to-talk: it is the first button of this page.";
const TURNS = new Set(["listening", "hearing", "thinking", "speaking"]); // the states of people who talk

export class TalkView extends HTMLElement {
  /** @type {Conversation} */
  #conversation;
  /** @type {import("../settings.js").Settings} */
  #settings;
  #orb = find(this, "#orb", HTMLButtonElement);
  #mute = find(this, "#mute", HTMLButtonElement);
  #end = find(this, "#end", HTMLButtonElement);
  #words = find(this, "#words", HTMLTextAreaElement);
  #state = find(this, "#state", HTMLElement);
  #hint = find(this, "#hint", HTMLElement);
  #trouble = find(this, "#trouble", HTMLElement);
  #orbName = find(this, "#orb-name", HTMLElement);
  #muteName = find(this, "#mute-name", HTMLElement);
  #welcome = find(this, "#welcome", HTMLElement);
  #news = find(document, "#news", HTMLElement);
  #announced = ""; // of the state, by which screen readers know it
  #since = 0; // when the state was entered
  #pressedAt = 0; // when the button of push-to-talk was pressed
  #latched = false; // it was clicked, not held
  /** @type {import("../sound-picture.js").SoundPicture | undefined} */
  #picture;
  #loading = false; // what the first conversation needs

  /** @param {import("../app.js").App} app */
  open({ conversation, settings, status }) {
    this.#conversation = conversation;
    this.#settings = settings;
    conversation.addEventListener("change", () => this.#render());
    conversation.transcript.addEventListener("change", () => this.#render());
    conversation.addEventListener("level", (event) => this.#onLevel(/** @type {CustomEvent} */ (event).detail));
    this.#listen();
    this.#offerPushToTalk();
    status.then(({ description }) => description && write(find(this, "#about", HTMLElement), description));
    setInterval(() => this.#render(), LATE_MS); // what takes long is said without any event
    this.#render();
  }

  #listen() {
    this.#orb.addEventListener("click", (event) => this.#onClick(event));
    this.#orb.addEventListener("pointerdown", (event) => this.#onPointer(event));
    this.#mute.addEventListener("click", () => this.#toggleMute());
    this.#end.addEventListener("click", () => this.#conversation.end());
    find(this, "#write", HTMLFormElement).addEventListener("submit", (event) => this.#submit(event));
    this.#listenForFiles();
    find(document, "#options", HTMLButtonElement).addEventListener("click", () => this.#showOptions());
    for (const example of this.querySelectorAll("#examples button"))
      example.addEventListener("click", () => this.#conversation.write(example.textContent ?? ""));
    this.#words.addEventListener("keydown", (event) => this.#onWriting(event));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    document.addEventListener("keyup", (event) => event.key === " " && this.#letGo(event));
  }

  /**
   * A screen reader is heard by an open microphone, and no page can know whether there is one. So push-to-talk is the
   * first thing that keys and screen readers reach, and they are told so once, until somebody has chosen how to talk.
   */
  #offerPushToTalk() {
    const offer = find(document, "#push-to-talk", HTMLButtonElement);
    const show = () => (offer.hidden = this.#settings.has("talking"));
    this.#settings.addEventListener("changed", show);
    offer.addEventListener("click", () => {
      this.#settings.set("talking", "hold");
      this.#orb.focus(); // which is read with how to use it
    });
    show();
  }

  #listenForFiles() {
    const chosen = find(this, "#file", HTMLInputElement);
    const send = (/** @type {FileList | null | undefined} */ files) => {
      const file = files?.[0];
      if (file) this.#conversation.sendRecording(file);
      return Boolean(file);
    };
    find(this, "#attach", HTMLButtonElement).addEventListener("click", () => chosen.click());
    chosen.addEventListener("change", () => {
      send(chosen.files);
      chosen.value = ""; // the same one may be chosen again
    });
    this.#words.addEventListener("paste", (event) => send(event.clipboardData?.files) && event.preventDefault());
    this.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      this.dataset.dropping = "";
    });
    this.addEventListener("dragleave", ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node && this.contains(relatedTarget))) delete this.dataset.dropping;
    });
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      delete this.dataset.dropping;
      send(event.dataTransfer?.files);
    });
  }

  // what people do

  /** Do what the circle does in this state, where talking is hands-free. */
  #act() {
    const { state, model, hasMicrophone } = this.#conversation;
    if (state === "speaking" || state === "thinking") return this.#conversation.stop();
    if (state === "blocked") return this.#conversation.unblock();
    if (state === "hearing") return this.#conversation.commit();
    if (state === "listening" || state === "muted") return this.#toggleMute();
    if (!hasMicrophone && model.line !== "connecting" && model.line !== "reconnecting") return this.#conversation.talk();
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const { detail } = event;
    const { model, state } = this.#conversation;
    if (detail > 1 && state === "listening") return; // a double click begins a conversation, and does not mute it
    if (!model.byHand || state === "blocked") return this.#act();
    if (detail === 0) this.#holdOrRelease(event); // by Enter, or by a screen reader: fingers and mice are pointers
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    if (!this.#conversation.model.byHand || event.button !== 0) return;
    this.#orb.setPointerCapture(event.pointerId);
    this.#hold(event);
    const isAway = (/** @type {PointerEvent} */ { clientX, clientY }) => {
      const { left, top, width, height } = this.#orb.getBoundingClientRect();
      return Math.hypot(clientX - left - width / 2, clientY - top - height / 2) > width / 2 + SLIDE_PX;
    };
    const end = new AbortController();
    const done = (/** @type {PointerEvent} */ last) => {
      end.abort();
      this.#letGo(last, last.type === "pointercancel" || isAway(last));
    };
    this.#orb.addEventListener("pointerup", done, { signal: end.signal });
    this.#orb.addEventListener("pointercancel", done, { signal: end.signal });
  }

  /**
   * Press the button of push-to-talk; or release it, if it was clicked.
   * @param {Event} event whose time counts: the page may have been busy since
   */
  #hold({ timeStamp }) {
    if (this.#latched) {
      this.#latched = false;
      this.#pressedAt = 0;
      return this.#conversation.release();
    }
    this.#pressedAt = timeStamp;
    return this.#conversation.press();
  }

  /**
   * @param {Event} event
   * @param {boolean} [drop]
   */
  #letGo({ timeStamp }, drop = false) {
    if (!this.#pressedAt || this.#latched) return;
    if (!drop && timeStamp - this.#pressedAt < CLICK_MS) {
      this.#latched = true;
      return this.#render();
    }
    this.#pressedAt = 0;
    this.#conversation.release({ drop });
  }

  /** @param {Event} event */
  #holdOrRelease(event) {
    this.#hold(event);
    this.#latched = this.#pressedAt > 0;
    this.#render();
  }

  #toggleMute() {
    this.#conversation.mute(!this.#conversation.model.muted);
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const text = this.#words.value.trim();
    if (!text) return;
    this.#words.value = "";
    this.#conversation.write(text);
  }

  /** @param {KeyboardEvent} event */
  #onWriting(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#words.form?.requestSubmit();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (this.hidden || !(event.target instanceof Element) || event.target.closest("dialog")) return;
    if (event.key === "Escape") return this.#conversation.stop();
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      const other = event.target.closest("button, a");
      if (other && (other !== this.#orb || !this.#conversation.model.byHand)) return; // the element's own key
      if (!event.repeat) this.#conversation.model.byHand ? this.#hold(event) : this.#act();
    } else if (event.key === "/") this.#words.focus();
    else if (event.key === "m") this.#toggleMute();
    else return;
    event.preventDefault();
  }

  async #showOptions() {
    const { TalkOptions } = await import("../talk-options.js");
    new TalkOptions(this.#conversation, this.#settings).open();
  }

  // rendering

  #render() {
    const { state, words, problem, model, goesOn, hasMicrophone, transcript } = this.#conversation;
    if (document.body.dataset.state !== state) {
      this.#since = performance.now();
      this.#showLevel(0);
    }
    if (!model.held) this.#latched = this.#latched && model.line !== "open";
    const [name, hint] = this.#texts(state);
    this.#announce(state, words || name);
    document.body.dataset.state = state;
    write(this.#state, words || name);
    write(this.#hint, hint);
    write(this.#trouble, problem);
    write(this.#orbName, (model.byHand && model.held ? "Send what you said" : ACTIONS[state]) ?? "Talk");
    this.#orb.setAttribute("aria-disabled", String(!(state in ACTIONS)));
    this.#end.toggleAttribute("data-idle", (state === "idle" || state === "error") && !goesOn);
    this.#mute.toggleAttribute("data-idle", !hasMicrophone || model.byHand);
    this.#mute.setAttribute("aria-pressed", String(model.muted));
    write(this.#muteName, model.muted ? "Unmute" : "Mute");
    this.#welcome.hidden = state !== "idle" && state !== "error" || !transcript.empty;
    if (state !== "idle" || !transcript.empty) this.#load();
  }

  /**
   * @param {State} state
   * @returns {readonly [string, string]}
   */
  #texts(state) {
    const { model, goesOn, hasMicrophone, lastInputAt } = this.#conversation;
    const waited = performance.now() - this.#since;
    if (state === "idle" && goesOn) return GOES_ON;
    if (state === "thinking" && waited > VERY_SLOW_MS) return ["Still thinking", "This takes long. Press the circle to stop."];
    if (state === "thinking" && waited > SLOW_MS) return ["Still thinking", STATE_TEXTS.thinking[1]];
    if (state === "speaking" && (!hasMicrophone || model.byHand || model.replaying)) return ["Speaking", "Press the square, or Esc, to stop."];
    if (state === "speaking") return ["Speaking", INTERRUPT_HINTS[this.#settings.get("interrupting")]];
    if (state === "listening" && performance.now() - lastInputAt > NO_INPUT_MS)
      return ["Listening", "No sound comes from your microphone. Is it switched off?"];
    if (!model.byHand || !(state in BY_HAND) || (state === "ready" && !hasMicrophone)) return STATE_TEXTS[state];
    const [name, hint] = BY_HAND[/** @type {keyof typeof BY_HAND} */ (state)];
    return [name, this.#latched && model.held ? LATCHED : hint];
  }

  /** Load what nobody needs before there is a conversation. */
  async #load() {
    if (this.#loading) return;
    this.#loading = true;
    const [{ CaptionList }, { SoundPicture }] = await Promise.all([import("../captions.js"), import("../sound-picture.js")]);
    const captions = new CaptionList();
    find(this, "#conversation", HTMLElement).prepend(captions);
    captions.show(this.#conversation, this.#settings);
    this.#picture = new SoundPicture();
    this.#orb.before(this.#picture);
  }

  /**
   * Name the state for screen readers. It is read aloud, except over a voice, while push-to-talk is held, and from turn
   * to turn while the microphone is open: the reader would be heard as the user, interrupt the answer, and be answered.
   * @param {State} state
   * @param {string} words
   */
  #announce(state, words) {
    if (this.#announced === words) return;
    this.#announced = words;
    const { hasMicrophone, model } = this.#conversation;
    const advise = state === "idle" && !this.#settings.get("advised") && !this.#settings.has("talking");
    if (advise) this.#settings.set("advised", true);
    const open = hasMicrophone && !model.muted && !model.byHand;
    const turn = open && TURNS.has(state) && TURNS.has(document.body.dataset.state ?? "");
    const quiet = turn || model.held || state === "speaking" || state === "hearing";
    this.#news.setAttribute("aria-live", quiet ? "off" : "polite");
    this.#news.textContent = advise ? `${words}. ${ADVICE}` : words;
  }

  /** @param {{who: "user" | "assistant", level: number}} sound */
  #onLevel({ who, level }) {
    const { state } = this.#conversation;
    this.#picture?.push(who, level);
    if (who === "assistant" ? state === "speaking" : state === "listening" || state === "hearing") this.#showLevel(level);
  }

  /** @param {number} level of the microphone or the answer, which moves the circle (--level) */
  #showLevel(level) {
    this.#orb.style.setProperty("--level", Math.min(1, Math.sqrt(level) * 1.8).toFixed(2));
  }
}

customElements.define("talk-view", TalkView);
