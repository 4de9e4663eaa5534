// The page: its views, and what they share. `#/history` in the address shows the view `history`; Talk is `#/`.

import { Conversation } from "./conversation.js";
import { find, h } from "./dom.js";
import { keepPage, request, signedIn, waitForStatus } from "./server.js";
import { Settings } from "./settings.js";
import { TalkView } from "./views/talk.js";

/**
 * What every view is given: it outlives all of them, so that a conversation goes on while another view is shown.
 * @typedef {object} App
 * @property {Conversation} conversation
 * @property {Settings} settings
 * @property {Promise<import("./server.js").Status>} status of the server, as soon as it is there
 */
/**
 * A view is a custom element. It is made when it is opened, shown the rest of the address each time that changes
 * (`#/history/abc` is `["abc"]`), and removed when another view is opened: `disconnectedCallback` ends what it began.
 * @typedef {HTMLElement & {open(app: App): void, show?(path: string[]): void}} View
 */

/**
 * The titles of the views beside Talk, in the order of the menu. They are loaded when they are opened first:
 * `views/NAME.js`, which defines `<NAME-view>`, and `views/NAME.css`.
 * @type {Record<string, string>}
 */
const VIEWS = { history: "History", settings: "Settings", dashboard: "Dashboard" };

const settings = new Settings();
/** @type {App} */
const app = { conversation: new Conversation(settings), settings, status: waitForStatus(showAway) };
const talk = find(document, "talk-view", TalkView);
const place = find(document, "#view", HTMLElement);
/** @type {{name: string, view: View} | undefined} */
let opened;

/**
 * Load a view, once.
 * @param {string} name
 */
async function load(name) {
  if (customElements.get(`${name}-view`)) return;
  const style = h("link", { rel: "stylesheet", href: new URL(`views/${name}.css`, import.meta.url).href });
  const styled = new Promise((done) => (style.onload = style.onerror = done));
  document.head.append(style);
  await Promise.all([import(`./views/${name}.js`), styled]);
}

/** Show the view that the address names. */
async function route() {
  const { hash } = location;
  const [name = "", ...path] = hash.startsWith("#/") ? hash.slice(2).split("/") : [];
  const title = Object.hasOwn(VIEWS, name) ? VIEWS[name] : undefined;
  if (opened?.name !== name) {
    if (title) await load(name);
    if (location.hash !== hash) return; // somebody was quicker than the network
    opened?.view.remove();
    opened = title ? { name, view: /** @type {View} */ (document.createElement(`${name}-view`)) } : undefined;
    if (opened) place.append(opened.view);
    opened?.view.open(app);
  }
  opened?.view.show?.(path.map(decodeURIComponent));
  talk.hidden = opened !== undefined;
  find(document, "#options", HTMLElement).hidden = talk.hidden;
  document.title = title ? `${title} · vivavoce` : "vivavoce";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${title ? name : ""}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function navigation() {
  const links = Object.entries(VIEWS).map(([name, title]) => h("a", { href: `#/${name}` }, title));
  if (links.length) find(document, "nav", HTMLElement).append(h("a", { href: "#/" }, "Talk"), ...links);
}

function showTheme() {
  document.documentElement.dataset.theme = settings.get("theme");
}

function showAway() {
  const words = "The server does not answer. This page goes on when it is back; your conversations are kept there.";
  document.body.dataset.server = "away";
  find(document, "header", HTMLElement).append(h("p", { id: "away", role: "alert" }, words));
}

function showBack() {
  document.body.dataset.server = "here";
  document.querySelector("#away")?.remove();
}

document.addEventListener("click", ({ detail, target }) => {
  // pressed by mouse or finger (keys have no detail), a button leaves the keys to the page
  if (detail && target instanceof Element) target.closest("button")?.blur();
});
addEventListener("hashchange", route);
settings.addEventListener("changed", showTheme);
showTheme();
navigation();
talk.open(app);
route();
keepPage();
app.status.then(async ({ key_needed: needed, signed_in: known }) => {
  showBack();
  if (known) settings.share(request).catch(console.warn);
  if (needed) (await import("./sign-in.js")).askForCode(await signedIn);
});

Object.assign(window, { vivavoce: app.conversation.stats });
