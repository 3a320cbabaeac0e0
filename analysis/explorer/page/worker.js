/**
 * The engine in a worker of its own, so that the page never waits. Of requests that come while one is at work only the
 * newest of each kind is answered; the others are told that they were overtaken.
 */

import { readImages, readManifest, readSeed } from "./core/bundle.js";
import { Engine } from "./core/engine.js";
import { maskView } from "./core/mask_view.js";
import { countsAt } from "./core/masks.js";
import { largest } from "./core/network.js";
import { pack } from "./core/packed.js";

/** @typedef {import("./core/engine.js").Setting} Setting */

/**
 * @typedef {object} Look everything the page shows of a setting
 * @property {import("./core/engine.js").Reading} reading
 * @property {import("./core/engine.js").Plane} plane
 * @property {import("./core/mask_view.js").MaskView} view
 * @property {import("./core/engine.js").Difference | null} difference
 * @property {Float64Array | null} own outputs for a digit of one's own
 * @property {Uint8Array} mine classes found in the visitor's own test set
 * @property {import("./core/flow.js").Flow} flow of one's own digit, or of a test image
 * @property {number} wanted how many weights the level keeps that is chosen
 */

/**
 * @typedef {object} Requests what can be asked for, by kind
 * @property {{setting: Setting, layer: number, unit: number, other: Setting | null, own: Uint8Array | null, mine: Uint8Array[], image: number}} look
 * @property {{setting: Setting, layer: number, initial: number, final: number}} level
 * @property {{settings: Setting[]}} curve
 * @property {{settings: Setting[]}} accuracies
 * @property {{setting: Setting}} packed
 */

/** @typedef {{remaining: number, accuracy: number}} Point */

/**
 * @typedef {object} Answers
 * @property {Look} look
 * @property {number} level
 * @property {Point[]} curve
 * @property {number[]} accuracies
 * @property {Uint8Array<ArrayBuffer>} packed
 */

/** @typedef {keyof Requests} Kind */

/** @type {(engine: Engine) => void} */
let loaded;
/** @type {Promise<Engine>} */
const engine = new Promise((resolve) => (loaded = resolve));

/** @param {import("./core/bundle.js").Files} files */
async function load(files) {
  try {
    const manifest = readManifest(files);
    const [images, ...seeds] = await Promise.all([
      readImages(files, manifest),
      ...manifest.seeds.map((entry) => readSeed(files, manifest, entry)),
    ]);
    loaded(new Engine(manifest, images, seeds));
    self.postMessage({ ready: true });
  } catch (error) {
    self.postMessage({ failed: error instanceof Error ? error.message : String(error) });
  }
}

/** @type {Map<Kind, {id: number, request: any}>} */
const waiting = new Map();
let busy = false;

self.onmessage = ({ data }) => {
  if (data.files) return void load(data.files);
  const { id, kind, request } = data;
  const overtaken = waiting.get(kind);
  if (overtaken) self.postMessage({ id: overtaken.id, overtaken: true });
  waiting.set(kind, { id, request });
  if (!busy) void work();
  return undefined;
};

async function work() {
  busy = true;
  const ready = await engine;
  for (let next = take(); next; next = take()) {
    const { kind, id, request } = next;
    try {
      const answer = await answers[kind](ready, request);
      self.postMessage(answer === OVERTAKEN ? { id, overtaken: true } : { id, answer });
    } catch (error) {
      self.postMessage({ id, error: String(error) });
    }
    await pause();
  }
  busy = false;
}

/** @returns {{kind: Kind, id: number, request: any} | null} */
function take() {
  for (const [kind, { id, request }] of waiting) {
    waiting.delete(kind);
    return { kind, id, request };
  }
  return null;
}

const OVERTAKEN = Symbol("overtaken");
const channel = new MessageChannel();

/** Lets messages that have come meanwhile be heard. */
function pause() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

/** @type {{[K in Kind]: (engine: Engine, request: Requests[K]) => Answers[K] | Promise<Answers[K] | typeof OVERTAKEN>}} */
const answers = {
  look(engine, { setting, layer, unit, other, own, mine, image }) {
    const masks = engine.masks(setting);
    const weights = engine.weights(setting, masks);
    return {
      reading: engine.read(setting, masks, weights),
      plane: engine.plane(setting, layer, masks[layer]),
      view: maskView(engine.manifest.layers[0], masks[0], weights[0], unit),
      difference: other && engine.difference(masks, engine.masks(other)),
      own: own && engine.readOwn(weights, own),
      mine: Uint8Array.from(mine, (drawn) => largest(engine.readOwn(weights, drawn))),
      flow: engine.flow(setting, masks, weights, own, image),
      wanted: countsAt(engine.manifest.levels, setting.level).reduce((sum, each) => sum + each, 0),
    };
  },

  level: (engine, { setting, layer, initial, final }) => engine.levelAt(setting, layer, initial, final),

  async curve(engine, { settings }) {
    const points = [];
    for (const setting of settings) {
      points.push(point(engine, setting));
      await pause();
      if (waiting.has("curve")) return OVERTAKEN;
    }
    return points;
  },

  accuracies: (engine, { settings }) => settings.map((setting) => point(engine, setting).accuracy),

  packed(engine, { setting }) {
    const masks = engine.masks(setting);
    return pack(engine.manifest, setting, masks, engine.weights(setting, masks));
  },
};

/** @type {(engine: Engine, setting: Setting) => Point} */
function point(engine, setting) {
  const { remaining, right, found } = engine.read(setting);
  return { remaining, accuracy: right / found.length };
}
