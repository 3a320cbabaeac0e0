/** Words for a newcomer: terms explained where they first appear, and the article below the page. */

import { words } from "../words/index.js";
import { byId, html } from "./dom.js";

export function showArticle() {
  const { parts, sources, papers } = words.article;
  byId("article-text", HTMLElement).append(
    ...parts.flatMap(([title, ...paragraphs]) => [html("h3", {}, title), ...paragraphs.map((text) => html("p", {}, text))]),
    html("h3", {}, sources),
    html("ul", {}, ...papers.map(([title, address]) => html("li", {}, address ? html("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, title) : title))),
  );
  byId("terms", HTMLElement).append(
    html("span", {}, words.story.terms),
    ...Object.entries(words.terms).flatMap(([name, [term, meaning]]) => [
      html("button", { type: "button", class: "term", popovertarget: `term-${name}` }, term),
      html("span", { id: `term-${name}`, popover: true }, meaning),
    ]),
  );
}
