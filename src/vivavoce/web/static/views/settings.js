// <settings-view>: everything that people choose in this browser.

import { h, icon, write } from "../dom.js";
import { ServerError, request } from "../server.js";
import { PERSONALITIES } from "../session-wishes.js";
import { TalkOptions, choice } from "../talk-options.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../server.js").Status} Status */
/** @typedef {import("../settings.js").Choices} Choices */

const SAMPLE = "Hello. This is how I sound.";
const LANGUAGES = ["ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh"];

export class SettingsView extends HTMLElement {
  /** @type {TalkOptions | undefined} */
  #options;
  #sample = h("audio", { onended: () => this.#forgetSample() });
  #told = h("p", { className: "problem", role: "alert" });

  disconnectedCallback() {
    this.#options?.close();
    this.#sample.pause();
    this.#forgetSample();
  }

  /** @param {App} app */
  async open(app) {
    const { settings } = app;
    const options = (this.#options = new TalkOptions(app.conversation, settings));
    const status = await app.status;
    const own = h("textarea", {
      id: "instructions", rows: 4, maxLength: 4000, value: settings.get("instructions"), ariaLabel: "Its instructions",
      placeholder: "Such as: You are a museum guide, and know everything about whales.",
      oninput: () => settings.set("instructions", own.value),
    });
    const showOwn = () => (own.hidden = settings.get("personality") !== "own");
    const personalities = Object.entries(PERSONALITIES).map(([name, { title }]) => /** @type {[string, string]} */ ([name, title]));
    const personality = this.#select(app, "personality", "Personality", [["", "As the server has it"], ...personalities, ["own", "My own words"]]);
    personality.addEventListener("change", showOwn);
    personality.append(own);
    showOwn();
    const pauses = choice(settings, "pauses", "A pause ends your turn", [
      ["patient", "Patient", "After a long pause: for those who think while they talk."],
      ["normal", "As the server has it", ""],
      ["quick", "Quick", "After a short one: for quick questions."],
    ]);
    const theme = choice(settings, "theme", "Theme", [["system", "As the device has it", ""], ["light", "Light", ""], ["dark", "Dark", ""]]);
    this.append(
      h("h2", {}, "Settings"),
      h("p", { className: "about" }, "They are kept in this browser, and for your others if you have signed in. Voice, pace, language, personality and connection hold from the next conversation on."),
      h("p", { className: "about" }, status.description ?? ""),
      section("Voice", this.#voices(app, status), this.#pace(app), this.#sample, this.#told),
      section("Conversation", this.#languages(app, status), personality, pauses),
      section("Talking", ...options.fields()),
      section("This page", ...this.#connections(app, status), theme),
    );
  }

  /**
   * @param {App} app
   * @param {Status} status
   */
  #voices(app, { voice, voices }) {
    const names = voices ?? [];
    const chosen = app.settings.get("voice");
    const known = chosen && !names.includes(chosen) ? [chosen, ...names] : names;
    const first = voice ? `The server's: ${voice}` : "The server's";
    const field = this.#select(app, "voice", "Voice", [["", first], ...known.map((name) => /** @type {[string, string]} */ ([name, name]))]);
    const hear = h("button", { className: "hear", type: "button", onclick: () => this.#hear(app.settings.get("voice") || voice) });
    hear.append(icon("play"), "Hear it");
    field.append(hear);
    return field;
  }

  /** @param {string | null | undefined} voice */
  async #hear(voice) {
    write(this.#told, "");
    this.#forgetSample();
    const body = JSON.stringify({ model: "tts-1", input: SAMPLE, response_format: "wav", ...(voice ? { voice } : {}) });
    try {
      const sound = await (await request("v1/audio/speech", { method: "POST", body, headers: { "content-type": "application/json" } })).blob();
      this.#sample.src = URL.createObjectURL(sound);
      await this.#sample.play();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      write(this.#told, error.message);
    }
  }

  #forgetSample() {
    if (this.#sample.src) URL.revokeObjectURL(this.#sample.src);
    this.#sample.removeAttribute("src");
  }

  /**
   * What carries a conversation, where there is more than one way.
   * @param {App} app
   * @param {Status} status
   */
  #connections({ settings }, { webrtc }) {
    if (!(webrtc && "RTCPeerConnection" in window) && settings.get("transport") === "websocket") return [];
    return [
      choice(settings, "transport", "Connection", [
        ["websocket", "WebSocket", "The usual choice: answers come a little sooner, and any network will do."],
        ["webrtc", "WebRTC", "For networks that lose packets, such as mobile ones. It needs UDP."],
      ]),
    ];
  }

  /** @param {App} app */
  #pace({ settings }) {
    const shown = h("output", {}, times(settings.get("pace")));
    const slider = h("input", {
      type: "range", id: "pace", min: 0.5, max: 1.5, step: 0.05, value: settings.get("pace"),
      oninput: () => {
        settings.set("pace", slider.valueAsNumber);
        write(shown, times(slider.valueAsNumber));
      },
    });
    return h("div", { className: "field" }, h("label", { htmlFor: "pace" }, "Pace of the voice ", shown), slider);
  }

  /**
   * @param {App} app
   * @param {Status} status
   */
  #languages(app, { languages }) {
    const names = new Intl.DisplayNames(undefined, { type: "language" });
    const options = (languages ?? LANGUAGES).map((code) => /** @type {[string, string]} */ ([code, names.of(code) ?? code]));
    options.sort(([, one], [, other]) => one.localeCompare(other));
    return this.#select(app, "language", "The language you speak", [["", "Found by itself"], ...options]);
  }

  /**
   * @param {App} app
   * @param {"voice" | "language" | "personality"} name
   * @param {string} label
   * @param {[string, string][]} options
   */
  #select({ settings }, name, label, options) {
    const id = `chosen-${name}`;
    const select = h("select", { id, onchange: () => settings.set(name, select.value) });
    select.append(...options.map(([value, text]) => h("option", { value }, text)));
    select.value = settings.get(name);
    if (select.selectedIndex < 0) select.value = "";
    return h("div", { className: "field" }, h("label", { htmlFor: id }, label), select);
  }
}

/** @param {number} pace */
function times(pace) {
  return `${pace.toFixed(2)} ×`;
}

/**
 * @param {string} title
 * @param {...HTMLElement} fields
 */
function section(title, ...fields) {
  return h("section", {}, h("h3", {}, title), ...fields);
}

customElements.define("settings-view", SettingsView);
