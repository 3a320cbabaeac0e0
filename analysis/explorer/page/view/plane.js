/** The plane of initial and final weights: density, the kept region, its boundary to drag, cells to paint. */

import { criterionOf } from "../core/criteria.js";
import { BINS, BINS_A_CELL, CELLS, binOf } from "../core/masks.js";
import { words } from "../words/index.js";
import { fixed, precise } from "../words/numbers.js";
import { colour, rgb, sharp, textScale } from "./dom.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/engine.js").Plane} Plane */

/**
 * @typedef {object} Shown
 * @property {Setting} setting
 * @property {Plane} plane
 * @property {number} reachInitial
 * @property {number} reachFinal
 * @property {string} layer its name
 * @property {number} index the layer's place
 * @property {"off" | "weights" | "mask"} lab what the other axis is: weights of the copy, weights now, or probabilities
 */

/**
 * @typedef {object} Hands what the plane tells of
 * @property {(initial: number, final: number) => void} onBoundary the boundary is put there
 * @property {(cells: number[], on: boolean) => void} onPaint
 * @property {(text: string) => void} onReading
 * @property {(cell: {layer: number, holds: (initial: number, final: number) => boolean} | null) => void} onPoint the cell
 * that is pointed at
 */

const GRID = 192;
/** How far a finger may move and still be a tap, in CSS pixels. */
const SLACK = 8;

export class PlaneView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Hands} hands
   */
  constructor(canvas, hands) {
    this.canvas = canvas;
    this.hands = hands;
    /** @type {Shown | null} */
    this.shown = null;
    /** The cursor of the keyboard, in cells. */
    this.cursor = { column: CELLS / 2, row: (3 * CELLS) / 4 };
    this.erase = false;
    /** @type {{layer: number, initial: number, final: number} | null} a weight that is pointed at elsewhere */
    this.marked = null;
    this.pointed = false;
    this.held = false;
    /** @type {{x: number, y: number} | null} where a finger came down that may want to scroll */
    this.finger = null;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.lift(event));
    canvas.addEventListener("pointercancel", () => this.release());
    canvas.addEventListener("pointerleave", () => {
      this.pointed = false;
      this.tell();
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    // A finger that paints must not scroll; one that moves the boundary goes sideways, and scrolls up and down.
    this.canvas.classList.toggle("painting", shown.setting.source === "painted");
    this.draw();
    if (!this.pointed) this.tell();
  }

  /**
   * Marks a weight; none with null.
   * @param {{layer: number, initial: number, final: number} | null} weight
   */
  mark(weight) {
    if (weight === this.marked) return;
    this.marked = weight;
    this.draw();
  }

  draw() {
    const { shown } = this;
    const { context, width, height, density } = sharp(this.canvas);
    if (!shown || !width) return;
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.regionImage(shown), 0, 0, width, height);
    context.drawImage(densityImage(shown.plane), 0, 0, width, height);
    context.strokeStyle = colour("line");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(width / 2, 0);
    context.lineTo(width / 2, height);
    context.moveTo(0, height / 2);
    context.lineTo(width, height / 2);
    context.stroke();
    this.drawWords(context, width, height, shown);
    if (document.activeElement === this.canvas) {
      const [w, h] = [width / CELLS, height / CELLS];
      context.strokeStyle = colour("ink");
      context.lineWidth = 2;
      context.strokeRect(this.cursor.column * w, height - (this.cursor.row + 1) * h, w, h);
    }
    this.drawMark(context, width, height, shown);
    this.canvas.dataset.density = String(density);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   * @param {Shown} shown
   */
  drawMark(context, width, height, { index, reachInitial, reachFinal, lab }) {
    const { marked } = this;
    this.canvas.dataset.marked = String(marked?.layer === index);
    if (marked?.layer !== index) return;
    /** @type {(weight: number, reach: number) => number} */
    const along = (weight, reach) => Math.min(Math.max((weight / reach + 1) / 2, 0.01), 0.99);
    context.beginPath();
    context.arc(along(marked.initial, reachInitial) * width, (1 - along(marked.final, lab === "mask" ? 1 : reachFinal)) * height, 7, 0, 2 * Math.PI);
    context.strokeStyle = colour("paper");
    context.lineWidth = 5;
    context.stroke();
    context.strokeStyle = colour("ink");
    context.lineWidth = 2.5;
    context.stroke();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   * @param {Shown} shown
   */
  drawWords(context, width, height, shown) {
    context.font = `${12.48 * textScale()}px system-ui, sans-serif`;
    context.fillStyle = colour("ink");
    context.textBaseline = "bottom";
    context.textAlign = "right";
    context.fillText(words.which.initial, width - 6, height / 2 - 4);
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText({ off: words.which.final, weights: words.which.now, mask: words.lab.chance }[shown.lab], width / 2 + 6, 6);
    context.fillStyle = colour("muted");
    context.fillText(shown.lab === "mask" ? "1" : precise(shown.reachFinal, 2), width / 2 + 6, 25);
    context.fillText(`−${precise(shown.reachInitial, 2)}`, 5, height / 2 + 4);
    context.textBaseline = "bottom";
    context.fillText(shown.lab === "mask" ? "0" : `−${precise(shown.reachFinal, 2)}`, width / 2 + 6, height - 4);
    context.textAlign = "right";
    context.textBaseline = "top";
    context.fillText(precise(shown.reachInitial, 2), width - 6, height / 2 + 4);
  }

  /**
   * The kept region: where a weight of such a score would be kept.
   * @param {Shown} shown
   */
  regionImage({ setting, plane, reachInitial, reachFinal }) {
    const painted = setting.source === "painted";
    const size = painted ? CELLS : GRID;
    const canvas = new OffscreenCanvas(size, size);
    const context = canvas.getContext("2d");
    if (!context || setting.source === "round" || plane.threshold === Infinity) return canvas;
    const image = context.createImageData(size, size);
    const pixels = new Uint32Array(image.data.buffer);
    const [kept] = new Uint32Array(Uint8Array.of(...rgb("region"), 255).buffer);
    const score = criterionOf(setting.criterion).score;
    for (let y = 0; y < size; y++) {
      const row = size - 1 - y;
      for (let x = 0; x < size; x++) {
        const initial = Math.fround((((x + 0.5) / size) * 2 - 1) * reachInitial);
        const final = Math.fround((((row + 0.5) / size) * 2 - 1) * reachFinal);
        const inside = painted ? setting.region[row * CELLS + x] === 1 : score(initial, final, plane.sorted) > plane.threshold;
        if (inside) pixels[y * size + x] = kept;
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0 || !this.shown) return;
    if (event.pointerType === "touch" && this.shown.setting.source !== "painted") {
      this.finger = { x: event.clientX, y: event.clientY };
      return;
    }
    this.held = true;
    this.canvas.setPointerCapture(event.pointerId);
    this.touch(this.placeOf(event));
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { finger } = this;
    if (finger && Math.abs(event.clientX - finger.x) > Math.max(SLACK, Math.abs(event.clientY - finger.y))) this.held = true;
    const place = this.placeOf(event);
    if (this.held) this.touch(place);
    this.pointed = true;
    this.tell(place);
  }

  /** @param {PointerEvent} event a finger that only tapped puts the boundary there */
  lift(event) {
    const { finger } = this;
    if (finger && !this.held && Math.hypot(event.clientX - finger.x, event.clientY - finger.y) < SLACK) this.touch(this.placeOf(event));
    this.release();
  }

  release() {
    this.held = false;
    this.finger = null;
  }

  /**
   * A point of the plane under the pointer, from 0 to 1 to the right and upward.
   * @param {PointerEvent} event
   */
  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    /** @type {(value: number) => number} */
    const within = (value) => Math.min(Math.max(value, 0), 1 - 1e-9);
    return { x: within((event.clientX - box.left) / box.width), y: within(1 - (event.clientY - box.top) / box.height) };
  }

  /**
   * Drags the boundary to a place, or paints it.
   * @param {{x: number, y: number}} place
   */
  touch({ x, y }) {
    if (!this.shown) return;
    const { setting, reachInitial, reachFinal } = this.shown;
    if (setting.source === "painted") this.paint(Math.floor(x * CELLS), Math.floor(y * CELLS), 1);
    else if (setting.source === "criterion" && setting.criterion !== "random" && this.shown.lab !== "mask") {
      this.hands.onBoundary((2 * x - 1) * reachInitial, (2 * y - 1) * reachFinal);
    }
  }

  /**
   * @param {number} column
   * @param {number} row
   * @param {number} reach cells to every side
   */
  paint(column, row, reach) {
    const cells = [];
    for (let r = Math.max(row - reach, 0); r <= Math.min(row + reach, CELLS - 1); r++) {
      for (let c = Math.max(column - reach, 0); c <= Math.min(column + reach, CELLS - 1); c++) cells.push(r * CELLS + c);
    }
    this.hands.onPaint(cells, !this.erase);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    const { cursor } = this;
    if (step) {
      cursor.column = Math.min(Math.max(cursor.column + step[0], 0), CELLS - 1);
      cursor.row = Math.min(Math.max(cursor.row + step[1], 0), CELLS - 1);
    } else if (event.key === " " && this.shown?.setting.source === "painted") {
      const cell = cursor.row * CELLS + cursor.column;
      this.hands.onPaint([cell], !this.shown.setting.region[cell]);
    } else if (event.key === "Enter") {
      this.touch({ x: (cursor.column + 0.5) / CELLS, y: (cursor.row + 0.5) / CELLS });
    } else return;
    event.preventDefault();
    this.draw();
    this.tell({ x: (cursor.column + 0.5) / CELLS, y: (cursor.row + 0.5) / CELLS });
  }

  /**
   * @param {{x: number, y: number}} place
   * @param {Shown} shown
   */
  cellAt({ x, y }, { index, reachInitial, reachFinal, lab }) {
    const [column, row] = [Math.floor(x * CELLS), Math.floor(y * CELLS)];
    /** @type {(weight: number, reach: number) => number} */
    const cellOf = (weight, reach) => Math.floor(binOf(weight, reach) / BINS_A_CELL);
    return {
      layer: index,
      holds: (/** @type {number} */ initial, /** @type {number} */ final) =>
        cellOf(initial, reachInitial) === column && cellOf(final, lab === "mask" ? 1 : reachFinal) === row,
    };
  }

  /**
   * Says how many weights lie around a place and how many are kept; of the whole layer without a place.
   * @param {{x: number, y: number}} [place]
   */
  tell(place) {
    if (!this.shown) return;
    const { plane, layer, reachInitial, reachFinal, lab } = this.shown;
    this.hands.onPoint(place ? this.cellAt(place, this.shown) : null);
    if (!place) {
      const [all, kept] = [total(plane.all), total(plane.kept)];
      this.hands.onReading(words.which.whole(layer, kept, all));
      return;
    }
    const [column, row] = [Math.floor(place.x * CELLS), Math.floor(place.y * CELLS)];
    let all = 0;
    let kept = 0;
    for (let r = row * BINS_A_CELL; r < (row + 1) * BINS_A_CELL; r++) {
      for (let c = column * BINS_A_CELL; c < (column + 1) * BINS_A_CELL; c++) {
        all += plane.all[r * BINS + c];
        kept += plane.kept[r * BINS + c];
      }
    }
    const up = lab === "mask" ? place.y : (2 * place.y - 1) * reachFinal;
    const [x, y] = [(2 * place.x - 1) * reachInitial, up].map((each) => fixed(each, 3));
    this.hands.onReading(words.which.near(layer, x, y, kept, all));
  }
}

/** @type {(counts: Uint32Array) => number} */
const total = (counts) => counts.reduce((sum, each) => sum + each, 0);

/**
 * Weights as points: the more of them in a bin the darker; in colour as far as they are kept.
 * @param {Plane} plane
 */
function densityImage({ all, kept }) {
  const canvas = new OffscreenCanvas(BINS, BINS);
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  const image = context.createImageData(BINS, BINS);
  const most = Math.log1p(Math.max(...all));
  const grey = rgb("cloud");
  const blue = rgb("kept");
  for (let bin = 0; bin < all.length; bin++) {
    if (!all[bin]) continue;
    const share = kept[bin] / all[bin];
    const at = 4 * ((BINS - 1 - Math.floor(bin / BINS)) * BINS + (bin % BINS));
    for (let channel = 0; channel < 3; channel++) {
      image.data[at + channel] = Math.round(grey[channel] + share * (blue[channel] - grey[channel]));
    }
    const depth = Math.log1p(all[bin]) / most;
    image.data[at + 3] = Math.round(255 * (0.15 + 0.8 * depth) * (0.72 + 0.28 * share));
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
