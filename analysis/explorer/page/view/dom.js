/** Small help with the document. */

/**
 * The element of that id, of that type. Throws where the page lacks it.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} #${id}.`);
  return found;
}

/**
 * A new HTML element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes] false leaves one out, true sets it empty
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function html(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

/**
 * A new SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

/**
 * @param {Element} element
 * @param {Record<string, string | number | boolean>} attributes
 */
function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * A radio button in its label.
 * @param {string} name
 * @param {string} value
 * @param {...(Node | string)} label
 * @returns {HTMLLabelElement}
 */
export function radio(name, value, ...label) {
  return html("label", {}, html("input", { type: "radio", name, value }), html("span", {}, ...label));
}

/**
 * Checks the radio button of that value.
 * @param {string} name
 * @param {string} value
 */
export function choose(name, value) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`)) {
    if (input instanceof HTMLInputElement) input.checked = input.value === value;
  }
}

/**
 * Calls back with the value whenever another radio button is chosen.
 * @param {string} name
 * @param {(value: string) => void} chosen
 */
export function onChoice(name, chosen) {
  document.addEventListener("change", ({ target }) => {
    if (target instanceof HTMLInputElement && target.type === "radio" && target.name === name) chosen(target.value);
  });
}

/**
 * Calls back when a button is pressed.
 * @param {string} id
 * @param {(button: HTMLButtonElement) => void} pressed
 */
export function onClick(id, pressed) {
  const button = byId(id, HTMLButtonElement);
  button.addEventListener("click", () => pressed(button));
}

/**
 * Calls back with a slider's value while it is moved, and when that was.
 * @param {string} id
 * @param {(value: number, at: number) => void} moved
 */
export function onSlide(id, moved) {
  const slider = byId(id, HTMLInputElement);
  slider.addEventListener("input", ({ timeStamp }) => moved(Number(slider.value), timeStamp));
}

/**
 * Puts a text into an element.
 * @param {string} id
 * @returns {(text: string) => void}
 */
export function say(id) {
  const place = byId(id, HTMLElement);
  return (text) => {
    if (place.textContent !== text) place.textContent = text;
  };
}

/** @type {Map<string, string>} */
const rootStyles = new Map();
for (const change of ["themechange", "resize"]) window.addEventListener(change, () => rootStyles.clear());

/**
 * A property of the page's own style, asked for once a theme and size: each question has the page laid out for its answer.
 * @param {string} property
 */
function rootStyle(property) {
  const known = rootStyles.get(property) ?? getComputedStyle(document.documentElement).getPropertyValue(property).trim();
  rootStyles.set(property, known);
  return known;
}

/**
 * How many times as large as usual the page's text is.
 * @returns {number}
 */
export const textScale = () => Number.parseFloat(rootStyle("font-size")) / 16;

/** @type {WeakMap<Element, {width: number, height: number}>} */
const sizes = new WeakMap();

/** @param {Element} element */
function measure(element) {
  const size = { width: element.clientWidth, height: element.clientHeight };
  sizes.set(element, size);
  return size;
}

// Made before the observers of the views, so that it is called before them.
const measuring = new ResizeObserver((changed) => changed.forEach(({ target }) => measure(target)));

/**
 * An element's width and height in CSS pixels, measured when they change and not when they are asked for: a frame that has
 * changed a text would have to lay out the page for the answer, and lays it out once more at its end.
 * @param {Element} element
 * @returns {{width: number, height: number}}
 */
export function sizeOf(element) {
  const known = sizes.get(element);
  if (known) return known;
  measuring.observe(element);
  return measure(element);
}

/**
 * The drawing context of a canvas, made as sharp as the screen. Lengths are CSS pixels.
 * @param {HTMLCanvasElement} canvas
 * @returns {{context: CanvasRenderingContext2D, width: number, height: number, density: number}}
 */
export function sharp(canvas) {
  const density = Math.min(window.devicePixelRatio || 1, 3);
  const { width, height } = sizeOf(canvas);
  const [w, h] = [Math.round(width * density), Math.round(height * density)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser cannot draw on a canvas.");
  context.setTransform(density, 0, 0, density, 0, 0);
  return { context, width, height, density };
}

/**
 * A colour of the theme, from the style sheet's custom property.
 * @param {string} name without its dashes
 * @returns {string}
 */
export const colour = (name) => rootStyle(`--${name}`);

/**
 * A colour of the theme, given there as #rrggbb, as numbers.
 * @param {string} name
 * @returns {[number, number, number]}
 */
export function rgb(name) {
  const value = Number.parseInt(colour(name).slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
