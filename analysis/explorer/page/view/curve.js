/** Accuracy against weights remaining: the present curve, those kept to compare, and lines to compare them with. */

import { SURE, differ, standardError } from "../core/chance.js";
import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";
import { html, sizeOf, svg, textScale } from "./dom.js";
import { DASHES } from "./looks.js";

/** @typedef {import("../worker.js").Point} Point */

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {string} look its class, a name of `DASHES`
 * @property {Point[]} points
 * @property {boolean} [thin] drawn in the background, and not named
 */

/**
 * @typedef {object} Level a height to compare with
 * @property {string} name
 * @property {number} accuracy
 * @property {string} look
 */

/**
 * @typedef {object} Chart
 * @property {Line[]} lines
 * @property {Level[]} heights
 * @property {Point | null} now
 * @property {number} least the fewest weights remaining that are shown
 * @property {number} images how many each accuracy is measured on
 */

const EDGE = { left: 48, right: 14, top: 12, bottom: 46 };
/** What the words of a reference line, and the number at the marker, take at most. */
const WORDS_WIDTH = 175;
const NUMBER_WIDTH = 60;
const TICKS = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005];

export class CurveView {
  /**
   * @param {HTMLElement} place
   * @param {HTMLTableElement} table
   * @param {(text: string) => void} onReading
   * @param {(remaining: number) => void} onPick weights remaining that were clicked on
   */
  constructor(place, table, onReading, onPick) {
    this.place = place;
    this.table = table;
    this.onReading = onReading;
    /** @type {Chart} */
    this.chart = { lines: [], heights: [], now: null, least: 0.005, images: 1000 };
    this.across = 560;
    this.down = 300;
    this.picture = svg("svg", { role: "img" });
    place.append(this.picture);
    this.details = table.closest("details");
    this.details?.addEventListener("toggle", () => this.details?.open && this.tabulate());
    new ResizeObserver(() => this.fit()).observe(place);
    window.addEventListener("resize", () => this.fit());
    this.picture.addEventListener("pointermove", (event) => this.tell(this.remainingAt(event)));
    this.picture.addEventListener("pointerleave", () => this.tell());
    this.picture.addEventListener("click", (event) => onPick(this.remainingAt(event)));
  }

  /** Takes the width that there is; letters keep the size of the page's. */
  fit() {
    const width = Math.max(Math.round(sizeOf(this.place).width / textScale()), 200);
    if (width === this.across && this.picture.hasAttribute("viewBox")) return;
    this.across = width;
    this.down = Math.round(Math.min(Math.max(0.52 * width, 230), 420));
    this.picture.setAttribute("viewBox", `0 0 ${this.across} ${this.down}`);
    this.show(this.chart);
  }

  /** @param {Chart} chart */
  show(chart) {
    this.chart = chart;
    const lines = [...chart.lines].reverse().map((line) => this.line(line));
    this.picture.replaceChildren(...this.axes(), this.band(chart.lines[0]?.points ?? []), ...lines, ...chart.heights.map((each) => this.height(each)));
    if (chart.now) this.picture.append(this.marker(chart.now));
    this.picture.append(svg("line", { class: "hair", y1: EDGE.top, y2: this.down - EDGE.bottom, visibility: "hidden" }));
    this.picture.setAttribute("aria-label", this.summary());
    if (this.details?.open) this.tabulate();
    this.tell();
  }

  summary() {
    const lines = this.named.map(({ name, points }) => {
      const best = points.reduce((a, b) => (b.accuracy > a.accuracy ? b : a), points[0]);
      return best ? words.reads.bestAt(name, best.accuracy, best.remaining) : name;
    });
    const heights = this.chart.heights.map(({ name, accuracy }) => `${name}: ${percent(accuracy)}`);
    return words.reads.chart([...lines, ...heights]);
  }

  /** The lines that have a name of their own. */
  get named() {
    return this.chart.lines.filter(({ thin }) => !thin);
  }

  axes() {
    const parts = [];
    for (let tick = 0; tick <= 1; tick += 0.2) {
      const y = this.y(tick);
      parts.push(svg("line", { class: "grid", x1: EDGE.left, x2: this.across - EDGE.right, y1: y, y2: y }));
      parts.push(svg("text", { x: EDGE.left - 7, y: y + 4, "text-anchor": "end" }, `${Math.round(100 * tick)}`));
    }
    for (const tick of TICKS) {
      if (tick < this.chart.least * 0.9) continue;
      const x = this.x(tick);
      parts.push(svg("line", { class: "grid", x1: x, x2: x, y1: EDGE.top, y2: this.down - EDGE.bottom }));
      parts.push(svg("text", { x, y: this.down - EDGE.bottom + 19, "text-anchor": "middle" }, `${100 * tick}`));
    }
    const middle = (EDGE.left + this.across - EDGE.right) / 2;
    parts.push(svg("text", { class: "title", x: middle, y: this.down - 6, "text-anchor": "middle" }, words.reads.axes[0]));
    parts.push(svg("text", { class: "title", transform: `translate(13 ${(this.down - EDGE.bottom) / 2 + 6}) rotate(-90)`, "text-anchor": "middle" }, words.reads.axes[1]));
    return parts;
  }

  /** @param {Line} line */
  line({ look, points, thin }) {
    const path = points.map(({ remaining, accuracy }) => this.point(remaining, accuracy));
    const dashes = DASHES[look].join(" ");
    return svg("polyline", { class: `curve-line ${look}${thin ? " thin" : ""}`, points: path.join(" "), "stroke-dasharray": dashes || "none" });
  }

  /**
   * What chance alone explains around a curve.
   * @param {Point[]} points
   */
  band(points) {
    /** @type {(side: number) => (point: Point) => string} */
    const edge = (side) => ({ remaining, accuracy }) =>
      this.point(remaining, Math.min(Math.max(accuracy + side * SURE * standardError(accuracy, this.chart.images), 0), 1));
    return svg("polygon", { class: "band", points: [...points.map(edge(1)), ...[...points].reverse().map(edge(-1))].join(" ") });
  }

  /** @type {(remaining: number, accuracy: number) => string} */
  point(remaining, accuracy) {
    return `${this.x(remaining).toFixed(1)},${this.y(accuracy).toFixed(1)}`;
  }

  /** @param {Level} level */
  height({ name, accuracy, look }) {
    const y = this.y(accuracy);
    return svg(
      "g",
      { class: `height ${look}` },
      svg("line", { x1: EDGE.left, x2: this.across - EDGE.right, y1: y, y2: y }),
      svg("text", { x: this.across - EDGE.right - 4, y: this.wordsAt(accuracy), "text-anchor": "end" }, `${name} ${percent(accuracy)}`),
    );
  }

  /**
   * Where the words of a reference line stand: inside the chart.
   * @param {number} accuracy
   */
  wordsAt(accuracy) {
    return this.y(accuracy) + (accuracy > 0.5 ? 16 : -6);
  }

  /** @param {Point} now */
  marker(now) {
    const [x, y] = [this.x(now.remaining), this.y(now.accuracy)];
    const side = x > this.across / 2 ? "end" : "start";
    const right = side === "end" ? x - 12 : x + 12 + NUMBER_WIDTH;
    const words = this.chart.heights.map(({ accuracy }) => this.wordsAt(accuracy));
    const crowded = right > this.across - EDGE.right - WORDS_WIDTH && words.some((at) => Math.abs(at - (y - 10)) < 20);
    return svg(
      "g",
      { class: "now" },
      svg("circle", { cx: x, cy: y, r: 7 }),
      svg(
        "text",
        { x: side === "end" ? x - 12 : x + 12, y: crowded ? y + 27 : y - 10, "text-anchor": side },
        percent(now.accuracy),
      ),
    );
  }

  /** @type {(remaining: number) => number} */
  x(remaining) {
    const along = Math.log(Math.max(remaining, this.chart.least)) / Math.log(this.chart.least);
    return EDGE.left + along * (this.across - EDGE.left - EDGE.right);
  }

  /** @type {(accuracy: number) => number} */
  y(accuracy) {
    return this.down - EDGE.bottom - accuracy * (this.down - EDGE.top - EDGE.bottom);
  }

  /** @param {MouseEvent} event */
  remainingAt(event) {
    const box = this.picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.across;
    const along = (x - EDGE.left) / (this.across - EDGE.left - EDGE.right);
    return this.chart.least ** Math.min(Math.max(along, 0), 1);
  }

  /**
   * Says what all curves are at some weights remaining: side by side at equal sparsity.
   * @param {number} [remaining]
   */
  tell(remaining) {
    const hair = this.picture.querySelector(".hair");
    const at = remaining ?? this.chart.now?.remaining;
    hair?.setAttribute("visibility", remaining === undefined ? "hidden" : "visible");
    if (at === undefined) return;
    hair?.setAttribute("x1", String(this.x(at)));
    hair?.setAttribute("x2", String(this.x(at)));
    const known = this.named.filter(({ points }) => points.length).map(({ name, points }) => ({ name, ...nearest(points, at) }));
    const values = known.map(({ name, accuracy }) => `${name}: ${percent(accuracy)}`);
    const [present, ...others] = known;
    const same = others.filter(({ accuracy }) => !differ(present.accuracy, accuracy, this.chart.images)).map(({ name }) => name);
    const parts = [values.length ? words.reads.at(at, values) : "", same.length ? words.reads.clear(same.join(", ")) : ""];
    this.onReading(parts.filter(Boolean).join(" "));
  }

  tabulate() {
    const lines = this.named;
    const rows = lines[0]?.points ?? [];
    const head = html("tr", {}, html("th", { scope: "col" }, words.reads.remaining), ...lines.map(({ name }) => html("th", { scope: "col" }, name)));
    const body = rows.map(({ remaining }) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, percent(remaining)),
        ...lines.map(({ points }) => html("td", {}, points.length ? percent(nearest(points, remaining).accuracy) : "–")),
      ),
    );
    this.table.replaceChildren(html("caption", {}, words.reads.table), html("thead", {}, head), html("tbody", {}, ...body));
  }
}

/**
 * The point of a curve that is nearest to some weights remaining.
 * @param {Point[]} points
 * @param {number} remaining
 */
export function nearest(points, remaining) {
  /** @type {(point: Point) => number} */
  const distance = (point) => Math.abs(Math.log(point.remaining / remaining));
  return points.reduce((a, b) => (distance(b) < distance(a) ? b : a), points[0]);
}
