/** The controls under 1 and 2: they show the state, and change it. */

import { BINS_A_CELL, CELLS } from "../core/masks.js";
import { byId, choose, html, onChoice, onClick, onSlide, radio } from "../view/dom.js";
import { criterionChoices } from "../view/icons.js";
import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/engine.js").Plane} Plane */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */
/** @typedef {import("../state/fields.js").State} State */
/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./scene.js").Shown} Shown */

export class Controls {
  /**
   * @param {Owner} owner
   * @param {Scene} scene
   */
  constructor(owner, scene) {
    this.owner = owner;
    this.scene = scene;
    this.level = byId("level", HTMLInputElement);
    this.signs = byId("signs", HTMLInputElement);
    this.make();
    this.listen();
    owner.onChange((state) => this.showState(state));
    scene.onShow((shown) => this.showLevel(shown));
    this.showState(owner.state);
  }

  /** What cannot be known before the bundle is read: criteria, layers, seeds. */
  make() {
    const { layers, seeds, levels } = this.owner.manifest;
    byId("criteria", HTMLElement).append(...criterionChoices());
    byId("layers", HTMLElement).append(...layers.map(({ name }, at) => radio("layer", String(at), words.brief(name))));
    byId("seeds", HTMLElement).append(...seeds.map(({ seed }, at) => radio("seed", String(at), String(seed))));
    byId("flips", HTMLElement).append(
      ...layers.map(({ name }, at) =>
        html("label", { class: "check" }, html("input", { type: "checkbox", "data-flip": at }), html("span", {}, words.layer(name))),
      ),
    );
    this.level.max = String(4 * (levels.length - 1));
  }

  listen() {
    const { owner } = this;
    onSlide("level", (level, at) => {
      this.scene.changedAt = at;
      owner.set({ level });
    });
    onChoice("criterion", (name) => this.setCriterion(name));
    onChoice("layer", (layer) => owner.change({ layer: Number(layer) }));
    onChoice("seed", (seed) => owner.set({ seed: Number(seed) }));
    onChoice("kept", (kept) => owner.set({ kept: /** @type {Setting["kept"]} */ (kept) }));
    onChoice("pruned", (pruned) => owner.set({ pruned: /** @type {Setting["pruned"]} */ (pruned) }));
    this.signs.addEventListener("change", () => owner.set({ signs: this.signs.checked }));
    byId("flips", HTMLElement).addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return;
      const layer = Number(target.dataset.flip);
      owner.set({ flipped: owner.state.setting.flipped.map((was, at) => (at === layer ? target.checked : was)) });
    });
    onClick("paint-fill", () => owner.set({ region: new Uint8Array(CELLS * CELLS).fill(1) }));
    onClick("paint-clear", () => owner.set({ region: new Uint8Array(CELLS * CELLS) }));
  }

  /** @param {string} name of a criterion, or 'painted' */
  setCriterion(name) {
    const { region } = this.owner.state.setting;
    if (name !== "painted") this.owner.set({ source: "criterion", criterion: name });
    else this.owner.set({ source: "painted", region: region.some(Boolean) ? region : cellsKept(this.scene.shown?.look.plane) });
  }

  /** @param {State} state */
  showState({ setting, layer, lab }) {
    const byCriterion = setting.source === "criterion";
    choose("criterion", byCriterion ? setting.criterion : setting.source === "painted" ? "painted" : "");
    choose("layer", String(layer));
    choose("seed", String(setting.seed));
    choose("kept", setting.kept);
    choose("pruned", setting.pruned);
    this.signs.disabled = setting.kept === "initial";
    // A mask that is learned here comes of no criterion, and its weights are chosen where it is learned.
    for (const group of document.querySelectorAll("#which fieldset:not(#layers), #values fieldset:not(#seeds)")) {
      if (group instanceof HTMLFieldSetElement) group.disabled = lab === "mask";
    }
    this.signs.checked = setting.signs || this.signs.disabled;
    for (const box of document.querySelectorAll("input[data-flip]")) {
      if (box instanceof HTMLInputElement) box.checked = setting.flipped[Number(box.dataset.flip)];
    }
    if (byCriterion) this.level.value = String(setting.level);
    const elsewhere = lab === "mask" ? "learned" : setting.source;
    this.level.disabled = elsewhere !== "criterion";
    byId("level-name", HTMLElement).textContent = lab === "weights" ? words.which.prune : words.which.level;
    byId("level-note", HTMLElement).textContent = elsewhere === "criterion" ? "" : words.which.levelElsewhere[elsewhere];
    byId("paint-tools", HTMLElement).hidden = elsewhere !== "painted";
    byId("formula", HTMLElement).textContent = formulaWords(setting, this.owner.manifest);
  }

  /**
   * The weights remaining beside the slider; and the slider itself, where the mask is not a level's.
   * @param {Shown} shown
   */
  showLevel({ look, state }) {
    const { levels } = this.owner.manifest;
    const size = total(levels[0]);
    const { remaining } = look.reading;
    if (this.level.disabled) this.level.value = String(4 * nearestLevel(levels, remaining * size));
    const share = state.lab === "weights" ? look.wanted / size : remaining;
    byId("level-value", HTMLOutputElement).value = percent(share);
    this.level.setAttribute("aria-valuetext", percent(share));
  }
}

/** @type {(counts: number[]) => number} */
const total = (counts) => counts.reduce((sum, each) => sum + each, 0);

/** @type {(levels: number[][], kept: number) => number} */
function nearestLevel(levels, kept) {
  /** @type {(level: number) => number} */
  const distance = (level) => Math.abs(Math.log(total(levels[level]) / Math.max(kept, 1)));
  return levels.reduce((best, _, level) => (distance(level) < distance(best) ? level : best), 0);
}

/**
 * The cells of which more than half is kept: where painting starts from.
 * @param {Plane | undefined} plane
 * @returns {Uint8Array}
 */
function cellsKept(plane) {
  const region = new Uint8Array(CELLS * CELLS);
  if (!plane) return region.fill(1);
  const side = CELLS * BINS_A_CELL;
  for (let cell = 0; cell < region.length; cell++) {
    const [row, column] = [Math.floor(cell / CELLS) * BINS_A_CELL, (cell % CELLS) * BINS_A_CELL];
    let [all, kept] = [0, 0];
    for (let r = row; r < row + BINS_A_CELL; r++) {
      for (let c = column; c < column + BINS_A_CELL; c++) {
        all += plane.all[r * side + c];
        kept += plane.kept[r * side + c];
      }
    }
    region[cell] = 2 * kept > all ? 1 : 0;
  }
  return region;
}

/** @type {(setting: Setting, manifest: Manifest) => string} */
function formulaWords({ source, criterion }, { formulas }) {
  if (source === "round") return words.which.byRound;
  if (source === "painted") return words.which.byRegion;
  return words.which.formula(criterion, formulas[criterion]);
}
