/**
 * The words of the page: a table a language, filled for what the bundle shows. A new language is a file like en.js, with
 * its name in language.js and a line here.
 */

import { de } from "./de.js";
import { en } from "./en.js";
import { language } from "./language.js";

/** @typedef {import("./en.js").Words} Words */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * What the words speak of.
 * @typedef {object} Subject
 * @property {boolean} digits whether the images are digits; else they are images of classes
 * @property {string[]} names of the classes; empty where they have none but their numbers
 * @property {number[]} sizes pixels, units of every layer, outputs
 * @property {string} dataset
 */

/** @type {Record<string, (subject: Subject) => Words>} */
export const LANGUAGES = { en, de };

/** @type {Subject} what the page speaks of until it has read its bundle */
const UNKNOWN = { digits: true, names: [], sizes: [784, 300, 100, 10], dataset: "MNIST" };

/** @type {Words} */
export const words = LANGUAGES[language](UNKNOWN);

/**
 * Fills the words for what a bundle shows.
 * @param {Manifest} manifest
 */
export function speakOf({ about, layers }) {
  const sizes = [layers[0].inputs, ...layers.map(({ outputs }) => outputs)];
  Object.assign(words, LANGUAGES[language]({ digits: about.digits, names: about.class_names, sizes, dataset: about.dataset }));
}

/**
 * Puts words into every element that names some: data-words="page.title", and data-label="…" for what is read out.
 * Throws where a name leads to no text.
 * @param {ParentNode} within
 */
export function fill(within) {
  document.documentElement.lang = language;
  for (const element of within.querySelectorAll("[data-words]")) element.textContent = textAt(element.getAttribute("data-words"));
  for (const element of within.querySelectorAll("[data-label]")) element.setAttribute("aria-label", textAt(element.getAttribute("data-label")));
}

/**
 * @param {string | null} path
 * @returns {string}
 */
function textAt(path) {
  /** @type {unknown} */
  let found = words;
  for (const part of (path ?? "").split(".")) found = found instanceof Object ? Reflect.get(found, part) : undefined;
  if (typeof found !== "string") throw new Error(`The page has no words ${path}.`);
  return found;
}
