/** Every sentence of the page in English. Another language is another file of the same shape: see index.js. */

import { count, percent } from "./numbers.js";

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

const HOW_MANY = ["about 10, as by guessing", "about 40", "more than 60"];

/** @type {(now: number, before: number) => string} */
const change = (now, before) => {
  const points = Math.abs(100 * (now - before));
  if (points < 5) return "about as many as before";
  return `${points.toFixed(0)} points ${now > before ? "more" : "fewer"} than before`;
};

export const en = {
  language: "English",
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
    reset: "Start over",
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

  terms: {
    weight: ["weight", "A number on the connection between two units. Training changes weights; here they stay as they were drawn, unless you train."],
    mask: ["mask", "A choice for every weight: keep it, or prune it. Here a pruned weight is set to zero, or frozen at its initial value."],
    criterion: ["criterion", "The rule that ranks weights by where each started and where it ended. The mask keeps the best-ranked ones."],
    supermask: ["supermask", "A mask that makes an untrained network accurate: nothing is trained but the choice of weights."],
    rewind: ["rewind", "Set the kept weights back to the values they had before training, and train again."],
    sign: ["sign", "Whether a weight is positive or negative: whether its input speaks for or against the unit it feeds."],
  },

  story: {
    told: ["A network is drawn at random and not trained.", "A copy of it is trained.", "From the copy we take one thing only: which weights to keep."],
    untrained: ["An untrained network gets ", " of handwritten digits right."],
    trained: ["The network that you train here gets ", " right."],
    learned: ["An untrained network under the mask that you learn here gets ", " right."],
    best: "Show the best supermask",
    ask: "Drag the slider under “Weights remaining” and watch the number.",
    status: (/** @type {number} */ remaining, /** @type {number} */ accuracy) => `${percent(remaining)} of weights kept. Accuracy: ${percent(accuracy)}.`,
    precision: (/** @type {number} */ images, /** @type {number} */ half) => `On ${count(images)} test images an accuracy is good to ±${(100 * half).toFixed(1)} points.`,
  },

  tour: {
    step: (/** @type {number} */ step, /** @type {number} */ all) => `Step ${step} of ${all}`,
    back: "Back",
    end: "End the tour",
    reveal: "Reveal",
    next: "Next question",
    last: "Explore yourself",
    computing: "Working it out …",
    right: "You were right. ",
    wrong: (/** @type {string} */ option) => `The answer: ${option}. `,
    changed: "You have changed the network since; the answer is about the one asked about.",
    again: "Show that one again",
    steps: {
      whole: (/** @type {number} */ weights) => ({
        title: "A network that nobody trained",
        setup: `Its ${count(weights)} weights were drawn at random, and it keeps them all.`,
        question: "Of 100 handwritten digits, how many does it get right?",
        options: HOW_MANY,
        answer: (/** @type {number} */ now) => `It gets ${percent(now)} right. Guessing gets 10%.`,
      }),
      random: (/** @type {string} */ left) => ({
        title: "Prune at random",
        setup: `Now only ${left} of the weights stay, drawn at random. The others become zero.`,
        question: "Does it get more digits right now?",
        options: ["many more", "about as many", "many fewer"],
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)} now, ${percent(before)} with all weights. Pruning alone is not enough: which weights go matters.`,
      }),
      large: (/** @type {string} */ left) => ({
        title: "Ask training which weights to keep",
        setup: `Train a copy. Keep the ${left} of weights that ended large in the copy, but at the random values they started from. No trained value is used.`,
        question: "Of 100 digits, how many does it get right?",
        options: HOW_MANY,
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}: ${change(now, before)}, when the mask was random. The choice of weights alone carries some of what training found.`,
      }),
      small: {
        title: "What if we keep the small weights?",
        setup: "The same number of weights, but those that ended smallest.",
        question: "Of 100 digits, how many does it get right?",
        options: HOW_MANY,
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}, against ${percent(before)} with the large ones. Training moves toward zero what the network can do without; keeping only that does not help.`,
      },
      constants: {
        title: "Throw the values away",
        setup: "Keep weights that ended large and kept their sign. Replace each by one constant per layer, + or − as the weight started. Nothing is left of the values but their signs.",
        question: "Of 100 digits, how many does it get right?",
        options: HOW_MANY,
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}: ${change(now, before)}, with “large final” on the initial values. Right weights, own signs, one constant, zeros elsewhere: this is a supermask.`,
      },
      signs: {
        title: "Do signs matter?",
        setup: "The same mask and the same constant, but each sign is now + or − at random.",
        question: "What is left of its accuracy?",
        options: ["all of it, or nearly", "some of it", "hardly more than guessing"],
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}. With the signs that the weights started with it was ${percent(before)}: same mask, same constant.`,
      },
      zeros: {
        title: "Do zeros matter?",
        setup: "The signs are back. But the pruned weights are no longer zero: they stay at their initial values.",
        question: "Does it get more digits right than with zeros?",
        options: ["more", "about as many", "fewer"],
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}, against ${percent(before)} with zeros. ${now < before ? "For weights that training did not need, zero is the better value." : "In this network the zeros are not what helps."}`,
      },
      rounds: (/** @type {string} */ left) => ({
        title: "In one go, or round by round?",
        setup: `Now only ${left} of the weights are kept. Once the mask is made in one go, from one training; once in rounds: train, prune some, rewind, train again. Both masks go on the initial values.`,
        question: "Which mask makes the better untrained network?",
        options: ["the one made in rounds", "no clear difference", "the one made in one go"],
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `In rounds: ${percent(now)}; in one go: ${percent(before)}. A mask made in rounds is made for training again, and that is where it pays: see the accuracies under “Rounds of pruning”.`,
      }),
      train: (/** @type {string} */ left) => ({
        title: "Train it yourself",
        setup: `“Reveal” trains this network in your browser, keeps the ${left} of weights that end largest, rewinds those to where they started, and trains again. Watch the cloud leave its diagonal.`,
        question: "How good will the small network be?",
        options: ["better than the whole one", "about as good", "worse"],
        answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)} with ${left} of the weights, ${percent(before)} with all of them. A network this small, started where the large one started, learns as well: a winning ticket.`,
      }),
      learn: {
        title: "Learn the mask itself",
        setup: "No weight is trained now. Each is one constant with its own sign, and has a probability of being kept, which starts at one half. “Reveal” trains the probabilities alone.",
        question: "Of 100 digits, how many does it get right after three passes over the training images?",
        options: ["about 10, as by guessing", "about 50", "more than 80"],
        answer: (/** @type {number} */ now) => `${percent(now)}, and not one weight has moved. Choosing a mask is a way of training. Draw a digit of your own below and try it.`,
      },
    },
  },

  article: {
    title: "What this is about",
    parts: [
      [
        "A network, and a copy of it",
        "A neural network that recognises digits is a long list of numbers, its weights. This one has 266,200 of them: 784 pixels feed 300 hidden units, these feed 100 more, and those feed ten outputs, one per digit. The largest output is the answer. Before training, the weights are drawn at random, and the network guesses. Training changes every weight a little, thousands of times, until the answers are right.",
        "Here something else is done. A network is drawn, and a copy of it is trained. Then the trained weights are thrown away. What is kept is one bit per weight: stay or go. This list of bits is the mask, and the rule that makes it from where each weight started and where it ended is the criterion. Put the mask on the untrained network, whose weights nobody has touched, and it recognises most digits. Such a mask is called a supermask.",
      ],
      [
        "Why zeros",
        "A pruned weight has to have some value. Zero is the usual one, and one might think that it is merely convenient. It is not: leave the pruned weights at their initial values and the accuracy falls. The criterion explains it. “Large final” prunes weights that ended near zero, so setting them to zero moves them in the direction in which training was taking them anyway. Masking does part of what training does. Freeze weights at zero that training was moving away from zero, and nothing is gained. Try it: keep the weights that ended smallest.",
      ],
      [
        "Why signs",
        "How much of the kept weights' values matters? Replace all of a layer by one constant, each with the sign that its weight started with, and the network does about as well, often better. Draw the signs anew, keep everything else, and it is back to guessing. So the sign of a weight carries most of what its initial value has to say: whether an input speaks for a unit or against it. This is also why a criterion that keeps weights which did not change their sign does well on constants: a weight that ended with the other sign is better left out than kept with the wrong one.",
      ],
      [
        "Rewinding, and lottery tickets",
        "Masks were first made in order to train again. Train, prune the smallest weights, rewind the others to where they started, train again: the lottery ticket algorithm. With a tenth of the weights it often reaches the accuracy of the whole network, and the small network, started from another draw, does not. Frankle and Carbin called such a small network a winning ticket. Zhou and others then asked what in it wins: the mask, the values or the signs. The controls on this page are their questions. Under “Train it here” you can run both, and also learn a mask directly, by gradient descent on the probability that each weight is kept.",
      ],
      [
        "What is not claimed",
        "Not that untrained networks are good at anything by themselves: the mask is found with the help of a training, or is itself trained. Choosing 266,200 bits well is learning, too. Not that this holds for every network: what is shown is a small fully connected one on small images of digits. And not that every difference is real. An accuracy on 1,000 images is uncertain by a point or two, and another random start gives another number, so look at the band, at the thin lines of the other seeds, and at the words “no clear difference” before you believe one. All numbers here are computed in your browser from this network; none is copied from a paper.",
      ],
    ],
    sources: "Sources",
    papers: [
      "Frankle and Carbin 2019, The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks (arXiv 1803.03635)",
      "Zhou, Lan, Liu and Yosinski 2019, Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask (arXiv 1905.01067)",
      "Ramanujan and others 2020, What's Hidden in a Randomly Weighted Neural Network? (arXiv 1911.13299)",
      "The toolkit that made this page: supermask, whose documentation says how every number is made",
      "The digits: MNIST (LeCun, Cortes and Burges)",
    ],
  },

  which: {
    title: "Which weights stay?",
    legend: "The mask keeps the weights that …",
    formula: (/** @type {string} */ name, /** @type {string} */ formula) => `${CRITERIA[name].name}: the highest ${formula}`,
    byRound: "The mask of a round of iterative pruning; see “Rounds of pruning”.",
    byRegion: "The weights in the region that you paint, in every layer on its own axes.",
    level: "Weights remaining",
    prune: "Prune to",
    levelElsewhere: { round: "The round decides. Choose a criterion to use this slider.", painted: "The painted region decides. Choose a criterion to use this slider." },
    layers: "Weights of",
    brush: "Brush",
    paint: "paint",
    erase: "erase",
    fill: "Paint all",
    clear: "Clear",
    plane: "Plane of initial and final weights",
    planeHelp: "Each cell shows how many weights lie there: darker is more, blue is kept. Drag the boundary of the blue region to move it. By keyboard: arrow keys move a cursor, Enter puts the boundary there; when painting, space paints or clears a cell.",
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
    table: "Accuracy on test digits",
    remaining: "weights remaining",
    help: "Click the chart to go to that many weights. The band is what chance alone explains; thin lines are the other seeds.",
    keep: "Keep this curve to compare",
    pins: "Curves kept to compare",
    show: "Show this one",
    remove: (/** @type {string} */ name) => `Remove ${name}`,
    randomMask: "random mask",
    otherSeed: (/** @type {number} */ seed) => `seed ${seed}`,
    trained: "the copy, trained to the end",
    chance: "chance",
    trainedHere: "trained here, rounds",
    bundled: "iterative pruning, trained",
    strip: "Test digits, and what the network takes them for",
    stripHint: "Choose a digit to send it through the network below.",
    one: (/** @type {number} */ label, /** @type {number} */ found) => `a ${label}, taken for a ${found}: ${label === found ? "right" : "wrong"}`,
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
    progress: (/** @type {number} */ round, /** @type {number} */ steps, /** @type {number} */ length, /** @type {string} */ loss, /** @type {string} */ ms) =>
      `Round ${round}: step ${count(steps)} of ${count(length)}. Loss ${loss}. ${ms} ms per step.`,
    learning: (/** @type {number} */ steps, /** @type {number} */ length, /** @type {string} */ loss, /** @type {string} */ ms) =>
      `Step ${count(steps)} of ${count(length)}. Loss ${loss}. ${ms} ms per step.`,
    pruned: (/** @type {number} */ weights) => `${count(weights)} weights pruned. Rewind the others, or train on from here.`,
    nothing: "Nothing was pruned: the mask under 1 keeps at least as many weights as are left. Move its slider to the right.",
    explain: {
      weights: (/** @type {number} */ remaining, /** @type {number} */ round) => `Trained here, from this seed's random start: ${percent(remaining)} of its weights are left (round ${round}).`,
      mask: (/** @type {number} */ remaining) => `Learned here: the mask keeps the ${percent(remaining)} of weights whose probability is above one half. No weight was trained.`,
    },
    chart: "Loss and accuracy of this training",
    axes: ["accuracy on test digits", "loss on training batches"],
    chance: "↑ probability of being kept",
  },

  net: {
    title: "See the network",
    canvas: "The network: an image, hidden units, and the answer",
    text: "One digit on its way through a sample of the weights. Blue is positive, orange and dashed negative; pruned weights are faint. The brighter, the more passes.",
    help: "Point at a weight to find it in the plane, at a unit of the first column to see which pixels it looks at; click to keep it. By keyboard: arrow keys go from unit to unit, space through a unit's weights, Enter keeps.",
    unit: (/** @type {number} */ unit) => `hidden unit ${unit}`,
    output: (/** @type {number} */ digit) => `the output for ${digit}`,
    edge: (/** @type {string} */ from, /** @type {string} */ to, /** @type {string} */ initial, /** @type {string} */ final, /** @type {boolean} */ kept, /** @type {string} */ value) =>
      `Weight from ${from} to ${to}: started at ${initial}, upward in the plane ${final}; ${kept ? "kept" : "pruned"}, set to ${value}.`,
    puts: (/** @type {string} */ name, /** @type {string} */ value, /** @type {boolean} */ field) => `${name} puts out ${value}.${field ? " At the left: its weights from every pixel." : ""}`,
    answer: (/** @type {number} */ digit, /** @type {number} */ kept, /** @type {number} */ all) => `The network takes this for a ${digit}. Of the ${count(all)} weights drawn, ${count(kept)} are kept.`,
  },

  own: {
    title: "Draw a digit",
    text: "The network on this page tries to recognise it, too.",
    pad: "Pad to draw a digit on",
    bars: "Output for every digit",
    hint: "Draw with mouse, finger or pen.",
    help: "By keyboard: arrow keys move the pen, space puts it down or lifts it.",
    found: (/** @type {number} */ digit) => `The network takes this for a ${digit}.`,
    clear: "Clear",
  },

  seen: {
    title: "The mask as a picture",
    legend: "What is shown",
    modes: { pixels: "per pixel", unit: "one hidden unit", difference: "difference" },
    map: "Map of the first layer's weights over the image",
    unit: "Hidden unit",
    pixels: (/** @type {number} */ units, /** @type {number} */ seen, /** @type {number} */ all) => `How many of its ${units} weights every input pixel keeps: ${seen} of ${all} pixels still reach the network.`,
    field: (/** @type {number} */ unit, /** @type {number} */ kept, /** @type {number} */ all) => `The weights from the image to hidden unit ${unit}: ${kept} of ${all} are kept.`,
    compare: "Keep a curve to compare first (under 3): its mask is then compared with this one.",
    against: (/** @type {string} */ other, /** @type {number} */ shared, /** @type {number} */ chance) => `Against ${other}: ${percent(shared)} of the smaller mask's weights are in both; by chance it would be ${percent(chance)}.`,
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
    title: "Which digits it confuses",
    caption: "Rows: the digit. Columns: what the network takes it for. Numbers of test images.",
    digit: "digit",
    right: "right",
    cell: (/** @type {string} */ number, /** @type {number} */ row, /** @type {number} */ column) => `${number} images of a ${row} are taken for a ${column}.`,
  },

  rounds: {
    title: "Rounds of pruning",
    text: "The lottery ticket algorithm: train, prune the smallest weights, rewind, train again. These are its masks.",
    none: "This bundle was made without rounds. You can run them yourself: see “Train it here”.",
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
    title: "What you tried",
    caption: "Networks you tried, newest first",
    heads: ["#", "mask", "values", "seed", "remaining", "accuracy"],
    show: "show",
    back: (/** @type {number} */ number) => `Show network ${number} again`,
    table: "Table (CSV)",
    picture: "Picture (PNG)",
    mask: "Mask (packed file)",
    canPack: "The mask's file is a whole network: “supermask evaluate” reads it.",
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
    text: "After Zhou, Lan, Liu and Yosinski 2019, “Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask”. All masks, accuracies and trainings are computed in this browser; nothing is sent anywhere. Of several classes with equal outputs the first is taken. “A new draw” is what the next seed started with.",
  },
};

/** @typedef {typeof en} Words */
