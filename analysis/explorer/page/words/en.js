/** The words of the page's controls and results in English; the story is in en-story.js. A language is a file of this shape. */

import { story } from "./en-story.js";
import { count, fixed, percent } from "./numbers.js";

/** @typedef {import("./index.js").Subject} Subject */

/** @type {(name: string) => string} a layer's name in the network */
const layer = (name) => {
  const hidden = /^hidden(\d+)$/.exec(name);
  return hidden ? `hidden layer ${hidden[1]}` : name === "output" ? "output layer" : name;
};

/** @type {(name: string) => string} the same where there is little room */
const brief = (name) => layer(name).replace("layer ", "").replace(" layer", "");

/** @type {(names: string[]) => string} */
const listed = (names) => names.map(layer).join(" and ");

/** @type {Record<string, {name: string, kept: string, not: string}>} short name; the weights that ...; those that do not */
const CRITERIA = {
  large_final: { name: "large final", kept: "ended largest", not: "" },
  small_final: { name: "small final", kept: "ended smallest", not: "" },
  large_init: { name: "large initial", kept: "started largest", not: "" },
  small_init: { name: "small initial", kept: "started smallest", not: "" },
  large_init_large_final: { name: "both large", kept: "started and ended large", not: "" },
  small_init_small_final: { name: "both small", kept: "started and ended small", not: "" },
  magnitude_increase: { name: "grew", kept: "grew most", not: "" },
  movement: { name: "moved", kept: "moved farthest", not: "" },
  random: { name: "random", kept: "are drawn at random", not: "" },
  large_final_same_sign: { name: "large, same sign", kept: "ended largest with the sign they started with", not: "changed their sign" },
  large_final_diff_sign: { name: "large, flipped", kept: "ended largest with the other sign", not: "kept their sign" },
  magnitude_increase_same_sign: { name: "grew, same sign", kept: "grew most and kept their sign", not: "changed their sign" },
  magnitude_increase_diff_sign: { name: "grew, flipped", kept: "grew most and changed their sign", not: "kept their sign" },
  painted: { name: "paint your own", kept: "lie in a region you paint", not: "" },
};

/** @param {Subject} subject */
export function en(subject) {
  const { digits, names } = subject;
  const [thing, things] = digits ? ["digit", "digits"] : ["image", "images"];
  /** @type {(label: number) => string} */
  const a = (label) => (digits ? `a ${label}` : (names[label] ?? `class ${label}`));
  return {
    ...story(subject),
    layer,
    brief,
    criteria: CRITERIA,

    page: {
      title: "Zeros, signs and the supermask",
      skip: "Skip to the controls",
      tools: "Page",
      tour: "Take the tour",
      undo: "Undo",
      redo: "Redo",
      reset: "Reset",
      share: "Copy link",
      shared: "Link copied",
      inBar: "The link is in the address bar",
      theme: "Theme",
      themes: { auto: "as the system", light: "light", dark: "dark" },
      words: "Language",
      size: "Large text",
      loaded: (/** @type {number} */ share) => `Loading the network … ${percent(share)}`,
      failed: (/** @type {string} */ why) => `The page could not be set up. ${why}`,
      trouble: (/** @type {string} */ why) => `Something went wrong, and what you see may be out of date. Reload the page; its address keeps your settings. (${why})`,
      missing: (/** @type {string} */ name, /** @type {string} */ why) => `${name} is missing (${why}).`,
      old: (/** @type {number} */ found, /** @type {number} */ wanted) => `The bundle has format ${found}; this page reads ${wanted}. Export both again.`,
    },

    which: {
      title: "Which weights stay?",
      legend: "The mask keeps the weights that …",
      formula: (/** @type {string} */ name, /** @type {string} */ formula) => name === "random" ? "random: every weight has the same chance of being kept." : `${CRITERIA[name].name}: the highest ${formula}. (wi: the weight when it started; wf: when it ended.)`,
      byRound: "The mask of a round of iterative pruning; see “Rounds of pruning”.",
      byRegion: "The weights in the region that you paint, in every layer on its own axes.",
      level: "Weights remaining",
      prune: "Prune to",
      levelElsewhere: { round: "The round decides. Choose a criterion to use this slider.", painted: "The painted region decides. Choose a criterion to use this slider.", learned: "The learned mask decides. Choose another thing to train to use this slider and the choices under 1 and 2." },
      layers: "Weights of",
      brush: "Brush",
      paint: "paint",
      erase: "erase",
      fill: "Paint all",
      clear: "Clear",
      plane: "Plane of initial and final weights",
      planeHelp: "Each cell shows how many weights lie there: darker means more, blue means kept. Drag the boundary of the blue region to move it. By keyboard: arrow keys move a cursor, Enter puts the boundary there; when painting, space paints or clears a cell.",
      initial: "initial weight →",
      final: "↑ final weight",
      now: "↑ weight now",
      whole: (/** @type {string} */ name, /** @type {number} */ kept, /** @type {number} */ all) => `${layer(name)}: ${count(kept)} of ${count(all)} weights are kept.`,
      near: (/** @type {string} */ name, /** @type {string} */ x, /** @type {string} */ y, /** @type {number} */ kept, /** @type {number} */ all) => `${layer(name)}, near (${x}, ${y}): ${count(kept)} of ${count(all)} kept.`,
    },

    values: {
      title: "With what values?",
      kept: "Kept weights",
      choices: { initial: "initial values", constant: "± one constant per layer", fresh: "a new draw", reshuffled: "initial values, reshuffled" },
      signs: "with the signs they started with",
      pruned: "Pruned weights",
      zero: "zero",
      frozen: "frozen at their initial values",
      flips: "Flip all signs of",
      seed: "Seed",
      seedHint: "another random start, everything else the same",
    },

    reads: {
      title: "What does it recognise?",
      axes: ["weights remaining, %", "accuracy, %"],
      table: `Accuracy on test ${things}`,
      remaining: "weights remaining",
      help: "Click the chart to go to that many weights. The band shows how far chance alone can move an accuracy; thin lines are the other seeds.",
      keep: "Keep this curve to compare",
      pins: "Curves kept to compare",
      show: "Show this one",
      remove: (/** @type {string} */ name) => `Remove ${name}`,
      randomMask: "random mask",
      otherSeed: (/** @type {number} */ seed) => `seed ${seed}`,
      trained: "the copy, trained to the end",
      chance: "chance",
      trainedHere: "trained here, rounds",
      bundled: "iterative pruning, trained in every round",
      strip: `Test ${things}, and what the network takes them for`,
      stripHint: "Choose one to send it through the network below.",
      one: (/** @type {number} */ label, /** @type {number} */ found) => `${a(label)}, taken for ${a(found)}: ${label === found ? "right" : "wrong"}`,
      chart: (/** @type {string[]} */ parts) => `Accuracy against weights remaining. ${parts.join("; ")}. The numbers are in a table below.`,
      bestAt: (/** @type {string} */ name, /** @type {number} */ accuracy, /** @type {number} */ remaining) => `${name}: best ${percent(accuracy)} at ${percent(remaining)}`,
      at: (/** @type {number} */ remaining, /** @type {string[]} */ values) => `At ${percent(remaining)} of weights: ${values.join("; ")}.`,
      clear: (/** @type {string} */ name) => `No clear difference from: ${name}.`,
    },

    lab: {
      title: "Train it here",
      text: "Run the lottery ticket algorithm yourself: train, prune by the mask chosen under 1, rewind to the values chosen under 2, train again.",
      legend: "What is trained",
      modes: { off: "nothing", weights: "the weights", mask: "a mask" },
      maskText: "The weights never change. Each has a probability of being kept, which starts at one half; training moves the probabilities. In the plane, watch them drift up and down.",
      constants: "on signed constants, in place of initial values",
      rescaled: "rescale each layer by the share that is kept",
      train: "Train",
      stop: "Stop",
      step: "One step",
      prune: "Prune",
      rewind: "Rewind",
      round: "One whole round",
      over: "Start over",
      starting: "Starting …",
      progress: (/** @type {number} */ round, /** @type {number} */ steps, /** @type {number} */ length) => `Round ${round}: step ${count(steps)} of ${count(length)}.`,
      learning: (/** @type {number} */ steps, /** @type {number} */ length) => `Step ${count(steps)} of ${count(length)}.`,
      loss: (/** @type {string} */ loss) => `Loss ${loss}.`,
      cost: (/** @type {string} */ ms, /** @type {string} */ seconds) => `${ms} ms per step, ${seconds} s in all.`,
      pruned: (/** @type {number} */ weights) => `${count(weights)} weights pruned. Rewind the others, or train on from here.`,
      nothing: "Nothing was pruned: the mask under 1 keeps at least as many weights as are left. Move its slider to the right.",
      explain: {
        weights: (/** @type {number} */ remaining, /** @type {number} */ round) => `Trained here, from this seed's random start: ${percent(remaining)} of its weights are left (round ${round}).`,
        mask: (/** @type {number} */ remaining) => `Learned here: the mask keeps the ${percent(remaining)} of weights whose probability is above one half. No weight was trained.`,
      },
      chart: "Loss and accuracy of this training",
      axes: [`accuracy on test ${things}`, "loss on training batches", "step"],
      chance: "↑ probability of being kept",
    },

    net: {
      title: "See the network",
      canvas: "The network: an image, hidden units, and the answer",
      text: `One ${thing} on its way through a sample of the weights. Blue: positive. Orange and dashed: negative. Faint: pruned. The stronger a line, the more it passes on.`,
      help: "Point at a weight to find it in the plane, or at a unit of the first column to see which pixels it looks at. A click keeps it in view. By keyboard: arrow keys go from unit to unit, space goes through a unit's weights, Enter keeps.",
      unit: (/** @type {number} */ unit) => `hidden unit ${unit}`,
      output: (/** @type {number} */ label) => `the output for ${digits ? label : a(label)}`,
      edge: (/** @type {string} */ from, /** @type {string} */ to, /** @type {string} */ initial, /** @type {string} */ final, /** @type {boolean} */ kept, /** @type {string} */ value) =>
        `Weight from ${from} to ${to}: started at ${initial}, upward in the plane ${final}; ${kept ? "kept" : "pruned"}, set to ${value}.`,
      puts: (/** @type {string} */ name, /** @type {string} */ value, /** @type {boolean} */ field) => `${name} puts out ${value}.${field ? " At the left: its weights from every pixel." : ""}`,
      answer: (/** @type {number} */ label, /** @type {number} */ kept, /** @type {number} */ all) => `The network takes this for ${a(label)}. Of the ${count(all)} weights drawn, ${count(kept)} are kept.`,
    },

    own: {
      title: digits ? "Draw a digit" : "Draw an image",
      text: "The network on this page tries to recognise it, too.",
      pad: "Pad to draw on",
      bars: `Output for every ${digits ? "digit" : "class"}`,
      hint: "Draw with mouse, finger or pen.",
      help: "By keyboard: arrow keys move the pen, space puts it down or lifts it.",
      found: (/** @type {number} */ label) => `The network takes this for ${a(label)}.`,
      clear: "Clear",
      mine: {
        title: "Your test set",
        text: `Keep what you draw, with its right answer: ${digits ? "ten digits of your own" : "images of your own"} are a small test set. It stays in this browser.`,
        label: "This is",
        keep: "Keep it",
        none: "Nothing is kept yet.",
        full: (/** @type {number} */ most) => `There is room for ${most}.`,
        right: (/** @type {number} */ right, /** @type {number} */ all) => `Of your ${all}, this network gets ${right} right (${percent(right / all)}). On so few, chance matters: uncertain by ±${fixed(196 * Math.sqrt((((right + 1) / (all + 2)) * ((all - right + 1) / (all + 2))) / all), 0)} points.`,
        one: (/** @type {number} */ label, /** @type {number} */ found) => `${a(label)}, taken for ${a(found)}. Remove it`,
      },
    },

    challenge: {
      title: "Challenges",
      text: "Pick a challenge, then use the controls above. Your best answers stay in this browser; each of them is a link.",
      choose: "Challenge",
      none: "none",
      any: (/** @type {number} */ accuracy, /** @type {number} */ remaining) => `more than ${accuracy}% right with under ${remaining}% of the weights (training allowed)`,
      untrained: (/** @type {number} */ accuracy, /** @type {number} */ remaining) => `more than ${accuracy}% right with under ${remaining}% of the weights, untrained`,
      paint: "beat “large final” by painting, at as many weights",
      met: "Done: ",
      notYet: "Not yet: ",
      now: (/** @type {number} */ accuracy, /** @type {number} */ remaining) => `${percent(accuracy)} right with ${percent(remaining)} of the weights.`,
      untrainedOnly: "This challenge is for untrained networks: choose “nothing” under “Train it here”.",
      paintFirst: "Choose “paint your own” under 1.",
      against: (/** @type {number} */ own, /** @type {number} */ other, /** @type {number} */ remaining) => `your region gets ${percent(own)}, “large final” gets ${percent(other)} with ${percent(remaining)} of the weights.`,
      close: "This is no clear difference.",
      link: "This challenge as a link: copy its address to share it",
      best: "Your best answers",
      empty: "No answer yet.",
      answer: (/** @type {number} */ accuracy, /** @type {number} */ remaining, /** @type {boolean} */ trained) => `${percent(accuracy)} with ${percent(remaining)} of the weights${trained ? ", trained here" : ""}`,
      forget: "Forget these answers",
    },

    seen: {
      title: "The mask as a picture",
      legend: "What is shown",
      modes: { pixels: "per pixel", unit: "one hidden unit", difference: "difference" },
      map: "Map of the first layer's weights over the image",
      unit: "Hidden unit",
      pixels: (/** @type {number} */ units, /** @type {number} */ seen, /** @type {number} */ all) => `How many of its ${units} weights every input pixel keeps: ${seen} of ${all} pixels still reach the network.`,
      field: (/** @type {number} */ unit, /** @type {number} */ kept, /** @type {number} */ all) => `The weights from the image to hidden unit ${unit}: ${kept} of ${all} are kept.`,
      compare: "First keep a curve (under 3): its mask is then compared with this one.",
      against: (/** @type {string} */ other, /** @type {number} */ shared, /** @type {number} */ chance) => `Compared with ${other}: ${percent(shared)} of the smaller mask's weights are in both masks; chance alone would give ${percent(chance)}.`,
      keys: {
        pixels: ["no weight kept", "most kept"],
        unit: ["negative", "positive"],
        difference: ["only there", "only here"],
      },
      pixel: (/** @type {number} */ row, /** @type {number} */ column) => `the pixel in row ${row}, column ${column}`,
      place: (/** @type {number} */ row, /** @type {number} */ column) => `Row ${row}, column ${column}: `,
      keptOf: (/** @type {number} */ kept, /** @type {number} */ all) => `${kept} of ${all} weights kept.`,
      value: (/** @type {boolean} */ kept, /** @type {string} */ value) => `${kept ? "kept" : "pruned"}, set to ${value}.`,
      sides: (/** @type {number} */ here, /** @type {number} */ there) => `${here} only here, ${there} only there.`,
    },

    confusion: {
      title: `Which ${digits ? "digits" : "classes"} it confuses`,
      caption: `Rows: the ${digits ? "digit" : "class"}. Columns: what the network takes it for. Numbers of test images.`,
      digit: digits ? "digit" : "class",
      right: "right",
      cell: (/** @type {string} */ number, /** @type {number} */ row, /** @type {number} */ column) => `${number} images of ${a(row)} are taken for ${a(column)}.`,
    },

    rounds: {
      title: "Rounds of pruning",
      text: "The lottery ticket algorithm: train, prune the smallest weights, rewind, train again. These are its masks.",
      none: "This page was made without rounds. You can run them yourself: see “Train it here”.",
      round: "Round",
      of: (/** @type {number} */ round, /** @type {number} */ last) => `${round} of ${last}`,
      first: "First",
      back: "Back",
      next: "Next",
      play: "Play",
      left: (/** @type {number} */ remaining, /** @type {number} */ trained, /** @type {number} */ images) =>
        `${percent(remaining)} of weights left. After training in this round, accuracy is ${percent(trained)}: on all ${count(images)} test images, at the step with the lowest validation loss. (The line in the chart is the end of training, on the images of this page; so the two differ.)`,
      here: (/** @type {number} */ untrained) => `The untrained network under this mask, with the values chosen under 2: ${percent(untrained)}.`,
      move: "Move the slider to put a round's mask on the untrained network.",
    },

    tries: {
      title: "What you have tried",
      caption: "Networks you tried, newest first",
      heads: ["#", "mask", "values", "seed", "remaining", "accuracy"],
      show: "show",
      back: (/** @type {number} */ number) => `Show network ${number} again`,
      table: "Table (CSV)",
      picture: "Picture (PNG)",
      mask: "Mask (packed file)",
      canPack: "The mask's file holds the whole network: the command “supermask evaluate” reads it.",
      cannotPack: "A mask's file holds initial values or signed constants, with zeros elsewhere.",
    },

    numbers: { title: "The curves as a table" },

    setting: {
      painted: "painted region",
      round: (/** @type {number} */ round) => `iterative pruning, round ${round}`,
      rounds: "iterative pruning",
      values: { initial: "initial values", constant: "one constant", fresh: "a new draw", reshuffled: "reshuffled initial values" },
      ownSigns: ", own signs",
      anySigns: ", random signs",
      frozen: "; pruned at initial",
      flipped: (/** @type {string[]} */ names) => `; ${listed(names)} flipped`,
      seed: (/** @type {number} */ seed) => `seed ${seed}`,
      keptByRound: (/** @type {string} */ share, /** @type {number} */ round) => `Kept: the ${share} of weights that round ${round} of pruning left.`,
      keptByRegion: (/** @type {string} */ share) => `Kept: the ${share} of weights in the region you painted.`,
      keptAll: "Kept: all weights.",
      keptNone: "Kept: no weight at all.",
      keptAtRandom: (/** @type {string} */ share) => `Kept: ${share} of the weights, drawn at random.`,
      keptBest: (/** @type {string} */ share, /** @type {string} */ name) => `Kept: the ${share} of weights that ${CRITERIA[name].kept}.`,
      keptMixed: (/** @type {string} */ share, /** @type {string} */ name, /** @type {string} */ meant, /** @type {string} */ drawn) =>
        `Kept: ${share} of the weights. Of all weights, ${meant} ${CRITERIA[name].kept}; the other ${drawn} kept here ${CRITERIA[name].not}: the criterion scores them all 0, and a random draw chose them.`,
      initial: "Each has the value it was drawn with.",
      constant: (/** @type {boolean} */ own) => `Each is set to one constant per layer, ${own ? "with the sign it started with" : "with a random sign"}.`,
      fresh: (/** @type {boolean} */ own) => `Each is drawn anew${own ? ", with the sign it started with" : ""}.`,
      reshuffled: (/** @type {boolean} */ own) => `Their values are reshuffled${own ? "; each keeps the sign it started with" : ""}.`,
      zeros: "All others are zero.",
      others: "All others stay at their initial values.",
      flips: (/** @type {string[]} */ names) => `Every sign of ${listed(names)} is flipped.`,
    },

    about: {
      caption: (/** @type {import("../core/bundle.js").About} */ about, /** @type {number[]} */ seeds) =>
        `${about.network} on ${about.dataset} · protocol ${about.protocol}: ${about.epochs} epochs · seeds ${seeds.join(", ")} · ${about.images === about.test_images ? `all ${count(about.images)}` : `the first ${count(about.images)} of ${count(about.test_images)}`} test images · ${about.version}`,
      text: "After Zhou, Lan, Liu and Yosinski 2019, “Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask”. All masks, accuracies and trainings are computed in this browser; nothing is sent anywhere. Where several classes have equal outputs, the first is taken. “A new draw” means the weights that the next seed started with.",
    },
  };
}

/** @typedef {ReturnType<typeof en>} Words */
