// What the page's own modules answer for a list of settings, in Node: for comparison with the toolkit.
// node answers.mjs PAGE SITE < settings.json > answers.json; a mask is told by the SHA-256 of its packed bits.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const [page, site] = process.argv.slice(2);
const { readImages, readManifest, readSeed } = await import(`${page}/core/bundle.js`);
const { Engine } = await import(`${page}/core/engine.js`);
const { packBits } = await import(`${page}/core/packed.js`);

const read = async (name) => {
  const content = readFileSync(`${site}/bundle/${name}`);
  return content.buffer.slice(content.byteOffset, content.byteOffset + content.length);
};
const manifest = await readManifest(read);
const seeds = await Promise.all(manifest.seeds.map((entry) => readSeed(read, manifest, entry)));
const engine = new Engine(manifest, await readImages(read, manifest), seeds);

const settings = JSON.parse(readFileSync(0, "utf8"));
const answers = settings.map((given) => {
  const setting = { ...given, region: given.region && Uint8Array.from(given.region) };
  const masks = engine.masks(setting);
  const { found, kept } = engine.read(setting, masks);
  return {
    masks: masks.map((mask) => createHash("sha256").update(packBits(mask)).digest("hex")),
    kept,
    found: Buffer.from(found).toString("base64"),
  };
});
process.stdout.write(JSON.stringify(answers));
