/** Files to keep: a picture of the plane and the curves, tables, masks. */

import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";
import { colour } from "./dom.js";
import { DASHES } from "./looks.js";

/** @typedef {import("./curve.js").Chart} Chart */

/**
 * Hands a file to the user.
 * @param {string} name
 * @param {Blob} content
 */
export function save(name, content) {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  [link.href, link.download] = [address, name];
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const [WIDTH, HEIGHT] = [1280, 720];

/**
 * The plane and the curves with the headline above and what it was made from below.
 * @param {HTMLCanvasElement} plane
 * @param {Chart} chart
 * @param {{headline: string, explanation: string, caption: string}} words
 * @returns {Promise<Blob>} a PNG
 */
export function picture(plane, chart, { headline, explanation, caption }) {
  const canvas = new OffscreenCanvas(2 * WIDTH, 2 * HEIGHT);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser cannot draw on a canvas.");
  context.scale(2, 2);
  context.fillStyle = colour("paper");
  context.fillRect(0, 0, WIDTH, HEIGHT);
  context.fillStyle = colour("ink");
  context.font = "600 30px Georgia, serif";
  context.fillText(headline, 40, 60, WIDTH - 80);
  context.font = "17px Georgia, serif";
  context.fillText(explanation, 40, 92, WIDTH - 80);
  const [width, height] = [560, (560 * plane.height) / plane.width];
  context.drawImage(plane, 40, 130, width, height);
  context.strokeStyle = colour("line");
  context.strokeRect(40, 130, width, height);
  drawChart(context, chart, { left: 680, top: 130, width: 550, height: 373 });
  context.fillStyle = colour("muted");
  context.font = "14px system-ui, sans-serif";
  context.fillText(caption, 40, HEIGHT - 30, WIDTH - 80);
  return canvas.convertToBlob({ type: "image/png" });
}

/**
 * @param {OffscreenCanvasRenderingContext2D} context
 * @param {Chart} chart
 * @param {{left: number, top: number, width: number, height: number}} box
 */
function drawChart(context, chart, { left, top, width, height }) {
  /** @type {(remaining: number) => number} */
  const x = (remaining) => left + (width * Math.log(Math.max(remaining, chart.least))) / Math.log(chart.least);
  /** @type {(accuracy: number) => number} */
  const y = (accuracy) => top + height * (1 - accuracy);
  context.font = "14px system-ui, sans-serif";
  for (let tick = 0; tick <= 1.01; tick += 0.2) {
    context.strokeStyle = colour("grid");
    context.strokeRect(left, y(tick), width, 0);
    context.fillStyle = colour("muted");
    context.textAlign = "right";
    context.fillText(`${Math.round(100 * tick)}%`, left - 8, y(tick) + 5);
  }
  context.textAlign = "center";
  for (const tick of [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01]) {
    context.fillText(`${100 * tick}`, x(tick), top + height + 20);
  }
  context.fillText(words.reads.axes.join("; ↑ "), left + width / 2, top + height + 42);
  let row = top + height + 66;
  for (const { name, look, points, thin } of chart.lines) {
    context.strokeStyle = context.fillStyle = colour(look);
    context.lineWidth = thin ? 1 : look === "present" ? 3 : 2;
    context.setLineDash([...DASHES[look]]);
    context.beginPath();
    for (const point of points) context.lineTo(x(point.remaining), y(point.accuracy));
    context.stroke();
    if (thin) continue;
    context.beginPath();
    context.moveTo(left, row - 5);
    context.lineTo(left + 34, row - 5);
    context.stroke();
    context.textAlign = "left";
    context.fillText(name, left + 44, row, width - 44);
    row += 18;
  }
  context.setLineDash([]);
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const { name, accuracy } of chart.heights) {
    context.strokeStyle = context.fillStyle = colour("ink");
    context.strokeRect(left, y(accuracy), width, 0);
    context.fillText(`${name} ${percent(accuracy)}`, left + width - 4, accuracy > 0.5 ? y(accuracy) + 16 : y(accuracy) - 5);
  }
  context.textAlign = "left";
  if (chart.now) {
    context.fillStyle = colour("present");
    context.beginPath();
    context.arc(x(chart.now.remaining), y(chart.now.accuracy), 8, 0, 2 * Math.PI);
    context.fill();
  }
}
