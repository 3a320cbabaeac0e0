/** The page's start: theme and words, the bundle, the workers, and then the explorer. */

import { Client } from "./app/client.js";
import { Controls } from "./app/controls.js";
import { Explorer } from "./app/explorer.js";
import { Laboratory } from "./app/laboratory.js";
import { loadFiles, startWorker } from "./app/files.js";
import { Scene } from "./app/scene.js";
import { chooseParts, chooseTheme } from "./app/theme.js";
import { FORMAT, readImages, readManifest } from "./core/bundle.js";
import { showArticle } from "./view/article.js";
import { byId } from "./view/dom.js";
import { Owner } from "./state/owner.js";
import { fill, speakOf, words } from "./words/index.js";

/** @param {Error} reason that something on the page no longer works */
function trouble(reason) {
  const place = byId("trouble", HTMLElement);
  place.textContent = words.page.trouble(reason.message);
  place.hidden = false;
}

/** @returns {Promise<void>} once a frame was drawn; soon where none is, in a window behind another */
const drawn = () => new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  setTimeout(resolve, 100);
});

async function start() {
  fill(document);
  document.title = words.page.title;
  chooseTheme();
  chooseParts();
  const loading = byId("loading", HTMLElement);
  try {
    const files = await loadFiles((share) => {
      if (!loading.classList.contains("failed")) loading.textContent = words.page.loaded(share);
    });
    const manifest = readManifest(files);
    if (manifest.format !== FORMAT) throw new Error(words.page.old(manifest.format, FORMAT));
    speakOf(manifest);
    fill(document);
    byId("classes", HTMLElement).textContent = words.classes;
    showArticle();
    const [live, background] = [1, 2].map(() => new Client(startWorker("worker"), files, trouble));
    const [images] = await Promise.all([readImages(files, manifest), live.ready, background.ready]);
    const app = byId("app", HTMLElement);
    app.hidden = false;
    loading.hidden = true;
    const owner = new Owner(manifest, location.hash.slice(1));
    const scene = new Scene(owner, live);
    const lab = new Laboratory(owner, scene, files, trouble);
    const controls = new Controls(owner, scene);
    await drawn(); // pauses, without which opening is one long task
    new Explorer({ owner, scene, lab, controls, live, background }, images);
    await drawn();
    app.classList.add("opened"); // what is further down: see style.css
  } catch (error) {
    loading.textContent = words.page.failed(error instanceof Error ? error.message : String(error));
    loading.classList.add("failed");
  }
}

window.addEventListener("unhandledrejection", ({ reason }) => trouble(reason instanceof Error ? reason : new Error(String(reason))));
void start();
