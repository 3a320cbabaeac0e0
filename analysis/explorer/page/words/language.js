/** The language of the page: the one that `?lang=` asks for, else English. */

/** Languages that the page has words in, by their codes: a file of words each (see index.js). */
export const NAMES = { en: "English", de: "Deutsch" };

export const language = chosen();

function chosen() {
  const search = typeof location === "undefined" ? "" : location.search;
  const asked = new URLSearchParams(search).get("lang") ?? "en";
  return Object.hasOwn(NAMES, asked) ? asked : "en";
}
