/** The guided tour: seven questions, each answered by a guess first and then by the network itself. */

import { byId, choose, html, onChoice, percent, radio } from "./dom.js";

/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {string} setup
 * @property {string} question
 * @property {string[]} options
 * @property {Partial<Setting>} setting what is revealed
 * @property {Partial<Setting>} before what it is compared with
 * @property {(now: number, before: number) => {right: number, words: string}} answer the option that came true, and what
 * to say of it; from accuracies, because another bundle has other numbers
 */

const HOW_MANY = ["about 10, as by guessing", "about 40", "more than 60"];

/** @type {(accuracy: number) => number} */
const howMany = (accuracy) => (accuracy < 0.25 ? 0 : accuracy <= 0.6 ? 1 : 2);

/** @type {(now: number, before: number) => string} */
const change = (now, before) => {
  const points = Math.abs(100 * (now - before));
  if (points < 5) return "about as many as before";
  return `${points.toFixed(0)} points ${now > before ? "more" : "fewer"} than before`;
};

/**
 * The steps for a bundle.
 * @param {Manifest} manifest
 * @returns {Step[]}
 */
export function steps(manifest) {
  const level = 4 * manifest.best_level;
  const weights = manifest.levels[0].reduce((sum, each) => sum + each, 0).toLocaleString("en");
  const left = percent(manifest.levels[manifest.best_level].reduce((sum, each) => sum + each, 0) / manifest.levels[0].reduce((sum, each) => sum + each, 0));
  /** @type {Partial<Setting>} */
  const whole = { criterion: "random", level: 0, kept: "initial", signs: true, pruned: "zero" };
  /** @type {Partial<Setting>} */
  const random = { ...whole, level };
  /** @type {Partial<Setting>} */
  const large = { ...random, criterion: "large_final" };
  /** @type {Partial<Setting>} */
  const constants = { ...random, criterion: "large_final_same_sign", kept: "constant" };
  return [
    {
      title: "A network nobody trained",
      setup: `Its ${weights} weights were drawn at random, and it keeps them all.`,
      question: "Of 100 digits, how many does it read right?",
      options: HOW_MANY,
      setting: whole,
      before: whole,
      answer: (now) => ({ right: howMany(now), words: `It reads ${percent(now)}. Guessing reads 10%.` }),
    },
    {
      title: "Prune by lot",
      setup: `Now only ${left} of the weights stay, drawn at random. The others become zero.`,
      question: "Does it read more digits now?",
      options: ["many more", "about as many", "many fewer"],
      setting: random,
      before: whole,
      answer: (now, before) => ({
        right: now > before + 0.15 ? 0 : now < before - 0.15 ? 2 : 1,
        words: `${percent(now)} now, ${percent(before)} with all weights. To prune is not enough: it matters which.`,
      }),
    },
    {
      title: "Ask training which weights to keep",
      setup: `Train a copy. Keep the ${left} of weights that ended large in the copy, but at the random values they started from. No trained value is used.`,
      question: "Of 100 digits, how many does it read right?",
      options: HOW_MANY,
      setting: large,
      before: random,
      answer: (now, before) => ({
        right: howMany(now),
        words: `${percent(now)}: ${change(now, before)}, when the mask was random. The choice of weights alone carries what training found. Masking is training.`,
      }),
    },
    {
      title: "What if we keep the small weights?",
      setup: "The same number of weights, but those that ended smallest.",
      question: "Of 100 digits, how many does it read right?",
      options: HOW_MANY,
      setting: { ...large, criterion: "small_final" },
      before: large,
      answer: (now, before) => ({
        right: howMany(now),
        words: `${percent(now)}, against ${percent(before)} with the large ones. Training moves toward zero what the network can do without; to keep just that helps nothing.`,
      }),
    },
    {
      title: "Do signs matter?",
      setup: "Keep weights that ended large and kept the sign they started with. Now throw their values away: each becomes the same constant, + or − by lot.",
      question: "What is left of its reading?",
      options: ["it reads as well as with the right signs", "somewhat less", "hardly more than guessing"],
      setting: { ...constants, signs: false },
      before: constants,
      answer: (now, before) => ({
        right: now > before - 0.05 ? 0 : now < 0.2 ? 2 : 1,
        words: `${percent(now)}. With the signs that they started with it is ${percent(before)}: same mask, same constant.`,
      }),
    },
    {
      title: "Do zeros matter?",
      setup: "The signs are back. But the pruned weights are no longer zero: they stay at their initial values.",
      question: "Does it read more digits than with zeros?",
      options: ["more", "about as many", "fewer"],
      setting: { ...constants, pruned: "initial" },
      before: constants,
      answer: (now, before) => ({
        right: now > before + 0.05 ? 0 : now < before - 0.05 ? 2 : 1,
        words: `${percent(now)}, against ${percent(before)} with zeros. ${now < before ? "For weights that training did not need, zero is the better value." : "In this network the zeros are not what helps."}`,
      }),
    },
    {
      title: "An untrained network that reads digits",
      setup: "So: the right weights, the signs they started with, one constant in place of their values, and zeros elsewhere. Nothing in it was trained but the choice.",
      question: "Of 100 digits, how many does it read right?",
      options: HOW_MANY,
      setting: constants,
      before: whole,
      answer: (now, before) => ({
        right: howMany(now),
        words: `${percent(now)}, and it was ${percent(before)} when we began. Draw a digit of your own below and let it read; then bend the mask yourself.`,
      }),
    },
  ];
}

/**
 * @typedef {object} Hands
 * @property {(step: number) => void} onStep go to a step; 0 ends the tour
 * @property {(guess: number) => void} onGuess
 * @property {() => void} onReveal
 */

export class TourView {
  /**
   * @param {Step[]} all
   * @param {Hands} hands
   */
  constructor(all, hands) {
    this.all = all;
    this.card = byId("tour", HTMLElement);
    this.next = byId("tour-next", HTMLButtonElement);
    this.step = 0;
    this.revealed = false;
    this.next.addEventListener("click", () => {
      if (!this.revealed) hands.onReveal();
      else hands.onStep(this.step < this.all.length ? this.step + 1 : 0);
    });
    byId("tour-back", HTMLButtonElement).addEventListener("click", () => hands.onStep(this.step - 1));
    byId("tour-end", HTMLButtonElement).addEventListener("click", () => hands.onStep(0));
    onChoice("guess", (value) => hands.onGuess(Number(value)));
  }

  /**
   * @param {number} step from 1; 0 for none
   * @param {number} guess
   * @param {boolean} revealed
   */
  show(step, guess, revealed) {
    const moved = step !== this.step;
    [this.step, this.revealed] = [step, revealed];
    this.card.hidden = step === 0;
    document.body.classList.toggle("veiled", step > 0 && !revealed);
    if (!step) return;
    const { title, setup, question, options } = this.all[step - 1];
    if (moved) {
      byId("tour-step", HTMLElement).textContent = `Step ${step} of ${this.all.length}`;
      byId("tour-title", HTMLElement).textContent = title;
      byId("tour-setup", HTMLElement).textContent = setup;
      byId("tour-question", HTMLElement).textContent = question;
      byId("tour-options", HTMLElement).replaceChildren(...options.map((option, at) => radio("guess", String(at), option)));
      byId("tour-title", HTMLElement).focus({ preventScroll: true });
      this.card.scrollIntoView({ block: "nearest" });
    }
    choose("guess", String(guess));
    byId("tour-guess", HTMLFieldSetElement).disabled = revealed;
    this.next.textContent = !revealed ? "Reveal" : step < this.all.length ? "Next question" : "Explore yourself";
    this.next.disabled = !revealed && guess < 0;
    byId("tour-back", HTMLButtonElement).disabled = step === 1;
    if (!revealed) byId("tour-answer", HTMLElement).replaceChildren();
  }

  /**
   * Says what came out.
   * @param {number} now
   * @param {number} before
   * @param {number} guess
   */
  reveal(now, before, guess) {
    const { answer, options } = this.all[this.step - 1];
    const { right, words } = answer(now, before);
    const verdict = guess < 0 ? "" : guess === right ? "You were right. " : `It is: ${options[right]}. `;
    byId("tour-answer", HTMLElement).replaceChildren(html("strong", {}, verdict), words);
  }
}
