/**
 * The fully connected network on many images at once, fast enough to follow a finger.
 *
 * The first layer holds nearly all weights. Its sums are kept from one set of weights to the next, and only what changed
 * is added or taken away. Pixels are whole numbers and weights are rounded to a fixed fraction finer than a float32 (see
 * `unit`), so that every sum is a whole number below 2^53 and exact: an updated sum equals a fresh one to the bit, and a
 * unit that lost all its weights is exactly 0. The other layers are summed anew in float64.
 */

/**
 * @typedef {object} Shape
 * @property {string} name
 * @property {number} inputs
 * @property {number} outputs
 */

/** A first layer: the sums of every unit for every image. */
export class FirstLayer {
  /**
   * @param {Uint8Array} images pixels, image by image
   * @param {number} pixels of an image
   * @param {number} outputs units of the layer
   * @param {number} largest the largest magnitude a weight can have
   */
  constructor(images, pixels, outputs, largest) {
    this.pixels = pixels;
    this.outputs = outputs;
    this.images = images.length / pixels;
    this.unit = unit(pixels, largest);
    /** Sums in units of `unit` × one step of a pixel; unit by unit, then image by image. */
    this.sums = new Float64Array(outputs * this.images);
    this.weights = new Float64Array(pixels * outputs);
    this.changes = new Int32Array(pixels * outputs);
    // The images in which a pixel is not 0, pixel by pixel: most pixels of most digits are.
    this.start = new Int32Array(pixels + 1);
    for (let at = 0; at < images.length; at++) if (images[at]) this.start[(at % pixels) + 1]++;
    for (let pixel = 0; pixel < pixels; pixel++) this.start[pixel + 1] += this.start[pixel];
    this.image = new Int32Array(this.start[pixels]);
    this.value = new Float64Array(this.start[pixels]);
    const next = this.start.slice();
    for (let at = 0; at < images.length; at++) {
      if (!images[at]) continue;
      const place = next[at % pixels]++;
      this.image[place] = Math.floor(at / pixels);
      this.value[place] = images[at];
    }
  }

  /**
   * Takes new weights and brings the sums up to date.
   * @param {Float32Array} weights input by input
   */
  update(weights) {
    let changed = this.findChanges(weights);
    if (changed.count > changed.nonzero) {
      this.sums.fill(0);
      this.weights.fill(0);
      changed = this.findChanges(weights);
    }
    const { pixels, outputs, images, start, image, value, sums, changes, unit } = this;
    let at = 0;
    for (let pixel = 0; pixel < pixels; pixel++) {
      const first = start[pixel];
      const end = start[pixel + 1];
      const stop = (pixel + 1) * outputs;
      for (; at < changed.count && changes[at] < stop; at++) {
        const index = changes[at];
        const whole = wholeUnits(weights[index], unit);
        const step = whole - this.weights[index];
        this.weights[index] = whole;
        const row = (index - pixel * outputs) * images;
        for (let place = first; place < end; place++) sums[row + image[place]] += step * value[place];
      }
    }
  }

  /**
   * @param {Float32Array} weights
   * @returns {{count: number, nonzero: number}} how many weights changed, listed in `changes`, and how many are not 0
   */
  findChanges(weights) {
    const { changes, unit } = this;
    const old = this.weights;
    let count = 0;
    let nonzero = 0;
    for (let index = 0; index < weights.length; index++) {
      const whole = wholeUnits(weights[index], unit);
      if (whole !== 0) nonzero++;
      if (whole !== old[index]) changes[count++] = index;
    }
    return { count, nonzero };
  }
}

/**
 * The fixed fraction that weights of the first layer are rounded to: a power of two, as small as leaves any sum below
 * 2^53. With 28×28 images and weights up to 0.1 it is 2^-37, a hundredth of a float32's step at 0.01.
 * @param {number} pixels
 * @param {number} largest
 * @returns {number}
 */
function unit(pixels, largest) {
  return 2 ** (Math.ceil(Math.log2(pixels * 255 * largest)) - 52);
}

const MAGIC = 1.5 * 2 ** 52;

/** @type {(weight: number, unit: number) => number} the nearest whole number of units */
const wholeUnits = (weight, unit) => weight / unit + MAGIC - MAGIC;

/** The whole network on one set of images. */
export class Network {
  /**
   * @param {readonly Shape[]} shapes
   * @param {Uint8Array} images
   * @param {number} maximum of a pixel
   * @param {number} largest the largest magnitude a weight of the first layer can have
   */
  constructor(shapes, images, maximum, largest) {
    this.shapes = shapes;
    this.first = new FirstLayer(images, shapes[0].inputs, shapes[0].outputs, largest);
    this.images = this.first.images;
    this.maximum = maximum;
    this.activations = shapes.map((shape) => new Float64Array(shape.outputs * this.images));
  }

  /**
   * The class that the network reads in every image: that of the largest output, the first of equal ones (see `TIE`).
   * @param {readonly Float32Array[]} weights of every layer
   * @returns {Uint8Array}
   */
  predict(weights) {
    const { shapes, activations, images, first } = this;
    first.update(weights[0]);
    const scale = first.unit / this.maximum;
    const last = shapes.length - 1;
    for (let index = 0; index < first.sums.length; index++) {
      const sum = first.sums[index];
      activations[0][index] = sum > 0 || last === 0 ? sum * scale : 0;
    }
    for (let layer = 1; layer <= last; layer++) {
      denseLayer(activations[layer - 1], weights[layer], shapes[layer], images, activations[layer], layer < last);
    }
    return readings(activations[last], shapes[last].outputs, images);
  }
}

/**
 * Outputs that are closer than this part of the largest of all count as equal. A sparse network of constants has many
 * that are equal but for rounding, and which of them comes out largest says something of the order of a sum only.
 */
const TIE = 2 ** -18;

/**
 * @param {Float64Array} outputs class by class, then image by image
 * @param {number} classes
 * @param {number} images
 * @returns {Uint8Array} the class of the largest output, or the first of those that count as equal to it
 */
function readings(outputs, classes, images) {
  let scale = 0;
  for (let index = 0; index < outputs.length; index++) scale = Math.max(scale, Math.abs(outputs[index]));
  const found = new Uint8Array(images);
  for (let image = 0; image < images; image++) {
    let most = -Infinity;
    for (let c = 0; c < classes; c++) most = Math.max(most, outputs[c * images + image]);
    while (outputs[found[image] * images + image] < most - TIE * scale) found[image]++;
  }
  return found;
}

/**
 * One dense layer without biases (those of an untrained network are 0).
 * @param {Float64Array} inputs unit by unit, then image by image; so are the outputs
 * @param {Float32Array} weights
 * @param {Shape} shape
 * @param {number} images
 * @param {Float64Array} outputs
 * @param {boolean} relu
 */
function denseLayer(inputs, weights, shape, images, outputs, relu) {
  let nonzero = 0;
  for (let index = 0; index < weights.length; index++) if (weights[index] !== 0) nonzero++;
  // Few weights: skip those that are 0. Many: skip inputs that are 0, about half of them after a ReLU.
  if (2 * nonzero < weights.length) byWeight(inputs, weights, shape, images, outputs);
  else byInput(inputs, weights, shape, images, outputs);
  if (relu) for (let index = 0; index < outputs.length; index++) if (outputs[index] < 0) outputs[index] = 0;
}

/**
 * Unit by unit, four kept weights at a time over all images.
 * @param {Float64Array} inputs
 * @param {Float32Array} weights
 * @param {Shape} shape
 * @param {number} images
 * @param {Float64Array} outputs
 */
function byWeight(inputs, weights, shape, images, outputs) {
  const rows = new Int32Array(shape.inputs + 3);
  for (let unit = 0; unit < shape.outputs; unit++) {
    let kept = 0;
    for (let input = 0; input < shape.inputs; input++) {
      if (weights[input * shape.outputs + unit] !== 0) rows[kept++] = input;
    }
    const sums = outputs.subarray(unit * images, (unit + 1) * images);
    sums.fill(0);
    for (let at = 0; at < kept; at += 4) {
      const [a, b, c, d] = [rows[at], rows[at + 1], rows[at + 2], rows[at + 3]];
      const wa = weights[a * shape.outputs + unit];
      const wb = at + 1 < kept ? weights[b * shape.outputs + unit] : 0;
      const wc = at + 2 < kept ? weights[c * shape.outputs + unit] : 0;
      const wd = at + 3 < kept ? weights[d * shape.outputs + unit] : 0;
      const [ia, ib, ic, id] = [a * images, b * images, c * images, d * images];
      for (let i = 0; i < images; i++) {
        sums[i] += wa * inputs[ia + i] + wb * inputs[ib + i] + wc * inputs[ic + i] + wd * inputs[id + i];
      }
    }
  }
}

/**
 * Image by image, four inputs that are not 0 at a time over all units.
 * @param {Float64Array} inputs
 * @param {Float32Array} weights
 * @param {Shape} shape
 * @param {number} images
 * @param {Float64Array} outputs
 */
function byInput(inputs, weights, shape, images, outputs) {
  const units = shape.outputs;
  const wide = Float64Array.from(weights);
  const sums = new Float64Array(units);
  const rows = new Int32Array(shape.inputs + 3);
  const values = new Float64Array(shape.inputs + 3);
  for (let image = 0; image < images; image++) {
    let active = 0;
    for (let input = 0; input < shape.inputs; input++) {
      const value = inputs[input * images + image];
      if (value === 0) continue;
      rows[active] = input * units;
      values[active++] = value;
    }
    for (let extra = active; extra < active + 3; extra++) values[extra] = 0;
    sums.fill(0);
    for (let at = 0; at < active; at += 4) {
      const [a, b, c, d] = [rows[at], rows[at + 1], rows[at + 2], rows[at + 3]];
      const [va, vb, vc, vd] = [values[at], values[at + 1], values[at + 2], values[at + 3]];
      for (let unit = 0; unit < units; unit++) {
        sums[unit] += va * wide[a + unit] + vb * wide[b + unit] + vc * wide[c + unit] + vd * wide[d + unit];
      }
    }
    for (let unit = 0; unit < units; unit++) outputs[unit * images + image] = sums[unit];
  }
}

/**
 * What every unit puts out for one image of any brightness from 0 to 1, layer by layer; the network's outputs come last.
 * @param {readonly Shape[]} shapes
 * @param {readonly Float32Array[]} weights
 * @param {readonly ArrayLike<number>[] | null} biases null where all are 0
 * @param {Float64Array} image
 * @returns {Float64Array[]}
 */
export function activations(shapes, weights, biases, image) {
  let values = image;
  return shapes.map((shape, layer) => {
    const sums = biases ? Float64Array.from(biases[layer]) : new Float64Array(shape.outputs);
    for (let input = 0; input < shape.inputs; input++) {
      const value = values[input];
      if (value === 0) continue;
      const row = input * shape.outputs;
      for (let unit = 0; unit < shape.outputs; unit++) sums[unit] += value * weights[layer][row + unit];
    }
    return (values = layer < shapes.length - 1 ? sums.map((sum) => Math.max(sum, 0)) : sums);
  });
}

/** @type {(outputs: Float64Array) => number} the class of the largest output */
export const largest = (outputs) => outputs.indexOf(Math.max(...outputs));
