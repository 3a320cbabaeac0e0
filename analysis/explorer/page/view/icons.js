/** Small pictures of the criteria: which part of the plane each keeps. Schematic: the plane itself shows the data. */

import { CRITERIA, sortedMagnitudes } from "../core/criteria.js";
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
  const choices = [...CRITERIA.map(({ name, title }) => ({ name, title })), { name: "painted", title: "lie in a region you paint" }];
  return choices.map(({ name, title }) =>
    html(
      "label",
      { class: "tile", title: `${name}: weights that ${title}` },
      html("input", { type: "radio", name: "criterion", value: name, "aria-label": `${TILE_NAMES[name]}: weights that ${title}` }),
      icon(name),
      html("span", { class: "tile-name", "aria-hidden": "true" }, TILE_NAMES[name]),
    ),
  );
}

/** @type {Record<string, string>} */
const TILE_NAMES = {
  large_final: "large final",
  small_final: "small final",
  large_init: "large init",
  small_init: "small init",
  large_init_large_final: "both large",
  small_init_small_final: "both small",
  magnitude_increase: "grew",
  movement: "moved",
  random: "random",
  large_final_same_sign: "large, same sign",
  large_final_diff_sign: "large, flipped",
  magnitude_increase_same_sign: "grew, same sign",
  magnitude_increase_diff_sign: "grew, flipped",
  painted: "paint your own",
};
