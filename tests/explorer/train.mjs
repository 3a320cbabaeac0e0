// The page's own laboratory in Node, for comparison with the toolkit.
// node train.mjs PAGE SITE < tasks.json > answers.json; a task is a list of orders, its answer what they came to.
import { readFileSync, readdirSync } from "node:fs";

const [page, site] = process.argv.slice(2);
const { readImages, readManifest, readSeed, readTraining } = await import(`${page}/core/bundle.js`);
const { Lab } = await import(`${page}/core/lab.js`);
const { Order } = await import(`${page}/core/training/trainer.js`);

const bytes = (name) => Uint8Array.from(readFileSync(`${site}/bundle/${name}`)).buffer;
const files = new Map(readdirSync(`${site}/bundle`).map((name) => [name, bytes(name)]));
const manifest = readManifest(files);
const seeds = await Promise.all(manifest.seeds.map((entry) => readSeed(files, manifest, entry)));
const lab = new Lab(manifest, seeds, await readImages(files, manifest), await readTraining(files, manifest));
const text = (array) => Buffer.from(Float32Array.from(array).buffer).toString("base64");

const orders = {
  begin: (recipe) => lab.begin(recipe),
  steps: (count) => {
    const losses = [];
    for (let step = 0; step < count; step++) {
      const before = lab.summed;
      lab.step();
      losses.push(lab.summed - before);
    }
    return losses;
  },
  prune: (setting) => lab.prune(setting),
  rewind: (setting) => lab.rewind(setting),
  // Another network than one that came of orders: any masks, with pruned weights at 0 or at their initial values.
  mask: ({ masks, frozen }) => {
    lab.masks = masks.map((mask) => Uint8Array.from(mask));
    lab.start(lab.initial.map((layer, at) => layer.map((w, place) => (masks[at][place] || frozen ? w : 0))), null);
  },
  weights: () => {
    lab.refresh();
    return { weights: lab.weights.map(text), masks: lab.masks.map(text), biases: (lab.training?.network.biases ?? []).map(text) };
  },
  kinds: () => (lab.training ?? lab.learning).network.placed.map(({ layer }) => layer.constructor.name),
  computed: () => lab.training.network.placed.map(({ units }) => units.length),
  logits: () => lab.learning.logits.map(text),
  order: ({ seed, examples, size, steps }) => {
    const order = new Order(seed, examples, size);
    return Array.from({ length: steps }, (_, step) => [...order.batch(step)]);
  },
};
const tasks = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(tasks.map((task) => task.map(([name, argument]) => orders[name](argument) ?? null))));
