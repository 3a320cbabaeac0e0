/**
 * The files of the bundle and the workers: from beside the page, or out of the page where it is a single file, which
 * carries both in itself (analysis/explorer/single.py writes it).
 */

import { words } from "../words/index.js";

/** @typedef {import("../core/bundle.js").Files} Files */

/**
 * What a single file puts in place of a server.
 * @typedef {object} Inside
 * @property {Record<string, string>} files the bundle's, in base64
 * @property {string} program the whole program as one classic script
 */

/** @returns {Inside | undefined} */
function inside() {
  return /** @type {any} */ (globalThis).supermaskInside;
}

/**
 * All files of the bundle.
 * @param {(share: number) => void} onProgress
 * @returns {Promise<Files>}
 */
export async function loadFiles(onProgress) {
  const carried = inside();
  if (carried) return new Map(Object.entries(carried.files).map(([name, text]) => [name, bytesOf(text)]));
  const listing = await fetched("bundle.json");
  /** @type {import("../core/bundle.js").Manifest} */
  const { seeds, sizes = {} } = JSON.parse(new TextDecoder().decode(listing));
  const names = ["images.bin", "training.bin", ...seeds.map(({ file }) => file)];
  const total = names.reduce((sum, name) => sum + (sizes[name] ?? 0), 0);
  let done = 0;
  const contents = await Promise.all(
    names.map(async (name) => {
      const content = await fetched(name);
      done += content.byteLength;
      onProgress(Math.min(done / Math.max(total, 1), 1));
      return content;
    }),
  );
  return new Map([["bundle.json", listing], ...names.map((name, at) => /** @type {[string, ArrayBuffer]} */ ([name, contents[at]]))]);
}

/**
 * @param {string} name
 * @returns {Promise<ArrayBuffer>}
 */
async function fetched(name) {
  const path = `bundle/${name}`;
  const response = await fetch(new URL(path, document.baseURI));
  if (!response.ok) throw new Error(words.page.missing(path, `HTTP ${response.status}`));
  return response.arrayBuffer();
}

/** @type {(text: string) => ArrayBuffer} */
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

/**
 * Starts a worker.
 * @param {"worker" | "trainer"} name of its module
 * @returns {Worker}
 */
export function startWorker(name) {
  const carried = inside();
  if (!carried) return new Worker(new URL(`${name}.js`, document.baseURI), { type: "module" });
  const text = `self.supermaskEntry = ${JSON.stringify(`${name}.js`)};\n${carried.program}`;
  return new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
}
