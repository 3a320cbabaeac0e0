/**
 * What a layer reads: the inputs that are not 0, both input by input and image by image. Of images four pixels of five
 * are 0, and pixels that are 0 in all training images are left out altogether; of hidden units about half are 0.
 */

/**
 * @typedef {object} Batch
 * @property {number} size images in it
 * @property {Uint8Array} labels
 * @property {Int32Array} start where a row's entries begin; a row is an input: a pixel that is in use, or a unit
 * @property {Uint16Array} image of an entry: its place in the batch
 * @property {Float64Array} value of an entry
 * @property {Int32Array} from where an image's entries begin, in `row` and `ink`
 * @property {Uint16Array} row of an entry, image by image
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
    image: new Uint16Array(rows * most + 1),
    value: new Float64Array(rows * most + 1),
    from: new Int32Array(most + 1),
    row: new Uint16Array(rows * most),
    ink: new Float64Array(rows * most),
  };
}

/**
 * Lists the hidden units that are above 0, with their biases added.
 * @param {Batch} batch that is filled
 * @param {Float64Array} sums
 * @param {import("./layers.js").Steps} steps where the sums are
 * @param {Float64Array} biases of all the layer's units
 * @param {Int32Array} units which of them are computed
 * @param {Batch} before what the units were computed from
 * @param {boolean} byImage whether they are wanted image by image, too
 */
export function listActive(batch, sums, steps, biases, units, { size, labels }, byImage) {
  const { start, image, value } = batch;
  batch.size = size;
  batch.labels = labels;
  let filled = 0;
  for (let unit = 0; unit < units.length; unit++) {
    const bias = biases[units[unit]];
    // Every unit is written down, and the next one over it unless it is above 0: a branch would be guessed wrongly.
    for (let at = 0; at < size; at++) {
      const sum = sums[at * steps.image + unit * steps.unit] + bias;
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
    // Every image's pixels that are not 0, image by image. A step reads some 9,000 of them, far apart in memory, and
    // waits for that: so they are kept in as few bytes as they need.
    const size = images.reduce((sum, byte) => sum + (byte ? 1 : 0), 0);
    this.from = new Int32Array(this.count + 1);
    this.row = new Uint16Array(size);
    this.byte = new Uint8Array(size);
    this.inks = Float64Array.from({ length: 256 }, (_, byte) => byte / maximum);
    let filled = 0;
    for (let image = 0; image < this.count; image++) {
      for (let row = 0; row < this.rows; row++) {
        const byte = images[image * pixels + used[row]];
        if (!byte) continue;
        this.row[filled] = row;
        this.byte[filled++] = byte;
      }
      this.from[image + 1] = filled;
    }
    this.batch = emptyBatch(this.rows, most);
    this.next = new Int32Array(this.rows);
  }

  /**
   * The batch of these images. It holds until the next one is taken.
   * @param {ArrayLike<number>} chosen
   * @param {boolean} byImage whether entries are wanted image by image, too
   * @returns {Batch}
   */
  take(chosen, byImage) {
    const { batch, from, row, byte, inks, next } = this;
    const { start, image, value } = batch;
    batch.size = chosen.length;
    start.fill(0);
    for (let at = 0; at < chosen.length; at++) {
      const end = from[chosen[at] + 1];
      for (let entry = from[chosen[at]]; entry < end; entry++) start[row[entry] + 1]++;
    }
    for (let at = 0; at < this.rows; at++) {
      start[at + 1] += start[at];
      next[at] = start[at];
    }
    for (let at = 0; at < chosen.length; at++) {
      const end = from[chosen[at] + 1];
      for (let entry = from[chosen[at]]; entry < end; entry++) {
        const place = next[row[entry]]++;
        image[place] = at;
        value[place] = inks[byte[entry]];
      }
      batch.labels[at] = this.labels[chosen[at]];
    }
    if (byImage) listByImage(batch);
    return batch;
  }
}
