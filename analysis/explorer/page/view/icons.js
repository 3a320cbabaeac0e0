/** Small pictures of the criteria: which part of the plane each keeps. Schematic: the plane itself shows the data. */

import { CRITERIA, sortedMagnitudes } from "../core/criteria.js";
import { words } from "../words/index.js";
import { html, svg } from "./dom.js";

const SIDE = 15;

/** The share of the plane that a picture shows as kept. */
const SHARE = 0.38;

/**
 * A criterion's picture: the best-scored part of a plane of even density; for random, a scatter.
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const picture = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, class: "icon", "aria-hidden": "true" });
  const criterion = CRITERIA.find((each) => each.name === name);
  const initial = Float32Array.from({ length: SIDE * SIDE }, (_, at) => (2 * (at % SIDE) + 1) / SIDE - 1);
  const final = Float32Array.from(initial, (_, at) => 1.25 * (1 - (2 * Math.floor(at / SIDE) + 1) / SIDE));
  const sorted = sortedMagnitudes(initial, final);
  const cells = Array.from(initial, (x, at) => {
    const score = !criterion ? -1 : name === "random" ? (at * 7919) % 97 : criterion.score(x, final[at], sorted);
    return { at, score };
  });
  const eligible = cells.filter(({ score }) => !name.includes("sign") || score !== 0);
  const scores = eligible.map(({ score }) => score).sort((a, b) => b - a);
  const least = scores[Math.min(Math.round(SHARE * SIDE * SIDE), scores.length) - 1];
  const best = eligible.filter(({ score }) => score >= least);
  if (!criterion) picture.append(svg("path", { class: "stroke", d: "M3 11 C5 3 8 12 12 4" }));
  else for (const { at } of best) picture.append(svg("rect", { x: at % SIDE, y: Math.floor(at / SIDE), width: 1.02, height: 1.02 }));
  picture.append(svg("path", { class: "cross", d: `M0 ${SIDE / 2}H${SIDE}M${SIDE / 2} 0V${SIDE}` }));
  return picture;
}

/**
 * The choice of criteria as pictures with their names; the last one is a region of one's own.
 * @returns {HTMLLabelElement[]}
 */
export function criterionChoices() {
  return [...CRITERIA.map(({ name }) => name), "painted"].map((value) => {
    const { name, kept } = words.criteria[value];
    return html(
      "label",
      { class: "tile", title: `${name}: … ${kept}` },
      html("input", { type: "radio", name: "criterion", value, "aria-label": `${name}: … ${kept}` }),
      icon(value),
      html("span", { class: "tile-name", "aria-hidden": "true" }, name),
    );
  });
}
