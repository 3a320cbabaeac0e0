/** What the chart shows: the present curve, those it is compared with, and where the present network is. */

import { words } from "../words/index.js";
import { curveWords, maskWords } from "../words/settings.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */
/** @typedef {import("../state/fields.js").State} State */
/** @typedef {import("../view/curve.js").Chart} Chart */
/** @typedef {import("./curves.js").Curves} Curves */
/** @typedef {import("./scene.js").Shown} Shown */
/** @typedef {import("../worker.js").Point} Point */

/**
 * The settings of all curves that are shown, the present one first.
 * @param {State} state
 * @param {Manifest} manifest
 * @returns {Setting[]}
 */
export function compared(state, manifest) {
  if (state.lab !== "off") return state.pins;
  return [state.setting, randomMask(state.setting), ...state.pins, ...otherSeeds(state.setting, manifest)];
}

/** @type {(setting: Setting) => Setting} */
const randomMask = (setting) => ({ ...setting, source: "criterion", criterion: "random" });

/** @type {(setting: Setting, manifest: Manifest) => Setting[]} */
const otherSeeds = (setting, { seeds }) => seeds.flatMap((_, seed) => (seed === setting.seed ? [] : [{ ...setting, seed }]));

/**
 * @param {State} state
 * @param {Manifest} manifest
 * @param {Curves} curves
 * @param {Shown | null} shown
 * @param {Point[]} rounds that were trained here
 * @returns {Chart}
 */
export function chartOf(state, manifest, curves, shown, rounds) {
  const { setting, pins } = state;
  const present = setting.source === "round" ? words.setting.rounds : maskWords(setting);
  const totals = manifest.levels.map((level) => level.reduce((sum, each) => sum + each, 0));
  const untrained = [
    { name: present, look: "present", points: curves.points(setting) },
    { name: words.reads.randomMask, look: "random", points: curves.points(randomMask(setting)) },
  ];
  const trained = [
    { name: words.reads.trainedHere, look: "present", points: state.lab === "weights" ? rounds : [] },
    { name: words.reads.bundled, look: "bundled", points: manifest.seeds[setting.seed].rounds.map(([remaining, accuracy]) => ({ remaining, accuracy })) },
  ];
  const kept = pins.map((pin, at) => ({ name: curveWords(pin, manifest), look: `pin-${at + 1}`, points: curves.points(pin) }));
  const others = otherSeeds(setting, manifest).map((other) => ({
    name: words.reads.otherSeed(manifest.seeds[other.seed].seed),
    look: "present",
    thin: true,
    points: curves.points(other),
  }));
  return {
    lines: state.lab === "off" ? [...untrained, ...kept, ...others] : [...trained, ...kept],
    heights: [
      { name: words.reads.trained, accuracy: manifest.seeds[setting.seed].trained_accuracy, look: "trained" },
      { name: words.reads.chance, accuracy: 1 / manifest.classes, look: "chance" },
    ],
    now: shown && { remaining: shown.look.reading.remaining, accuracy: shown.accuracy },
    least: totals[totals.length - 1] / totals[0],
    images: manifest.labels.length,
  };
}
