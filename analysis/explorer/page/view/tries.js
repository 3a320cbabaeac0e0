/** The list of what was tried, and how to go back to it. */

import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";
import { maskWords, valueWords } from "../words/settings.js";
import { html } from "./dom.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * @typedef {object} Try
 * @property {string} address of the setting
 * @property {Setting} setting
 * @property {number} remaining
 * @property {number} accuracy
 */

/** @typedef {Try & {number: number}} Listed */

const MOST = 200;

export class Tries {
  /**
   * @param {HTMLTableElement} table
   * @param {Manifest} manifest
   * @param {(setting: Setting) => void} onReturn
   */
  constructor(table, manifest, onReturn) {
    this.manifest = manifest;
    this.onReturn = onReturn;
    /** @type {Listed[]} the newest last */
    this.all = [];
    this.next = 1;
    this.body = html("tbody");
    table.replaceChildren(
      html("caption", { class: "hidden" }, words.tries.caption),
      html("thead", {}, html("tr", {}, ...words.tries.heads.map((head) => html("th", { scope: "col" }, head)), html("td"))),
      this.body,
    );
  }

  /**
   * Adds a try, unless it is the newest one again. Its number stays its own.
   * @param {Try} tried
   */
  add(tried) {
    if (this.all.at(-1)?.address === tried.address) return;
    const listed = { ...tried, number: this.next++ };
    this.all.push(listed);
    this.body.prepend(this.row(listed));
    if (this.all.length <= MOST) return;
    this.all.shift();
    this.body.deleteRow(-1);
  }

  /** @param {Listed} listed */
  row({ number, setting, remaining, accuracy }) {
    const back = html("button", { type: "button", class: "small-button", "aria-label": words.tries.back(number) }, words.tries.show);
    back.addEventListener("click", () => this.onReturn(setting));
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

  /** The list as CSV: a row a try, fractions in [0, 1]. Names are the toolkit's, whatever the page's language. */
  csv() {
    const { manifest } = this;
    const head = "try,mask,criterion,level,round,kept,signs,pruned,flipped,seed,weights_remaining,accuracy,images,address";
    const rows = this.all.map(({ number, address, setting, remaining, accuracy }) =>
      [
        number,
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
