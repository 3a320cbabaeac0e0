/** Masks as bits, eight weights a byte, row by row, the first weight in the highest bit: as supermask.masks.pack. */

/**
 * @param {Uint8Array} mask
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function packBits(mask) {
  const bits = new Uint8Array(Math.ceil(mask.length / 8));
  for (let index = 0; index < mask.length; index++) bits[index >> 3] |= mask[index] << (7 - (index & 7));
  return bits;
}

/**
 * A mask as a file.
 * @param {Uint8Array[]} masks
 * @param {import("./bundle.js").Manifest} manifest
 * @param {import("./engine.js").Setting} setting
 * @returns {Blob}
 */
export function packMask(masks, manifest, setting) {
  const head = { seed: manifest.seeds[setting.seed].seed, layers: manifest.layers };
  return new Blob([`${JSON.stringify(head)}\n`, ...masks.map(packBits)]);
}
