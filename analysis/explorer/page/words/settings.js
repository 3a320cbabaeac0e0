/** Settings in words. */

import { percent } from "./numbers.js";
import { words } from "./index.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/engine.js").Reading} Reading */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * The mask in a few words.
 * @param {Setting} setting
 * @returns {string}
 */
export function maskWords(setting) {
  if (setting.source === "round") return words.setting.round(setting.round);
  if (setting.source === "painted") return words.setting.painted;
  return words.criteria[setting.criterion].name;
}

/**
 * The values of kept and pruned weights in a few words.
 * @param {Setting} setting
 * @param {Manifest} manifest
 * @returns {string}
 */
export function valueWords({ kept, signs, pruned, flipped }, manifest) {
  const { values, ownSigns, anySigns, frozen } = words.setting;
  const names = flippedNames(flipped, manifest);
  return [
    values[kept],
    kept === "initial" ? "" : signs ? ownSigns : anySigns,
    pruned === "zero" ? "" : frozen,
    names.length ? words.setting.flipped(names) : "",
  ].join("");
}

/**
 * Mask and values: what tells one curve from another.
 * @param {Setting} setting
 * @param {Manifest} manifest
 * @returns {string}
 */
export function curveWords(setting, manifest) {
  const mask = setting.source === "round" ? words.setting.rounds : maskWords(setting);
  return `${mask} · ${valueWords(setting, manifest)} · ${words.setting.seed(manifest.seeds[setting.seed].seed)}`;
}

/**
 * The paragraph under the headline: what this network is.
 * @param {Setting} setting
 * @param {Reading} reading
 * @param {Manifest} manifest
 * @returns {string}
 */
export function explanation(setting, reading, manifest) {
  const parts = [whichWords(setting, reading), keptWords(setting), reading.remaining === 1 ? "" : prunedWords(setting)];
  const names = flippedNames(setting.flipped, manifest);
  if (names.length) parts.push(words.setting.flips(names));
  return parts.filter(Boolean).join(" ");
}

/** @type {(setting: Setting, reading: Reading) => string} */
function whichWords({ source, round, criterion }, { remaining, drawn }) {
  const share = percent(remaining);
  if (remaining === 0) return words.setting.keptNone;
  if (source === "round") return words.setting.keptByRound(share, round);
  if (source === "painted") return words.setting.keptByRegion(share);
  if (remaining === 1) return words.setting.keptAll;
  if (criterion === "random") return words.setting.keptAtRandom(share);
  if (drawn > 0) return words.setting.keptMixed(share, criterion, percent(remaining - drawn), percent(drawn));
  return words.setting.keptBest(share, criterion);
}

/** @type {(setting: Setting) => string} */
function keptWords({ kept, signs }) {
  return kept === "initial" ? words.setting.initial : words.setting[kept](signs);
}

/** @type {(setting: Setting) => string} */
const prunedWords = ({ pruned }) => (pruned === "zero" ? words.setting.zeros : words.setting.others);

/** @type {(flipped: boolean[], manifest: Manifest) => string[]} */
const flippedNames = (flipped, { layers }) => layers.filter((_, layer) => flipped[layer]).map(({ name }) => name);
