/** The story in English: the first view, the terms, the tour, the article. */

import { count, fixed, percent } from "./numbers.js";

/** @typedef {import("./index.js").Subject} Subject */

/** @type {(now: number, before: number) => string} */
const change = (now, before) => {
  const points = Math.abs(100 * (now - before));
  if (points < 5) return "about as many as before";
  return `${fixed(points, 0)} points ${now > before ? "more" : "fewer"} than before`;
};

/** @param {Subject} subject */
export function story({ digits, names, sizes, dataset }) {
  const things = digits ? "digits" : "images";
  const written = digits ? "handwritten digits" : `images of ${dataset}`;
  const weights = sizes.slice(1).reduce((sum, outputs, at) => sum + sizes[at] * outputs, 0);
  const classes = sizes[sizes.length - 1];
  const guessing = 100 / classes;
  const howMany = [`about ${fixed(guessing, 0)}, as by guessing`, "about 40", "more than 60"];
  const hidden = sizes.slice(1, -1).map((size, at) => (at ? `these feed ${count(size)} more` : `${count(sizes[0])} pixels feed ${count(size)} hidden units`)).join(", ");
  return {
    terms: {
      weight: ["weight", "A number on the connection between two units. Training changes weights; here they stay as they were drawn, unless you train."],
      mask: ["mask", "A choice for every weight: keep it or prune it. Here a pruned weight is set to zero, or frozen at its initial value."],
      criterion: ["criterion", "The rule that ranks weights by where each started and where it ended. The mask keeps the best-ranked ones."],
      supermask: ["supermask", "A mask that makes an untrained network accurate: nothing is trained but the choice of weights."],
      rewind: ["rewind", "Set the kept weights back to the values they had before training, then train again."],
      sign: ["sign", "Whether a weight is positive or negative: whether its input speaks for or against the unit it feeds."],
    },

    story: {
      told: ["A network is drawn at random and not trained.", "A copy of it is trained.", "From the copy we take one thing only: which weights to keep."],
      untrained: ["An untrained network gets ", ` of ${written} right.`],
      trained: ["The network that you train here gets ", " right."],
      learned: ["An untrained network under the mask that you learn here gets ", " right."],
      best: "Show the best supermask",
      ask: "Drag the slider under “Weights remaining” and watch the number.",
      terms: "What these words mean:",
      status: (/** @type {number} */ remaining, /** @type {number} */ accuracy) => `${percent(remaining)} of weights kept. Accuracy: ${percent(accuracy)}.`,
      precision: (/** @type {number} */ images, /** @type {number} */ half) => `Measured on ${count(images)} test images, an accuracy is uncertain by ±${fixed(100 * half, 1)} points.`,
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
      changed: "You have changed the network since the question; the answer is about the network in the question.",
      again: "Show that network again",
      steps: {
        whole: (/** @type {number} */ all) => ({
          title: "A network that nobody trained",
          setup: `Its ${count(all)} weights were drawn at random, and it keeps them all.`,
          question: `Of 100 ${written}, how many does it get right?`,
          options: howMany,
          answer: (/** @type {number} */ now) => `It gets ${percent(now)} right. Guessing gets ${fixed(guessing, 0)}%.`,
        }),
        random: (/** @type {string} */ left) => ({
          title: "Prune at random",
          setup: `Now only ${left} of the weights stay, chosen at random. The others become zero.`,
          question: `Does it get more ${things} right now?`,
          options: ["many more", "about as many", "many fewer"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)} now, ${percent(before)} with all weights. Pruning alone is not enough: which weights go matters.`,
        }),
        large: (/** @type {string} */ left) => ({
          title: "Ask training which weights to keep",
          setup: `Train a copy. Keep the ${left} of weights that ended large in the copy, but at the random values they started from. No trained value is used.`,
          question: `Of 100 ${things}, how many does it get right?`,
          options: howMany,
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}: ${change(now, before)}, when the mask was random. The choice of weights alone carries some of what training found.`,
        }),
        small: {
          title: "What if we keep the small weights?",
          setup: "The same number of weights, but those that ended smallest.",
          question: `Of 100 ${things}, how many does it get right?`,
          options: howMany,
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}, against ${percent(before)} with the large ones. Training moves toward zero what the network can do without; keeping only that does not help.`,
        },
        constants: {
          title: "Throw the values away",
          setup: "Keep weights that ended large and kept their sign. Replace each by one constant per layer, + or − as the weight started. Nothing is left of the values but their signs.",
          question: `Of 100 ${things}, how many does it get right?`,
          options: howMany,
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}: ${change(now, before)}, with “large final” on the initial values. The right weights, their own signs, one constant, zeros elsewhere: this is a supermask.`,
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
          question: `Does it get more ${things} right than with zeros?`,
          options: ["more", "about as many", "fewer"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}, against ${percent(before)} with zeros. ${now < before ? "For weights that training did not need, zero is the better value." : "In this network the zeros are not what helps."}`,
        },
        rounds: (/** @type {string} */ left) => ({
          title: "In one go, or round by round?",
          setup: `Now only ${left} of the weights are kept. One mask is made in one go, from one training. The other is made in rounds: train, prune some weights, rewind, train again. Both are put on the initial values.`,
          question: "Which mask makes the better untrained network?",
          options: ["the one made in rounds", "no clear difference", "the one made in one go"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `In rounds: ${percent(now)}; in one go: ${percent(before)}. Rounds are made for training again, and that is where they pay: see the accuracies under “Rounds of pruning”.`,
        }),
        train: (/** @type {string} */ left) => ({
          title: "Train it yourself",
          setup: `“Reveal” trains this network in your browser, keeps the ${left} of weights that end largest, rewinds those to where they started, and trains again. Watch the cloud leave its diagonal.`,
          question: "How good will the small network be?",
          options: ["better than the whole one", "about as good", "worse"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)} with ${left} of the weights, ${percent(before)} with all of them. A small network that starts where the large one started and learns as well is called a winning ticket.`,
        }),
        learn: {
          title: "Learn the mask itself",
          setup: "No weight is trained now. Each is one constant with its own sign, and has a probability of being kept, which starts at one half. “Reveal” trains the probabilities alone.",
          question: `Of 100 ${things}, how many does it get right after three passes over the training images?`,
          options: [`about ${fixed(guessing, 0)}, as by guessing`, "about 50", "more than 80"],
          answer: (/** @type {number} */ now) => `${percent(now)}, and not one weight has moved. Choosing a mask is a way of training. ${digits ? "Draw a digit of your own below and try it." : ""}`,
        },
      },
    },

    article: {
      title: "What this is about",
      parts: [
        [
          "A network, and a copy of it",
          `A neural network that recognises ${things} is a long list of numbers, its weights. This one has ${count(weights)} of them: ${hidden}, and those feed ${classes} outputs, one for each ${digits ? "digit" : "class"}. The largest output is the answer. Before training, the weights are drawn at random, and the network guesses. Training changes every weight a little, many times over, until most answers are right.`,
          `Here something else is done. A network is drawn, and a copy of it is trained. Then the trained weights are thrown away. What is kept is one bit per weight: stay or go. This list of bits is the mask, and the rule that makes it from where each weight started and where it ended is the criterion. Put the mask on the untrained network, whose weights nobody has touched, and it recognises most ${things}. Such a mask is called a supermask.`,
        ],
        [
          "Why zeros",
          "A pruned weight has to have some value. Zero is the usual one, and it may look like a mere convenience. It is not: leave the pruned weights at their initial values, and the accuracy falls. The criterion explains why. “Large final” prunes weights that ended near zero, so setting them to zero moves them where training was taking them anyway. Masking does part of what training does. Set weights to zero that training was moving away from zero, and nothing is gained. Try it: keep the weights that ended smallest.",
        ],
        [
          "Why signs",
          "How much do the values of the kept weights matter? Replace all of a layer by one constant, each with the sign that its weight started with: the network does about as well, often better. Draw the signs anew and keep everything else: it is back to guessing. So the sign of a weight carries most of what its initial value has to say, namely whether an input speaks for a unit or against it. This is also why a criterion that keeps only weights that did not change their sign does well on constants: a weight that ended with the other sign is better left out than kept with the wrong one.",
        ],
        [
          "Rewinding, and lottery tickets",
          "Masks were first made in order to train again. Train, prune the smallest weights, rewind the others to where they started, train again: this is the lottery ticket algorithm. With a tenth of the weights it often reaches the accuracy of the whole network, while the same small network does not when it starts from another random draw. Frankle and Carbin called such a small network a winning ticket. Zhou and others then asked what makes it win: the mask, the values or the signs. The controls on this page ask their questions. Under “Train it here” you can do both yourself, and also learn a mask directly, by gradient descent on the probability that each weight is kept.",
        ],
        [
          "What is not claimed",
          `Untrained networks are not good at anything by themselves: the mask is found with the help of a training, or is itself trained. Choosing ${count(weights)} bits well is learning, too. Nor does this hold for every network: what is shown is a small fully connected one on small images. And not every difference is real. An accuracy on ${count(1000)} images is uncertain by a point or two, and another random start gives another number. So look at the band, at the thin lines of the other seeds, and for the words “no clear difference” before you believe one. All numbers here are computed in your browser from this network; none is copied from a paper.`,
        ],
      ],
      sources: "Sources",
      papers: [
        ["Frankle and Carbin 2019, The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", "https://arxiv.org/abs/1803.03635"],
        ["Zhou, Lan, Liu and Yosinski 2019, Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", "https://arxiv.org/abs/1905.01067"],
        ["Ramanujan and others 2020, What's Hidden in a Randomly Weighted Neural Network?", "https://arxiv.org/abs/1911.13299"],
        ...(digits ? [["The digits: LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition (MNIST)", "https://doi.org/10.1109/5.726791"]] : []),
        ["The toolkit that made this page: supermask. Its version is below, and its documentation says how every number is made", ""],
      ],
    },

    classes: names.length ? `Classes: ${names.map((name, at) => `${at} ${name}`).join(" · ")}.` : "",
  };
}
