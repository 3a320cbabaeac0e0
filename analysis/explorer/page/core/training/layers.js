/**
 * A dense layer in two forms: with all its weights, and with its live ones alone. Both read a `Batch`, which lists the
 * inputs that are not 0: four pixels of five are 0, and half the units after a ReLU. Weights are stored input by input,
 * outputs unit by unit with the images of the batch innermost, `width` of them to a unit.
 *
 * The loops are written out eight at a time, because that is twice as fast: sums then stay in registers.
 */

/** @typedef {import("./batches.js").Batch} Batch */

/** All weights: for many live weights, and for pruned weights that are frozen at other values than 0. */
export class DenseLayer {
  /**
   * @param {Float64Array} weights input by input
   * @param {number} units
   * @param {number} width
   */
  constructor(weights, units, width) {
    this.weights = weights;
    this.gradient = new Float64Array(weights.length);
    this.units = units;
    this.width = width;
    this.rows = weights.length / units;
    this.sums = new Float64Array(units);
    /** Gradients of the outputs, image by image. */
    this.byImage = new Float64Array(units * width);
  }

  /**
   * @param {Batch} batch
   * @param {Float64Array} outputs
   */
  forward({ size, from, row, ink }, outputs) {
    const { units, width, sums, weights } = this;
    for (let image = 0; image < size; image++) {
      sums.fill(0);
      addRows(sums, weights, units, row, ink, from[image], from[image + 1]);
      for (let unit = 0; unit < units; unit++) outputs[unit * width + image] = sums[unit];
    }
  }

  /**
   * Fills `gradient`, and the gradient of every input that is not 0 where that is wanted.
   * @param {Batch} batch
   * @param {Float64Array} slopes of the outputs
   * @param {Float64Array | null} back an entry of the batch each
   */
  backward({ size, start, image, value }, slopes, back) {
    const { gradient, units, width, rows, sums, byImage, weights } = this;
    for (let unit = 0; unit < units; unit++) {
      for (let at = 0; at < size; at++) byImage[at * units + unit] = slopes[unit * width + at];
    }
    for (let row = 0; row < rows; row++) {
      const place = row * units;
      if (start[row] === start[row + 1]) {
        gradient.fill(0, place, place + units);
        continue;
      }
      sums.fill(0);
      addRows(sums, byImage, units, image, value, start[row], start[row + 1]);
      for (let unit = 0; unit < units; unit++) gradient[place + unit] = sums[unit];
      if (!back) continue;
      for (let entry = start[row]; entry < start[row + 1]; entry++) back[entry] = product(weights, place, byImage, image[entry] * units, units);
    }
  }
}

/**
 * Adds rows of a matrix, each times a factor.
 * @param {Float64Array} sums
 * @param {Float64Array} matrix
 * @param {number} units of a row
 * @param {Int32Array} row which rows: those of the entries
 * @param {Float64Array} factor
 * @param {number} first entry
 * @param {number} end
 */
function addRows(sums, matrix, units, row, factor, first, end) {
  let at = first;
  for (; at + 7 < end; at += 8) {
    const a = row[at] * units;
    const b = row[at + 1] * units;
    const c = row[at + 2] * units;
    const d = row[at + 3] * units;
    const e = row[at + 4] * units;
    const f = row[at + 5] * units;
    const g = row[at + 6] * units;
    const h = row[at + 7] * units;
    const fa = factor[at];
    const fb = factor[at + 1];
    const fc = factor[at + 2];
    const fd = factor[at + 3];
    const fe = factor[at + 4];
    const ff = factor[at + 5];
    const fg = factor[at + 6];
    const fh = factor[at + 7];
    for (let unit = 0; unit < units; unit++) {
      sums[unit] +=
        fa * matrix[a + unit] + fb * matrix[b + unit] + (fc * matrix[c + unit] + fd * matrix[d + unit]) +
        (fe * matrix[e + unit] + ff * matrix[f + unit] + (fg * matrix[g + unit] + fh * matrix[h + unit]));
    }
  }
  for (; at + 1 < end; at += 2) {
    const a = row[at] * units;
    const b = row[at + 1] * units;
    const fa = factor[at];
    const fb = factor[at + 1];
    for (let unit = 0; unit < units; unit++) sums[unit] += fa * matrix[a + unit] + fb * matrix[b + unit];
  }
  if (at < end) {
    const a = row[at] * units;
    const fa = factor[at];
    for (let unit = 0; unit < units; unit++) sums[unit] += fa * matrix[a + unit];
  }
}

/**
 * The inner product of two rows.
 * @param {Float64Array} one
 * @param {number} a where its row begins
 * @param {Float64Array} other
 * @param {number} b
 * @param {number} units
 * @returns {number}
 */
function product(one, a, other, b, units) {
  let s = 0;
  let t = 0;
  let u = 0;
  let v = 0;
  let at = 0;
  for (; at + 3 < units; at += 4) {
    s += one[a + at] * other[b + at];
    t += one[a + at + 1] * other[b + at + 1];
    u += one[a + at + 2] * other[b + at + 2];
    v += one[a + at + 3] * other[b + at + 3];
  }
  for (; at < units; at++) s += one[a + at] * other[b + at];
  return s + t + (u + v);
}

/** Live weights alone, unit by unit that they feed, so that all sums of a unit stay in the nearest cache. */
export class SparseLayer {
  /**
   * @param {Float64Array} weights
   * @param {Int32Array} input row of each weight
   * @param {Int32Array} start where a unit's weights begin
   * @param {number} width
   */
  constructor(weights, input, start, width) {
    this.weights = weights;
    this.gradient = new Float64Array(weights.length);
    this.input = input;
    this.own = start;
    this.width = width;
    this.sums = new Float64Array(width);
  }

  /**
   * @param {Batch} batch
   * @param {Float64Array} outputs
   */
  forward({ size, start, image, value }, outputs) {
    const { weights, input, own, width, sums } = this;
    for (let unit = 0; unit + 1 < own.length; unit++) {
      sums.fill(0);
      for (let at = own[unit]; at < own[unit + 1]; at++) {
        const weight = weights[at];
        const end = start[input[at] + 1];
        for (let entry = start[input[at]]; entry < end; entry++) sums[image[entry]] += weight * value[entry];
      }
      const place = unit * width;
      for (let at = 0; at < size; at++) outputs[place + at] = sums[at];
    }
  }

  /**
   * Fills `gradient`, and the gradient of every input that is not 0 where that is wanted.
   * @param {Batch} batch
   * @param {Float64Array} slopes of the outputs
   * @param {Float64Array | null} back an entry of the batch each
   */
  backward({ size, start, image, value }, slopes, back) {
    const { weights, gradient, input, own, width, sums } = this;
    back?.fill(0);
    for (let unit = 0; unit + 1 < own.length; unit++) {
      const place = unit * width;
      for (let at = 0; at < size; at++) sums[at] = slopes[place + at];
      for (let at = own[unit]; at < own[unit + 1]; at++) {
        const end = start[input[at] + 1];
        let sum = 0;
        for (let entry = start[input[at]]; entry < end; entry++) sum += sums[image[entry]] * value[entry];
        gradient[at] = sum;
        if (!back) continue;
        const weight = weights[at];
        for (let entry = start[input[at]]; entry < end; entry++) back[entry] += sums[image[entry]] * weight;
      }
    }
  }
}
