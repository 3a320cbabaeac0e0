/** The page: one state, what it shows of it, and every way to change it. */

import { criterionOf } from "./core/criteria.js";
import { BINS_A_CELL, CELLS } from "./core/masks.js";
import { packedWeights } from "./core/packed.js";
import { Client } from "./view/client.js";
import { CurveView, nearest } from "./view/curve.js";
import { ConfusionView, StripView } from "./view/digits.js";
import { byId, choose, html, onChoice, percent, radio } from "./view/dom.js";
import { criterionChoices } from "./view/icons.js";
import { OwnView } from "./view/own.js";
import { PlaneView } from "./view/plane.js";
import { picture, save } from "./view/save.js";
import { SeenView } from "./view/seen.js";
import { MOST_PINS, decode, defaults, encode } from "./view/state.js";
import { TourView, steps } from "./view/tour.js";
import { Tries } from "./view/tries.js";
import { curveWords, explanation, maskWords } from "./view/words.js";

/** @typedef {import("./core/engine.js").Setting} Setting */
/** @typedef {import("./core/bundle.js").Manifest} Manifest */
/** @typedef {import("./view/state.js").State} State */
/** @typedef {import("./worker.js").Look} Look */
/** @typedef {import("./worker.js").Point} Point */
/** @typedef {import("./view/curve.js").Chart} Chart */

/** How long a state must stand still to count as a try, in ms. */
const SETTLED = 600;
const MOST_UNDO = 200;

class Explorer {
  /**
   * @param {Manifest} manifest
   * @param {Uint8Array} images
   * @param {Client} live answers what is on the page now
   * @param {Client} background draws whole curves
   */
  constructor(manifest, images, live, background) {
    this.manifest = manifest;
    this.live = live;
    this.background = background;
    this.state = decode(location.hash.slice(1), manifest);
    this.settled = encode(this.state, manifest);
    /** @type {string[]} */
    this.past = [];
    /** @type {{look: Look, state: State} | null} */
    this.last = null;
    this.looking = false;
    this.stale = false;
    /** When the change was made that the page is catching up with; NaN once it has. */
    this.changedAt = NaN;
    /** @type {Map<string, Point[]>} */
    this.curves = new Map();
    this.drawing = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.playing = undefined;
    this.makeControls();
    this.plane = new PlaneView(byId("plane-canvas", HTMLCanvasElement), {
      onBoundary: (initial, final) => void this.moveBoundary(initial, final),
      onPaint: (cells, on) => this.paint(cells, on),
      onReading: say("plane-reading"),
    });
    this.curve = new CurveView(byId("curve", HTMLElement), byId("numbers", HTMLTableElement), say("curve-reading"), (remaining) =>
      this.goTo(remaining),
    );
    this.seen = new SeenView(byId("seen-canvas", HTMLCanvasElement), say("seen-reading"));
    this.strip = new StripView(byId("strip", HTMLUListElement), manifest, images);
    this.confusion = new ConfusionView(byId("confusion", HTMLTableElement), manifest, say("confusion-reading"));
    this.own = new OwnView(
      byId("own-canvas", HTMLCanvasElement),
      byId("own-bars", HTMLOListElement),
      { ...manifest.image, classes: manifest.classes },
      (own) => this.change({ own }),
    );
    this.tries = new Tries(byId("tries", HTMLTableElement), manifest, (address) => this.go(address));
    this.tour = new TourView(steps(manifest), {
      onStep: (step) => this.tourStep(step),
      onGuess: (guess) => this.change({ guess }),
      onReveal: () => this.change({ revealed: true }),
    });
    this.own.restore(this.state.own);
    this.listen();
    this.apply();
    this.settleLater();
  }

  /** The present curve's and the others' settings, the present one first. */
  get compared() {
    const { setting, pins } = this.state;
    return [setting, { ...setting, source: /** @type {const} */ ("criterion"), criterion: "random" }, ...pins];
  }

  // Changing the state ------------------------------------------------------------------------------------------------

  /** @param {Partial<State>} changes */
  change(changes) {
    this.state = { ...this.state, ...changes };
    this.apply();
    this.settleLater();
  }

  /** @param {Partial<Setting>} changes */
  set(changes) {
    this.change({ setting: { ...this.state.setting, ...changes } });
  }

  /**
   * Goes to the state of an address.
   * @param {string} address
   */
  go(address) {
    this.state = decode(address, this.manifest);
    this.own.restore(this.state.own);
    this.apply();
    this.settleLater();
  }

  undo() {
    const now = encode(this.state, this.manifest);
    const before = now === this.settled ? this.past.pop() : this.settled;
    if (before === undefined) return;
    this.settled = before;
    this.go(before);
  }

  /** Brings everything into line with the state. */
  apply() {
    this.showControls();
    this.tour.show(this.state.tour, this.state.guess, this.state.revealed);
    if (this.veiled) byId("accuracy", HTMLOutputElement).value = "?";
    this.drawCurves();
    this.nextCurve();
    if (this.state.tour && this.state.revealed) void this.tellTour(this.state);
    void this.look();
  }

  settleLater() {
    document.documentElement.dataset.state = "moving";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLED);
  }

  /** Takes the state as a try: for the address, for undo, for the list and for those who listen. */
  settle() {
    const address = encode(this.state, this.manifest);
    if (this.looking || this.last?.state !== this.state) {
      this.settleLater();
      return;
    }
    if (address !== this.settled) {
      this.past.push(this.settled);
      if (this.past.length > MOST_UNDO) this.past.shift();
      this.settled = address;
    }
    history.replaceState(null, "", `#${address}`);
    byId("undo", HTMLButtonElement).disabled = this.past.length === 0;
    document.documentElement.dataset.state = "settled";
    if (this.veiled) return;
    const { reading } = this.last.look;
    const accuracy = reading.right / reading.found.length;
    this.tries.add({ address, setting: this.state.setting, remaining: reading.remaining, accuracy });
    byId("status", HTMLElement).textContent = `${percent(reading.remaining)} of weights kept: ${percent(accuracy)} read right.`;
  }

  get veiled() {
    return this.state.tour > 0 && !this.state.revealed;
  }

  /** @param {number} quarters */
  setLevel(quarters) {
    this.set({ level: quarters, source: "criterion" });
  }

  /**
   * Goes to the level nearest to some weights remaining, on the present curve.
   * @param {number} remaining
   */
  goTo(remaining) {
    const { setting } = this.state;
    const points = this.curves.get(this.curveKey(setting));
    if (!points || setting.source === "painted") return;
    const at = points.indexOf(nearest(points, remaining));
    if (setting.source === "round") this.set({ round: at });
    else this.setLevel(4 * at);
  }

  /**
   * Puts the criterion's boundary near a point of the plane.
   * @param {number} initial
   * @param {number} final
   */
  async moveBoundary(initial, final) {
    const { setting, layer } = this.state;
    const level = await this.live.ask("level", { setting, layer, initial, final });
    if (level !== null && this.state.setting.level !== level) this.setLevel(level);
  }

  /**
   * @param {number[]} cells
   * @param {boolean} on
   */
  paint(cells, on) {
    const region = this.state.setting.region.slice();
    for (const cell of cells) region[cell] = on ? 1 : 0;
    this.set({ region });
  }

  /** @param {string} name of a criterion, or 'painted' */
  setCriterion(name) {
    if (name !== "painted") this.set({ source: "criterion", criterion: name });
    else this.set({ source: "painted", region: this.state.setting.region.some(Boolean) ? this.state.setting.region : this.regionNow() });
  }

  /** The cells that the present criterion keeps most of: where painting starts from. */
  regionNow() {
    const region = new Uint8Array(CELLS * CELLS);
    const plane = this.last?.look.plane;
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

  /** @param {number} step of the tour; 0 ends it */
  tourStep(step) {
    if (step < 1 || step > this.tour.all.length) return this.change({ tour: 0, guess: -1, revealed: false });
    const { setting } = defaults(this.manifest);
    return this.change({
      tour: step,
      guess: -1,
      revealed: false,
      setting: { ...setting, seed: this.state.setting.seed, ...this.tour.all[step - 1].setting },
    });
  }

  // Asking the engine -------------------------------------------------------------------------------------------------

  /** Has the page catch up with the state; one question at a time, so that none is answered in vain. */
  async look() {
    this.stale = true;
    if (this.looking) return;
    this.looking = true;
    while (this.stale) {
      this.stale = false;
      const { state, changedAt } = this;
      const { setting, layer, unit, own, pins, seen } = state;
      const other = seen === "difference" ? (pins[0] ?? null) : null;
      const look = await this.live.ask("look", { setting, layer, unit, other, own });
      if (look) this.render(look, state, changedAt);
    }
    this.looking = false;
  }

  /**
   * The accuracy at once; the pictures in the next frame.
   * @param {Look} look
   * @param {State} state that it answers
   * @param {number} changedAt
   */
  render(look, state, changedAt) {
    this.last = { look, state };
    const { reading } = look;
    const accuracy = byId("accuracy", HTMLOutputElement);
    accuracy.value = this.veiled ? "?" : percent(reading.right / reading.found.length);
    accuracy.dataset.right = String(reading.right);
    accuracy.dataset.kept = reading.kept.join(" ");
    byId("explanation", HTMLElement).textContent = explanation(state.setting, reading.remaining, this.manifest);
    byId("level-value", HTMLOutputElement).value = percent(reading.remaining);
    requestAnimationFrame(() => {
      if (changedAt === this.changedAt && !Number.isNaN(changedAt)) {
        performance.measure("step-to-accuracy", { start: changedAt, end: performance.now() });
        this.changedAt = NaN;
      }
      if (this.last?.look === look) this.drawLook(look, state);
    });
  }

  /**
   * @param {Look} look
   * @param {State} state
   */
  drawLook(look, state) {
    const { manifest } = this;
    const entry = manifest.seeds[state.setting.seed];
    const { name } = manifest.layers[state.layer];
    this.plane.show({
      setting: state.setting,
      plane: look.plane,
      reachInitial: entry.reach_initial[state.layer],
      reachFinal: entry.reach_final[state.layer],
      layer: name,
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
    byId("seen-words", HTMLElement).textContent = this.seen.words();
    this.strip.show(look.reading.found);
    this.confusion.show(look.reading.found);
    const best = this.own.show(look.own);
    byId("own-reading", HTMLElement).textContent =
      best < 0 ? "Draw with mouse, finger or pen." : `The untrained network reads: ${best}`;
    this.showRounds(look.reading.right / look.reading.found.length);
    this.drawCurves();
    byId("level", HTMLInputElement).setAttribute("aria-valuetext", `${percent(look.reading.remaining)} of weights remaining`);
  }

  /**
   * The tour's answer, from this network's accuracies: of its own settings, whatever has been changed since.
   * @param {State} state
   */
  async tellTour(state) {
    const { setting, before } = this.tour.all[state.tour - 1];
    /** @type {(changes: Partial<Setting>) => Setting} */
    const made = (changes) => ({ ...defaults(this.manifest).setting, seed: state.setting.seed, ...changes });
    const accuracies = await this.background.ask("accuracies", { settings: [made(setting), made(before)] });
    if (!accuracies || this.state.tour !== state.tour || !this.state.revealed) return;
    this.tour.reveal(accuracies[0], accuracies[1], this.state.guess);
  }

  /**
   * What tells a curve from others: its setting but for the place on it.
   * @param {Setting} setting
   */
  curveKey(setting) {
    const along = setting.source === "painted" ? {} : { level: 0, round: 0, region: new Uint8Array(CELLS * CELLS) };
    const mask = setting.source === "criterion" ? {} : { criterion: "" };
    return JSON.stringify({ ...setting, ...along, ...mask, region: [...(along.region ?? setting.region)].join("") });
  }

  /**
   * The settings of all points of a curve.
   * @param {Setting} setting
   * @returns {Setting[]}
   */
  settingsAlong(setting) {
    if (setting.source === "painted") return [setting];
    if (setting.source === "round") return this.manifest.seeds[setting.seed].rounds.map((_, round) => ({ ...setting, round }));
    return this.manifest.levels.map((_, level) => ({ ...setting, level: 4 * level }));
  }

  /** Has the next missing curve computed; a curve under way that is no longer wanted first is overtaken. */
  nextCurve() {
    const missing = this.compared.find((setting) => !this.curves.has(this.curveKey(setting)));
    document.documentElement.dataset.curves = missing ? "missing" : "drawn";
    if (!missing) return;
    const key = this.curveKey(missing);
    if (this.drawing === key) return;
    this.drawing = key;
    void this.background.ask("curve", { settings: this.settingsAlong(missing) }).then((points) => {
      if (this.drawing === key) this.drawing = "";
      if (!points) return;
      this.curves.set(key, points);
      this.drawCurves();
      this.nextCurve();
    });
  }

  // Showing the state -------------------------------------------------------------------------------------------------

  /** @returns {Chart} */
  chart() {
    const { manifest, state, last } = this;
    const [present, random, ...pins] = this.compared;
    /** @type {(setting: Setting) => Point[]} */
    const points = (setting) => this.curves.get(this.curveKey(setting)) ?? [];
    const lines = [
      { name: maskWords({ ...present, round: 0 }).replace(", round 0", ""), look: "present", points: points(present) },
      { name: "random mask", look: "random", points: points(random) },
      ...pins.map((pin, at) => ({ name: curveWords(pin, manifest), look: `pin-${at + 1}`, points: points(pin) })),
    ];
    const entry = manifest.seeds[state.setting.seed];
    const totals = manifest.levels.map((level) => level.reduce((sum, each) => sum + each, 0));
    const reading = last?.look.reading;
    return {
      lines,
      heights: [
        { name: "the trained network", accuracy: entry.trained_accuracy, look: "trained" },
        { name: "chance", accuracy: 1 / manifest.classes, look: "chance" },
      ],
      now: reading ? { remaining: reading.remaining, accuracy: reading.right / reading.found.length } : null,
      least: totals[totals.length - 1] / totals[0],
    };
  }

  drawCurves() {
    this.curve.show(this.chart());
  }

  /** What cannot be known before the bundle is read: layers, seeds, criteria. */
  makeControls() {
    const { manifest } = this;
    byId("criteria", HTMLElement).append(...criterionChoices());
    byId("layers", HTMLElement).append(...manifest.layers.map(({ name }, layer) => radio("layer", String(layer), name)));
    byId("seeds", HTMLElement).append(...manifest.seeds.map(({ seed }, place) => radio("seed", String(place), String(seed))));
    byId("flips", HTMLElement).append(
      ...manifest.layers.map(({ name }, layer) =>
        html("label", { class: "check" }, html("input", { type: "checkbox", "data-flip": layer }), html("span", {}, name)),
      ),
    );
    byId("level", HTMLInputElement).max = String(4 * (manifest.levels.length - 1));
    byId("unit", HTMLInputElement).max = String(manifest.layers[0].outputs - 1);
    const rounds = manifest.seeds[0].rounds.length - 1;
    byId("round", HTMLInputElement).max = String(rounds);
    byId("rounds-none", HTMLElement).hidden = rounds > 0;
    byId("rounds-tools", HTMLElement).hidden = rounds === 0;
    byId("about", HTMLElement).append(...aboutWords(manifest));
  }

  /** Every control as the state has it. */
  showControls() {
    const { setting, layer, unit, seen, pins } = this.state;
    byId("level", HTMLInputElement).value = String(setting.level);
    choose("criterion", setting.source === "criterion" ? setting.criterion : setting.source === "painted" ? "painted" : "");
    choose("layer", String(layer));
    choose("seed", String(setting.seed));
    choose("kept", setting.kept);
    choose("pruned", setting.pruned);
    choose("seen", seen);
    const signs = byId("signs", HTMLInputElement);
    signs.disabled = setting.kept === "initial";
    signs.checked = setting.signs || signs.disabled;
    for (const box of document.querySelectorAll("input[data-flip]")) {
      if (box instanceof HTMLInputElement) box.checked = setting.flipped[Number(box.dataset.flip)];
    }
    byId("paint-tools", HTMLElement).hidden = setting.source !== "painted";
    byId("formula", HTMLElement).textContent = formulaWords(setting);
    byId("unit-field", HTMLElement).hidden = seen !== "unit";
    byId("unit", HTMLInputElement).value = String(unit);
    byId("unit-value", HTMLOutputElement).value = String(unit);
    byId("pin", HTMLButtonElement).disabled =
      pins.length >= MOST_PINS || pins.some((pin) => this.curveKey(pin) === this.curveKey(setting));
    const packable = packedWeights(setting) !== null;
    byId("save-mask", HTMLButtonElement).disabled = !packable;
    byId("save-words", HTMLElement).textContent = packable
      ? "The mask's file is a whole network: supermask evaluate reads it."
      : "A mask's file holds initial values or constants with their signs, and zeros elsewhere.";
    byId("pins", HTMLUListElement).replaceChildren(...pins.map((pin, at) => this.pinItem(pin, at)));
  }

  /**
   * @param {Setting} pin
   * @param {number} at
   */
  pinItem(pin, at) {
    const words = curveWords(pin, this.manifest);
    const show = html("button", { type: "button", class: "pin-name", title: "show this one" }, words);
    show.addEventListener("click", () => this.change({ setting: pin }));
    const drop = html("button", { type: "button", class: "small-button", "aria-label": `Remove ${words}` }, "×");
    drop.addEventListener("click", () => this.change({ pins: this.state.pins.filter((_, other) => other !== at) }));
    return html("li", { class: `pin-${at + 1}` }, html("span", { class: "swatch", "aria-hidden": "true" }), show, drop);
  }

  /** @param {number} untrained accuracy now */
  showRounds(untrained) {
    const { setting } = this.state;
    const { rounds } = this.manifest.seeds[setting.seed];
    if (rounds.length < 2) return;
    const round = Math.min(setting.round, rounds.length - 1);
    byId("round", HTMLInputElement).value = String(round);
    byId("round-value", HTMLOutputElement).value = `${round} of ${rounds.length - 1}`;
    const [remaining, trained] = rounds[round];
    const here = setting.source === "round" && !this.veiled;
    byId("rounds-words", HTMLElement).textContent =
      `${percent(remaining)} of weights left. Trained in this round it reads ${percent(trained)} of all test images. ` +
      (here ? `The untrained network under this mask, set as above: ${percent(untrained)}.` : "Move the slider to put its mask on the untrained network.");
  }

  // Listening ---------------------------------------------------------------------------------------------------------

  listen() {
    this.onInput("level", (value) => this.setLevel(value));
    this.onInput("unit", (unit) => this.change({ unit }));
    this.onInput("round", (round) => this.set({ round, source: "round" }));
    onChoice("criterion", (name) => this.setCriterion(name));
    onChoice("layer", (layer) => this.change({ layer: Number(layer) }));
    onChoice("seed", (seed) => this.set({ seed: Number(seed) }));
    onChoice("kept", (kept) => this.set({ kept: /** @type {Setting["kept"]} */ (kept) }));
    onChoice("pruned", (pruned) => this.set({ pruned: /** @type {Setting["pruned"]} */ (pruned) }));
    onChoice("seen", (seen) => this.change({ seen: /** @type {State["seen"]} */ (seen) }));
    onChoice("brush", (brush) => (this.plane.erase = brush === "erase"));
    byId("signs", HTMLInputElement).addEventListener("change", ({ target }) => {
      if (target instanceof HTMLInputElement) this.set({ signs: target.checked });
    });
    byId("flips", HTMLElement).addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return;
      const layer = Number(target.dataset.flip);
      this.set({ flipped: this.state.setting.flipped.map((was, at) => (at === layer ? target.checked : was)) });
    });
    this.onClick("paint-fill", () => this.set({ region: new Uint8Array(CELLS * CELLS).fill(1) }));
    this.onClick("paint-clear", () => this.set({ region: new Uint8Array(CELLS * CELLS) }));
    this.onClick("pin", () => this.change({ pins: [...this.state.pins, this.state.setting] }));
    this.onClick("own-clear", () => this.own.clear());
    this.onClick("tour-start", () => this.tourStep(1));
    this.onClick("undo", () => this.undo());
    this.onClick("reset", () => this.go(""));
    this.onClick("share", (button) => void this.share(button));
    this.onClick("save-table", () => save("tries.csv", new Blob([this.tries.csv()], { type: "text/csv" })));
    this.onClick("save-picture", () => void this.savePicture());
    this.onClick("save-mask", () => void this.saveMask());
    this.onClick("round-rewind", () => this.set({ round: 0, source: "round" }));
    this.onClick("round-back", () => this.stepRound(-1));
    this.onClick("round-next", () => this.stepRound(1));
    this.onClick("round-play", () => this.play());
    document.addEventListener("keydown", (event) => {
      const typing = event.target instanceof HTMLInputElement && event.target.type === "text";
      if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z" && !typing) {
        event.preventDefault();
        this.undo();
      }
    });
    window.addEventListener("hashchange", () => this.go(location.hash.slice(1)));
    window.addEventListener("resize", () => this.plane.draw());
  }

  /**
   * @param {string} id of a slider
   * @param {(value: number) => void} changed
   */
  onInput(id, changed) {
    byId(id, HTMLInputElement).addEventListener("input", (event) => {
      if (!(event.target instanceof HTMLInputElement)) return;
      this.changedAt = event.timeStamp;
      changed(Number(event.target.value));
    });
  }

  /**
   * @param {string} id of a button
   * @param {(button: HTMLButtonElement) => void} clicked
   */
  onClick(id, clicked) {
    const button = byId(id, HTMLButtonElement);
    button.addEventListener("click", () => clicked(button));
  }

  /** @param {number} by */
  stepRound(by) {
    const last = this.manifest.seeds[this.state.setting.seed].rounds.length - 1;
    const from = this.state.setting.source === "round" || by < 0 ? this.state.setting.round : -1;
    this.set({ round: Math.min(Math.max(from + by, 0), last), source: "round" });
  }

  /** Goes through the rounds by itself; where less motion is asked for, one step a click. */
  play() {
    const stop = () => {
      clearInterval(this.playing);
      this.playing = undefined;
      byId("round-play", HTMLButtonElement).setAttribute("aria-pressed", "false");
    };
    if (this.playing !== undefined) return stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.stepRound(1);
    const last = this.manifest.seeds[this.state.setting.seed].rounds.length - 1;
    if (this.state.setting.round === last) this.set({ round: 0, source: "round" });
    byId("round-play", HTMLButtonElement).setAttribute("aria-pressed", "true");
    this.playing = setInterval(() => {
      this.stepRound(1);
      if (this.state.setting.round === last) stop();
    }, 700);
    return undefined;
  }

  /** @param {HTMLButtonElement} button */
  async share(button) {
    const address = new URL(`#${encode(this.state, this.manifest)}`, location.href);
    history.replaceState(null, "", address);
    try {
      await navigator.clipboard.writeText(String(address));
      button.textContent = "Link copied";
    } catch {
      button.textContent = "Link is in the address bar";
    }
    setTimeout(() => (button.textContent = "Copy link"), 2000);
  }

  async savePicture() {
    const words = {
      headline: byId("headline", HTMLElement).textContent ?? "",
      explanation: byId("explanation", HTMLElement).textContent ?? "",
      caption: captionWords(this.manifest),
    };
    save("mask.png", await picture(byId("plane-canvas", HTMLCanvasElement), this.chart(), words));
  }

  async saveMask() {
    const { setting } = this.state;
    const content = await this.live.ask("packed", { setting });
    if (content) save(`seed-${this.manifest.seeds[setting.seed].seed}.mask`, new Blob([content]));
  }
}

/** @type {(id: string) => (text: string) => void} */
const say = (id) => {
  const place = byId(id, HTMLElement);
  return (text) => (place.textContent = text);
};

/** @param {Setting} setting */
function formulaWords(setting) {
  if (setting.source === "round") return "A round of iterative pruning, see below.";
  if (setting.source === "painted") return "The region that you paint; in every layer in units of its own axes.";
  const { name, formula } = criterionOf(setting.criterion);
  return `${name}, highest ${formula}`;
}

/** @param {Manifest} manifest */
function captionWords({ about, seeds }) {
  const images = about.images === about.test_images ? `all ${about.images}` : `the first ${about.images} of ${about.test_images}`;
  return `${about.network} on ${about.dataset} · protocol ${about.protocol}: ${about.epochs} epochs · seeds ${seeds
    .map(({ seed }) => seed)
    .join(", ")} · ${images} test images · ${about.version}`;
}

/** @param {Manifest} manifest */
function aboutWords(manifest) {
  return [
    html("p", {}, captionWords(manifest)),
    html(
      "p",
      {},
      "After Zhou, Lan, Liu and Yosinski 2019, “Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask”. ",
      "All masks and accuracies are computed in this browser; nothing is sent anywhere. Of several classes with equal ",
      "outputs the first is taken. ‘A new draw’ is what the next seed started with.",
    ),
  ];
}

/** The theme: the system's unless chosen otherwise; remembered where the browser allows it. */
function chooseTheme() {
  const select = byId("theme", HTMLSelectElement);
  const apply = () => {
    if (select.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = select.value;
    window.dispatchEvent(new Event("themechange"));
  };
  try {
    select.value = localStorage.getItem("theme") ?? "auto";
  } catch {
    select.value = "auto";
  }
  if (!select.value) select.value = "auto";
  select.addEventListener("change", () => {
    try {
      localStorage.setItem("theme", select.value);
    } catch {
      // Not remembered, then.
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}

async function start() {
  chooseTheme();
  const loading = byId("loading", HTMLElement);
  try {
    const [live, background] = [new Client(), new Client()];
    const [{ manifest, images }] = await Promise.all([live.ready, background.ready]);
    byId("app", HTMLElement).hidden = false;
    loading.hidden = true;
    const explorer = new Explorer(manifest, images, live, background);
    window.addEventListener("themechange", () => void explorer.look());
  } catch (error) {
    loading.textContent = `The page could not be set up. ${error instanceof Error ? error.message : error}`;
    loading.classList.add("failed");
  }
}

void start();
