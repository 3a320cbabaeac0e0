/**
 * The one owner of the state. Whoever wants to change what is shown asks it, and says who asks: what plays by itself
 * ends as soon as somebody else changes anything.
 */

import { decode, defaultSetting, encode } from "./address.js";
import { History } from "./history.js";

/** @typedef {import("./fields.js").State} State */
/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * Who changes the state: the visitor, what plays the rounds, what trains, or an address (undo, a link, the browser's buttons).
 * @typedef {"visitor" | "player" | "address"} Who
 */

/** @typedef {(state: State, who: Who) => void} OnChange */

export class Owner {
  /**
   * @param {Manifest} manifest
   * @param {string} address
   */
  constructor(manifest, address) {
    this.manifest = manifest;
    /** @type {State} */
    this.state = decode(address, manifest);
    this.history = new History(this.address, (found) => this.go(found));
    /** Whether the page still stands as it opened, with nothing asked of it: then it gives no answers away. */
    this.unopened = address === "";
    /** @type {OnChange[]} */
    this.listeners = [];
  }

  /** The state as an address holds it. */
  get address() {
    return encode(this.state, this.manifest);
  }

  /** Whether the tour has asked a question and not yet given its answer. */
  get veiled() {
    return this.state.tour.step > 0 && !this.state.tour.revealed;
  }

  /** @param {OnChange} listener called after every change, in the order of their coming */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /**
   * @param {Partial<State>} changes
   * @param {Who} [who]
   */
  change(changes, who = "visitor") {
    this.state = { ...this.state, ...changes };
    this.unopened = false;
    for (const listener of this.listeners) listener(this.state, who);
  }

  /**
   * Changes the setting.
   * @param {Partial<Setting>} changes
   * @param {Who} [who]
   */
  set(changes, who = "visitor") {
    this.change({ setting: { ...this.state.setting, ...changes } }, who);
  }

  /**
   * Goes to the state of an address.
   * @param {string} address
   */
  go(address) {
    this.change(decode(address, this.manifest), "address");
  }

  /**
   * A setting that differs from what the page opens with in these fields alone; the seed is the present one.
   * @param {Partial<Setting>} changes
   * @returns {Setting}
   */
  settingOf(changes) {
    return { ...defaultSetting(this.manifest), seed: this.state.setting.seed, ...changes };
  }

  undo() {
    this.history.move(-1, this.address);
  }

  redo() {
    this.history.move(1, this.address);
  }
}
