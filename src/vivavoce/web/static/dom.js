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
