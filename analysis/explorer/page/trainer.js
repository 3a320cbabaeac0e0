/**
 * The laboratory in a worker of its own. It trains in slices, so that it hears what is asked meanwhile, and sends a
 * frame of what it has come to several times a second.
 */

import { readImages, readManifest, readSeed, readTraining } from "./core/bundle.js";
import { Lab } from "./core/lab.js";

/** @typedef {import("./core/engine.js").Setting} Setting */
/** @typedef {{setting: Setting, layer: number, unit: number, own: Uint8Array | null, mine: Uint8Array[], image: number}} View */

/**
 * @typedef {object} Order what the laboratory is told
 * @property {number} serial of the order: frames name the last one that they follow
 * @property {View} view what is looked at
 * @property {import("./core/lab.js").Recipe} [begin] start over
 * @property {boolean} [prune]
 * @property {boolean} [rewind]
 * @property {number} [steps] how many more steps to take; 0 stops
 */

/**
 * @typedef {object} Frame
 * @property {number} serial
 * @property {import("./worker.js").Look} look
 * @property {import("./core/lab.js").Moment[]} course
 * @property {import("./worker.js").Point[]} rounds
 * @property {number} round
 * @property {number} steps taken in this training
 * @property {number} length of a round, or of the learning of a mask
 * @property {number} left steps that are still to be taken
 * @property {number} milliseconds that a step takes
 * @property {number} seconds that this training has taken in all, but for what is shown of it
 * @property {number | null} pruned weights, by the last order; null where it was another one
 */

/** How long the worker trains before it listens, and how often it shows what it has come to, in ms. */
const SLICE = 25;
const PACE = 300;

/** @type {Lab | null} */
let lab = null;
/** @type {Order | null} */
let last = null;
let left = 0;
let running = false;
/** What the last frame said. */
let told = { serial: -1, left: 0 };
let milliseconds = 0;
let seconds = 0;
/** @type {number | null} */
let pruned = null;

/** @param {import("./core/bundle.js").Files} files */
async function load(files) {
  try {
    const manifest = readManifest(files);
    const [tested, trained, ...seeds] = await Promise.all([
      readImages(files, manifest),
      readTraining(files, manifest),
      ...manifest.seeds.map((entry) => readSeed(files, manifest, entry)),
    ]);
    lab = new Lab(manifest, seeds, tested, trained);
    self.postMessage({ ready: true });
  } catch (error) {
    self.postMessage({ failed: error instanceof Error ? error.message : String(error) });
  }
}

self.onmessage = ({ data }) => {
  if (data.files) return void load(data.files);
  try {
    obey(data);
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
  return undefined;
};

/** @param {Order} order */
function obey(order) {
  if (!lab) throw new Error("The laboratory is not ready.");
  last = order;
  pruned = null;
  if (order.begin || order.prune || order.rewind) seconds = 0;
  if (order.begin) lab.begin(order.begin);
  if (order.prune) pruned = lab.prune(order.view.setting);
  if (order.rewind) lab.rewind(order.view.setting);
  if (order.steps !== undefined) left = order.steps;
  else if (order.begin || order.prune || order.rewind) left = 0;
  if (left > 0 && !running) void run(lab);
  else if (!running) show(lab);
}

/** @param {Lab} trained */
async function run(trained) {
  running = true;
  try {
    while (left > 0) {
      const begun = performance.now();
      let [taken, spent] = [0, 0];
      while (left > 0 && performance.now() - begun < PACE) {
        const from = performance.now();
        do {
          trained.step();
          taken++;
          left--;
        } while (left > 0 && performance.now() - from < SLICE);
        spent += performance.now() - from;
        await pause();
      }
      if (taken) milliseconds = spent / taken;
      seconds += spent / 1000;
      show(trained);
      await pause();
    }
    // An order that came in the last pause, such as to stop, has not been answered yet.
    if (told.left !== left || told.serial !== last?.serial) show(trained);
  } catch (error) {
    left = 0;
    self.postMessage({ error: String(error) });
  } finally {
    running = false;
  }
}

/** @param {Lab} shown */
function show(shown) {
  if (!last) return;
  const look = shown.look(last.view);
  if (left === 0) shown.note();
  const { course, rounds, round, steps, lengths, recipe } = shown;
  /** @type {Frame} */
  const frame = { serial: last.serial, look, course, rounds, round, steps, length: lengths[recipe.mode], left, milliseconds, seconds, pruned };
  self.postMessage({ frame });
  told = { serial: last.serial, left };
}

const channel = new MessageChannel();

/** Lets messages that have come meanwhile be heard. */
function pause() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}
