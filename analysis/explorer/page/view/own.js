/** A digit of one's own: a pad to draw on, made into an image like those of the test set. */

import { largest } from "../core/network.js";
import { html } from "./dom.js";

const SIDE = 224;
const STEP = 8;

export class OwnView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLOListElement} bars
   * @param {{width: number, height: number, names: string[]}} shape of an image, and the classes' names
   * @param {(pixels: Uint8Array | null) => void} onDrawn
   */
  constructor(canvas, bars, shape, onDrawn) {
    this.canvas = canvas;
    this.shape = shape;
    this.onDrawn = (/** @type {Uint8Array | null} */ pixels) => {
      this.told = pixels;
      onDrawn(pixels);
    };
    /** @type {Uint8Array | null} the image that was told last */
    this.told = null;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("This browser cannot draw on a canvas.");
    this.context = context;
    this.pen = { x: SIDE / 2, y: SIDE / 4, down: false };
    this.drawing = false;
    bars.classList.toggle("named", shape.names.some((name, c) => name !== String(c)));
    this.bars = shape.names.map((name) => {
      const meter = html("span", { class: "bar" });
      return { meter, item: html("li", {}, html("span", { class: "name" }, name), meter) };
    });
    bars.replaceChildren(...this.bars.map(({ item }) => item));
    canvas.addEventListener("pointerdown", (event) => this.start(event));
    canvas.addEventListener("pointermove", (event) => this.drawing && this.lineTo(this.placeOf(event)));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => this.lift());
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.empty();
  }

  /** Wipes the pad. */
  empty() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, SIDE, SIDE);
    this.context.strokeStyle = "#000";
    this.context.lineWidth = SIDE / 12;
    this.context.lineCap = this.context.lineJoin = "round";
  }

  /**
   * Shows a finished image, as an address or an undo brings it back; a drawing under way is left as it is.
   * @param {Uint8Array | null} pixels
   */
  restore(pixels) {
    if (pixels === this.told) return;
    this.told = pixels;
    this.empty();
    if (!pixels) return;
    const [w, h] = [SIDE / this.shape.width, SIDE / this.shape.height];
    pixels.forEach((pixel, at) => {
      this.context.fillStyle = `rgb(${255 - pixel}, ${255 - pixel}, ${255 - pixel})`;
      this.context.fillRect((at % this.shape.width) * w, Math.floor(at / this.shape.width) * h, w, h);
    });
  }

  /**
   * The network's outputs as bars from its lowest to its highest; empty without a digit.
   * @param {Float64Array | null} outputs
   * @returns {number} the class that is read; -1 without a digit
   */
  show(outputs) {
    const low = outputs ? Math.min(...outputs) : 0;
    const range = outputs ? Math.max(...outputs) - low : 0;
    const best = outputs && range > 0 ? largest(outputs) : outputs ? 0 : -1;
    this.bars.forEach(({ meter, item }, c) => {
      meter.style.inlineSize = outputs && range > 0 ? `${Math.round((100 * (outputs[c] - low)) / range)}%` : "0";
      item.classList.toggle("best", c === best);
    });
    return best;
  }

  /** @param {PointerEvent} event */
  start(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.context.beginPath();
    const { x, y } = this.placeOf(event);
    this.context.moveTo(x, y);
    this.lineTo({ x: x + 0.1, y });
  }

  /** @param {{x: number, y: number}} place */
  lineTo({ x, y }) {
    this.context.strokeStyle = "#000";
    this.context.lineTo(x, y);
    this.context.stroke();
    this.onDrawn(this.pixels());
  }

  lift() {
    if (this.drawing) this.onDrawn(this.pixels());
    this.drawing = false;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const step = steps[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (!step) this.pen.down = !this.pen.down;
    const from = { ...this.pen };
    if (step) {
      this.pen.x = Math.min(Math.max(this.pen.x + step[0], 0), SIDE);
      this.pen.y = Math.min(Math.max(this.pen.y + step[1], 0), SIDE);
    }
    if (!this.pen.down) return;
    this.context.beginPath();
    this.context.moveTo(from.x, from.y);
    this.lineTo({ x: this.pen.x + 0.1, y: this.pen.y });
  }

  /** @param {PointerEvent} event */
  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  }

  /**
   * The drawing as the test images were made: scaled into a box of 20/28 of the image, its centre of mass in the middle.
   * In 16 shades, so that an address can hold it. Null where nothing is drawn.
   * @returns {Uint8Array | null}
   */
  pixels() {
    const { width, height } = this.shape;
    const ink = this.context.getImageData(0, 0, SIDE, SIDE).data;
    const box = { left: SIDE, top: SIDE, right: -1, bottom: -1 };
    let [mass, massX, massY] = [0, 0, 0];
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const dark = 255 - ink[4 * (y * SIDE + x)];
        if (dark < 32) continue;
        [mass, massX, massY] = [mass + dark, massX + dark * (x + 0.5), massY + dark * (y + 0.5)];
        [box.left, box.right] = [Math.min(box.left, x), Math.max(box.right, x + 1)];
        [box.top, box.bottom] = [Math.min(box.top, y), Math.max(box.bottom, y + 1)];
      }
    }
    if (!mass) return null;
    const scale = ((20 / 28) * width) / Math.max(box.right - box.left, box.bottom - box.top);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) return null;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.setTransform(scale, 0, 0, scale, width / 2 - (scale * massX) / mass, height / 2 - (scale * massY) / mass);
    context.drawImage(this.canvas, 0, 0);
    const shades = context.getImageData(0, 0, width, height).data;
    return Uint8Array.from({ length: width * height }, (_, at) => 17 * Math.round((255 - shades[4 * at]) / 17));
  }
}
