/** All that is drawn of what is shown. */

import { SURE, standardError } from "../core/chance.js";
import { sampleOf } from "../core/flow.js";
import { CurveView } from "../view/curve.js";
import { ConfusionView, StripView, namesOf } from "../view/digits.js";
import { byId, html, say } from "../view/dom.js";
import { NetView } from "../view/net.js";
import { OwnView } from "../view/own.js";
import { PlaneView } from "../view/plane.js";
import { SeenView } from "../view/seen.js";
import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";
import { explanation, maskWords } from "../words/settings.js";

/** @typedef {import("../core/bundle.js").Manifest} Manifest */
/** @typedef {import("./scene.js").Shown} Shown */

/**
 * @typedef {object} Hands what the visitor does on what is drawn
 * @property {(initial: number, final: number) => void} onBoundary
 * @property {(cells: number[], on: boolean) => void} onPaint
 * @property {(remaining: number) => void} onPick weights remaining
 * @property {(image: number) => void} onImage a test image is chosen
 * @property {(unit: number) => void} onUnit a hidden unit is chosen
 * @property {(layer: number) => void} onLayer a layer is chosen
 * @property {(pixels: Uint8Array | null) => void} onDrawn a digit of one's own
 */

export class Views {
  /**
   * @param {Manifest} manifest
   * @param {Uint8Array} images
   * @param {Hands} hands
   */
  constructor(manifest, images, hands) {
    this.manifest = manifest;
    this.plane = new PlaneView(byId("plane-canvas", HTMLCanvasElement), {
      ...hands,
      onReading: say("plane-reading"),
      onPoint: (cell) => this.net.light(cell),
    });
    this.curve = new CurveView(byId("curve", HTMLElement), byId("numbers", HTMLTableElement), say("curve-reading"), hands.onPick);
    this.seen = new SeenView(byId("seen-canvas", HTMLCanvasElement), byId("seen-legend", HTMLElement), say("seen-reading"));
    this.strip = new StripView(byId("strip", HTMLUListElement), manifest, images, hands.onImage);
    this.net = new NetView(byId("net-canvas", HTMLCanvasElement), sampleOf(manifest.layers), manifest.image, {
      onEdge: (edge) => this.plane.mark(edge),
      onUnit: hands.onUnit,
      onLayer: hands.onLayer,
      onReading: say("net-reading"),
    });
    this.confusion = new ConfusionView(byId("confusion", HTMLTableElement), manifest, say("confusion-reading"));
    const shape = { ...manifest.image, names: namesOf(manifest) };
    this.own = new OwnView(byId("own-canvas", HTMLCanvasElement), byId("own-bars", HTMLOListElement), shape, hands.onDrawn);
    byId("unit", HTMLInputElement).max = String(manifest.layers[0].outputs - 1);
    byId("told", HTMLElement).append(...words.story.told.map((said) => html("li", {}, said)));
    const seeds = manifest.seeds.map(({ seed }) => seed);
    byId("about", HTMLElement).append(html("p", {}, words.about.caption(manifest.about, seeds)), html("p", {}, words.about.text));
  }

  /**
   * @param {Shown} shown
   * @param {boolean} veiled whether the tour has not yet given its answer
   */
  show(shown, veiled) {
    const { look, state } = shown;
    const { manifest } = this;
    const { seed } = state.setting;
    // What is drawn comes before what is written: a canvas that sets a font has the page laid out, as it stands.
    this.plane.show({
      setting: state.setting,
      plane: look.plane,
      reachInitial: manifest.seeds[seed].reach_initial[state.layer],
      reachFinal: manifest.seeds[seed].reach_final[state.layer],
      layer: manifest.layers[state.layer].name,
      index: state.layer,
      lab: state.lab,
    });
    this.seen.show({
      mode: state.seen,
      width: manifest.image.width,
      height: manifest.image.height,
      units: manifest.layers[0].outputs,
      unit: state.unit,
      view: look.view,
      difference: look.difference,
      other: state.pins[0] ? maskWords(state.pins[0]) : "",
    });
    this.showStory(shown, veiled);
    say("seen-words")(this.seen.summary());
    this.strip.show(look.reading.found, state.own ? -1 : state.image);
    if (!veiled) this.net.show(look.flow);
    this.confusion.show(look.reading.found);
    const best = this.own.show(look.own);
    say("own-reading")(best < 0 ? words.own.hint : veiled ? "" : words.own.found(best));
  }

  /**
   * The headline with its number, and what this network is.
   * @param {Shown} shown
   * @param {boolean} veiled
   */
  showStory({ look: { reading }, state, accuracy, round }, veiled) {
    const [before, after] = words.story[state.lab === "off" ? "untrained" : state.lab === "weights" ? "trained" : "learned"];
    say("headline-before")(before);
    say("headline-after")(after);
    const place = byId("accuracy", HTMLOutputElement);
    place.value = veiled ? "?" : percent(accuracy);
    place.dataset.right = String(reading.right);
    place.dataset.kept = reading.kept.join(" ");
    const images = reading.found.length;
    say("precision")(veiled ? "" : words.story.precision(images, SURE * standardError(accuracy, images)));
    const { explain } = words.lab;
    const { remaining } = reading;
    if (state.lab === "off") say("explanation")(explanation(state.setting, reading, this.manifest));
    else say("explanation")(state.lab === "weights" ? explain.weights(remaining, round) : explain.mask(remaining));
  }
}
