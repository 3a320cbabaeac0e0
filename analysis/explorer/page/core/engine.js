/** From a setting to masks, weights and what the network reads: everything the page shows, without the page. */

import { setWeights } from "./actions.js";
import { criterionOf, scoreLayer, sortedMagnitudes } from "./criteria.js";
import { flowOf, pixelsOf, sampleOf } from "./flow.js";
import * as masks from "./masks.js";
import { Network, activations } from "./network.js";
import { PURPOSE, deriveKey, foldIn, randomBits } from "./random.js";

/** @typedef {import("./actions.js").Kept} Kept */
/** @typedef {import("./actions.js").Pruned} Pruned */
/** @typedef {import("./bundle.js").Manifest} Manifest */
/** @typedef {import("./bundle.js").SeedWeights} SeedWeights */
/** @typedef {import("./criteria.js").Sorted} Sorted */

/**
 * One network: which mask, on which values.
 * @typedef {object} Setting
 * @property {number} seed its place in the bundle
 * @property {"criterion" | "round" | "painted"} source of the mask
 * @property {string} criterion
 * @property {number} level in quarters of a step, 0 to 4 × (levels - 1)
 * @property {number} round of iterative pruning
 * @property {Uint8Array} region painted: masks.CELLS × masks.CELLS
 * @property {Kept} kept
 * @property {boolean} signs kept weights have the sign that they started with
 * @property {Pruned} pruned
 * @property {boolean[]} flipped layers whose signs are all turned round
 */

/**
 * @typedef {object} Reading
 * @property {Uint8Array} found the class read in every image
 * @property {number} right how many of them
 * @property {number[]} kept weights of every layer
 * @property {number} remaining fraction of all weights
 * @property {number} drawn fraction of all weights that are kept by a random draw, though the criterion is not about them
 */

/**
 * @typedef {object} Plane
 * @property {Uint32Array} all weights in every bin
 * @property {Uint32Array} kept
 * @property {number} threshold the highest score that is pruned; NaN where the mask is not a criterion's
 * @property {Sorted} sorted the layer's magnitudes; empty where the criterion does not look at them
 */

/**
 * How another mask differs from this one.
 * @typedef {object} Difference
 * @property {Uint16Array} onlyHere weights of every input pixel that this mask alone keeps
 * @property {Uint16Array} onlyThere
 * @property {{here: number, there: number, both: number, size: number}[]} layers
 */

/**
 * What the toolkit's random bits say of one layer, and what is made of its weights once.
 * @typedef {object} LayerData
 * @property {Float32Array} initial
 * @property {Float32Array} final
 * @property {Uint8Array} lastRound
 * @property {Float32Array} fresh
 * @property {number} constant
 * @property {Sorted | undefined} sorted the layer's magnitudes, once a criterion has looked at them
 * @property {Uint32Array} bits
 * @property {Uint32Array} byBits
 * @property {Uint32Array} ties
 * @property {Uint16Array} bins
 * @property {Uint32Array} density
 * @property {Map<string, Int32Array>} ranks by criterion
 */

/** @type {Sorted} */
const UNSORTED = { initial: new Float32Array(0), final: new Float32Array(0) };

export class Engine {
  /**
   * @param {Manifest} manifest
   * @param {Uint8Array} images
   * @param {SeedWeights[]} seeds of all seeds, in the manifest's order
   */
  constructor(manifest, images, seeds) {
    this.manifest = manifest;
    this.seeds = seeds;
    /** @type {LayerData[][]} */
    this.data = seeds.map(() => []);
    const largest = Math.max(
      ...seeds.map((seed) => seed.initial[0].reduce((most, w) => Math.max(most, Math.abs(w)), 0)),
      ...manifest.seeds.map((entry) => entry.constant[0]),
    );
    this.images = images;
    this.sample = sampleOf(manifest.layers);
    this.network = new Network(manifest.layers, images, manifest.image.maximum, largest);
  }

  /**
   * @param {number} seed its place
   * @param {number} layer
   * @returns {LayerData}
   */
  layer(seed, layer) {
    return (this.data[seed][layer] ??= this.prepare(seed, layer));
  }

  /**
   * @param {number} seed
   * @param {number} layer
   * @returns {LayerData}
   */
  prepare(seed, layer) {
    const entry = this.manifest.seeds[seed];
    const initial = this.seeds[seed].initial[layer];
    const final = this.seeds[seed].final[layer];
    /** @type {(purpose: number) => Uint32Array} */
    const draw = (purpose) => randomBits(foldIn(deriveKey(entry.seed, purpose), layer), initial.length);
    const bits = draw(PURPOSE.KEPT_VALUES);
    const bins = masks.planeBins(initial, final, entry.reach_initial[layer], entry.reach_final[layer]);
    const density = new Uint32Array(masks.BINS ** 2);
    for (const bin of bins) density[bin]++;
    return {
      initial,
      final,
      lastRound: this.seeds[seed].lastRound[layer],
      // A new draw from the initial distribution: what another seed started with.
      fresh: this.seeds[(seed + 1) % this.seeds.length].initial[layer],
      constant: Math.fround(entry.constant[layer]),
      sorted: undefined,
      bits,
      byBits: masks.tieOrder(bits),
      ties: masks.tieOrder(draw(PURPOSE.TIES)),
      bins,
      density,
      ranks: new Map(),
    };
  }

  /**
   * The layer's magnitudes in order, for a criterion that goes by ranks; nothing for the others, which is quick to send.
   * @param {Setting} setting
   * @param {number} layer
   * @returns {Sorted}
   */
  sorted(setting, layer) {
    if (setting.source !== "criterion" || !criterionOf(setting.criterion).byRank) return UNSORTED;
    const data = this.layer(setting.seed, layer);
    return (data.sorted ??= sortedMagnitudes(data.initial, data.final));
  }

  /**
   * @param {Setting} setting
   * @param {number} layer
   * @returns {Int32Array} the layer's ranks by the setting's criterion
   */
  ranks(setting, layer) {
    const data = this.layer(setting.seed, layer);
    let places = data.ranks.get(setting.criterion);
    if (!places) {
      const scores = scoreLayer(criterionOf(setting.criterion), data.initial, data.final, this.sorted(setting, layer));
      places = masks.ranks(scores, data.ties);
      data.ranks.set(setting.criterion, places);
    }
    return places;
  }

  /**
   * The masks of all layers.
   * @param {Setting} setting
   * @returns {Uint8Array[]}
   */
  masks(setting) {
    const counts = masks.countsAt(this.manifest.levels, setting.level);
    return this.manifest.layers.map((_, layer) => {
      if (setting.source === "criterion") return masks.keepBest(this.ranks(setting, layer), counts[layer]);
      const data = this.layer(setting.seed, layer);
      if (setting.source === "round") return masks.keepRound(data.lastRound, setting.round);
      return masks.keepPainted(data.bins, setting.region);
    });
  }

  /**
   * The weights of all layers under their masks.
   * @param {Setting} setting
   * @param {Uint8Array[]} [chosen] the setting's masks
   * @returns {Float32Array[]}
   */
  weights(setting, chosen = this.masks(setting)) {
    return chosen.map((mask, layer) => {
      const facts = this.layer(setting.seed, layer);
      return setWeights(facts, mask, setting.kept, setting.signs, setting.pruned, setting.flipped[layer]);
    });
  }

  /**
   * What the network reads in every image of the bundle.
   * @param {Setting} setting
   * @param {Uint8Array[]} [chosen] the setting's masks
   * @param {Float32Array[]} [weights] the setting's weights
   * @returns {Reading}
   */
  read(setting, chosen = this.masks(setting), weights = this.weights(setting, chosen)) {
    const found = this.network.predict(weights);
    const kept = chosen.map(masks.count);
    const drawn = this.drawn(setting, chosen);
    const size = chosen.reduce((total, mask) => total + mask.length, 0);
    return {
      found,
      right: found.reduce((right, c, image) => right + (c === this.manifest.labels[image] ? 1 : 0), 0),
      kept,
      remaining: kept.reduce((total, each) => total + each, 0) / size,
      drawn: drawn / size,
    };
  }

  /**
   * How many kept weights a criterion is not about: a random draw has chosen them.
   * @param {Setting} setting
   * @param {Uint8Array[]} chosen
   * @returns {number}
   */
  drawn(setting, chosen) {
    const { meant } = criterionOf(setting.criterion);
    if (setting.source !== "criterion" || !meant) return 0;
    let drawn = 0;
    chosen.forEach((mask, layer) => {
      const { initial, final } = this.layer(setting.seed, layer);
      for (let index = 0; index < mask.length; index++) if (mask[index] && !meant(initial[index], final[index])) drawn++;
    });
    return drawn;
  }

  /**
   * The network's outputs for an image of one's own.
   * @param {Float32Array[]} weights
   * @param {Uint8Array} pixels
   * @returns {Float64Array}
   */
  readOwn(weights, pixels) {
    const image = Float64Array.from(pixels, (pixel) => pixel / 255);
    return activations(this.manifest.layers, weights, null, image)[this.manifest.layers.length - 1];
  }

  /**
   * A digit of one's own, or else a test image, on its way through the network.
   * @param {Setting} setting
   * @param {Uint8Array[]} masks
   * @param {Float32Array[]} weights
   * @param {Uint8Array | null} own
   * @param {number} image
   * @returns {import("./flow.js").Flow}
   */
  flow(setting, masks, weights, own, image) {
    const { initial, final } = this.seeds[setting.seed];
    const pixels = pixelsOf(this.manifest, this.images, own, image);
    return flowOf(this.manifest.layers, this.sample, { weights, masks, initial, final }, null, pixels);
  }

  /**
   * The plane of initial and final weights of one layer.
   * @param {Setting} setting
   * @param {number} layer
   * @param {Uint8Array} mask the layer's
   * @returns {Plane}
   */
  plane(setting, layer, mask) {
    const data = this.layer(setting.seed, layer);
    const kept = new Uint32Array(data.density.length);
    for (let index = 0; index < mask.length; index++) kept[data.bins[index]] += mask[index];
    return { all: data.density, kept, threshold: this.threshold(setting, layer), sorted: this.sorted(setting, layer) };
  }

  /**
   * The highest score of the layer that is pruned: a weight is in the criterion's region where it scores more.
   * @param {Setting} setting
   * @param {number} layer
   * @returns {number}
   */
  threshold(setting, layer) {
    if (setting.source !== "criterion") return NaN;
    const data = this.layer(setting.seed, layer);
    const count = masks.countsAt(this.manifest.levels, setting.level)[layer];
    const best = this.ranks(setting, layer).indexOf(count);
    if (best < 0) return -Infinity;
    return criterionOf(setting.criterion).score(data.initial[best], data.final[best], this.sorted(setting, layer));
  }

  /**
   * The level at which a criterion's boundary is nearest to a point of the plane.
   * @param {Setting} setting
   * @param {number} layer
   * @param {number} initial
   * @param {number} final
   * @returns {number} in quarters of a step
   */
  levelAt(setting, layer, initial, final) {
    const data = this.layer(setting.seed, layer);
    const score = criterionOf(setting.criterion).score;
    const sorted = this.sorted(setting, layer);
    const here = score(Math.fround(initial), Math.fround(final), sorted);
    let above = 0;
    for (let index = 0; index < data.initial.length; index++) {
      if (score(data.initial[index], data.final[index], sorted) >= here) above++;
    }
    const { levels } = this.manifest;
    let best = 0;
    let distance = Infinity;
    for (let quarters = 0; quarters <= 4 * (levels.length - 1); quarters++) {
      const ratio = Math.abs(Math.log(masks.countsAt(levels, quarters)[layer] / Math.max(above, 1)));
      if (ratio < distance) [best, distance] = [quarters, ratio];
    }
    return best;
  }

  /**
   * @param {Uint8Array[]} here
   * @param {Uint8Array[]} there
   * @returns {Difference}
   */
  difference(here, there) {
    const { inputs, outputs } = this.manifest.layers[0];
    const onlyHere = new Uint16Array(inputs);
    const onlyThere = new Uint16Array(inputs);
    for (let index = 0; index < here[0].length; index++) {
      const pixel = Math.floor(index / outputs);
      if (here[0][index] > there[0][index]) onlyHere[pixel]++;
      if (here[0][index] < there[0][index]) onlyThere[pixel]++;
    }
    const layers = here.map((mask, layer) => ({
      here: masks.count(mask),
      there: masks.count(there[layer]),
      both: mask.reduce((both, kept, index) => both + (kept & there[layer][index]), 0),
      size: mask.length,
    }));
    return { onlyHere, onlyThere, layers };
  }
}
