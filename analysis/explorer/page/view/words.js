/** Settings in words. */

import { criterionOf } from "../core/criteria.js";
import { percent } from "./dom.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/** @type {Record<Setting["kept"], string>} */
const VALUES = {
  initial: "initial values",
  constant: "one constant",
  fresh: "a new draw",
  reshuffled: "reshuffled initial values",
};

/**
 * The mask in a few words.
 * @param {Setting} setting
 * @returns {string}
 */
export function maskWords(setting) {
  if (setting.source === "round") return `iterative pruning, round ${setting.round}`;
  if (setting.source === "painted") return "painted region";
  return setting.criterion;
}

/**
 * The treatment of weights in a few words.
 * @param {Setting} setting
 * @param {Manifest} manifest
 * @returns {string}
 */
export function valueWords(setting, manifest) {
  const signs = setting.kept === "initial" ? "" : setting.signs ? ", own signs" : ", any signs";
  const pruned = setting.pruned === "zero" ? "" : "; pruned at initial";
  const flipped = manifest.layers.filter((_, layer) => setting.flipped[layer]).map(({ name }) => name);
  return VALUES[setting.kept] + signs + pruned + (flipped.length ? `; ${flipped.join(", ")} flipped` : "");
}

/**
 * Mask and treatment: what tells one curve from another.
 * @param {Setting} setting
 * @param {Manifest} manifest
 * @returns {string}
 */
export function curveWords(setting, manifest) {
  const mask = setting.source === "round" ? "iterative pruning" : maskWords(setting);
  return `${mask} · ${valueWords(setting, manifest)} · seed ${manifest.seeds[setting.seed].seed}`;
}

/**
 * The paragraph under the headline: what this network is.
 * @param {Setting} setting
 * @param {number} remaining
 * @param {Manifest} manifest
 * @returns {string}
 */
export function explanation(setting, remaining, manifest) {
  return `${whichWords(setting, remaining)} ${keptWords(setting)} ${prunedWords(setting)} ${flipWords(setting, manifest)}`.trim();
}

/**
 * @param {Setting} setting
 * @param {number} remaining
 */
function whichWords(setting, remaining) {
  const share = percent(remaining);
  if (setting.source === "round") return `Kept: the ${share} of weights that round ${setting.round} of pruning left.`;
  if (setting.source === "painted") return `Kept: the ${share} of weights in the region you painted.`;
  if (setting.level === 0) return "Kept: all weights.";
  if (setting.criterion === "random") return `Kept: ${share} of the weights, drawn at random.`;
  return `Kept: the ${share} of weights that ${criterionOf(setting.criterion).title}.`;
}

/** @param {Setting} setting */
function keptWords({ kept, signs }) {
  const own = signs ? "with the sign it started with" : "with a random sign";
  if (kept === "initial") return "Each has the value it was drawn with.";
  if (kept === "constant") return `Each is set to one constant, ${own}.`;
  if (kept === "fresh") return `Each is drawn anew${signs ? ", with the sign it started with" : ""}.`;
  return `Their values are reshuffled${signs ? "; each keeps the sign it started with" : ""}.`;
}

/** @param {Setting} setting */
function prunedWords({ pruned, level, source }) {
  if (source === "criterion" && level === 0) return "";
  return pruned === "zero" ? "All others are zero." : "All others stay at their initial values.";
}

/**
 * @param {Setting} setting
 * @param {Manifest} manifest
 */
function flipWords({ flipped }, manifest) {
  const names = manifest.layers.filter((_, layer) => flipped[layer]).map(({ name }) => name);
  return names.length ? `Every sign of ${names.join(" and ")} is flipped.` : "";
}
