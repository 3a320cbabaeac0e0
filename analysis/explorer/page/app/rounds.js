/** Rounds of iterative pruning, by hand or playing by themselves. */

import { byId, onClick, onSlide } from "../view/dom.js";
import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";

/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./scene.js").Shown} Shown */

/** Milliseconds a round. */
const PACE = 700;

export class Rounds {
  /**
   * @param {Owner} owner
   * @param {Scene} scene
   */
  constructor(owner, scene) {
    this.owner = owner;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.playing = undefined;
    const last = owner.manifest.seeds[0].rounds.length - 1;
    byId("round", HTMLInputElement).max = String(last);
    byId("rounds-none", HTMLElement).hidden = last > 0;
    byId("rounds-tools", HTMLElement).hidden = last === 0;
    onSlide("round", (round) => this.go(round));
    onClick("round-first", () => this.go(0));
    onClick("round-back", () => this.step(-1));
    onClick("round-next", () => this.step(1));
    onClick("round-play", () => this.play());
    owner.onChange((_, who) => who !== "player" && this.stop());
    scene.onShow((shown) => this.show(shown));
  }

  /** The last round of the present seed. */
  get last() {
    return this.owner.manifest.seeds[this.owner.state.setting.seed].rounds.length - 1;
  }

  /**
   * @param {number} round
   * @param {"visitor" | "player"} [who]
   */
  go(round, who = "visitor") {
    const { setting } = this.owner.state;
    this.owner.change({ lab: "off", setting: { ...setting, round, source: "round" } }, who);
  }

  /**
   * @param {number} by
   * @param {"visitor" | "player"} [who]
   */
  step(by, who = "visitor") {
    const { source, round } = this.owner.state.setting;
    const from = source === "round" || by < 0 ? round : -1;
    this.go(Math.min(Math.max(from + by, 0), this.last), who);
  }

  /** Goes through the rounds by itself; where less motion is asked for, one step a click. */
  play() {
    if (this.playing !== undefined) return this.stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.step(1);
    const { round } = this.owner.state.setting;
    if (round >= this.last) this.go(0, "player");
    byId("round-play", HTMLButtonElement).setAttribute("aria-pressed", "true");
    this.playing = setInterval(() => {
      this.step(1, "player");
      if (this.owner.state.setting.round >= this.last) this.stop();
    }, PACE);
    return undefined;
  }

  stop() {
    clearInterval(this.playing);
    this.playing = undefined;
    byId("round-play", HTMLButtonElement).setAttribute("aria-pressed", "false");
  }

  /** @param {Shown} shown */
  show({ state, accuracy }) {
    const { manifest, veiled } = this.owner;
    const { setting, lab } = state;
    const { rounds } = manifest.seeds[setting.seed];
    if (rounds.length < 2) return;
    const round = Math.min(setting.round, rounds.length - 1);
    byId("round", HTMLInputElement).value = String(round);
    byId("round-value", HTMLOutputElement).value = words.rounds.of(round, rounds.length - 1);
    const [remaining, trained] = rounds[round];
    const here = setting.source === "round" && lab === "off" && !veiled;
    const after = here ? words.rounds.here(accuracy) : words.rounds.move;
    byId("rounds-words", HTMLElement).textContent = veiled
      ? percent(remaining)
      : `${words.rounds.left(remaining, trained, manifest.about.test_images)} ${after}`;
  }
}
