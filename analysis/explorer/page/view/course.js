/** Loss and accuracy of a training, step by step. */

import { words } from "../words/index.js";
import { fixed, percent } from "../words/numbers.js";
import { sizeOf, svg, textScale } from "./dom.js";

/** @typedef {import("../core/lab.js").Moment} Moment */

const HEIGHT = 190;
const EDGE = { left: 40, right: 40, bottom: 24 };
/** Below this width the words of the two lines stand one under the other. */
const NARROW = 440;

export class CourseView {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.picture = svg("svg", { role: "img", "aria-label": words.lab.chart });
    place.append(this.picture);
    /** @type {{course: Moment[], length: number}} */
    this.shown = { course: [], length: 0 };
    const again = () => this.show(this.shown.course, this.shown.length);
    new ResizeObserver(again).observe(place);
    window.addEventListener("resize", again);
  }

  /**
   * @param {Moment[]} course
   * @param {number} length steps of a whole training
   */
  show(course, length) {
    this.shown = { course, length };
    // In the width that there is, so that letters have the size of the page's.
    const across = Math.max(Math.round(sizeOf(this.place).width / textScale()), 200);
    const [top, below] = across < NARROW ? [44, 31] : [26, 14];
    this.picture.setAttribute("viewBox", `0 0 ${across} ${HEIGHT}`);
    const last = course.at(-1);
    const steps = Math.max(length, last?.step ?? 0, 1);
    const losses = course.filter(({ loss }) => Number.isFinite(loss));
    const most = Math.max(...losses.map(({ loss }) => loss), 0.1);
    /** @type {(step: number) => number} */
    const x = (step) => EDGE.left + (step / steps) * (across - EDGE.left - EDGE.right);
    /** @type {(share: number) => number} */
    const y = (share) => HEIGHT - EDGE.bottom - share * (HEIGHT - top - EDGE.bottom);
    /** @type {(points: [number, number][]) => string} */
    const path = (points) => points.map(([step, share]) => `${x(step).toFixed(1)},${y(share).toFixed(1)}`).join(" ");
    const grid = [0, 0.5, 1].flatMap((share) => [
      svg("line", { class: "grid", x1: EDGE.left, x2: across - EDGE.right, y1: y(share), y2: y(share) }),
      svg("text", { x: EDGE.left - 6, y: y(share) + 4, "text-anchor": "end" }, String(100 * share)),
      svg("text", { x: across - EDGE.right + 6, y: y(share) + 4 }, losses.length ? fixed(share * most, most < 1 ? 2 : 1) : ""),
    ]);
    this.picture.replaceChildren(
      ...grid,
      svg("text", { class: "accuracy-words", x: EDGE.left, y: 14 }, `— ${words.lab.axes[0]}, %`),
      svg("text", { class: "loss-words", x: across - EDGE.right, y: below, "text-anchor": "end" }, `┄ ${words.lab.axes[1]}`),
      svg("text", { x: EDGE.left, y: HEIGHT - 6 }, "0"),
      svg("text", { x: across - EDGE.right, y: HEIGHT - 6, "text-anchor": "end" }, `${words.lab.axes[2]} ${steps}`),
      svg("polyline", { class: "accuracy-line", points: path(course.map(({ step, accuracy }) => [step, accuracy])) }),
      svg("polyline", { class: "loss-line", "stroke-dasharray": "5 3", points: path(losses.map(({ step, loss }) => [step, loss / most])) }),
    );
    if (last) this.picture.setAttribute("aria-label", `${words.lab.chart}: ${percent(last.accuracy)}`);
  }
}
