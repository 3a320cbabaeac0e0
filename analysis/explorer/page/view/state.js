/** The state of the page, and the address that holds it. */

import { KEPT, PRUNED } from "../core/actions.js";
import { CRITERIA } from "../core/criteria.js";
import { CELLS } from "../core/masks.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * @typedef {object} State
 * @property {Setting} setting
 * @property {number} layer shown on the plane
 * @property {number} unit hidden unit that is shown
 * @property {"pixels" | "unit" | "difference"} seen
 * @property {Setting[]} pins settings kept to compare
 * @property {Uint8Array | null} own a digit of one's own, in 16 shades (multiples of 17)
 * @property {number} tour the tour's step, from 1; 0 where there is no tour
 * @property {number} guess the answer that was chosen; -1 before
 * @property {boolean} revealed
 */

export const MOST_PINS = 5;

/** @type {readonly Setting["source"][]} */
const SOURCES = ["criterion", "round", "painted"];
/** @type {readonly State["seen"][]} */
const SEEN = ["pixels", "unit", "difference"];

/**
 * What the page opens with.
 * @param {Manifest} manifest
 * @returns {State}
 */
export function defaults(manifest) {
  return {
    setting: {
      seed: 0,
      source: "criterion",
      criterion: "large_final_same_sign",
      level: 4 * manifest.best_level,
      round: 0,
      region: new Uint8Array(CELLS * CELLS),
      kept: "constant",
      signs: true,
      pruned: "zero",
      flipped: manifest.layers.map(() => false),
    },
    layer: Math.min(1, manifest.layers.length - 1),
    unit: 0,
    seen: "pixels",
    pins: [],
    own: null,
    tour: 0,
    guess: -1,
    revealed: false,
  };
}

/**
 * The state as the part of an address after '#'. What is as the page opens with is left out.
 * @param {State} state
 * @param {Manifest} manifest
 * @returns {string}
 */
export function encode(state, manifest) {
  const standard = defaults(manifest);
  const words = new URLSearchParams(encodeSetting(state.setting, standard.setting, manifest));
  if (state.layer !== standard.layer) words.set("layer", manifest.layers[state.layer].name);
  if (state.unit) words.set("unit", String(state.unit));
  if (state.seen !== standard.seen) words.set("seen", state.seen);
  for (const pin of state.pins) words.append("pin", String(new URLSearchParams(encodeSetting(pin, standard.setting, manifest))));
  if (state.own) words.set("own", toText(halves(state.own)));
  if (state.tour) words.set("tour", `${state.tour}.${state.guess + 1}${state.revealed ? ".shown" : ""}`);
  return String(words);
}

/**
 * The state that an address holds; what it does not say, or says wrongly, is as the page opens with.
 * @param {string} text
 * @param {Manifest} manifest
 * @returns {State}
 */
export function decode(text, manifest) {
  const state = defaults(manifest);
  const words = new URLSearchParams(text);
  state.setting = decodeSetting(words, state.setting, manifest);
  const layer = manifest.layers.findIndex(({ name }) => name === words.get("layer"));
  if (layer >= 0) state.layer = layer;
  state.unit = whole(words.get("unit"), manifest.layers[0].outputs - 1, state.unit);
  state.seen = oneOf(words.get("seen"), SEEN, state.seen);
  state.pins = words
    .getAll("pin")
    .map((pin) => new URLSearchParams(pin))
    .filter((pin) => CRITERIA.some(({ name }) => name === pin.get("criterion")))
    .slice(0, MOST_PINS)
    .map((pin) => decodeSetting(pin, defaults(manifest).setting, manifest));
  const own = fromText(words.get("own"), (manifest.image.height * manifest.image.width) / 2);
  if (own) state.own = whole8(own);
  const tour = /^([1-7])\.([0-9])(\.shown)?$/.exec(words.get("tour") ?? "");
  if (tour) [state.tour, state.guess, state.revealed] = [Number(tour[1]), Number(tour[2]) - 1, tour[3] !== undefined];
  return state;
}

/**
 * @param {Setting} setting
 * @param {Setting} standard
 * @param {Manifest} manifest
 * @returns {Record<string, string>}
 */
function encodeSetting(setting, standard, manifest) {
  /** @type {Record<string, string>} */
  const words = { seed: String(manifest.seeds[setting.seed].seed) };
  if (setting.source !== "criterion") words.mask = setting.source;
  words.criterion = setting.criterion;
  words.level = String(setting.level / 4);
  if (setting.round) words.round = String(setting.round);
  if (setting.region.some(Boolean)) words.region = toText(bits(setting.region));
  words.kept = setting.kept;
  if (setting.signs !== standard.signs) words.signs = setting.signs ? "own" : "any";
  if (setting.pruned !== standard.pruned) words.pruned = setting.pruned;
  const flipped = manifest.layers.filter((_, layer) => setting.flipped[layer]).map(({ name }) => name);
  if (flipped.length) words.flip = flipped.join(".");
  return words;
}

/**
 * @param {URLSearchParams} words
 * @param {Setting} standard
 * @param {Manifest} manifest
 * @returns {Setting}
 */
function decodeSetting(words, standard, manifest) {
  const seed = manifest.seeds.findIndex((entry) => String(entry.seed) === words.get("seed"));
  const region = fromText(words.get("region"), (CELLS * CELLS) / 8);
  const flipped = (words.get("flip") ?? "").split(".");
  const rounds = Math.max(...manifest.seeds.map((entry) => entry.rounds.length)) - 1;
  const source = oneOf(words.get("mask"), SOURCES, standard.source);
  return {
    seed: seed < 0 ? standard.seed : seed,
    source: source === "round" && rounds === 0 ? standard.source : source,
    criterion: oneOf(words.get("criterion"), CRITERIA.map(({ name }) => name), standard.criterion),
    level: whole(String(4 * Number(words.get("level") ?? NaN)), 4 * (manifest.levels.length - 1), standard.level),
    round: whole(words.get("round"), rounds, standard.round),
    region: region ? cells(region) : standard.region,
    kept: oneOf(words.get("kept"), KEPT, standard.kept),
    signs: words.has("signs") ? words.get("signs") !== "any" : standard.signs,
    pruned: oneOf(words.get("pruned"), PRUNED, standard.pruned),
    flipped: manifest.layers.map(({ name }) => flipped.includes(name)),
  };
}

/**
 * @template {string} T
 * @param {string | null} value
 * @param {readonly T[]} allowed
 * @param {T} otherwise
 * @returns {T}
 */
function oneOf(value, allowed, otherwise) {
  return allowed.find((each) => each === value) ?? otherwise;
}

/** @type {(value: string | null, most: number, otherwise: number) => number} */
function whole(value, most, otherwise) {
  const number = value === null ? NaN : Number(value);
  return Number.isInteger(number) && number >= 0 && number <= most ? number : otherwise;
}

/** @type {(bytes: Uint8Array) => string} base64 with letters that an address leaves as they are */
const toText = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** @type {(text: string | null, size: number) => Uint8Array | null} */
function fromText(text, size) {
  if (text === null || !/^[\w-]*$/.test(text)) return null;
  try {
    const content = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return content.length === size ? Uint8Array.from(content, (letter) => letter.charCodeAt(0)) : null;
  } catch {
    return null;
  }
}

/** @type {(cells: Uint8Array) => Uint8Array} eight cells a byte */
const bits = (cells) =>
  Uint8Array.from({ length: cells.length / 8 }, (_, at) =>
    cells.subarray(8 * at, 8 * at + 8).reduce((byte, cell) => 2 * byte + cell, 0),
  );
/** @type {(bytes: Uint8Array) => Uint8Array} */
const cells = (bytes) => Uint8Array.from({ length: 8 * bytes.length }, (_, at) => (bytes[at >> 3] >> (7 - (at & 7))) & 1);
/** @type {(pixels: Uint8Array) => Uint8Array} two pixels a byte */
const halves = (pixels) =>
  Uint8Array.from({ length: pixels.length / 2 }, (_, at) => pixels[2 * at] / 17 + (pixels[2 * at + 1] / 17) * 16);
/** @type {(bytes: Uint8Array) => Uint8Array} */
const whole8 = (bytes) => Uint8Array.from({ length: 2 * bytes.length }, (_, at) => ((bytes[at >> 1] >> (4 * (at & 1))) & 15) * 17);
