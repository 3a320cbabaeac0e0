/** A fully connected network that is trained: its layers with all weights or live ones alone, forward and backward. */

import { emptyBatch, listActive } from "./batches.js";
import { DenseLayer, SparseLayer } from "./layers.js";

/** @typedef {import("../network.js").Shape} Shape */
/** @typedef {import("./batches.js").Batch} Batch */

/** Below this share of live weights a layer keeps those alone: there it takes less time. */
const SPARSE_BELOW = 0.3;

/**
 * A layer, and where its stored weights belong among all of them. It computes these units alone: what no later layer
 * reads changes no output, and gets no gradient.
 * @typedef {{layer: DenseLayer | SparseLayer, places: Int32Array, units: Int32Array}} Placed
 */

export class TrainedNetwork {
  /**
   * @param {readonly Shape[]} shapes
   * @param {readonly Float32Array[]} weights of every layer, input by input
   * @param {readonly Uint8Array[]} present 1 for weights that take part: those that live, or are frozen at another value than 0
   * @param {Int32Array} used pixels that are read
   * @param {number} width images that there is room for
   */
  constructor(shapes, weights, present, used, width) {
    this.shapes = shapes;
    this.width = width;
    /** @type {Placed[]} */
    this.placed = [];
    let units = upTo(shapes[shapes.length - 1].outputs);
    for (let at = shapes.length - 1; at >= 0; at--) {
      const rows = at ? readBy(shapes[at], present[at], units) : used;
      this.placed.unshift(placedLayer(shapes[at], weights[at], present[at], rows, units, width));
      units = rows;
    }
    /** Whether images are wanted image by image, too. */
    this.byImage = this.placed[0].layer instanceof DenseLayer;
    this.biases = shapes.map(({ outputs }) => new Float64Array(outputs));
    this.biasGradients = shapes.map(({ outputs }) => new Float64Array(outputs));
    this.sums = this.placed.map(({ units: computed }) => new Float64Array(computed.length * width));
    this.slopes = this.placed.map(({ units: computed }) => new Float64Array(computed.length * width));
    this.hidden = this.placed.slice(0, -1).map(({ units: computed }) => emptyBatch(computed.length, width));
    this.back = this.hidden.map(({ value }) => new Float64Array(value.length));
  }

  /**
   * Sends a batch through; the last layer's sums are then its outputs.
   * @param {Batch} batch
   */
  forward(batch) {
    const { placed, sums, biases, hidden } = this;
    const last = placed.length - 1;
    let inputs = batch;
    for (let layer = 0; layer <= last; layer++) {
      placed[layer].layer.forward(inputs, sums[layer]);
      if (layer === last) break;
      listActive(hidden[layer], sums[layer], placed[layer].layer.steps, biases[layer], placed[layer].units, inputs, placed[layer + 1].layer instanceof DenseLayer);
      inputs = hidden[layer];
    }
    const outputs = sums[last];
    const { steps } = placed[last].layer;
    biases[last].forEach((bias, c) => {
      for (let image = 0; image < batch.size; image++) outputs[image * steps.image + c * steps.unit] += bias;
    });
  }

  /**
   * The class of the largest output, or the first of several, for an image of the batch that was sent forward last.
   * @param {number} image its place in the batch
   * @returns {number}
   */
  classOf(image) {
    const last = this.placed.length - 1;
    const outputs = this.sums[last];
    const { steps } = this.placed[last].layer;
    /** @type {(c: number) => number} */
    const output = (c) => outputs[image * steps.image + c * steps.unit];
    let best = 0;
    for (let c = 1; c < this.biases[last].length; c++) if (output(c) > output(best)) best = c;
    return best;
  }

  /**
   * Fills every layer's gradient of the mean cross-entropy over the batch, which was sent forward last.
   * @param {Batch} batch
   * @returns {number} the loss, in nats
   */
  backward(batch) {
    const { placed, slopes, hidden, back } = this;
    const loss = this.outputSlopes(batch);
    for (let layer = placed.length - 1; layer >= 0; layer--) {
      this.biasGradient(layer, batch.size);
      if (layer === 0) {
        placed[0].layer.backward(batch, slopes[0], null);
        continue;
      }
      const inputs = hidden[layer - 1];
      placed[layer].layer.backward(inputs, slopes[layer], back[layer - 1]);
      scatter(inputs, back[layer - 1], slopes[layer - 1], placed[layer - 1].layer.steps);
    }
    return loss;
  }

  /**
   * @param {number} layer
   * @param {number} size
   */
  biasGradient(layer, size) {
    const gradient = this.biasGradients[layer];
    const slopes = this.slopes[layer];
    const { units, layer: { steps } } = this.placed[layer];
    for (let unit = 0; unit < units.length; unit++) {
      let sum = 0;
      for (let image = 0; image < size; image++) sum += slopes[image * steps.image + unit * steps.unit];
      gradient[units[unit]] = sum;
    }
  }

  /**
   * Softmax and cross-entropy.
   * @param {Batch} batch
   * @returns {number}
   */
  outputSlopes({ size, labels }) {
    const last = this.placed.length - 1;
    const outputs = this.sums[last];
    const slopes = this.slopes[last];
    const { steps } = this.placed[last].layer;
    const end = this.biases[last].length * steps.unit;
    let loss = 0;
    for (let image = 0; image < size; image++) {
      const first = image * steps.image;
      const right = first + labels[image] * steps.unit;
      let most = -Infinity;
      for (let at = first; at < first + end; at += steps.unit) most = Math.max(most, outputs[at]);
      let total = 0;
      for (let at = first; at < first + end; at += steps.unit) total += slopes[at] = Math.exp(outputs[at] - most);
      for (let at = first; at < first + end; at += steps.unit) slopes[at] = (slopes[at] / total - (at === right ? 1 : 0)) / size;
      loss += Math.log(total) + most - outputs[right];
    }
    return loss / size;
  }

  /**
   * Writes the present weights over others.
   * @param {Float32Array[]} weights of every layer, input by input
   */
  writeTo(weights) {
    this.placed.forEach(({ layer, places }, at) => {
      for (let index = 0; index < places.length; index++) weights[at][places[index]] = layer.weights[index];
    });
  }
}

/**
 * Puts the gradients of active units in their places; those of the others are 0.
 * @param {Batch} batch
 * @param {Float64Array} back
 * @param {Float64Array} slopes
 * @param {import("./layers.js").Steps} steps where the gradients belong
 */
function scatter({ start, image }, back, slopes, steps) {
  slopes.fill(0);
  for (let unit = 0; unit + 1 < start.length; unit++) {
    for (let entry = start[unit]; entry < start[unit + 1]; entry++) slopes[image[entry] * steps.image + unit * steps.unit] = back[entry];
  }
}

/**
 * @param {number} count
 * @returns {Int32Array} 0, 1, ... below it
 */
function upTo(count) {
  return Int32Array.from({ length: count }, (_, at) => at);
}

/**
 * The inputs that some of these units read.
 * @param {Shape} shape
 * @param {Uint8Array} present
 * @param {Int32Array} units
 */
function readBy({ inputs, outputs }, present, units) {
  return upTo(inputs).filter((row) => units.some((unit) => present[row * outputs + unit] === 1));
}

/**
 * @param {Shape} shape
 * @param {Float32Array} weights
 * @param {Uint8Array} present
 * @param {Int32Array} rows inputs that are read
 * @param {Int32Array} units that are computed
 * @param {number} width images that there is room for
 * @returns {Placed}
 */
function placedLayer({ outputs }, weights, present, rows, units, width) {
  let live = 0;
  for (const row of rows) for (const unit of units) live += present[row * outputs + unit];
  const dense = live > SPARSE_BELOW * rows.length * units.length;
  const places = new Int32Array(dense ? rows.length * units.length : live);
  const fed = new Int32Array(places.length);
  const first = new Int32Array(rows.length + 1);
  let at = 0;
  rows.forEach((row, index) => {
    units.forEach((unit, column) => {
      const place = row * outputs + unit;
      if (!dense && !present[place]) return;
      places[at] = place;
      fed[at++] = column;
    });
    first[index + 1] = at;
  });
  const own = Float64Array.from(places, (place) => weights[place]);
  const layer = dense ? new DenseLayer(own, units.length) : new SparseLayer(own, fed, first, width);
  return { layer, places, units };
}
