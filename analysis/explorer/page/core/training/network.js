/** A fully connected network that is trained: its layers with all weights or live ones alone, forward and backward. */

import { emptyBatch, listActive } from "./batches.js";
import { DenseLayer, SparseLayer } from "./layers.js";

/** @typedef {import("../network.js").Shape} Shape */
/** @typedef {import("./batches.js").Batch} Batch */

/** Below this share of live weights a layer keeps those alone: there it takes less time. */
const SPARSE_BELOW = 0.3;

/**
 * A layer, and where its stored weights belong among all of them.
 * @typedef {{layer: DenseLayer | SparseLayer, places: Int32Array}} Placed
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
    this.placed = shapes.map((shape, at) => {
      const rows = at ? Int32Array.from({ length: shape.inputs }, (_, row) => row) : used;
      return placedLayer(shape, weights[at], present[at], rows, width);
    });
    this.biases = shapes.map(({ outputs }) => new Float64Array(outputs));
    this.biasGradients = shapes.map(({ outputs }) => new Float64Array(outputs));
    this.sums = shapes.map(({ outputs }) => new Float64Array(outputs * width));
    this.slopes = shapes.map(({ outputs }) => new Float64Array(outputs * width));
    this.hidden = shapes.slice(1).map(({ inputs }) => emptyBatch(inputs, width));
    this.back = this.hidden.map(({ value }) => new Float64Array(value.length));
  }

  /**
   * The outputs for a batch: class by class, then image by image. They hold until the next batch.
   * @param {Batch} batch
   * @returns {Float64Array}
   */
  forward(batch) {
    const { placed, sums, biases, hidden, width } = this;
    const last = placed.length - 1;
    let inputs = batch;
    for (let layer = 0; layer <= last; layer++) {
      placed[layer].layer.forward(inputs, sums[layer]);
      if (layer === last) break;
      listActive(hidden[layer], sums[layer], biases[layer], inputs, width);
      inputs = hidden[layer];
    }
    const outputs = sums[last];
    for (let at = 0; at < outputs.length; at++) outputs[at] += biases[last][Math.floor(at / width)];
    return outputs;
  }

  /**
   * Fills every layer's gradient of the mean cross-entropy over the batch, which was sent forward last.
   * @param {Batch} batch
   * @returns {number} the loss, in nats
   */
  backward(batch) {
    const { placed, slopes, hidden, back, width } = this;
    const loss = this.outputSlopes(batch);
    for (let layer = placed.length - 1; layer >= 0; layer--) {
      this.biasGradient(layer, batch.size);
      if (layer === 0) {
        placed[0].layer.backward(batch, slopes[0], null);
        continue;
      }
      const inputs = hidden[layer - 1];
      placed[layer].layer.backward(inputs, slopes[layer], back[layer - 1]);
      scatter(inputs, back[layer - 1], slopes[layer - 1], width);
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
    for (let unit = 0; unit < gradient.length; unit++) {
      let sum = 0;
      for (let at = unit * this.width; at < unit * this.width + size; at++) sum += slopes[at];
      gradient[unit] = sum;
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
    const classes = this.biases[last].length;
    const { width } = this;
    let loss = 0;
    for (let image = 0; image < size; image++) {
      let most = -Infinity;
      for (let c = 0; c < classes; c++) most = Math.max(most, outputs[c * width + image]);
      let total = 0;
      for (let c = 0; c < classes; c++) total += Math.exp(outputs[c * width + image] - most);
      for (let c = 0; c < classes; c++) {
        const share = Math.exp(outputs[c * width + image] - most) / total;
        slopes[c * width + image] = (share - (c === labels[image] ? 1 : 0)) / size;
      }
      loss += Math.log(total) + most - outputs[labels[image] * width + image];
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
 * @param {number} width
 */
function scatter({ start, image }, back, slopes, width) {
  slopes.fill(0);
  for (let row = 0; row + 1 < start.length; row++) {
    for (let entry = start[row]; entry < start[row + 1]; entry++) slopes[row * width + image[entry]] = back[entry];
  }
}

/**
 * @param {Shape} shape
 * @param {Float32Array} weights
 * @param {Uint8Array} present
 * @param {Int32Array} rows inputs that are read
 * @param {number} width
 * @returns {Placed}
 */
function placedLayer({ outputs }, weights, present, rows, width) {
  let live = 0;
  for (const row of rows) for (let unit = 0; unit < outputs; unit++) live += present[row * outputs + unit];
  const dense = live > SPARSE_BELOW * rows.length * outputs;
  const places = new Int32Array(dense ? rows.length * outputs : live);
  const input = new Int32Array(dense ? 0 : live);
  const start = new Int32Array(outputs + 1);
  let at = 0;
  if (dense) for (const row of rows) for (let unit = 0; unit < outputs; unit++) places[at++] = row * outputs + unit;
  else {
    for (let unit = 0; unit < outputs; unit++) {
      for (let row = 0; row < rows.length; row++) {
        const place = rows[row] * outputs + unit;
        if (!present[place]) continue;
        places[at] = place;
        input[at++] = row;
      }
      start[unit + 1] = at;
    }
  }
  const own = Float64Array.from(places, (place) => weights[place]);
  return { layer: dense ? new DenseLayer(own, outputs, width) : new SparseLayer(own, input, start, width), places };
}
