// The options of talking: how turns are taken, captions, volume and microphone. In a dialog, and among the settings.

import { h } from "./dom.js";

/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {import("./settings.js").Choices} Choices */
/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @type {{readonly [Name in "talking" | "interrupting" | "captions"]: readonly [string, ...(readonly [Choices[Name], string, string])[]]}} */
const CHOICES = {
  talking: [
    "Talking",
    ["hands-free", "Hands-free", "It listens all the time, and answers when you pause."],
    ["hold", "Hold to talk", "It listens while you hold the circle or the space bar."],
  ],
  interrupting: [
    "Interrupting it",
    ["speech", "By speaking", "Talk, and it stops. A cough or an “uh-huh” does not stop it."],
    ["words", "By words", "It stops only for words that it has understood. For noisy rooms."],
    ["touch", "By touch or key", "It does not hear you while it speaks. For loudspeakers."],
    ["off", "Not at all", "It finishes, then answers what you said meanwhile."],
  ],
  captions: [
    "Captions of an answer",
    ["karaoke", "Karaoke", "All words, dark once they are spoken."],
    ["spoken", "As spoken", "Words appear when they are spoken."],
    ["full", "Full text", "All words at once."],
  ],
};

export class TalkOptions {
  #conversation;
  #settings;
  #closed = new AbortController();
  #microphones = h("select", { id: "microphone", onchange: () => this.#settings.set("microphone", this.#microphones.value) });
  #meter = h("meter", { id: "level", min: 0, max: 1, ariaLabel: "Level of the microphone" });

  /**
   * @param {Conversation} conversation
   * @param {Settings} settings
   */
  constructor(conversation, settings) {
    this.#conversation = conversation;
    this.#settings = settings;
  }

  /** Show them in a dialog. */
  open() {
    const dialog = h(
      "dialog",
      { ariaLabel: "Talk options", onclose: () => this.#close(dialog), onclick: closeOutside },
      h("h2", {}, "Talk options"),
      ...this.fields(),
      h("form", { method: "dialog" }, h("button", { className: "primary" }, "Done")),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  /** The fields, which are kept up to date until `close`. */
  fields() {
    const { signal } = this.#closed;
    this.#listMicrophones();
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#listMicrophones(), { signal });
    this.#conversation.addEventListener("change", () => this.#listMicrophones(), { signal, once: true });
    this.#conversation.addEventListener("input", (event) => this.#show(/** @type {CustomEvent} */ (event).detail), { signal });
    return [
      this.#volume(),
      ...Object.entries(CHOICES).map(([name, [legend, ...choices]]) =>
        choice(this.#settings, /** @type {keyof typeof CHOICES} */ (name), legend, choices),
      ),
      h("div", { className: "field" }, h("label", { htmlFor: "microphone" }, "Microphone"), this.#microphones, this.#meter),
    ];
  }

  close() {
    this.#closed.abort();
  }

  /** @param {HTMLDialogElement} dialog */
  #close(dialog) {
    this.close();
    dialog.remove();
  }

  #volume() {
    const slider = h("input", {
      type: "range", id: "volume", min: 0, max: 1, step: 0.05, value: this.#settings.get("volume"),
      oninput: () => this.#settings.set("volume", slider.valueAsNumber),
    });
    return h("div", { className: "field" }, h("label", { htmlFor: "volume" }, "Volume of the voice"), slider);
  }

  /** Names are known only once the microphone was allowed. */
  async #listMicrophones() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const inputs = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default");
    const options = inputs.map(({ deviceId, label }, i) => h("option", { value: deviceId }, label || `Microphone ${i + 1}`));
    this.#microphones.replaceChildren(h("option", { value: "" }, "The browser's choice"), ...options);
    this.#microphones.value = this.#settings.get("microphone");
    if (this.#microphones.selectedIndex < 0) this.#microphones.value = "";
  }

  /** @param {number} level */
  #show(level) {
    this.#meter.value = Math.min(1, Math.sqrt(level) * 1.8);
  }
}

/**
 * A setting with a few values, each with what it means.
 * @template {keyof Choices} Name
 * @param {Settings} settings
 * @param {Name} name
 * @param {string} legend
 * @param {readonly (readonly [Choices[Name], string, string])[]} choices
 */
export function choice(settings, name, legend, choices) {
  const options = choices.map(([value, label, about]) => {
    const input = h("input", {
      type: "radio", name, value, checked: settings.get(name) === value,
      onchange: () => settings.set(name, value),
    });
    return h("label", { className: "choice" }, input, h("span", {}, h("b", {}, label), h("small", {}, about)));
  });
  return h("fieldset", {}, h("legend", {}, legend), h("div", { className: "choices" }, ...options));
}

/** @param {MouseEvent} event */
function closeOutside({ target, currentTarget }) {
  if (target === currentTarget) /** @type {HTMLDialogElement} */ (currentTarget).close();
}
