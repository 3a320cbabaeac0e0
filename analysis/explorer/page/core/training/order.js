/**
 * The order of training images, as supermask.keys.batch_order draws it: a permutation an epoch by NumPy's Philox, keyed
 * by a seed sequence of (purpose, seed, epoch). Salmon et al. 2011; O'Neill 2015, "Developing a seed_seq alternative".
 */

/** supermask.keys.Purpose.DATA_ORDER. */
const DATA_ORDER = 5;

/**
 * The images of one epoch in their order.
 * @param {number} seed
 * @param {number} epoch
 * @param {number} examples
 * @returns {Int32Array}
 */
export function permutation(seed, epoch, examples) {
  const order = Int32Array.from({ length: examples }, (_, at) => at);
  const random = philox(seedSequence([DATA_ORDER, seed, epoch]));
  for (let at = examples - 1; at > 0; at--) {
    const other = upTo(random, at);
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/**
 * A number up to a bound, without bias: words are cut to the bound's bits, and those above it are passed over.
 * @param {() => number} random 32-bit words
 * @param {number} most
 */
function upTo(random, most) {
  const bits = 2 ** (32 - Math.clz32(most)) - 1;
  for (;;) {
    const found = random() & bits;
    if (found <= most) return found;
  }
}

/**
 * NumPy's SeedSequence: a key of two 64-bit words from a few small numbers (at most four).
 * @param {number[]} entropy
 * @returns {[bigint, bigint]}
 */
function seedSequence(entropy) {
  let constant = 0x43b0d7e5;
  /** @type {(value: number) => number} */
  const hashed = (value) => {
    const mixed = value ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    const product = Math.imul(mixed, constant);
    return product ^ (product >>> 16);
  };
  const pool = [0, 1, 2, 3].map((at) => hashed(entropy[at] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const mixed = Math.imul(0xca01f9dd, pool[to]) - Math.imul(0x4973f715, hashed(pool[from]));
      pool[to] = (mixed ^ ((mixed | 0) >>> 16)) | 0;
    }
  }
  let other = 0x8b51f9dd;
  const words = pool.map((value) => {
    const mixed = value ^ other;
    other = Math.imul(other, 0x58f38ded);
    const product = Math.imul(mixed, other);
    return BigInt((product ^ (product >>> 16)) >>> 0);
  });
  return [words[0] | (words[1] << 32n), words[2] | (words[3] << 32n)];
}

const WORD = (1n << 64n) - 1n;

/**
 * Philox4x64 with 10 rounds: the words of its counters 1, 2, ..., low halves first.
 * @param {[bigint, bigint]} key
 * @returns {() => number}
 */
function philox([key0, key1]) {
  let counter = 0n;
  /** @type {number[]} */
  let ready = [];
  return () => {
    if (!ready.length) {
      counter += 1n;
      let [a, b, c, d] = [counter, 0n, 0n, 0n];
      let [k0, k1] = [key0, key1];
      for (let round = 0; round < 10; round++) {
        const [first, second] = [0xd2e7470ee14c6c93n * a, 0xca5a826395121157n * c];
        [a, b, c, d] = [(second >> 64n) ^ b ^ k0, second & WORD, (first >> 64n) ^ d ^ k1, first & WORD];
        [k0, k1] = [(k0 + 0x9e3779b97f4a7c15n) & WORD, (k1 + 0xbb67ae8584caa73bn) & WORD];
      }
      ready = [d, c, b, a].flatMap((word) => [Number(word >> 32n), Number(word & 0xffffffffn)]);
    }
    return /** @type {number} */ (ready.pop());
  };
}
