/**
 * Learning a mask on weights that stay as they are: each weight has a logit, is kept with probability sigmoid(logit) by
 * a draw at every step, and the gradient goes straight through the draw to the probability. As supermask.learned_masks
 * does it by 'bernoulli' and Adam, with the same draws. Zhou et al. 2019, section 5.2.
 */

import { PURPOSE, deriveKey, fillBlocks, foldIn } from "../random.js";
import { Adam } from "./adam.js";
import { TrainedNetwork } from "./network.js";

/** @typedef {import("../network.js").Shape} Shape */
/** @typedef {import("./batches.js").Images} Images */
/** @typedef {import("./trainer.js").Order} Order */

export class Learning {
  /**
   * Starts with a probability of one half for every weight.
   * @param {{shapes: readonly Shape[], images: Images, order: Order, rate: number, steps: number}} setup images with all
   * their pixels; the rate falls to 0 by a cosine over the steps
   * @param {readonly Float32Array[]} kernels of every layer, input by input
   * @param {boolean} rescaled whether a layer is multiplied by its weights over those kept
   * @param {number} seed of the draws
   */
  constructor({ shapes, images, order, rate, steps }, kernels, rescaled, seed) {
    this.images = images;
    this.order = order;
    this.rate = rate;
    this.length = steps;
    this.kernels = kernels;
    this.rescaled = rescaled;
    const half = Math.ceil(kernels.reduce((sum, kernel) => sum + kernel.length, 0) / 4);
    this.words = new Uint32Array(2 * half);
    this.bits = new Uint16Array(this.words.buffer);
    const everything = kernels.map((kernel) => new Uint8Array(kernel.length).fill(1));
    const rows = Int32Array.from({ length: shapes[0].inputs }, (_, row) => row);
    this.network = new TrainedNetwork(shapes, kernels, everything, rows, order.chosen.length);
    this.logits = kernels.map((kernel) => new Float64Array(kernel.length));
    this.chances = kernels.map((kernel) => new Float64Array(kernel.length).fill(0.5));
    /** A weight is kept where its 16 random bits are below its limit. */
    this.limits = kernels.map((kernel) => new Int32Array(kernel.length).fill(32768));
    this.drawn = kernels.map((kernel) => new Uint8Array(kernel.length));
    this.adams = kernels.map((kernel) => new Adam(kernel.length));
    this.key = deriveKey(seed, PURPOSE.MASK_SAMPLES);
    this.steps = 0;
  }

  /**
   * One step.
   * @returns {number} the loss of the drawn network on its batch, in nats
   */
  step() {
    const { network, adams, logits } = this;
    const half = this.words.length / 2;
    fillBlocks(foldIn(this.key, this.steps), 1, half, this.words.subarray(0, half), this.words.subarray(half));
    let start = 0;
    const factors = network.placed.map(({ layer }, index) => {
      const factor = this.draw(index, start, layer.weights);
      start += layer.weights.length;
      return factor;
    });
    const batch = this.images.take(this.order.batch(this.steps), network.byImage);
    network.forward(batch);
    const loss = network.backward(batch);
    const rate = 0.5 * this.rate * (1 + Math.cos((Math.PI * Math.min(this.steps, this.length)) / this.length));
    this.steps++;
    network.placed.forEach(({ layer }, index) => {
      this.throughMask(index, layer.gradient, factors[index]);
      adams[index].update(logits[index], layer.gradient, rate, this.steps, null);
      this.judge(index);
    });
    return loss;
  }

  /**
   * Draws a layer's mask and sets its weights.
   * @param {number} index
   * @param {number} start of its bits
   * @param {Float64Array} weights
   * @returns {number} the factor of rescaling
   */
  draw(index, start, weights) {
    const { bits } = this;
    const kernel = this.kernels[index];
    const limits = this.limits[index];
    const drawn = this.drawn[index];
    let ones = 0;
    for (let at = 0; at < kernel.length; at++) {
      // The sign of the difference: a branch would be guessed wrongly every other time.
      const kept = (bits[start + at] - limits[at]) >>> 31;
      drawn[at] = kept;
      ones += kept;
    }
    const factor = this.rescaled && ones > 0 ? kernel.length / ones : 1;
    for (let at = 0; at < kernel.length; at++) weights[at] = drawn[at] * kernel[at] * factor;
    return factor;
  }

  /**
   * Turns the gradient of the weights into that of the logits. It passes through the factor of rescaling, too, since
   * the number of weights kept is a sum over the mask.
   * @param {number} index
   * @param {Float64Array} gradient
   * @param {number} factor
   */
  throughMask(index, gradient, factor) {
    const kernel = this.kernels[index];
    const chances = this.chances[index];
    const drawn = this.drawn[index];
    let shared = 0;
    if (this.rescaled) {
      let sum = 0;
      let ones = 0;
      for (let at = 0; at < kernel.length; at++) {
        ones += drawn[at];
        sum += drawn[at] * gradient[at] * kernel[at];
      }
      shared = ones > 0 ? (-sum * kernel.length) / (ones * ones) : 0;
    }
    for (let at = 0; at < kernel.length; at++) {
      gradient[at] = (gradient[at] * kernel[at] * factor + shared) * chances[at] * (1 - chances[at]);
    }
  }

  /** @param {number} index a layer whose logits have moved: brings its probabilities and limits up to date */
  judge(index) {
    const logits = this.logits[index];
    const chances = this.chances[index];
    const limits = this.limits[index];
    for (let at = 0; at < logits.length; at++) {
      const chance = 1 / (1 + Math.exp(-logits[at]));
      chances[at] = chance;
      limits[at] = Math.ceil(65536 * chance);
    }
  }

  /**
   * The mask that the logits stand for: what is kept with a probability above one half.
   * @returns {Uint8Array[]}
   */
  rounded() {
    return this.logits.map((layer) => Uint8Array.from(layer, (logit) => (logit > 0 ? 1 : 0)));
  }

  /**
   * Weights under masks, rescaled where that is asked for.
   * @param {Uint8Array[]} masks
   * @returns {Float32Array[]}
   */
  under(masks) {
    return masks.map((mask, index) => {
      const kernel = this.kernels[index];
      const ones = mask.reduce((sum, kept) => sum + kept, 0);
      const factor = this.rescaled && ones > 0 ? mask.length / ones : 1;
      return kernel.map((weight, at) => (mask[at] ? weight * factor : 0));
    });
  }
}
