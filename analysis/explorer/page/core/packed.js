/**
 * A masked network as the toolkit's packed file, which `supermask evaluate` and `supermask unpack` read: a mask and a
 * seed. docs/supermasks.md describes the format; masks are written in its coding 'bits'.
 */

import { hex, sha256 } from "./sha256.js";

/** @typedef {import("./bundle.js").Manifest} Manifest */
/** @typedef {import("./engine.js").Setting} Setting */

const MAGIC = "SUPERMSK";
const VERSION = 2;

/** What a seed's weights follow from: supermask/packed_header.py. */
const GENERATOR = { folds: [0, 0], name: "threefry-2x32", partitionable: true, path: "sha1(layer, 1)" };
/** The standard deviation of a normal distribution that is cut at 2 and -2. */
const TRUNCATED = Math.fround(0.87962566103423978);

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
 * What the format calls a setting's weights; null where it cannot hold them. It holds initial values as the toolkit
 * draws them from the seed: a bundle's that were rounded otherwise are no such ones.
 * @param {Manifest} manifest
 * @param {Setting} setting
 * @returns {"initial" | "signed_constant" | null}
 */
export function packedWeights({ seeds }, { seed, kept, signs, pruned, flipped }) {
  if (pruned !== "zero" || flipped.some(Boolean)) return null;
  if (kept === "initial") return seeds[seed].as_drawn ? "initial" : null;
  return kept === "constant" && signs ? "signed_constant" : null;
}

/**
 * The factor of a layer's initial draw, in float32 arithmetic, as supermask.draws.glorot_deviation.
 * @param {import("./network.js").Shape} shape
 * @returns {number}
 */
function deviation({ inputs, outputs }) {
  const variance = Math.fround(1 / ((inputs + outputs) / 2));
  return Math.fround(Math.fround(Math.sqrt(variance)) / TRUNCATED);
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
  const kind = packedWeights(manifest, setting);
  if (kind === null) throw new RangeError("A packed file holds masks on initial values or signed constants, zeros elsewhere.");
  const { layers, seeds, packed } = manifest;
  const entry = seeds[setting.seed];
  const byName = layers.map((_, at) => at).sort((a, b) => (layers[a].name < layers[b].name ? -1 : 1));
  const blocks = byName.map((at) => packBits(masks[at]));
  // In the order of their names, as the toolkit writes them.
  const header = {
    ...(kind === "signed_constant" ? { constants: Object.fromEntries(byName.map((at) => [layers[at].name, Math.fround(entry.constant[at])])) } : {}),
    dataset: packed.dataset,
    distribution: { between: [-2, 2], deviations: byName.map((at) => deviation(layers[at])), name: "truncated normal" },
    generator: GENERATOR,
    ...(packed.image_shape ? { image_shape: packed.image_shape } : {}),
    jax: packed.jax,
    kernels_sha256: hex(sha256(littleEndian(byName.map((at) => weights[at])))),
    layers: byName.map((at, place) => [layers[at].name, [layers[at].inputs, layers[at].outputs], "bits", blocks[place].length]),
    network: packed.network,
    rescaled: false,
    seed: entry.seed,
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
