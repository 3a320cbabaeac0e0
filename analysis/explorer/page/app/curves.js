/** Curves: an accuracy for every level, computed in the background and remembered. */

import { defaultSetting } from "../state/address.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */
/** @typedef {import("../worker.js").Point} Point */
/** @typedef {import("./client.js").Client} Client */

/** How many curves are remembered: those that were looked at last. */
const MOST = 60;

export class Curves {
  /**
   * @param {Manifest} manifest
   * @param {Client} background
   * @param {() => void} onDrawn there is a new curve
   */
  constructor(manifest, background, onDrawn) {
    this.manifest = manifest;
    this.background = background;
    this.onDrawn = onDrawn;
    /** @type {Map<string, Point[]>} the one looked at last comes last */
    this.known = new Map();
    this.drawing = "";
    /** @type {Setting[]} */
    this.wanted = [];
  }

  /**
   * A curve's points; none while it is not known.
   * @param {Setting} setting
   * @returns {Point[]}
   */
  points(setting) {
    const key = this.key(setting);
    const found = this.known.get(key);
    if (!found) return [];
    this.known.delete(key);
    this.known.set(key, found);
    return found;
  }

  /**
   * Has the missing ones of these curves computed, in this order; one that is no longer wanted is overtaken.
   * @param {Setting[]} settings
   */
  want(settings) {
    this.wanted = settings;
    const missing = settings.find((setting) => !this.known.has(this.key(setting)));
    document.documentElement.dataset.curves = missing ? "missing" : "drawn";
    if (missing) void this.draw(missing);
  }

  /** @param {Setting} setting */
  async draw(setting) {
    const key = this.key(setting);
    if (this.drawing === key) return;
    this.drawing = key;
    const points = await this.background.ask("curve", { settings: this.along(setting) });
    if (this.drawing === key) this.drawing = "";
    if (!points) return;
    this.known.set(key, points);
    for (const oldest of this.known.keys()) if (this.known.size > MOST) this.known.delete(oldest);
    this.onDrawn();
    this.want(this.wanted);
  }

  /**
   * What tells a curve from others: its setting but for the place on it.
   * @param {Setting} setting
   * @returns {string}
   */
  key(setting) {
    const standard = defaultSetting(this.manifest);
    const { level, round, region, criterion } = standard;
    const along = setting.source === "painted" ? {} : { level, round, region };
    const named = { ...setting, ...along, ...(setting.source === "criterion" ? {} : { criterion, level }) };
    return JSON.stringify({ ...named, region: named.region.join("") });
  }

  /**
   * The settings of all points of a curve.
   * @param {Setting} setting
   * @returns {Setting[]}
   */
  along(setting) {
    if (setting.source === "painted") return [setting];
    if (setting.source === "round") return this.manifest.seeds[setting.seed].rounds.map((_, round) => ({ ...setting, round }));
    return this.manifest.levels.map((_, level) => ({ ...setting, level: 4 * level }));
  }
}
