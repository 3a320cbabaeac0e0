/**
 * Mask criteria: how a weight is scored from where it started and where it ended. The same functions, in the same
 * 32-bit arithmetic, as supermask/criteria.py. Zhou et al. 2019, section 2.
 */

/**
 * A layer's magnitudes in order: what the percentile rank of a magnitude is looked up in.
 * @typedef {object} Sorted
 * @property {Float32Array} initial |wi|, smallest first
 * @property {Float32Array} final |wf|, smallest first
 */

/**
 * @typedef {object} Criterion
 * @property {string} name the toolkit's name
 * @property {(initial: number, final: number, sorted: Sorted) => number} score of one weight; arguments are float32
 * values, and so is the result
 * @property {boolean} [byRank] whether the score looks at `sorted`
 * @property {(initial: number, final: number) => boolean} [meant] which weights the criterion is about, where it is not
 * all: the others score 0, whatever they are, so that a draw chooses among them
 */

const round = Math.fround;
const abs = Math.abs;

/** @type {(initial: number, final: number) => boolean} */
const sameSign = (initial, final) => (initial > 0 && final > 0) || (initial < 0 && final < 0);
/** @type {(initial: number, final: number) => boolean} */
const otherSign = (initial, final) => !sameSign(initial, final);
/** @type {(initial: number, final: number) => number} */
const growth = (initial, final) => round(abs(final) - abs(initial));

/** @type {readonly Criterion[]} */
export const CRITERIA = [
  { name: "large_final", score: (_, f) => abs(f) },
  { name: "small_final", score: (_, f) => -abs(f) },
  { name: "large_init", score: (i) => abs(i) },
  { name: "small_init", score: (i) => -abs(i) },
  {
    name: "large_init_large_final",
    byRank: true,
    score: (i, f, sorted) => Math.min(rank(f, sorted.final), rank(i, sorted.initial)),
  },
  {
    name: "small_init_small_final",
    byRank: true,
    score: (i, f, sorted) => -Math.max(rank(f, sorted.final), rank(i, sorted.initial)),
  },
  { name: "magnitude_increase", score: growth },
  { name: "movement", score: (i, f) => abs(round(f - i)) },
  { name: "random", score: () => 0 },
  { name: "large_final_same_sign", meant: sameSign, score: (i, f) => (sameSign(i, f) ? abs(f) : 0) },
  { name: "large_final_diff_sign", meant: otherSign, score: (i, f) => (sameSign(i, f) ? 0 : abs(f)) },
  { name: "magnitude_increase_same_sign", meant: sameSign, score: (i, f) => (sameSign(i, f) ? growth(i, f) : 0) },
  { name: "magnitude_increase_diff_sign", meant: otherSign, score: (i, f) => (sameSign(i, f) ? 0 : growth(i, f)) },
];

/** @type {ReadonlyMap<string, Criterion>} */
const BY_NAME = new Map(CRITERIA.map((criterion) => [criterion.name, criterion]));

/**
 * The criterion of that name. Throws a RangeError for another.
 * @param {string} name
 * @returns {Criterion}
 */
export function criterionOf(name) {
  const found = BY_NAME.get(name);
  if (!found) throw new RangeError(`criterion ${name} is unknown; allowed: ${[...BY_NAME.keys()].join(", ")}`);
  return found;
}

/**
 * A layer's magnitudes in order.
 * @param {Float32Array} initial
 * @param {Float32Array} final
 * @returns {Sorted}
 */
export function sortedMagnitudes(initial, final) {
  return { initial: initial.map(abs).sort(), final: final.map(abs).sort() };
}

/**
 * Percentile rank of a weight's magnitude: the share of the other weights that are smaller, from 0 to 1.
 * @param {number} weight a float32 value
 * @param {Float32Array} magnitudes of the layer, smallest first
 * @returns {number}
 */
function rank(weight, magnitudes) {
  const magnitude = abs(weight);
  let low = 0;
  let high = magnitudes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (magnitudes[middle] < magnitude) low = middle + 1;
    else high = middle;
  }
  return round(low / Math.max(magnitudes.length - 1, 1));
}

/**
 * A layer's scores.
 * @param {Criterion} criterion
 * @param {Float32Array} initial
 * @param {Float32Array} final
 * @param {Sorted} sorted the layer's magnitudes
 * @returns {Float32Array}
 */
export function scoreLayer(criterion, initial, final, sorted) {
  const scores = new Float32Array(initial.length);
  const score = criterion.score;
  for (let index = 0; index < scores.length; index++) scores[index] = score(initial[index], final[index], sorted);
  return scores;
}
