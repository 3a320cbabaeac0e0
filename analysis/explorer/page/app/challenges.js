/** Challenges: the one that is chosen, whether what is shown meets it, and the best answers of this browser. */

import { differ } from "../core/chance.js";
import { OFFERED, isMet, readChallenge, writeChallenge } from "../core/challenge.js";
import { countsAt } from "../core/masks.js";
import { defaults, encode } from "../state/address.js";
import { byId, html, onClick, say } from "../view/dom.js";
import { words } from "../words/index.js";
import { forget, remember, remembered } from "./memory.js";

/** @typedef {import("../core/challenge.js").Challenge} Challenge */
/** @typedef {import("../core/challenge.js").Answer} Answer */
/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./scene.js").Shown} Shown */

/** @typedef {{address: string, accuracy: number, remaining: number, trained: boolean}} Kept an answer that is kept */

const MOST = 5;
/** How long a network must be shown to be an answer, in ms. */
const STANDS = 700;

export class Challenges {
  /**
   * @param {Owner} owner
   * @param {Scene} scene
   * @param {Client} background
   */
  constructor(owner, scene, background) {
    this.owner = owner;
    this.background = background;
    this.select = byId("challenge-choice", HTMLSelectElement);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** What a painted region is compared with: accuracies of large_final, by level and seed. */
    this.others = /** @type {Map<string, number>} */ (new Map());
    /** @type {Shown | null} */
    this.shown = null;
    this.listed = "";
    this.select.addEventListener("change", () => owner.change({ challenge: readChallenge(this.select.value) }));
    onClick("challenge-forget", () => {
      forget(this.place);
      this.list();
    });
    owner.onChange(() => this.show());
    scene.onShow((shown) => {
      this.shown = shown;
      void this.judge(shown);
    });
    this.show();
  }

  /** The chosen challenge as it stands in the address. */
  get name() {
    return writeChallenge(this.owner.state.challenge) ?? "";
  }

  /** Where its answers are kept. */
  get place() {
    return `answers ${this.name}`;
  }

  show() {
    const { challenge } = this.owner.state;
    const { name } = this;
    if (this.listed === name && this.select.options.length) return;
    this.listed = name;
    const all = [...OFFERED, ...(challenge && !OFFERED.some((each) => writeChallenge(each) === name) ? [challenge] : [])];
    this.select.replaceChildren(
      html("option", { value: "" }, words.challenge.none),
      ...all.map((each) => html("option", { value: writeChallenge(each) ?? "" }, titleOf(each))),
    );
    this.select.value = name;
    byId("challenge-more", HTMLElement).hidden = !challenge;
    say("challenge-result")("");
    if (!challenge) return;
    const { manifest } = this.owner;
    byId("challenge-link", HTMLAnchorElement).href = `#${encode({ ...defaults(manifest), challenge }, manifest)}`;
    this.list();
    if (this.shown) void this.judge(this.shown);
  }

  /**
   * Says whether a network meets the challenge, and keeps it as an answer if it stands.
   * @param {Shown} shown
   */
  async judge(shown) {
    clearTimeout(this.timer);
    const { challenge } = this.owner.state;
    if (!challenge) return;
    const { state, look, accuracy } = shown;
    const answer = { accuracy, remaining: look.reading.remaining, trained: state.lab === "weights", painted: state.setting.source === "painted" };
    const { level, remaining } = this.compared(answer.remaining);
    const other = challenge.kind === "paint" && answer.painted ? await this.other(state.setting.seed, level, shown) : 0;
    if (other === null || this.shown !== shown) return;
    const images = look.reading.found.length;
    const met = isMet(challenge, answer, other, images);
    say("challenge-result")(this.owner.veiled ? "" : this.verdict(challenge, answer, met, { accuracy: other, remaining }, images));
    byId("challenge-result", HTMLElement).classList.toggle("met", met);
    if (met && !this.owner.veiled) this.timer = setTimeout(() => this.keep({ address: this.owner.address, accuracy, remaining: answer.remaining, trained: state.lab !== "off" }), STANDS);
  }

  /**
   * What is said of a network.
   * @param {Challenge} challenge
   * @param {Answer} answer
   * @param {boolean} met
   * @param {{accuracy: number, remaining: number}} other
   * @param {number} images
   */
  verdict(challenge, answer, met, other, images) {
    const said = words.challenge;
    const begun = met ? said.met : said.notYet;
    if (challenge.kind === "paint") {
      if (!answer.painted || answer.trained) return begun + said.paintFirst;
      const close = differ(answer.accuracy, other.accuracy, images) ? "" : ` ${said.close}`;
      return begun + said.against(answer.accuracy, other.accuracy, other.remaining) + close;
    }
    const now = begun + said.now(answer.accuracy, answer.remaining);
    return challenge.kind === "untrained" && answer.trained ? `${now} ${said.untrainedOnly}` : now;
  }

  /**
   * The level of large_final that keeps as many weights, or the next few more.
   * @param {number} remaining
   */
  compared(remaining) {
    const { levels } = this.owner.manifest;
    /** @type {(quarters: number) => number} */
    const kept = (quarters) => countsAt(levels, quarters).reduce((sum, each) => sum + each, 0) / countsAt(levels, 0).reduce((sum, each) => sum + each, 0);
    let level = 0;
    while (level < 4 * (levels.length - 1) && kept(level + 1) >= remaining) level++;
    return { level, remaining: kept(level) };
  }

  /**
   * The accuracy of large_final at a level, with the values of what is shown; null where a newer question overtook this one.
   * @param {number} seed
   * @param {number} level
   * @param {Shown} shown
   */
  async other(seed, level, { state: { setting } }) {
    const wanted = { ...setting, seed, level, source: /** @type {const} */ ("criterion"), criterion: "large_final" };
    const key = JSON.stringify({ ...wanted, region: "" });
    const known = this.others.get(key);
    if (known !== undefined) return known;
    const found = await this.background.ask("accuracies", { settings: [wanted] });
    if (found) this.others.set(key, found[0]);
    return found && found[0];
  }

  // The best answers --------------------------------------------------------------------------------------------------

  /** @returns {Kept[]} the best first */
  get answers() {
    try {
      const found = JSON.parse(remembered(this.place) ?? "[]");
      return Array.isArray(found) ? found.filter(isKept) : [];
    } catch {
      return [];
    }
  }

  /** @param {Kept} answer */
  keep(answer) {
    const others = this.answers.filter(({ address }) => address !== answer.address);
    const best = [...others, answer].sort((a, b) => b.accuracy - a.accuracy || a.remaining - b.remaining).slice(0, MOST);
    remember(this.place, JSON.stringify(best));
    this.list();
  }

  list() {
    const { answers } = this;
    byId("challenge-answers", HTMLOListElement).replaceChildren(
      ...answers.map(({ address, accuracy, remaining, trained }) => html("li", {}, html("a", { href: `#${address}` }, words.challenge.answer(accuracy, remaining, trained)))),
    );
    byId("challenge-empty", HTMLElement).hidden = answers.length > 0;
    byId("challenge-forget", HTMLElement).hidden = answers.length === 0;
  }
}

/** @type {(challenge: Challenge) => string} */
const titleOf = (challenge) => (challenge.kind === "paint" ? words.challenge.paint : words.challenge[challenge.kind](challenge.accuracy, challenge.remaining));

/** @type {(each: any) => each is Kept} */
const isKept = (each) => typeof each?.address === "string" && typeof each.accuracy === "number" && typeof each.remaining === "number";
