// Elements, made and found.

/**
 * Make an element. Properties beginning with `on` are listeners; others are set as properties where the element has
 * them, and as attributes otherwise; `undefined` is left out. Text stays text: nothing here parses HTML.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name in element) Reflect.set(element, name, value);
    else element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * The element with this selector, which is known to be there.
 * @template {Element} Kind
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new (...args: never[]) => Kind} kind
 * @returns {Kind}
 */
export function find(root, selector, kind) {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`This page has no ${selector}.`);
  return found;
}

/**
 * Words that were not heard, which is said to those who cannot see that they are struck through.
 * @param {string} text
 */
export function notHeard(text) {
  return h("del", {}, h("span", { className: "unseen" }, " (not heard: "), text, h("span", { className: "unseen" }, ")"));
}

/**
 * Have the browser save a file.
 * @param {Blob} file
 * @param {string} download its name
 */
export function save(file, download) {
  const href = URL.createObjectURL(file);
  h("a", { href, download }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * An icon of those in index.html.
 * @param {string} name
 */
export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  picture.append(use);
  return picture;
}

/**
 * Write a text, unless it is there already: that would be a change to a screen reader.
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
