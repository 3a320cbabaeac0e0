/** The page's language, and the words of the document that are there from the start. */

import { en } from "./en.js";

/** @typedef {import("./en.js").Words} Words */

/** @type {Record<string, Words>} */
export const LANGUAGES = { en };

/** The language of the page: of `?lang=`, else English. */
export const language = chosen();

/** @type {Words} */
export const words = LANGUAGES[language];

function chosen() {
  const asked = new URLSearchParams(location.search).get("lang") ?? "en";
  return Object.hasOwn(LANGUAGES, asked) ? asked : "en";
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
