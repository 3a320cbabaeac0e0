/**
 * The laboratory: one network that is trained step by step, pruned, rewound and trained again, or one whose mask is
 * learned. The same formulas, batches and keys as the toolkit's; equal to it but for rounding.
 */

import { setWeights } from "./actions.js";
import { criterionOf, scoreLayer, sortedMagnitudes } from "./criteria.js";
import { flowOf, pixelsOf, sampleOf } from "./flow.js";
import * as masks from "./masks.js";
import { maskView } from "./mask_view.js";
import { activations, largest } from "./network.js";
import { PURPOSE, deriveKey, foldIn, randomBits } from "./random.js";
import { Images, pixelsInUse } from "./training/batches.js";
import { Learning } from "./training/learner.js";
import { Order, Training } from "./training/trainer.js";

/** @typedef {import("./bundle.js").Manifest} Manifest */
/** @typedef {import("./bundle.js").SeedWeights} SeedWeights */
/** @typedef {import("./criteria.js").Sorted} Sorted */
/** @typedef {import("./engine.js").Setting} Setting */
/** @typedef {import("./engine.js").Plane} Plane */
/** @typedef {import("../worker.js").Point} Point */

/** @typedef {{mode: "weights" | "mask", seed: number, constants: boolean, rescaled: boolean}} Recipe what is begun */
/** @typedef {{step: number, loss: number, accuracy: number}} Moment of a training; accuracy on the test images */

/** @type {Sorted} */
const UNSORTED = { initial: new Float32Array(0), final: new Float32Array(0) };

export class Lab {
  /**
   * @param {Manifest} manifest
   * @param {SeedWeights[]} seeds
   * @param {Uint8Array} tested images of the bundle
   * @param {Uint8Array} trained images to train on
   */
  constructor(manifest, seeds, tested, trained) {
    this.manifest = manifest;
    this.seeds = seeds;
    this.pixels = tested;
    this.sample = sampleOf(manifest.layers);
    const { image, training, labels } = manifest;
    const pixels = image.height * image.width;
    const size = training.batch_size;
    this.used = pixelsInUse(trained, pixels);
    const all = Int32Array.from({ length: pixels }, (_, pixel) => pixel);
    /** @type {(images: Uint8Array, labels: number[], used: Int32Array) => Images} */
    const listed = (images, known, used) => new Images(images, known, image.maximum, pixels, used, size);
    this.images = { weights: listed(trained, training.labels, this.used), mask: listed(trained, training.labels, all) };
    this.tested = { weights: listed(tested, labels, this.used), mask: listed(tested, labels, all) };
    this.orders = seeds.map((_, at) => new Order(manifest.seeds[at].seed, training.labels.length, size));
    /** How many steps a round has, and the learning of a mask. */
    this.lengths = {
      weights: Math.floor((training.epochs * training.labels.length) / size),
      mask: Math.floor((training.mask_epochs * training.labels.length) / size),
    };
    /** @type {Recipe} */
    this.recipe = { mode: "weights", seed: 0, constants: true, rescaled: false };
    this.round = 0;
    /** @type {Point[]} trained rounds, one after another */
    this.rounds = [];
    this.initial = seeds[0].initial;
    /** @type {Uint8Array[]} */
    this.masks = [];
    /** @type {Float32Array[]} */
    this.weights = [];
    /** @type {Moment[]} of the present training */
    this.course = [];
    /** The sum of the losses since the course's last moment, and how many they are. */
    this.summed = 0;
    this.losses = 0;
    /** @type {Training | null} */
    this.training = null;
    /** @type {Learning | null} */
    this.learning = null;
    this.begin(this.recipe);
  }

  /**
   * Starts over: with the seed's untrained network and all its weights, or with even chances for every weight.
   * @param {Recipe} recipe
   */
  begin(recipe) {
    this.recipe = recipe;
    this.round = 0;
    this.rounds = [];
    this.initial = this.seeds[recipe.seed].initial;
    this.masks = this.initial.map((layer) => new Uint8Array(layer.length).fill(1));
    this.start(this.initial, null);
  }

  /**
   * Starts a training from these weights.
   * @param {readonly Float32Array[]} weights
   * @param {readonly ArrayLike<number>[] | null} biases null where all are 0
   */
  start(weights, biases) {
    const { layers: shapes, training, seeds } = this.manifest;
    const { mode, seed, constants, rescaled } = this.recipe;
    const order = this.orders[seed];
    [this.course, this.losses, this.summed] = [[], 0, 0];
    this.weights = weights.map((layer) => layer.slice());
    [this.training, this.learning] = [null, null];
    if (mode === "weights") {
      const setup = { shapes, images: this.images.weights, used: this.used, order, rate: training.learning_rate };
      this.training = new Training(setup, weights, this.masks);
      if (biases) biases.forEach((layer, at) => this.training?.network.biases[at].set(layer));
    } else {
      const kernels = constants ? weights.map((layer, at) => layer.map((weight) => Math.sign(weight) * seeds[seed].constant[at])) : weights;
      const setup = { shapes, images: this.images.mask, order, rate: training.mask_learning_rate, steps: this.lengths.mask };
      this.learning = new Learning(setup, kernels, rescaled, order.seed);
    }
  }

  /** All weights of the network. */
  get size() {
    return this.initial.reduce((sum, each) => sum + each.length, 0);
  }

  /** Steps taken in this training. */
  get steps() {
    return (this.training ?? this.learning)?.steps ?? 0;
  }

  step() {
    this.summed += (this.training ?? this.learning)?.step() ?? 0;
    this.losses++;
  }

  /**
   * Prunes by the criterion, region or round in hand, among the weights that are left, with the trained weights as the
   * final ones. Pruned weights become 0, or go back to their initial values; training may go on from there.
   * @param {Setting} setting
   * @returns {number} how many weights were pruned
   */
  prune(setting) {
    const { network } = this.training ?? {};
    if (!network) return 0;
    this.refresh();
    this.note();
    const before = total(this.masks);
    const chosen = this.masks.map((alive, layer) => this.chosen(setting, layer, alive, this.round + 1));
    if (total(chosen) === before) return 0;
    this.round++;
    this.masks = chosen;
    const weights = this.weights.map((layer, at) =>
      layer.map((weight, place) => (chosen[at][place] ? weight : setting.pruned === "zero" ? 0 : this.initial[at][place])),
    );
    this.start(weights, network.biases.map((layer) => layer.slice()));
    return before - total(chosen);
  }

  /**
   * A layer's new mask.
   * @param {Setting} setting
   * @param {number} layer
   * @param {Uint8Array} alive
   * @param {number} round that it is for
   * @returns {Uint8Array}
   */
  chosen(setting, layer, alive, round) {
    const { seeds, levels } = this.manifest;
    const entry = seeds[setting.seed];
    if (setting.source === "round") {
      return masks.keepRound(this.seeds[setting.seed].lastRound[layer], setting.round).map((kept, at) => kept & alive[at]);
    }
    if (setting.source === "painted") {
      const bins = masks.planeBins(this.initial[layer], this.weights[layer], entry.reach_initial[layer], entry.reach_final[layer]);
      return masks.keepPainted(bins, setting.region).map((kept, at) => kept & alive[at]);
    }
    const count = Math.min(masks.countsAt(levels, setting.level)[layer], masks.count(alive));
    const ties = masks.tieOrder(randomBits(foldIn(deriveKey(entry.seed, PURPOSE.TIES, round), layer), alive.length));
    return masks.keepBest(masks.ranks(this.scores(setting, layer, alive).scores, ties), count);
  }

  /**
   * A layer's scores by a criterion; NaN, which ranks last, where a weight is pruned.
   * @param {Setting} setting
   * @param {number} layer
   * @param {Uint8Array} alive
   */
  scores({ criterion: name }, layer, alive) {
    const criterion = criterionOf(name);
    const [initial, final] = [this.initial[layer], this.weights[layer]];
    /** @type {(weights: Float32Array) => Float32Array} */
    const living = (weights) => weights.filter((_, at) => alive[at] === 1);
    const sorted = criterion.byRank ? sortedMagnitudes(living(initial), living(final)) : UNSORTED;
    const scores = scoreLayer(criterion, initial, final, sorted);
    for (let at = 0; at < scores.length; at++) if (!alive[at]) scores[at] = NaN;
    return { scores, sorted };
  }

  /**
   * Sets kept and pruned weights by the actions in hand, and starts training from there; biases go back to 0.
   * @param {Setting} setting
   */
  rewind(setting) {
    this.refresh();
    this.note();
    const entry = this.manifest.seeds[setting.seed];
    const fresh = this.seeds[(setting.seed + 1) % this.seeds.length].initial;
    const weights = this.masks.map((mask, layer) => {
      const bits = randomBits(foldIn(deriveKey(entry.seed, PURPOSE.KEPT_VALUES, this.round), layer), mask.length);
      const facts = { initial: this.initial[layer], fresh: fresh[layer], constant: Math.fround(entry.constant[layer]), bits, byBits: masks.tieOrder(bits) };
      return setWeights(facts, mask, setting.kept, setting.signs, setting.pruned, setting.flipped[layer]);
    });
    this.start(weights, null);
  }

  /** Keeps what a round has come to, once it has been trained: its last accuracy. */
  note() {
    if (!this.training || this.steps === 0) return;
    const point = { remaining: total(this.masks) / this.size, accuracy: this.accuracy };
    this.rounds = [...this.rounds.filter(({ remaining }) => remaining !== point.remaining), point];
  }

  /** Brings `weights` and `masks` up to date with what is trained. */
  refresh() {
    this.training?.network.writeTo(this.weights);
    if (!this.learning) return;
    this.masks = this.learning.rounded();
    this.weights = this.learning.under(this.masks);
    this.learning.network.placed.forEach(({ layer }, at) => layer.weights.set(this.weights[at]));
  }

  /**
   * The class that the network finds in every test image.
   * @returns {Uint8Array}
   */
  read() {
    const { network } = /** @type {Training | Learning} */ (this.training ?? this.learning);
    const tested = this.tested[this.recipe.mode];
    const { width } = network;
    const found = new Uint8Array(tested.count);
    for (let first = 0; first < tested.count; first += width) {
      const chosen = Array.from({ length: Math.min(width, tested.count - first) }, (_, at) => first + at);
      network.forward(tested.take(chosen, network.byImage));
      for (let at = 0; at < chosen.length; at++) found[first + at] = network.classOf(at);
    }
    return found;
  }

  /** The accuracy on the test images that was measured last. */
  get accuracy() {
    return this.course.at(-1)?.accuracy ?? 0;
  }

  /**
   * Everything the page shows of the network as it is now.
   * @param {{setting: Setting, layer: number, unit: number, own: Uint8Array | null, mine: Uint8Array[], image: number}} view
   */
  look({ setting, layer, unit, own, mine, image: shown }) {
    this.refresh();
    const { labels, layers, levels } = this.manifest;
    const found = this.read();
    const right = found.reduce((sum, c, image) => sum + (c === labels[image] ? 1 : 0), 0);
    if (this.losses || !this.course.length) {
      this.course.push({ step: this.steps, loss: this.losses ? this.summed / this.losses : NaN, accuracy: right / labels.length });
      [this.summed, this.losses] = [0, 0];
    }
    const kept = this.masks.map(masks.count);
    const biases = this.training?.network.biases ?? null;
    /** @type {(drawn: Uint8Array) => Float64Array} */
    const outputs = (drawn) => activations(layers, this.weights, biases, Float64Array.from(drawn, (pixel) => pixel / 255))[layers.length - 1];
    return {
      reading: { found, right, kept, remaining: total(this.masks) / this.size, drawn: 0 },
      plane: this.plane(setting, layer),
      view: maskView(layers[0], this.masks[0], this.weights[0], unit),
      difference: null,
      own: own && outputs(own),
      mine: Uint8Array.from(mine, (drawn) => largest(outputs(drawn))),
      flow: flowOf(
        layers,
        this.sample,
        { weights: this.weights, masks: this.masks, initial: this.initial, final: this.shownFinal() },
        biases,
        pixelsOf(this.manifest, this.pixels, own, shown),
      ),
      wanted: masks.countsAt(levels, setting.level).reduce((sum, each) => sum + each, 0),
    };
  }

  /** What the plane shows upward: weights now, or probabilities of being kept, from -1 (never) to 1 (always). */
  shownFinal() {
    return this.learning?.chances.map((layer) => Float32Array.from(layer, (chance) => 2 * chance - 1)) ?? this.weights;
  }

  /**
   * Initial weights against weights now; or, where a mask is learned, against the probability of being kept.
   * @param {Setting} setting
   * @param {number} layer
   * @returns {Plane}
   */
  plane(setting, layer) {
    const { reach_initial: reachInitial, reach_final: reachFinal } = this.manifest.seeds[this.recipe.seed];
    const mask = this.masks[layer];
    const chances = this.learning?.chances[layer];
    const final = this.shownFinal()[layer];
    const bins = masks.planeBins(this.initial[layer], final, reachInitial[layer], chances ? 1 : reachFinal[layer]);
    const all = new Uint32Array(masks.BINS ** 2);
    const kept = new Uint32Array(masks.BINS ** 2);
    for (let at = 0; at < bins.length; at++) {
      all[bins[at]]++;
      kept[bins[at]] += mask[at];
    }
    if (chances || setting.source !== "criterion") return { all, kept, threshold: chances ? Infinity : NaN, sorted: UNSORTED };
    const { scores, sorted } = this.scores(setting, layer, mask);
    const count = masks.countsAt(this.manifest.levels, setting.level)[layer];
    const living = scores.filter((score) => !Number.isNaN(score)).sort();
    return { all, kept, threshold: count < living.length ? living[living.length - 1 - count] : -Infinity, sorted };
  }
}

/** @type {(chosen: Uint8Array[]) => number} */
const total = (chosen) => chosen.reduce((sum, mask) => sum + masks.count(mask), 0);
