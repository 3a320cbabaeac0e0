/** The mask of the first layer as an image: kept weights a pixel, one unit's weights, or the difference of two masks. */

import { words } from "../words/index.js";
import { fixed } from "../words/numbers.js";
import { html, rgb, sharp } from "./dom.js";

/** @typedef {import("../core/mask_view.js").MaskView} MaskView */
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
   * @param {HTMLElement} legend
   * @param {(text: string) => void} onReading
   */
  constructor(canvas, legend, onReading) {
    this.canvas = canvas;
    this.legend = legend;
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
    this.canvas.setAttribute("aria-label", this.summary());
    this.explain(shown.mode);
  }

  /**
   * The legend: what the colours say.
   * @param {Shown["mode"]} mode
   */
  explain(mode) {
    if (this.legend.dataset.mode === mode) return;
    this.legend.dataset.mode = mode;
    const [first, ...others] = words.seen.keys[mode];
    this.legend.replaceChildren(html("span", {}, first), html("span", { class: `ramp ${mode}`, "aria-hidden": "true" }), ...others.map((other) => html("span", {}, other)));
  }

  /** What is seen, in a sentence. */
  summary() {
    if (!this.shown) return "";
    const { mode, view, difference, units, unit, other } = this.shown;
    if (mode === "pixels") {
      const seen = view.perPixel.reduce((count, kept) => count + (kept > 0 ? 1 : 0), 0);
      return words.seen.pixels(units, seen, view.perPixel.length);
    }
    if (mode === "unit") return words.seen.field(unit, view.perUnit[unit], view.perPixel.length);
    if (!difference) return words.seen.compare;
    const { here, there, both, size } = difference.layers[0];
    const shared = both / Math.max(Math.min(here, there), 1);
    return words.seen.against(other, shared, Math.max(here, there) / size);
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
    const at = words.seen.place(y + 1, x + 1);
    if (mode === "pixels") this.onReading(at + words.seen.keptOf(view.perPixel[pixel], units));
    else if (mode === "unit") this.onReading(at + words.seen.value(view.unitMask[pixel] === 1, fixed(view.unit[pixel], 4)));
    else if (difference) this.onReading(at + words.seen.sides(difference.onlyHere[pixel], difference.onlyThere[pixel]));
  }
}

/** @type {(from: number[], to: number[], share: number) => number[]} */
const mix = (from, to, share) => from.map((each, channel) => Math.round(each + share * (to[channel] - each)));
