/** The list of what was tried, and how to go back to it. */

import { html, percent } from "./dom.js";
import { maskWords, valueWords } from "./words.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * @typedef {object} Try
 * @property {string} address that brings the state back
 * @property {Setting} setting
 * @property {number} remaining
 * @property {number} accuracy
 */

const MOST = 200;

export class Tries {
  /**
   * @param {HTMLTableElement} table
   * @param {Manifest} manifest
   * @param {(address: string) => void} onReturn
   */
  constructor(table, manifest, onReturn) {
    this.manifest = manifest;
    this.onReturn = onReturn;
    /** @type {Try[]} */
    this.all = [];
    this.body = html("tbody");
    const heads = ["#", "mask", "values", "seed", "remaining", "read right", ""];
    table.replaceChildren(
      html("caption", { class: "hidden" }, "What you tried, newest first"),
      html("thead", {}, html("tr", {}, ...heads.map((head) => (head ? html("th", { scope: "col" }, head) : html("td"))))),
      this.body,
    );
  }

  /**
   * Adds a try, unless it is the newest one again.
   * @param {Try} tried
   */
  add(tried) {
    if (this.all.at(-1)?.address === tried.address) return;
    this.all.push(tried);
    if (this.all.length > MOST) this.all.shift();
    this.body.prepend(this.row(tried, this.all.length));
    while (this.body.rows.length > MOST) this.body.deleteRow(-1);
  }

  /**
   * @param {Try} tried
   * @param {number} number
   */
  row({ address, setting, remaining, accuracy }, number) {
    const back = html("button", { type: "button", class: "small-button", "aria-label": `Go back to try ${number}` }, "show");
    back.addEventListener("click", () => this.onReturn(address));
    return html(
      "tr",
      {},
      html("td", {}, String(number)),
      html("th", { scope: "row" }, maskWords(setting)),
      html("td", {}, valueWords(setting, this.manifest)),
      html("td", {}, String(this.manifest.seeds[setting.seed].seed)),
      html("td", { class: "share" }, percent(remaining)),
      html("td", { class: "share" }, percent(accuracy)),
      html("td", {}, back),
    );
  }

  /** The list as CSV: a row a try, fractions in [0, 1]. */
  csv() {
    const { manifest } = this;
    const head = "try,mask,criterion,level,round,kept,signs,pruned,flipped,seed,weights_remaining,accuracy,images,address";
    const rows = this.all.map(({ address, setting, remaining, accuracy }, at) =>
      [
        at + 1,
        setting.source,
        setting.source === "criterion" ? setting.criterion : "",
        setting.source === "criterion" ? setting.level / 4 : "",
        setting.source === "round" ? setting.round : "",
        setting.kept,
        setting.kept === "initial" || setting.signs ? "own" : "random",
        setting.pruned,
        manifest.layers.filter((_, layer) => setting.flipped[layer]).map(({ name }) => name).join(" "),
        manifest.seeds[setting.seed].seed,
        remaining,
        accuracy,
        manifest.labels.length,
        `#${address}`,
      ].join(","),
    );
    return [head, ...rows, ""].join("\n");
  }
}
