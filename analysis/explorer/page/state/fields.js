/**
 * The state of the page, field by field: its name, what it is when the page opens, what is allowed, and how it is
 * written in the address. Everything that reads, writes or checks the state goes through these two tables.
 */

import { KEPT, PRUNED } from "../core/actions.js";
import { readChallenge, writeChallenge } from "../core/challenge.js";
import { CRITERIA } from "../core/criteria.js";
import { CELLS } from "../core/masks.js";
import { cellsOf, fromText, bitsOf, halvesOf, pixelsOf, toText } from "./bytes.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * @typedef {object} Tour
 * @property {number} step from 1; 0 where there is no tour
 * @property {number} guess the answer that was chosen; -1 before
 * @property {boolean} revealed
 */

/**
 * @typedef {object} Page what is shown beside the setting, and how
 * @property {"off" | "weights" | "mask"} lab what is trained here; off: the untrained network is shown
 * @property {boolean} constants whether a mask is learned on signed constants, in place of initial values
 * @property {boolean} rescaled whether a learned mask's layers are rescaled
 * @property {number} layer shown on the plane
 * @property {number} unit hidden unit that is shown
 * @property {"pixels" | "unit" | "difference"} seen
 * @property {number} image whose way through the network is drawn: its place among the test images
 * @property {Setting[]} pins settings kept to compare
 * @property {Uint8Array | null} own a digit of one's own, in 16 shades (multiples of 17)
 * @property {Tour} tour
 * @property {import("../core/challenge.js").Challenge | null} challenge
 * @property {Setting | null} before the visitor's own setting, put back when the tour ends
 */

/** @typedef {Page & {setting: Setting}} State */

/**
 * @template T
 * @typedef {object} Field
 * @property {string} key in the address
 * @property {string} range what is allowed, in words
 * @property {(manifest: Manifest) => T} standard what the page opens with
 * @property {boolean} [always] written even where it is as the page opens with: a link then survives a new default
 * @property {(value: T, manifest: Manifest) => string | null} write null leaves it out
 * @property {(text: string, manifest: Manifest) => T | null} read null for what is not allowed
 */

export const MOST_PINS = 5;
export const TOUR_STEPS = 10;

/** @type {Setting["source"][]} */
const SOURCES = ["criterion", "round", "painted"];

/** @type {{[K in keyof Setting]: Field<Setting[K]>}} */
export const SETTING = {
  seed: {
    key: "seed",
    range: "a seed of the bundle",
    always: true,
    standard: () => 0,
    write: (place, { seeds }) => String(seeds[place].seed),
    read: (text, { seeds }) => placeOf(seeds.findIndex(({ seed }) => String(seed) === text)),
  },
  source: {
    key: "mask",
    range: "criterion, round (where the bundle has rounds), painted",
    standard: () => "criterion",
    write: (source) => source,
    read: (text, manifest) => oneOf(text, mostRounds(manifest) ? SOURCES : SOURCES.filter((each) => each !== "round")),
  },
  criterion: {
    key: "criterion",
    range: "a criterion's name",
    always: true,
    standard: () => "large_final",
    write: (name) => name,
    read: (text) => oneOf(text, CRITERIA.map(({ name }) => name)),
  },
  level: {
    key: "level",
    range: "0 to the last level, in quarters",
    always: true,
    standard: () => 0,
    write: (quarters) => String(quarters / 4),
    read: (text, { levels }) => whole(String(4 * Number(text)), 0, 4 * (levels.length - 1)),
  },
  round: {
    key: "round",
    range: "0 to the last round",
    standard: () => 0,
    write: String,
    read: (text, manifest) => whole(text, 0, mostRounds(manifest)),
  },
  region: {
    key: "region",
    range: "a bit a cell, in base64",
    standard: () => new Uint8Array(CELLS * CELLS),
    write: (region) => (region.some(Boolean) ? toText(bitsOf(region)) : null),
    read: (text) => mapped(fromText(text, (CELLS * CELLS) / 8), cellsOf),
  },
  kept: { key: "kept", range: KEPT.join(", "), always: true, standard: () => "initial", write: (kept) => kept, read: (text) => oneOf(text, KEPT) },
  signs: {
    key: "signs",
    range: "own, any",
    standard: () => true,
    write: (own) => (own ? "own" : "any"),
    read: (text) => text !== "any",
  },
  pruned: { key: "pruned", range: PRUNED.join(", "), standard: () => "zero", write: (pruned) => pruned, read: (text) => oneOf(text, PRUNED) },
  flipped: {
    key: "flip",
    range: "names of layers, with dots between",
    standard: ({ layers }) => layers.map(() => false),
    write: (flipped, { layers }) => layers.filter((_, layer) => flipped[layer]).map(({ name }) => name).join(".") || null,
    read: (text, { layers }) => layers.map(({ name }) => text.split(".").includes(name)),
  },
};

/** @type {{[K in Exclude<keyof Page, "pins" | "before">]: Field<Page[K]>}} */
export const PAGE = {
  lab: {
    key: "lab",
    range: "off, weights, mask",
    standard: () => "off",
    write: (lab) => lab,
    read: (text) => oneOf(text, /** @type {Page["lab"][]} */ (["off", "weights", "mask"])),
  },
  constants: { key: "constants", range: "yes, no", standard: () => true, write: yesOrNo, read: isYes },
  rescaled: { key: "rescaled", range: "yes, no", standard: () => false, write: yesOrNo, read: isYes },
  layer: {
    key: "layer",
    range: "a layer's name",
    standard: () => 0,
    write: (layer, { layers }) => layers[layer].name,
    read: (text, { layers }) => placeOf(layers.findIndex(({ name }) => name === text)),
  },
  unit: {
    key: "unit",
    range: "0 to the last hidden unit",
    standard: () => 0,
    write: String,
    read: (text, { layers }) => whole(text, 0, layers[0].outputs - 1),
  },
  seen: {
    key: "seen",
    range: "pixels, unit, difference",
    standard: () => "pixels",
    write: (seen) => seen,
    read: (text) => oneOf(text, /** @type {Page["seen"][]} */ (["pixels", "unit", "difference"])),
  },
  image: {
    key: "image",
    range: "0 to the last test image",
    standard: () => 0,
    write: String,
    read: (text, { labels }) => whole(text, 0, labels.length - 1),
  },
  own: {
    key: "own",
    range: "four bits a pixel, in base64",
    standard: () => null,
    write: (own) => own && toText(halvesOf(own)),
    read: (text, { image: { height, width } }) => pixelsOf(fromText(text, Math.ceil((height * width) / 2)), height * width),
  },
  challenge: {
    key: "challenge",
    range: "any-80-2, untrained-80-10 (percent right, percent of weights), paint",
    standard: () => null,
    write: writeChallenge,
    read: readChallenge,
  },
  tour: {
    key: "tour",
    range: `step 1 to ${TOUR_STEPS}, guess 0 to 9 (0: none yet), and whether the answer is shown`,
    standard: () => ({ step: 0, guess: -1, revealed: false }),
    write: ({ step, guess, revealed }) => (step ? `${step}.${guess + 1}${revealed ? ".shown" : ""}` : null),
    read: readTour,
  },
};

/** @type {(place: number) => number | null} */
const placeOf = (place) => (place < 0 ? null : place);

/** @type {(yes: boolean) => string} */
function yesOrNo(yes) {
  return yes ? "yes" : "no";
}

/** @type {(text: string) => boolean | null} */
function isYes(text) {
  return text === "yes" ? true : text === "no" ? false : null;
}

/**
 * @param {string} text
 * @returns {Tour | null}
 */
function readTour(text) {
  const parts = /^([1-9][0-9]?)\.([0-9])(\.shown)?$/.exec(text);
  const step = Number(parts?.[1]);
  return parts && step <= TOUR_STEPS ? { step, guess: Number(parts[2]) - 1, revealed: parts[3] !== undefined } : null;
}

/** @type {(manifest: Manifest) => number} */
function mostRounds({ seeds }) {
  return Math.max(...seeds.map(({ rounds }) => rounds.length)) - 1;
}

/**
 * @template {string} T
 * @param {string} value
 * @param {readonly T[]} allowed
 * @returns {T | null}
 */
function oneOf(value, allowed) {
  return allowed.find((each) => each === value) ?? null;
}

/** @type {(text: string, least: number, most: number) => number | null} */
function whole(text, least, most) {
  const number = text === "" ? NaN : Number(text);
  return Number.isInteger(number) && number >= least && number <= most ? number : null;
}

/**
 * @template A, B
 * @param {A | null} value
 * @param {(value: A) => B} made
 * @returns {B | null}
 */
function mapped(value, made) {
  return value === null ? null : made(value);
}
