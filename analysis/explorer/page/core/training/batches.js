/**
 * What a layer reads: the inputs that are not 0, both input by input and image by image. Of images four pixels of five
 * are 0, and pixels that are 0 in all training images are left out altogether; of hidden units about half are 0.
 */

/**
 * @typedef {object} Batch
 * @property {number} size images in it
 * @property {Uint8Array} labels
 * @property {Int32Array} start where a row's entries begin; a row is an input: a pixel that is in use, or a unit
 * @property {Int32Array} image of an entry: its place in the batch
 * @property {Float64Array} value of an entry
 * @property {Int32Array} from where an image's entries begin, in `row` and `ink`
 * @property {Int32Array} row of an entry, image by image
 * @property {Float64Array} ink of an entry, image by image
 */

/**
 * The pixels that are not 0 in some image.
 * @param {Uint8Array} images
 * @param {number} pixels of an image
 * @returns {Int32Array}
 */
export function pixelsInUse(images, pixels) {
  const used = new Uint8Array(pixels);
  for (let at = 0; at < images.length; at++) if (images[at]) used[at % pixels] = 1;
  return Int32Array.from({ length: pixels }, (_, pixel) => pixel).filter((pixel) => used[pixel] === 1);
}

/**
 * @param {number} rows
 * @param {number} most images
 * @returns {Batch}
 */
export function emptyBatch(rows, most) {
  return {
    size: 0,
    labels: new Uint8Array(most),
    start: new Int32Array(rows + 1),
    image: new Int32Array(rows * most + 1),
    value: new Float64Array(rows * most + 1),
    from: new Int32Array(most + 1),
    row: new Int32Array(rows * most),
    ink: new Float64Array(rows * most),
  };
}

/**
 * Lists the hidden units that are above 0, with their biases added.
 * @param {Batch} batch that is filled
 * @param {Float64Array} sums
 * @param {import("./layers.js").Steps} steps where the sums are
 * @param {Float64Array} biases
 * @param {Batch} before what the units were computed from
 * @param {boolean} byImage whether they are wanted image by image, too
 */
export function listActive(batch, sums, steps, biases, { size, labels }, byImage) {
  const { start, image, value } = batch;
  batch.size = size;
  batch.labels = labels;
  let filled = 0;
  const units = biases.length;
  for (let unit = 0; unit < units; unit++) {
    // Every unit is written down, and the next one over it unless it is above 0: a branch would be guessed wrongly.
    for (let at = 0; at < size; at++) {
      const sum = sums[at * steps.image + unit * steps.unit] + biases[unit];
      image[filled] = at;
      value[filled] = sum;
      filled += sum > 0 ? 1 : 0;
    }
    start[unit + 1] = filled;
  }
  if (byImage) listByImage(batch);
}

/**
 * Lists entries image by image that are listed row by row.
 * @param {Batch} batch
 */
function listByImage({ size, start, image, value, from, row, ink }) {
  const rows = start.length - 1;
  from.fill(0);
  for (let entry = 0; entry < start[rows]; entry++) from[image[entry] + 1]++;
  for (let at = 0; at < size; at++) from[at + 1] += from[at];
  for (let each = 0; each < rows; each++) {
    for (let entry = start[each]; entry < start[each + 1]; entry++) {
      const place = from[image[entry]]++;
      row[place] = each;
      ink[place] = value[entry];
    }
  }
  for (let at = size; at > 0; at--) from[at] = from[at - 1];
  from[0] = 0;
}

/** Images from which batches are taken; one batch is made at a time, in the same arrays. */
export class Images {
  /**
   * @param {Uint8Array} images a byte a pixel
   * @param {ArrayLike<number>} labels
   * @param {number} maximum of a pixel
   * @param {number} pixels of an image
   * @param {Int32Array} used the pixels that layers read
   * @param {number} most images of a batch
   */
  constructor(images, labels, maximum, pixels, used, most) {
    this.labels = labels;
    this.count = labels.length;
    this.rows = used.length;
    const rowOf = new Int32Array(pixels).fill(-1);
    used.forEach((pixel, row) => (rowOf[pixel] = row));
    // Every image's pixels that are not 0, image by image.
    this.from = new Int32Array(this.count + 1);
    /** @type {number[]} */
    const rows = [];
    /** @type {number[]} */
    const values = [];
    for (let image = 0; image < this.count; image++) {
      for (let pixel = 0; pixel < pixels; pixel++) {
        const byte = images[image * pixels + pixel];
        if (!byte || rowOf[pixel] < 0) continue;
        rows.push(rowOf[pixel]);
        values.push(byte / maximum);
      }
      this.from[image + 1] = rows.length;
    }
    this.row = Int32Array.from(rows);
    this.value = Float64Array.from(values);
    this.batch = emptyBatch(this.rows, most);
    this.next = new Int32Array(this.rows);
  }

  /**
   * The batch of these images. It holds until the next one is taken.
   * @param {ArrayLike<number>} chosen
   * @returns {Batch}
   */
  take(chosen) {
    const { batch, from, row, value, next } = this;
    batch.size = chosen.length;
    batch.start.fill(0);
    let filled = 0;
    for (let at = 0; at < chosen.length; at++) {
      const image = chosen[at];
      batch.labels[at] = this.labels[image];
      batch.from[at] = filled;
      for (let entry = from[image]; entry < from[image + 1]; entry++) {
        batch.row[filled] = row[entry];
        batch.ink[filled++] = value[entry];
        batch.start[row[entry] + 1]++;
      }
    }
    batch.from[chosen.length] = filled;
    for (let at = 0; at < this.rows; at++) {
      batch.start[at + 1] += batch.start[at];
      next[at] = batch.start[at];
    }
    for (let at = 0; at < chosen.length; at++) {
      for (let entry = batch.from[at]; entry < batch.from[at + 1]; entry++) {
        const place = next[batch.row[entry]]++;
        batch.image[place] = at;
        batch.value[place] = batch.ink[entry];
      }
    }
    return batch;
  }
}
