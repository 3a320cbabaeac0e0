/** The bundle, as analysis/explorer/bundle.py writes it: reading it, and its types. */

/** @typedef {import("./network.js").Shape} Shape */

/**
 * @typedef {object} About
 * @property {string} dataset
 * @property {string} network
 * @property {string} protocol
 * @property {string} epochs
 * @property {number} images how many test images are shown
 * @property {number} test_images how many there are
 * @property {string} version
 * @property {boolean} digits whether the images are digits
 * @property {string[]} class_names names of the classes; none where they have but numbers
 */

/**
 * @typedef {object} SeedEntry numbers of one seed; lists have an entry a layer
 * @property {number} seed
 * @property {string} file
 * @property {number} trained_accuracy on the bundle's images, at the end of training
 * @property {[number, number][]} rounds of iterative pruning: weights remaining, test accuracy after training
 * @property {number[]} constant standard deviation of the initial weights
 * @property {number[]} reach_initial
 * @property {number[]} reach_final
 * @property {boolean} as_drawn whether the initial weights are, to the bit, what the toolkit draws from the seed
 */

/**
 * @typedef {object} Manifest
 * @property {number} format
 * @property {About} about
 * @property {{network: string, dataset: string, jax: string, image_shape?: number[]}} packed what a packed file names
 * @property {{height: number, width: number, maximum: number}} image
 * @property {number[]} labels
 * @property {number} classes
 * @property {Shape[]} layers
 * @property {number[][]} levels weights kept by every layer, a row a level
 * @property {Record<string, string>} formulas of the criteria, by the toolkit's names
 * @property {number} best_level
 * @property {SeedEntry[]} seeds
 * @property {Training} training
 * @property {Record<string, number>} sizes of the files, in bytes
 */

/**
 * How networks are trained, and on what.
 * @typedef {object} Training
 * @property {number[]} labels of the training images
 * @property {number} learning_rate
 * @property {number} batch_size
 * @property {number} epochs of a round
 * @property {number} mask_learning_rate
 * @property {number} mask_epochs
 */

/**
 * @typedef {object} SeedWeights arrays of every layer
 * @property {Float32Array[]} initial
 * @property {Float32Array[]} final
 * @property {Uint8Array[]} lastRound
 */

export const FORMAT = 4;

/** @typedef {ReadonlyMap<string, ArrayBuffer>} Files the bundle's, by name */

/**
 * @param {Files} files
 * @returns {Manifest}
 */
export function readManifest(files) {
  return JSON.parse(new TextDecoder().decode(contentOf(files, "bundle.json")));
}

/**
 * @param {Files} files
 * @param {string} name
 * @returns {ArrayBuffer}
 */
function contentOf(files, name) {
  const found = files.get(name);
  if (!found) throw new Error(`The bundle has no ${name}.`);
  return found;
}

/**
 * The test images, a byte a pixel.
 * @param {Files} files
 * @param {Manifest} manifest
 * @returns {Promise<Uint8Array>}
 */
export async function readImages(files, { image, labels }) {
  return inflate(contentOf(files, "images.bin"), labels.length * image.height * image.width);
}

/**
 * The training images, a byte a pixel.
 * @param {Files} files
 * @param {Manifest} manifest
 * @returns {Promise<Uint8Array>}
 */
export async function readTraining(files, { image, training }) {
  return inflate(contentOf(files, "training.bin"), training.labels.length * image.height * image.width);
}

/**
 * One seed's weights.
 * @param {Files} files
 * @param {Manifest} manifest
 * @param {SeedEntry} entry
 * @returns {Promise<SeedWeights>}
 */
export async function readSeed(files, manifest, entry) {
  const sizes = manifest.layers.map((layer) => layer.inputs * layer.outputs);
  const size = sizes.reduce((total, each) => total + each, 0);
  const content = await inflate(contentOf(files, entry.file), 9 * size);
  const lastRound = content.subarray(8 * size);
  return {
    initial: split(fromPlanes(content.subarray(0, 4 * size)), sizes),
    final: split(fromPlanes(content.subarray(4 * size, 8 * size)), sizes),
    lastRound: split(lastRound, sizes),
  };
}

/**
 * Numbers from their bytes: all lowest bytes first, the highest last.
 * @param {Uint8Array} planes
 * @returns {Float32Array}
 */
function fromPlanes(planes) {
  const size = planes.length / 4;
  const words = new Uint32Array(size);
  for (let index = 0; index < size; index++) {
    words[index] =
      planes[index] | (planes[size + index] << 8) | (planes[2 * size + index] << 16) | (planes[3 * size + index] << 24);
  }
  return new Float32Array(words.buffer);
}

/**
 * @template {Float32Array | Uint8Array} T
 * @param {T} all
 * @param {number[]} sizes
 * @returns {T[]}
 */
function split(all, sizes) {
  let start = 0;
  return sizes.map((size) => /** @type {T} */ (all.slice(start, (start += size))));
}

/**
 * @param {ArrayBuffer} content a zlib stream
 * @param {number} size that it must have
 * @returns {Promise<Uint8Array>}
 */
async function inflate(content, size) {
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (bytes.length !== size) throw new Error(`A file of the bundle holds ${bytes.length} bytes; ${size} expected.`);
  return bytes;
}
