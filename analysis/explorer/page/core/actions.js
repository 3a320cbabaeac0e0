/**
 * Actions: what kept and pruned weights are set to. The same values as supermask/actions.py. Zhou et al. 2019,
 * sections 3 to 5.
 */

/** @typedef {"initial" | "constant" | "fresh" | "reshuffled"} Kept */
/** @typedef {"zero" | "initial"} Pruned */

/** @type {readonly Kept[]} */
export const KEPT = ["initial", "constant", "fresh", "reshuffled"];
/** @type {readonly Pruned[]} */
export const PRUNED = ["zero", "initial"];

/**
 * What is known of a layer when its weights are set.
 * @typedef {object} LayerFacts
 * @property {Float32Array} initial
 * @property {Float32Array} fresh a new draw from the initial distribution
 * @property {number} constant the standard deviation of the initial weights
 * @property {Uint32Array} bits random words of the layer's key
 * @property {Uint32Array} byBits positions in the order of those words
 */

/**
 * A layer's weights: kept ones set by the mask-1 action, the others by the mask-0 action.
 * @param {LayerFacts} facts
 * @param {Uint8Array} mask
 * @param {Kept} kept
 * @param {boolean} signs whether kept weights have the sign that they started with
 * @param {Pruned} pruned
 * @param {boolean} flipped whether every sign is then turned round
 * @returns {Float32Array}
 */
export function setWeights(facts, mask, kept, signs, pruned, flipped) {
  const weights = pruned === "zero" ? new Float32Array(mask.length) : facts.initial.slice();
  const values = keptValues(facts, mask, kept);
  const own = signs && kept !== "initial";
  const random = kept === "constant" && !signs;
  for (let index = 0; index < mask.length; index++) {
    if (!mask[index]) continue;
    let value = values[index];
    // The top bit of a word is 0 where jax.random.bernoulli(0.5) is true: then the sign is +.
    if (random) value = facts.bits[index] >>> 31 ? -value : value;
    if (own) value = Math.sign(facts.initial[index]) * Math.abs(value);
    weights[index] = value;
  }
  if (flipped) for (let index = 0; index < weights.length; index++) weights[index] = -weights[index];
  return weights;
}

/**
 * @param {LayerFacts} facts
 * @param {Uint8Array} mask
 * @param {Kept} kept
 * @returns {Float32Array}
 */
function keptValues(facts, mask, kept) {
  if (kept === "initial") return facts.initial;
  if (kept === "fresh") return facts.fresh;
  if (kept === "constant") return new Float32Array(mask.length).fill(facts.constant);
  return reshuffled(facts, mask);
}

/**
 * The kept initial values, permuted among the kept weights: the first kept position gets the value of the kept position
 * whose random word is smallest, and so on.
 * @param {LayerFacts} facts
 * @param {Uint8Array} mask
 * @returns {Float32Array}
 */
function reshuffled(facts, mask) {
  const values = facts.initial.slice();
  let to = 0;
  for (const from of facts.byBits) {
    if (!mask[from]) continue;
    while (!mask[to]) to++;
    values[to++] = facts.initial[from];
  }
  return values;
}
