/** Test digits with what the network makes of them; which classes it confuses. */

import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";
import { html } from "./dom.js";

/** @typedef {import("../core/bundle.js").Manifest} Manifest */

const A_CLASS = 2;

/**
 * What every class is called: its number where it has no name.
 * @param {Manifest} manifest
 * @returns {string[]}
 */
export const namesOf = ({ classes, about }) => Array.from({ length: classes }, (_, c) => about.class_names[c] ?? String(c));

/** A strip of test digits: the first two of every class. */
export class StripView {
  /**
   * @param {HTMLUListElement} place
   * @param {Manifest} manifest
   * @param {Uint8Array} images
   * @param {(image: number) => void} onChosen
   */
  constructor(place, manifest, images, onChosen) {
    this.manifest = manifest;
    const { labels, classes } = manifest;
    const classesInTurn = Array.from({ length: classes }, (_, c) => c);
    this.shown = classesInTurn.flatMap((c) =>
      labels.flatMap((label, image) => (label === c ? [image] : [])).slice(0, A_CLASS),
    );
    this.captions = this.shown.map(() => html("span", { class: "guess" }));
    this.buttons = this.shown.map((image, at) => {
      const button = html("button", { type: "button", "aria-pressed": "false" }, picture(manifest, images, image), this.captions[at]);
      button.addEventListener("click", () => onChosen(image));
      return button;
    });
    place.replaceChildren(...this.buttons.map((button) => html("li", {}, button)));
  }

  /**
   * @param {Uint8Array} found
   * @param {number} chosen
   */
  show(found, chosen) {
    this.shown.forEach((image, at) => {
      this.buttons[at].setAttribute("aria-pressed", String(image === chosen));
      const [right, seen] = [this.manifest.labels[image], found[image]];
      this.captions[at].textContent = `${seen} ${right === seen ? "✓" : "✗"}`;
      this.captions[at].className = `guess ${right === seen ? "right" : "wrong"}`;
      this.captions[at].setAttribute("aria-label", words.reads.one(right, seen));
      this.captions[at].setAttribute("role", "img");
    });
  }
}

/**
 * An image element, not a canvas: a browser gives each canvas a layer of its own, and twenty of them doubled every frame.
 * @param {Manifest} manifest
 * @param {Uint8Array} images
 * @param {number} image
 * @returns {HTMLImageElement}
 */
export function picture({ image: { width, height, maximum } }, images, image) {
  const canvas = html("canvas", { width, height });
  const context = canvas.getContext("2d");
  const data = context?.createImageData(width, height);
  if (context && data) {
    for (let pixel = 0; pixel < width * height; pixel++) {
      const grey = 255 - Math.round((255 * images[image * width * height + pixel]) / maximum);
      data.data.set([grey, grey, grey, 255], 4 * pixel);
    }
    context.putImageData(data, 0, 0);
  }
  return html("img", { src: canvas.toDataURL(), width, height, alt: "", class: "digit" });
}

/** How often every digit is read as every other. */
export class ConfusionView {
  /**
   * @param {HTMLTableElement} table
   * @param {Manifest} manifest
   * @param {(text: string) => void} onReading
   */
  constructor(table, manifest, onReading) {
    this.manifest = manifest;
    const classes = Array.from({ length: manifest.classes }, (_, c) => c);
    const names = namesOf(manifest);
    /** @type {(c: number) => Record<string, string>} the whole name, where there is room for a number alone */
    const named = (c) => (names[c] === String(c) ? { scope: "col" } : { scope: "col", title: names[c], "aria-label": names[c] });
    /** @type {HTMLTableCellElement[][]} */
    this.cells = classes.map(() => classes.map(() => html("td")));
    this.shares = classes.map(() => html("td", { class: "share" }));
    table.replaceChildren(
      html("caption", {}, words.confusion.caption),
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, words.confusion.digit), ...classes.map((c) => html("th", named(c), String(c))), html("th", { scope: "col" }, words.confusion.right))),
      html("tbody", {}, ...classes.map((c) => html("tr", {}, html("th", { scope: "row" }, names[c] === String(c) ? names[c] : `${c} ${names[c]}`), ...this.cells[c], this.shares[c]))),
    );
    table.addEventListener("pointerover", ({ target }) => {
      const row = this.cells.findIndex((cells) => cells.some((cell) => cell === target));
      if (row < 0) return onReading("");
      const column = this.cells[row].findIndex((cell) => cell === target);
      return onReading(words.confusion.cell(this.cells[row][column].textContent ?? "", row, column));
    });
  }

  /** @param {Uint8Array} found */
  show(found) {
    const { labels, classes } = this.manifest;
    const counts = Array.from({ length: classes }, () => new Array(classes).fill(0));
    labels.forEach((label, image) => counts[label][found[image]]++);
    counts.forEach((row, right) => {
      const total = row.reduce((sum, each) => sum + each, 0);
      row.forEach((count, seen) => {
        const cell = this.cells[right][seen];
        cell.textContent = String(count);
        cell.className = `${count === 0 ? "none" : right === seen ? "hit" : "miss"} deep-${Math.ceil((4 * count) / Math.max(total, 1))}`;
      });
      this.shares[right].textContent = total ? percent(row[right] / total) : "–";
    });
  }
}
