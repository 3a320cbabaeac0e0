/**
 * Training of weights, as supermask.training does it: Adam on the mean cross-entropy of a batch, the batches in the
 * seed's order, only kept weights moving. Steps take time in proportion to the weights that live.
 */

import { Adam } from "./adam.js";
import { TrainedNetwork } from "./network.js";
import { permutation } from "./order.js";

/** @typedef {import("../network.js").Shape} Shape */
/** @typedef {import("./batches.js").Images} Images */

/** Which images a seed's steps see, one after another: see supermask.keys.batch_order. */
export class Order {
  /**
   * @param {number} seed
   * @param {number} examples
   * @param {number} size of a batch
   */
  constructor(seed, examples, size) {
    this.seed = seed;
    this.examples = examples;
    this.chosen = new Int32Array(size);
    /** @type {Int32Array[]} of every epoch so far: each training of a seed has the same */
    this.epochs = [];
  }

  /**
   * The images of a step. They hold until the next one is asked for.
   * @param {number} step from 0
   * @returns {Int32Array}
   */
  batch(step) {
    const { chosen, examples } = this;
    for (let at = 0; at < chosen.length; at++) {
      const place = step * chosen.length + at;
      const epoch = Math.floor(place / examples);
      const permuted = (this.epochs[epoch] ??= permutation(this.seed, epoch, examples));
      chosen[at] = permuted[place % examples];
    }
    return chosen;
  }
}

/**
 * What all trainings have in common.
 * @typedef {object} Setup
 * @property {readonly Shape[]} shapes
 * @property {Images} images to train on
 * @property {Int32Array} used their pixels in use
 * @property {Order} order of the images
 * @property {number} rate of learning
 */

export class Training {
  /**
   * Starts from these weights; biases start at 0.
   * @param {Setup} setup
   * @param {readonly Float32Array[]} weights of every layer, input by input
   * @param {readonly Uint8Array[]} masks 1 for weights that move
   */
  constructor({ shapes, images, used, order, rate }, weights, masks) {
    this.images = images;
    this.order = order;
    this.rate = rate;
    const present = weights.map((layer, at) => Uint8Array.from(layer, (weight, place) => (weight !== 0 || masks[at][place] ? 1 : 0)));
    this.network = new TrainedNetwork(shapes, weights, present, used, order.chosen.length);
    const { placed } = this.network;
    this.moves = placed.map(({ places }, at) => {
      const moves = Uint8Array.from(places, (place) => masks[at][place]);
      return moves.every(Boolean) ? null : moves;
    });
    this.adams = placed.map(({ places }) => new Adam(places.length));
    this.biasAdams = shapes.map(({ outputs }) => new Adam(outputs));
    this.steps = 0;
  }

  /**
   * One step.
   * @returns {number} the loss on its batch before it, in nats
   */
  step() {
    const { network, rate, adams, biasAdams, moves } = this;
    const batch = this.images.take(this.order.batch(this.steps), network.byImage);
    network.forward(batch);
    const loss = network.backward(batch);
    this.steps++;
    network.placed.forEach(({ layer }, at) => {
      adams[at].update(layer.weights, layer.gradient, rate, this.steps, moves[at]);
      biasAdams[at].update(network.biases[at], network.biasGradients[at], rate, this.steps, null);
    });
    return loss;
  }
}
