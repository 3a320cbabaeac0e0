/** The tour's card: a question, guesses, and the answer once it is revealed. */

import { words } from "../words/index.js";
import { byId, choose, html, onChoice, radio } from "./dom.js";

/** @typedef {import("../app/steps.js").Step} Step */
/** @typedef {import("../app/steps.js").Answer} Answer */

/**
 * @typedef {object} Hands
 * @property {(step: number) => void} onStep go to a step; 0 ends the tour
 * @property {(guess: number) => void} onGuess
 * @property {() => void} onReveal
 * @property {() => void} onBack show the step's own network again
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
    this.answer = byId("tour-answer", HTMLElement);
    this.step = 0;
    this.revealed = false;
    this.next.addEventListener("click", () => {
      if (!this.revealed) hands.onReveal();
      else hands.onStep(this.step < this.all.length ? this.step + 1 : 0);
    });
    byId("tour-back", HTMLButtonElement).addEventListener("click", () => hands.onStep(this.step - 1));
    byId("tour-end", HTMLButtonElement).addEventListener("click", () => hands.onStep(0));
    byId("tour-return", HTMLButtonElement).addEventListener("click", () => {
      hands.onBack();
      this.next.focus();
    });
    onChoice("guess", (value) => hands.onGuess(Number(value)));
  }

  /**
   * @param {import("../state/fields.js").Tour} tour
   * @param {boolean} changed whether another network than the step's is shown, though its answer is
   */
  show({ step, guess, revealed }, changed) {
    const moved = step !== this.step;
    [this.step, this.revealed] = [step, revealed];
    this.card.hidden = step === 0;
    document.body.classList.toggle("veiled", step > 0 && !revealed);
    if (moved) this.mark(step ? this.all[step - 1].changed : []);
    if (!step) return;
    const { title, setup, question, options } = this.all[step - 1];
    if (moved) {
      byId("tour-step", HTMLElement).textContent = words.tour.step(step, this.all.length);
      byId("tour-title", HTMLElement).textContent = title;
      byId("tour-setup", HTMLElement).textContent = setup;
      byId("tour-question", HTMLElement).textContent = question;
      byId("tour-options", HTMLElement).replaceChildren(...options.map((option, at) => radio("guess", String(at), option)));
      byId("tour-title", HTMLElement).focus({ preventScroll: true });
      this.card.scrollIntoView({ block: "nearest" });
    }
    choose("guess", String(guess));
    byId("tour-guess", HTMLFieldSetElement).disabled = revealed;
    this.next.textContent = !revealed ? words.tour.reveal : step < this.all.length ? words.tour.next : words.tour.last;
    this.next.disabled = !revealed && guess < 0;
    byId("tour-back", HTMLButtonElement).disabled = step === 1;
    byId("tour-changed", HTMLElement).hidden = !changed;
    if (!revealed) this.answer.replaceChildren();
    else if (!this.answer.hasChildNodes()) this.answer.textContent = words.tour.computing;
  }

  /**
   * Marks the controls that a step has changed.
   * @param {string[]} ids
   */
  mark(ids) {
    for (const marked of document.querySelectorAll(".changed")) marked.classList.remove("changed");
    for (const id of ids) byId(id, HTMLElement).classList.add("changed");
  }

  /**
   * Says what came out.
   * @param {Answer} answer
   * @param {number} guess
   */
  reveal({ right, said }, guess) {
    const { options } = this.all[this.step - 1];
    const verdict = guess < 0 ? "" : guess === right ? words.tour.right : words.tour.wrong(options[right]);
    this.answer.replaceChildren(html("strong", {}, verdict), said);
  }
}
