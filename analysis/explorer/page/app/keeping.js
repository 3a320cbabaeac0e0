/** What is kept: the list of what was tried, curves to compare, files to save, the link. */

import { packedWeights } from "../core/packed.js";
import { encodeSetting } from "../state/address.js";
import { MOST_PINS } from "../state/fields.js";
import { byId, html, onClick } from "../view/dom.js";
import { picture, save } from "../view/save.js";
import { Tries } from "../view/tries.js";
import { words } from "../words/index.js";
import { curveWords } from "../words/settings.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("../view/curve.js").Chart} Chart */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./curves.js").Curves} Curves */
/** @typedef {import("./scene.js").Shown} Shown */

export class Keeping {
  /**
   * @param {Owner} owner
   * @param {Client} live
   * @param {Curves} curves
   * @param {() => Chart} chart
   */
  constructor(owner, live, curves, chart) {
    this.owner = owner;
    this.live = live;
    this.curves = curves;
    this.chart = chart;
    this.tries = new Tries(byId("tries", HTMLTableElement), owner.manifest, (setting) => owner.change({ lab: "off", setting }));
    /** @type {Setting[] | null} the kept curves that are listed */
    this.listed = null;
    this.pins = byId("pins", HTMLUListElement);
    onClick("pin", () => this.keep());
    onClick("share", (button) => void this.share(button));
    onClick("save-table", () => save("tries.csv", new Blob([this.tries.csv()], { type: "text/csv" })));
    onClick("save-picture", () => void this.savePicture());
    onClick("save-mask", () => void this.saveMask());
    owner.onChange(() => this.show());
    this.show();
  }

  /**
   * Takes what is shown as a try: an untrained network with its own setting, not another look at the same one.
   * @param {Shown} shown
   */
  take({ look, state, accuracy }) {
    if (state.lab !== "off") return;
    const { setting } = state;
    const address = encodeSetting(setting, this.owner.manifest);
    this.tries.add({ address, setting, remaining: look.reading.remaining, accuracy });
  }

  show() {
    const { setting, pins, lab } = this.owner.state;
    byId("pin", HTMLButtonElement).disabled = pins.length >= MOST_PINS || pins.some((pin) => this.curves.key(pin) === this.curves.key(setting));
    const packable = lab === "off" && packedWeights(this.owner.manifest, setting) !== null;
    byId("save-mask", HTMLButtonElement).disabled = !packable;
    byId("save-words", HTMLElement).textContent = packable ? words.tries.canPack : words.tries.cannotPack;
    if (this.listed === pins) return;
    this.listed = pins;
    this.pins.replaceChildren(...pins.map((pin, at) => this.item(pin, at)));
  }

  /** Keeps the present curve; the focus goes to it, since the button can no longer be used. */
  keep() {
    this.owner.change({ pins: [...this.owner.state.pins, this.owner.state.setting] });
    this.focus(this.owner.state.pins.length - 1);
  }

  /**
   * @param {Setting} pin
   * @param {number} at
   */
  item(pin, at) {
    const name = curveWords(pin, this.owner.manifest);
    const show = html("button", { type: "button", class: "pin-name", title: words.reads.show }, name);
    show.addEventListener("click", () => this.owner.change({ lab: "off", setting: pin }));
    const drop = html("button", { type: "button", class: "small-button", "aria-label": words.reads.remove(name) }, "×");
    drop.addEventListener("click", () => {
      this.owner.change({ pins: this.owner.state.pins.filter((_, other) => other !== at) });
      this.focus(Math.min(at, this.owner.state.pins.length - 1));
    });
    return html("li", { class: `pin-${at + 1}` }, html("span", { class: "swatch", "aria-hidden": "true" }), show, drop);
  }

  /**
   * Puts the focus on a kept curve's name; on the button that keeps one where there is none.
   * @param {number} at
   */
  focus(at) {
    const name = this.pins.children[at]?.querySelector("button");
    (name ?? byId("pin", HTMLButtonElement)).focus();
  }

  /** @param {HTMLButtonElement} button */
  async share(button) {
    const { address } = this.owner;
    this.owner.history.add(address);
    try {
      await navigator.clipboard.writeText(String(new URL(`#${address}`, location.href)));
      button.textContent = words.page.shared;
    } catch {
      button.textContent = words.page.inBar;
    }
    setTimeout(() => (button.textContent = words.page.share), 2000);
  }

  async savePicture() {
    const { about, seeds } = this.owner.manifest;
    const said = {
      headline: byId("headline", HTMLElement).textContent ?? "",
      explanation: byId("explanation", HTMLElement).textContent ?? "",
      caption: words.about.caption(about, seeds.map(({ seed }) => seed)),
    };
    save("mask.png", await picture(byId("plane-canvas", HTMLCanvasElement), this.chart(), said));
  }

  async saveMask() {
    const { setting } = this.owner.state;
    const content = await this.live.ask("packed", { setting });
    if (content) save(`seed-${this.owner.manifest.seeds[setting.seed].seed}.mask`, new Blob([content]));
  }
}
