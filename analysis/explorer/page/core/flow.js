/** One image on its way through the network, along a sample of its weights: always the same sample, drawn once. */

import { activations } from "./network.js";

/** @typedef {import("./network.js").Shape} Shape */

/** @typedef {{layer: number, from: number, to: number, index: number}} Edge a weight, and its place in its layer */

/**
 * @typedef {object} Sample
 * @property {number[][]} units that are shown of every layer
 * @property {Edge[]} edges between them; those of the first layer come from any pixel
 */

/**
 * What the page draws; arrays have an entry an edge of the sample.
 * @typedef {object} Flow
 * @property {Float64Array[]} activations of every layer's units; the outputs come last
 * @property {Uint8Array} kept
 * @property {Float32Array} values of the weights as they are now
 * @property {Float32Array} initial
 * @property {Float32Array} final
 * @property {Float32Array} fields weights from all pixels to every shown unit of the first layer, 0 where pruned to 0
 * @property {Float64Array} image from 0 to 1
 */

/** Units of a hidden layer that are shown at most, and weights of a layer. */
const [MOST_UNITS, MOST_EDGES] = [24, 300];

/**
 * @param {readonly Shape[]} shapes
 * @returns {Sample}
 */
export function sampleOf(shapes) {
  const units = shapes.map(({ outputs }, layer) => {
    const shown = Math.min(outputs, layer < shapes.length - 1 ? MOST_UNITS >> layer : outputs);
    return Array.from({ length: shown }, (_, at) => Math.floor(((at + 0.5) * outputs) / shown));
  });
  const edges = shapes.flatMap(({ inputs, outputs }, layer) => {
    const sources = layer ? units[layer - 1] : Array.from({ length: inputs }, (_, pixel) => pixel);
    const all = sources.flatMap((from) => units[layer].map((to) => ({ layer, from, to, index: from * outputs + to })));
    const every = all.length / Math.min(all.length, MOST_EDGES);
    // A step that shares no factor with their number spreads the chosen ones over all pairs.
    return Array.from({ length: Math.floor(all.length / every) }, (_, at) => all[(at * 7919 * Math.max(Math.floor(every), 1)) % all.length]);
  });
  return { units, edges };
}

/**
 * @param {readonly Shape[]} shapes
 * @param {Sample} sample
 * @param {{weights: readonly Float32Array[], masks: readonly Uint8Array[], initial: readonly Float32Array[], final: readonly Float32Array[]}} network
 * @param {readonly ArrayLike<number>[] | null} biases
 * @param {Float64Array} image
 * @returns {Flow}
 */
export function flowOf(shapes, { units, edges }, { weights, masks, initial, final }, biases, image) {
  /** @type {(arrays: readonly Float32Array[]) => Float32Array} */
  const along = (arrays) => Float32Array.from(edges, ({ layer, index }) => arrays[layer][index]);
  const [{ inputs, outputs }] = shapes;
  const fields = new Float32Array(units[0].length * inputs);
  units[0].forEach((unit, at) => {
    for (let pixel = 0; pixel < inputs; pixel++) fields[at * inputs + pixel] = weights[0][pixel * outputs + unit];
  });
  return {
    activations: activations(shapes, weights, biases, image),
    kept: Uint8Array.from(edges, ({ layer, index }) => masks[layer][index]),
    values: along(weights),
    initial: along(initial),
    final: along(final),
    fields,
    image,
  };
}

/**
 * The image that is sent through: a digit of one's own, or else a test image.
 * @param {import("./bundle.js").Manifest} manifest
 * @param {Uint8Array} images
 * @param {Uint8Array | null} own
 * @param {number} image
 * @returns {Float64Array} from 0 to 1
 */
export function pixelsOf({ image: { height, width, maximum } }, images, own, image) {
  if (own) return Float64Array.from(own, (pixel) => pixel / 255);
  const size = height * width;
  return Float64Array.from(images.subarray(image * size, (image + 1) * size), (pixel) => pixel / maximum);
}
