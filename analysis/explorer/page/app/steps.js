/** The steps of the tour for one bundle: what each asks, what it shows, and how its answer is told from accuracies. */

import { words } from "../words/index.js";
import { percent } from "../words/numbers.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/** @typedef {{right: number, said: string}} Answer the option that came true, and what to say of it */

/** @typedef {{mode: "weights" | "mask", level?: number, steps?: number}} Experiment prune to a level, or learn a mask */

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {string} setup
 * @property {string} question
 * @property {string[]} options
 * @property {Partial<Setting>} setting what is revealed
 * @property {Partial<Setting>} before what it is compared with
 * @property {Experiment} [experiment] what is trained here for the answer, in place of what the engine says
 * @property {string[]} changed ids of the controls that the step has changed
 * @property {(now: number, before: number) => Answer} answer
 */

/** @type {(accuracy: number) => number} */
const howMany = (accuracy) => (accuracy < 0.25 ? 0 : accuracy <= 0.6 ? 1 : 2);

/** @type {(now: number, before: number, margin: number) => number} 0 for more, 1 for about as many, 2 for fewer */
const compared = (now, before, margin) => (now > before + margin ? 0 : now < before - margin ? 2 : 1);

/**
 * @param {Manifest} manifest
 * @returns {Step[]}
 */
export function stepsOf(manifest) {
  const { steps } = words.tour;
  const sizes = manifest.levels.map((level) => level.reduce((sum, each) => sum + each, 0));
  const level = 4 * manifest.best_level;
  const left = percent(sizes[manifest.best_level] / sizes[0]);
  /** @type {Partial<Setting>} */
  const whole = { criterion: "random", level: 0 };
  const random = { ...whole, level };
  const large = { ...random, criterion: "large_final" };
  /** @type {Partial<Setting>} */
  const constants = { ...large, criterion: "large_final_same_sign", kept: "constant" };
  return [
    {
      ...steps.whole(sizes[0]),
      setting: whole,
      before: whole,
      changed: [],
      answer: (now) => ({ right: howMany(now), said: steps.whole(sizes[0]).answer(now) }),
    },
    {
      ...steps.random(left),
      setting: random,
      before: whole,
      changed: ["level"],
      answer: (now, before) => ({ right: compared(now, before, 0.15), said: steps.random(left).answer(now, before) }),
    },
    {
      ...steps.large(left),
      setting: large,
      before: random,
      changed: ["criteria"],
      answer: (now, before) => ({ right: howMany(now), said: steps.large(left).answer(now, before) }),
    },
    {
      ...steps.small,
      setting: { ...large, criterion: "small_final" },
      before: large,
      changed: ["criteria"],
      answer: (now, before) => ({ right: howMany(now), said: steps.small.answer(now, before) }),
    },
    {
      ...steps.constants,
      setting: constants,
      before: large,
      changed: ["criteria", "kept"],
      answer: (now, before) => ({ right: howMany(now), said: steps.constants.answer(now, before) }),
    },
    {
      ...steps.signs,
      setting: { ...constants, signs: false },
      before: constants,
      changed: ["signs-field"],
      answer: (now, before) => ({ right: now > before - 0.05 ? 0 : now < 0.2 ? 2 : 1, said: steps.signs.answer(now, before) }),
    },
    {
      ...steps.zeros,
      setting: { ...constants, pruned: "initial" },
      before: constants,
      changed: ["pruned"],
      answer: (now, before) => ({ right: compared(now, before, 0.05), said: steps.zeros.answer(now, before) }),
    },
    ...secondAct(manifest, sizes),
  ];
}

/**
 * Rounds of pruning against pruning at one go, and two trainings of one's own.
 * @param {Manifest} manifest
 * @param {number[]} sizes weights kept at every level
 * @returns {Step[]}
 */
function secondAct({ seeds, levels }, sizes) {
  const { steps } = words.tour;
  const last = Math.min(...seeds.map(({ rounds }) => rounds.length)) - 1;
  /** @type {(share: number) => number} */
  const nearest = (share) => sizes.reduce((best, size, at) => (Math.abs(size / sizes[0] - share) < Math.abs(sizes[best] / sizes[0] - share) ? at : best), 0);
  const few = last > 0 ? nearest(seeds[0].rounds[last][0]) : 0;
  const sixteen = Math.min(nearest(0.169), levels.length - 1);
  const rounds = steps.rounds(percent(sizes[few] / sizes[0]));
  const train = steps.train(percent(sizes[sixteen] / sizes[0]));
  /** @type {Partial<Setting>} */
  const once = { criterion: "large_final", level: 4 * few };
  /** @type {Step[]} */
  const compare = [
    {
      ...rounds,
      setting: { source: "round", round: last },
      before: once,
      changed: ["rounds"],
      answer: (now, before) => ({ right: compared(now, before, 0.04), said: rounds.answer(now, before) }),
    },
  ];
  return [
    ...(last > 0 ? compare : []),
    {
      ...train,
      setting: { criterion: "large_final", level: 4 * sixteen },
      before: { criterion: "large_final", level: 0 },
      experiment: { mode: "weights", level: 4 * sixteen },
      changed: ["lab"],
      answer: (now, before) => ({ right: compared(now, before, 0.02), said: train.answer(now, before) }),
    },
    {
      ...steps.learn,
      setting: { criterion: "large_final", level: 0 },
      before: { criterion: "large_final", level: 0 },
      experiment: { mode: "mask", steps: 175 },
      changed: ["lab"],
      answer: (now) => ({ right: now < 0.25 ? 0 : now < 0.8 ? 1 : 2, said: steps.learn.answer(now) }),
    },
  ];
}
