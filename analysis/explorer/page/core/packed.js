/**
 * A masked network as the toolkit's packed file, which `supermask evaluate` and `supermask unpack` read: a mask and a
 * seed. supermask/packed.py describes the format; masks are written in its coding 'bits'.
 */

import { hex, sha256 } from "./sha256.js";

/** @typedef {import("./bundle.js").Manifest} Manifest */
/** @typedef {import("./engine.js").Setting} Setting */

const MAGIC = "SUPERMSK";
const VERSION = 1;

/**
 * Eight weights a byte, row by row, the first weight in the highest bit; as supermask.masks.pack.
 * @param {Uint8Array} mask
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function packBits(mask) {
  const bits = new Uint8Array(Math.ceil(mask.length / 8));
  for (let index = 0; index < mask.length; index++) bits[index >> 3] |= mask[index] << (7 - (index & 7));
  return bits;
}

/**
 * What the format calls a setting's weights; null where it cannot hold them.
 * @param {Setting} setting
 * @returns {"initial" | "signed_constant" | null}
 */
export function packedWeights({ kept, signs, pruned, flipped }) {
  if (pruned !== "zero" || flipped.some(Boolean)) return null;
  if (kept === "initial") return "initial";
  return kept === "constant" && signs ? "signed_constant" : null;
}

/**
 * The file's content. Throws where the format cannot hold the setting.
 * @param {Manifest} manifest
 * @param {Setting} setting
 * @param {Uint8Array[]} masks
 * @param {Float32Array[]} weights under the masks
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function pack(manifest, setting, masks, weights) {
  const kind = packedWeights(setting);
  if (kind === null) throw new RangeError("A packed file holds masks on initial values or signed constants, zeros elsewhere.");
  const blocks = masks.map(packBits);
  // In the order of their names, as the toolkit writes them.
  const header = {
    dataset: manifest.packed.dataset,
    jax: manifest.packed.jax,
    kernels_sha256: hex(sha256(littleEndian(weights))),
    layers: blocks.map((block) => ["bits", block.length]),
    network: manifest.packed.network,
    rescaled: false,
    seed: manifest.seeds[setting.seed].seed,
    weights: kind,
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const fixed = new Uint8Array(14);
  fixed.set(new TextEncoder().encode(MAGIC));
  new DataView(fixed.buffer).setUint16(8, VERSION, true);
  new DataView(fixed.buffer).setUint32(10, text.length, true);
  const body = joined([fixed, text, ...blocks]);
  return joined([body, sha256(body)]);
}

/**
 * @param {Float32Array[]} arrays
 * @returns {Uint8Array}
 */
function littleEndian(arrays) {
  const size = arrays.reduce((total, array) => total + array.length, 0);
  const view = new DataView(new ArrayBuffer(4 * size));
  let at = 0;
  for (const array of arrays) for (const value of array) view.setFloat32(4 * at++, value, true);
  return new Uint8Array(view.buffer);
}

/**
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array<ArrayBuffer>}
 */
function joined(parts) {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
