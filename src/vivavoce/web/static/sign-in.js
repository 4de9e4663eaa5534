// Asks for a code or a key, where the server needs one and this browser has none.

import { h } from "./dom.js";
import { signIn } from "./server.js";

/**
 * Show the question. Once it is answered, the page is loaded again, as for anybody who may come in.
 * @param {string} why the last try did not work, or ""
 */
export function askForCode(why) {
  const input = h("input", { id: "code", autocomplete: "off", autocapitalize: "characters", spellcheck: false, required: true });
  const problem = h("p", { class: "hint", role: "alert" }, why);
  const dialog = h(
    "dialog",
    { id: "sign-in", "aria-labelledby": "sign-in-name" },
    h("h2", { id: "sign-in-name" }, "Sign in"),
    h("form", { onsubmit: submit },
      h("div", { class: "field" }, h("label", { htmlFor: "code" }, "Code or key"), input,
        h("p", { class: "hint" }, "On the server's machine, viva phone prints a code. It works once.")),
      problem,
      h("button", { type: "submit", class: "primary" }, "Sign in")),
  );

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    problem.textContent = await signIn(input.value.trim());
    if (problem.textContent) input.select();
    else location.reload();
  }

  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
