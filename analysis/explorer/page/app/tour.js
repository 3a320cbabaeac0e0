/** The tour: goes through its steps, and asks the engine, or the laboratory, for each step's answer. */

import { byId } from "../view/dom.js";
import { TourView } from "../view/tour.js";
import { stepsOf } from "./steps.js";

/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("../state/fields.js").State} State */
/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./laboratory.js").Laboratory} Laboratory */
/** @typedef {import("./steps.js").Step} Step */

export class Tour {
  /**
   * @param {Owner} owner
   * @param {Client} background
   * @param {Laboratory} lab
   */
  constructor(owner, background, lab) {
    this.owner = owner;
    this.background = background;
    this.lab = lab;
    this.steps = stepsOf(owner.manifest);
    this.view = new TourView(this.steps, {
      onStep: (step) => this.go(step),
      onGuess: (guess) => owner.change({ tour: { ...owner.state.tour, guess } }),
      onReveal: () => this.reveal(),
      onBack: () => owner.change(this.shownBy(this.present)),
    });
    this.told = "";
    owner.onChange(() => this.show());
    byId("tour-start", HTMLButtonElement).addEventListener("click", () => this.go(1));
    this.show();
  }

  /** The present step. */
  get present() {
    return this.steps[this.owner.state.tour.step - 1];
  }

  /**
   * Goes to a step; before the first and after the last the tour ends, and the visitor's own setting is put back.
   * @param {number} step
   */
  go(step) {
    const { before, setting, tour } = this.owner.state;
    const none = { step: 0, guess: -1, revealed: false };
    if (step < 1 || step > this.steps.length) {
      this.owner.change({ tour: none, setting: before ?? setting, before: null, lab: "off" });
      byId("tour-start", HTMLButtonElement).focus();
      return;
    }
    this.owner.change({
      tour: { ...none, step },
      before: tour.step ? before : setting,
      ...this.shownBy(this.steps[step - 1]),
    });
  }

  /** Shows the step's own network, whatever has been changed since it was asked about, and gives the answer. */
  reveal() {
    this.owner.change({ tour: { ...this.owner.state.tour, revealed: true }, ...this.shownBy(this.present) });
  }

  /**
   * What a step shows.
   * @param {Step} step
   * @returns {Partial<State>}
   */
  shownBy({ setting, experiment }) {
    return { setting: this.owner.settingOf(setting), lab: experiment?.mode ?? "off", constants: true, rescaled: false };
  }

  /** Whether the page still shows the step's own network. */
  get unchanged() {
    const wanted = this.shownBy(this.present);
    const { setting, lab } = this.owner.state;
    return lab === wanted.lab && JSON.stringify(setting) === JSON.stringify(wanted.setting);
  }

  show() {
    const { state } = this.owner;
    const running = this.steps.length >= state.tour.step ? state.tour : { step: 0, guess: -1, revealed: false };
    this.view.show(running, running.step > 0 && running.revealed && !this.unchanged);
    const key = JSON.stringify([state.tour, state.setting.seed]);
    if (!running.step || !running.revealed) this.told = "";
    else if (this.told !== key) void this.tell(key);
  }

  /**
   * The answer, from this network's own accuracies: another bundle has other numbers.
   * @param {string} key
   */
  async tell(key) {
    this.told = key;
    const { setting, before, answer, experiment } = this.present;
    const settings = [setting, before].map((changes) => this.owner.settingOf(changes));
    const accuracies = experiment ? await this.lab.run(experiment) : await this.background.ask("accuracies", { settings });
    if (accuracies && this.told === key) this.view.reveal(answer(accuracies[0], accuracies[1]), this.owner.state.tour.guess);
  }
}
