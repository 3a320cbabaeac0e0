/** The laboratory's controls: they tell its worker what to do, and hand what it has come to to the scene. */

import { byId, choose, onChoice, onClick, say } from "../view/dom.js";
import { CourseView } from "../view/course.js";
import { words } from "../words/index.js";
import { fixed } from "../words/numbers.js";
import { startWorker } from "./files.js";

/** @typedef {import("../core/bundle.js").Files} Files */
/** @typedef {import("../core/lab.js").Recipe} Recipe */
/** @typedef {import("../state/fields.js").State} State */
/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("../trainer.js").Frame} Frame */
/** @typedef {import("../trainer.js").Order} Order */
/** @typedef {import("../worker.js").Point} Point */
/** @typedef {import("./scene.js").Scene} Scene */

export class Laboratory {
  /**
   * @param {Owner} owner
   * @param {Scene} scene
   * @param {Files} files of the bundle
   * @param {(reason: Error) => void} onTrouble
   */
  constructor(owner, scene, files, onTrouble) {
    this.owner = owner;
    this.scene = scene;
    this.files = files;
    this.onTrouble = onTrouble;
    this.course = new CourseView(byId("lab-course", HTMLElement));
    /** @type {Promise<Worker> | null} started when it is needed first */
    this.worker = null;
    this.serial = 0;
    /** The states that orders were sent with, by serial; older than the last frame's they are forgotten. */
    this.sent = /** @type {Map<number, State>} */ (new Map());
    /** @type {Recipe | null} what was begun last */
    this.begun = null;
    /** @type {Frame | null} */
    this.frame = null;
    /** @type {{serial: number, resolve: (done: void) => void}[]} who waits until an order is done */
    this.waiting = [];
    this.listen();
    owner.onChange((state) => this.changed(state));
    this.changed(owner.state);
  }

  /** Rounds that were trained here. */
  get rounds() {
    return this.frame?.rounds ?? [];
  }

  /** Steps that are still to be taken of a whole training; of the next one once it is through. */
  get remaining() {
    if (!this.frame) return 0;
    return this.frame.steps < this.frame.length ? this.frame.length - this.frame.steps : this.frame.length;
  }

  listen() {
    const { owner } = this;
    onChoice("lab", (lab) => owner.change({ lab: /** @type {State["lab"]} */ (lab) }));
    for (const name of /** @type {const} */ (["constants", "rescaled"])) {
      const box = byId(`lab-${name}`, HTMLInputElement);
      box.addEventListener("change", () => owner.change({ [name]: box.checked }));
    }
    onClick("lab-train", () => this.order({ steps: this.frame?.left ? 0 : this.remaining }));
    onClick("lab-step", () => this.order({ steps: 1 }));
    onClick("lab-prune", () => this.order({ prune: true }));
    onClick("lab-rewind", () => this.order({ rewind: true }));
    onClick("lab-round", () => this.order({ prune: true, rewind: true, steps: this.frame?.length ?? 0 }));
    onClick("lab-over", () => this.begin());
  }

  /** @param {State} state */
  changed(state) {
    const { lab } = state;
    choose("lab", lab);
    byId("lab-constants", HTMLInputElement).checked = state.constants;
    byId("lab-rescaled", HTMLInputElement).checked = state.rescaled;
    byId("lab-tools", HTMLElement).hidden = lab === "off";
    byId("lab-course", HTMLElement).hidden = lab === "off";
    byId("lab-mask", HTMLElement).hidden = lab !== "mask";
    for (const id of ["lab-prune", "lab-rewind", "lab-round"]) byId(id, HTMLElement).hidden = lab !== "weights";
    say("lab-words")(lab === "mask" ? words.lab.maskText : words.lab.text);
    if (lab === "off") {
      if (this.frame?.left) void this.send({ steps: 0 });
      say("lab-reading")("");
      return;
    }
    if (JSON.stringify(this.begun) !== JSON.stringify(this.recipe)) this.begin();
    else this.order({});
  }

  /** What the state asks to be trained. */
  get recipe() {
    const { lab, setting, constants, rescaled } = this.owner.state;
    /** @type {Recipe} */
    const recipe = { mode: lab === "mask" ? "mask" : "weights", seed: setting.seed, constants: true, rescaled: false };
    return lab === "mask" ? { ...recipe, constants, rescaled } : recipe;
  }

  begin() {
    this.begun = this.recipe;
    this.order({ begin: this.begun });
  }

  /** @param {Omit<Order, "serial" | "view">} what */
  order(what) {
    if (this.owner.state.lab !== "off") void this.send(what);
  }

  /** @param {Omit<Order, "serial" | "view">} what */
  async send(what) {
    const { state } = this.owner;
    const serial = ++this.serial;
    this.sent.set(serial, state);
    if (!this.worker) say("lab-reading")(words.lab.starting);
    const worker = await (this.worker ??= this.open());
    const { setting, layer, unit, own, image } = state;
    /** @type {Order} */
    const order = { ...what, serial, view: { setting, layer, unit, own, mine: this.scene.mine, image } };
    worker.postMessage(order);
  }

  /**
   * Runs an experiment from its beginning: a whole training, pruned, rewound and trained again; or the learning of a
   * mask.
   * @param {import("./steps.js").Experiment} experiment
   * @returns {Promise<[number, number] | null>} the accuracy at its end, and that of the first training or before it;
   * null where somebody has changed what is trained
   */
  async run({ mode, steps }) {
    this.begin();
    const recipe = this.begun;
    const first = mode === "weights" ? await this.finished({ steps: await this.length() }) : await this.finished({});
    const last = await this.finished(mode === "weights" ? { prune: true, rewind: true, steps: this.frame?.length ?? 0 } : { steps: steps ?? 0 });
    return this.begun === recipe && this.owner.state.lab === mode ? [last, first] : null;
  }

  /** The length of a whole training, as soon as it is known. */
  async length() {
    if (!this.frame) await this.finished({});
    return this.frame?.length ?? 0;
  }

  /**
   * Waits until what is ordered is done.
   * @param {Omit<Order, "serial" | "view">} what
   * @returns {Promise<number>} the accuracy then
   */
  async finished(what) {
    const serial = this.serial + 1;
    const done = new Promise((resolve) => this.waiting.push({ serial, resolve }));
    void this.send(what);
    await done;
    return this.frame?.course.at(-1)?.accuracy ?? 0;
  }

  /** @returns {Promise<Worker>} */
  open() {
    const worker = startWorker("trainer");
    return new Promise((resolve) => {
      worker.onerror = ({ message }) => this.onTrouble(new Error(message || "a worker could not be started"));
      worker.onmessage = ({ data }) => {
        if (data.ready) resolve(worker);
        else if (data.frame) this.take(data.frame);
        else this.onTrouble(new Error(data.failed ?? data.error));
      };
      worker.postMessage({ files: this.files });
    });
  }

  /** @param {Frame} frame */
  take(frame) {
    this.frame = frame;
    for (const serial of this.sent.keys()) if (serial < frame.serial) this.sent.delete(serial);
    const state = this.sent.get(frame.serial);
    const { lab } = this.owner.state;
    if (frame.left === 0) {
      const [done, others] = [true, false].map((is) => this.waiting.filter(({ serial }) => serial <= frame.serial === is));
      this.waiting = others;
      for (const { resolve } of done) resolve();
    }
    if (!state || lab === "off" || state.lab !== lab) return;
    this.scene.show(frame.look, state, frame.round);
    this.show(frame, lab);
  }

  /**
   * @param {Frame} frame
   * @param {"weights" | "mask"} lab
   */
  show({ course, length, left, steps, round, milliseconds, seconds, pruned }, lab) {
    this.course.show(course, length);
    const train = byId("lab-train", HTMLButtonElement);
    train.setAttribute("aria-pressed", String(left > 0));
    train.textContent = left > 0 ? words.lab.stop : words.lab.train;
    document.documentElement.dataset.lab = left > 0 ? "training" : "resting";
    document.documentElement.dataset.trained = String(seconds);
    const loss = course.at(-1)?.loss ?? NaN;
    const where = lab === "weights" ? words.lab.progress(round, steps, length) : words.lab.learning(steps, length);
    const cost = milliseconds ? words.lab.cost(fixed(milliseconds, 1), fixed(seconds, 1)) : "";
    say("lab-reading")([where, Number.isFinite(loss) ? words.lab.loss(fixed(loss, 3)) : "", cost].filter(Boolean).join(" "));
    if (pruned === 0) say("lab-said")(words.lab.nothing);
    else say("lab-said")(pruned !== null && steps === 0 ? words.lab.pruned(pruned) : "");
  }
}
