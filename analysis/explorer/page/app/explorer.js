/** The page put together: who shows what, and when a state has come to rest. */

import { nearest } from "../view/curve.js";
import { byId, choose, onChoice, onClick, onSlide, say } from "../view/dom.js";
import { words } from "../words/index.js";
import { chartOf, compared } from "./chart.js";
import { Challenges } from "./challenges.js";
import { Curves } from "./curves.js";
import { Keeping } from "./keeping.js";
import { Mine } from "./mine.js";
import { Rounds } from "./rounds.js";
import { Tour } from "./tour.js";
import { Views } from "./views.js";

/** @typedef {import("../state/fields.js").State} State */
/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./controls.js").Controls} Controls */
/** @typedef {import("./laboratory.js").Laboratory} Laboratory */
/** @typedef {import("./scene.js").Scene} Scene */
/**
 * @typedef {object} Parts
 * @property {Owner} owner
 * @property {Scene} scene
 * @property {Laboratory} lab
 * @property {Controls} controls
 * @property {Client} live answers what is on the page now
 * @property {Client} background draws whole curves
 */

/** How long a state must stand still to be a place to come back to, in ms. */
const SETTLED = 600;

export class Explorer {
  /**
   * @param {Parts} parts
   * @param {Uint8Array} images
   */
  constructor({ owner, scene, lab, controls, live, background }, images) {
    const { manifest } = owner;
    this.manifest = manifest;
    this.live = live;
    this.owner = owner;
    this.scene = scene;
    this.lab = lab;
    this.curves = new Curves(manifest, background, () => this.drawChart());
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.controls = controls;
    this.rounds = new Rounds(owner, this.scene);
    this.tour = new Tour(owner, background, lab);
    this.keeping = new Keeping(owner, live, this.curves, () => this.chart());
    this.challenges = new Challenges(owner, scene, background);
    this.mine = new Mine(owner, scene);
    this.views = new Views(manifest, images, {
      onBoundary: (initial, final) => void this.moveBoundary(initial, final),
      onPaint: (cells, on) => this.paint(cells, on),
      onPick: (remaining) => this.goTo(remaining),
      onDrawn: (own) => owner.change({ own }),
      onImage: (image) => owner.change({ image, own: null }),
      onUnit: (unit) => owner.change({ unit, seen: "unit" }),
      onLayer: (layer) => owner.change({ layer }),
    });
    this.listen();
    owner.onChange((state) => this.changed(state));
    this.scene.onShow((shown) => {
      this.views.show(shown, owner.veiled);
      this.drawChart();
    });
    this.changed(owner.state);
  }

  listen() {
    const { owner } = this;
    onChoice("seen", (seen) => owner.change({ seen: /** @type {State["seen"]} */ (seen) }));
    onChoice("brush", (brush) => (this.views.plane.erase = brush === "erase"));
    onSlide("unit", (unit) => owner.change({ unit }));
    onClick("own-clear", () => owner.change({ own: null }));
    onClick("undo", () => owner.undo());
    onClick("redo", () => owner.redo());
    onClick("reset", () => owner.go(""));
    onClick("best", () => owner.change({ lab: "off", setting: this.best }));
    document.addEventListener("keydown", (event) => {
      const key = event.key.toLowerCase();
      if (!(event.ctrlKey || event.metaKey) || (key !== "z" && key !== "y")) return;
      event.preventDefault();
      if (key === "y" || event.shiftKey) owner.redo();
      else owner.undo();
    });
    window.addEventListener("themechange", () => this.scene.shown && this.views.show(this.scene.shown, owner.veiled));
  }

  /** The best supermask of the bundle, by validation images. */
  get best() {
    const level = 4 * this.manifest.best_level;
    return this.owner.settingOf({ criterion: "large_final_same_sign", kept: "constant", level });
  }

  // Changing the state ------------------------------------------------------------------------------------------------

  /**
   * Puts the criterion's boundary near a point of the plane.
   * @param {number} initial
   * @param {number} final
   */
  async moveBoundary(initial, final) {
    const { setting, layer } = this.owner.state;
    this.stir();
    const level = await this.live.ask("level", { setting, layer, initial, final });
    if (level !== null && this.owner.state.setting.level !== level) this.owner.set({ level, source: "criterion" });
  }

  /**
   * @param {number[]} cells
   * @param {boolean} on
   */
  paint(cells, on) {
    const region = this.owner.state.setting.region.slice();
    for (const cell of cells) region[cell] = on ? 1 : 0;
    this.owner.set({ region });
  }

  /**
   * Goes to the level nearest to some weights remaining, on the present curve.
   * @param {number} remaining
   */
  goTo(remaining) {
    const { setting } = this.owner.state;
    const points = this.curves.points(setting);
    if (!points.length || setting.source === "painted") return;
    const at = points.indexOf(nearest(points, remaining));
    this.owner.set(setting.source === "round" ? { round: at } : { level: 4 * at });
  }

  // Showing it --------------------------------------------------------------------------------------------------------

  /** @param {State} state */
  changed(state) {
    this.stir();
    document.body.classList.toggle("unopened", this.owner.unopened);
    choose("seen", state.seen);
    byId("unit-field", HTMLElement).hidden = state.seen !== "unit";
    byId("unit", HTMLInputElement).value = String(state.unit);
    byId("unit-value", HTMLOutputElement).value = String(state.unit);
    this.views.own.restore(state.own);
    if (this.owner.veiled) byId("accuracy", HTMLOutputElement).value = "?";
    this.curves.want(compared(state, this.manifest));
    void this.scene.refresh();
  }

  /** From now on the state must stand still anew before it settles. */
  stir() {
    document.documentElement.dataset.state = "moving";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLED);
  }

  /** A state that stands still is a place to come back to, and a try. */
  settle() {
    const { owner, scene } = this;
    if (this.live.busy || !scene.upToDate || !scene.shown) {
      this.timer = setTimeout(() => this.settle(), SETTLED);
      return;
    }
    owner.history.add(owner.address);
    byId("undo", HTMLButtonElement).disabled = !owner.history.canUndo;
    byId("redo", HTMLButtonElement).disabled = !owner.history.canRedo;
    document.documentElement.dataset.state = "settled";
    if (owner.veiled) return;
    this.keeping.take(scene.shown);
    say("status")(words.story.status(scene.shown.look.reading.remaining, scene.shown.accuracy));
  }

  chart() {
    return chartOf(this.owner.state, this.manifest, this.curves, this.scene.shown, this.lab.rounds);
  }

  drawChart() {
    this.views.curve.show(this.chart());
  }
}
