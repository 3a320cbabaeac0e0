/**
 * A dense layer in two forms: with all its weights, and with its live ones alone. Both read a `Batch`, which lists the
 * inputs that are not 0: four pixels of five are 0, and half the units after a ReLU. Weights are stored input by input.
 * Outputs and their gradients lie as each form reads them: image by image for all weights, whose inner loop is over units;
 * unit by unit for live ones, whose inner loop is over the images of a unit. Neighbours in memory cost a quarter of what
 * places far apart do. `Steps` tells where they are.
 *
 * The loops are written out four or eight at a time, because that is twice as fast: sums then stay in registers, and
 * what is looked up is looked up once for several images.
 */

/** @typedef {import("./batches.js").Batch} Batch */

/**
 * Where a layer's outputs lie, and their gradients: an image and a unit on.
 * @typedef {{image: number, unit: number}} Steps
 */

/** All weights: for many live weights, and for pruned weights that are frozen at other values than 0. */
export class DenseLayer {
  /**
   * @param {Float64Array} weights input by input
   * @param {number} units
   */
  constructor(weights, units) {
    this.weights = weights;
    this.gradient = new Float64Array(weights.length);
    this.units = units;
    this.rows = weights.length / units;
    this.sums = new Float64Array(units);
    /** @type {Steps} */
    this.steps = { image: units, unit: 1 };
  }

  /**
   * @param {Batch} batch
   * @param {Float64Array} outputs image by image
   */
  forward({ size, from, row, ink }, outputs) {
    const { units, sums, weights } = this;
    for (let image = 0; image < size; image++) {
      sums.fill(0);
      addRows(sums, weights, units, row, ink, from[image], from[image + 1]);
      outputs.set(sums, image * units);
    }
  }

  /**
   * Fills `gradient`, and the gradient of every input that is not 0 where that is wanted.
   * @param {Batch} batch
   * @param {Float64Array} slopes of the outputs, image by image
   * @param {Float64Array | null} back an entry of the batch each
   */
  backward({ start, image, value }, slopes, back) {
    const { gradient, units, rows, sums } = this;
    for (let row = 0; row < rows; row++) {
      sums.fill(0);
      if (back) this.throughRow(row * units, slopes, image, value, back, start[row], start[row + 1]);
      else addRows(sums, slopes, units, image, value, start[row], start[row + 1]);
      gradient.set(sums, row * units);
    }
  }

  /**
   * One input's share: adds to `sums` what its weights' gradients are, and fills its own gradient, four images at a time.
   * @param {number} place where its weights begin
   * @param {Float64Array} slopes of the outputs, image by image
   * @param {Uint16Array} image of an entry
   * @param {Float64Array} value of an entry
   * @param {Float64Array} back
   * @param {number} first entry
   * @param {number} end
   */
  throughRow(place, slopes, image, value, back, first, end) {
    const { units, sums, weights } = this;
    let at = first;
    for (; at + 3 < end; at += 4) {
      const a = image[at] * units;
      const b = image[at + 1] * units;
      const c = image[at + 2] * units;
      const d = image[at + 3] * units;
      const va = value[at];
      const vb = value[at + 1];
      const vc = value[at + 2];
      const vd = value[at + 3];
      let ba = 0;
      let bb = 0;
      let bc = 0;
      let bd = 0;
      for (let unit = 0; unit < units; unit++) {
        const weight = weights[place + unit];
        const sa = slopes[a + unit];
        const sb = slopes[b + unit];
        const sc = slopes[c + unit];
        const sd = slopes[d + unit];
        sums[unit] += va * sa + vb * sb + (vc * sc + vd * sd);
        ba += weight * sa;
        bb += weight * sb;
        bc += weight * sc;
        bd += weight * sd;
      }
      back[at] = ba;
      back[at + 1] = bb;
      back[at + 2] = bc;
      back[at + 3] = bd;
    }
    for (; at < end; at++) {
      const a = image[at] * units;
      const factor = value[at];
      let sum = 0;
      for (let unit = 0; unit < units; unit++) {
        sums[unit] += factor * slopes[a + unit];
        sum += weights[place + unit] * slopes[a + unit];
      }
      back[at] = sum;
    }
  }
}

/**
 * Adds rows of a matrix, each times a factor.
 * @param {Float64Array} sums
 * @param {Float64Array} matrix
 * @param {number} units of a row
 * @param {Uint16Array} row which rows: those of the entries
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

/** Live weights alone, input by input: each input's weights go through all images that it is not 0 in. */
export class SparseLayer {
  /**
   * @param {Float64Array} weights
   * @param {Int32Array} unit that each weight feeds
   * @param {Int32Array} first where an input's weights begin
   * @param {number} width images that there is room for
   */
  constructor(weights, unit, first, width) {
    this.weights = weights;
    this.gradient = new Float64Array(weights.length);
    /** Where the outputs begin of the unit that a weight feeds. */
    this.place = unit.map((each) => each * width);
    this.first = first;
    /** @type {Steps} */
    this.steps = { image: 1, unit: width };
  }

  /**
   * @param {Batch} batch
   * @param {Float64Array} outputs unit by unit
   */
  forward({ start, image, value }, outputs) {
    const { weights, place, first } = this;
    outputs.fill(0);
    for (let row = 0; row + 1 < first.length; row++) {
      const from = first[row];
      const to = first[row + 1];
      const end = start[row + 1];
      if (from === to) continue;
      let entry = start[row];
      for (; entry + 3 < end; entry += 4) {
        const a = image[entry];
        const b = image[entry + 1];
        const c = image[entry + 2];
        const d = image[entry + 3];
        const va = value[entry];
        const vb = value[entry + 1];
        const vc = value[entry + 2];
        const vd = value[entry + 3];
        for (let at = from; at < to; at++) {
          const fed = place[at];
          const weight = weights[at];
          outputs[a + fed] += weight * va;
          outputs[b + fed] += weight * vb;
          outputs[c + fed] += weight * vc;
          outputs[d + fed] += weight * vd;
        }
      }
      for (; entry < end; entry++) {
        const a = image[entry];
        const factor = value[entry];
        for (let at = from; at < to; at++) outputs[a + place[at]] += weights[at] * factor;
      }
    }
  }

  /**
   * Fills `gradient`, and the gradient of every input that is not 0 where that is wanted.
   * @param {Batch} batch
   * @param {Float64Array} slopes of the outputs, unit by unit
   * @param {Float64Array | null} back an entry of the batch each
   */
  backward({ start, image, value }, slopes, back) {
    const { gradient, first } = this;
    gradient.fill(0);
    for (let row = 0; row + 1 < first.length; row++) {
      if (back) this.throughRow(row, slopes, image, value, back, start[row], start[row + 1]);
      else if (first[row] < first[row + 1]) this.gradientRow(row, slopes, image, value, start[row], start[row + 1]);
    }
  }

  /**
   * Adds to the gradients of an input's weights, four images at a time.
   * @param {number} row
   * @param {Float64Array} slopes of the outputs, unit by unit
   * @param {Uint16Array} image of an entry
   * @param {Float64Array} value of an entry
   * @param {number} begin the first entry
   * @param {number} end
   */
  gradientRow(row, slopes, image, value, begin, end) {
    const { gradient, place } = this;
    const from = this.first[row];
    const to = this.first[row + 1];
    let entry = begin;
    for (; entry + 3 < end; entry += 4) {
      const a = image[entry];
      const b = image[entry + 1];
      const c = image[entry + 2];
      const d = image[entry + 3];
      const va = value[entry];
      const vb = value[entry + 1];
      const vc = value[entry + 2];
      const vd = value[entry + 3];
      for (let at = from; at < to; at++) {
        const fed = place[at];
        gradient[at] += va * slopes[a + fed] + vb * slopes[b + fed] + (vc * slopes[c + fed] + vd * slopes[d + fed]);
      }
    }
    for (; entry < end; entry++) {
      const a = image[entry];
      const factor = value[entry];
      for (let at = from; at < to; at++) gradient[at] += factor * slopes[a + place[at]];
    }
  }

  /**
   * The same, and fills the input's own gradient.
   * @param {number} row
   * @param {Float64Array} slopes of the outputs, unit by unit
   * @param {Uint16Array} image of an entry
   * @param {Float64Array} value of an entry
   * @param {Float64Array} back
   * @param {number} begin the first entry
   * @param {number} end
   */
  throughRow(row, slopes, image, value, back, begin, end) {
    const { weights, gradient, place } = this;
    const from = this.first[row];
    const to = this.first[row + 1];
    let entry = begin;
    for (; entry + 3 < end; entry += 4) {
      const a = image[entry];
      const b = image[entry + 1];
      const c = image[entry + 2];
      const d = image[entry + 3];
      const va = value[entry];
      const vb = value[entry + 1];
      const vc = value[entry + 2];
      const vd = value[entry + 3];
      let ba = 0;
      let bb = 0;
      let bc = 0;
      let bd = 0;
      for (let at = from; at < to; at++) {
        const fed = place[at];
        const weight = weights[at];
        const sa = slopes[a + fed];
        const sb = slopes[b + fed];
        const sc = slopes[c + fed];
        const sd = slopes[d + fed];
        gradient[at] += va * sa + vb * sb + (vc * sc + vd * sd);
        ba += weight * sa;
        bb += weight * sb;
        bc += weight * sc;
        bd += weight * sd;
      }
      back[entry] = ba;
      back[entry + 1] = bb;
      back[entry + 2] = bc;
      back[entry + 3] = bd;
    }
    for (; entry < end; entry++) {
      const a = image[entry];
      let sum = 0;
      for (let at = from; at < to; at++) {
        const slope = slopes[a + place[at]];
        gradient[at] += value[entry] * slope;
        sum += weights[at] * slope;
      }
      back[entry] = sum;
    }
  }
}
