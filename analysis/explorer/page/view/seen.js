/** The mask of the first layer as an image: kept weights a pixel, one unit's weights, or the difference of two masks. */

import { percent, rgb, sharp } from "./dom.js";

/** @typedef {import("../core/engine.js").MaskView} MaskView */
/** @typedef {import("../core/engine.js").Difference} Difference */

/**
 * @typedef {object} Shown
 * @property {"pixels" | "unit" | "difference"} mode
 * @property {number} width of an image, in pixels
 * @property {number} height
 * @property {number} units of the layer
 * @property {number} unit that is shown
 * @property {MaskView} view
 * @property {Difference | null} difference
 * @property {string} other name of the other mask
 */

export class SeenView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(text: string) => void} onReading
   */
  constructor(canvas, onReading) {
    this.canvas = canvas;
    this.onReading = onReading;
    /** @type {Shown | null} */
    this.shown = null;
    this.cursor = { x: 14, y: 14 };
    canvas.addEventListener("pointermove", (event) => {
      if (!this.shown) return;
      const box = canvas.getBoundingClientRect();
      this.tell({
        x: Math.floor(((event.clientX - box.left) / box.width) * this.shown.width),
        y: Math.floor(((event.clientY - box.top) / box.height) * this.shown.height),
      });
    });
    canvas.addEventListener("pointerleave", () => this.onReading(""));
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    this.draw();
    this.canvas.setAttribute("aria-label", this.words());
  }

  /** What is seen, in a sentence. */
  words() {
    if (!this.shown) return "";
    const { mode, view, difference, units, unit, other } = this.shown;
    if (mode === "pixels") {
      const seen = view.perPixel.reduce((count, kept) => count + (kept > 0 ? 1 : 0), 0);
      return `How many of the ${units} weights of every input pixel are kept: ${seen} of ${view.perPixel.length} pixels still reach the network.`;
    }
    if (mode === "unit") {
      return `The weights from the image to hidden unit ${unit}: ${view.perUnit[unit]} of ${view.perPixel.length} are kept.`;
    }
    if (!difference) return "Keep a curve to compare first (under 'What does it read?'): then its mask is compared with this one.";
    const { here, there, both, size } = difference.layers[0];
    const shared = both / Math.max(Math.min(here, there), 1);
    return `Against ${other}: of the smaller mask's weights the other keeps ${percent(shared)}; by chance it would be ${percent(Math.max(here, there) / size)}.`;
  }

  draw() {
    const { shown } = this;
    const { context, width: across, height: down } = sharp(this.canvas);
    if (!shown || !across) return;
    const canvas = new OffscreenCanvas(shown.width, shown.height);
    const own = canvas.getContext("2d");
    if (!own) return;
    const image = own.createImageData(shown.width, shown.height);
    this.colours(shown).forEach(([red, green, blue], pixel) => image.data.set([red, green, blue, 255], 4 * pixel));
    own.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, across, down);
    context.drawImage(canvas, 0, 0, across, down);
  }

  /**
   * The colour of every pixel.
   * @param {Shown} shown
   * @returns {number[][]}
   */
  colours({ mode, view, difference, width, height }) {
    const none = rgb("map");
    const [first, second] = [rgb("kept"), rgb("other")];
    if (mode === "pixels") {
      const most = Math.max(...view.perPixel, 1);
      return Array.from(view.perPixel, (kept) => mix(none, first, Math.sqrt(kept / most)));
    }
    if (mode === "unit") {
      const most = Math.max(...view.unit.map(Math.abs), 1e-9);
      return Array.from(view.unit, (w) => mix(none, w > 0 ? first : second, Math.abs(w) / most));
    }
    if (!difference) return Array.from({ length: width * height }, () => none);
    const balance = Array.from(difference.onlyHere, (here, pixel) => here - difference.onlyThere[pixel]);
    const most = Math.max(...balance.map(Math.abs), 1);
    return balance.map((each) => mix(none, each > 0 ? first : second, Math.sqrt(Math.abs(each) / most)));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!step || !this.shown) return;
    event.preventDefault();
    this.cursor.x = Math.min(Math.max(this.cursor.x + step[0], 0), this.shown.width - 1);
    this.cursor.y = Math.min(Math.max(this.cursor.y + step[1], 0), this.shown.height - 1);
    this.tell(this.cursor);
  }

  /** @param {{x: number, y: number}} place */
  tell({ x, y }) {
    if (!this.shown) return;
    const { mode, view, difference, units, width } = this.shown;
    const pixel = y * width + x;
    const at = `Row ${y + 1}, column ${x + 1}: `;
    if (mode === "pixels") this.onReading(`${at}${view.perPixel[pixel]} of ${units} weights kept.`);
    else if (mode === "unit") this.onReading(`${at}${view.unitMask[pixel] ? "kept" : "pruned"}, set to ${view.unit[pixel].toFixed(4)}.`);
    else if (difference) this.onReading(`${at}${difference.onlyHere[pixel]} only here, ${difference.onlyThere[pixel]} only there.`);
  }
}

/** @type {(from: number[], to: number[], share: number) => number[]} */
const mix = (from, to, share) => from.map((each, channel) => Math.round(each + share * (to[channel] - each)));
