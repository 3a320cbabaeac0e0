/** Words for a newcomer: terms explained where they first appear, and the article below the page. */

import { words } from "../words/index.js";
import { byId, html } from "./dom.js";

export function showArticle() {
  const { parts, sources, papers } = words.article;
  byId("article-text", HTMLElement).append(
    ...parts.flatMap(([title, ...paragraphs]) => [html("h3", {}, title), ...paragraphs.map((text) => html("p", {}, text))]),
    html("h3", {}, sources),
    html("ul", {}, ...papers.map((paper) => html("li", {}, paper))),
  );
  byId("terms", HTMLElement).append(
    ...Object.entries(words.terms).flatMap(([name, [term, meaning]]) => [
      html("button", { type: "button", class: "term", popovertarget: `term-${name}` }, term),
      html("span", { id: `term-${name}`, popover: true }, meaning),
    ]),
  );
}
