/**
 * The random bits of the toolkit, to the bit: threefry2x32 as JAX uses it, with keys folded from (seed, purpose, round).
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; supermask/keys.py.
 */

/** @typedef {readonly [number, number]} Key two unsigned 32-bit words */

/** What a key is for: the numbers of supermask.keys.Purpose. */
export const PURPOSE = Object.freeze({ TIES: 1, KEPT_VALUES: 2, MASK_SAMPLES: 6 });

const ROTATIONS = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
];

/**
 * Threefry2x32 with 20 rounds of one counter.
 * @param {Key} key
 * @param {number} high
 * @param {number} low
 * @returns {Key}
 */
export function threefry(key, high, low) {
  const schedule = [key[0] | 0, key[1] | 0, key[0] ^ key[1] ^ 0x1bd11bda];
  let a = (high + schedule[0]) | 0;
  let b = (low + schedule[1]) | 0;
  for (let group = 0; group < 5; group++) {
    for (const by of ROTATIONS[group % 2]) {
      a = (a + b) | 0;
      b = ((b << by) | (b >>> (32 - by))) ^ a;
    }
    a = (a + schedule[(group + 1) % 3]) | 0;
    b = (b + schedule[(group + 2) % 3] + group + 1) | 0;
  }
  return [a >>> 0, b >>> 0];
}

/**
 * A key made from another and a number, as jax.random.fold_in does.
 * @param {Key} key
 * @param {number} number an unsigned 32-bit number
 * @returns {Key}
 */
export function foldIn(key, number) {
  return threefry(key, 0, number);
}

/**
 * The key of one seed for one purpose, in a round of pruning.
 * @param {number} seed
 * @param {number} purpose one of PURPOSE
 * @param {number} [round]
 * @returns {Key}
 */
export function deriveKey(seed, purpose, round = 0) {
  return foldIn(foldIn([0, seed >>> 0], purpose), round);
}

/**
 * As many random words, as jax.random.bits(key, (size,)) gives (the partitionable form, JAX's default).
 * @param {Key} key
 * @param {number} size
 * @returns {Uint32Array}
 */
export function randomBits(key, size) {
  const bits = new Uint32Array(size);
  const other = new Uint32Array(size);
  fillBlocks(key, 0, 0, bits, other);
  for (let index = 0; index < size; index++) bits[index] ^= other[index];
  return bits;
}

/**
 * Fills two arrays with the words of blocks: those of the counters (index × step, start + index).
 * @param {Key} key
 * @param {0 | 1} step
 * @param {number} start
 * @param {Uint32Array} first
 * @param {Uint32Array} second
 */
export function fillBlocks(key, step, start, first, second) {
  const k0 = key[0] | 0;
  const k1 = key[1] | 0;
  const k2 = k0 ^ k1 ^ 0x1bd11bda;
  for (let index = 0; index < first.length; index++) {
    // The function above with its loops written out: this runs over a million times when a page opens,
    // and 67,000 times a step where a mask is learned.
    let a = (step * index + k0) | 0;
    let b = (start + index + k1) | 0;
    a = (a + b) | 0; b = ((b << 13) | (b >>> 19)) ^ a;
    a = (a + b) | 0; b = ((b << 15) | (b >>> 17)) ^ a;
    a = (a + b) | 0; b = ((b << 26) | (b >>> 6)) ^ a;
    a = (a + b) | 0; b = ((b << 6) | (b >>> 26)) ^ a;
    a = (a + k1) | 0; b = (b + k2 + 1) | 0;
    a = (a + b) | 0; b = ((b << 17) | (b >>> 15)) ^ a;
    a = (a + b) | 0; b = ((b << 29) | (b >>> 3)) ^ a;
    a = (a + b) | 0; b = ((b << 16) | (b >>> 16)) ^ a;
    a = (a + b) | 0; b = ((b << 24) | (b >>> 8)) ^ a;
    a = (a + k2) | 0; b = (b + k0 + 2) | 0;
    a = (a + b) | 0; b = ((b << 13) | (b >>> 19)) ^ a;
    a = (a + b) | 0; b = ((b << 15) | (b >>> 17)) ^ a;
    a = (a + b) | 0; b = ((b << 26) | (b >>> 6)) ^ a;
    a = (a + b) | 0; b = ((b << 6) | (b >>> 26)) ^ a;
    a = (a + k0) | 0; b = (b + k1 + 3) | 0;
    a = (a + b) | 0; b = ((b << 17) | (b >>> 15)) ^ a;
    a = (a + b) | 0; b = ((b << 29) | (b >>> 3)) ^ a;
    a = (a + b) | 0; b = ((b << 16) | (b >>> 16)) ^ a;
    a = (a + b) | 0; b = ((b << 24) | (b >>> 8)) ^ a;
    a = (a + k1) | 0; b = (b + k2 + 4) | 0;
    a = (a + b) | 0; b = ((b << 13) | (b >>> 19)) ^ a;
    a = (a + b) | 0; b = ((b << 15) | (b >>> 17)) ^ a;
    a = (a + b) | 0; b = ((b << 26) | (b >>> 6)) ^ a;
    a = (a + b) | 0; b = ((b << 6) | (b >>> 26)) ^ a;
    a = (a + k2) | 0; b = (b + k0 + 5) | 0;
    first[index] = a;
    second[index] = b;
  }
}
