/**
 * The network drawn: an image at the left, a sample of units and of the weights between them, the answer at the right.
 * Kept weights are coloured by their sign, pruned ones faint; the brighter, the more passes along them.
 */

import { words } from "../words/index.js";
import { fixed } from "../words/numbers.js";
import { colour, rgb, sharp, textScale } from "./dom.js";

/** @typedef {import("../core/flow.js").Sample} Sample */
/** @typedef {import("../core/flow.js").Flow} Flow */
/** @typedef {import("../core/flow.js").Edge} Edge */

/** @typedef {{layer: number, at: number}} Node a unit: its layer, and its place among those shown */

/**
 * @typedef {object} Hands
 * @property {(edge: {layer: number, initial: number, final: number} | null) => void} onEdge the weight that is pointed at
 * @property {(unit: number) => void} onUnit a unit of the first layer is chosen
 * @property {(layer: number) => void} onLayer a weight of this layer is chosen
 * @property {(text: string) => void} onReading
 */

/** How long an image takes from left to right, in ms. */
const PASSAGE = 900;
const RADIUS = 6;
/** How much of a weight is seen at least. */
const FAINT = 0.1;

export class NetView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Sample} sample
   * @param {{width: number, height: number}} image
   * @param {Hands} hands
   */
  constructor(canvas, sample, image, hands) {
    this.canvas = canvas;
    this.sample = sample;
    this.image = image;
    this.hands = hands;
    /** @type {Flow | null} */
    this.flow = null;
    /** @type {Node | null} */
    this.node = null;
    /** The edge that is pointed at; -1 for none. */
    this.edge = -1;
    /** @type {Set<number>} edges whose weights lie where the plane is pointed at */
    this.lit = new Set();
    /** Where things stand, in CSS pixels. */
    this.frame = { side: 0, top: 0, width: 0, height: 0 };
    /** How far the image has come: from 0 to 1. */
    this.come = 1;
    /** Whether the next frame draws. */
    this.waiting = false;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("click", () => this.choose());
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    // Hundreds of lines take longer to draw than all the rest: nothing is drawn out of sight.
    this.inSight = true;
    new IntersectionObserver((seen) => {
      this.inSight = seen[seen.length - 1].isIntersecting; // the first ones may be out of date
      if (this.inSight) this.drawNext();
    }).observe(canvas);
  }

  /** @param {Flow} flow */
  show(flow) {
    const moved = this.flow === null || flow.image.some((value, at) => value !== this.flow?.image[at]);
    this.flow = flow;
    if (moved && this.inSight && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.send();
    else this.drawNext();
    this.tell();
  }

  /** Draws in the next frame: hundreds of lines beside all that changes in this one are a long task. */
  drawNext() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  /** Sends the image through from the left. */
  send() {
    const begun = performance.now();
    const step = () => {
      this.come = Math.min((performance.now() - begun) / PASSAGE, 1);
      this.draw();
      if (this.come < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /**
   * Marks the edges whose weights lie in a cell of the plane.
   * @param {{layer: number, holds: (initial: number, final: number) => boolean} | null} cell
   */
  light(cell) {
    const { flow, sample } = this;
    const found = cell && flow ? sample.edges.flatMap(({ layer }, at) => (layer === cell.layer && cell.holds(flow.initial[at], flow.final[at]) ? [at] : [])) : [];
    if (!found.length && !this.lit.size) return;
    this.lit = new Set(found);
    this.draw();
  }

  /**
   * Takes the room that there is, once a drawing: asking the page for it takes longer than drawing.
   * @param {number} width
   * @param {number} height
   */
  measure(width, height) {
    const side = Math.min(height - 16, 0.26 * width);
    this.frame = { side, top: (height - side) / 2, width, height };
  }

  /**
   * @param {Node} node
   * @returns {[number, number]}
   */
  place({ layer, at }) {
    const { side, width, height } = this.frame;
    const columns = this.sample.units.length;
    const x = side + 12 + ((layer + 1) * (width - side - 60)) / columns;
    return [x, 10 + ((at + 0.5) * (height - 20)) / this.sample.units[layer].length];
  }

  /**
   * The ends of an edge.
   * @param {Edge} edge
   * @returns {[number, number, number, number]}
   */
  ends({ layer, from, to }) {
    const { units } = this.sample;
    const end = this.place({ layer, at: units[layer].indexOf(to) });
    if (layer) return [...this.place({ layer: layer - 1, at: units[layer - 1].indexOf(from) }), ...end];
    const { side, top } = this.frame;
    const { width, height } = this.image;
    return [6 + (((from % width) + 0.5) * side) / width, top + ((Math.floor(from / width) + 0.5) * side) / height, ...end];
  }

  draw() {
    if (!this.inSight) return;
    const { context, width, height } = sharp(this.canvas);
    const { flow, sample } = this;
    context.clearRect(0, 0, width, height);
    if (!flow || !width) return;
    this.measure(width, height);
    this.drawImage(context, flow);
    const most = sample.units.map((_, layer) => flow.values.reduce((top, value, at) => (sample.edges[at].layer === layer ? Math.max(top, Math.abs(value)) : top), 1e-9));
    const colours = { positive: colour("kept"), negative: colour("other"), pruned: colour("line"), ink: colour("ink"), paper: colour("paper"), present: colour("present"), accent: colour("accent"), muted: colour("muted") };
    const largest = flow.activations.map((values) => values.reduce((top, value) => Math.max(top, value), 1e-9));
    sample.edges.forEach((edge, at) => {
      const source = edge.layer ? flow.activations[edge.layer - 1] : flow.image;
      const passes = Math.min(Math.abs(source[edge.from]) / (edge.layer ? largest[edge.layer - 1] : 1), 1);
      const arrived = Math.min(Math.max(this.come * (sample.units.length + 0.5) - edge.layer, 0), 1);
      const strength = Math.abs(flow.values[at]) / most[edge.layer];
      const pointed = at === this.edge || this.lit.has(at);
      const seen = pointed ? 1 : flow.kept[at] ? FAINT + 0.75 * passes * arrived * Math.sqrt(strength) : FAINT;
      context.globalAlpha = seen;
      context.strokeStyle = pointed ? colours.ink : !flow.kept[at] ? colours.pruned : flow.values[at] > 0 ? colours.positive : colours.negative;
      context.lineWidth = pointed ? 3 : flow.kept[at] ? 0.6 + 2 * strength : 0.6;
      // Dashes take most of the time of a frame, and where nothing passes they are too faint to be told from a line.
      context.setLineDash(flow.values[at] < 0 && flow.kept[at] && seen > 2 * FAINT ? [5, 2] : []);
      const [x, y, u, v] = this.ends(edge);
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(u, v);
      context.stroke();
    });
    context.setLineDash([]);
    context.globalAlpha = 1;
    this.drawUnits(context, flow, colours);
  }

  /**
   * The image; or the field of the unit that is pointed at.
   * @param {CanvasRenderingContext2D} context
   * @param {Flow} flow
   */
  drawImage(context, flow) {
    const { side, top } = this.frame;
    const { width, height } = this.image;
    const picture = new OffscreenCanvas(width, height);
    const own = picture.getContext("2d");
    if (!own) return;
    const field = this.node?.layer === 0 ? flow.fields.subarray(this.node.at * width * height, (this.node.at + 1) * width * height) : null;
    const most = field ? field.reduce((top, weight) => Math.max(top, Math.abs(weight)), 1e-9) : 1;
    const [none, positive, negative, ink, paper] = ["map", "kept", "other", "ink", "paper"].map(rgb);
    const data = own.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      const [from, to, share] = field
        ? [none, field[pixel] > 0 ? positive : negative, Math.abs(field[pixel]) / most]
        : [paper, ink, flow.image[pixel]];
      for (let channel = 0; channel < 3; channel++) data.data[4 * pixel + channel] = from[channel] + share * (to[channel] - from[channel]);
      data.data[4 * pixel + 3] = 255;
    }
    own.putImageData(data, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 6, top, side, side);
    context.strokeStyle = colour("edge");
    context.strokeRect(6, top, side, side);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Flow} flow
   * @param {Record<"paper" | "present" | "ink" | "pruned" | "accent" | "muted", string>} colours
   */
  drawUnits(context, flow, colours) {
    const last = this.sample.units.length - 1;
    const outputs = flow.activations[last];
    const best = outputs.indexOf(Math.max(...outputs));
    const [low, high] = [Math.min(...outputs), Math.max(...outputs)];
    context.textBaseline = "middle";
    const letters = textScale();
    this.sample.units.forEach((units, layer) => {
      const most = Math.max(...flow.activations[layer], 1e-9);
      units.forEach((unit, at) => {
        const [x, y] = this.place({ layer, at });
        const value = flow.activations[layer][unit];
        const pointed = this.node?.layer === layer && this.node.at === at;
        const share = layer === last ? (value - low) / Math.max(high - low, 1e-9) : Math.max(value, 0) / most;
        context.beginPath();
        context.arc(x, y, RADIUS, 0, 2 * Math.PI);
        context.fillStyle = colours.paper;
        context.fill();
        context.globalAlpha = this.come * (last + 1.5) > layer + 0.5 ? share : 0;
        context.fillStyle = colours.present;
        context.fill();
        context.globalAlpha = 1;
        context.strokeStyle = pointed ? colours.ink : colours.pruned;
        context.lineWidth = pointed ? 3 : 1;
        context.stroke();
        if (layer < last) return;
        const chosen = unit === best && this.come === 1 && high > low;
        context.font = `${chosen ? "bold " : ""}${(chosen ? 20 : 14) * letters}px system-ui, sans-serif`;
        context.fillStyle = chosen ? colours.accent : colours.muted;
        context.fillText(String(unit), x + 14, y);
      });
    });
  }

  /** @param {PointerEvent} event */
  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    /** @type {Node | null} */
    let node = null;
    this.sample.units.forEach((units, layer) =>
      units.forEach((_, at) => {
        const [u, v] = this.place({ layer, at });
        if (Math.hypot(u - x, v - y) < RADIUS + 3) node = { layer, at };
      }),
    );
    let [edge, nearest] = [-1, 5];
    if (!node) {
      this.sample.edges.forEach((each, at) => {
        const distance = fromSegment(x, y, ...this.ends(each));
        // Where lines cross, a kept one is meant.
        const meant = distance - (this.flow?.kept[at] ? 2 : 0);
        if (distance < 5 && meant < nearest) [edge, nearest] = [at, meant];
      });
    }
    this.aim(node, edge);
  }

  /**
   * @param {Node | null} node
   * @param {number} edge
   */
  aim(node, edge) {
    [this.node, this.edge] = [node, edge];
    this.draw();
    this.tell();
  }

  leave() {
    if (document.activeElement !== this.canvas) this.aim(null, -1);
  }

  /** Takes what is pointed at: a unit's field, or the plane of a weight's layer. */
  choose() {
    if (this.node?.layer === 0) this.hands.onUnit(this.sample.units[0][this.node.at]);
    else if (this.edge >= 0) this.hands.onLayer(this.sample.edges[this.edge].layer);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { layer, at } = this.node ?? { layer: 0, at: -1 };
    const { units, edges } = this.sample;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = Math.min(Math.max(at + (event.key === "ArrowDown" ? 1 : -1), 0), units[layer].length - 1);
      this.aim({ layer, at: next }, -1);
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const next = Math.min(Math.max(layer + (event.key === "ArrowRight" ? 1 : -1), 0), units.length - 1);
      this.aim({ layer: next, at: Math.min(Math.max(at, 0), units[next].length - 1) }, -1);
    } else if (event.key === " ") {
      const to = units[layer][Math.max(at, 0)];
      const own = edges.flatMap((edge, index) => (edge.layer === layer && edge.to === to ? [index] : []));
      this.aim({ layer, at: Math.max(at, 0) }, own[(own.indexOf(this.edge) + 1) % Math.max(own.length, 1)] ?? -1);
    } else if (event.key === "Enter") this.choose();
    else return;
    event.preventDefault();
  }

  /** Says what is pointed at; else what the network makes of the image. */
  tell() {
    const { flow, node, sample } = this;
    if (!flow) return;
    if (this.edge >= 0) {
      const { layer, from, to } = sample.edges[this.edge];
      const source = layer ? words.net.unit(from) : words.seen.pixel(Math.floor(from / this.image.width) + 1, (from % this.image.width) + 1);
      const [initial, final] = [flow.initial[this.edge], flow.final[this.edge]];
      this.hands.onEdge({ layer, initial, final });
      this.hands.onReading(words.net.edge(source, layer === sample.units.length - 1 ? words.net.output(to) : words.net.unit(to), fixed(initial, 3), fixed(final, 3), flow.kept[this.edge] === 1, fixed(flow.values[this.edge], 3)));
      return;
    }
    this.hands.onEdge(null);
    const outputs = flow.activations[flow.activations.length - 1];
    const best = outputs.indexOf(Math.max(...outputs));
    if (node) {
      const unit = sample.units[node.layer][node.at];
      const name = node.layer === sample.units.length - 1 ? words.net.output(unit) : words.net.unit(unit);
      this.hands.onReading(words.net.puts(name, fixed(flow.activations[node.layer][unit], 2), node.layer === 0));
    } else this.hands.onReading(words.net.answer(best, flow.kept.reduce((sum, kept) => sum + kept, 0), flow.kept.length));
  }
}

/**
 * How far a point is from a line between two points.
 * @type {(x: number, y: number, a: number, b: number, c: number, d: number) => number}
 */
function fromSegment(x, y, a, b, c, d) {
  const [u, v] = [c - a, d - b];
  const along = Math.min(Math.max(((x - a) * u + (y - b) * v) / Math.max(u * u + v * v, 1e-9), 0), 1);
  return Math.hypot(x - a - along * u, y - b - along * v);
}
