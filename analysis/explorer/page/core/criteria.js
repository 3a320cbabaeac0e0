/**
 * Mask criteria: how a weight is scored from where it started and where it ended. The same functions, in the same
 * 32-bit arithmetic, as supermask/criteria.py. Zhou et al. 2019, section 2.
 */

/**
 * @typedef {object} Criterion
 * @property {string} name the toolkit's name
 * @property {string} formula the score; the highest are kept
 * @property {string} title in words: what is kept
 * @property {(initial: number, final: number, alpha: number) => number} score of one weight; arguments are float32
 * values, and so is the result
 */

const round = Math.fround;
const abs = Math.abs;

/** @type {(initial: number, final: number) => boolean} */
const sameSign = (initial, final) => (initial > 0 && final > 0) || (initial < 0 && final < 0);
/** @type {(initial: number, final: number) => number} */
const growth = (initial, final) => round(abs(final) - abs(initial));

/** @type {readonly Criterion[]} */
export const CRITERIA = [
  { name: "large_final", formula: "|wf|", title: "ended largest", score: (_, f) => abs(f) },
  { name: "small_final", formula: "−|wf|", title: "ended smallest", score: (_, f) => -abs(f) },
  { name: "large_init", formula: "|wi|", title: "started largest", score: (i) => abs(i) },
  { name: "small_init", formula: "−|wi|", title: "started smallest", score: (i) => -abs(i) },
  {
    name: "large_init_large_final",
    formula: "min(α|wf|, |wi|)",
    title: "both started and ended large",
    score: (i, f, alpha) => Math.min(round(alpha * abs(f)), abs(i)),
  },
  {
    name: "small_init_small_final",
    formula: "−max(α|wf|, |wi|)",
    title: "both started and ended small",
    score: (i, f, alpha) => -Math.max(round(alpha * abs(f)), abs(i)),
  },
  { name: "magnitude_increase", formula: "|wf| − |wi|", title: "grew most", score: growth },
  { name: "movement", formula: "|wf − wi|", title: "moved farthest", score: (i, f) => abs(round(f - i)) },
  { name: "random", formula: "constant", title: "are drawn at random", score: () => 0 },
  {
    name: "large_final_same_sign",
    formula: "|wf| if signs agree, else 0",
    title: "ended largest with the sign they started with",
    score: (i, f) => (sameSign(i, f) ? abs(f) : 0),
  },
  {
    name: "large_final_diff_sign",
    formula: "|wf| if signs differ, else 0",
    title: "ended largest with the other sign",
    score: (i, f) => (sameSign(i, f) ? 0 : abs(f)),
  },
  {
    name: "magnitude_increase_same_sign",
    formula: "|wf| − |wi| if signs agree, else −∞",
    title: "grew most and kept their sign",
    score: (i, f) => (sameSign(i, f) ? growth(i, f) : -Infinity),
  },
  {
    name: "magnitude_increase_diff_sign",
    formula: "|wf| − |wi| if signs differ, else −∞",
    title: "grew most and changed their sign",
    score: (i, f) => (sameSign(i, f) ? -Infinity : growth(i, f)),
  },
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
 * A layer's scores.
 * @param {Criterion} criterion
 * @param {Float32Array} initial
 * @param {Float32Array} final
 * @param {number} alpha std(initial) / std(final) of the layer
 * @returns {Float32Array}
 */
export function scoreLayer(criterion, initial, final, alpha) {
  const scores = new Float32Array(initial.length);
  const score = criterion.score;
  for (let index = 0; index < scores.length; index++) scores[index] = score(initial[index], final[index], alpha);
  return scores;
}
