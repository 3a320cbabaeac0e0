// What the page's own modules answer for a list of settings, in Node: for comparison with the toolkit.
// node answers.mjs PAGE SITE < settings.json > answers.json; a mask is told by the SHA-256 of its packed bits.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";

const [page, site] = process.argv.slice(2);
const { readImages, readManifest, readSeed } = await import(`${page}/core/bundle.js`);
const { Engine } = await import(`${page}/core/engine.js`);
const { pack, packBits, packedWeights } = await import(`${page}/core/packed.js`);

const files = new Map(readdirSync(`${site}/bundle`).map((name) => [name, Uint8Array.from(readFileSync(`${site}/bundle/${name}`)).buffer]));
const manifest = readManifest(files);
const seeds = await Promise.all(manifest.seeds.map((entry) => readSeed(files, manifest, entry)));
const engine = new Engine(manifest, await readImages(files, manifest), seeds);

const settings = JSON.parse(readFileSync(0, "utf8"));
const answers = settings.map((given) => {
  const setting = { ...given, region: given.region && Uint8Array.from(given.region) };
  const masks = engine.masks(setting);
  const { found, kept } = engine.read(setting, masks);
  const packable = given.packed && packedWeights(manifest, setting) !== null;
  const packed = packable ? Buffer.from(pack(manifest, setting, masks, engine.weights(setting, masks))).toString("base64") : null;
  return {
    masks: masks.map((mask) => createHash("sha256").update(packBits(mask)).digest("hex")),
    kept,
    found: Buffer.from(found).toString("base64"),
    packed,
  };
});
process.stdout.write(JSON.stringify(answers));
