/** The look of the page: theme, language and size. The theme is remembered where the browser allows it. */

import { byId, html } from "../view/dom.js";
import { words } from "../words/index.js";
import { NAMES, language } from "../words/language.js";
import { remember, remembered } from "./memory.js";

export function chooseTheme() {
  const select = byId("theme", HTMLSelectElement);
  select.append(...Object.entries(words.page.themes).map(([value, name]) => html("option", { value }, name)));
  const apply = () => {
    if (select.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = select.value;
    window.dispatchEvent(new Event("themechange"));
  };
  select.value = remembered("theme") ?? "auto";
  if (!select.value) select.value = "auto";
  select.addEventListener("change", () => {
    remember("theme", select.value);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
  chooseLanguage();
  chooseSize();
}

/** Large text, for a projector; a link asks for it by `?size=large`. */
function chooseSize() {
  const box = byId("size", HTMLInputElement);
  box.checked = new URLSearchParams(location.search).get("size") === "large";
  const apply = () => {
    document.documentElement.dataset.size = box.checked ? "large" : "usual";
    window.dispatchEvent(new Event("resize"));
  };
  box.addEventListener("change", apply);
  apply();
}

/** The parts of the page that a lecturer's link may show alone (`?show=lab,net`) or hide (`?hide=article`). */
const PARTS = ["which", "values", "reads", "net", "lab", "own", "seen", "confused", "rounds", "tried", "table", "challenge", "article"];

export function chooseParts() {
  const search = new URLSearchParams(location.search);
  /** @type {(key: string) => string[]} */
  const named = (key) => (search.get(key) ?? "").split(",").filter((part) => PARTS.includes(part));
  const [shown, hidden] = [named("show"), named("hide")];
  for (const part of PARTS) {
    byId(part, HTMLElement).classList.toggle("left-out", hidden.includes(part) || (shown.length > 0 && !shown.includes(part)));
  }
}

/** Another language is another address: all words are put in place when the page opens. */
function chooseLanguage() {
  const select = byId("language", HTMLSelectElement);
  select.append(...Object.entries(NAMES).map(([value, name]) => html("option", { value, lang: value }, name)));
  // A page in a frame without an address of its own cannot go to another one.
  select.disabled = location.protocol === "about:";
  select.value = language;
  select.addEventListener("change", () => {
    const search = new URLSearchParams(location.search);
    search.set("lang", select.value);
    location.search = String(search);
  });
}
