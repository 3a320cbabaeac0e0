/**
 * Masks with exact counts, by one order: score, highest first; then random bits, highest first; then position, last
 * first. The same order as supermask/masks.py, so a mask here is the toolkit's to the bit.
 */

/**
 * Unsigned integers in the order of the scores; -0 and +0 are one score, and NaN is -∞.
 * @param {Float32Array} scores
 * @returns {Uint32Array}
 */
export function orderedBits(scores) {
  const cleaned = scores.map((score) => (Number.isNaN(score) ? -Infinity : score === 0 ? 0 : score));
  const bits = new Uint32Array(cleaned.buffer);
  for (let index = 0; index < bits.length; index++) {
    bits[index] = bits[index] >>> 31 ? ~bits[index] : bits[index] | 0x80000000;
  }
  return bits;
}

/**
 * The positions sorted by their values, smallest first; positions of equal values stay in the order given.
 * @param {Uint32Array} values
 * @param {Uint32Array} positions every position once
 * @returns {Uint32Array}
 */
export function stableSort(values, positions) {
  let from = positions.slice();
  let to = new Uint32Array(positions.length);
  for (let shift = 0; shift < 33; shift += 11) {
    const start = new Uint32Array(2049);
    for (let index = 0; index < values.length; index++) start[((values[index] >>> shift) & 2047) + 1]++;
    for (let digit = 0; digit < 2048; digit++) start[digit + 1] += start[digit];
    for (let index = 0; index < from.length; index++) to[start[(values[from[index]] >>> shift) & 2047]++] = from[index];
    [from, to] = [to, from];
  }
  return from;
}

/**
 * Positions of a layer in the order of its tie bits: what is common to all rankings of one seed.
 * @param {Uint32Array} bits
 * @returns {Uint32Array}
 */
export function tieOrder(bits) {
  return stableSort(bits, Uint32Array.from(bits.keys()));
}

/**
 * Place of each weight in its layer's order, 0 for the best. One ranking serves every level.
 * @param {Float32Array} scores
 * @param {Uint32Array} ties the layer's `tieOrder`
 * @returns {Int32Array}
 */
export function ranks(scores, ties) {
  const worstFirst = stableSort(orderedBits(scores), ties);
  const places = new Int32Array(scores.length);
  const last = scores.length - 1;
  for (let index = 0; index <= last; index++) places[worstFirst[index]] = last - index;
  return places;
}

/**
 * How many weights each layer keeps at a level in quarters of a step: at whole steps the toolkit's counts, between two
 * of them on the straight line, rounded up.
 * @param {readonly (readonly number[])[]} levels counts of every layer, a row a whole step
 * @param {number} quarters
 * @returns {number[]}
 */
export function countsAt(levels, quarters) {
  const level = Math.floor(quarters / 4);
  const rest = quarters % 4;
  if (rest === 0) return [...levels[level]];
  return levels[level].map((count, layer) => count - Math.floor(((count - levels[level + 1][layer]) * rest) / 4));
}

/**
 * The mask that keeps the best `count`.
 * @param {Int32Array} places the layer's `ranks`
 * @param {number} count
 * @returns {Uint8Array} 1 for a kept weight
 */
export function keepBest(places, count) {
  const mask = new Uint8Array(places.length);
  for (let index = 0; index < mask.length; index++) mask[index] = places[index] < count ? 1 : 0;
  return mask;
}

/** Cells of a painted region to a side, and bins of the plane's density to a cell. */
export const CELLS = 32;
export const BINS_A_CELL = 3;
export const BINS = CELLS * BINS_A_CELL;

/**
 * The plane's bin of a weight along one axis, 0 to BINS - 1; what lies beyond the edge is in the last bin.
 * @param {number} weight
 * @param {number} reach the axis goes from -reach to reach
 * @returns {number}
 */
export function binOf(weight, reach) {
  const bin = Math.floor(((weight + reach) / (2 * reach)) * BINS);
  return bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
}

/**
 * Every weight's bin of the plane: row (final) times BINS plus column (initial).
 * @param {Float32Array} initial
 * @param {Float32Array} final
 * @param {number} reachInitial
 * @param {number} reachFinal
 * @returns {Uint16Array}
 */
export function planeBins(initial, final, reachInitial, reachFinal) {
  const bins = new Uint16Array(initial.length);
  for (let index = 0; index < bins.length; index++) {
    bins[index] = binOf(final[index], reachFinal) * BINS + binOf(initial[index], reachInitial);
  }
  return bins;
}

/**
 * The mask of the weights that lie in a painted region.
 * @param {Uint16Array} bins the layer's `planeBins`
 * @param {Uint8Array} region CELLS × CELLS, 1 where painted, row by row from the lowest final weight
 * @returns {Uint8Array}
 */
export function keepPainted(bins, region) {
  const painted = new Uint8Array(BINS * BINS);
  for (let bin = 0; bin < painted.length; bin++) {
    const row = Math.floor(bin / BINS / BINS_A_CELL);
    const column = Math.floor((bin % BINS) / BINS_A_CELL);
    painted[bin] = region[row * CELLS + column];
  }
  return Uint8Array.from(bins, (bin) => painted[bin]);
}

/**
 * The mask of a round of iterative pruning.
 * @param {Uint8Array} lastRound the last round in which each weight was alive
 * @param {number} round
 * @returns {Uint8Array}
 */
export function keepRound(lastRound, round) {
  return Uint8Array.from(lastRound, (last) => (last >= round ? 1 : 0));
}

/**
 * How many weights a mask keeps.
 * @param {Uint8Array} mask
 * @returns {number}
 */
export function count(mask) {
  let kept = 0;
  for (let index = 0; index < mask.length; index++) kept += mask[index];
  return kept;
}
