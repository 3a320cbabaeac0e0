/** Challenges: what is asked for, how it stands in an address, and whether a network meets it. */

import { differ } from "./chance.js";

/**
 * More than so many percent right with under so many percent of the weights, by any network or by an untrained one; or a
 * painted region that beats the criterion 'large_final' at as many weights.
 * @typedef {{kind: "any" | "untrained", accuracy: number, remaining: number} | {kind: "paint"}} Challenge
 */

/**
 * @typedef {object} Answer
 * @property {number} accuracy
 * @property {number} remaining fraction of weights
 * @property {boolean} trained whether it was trained here
 * @property {boolean} painted whether its mask is a painted region
 */

/** @type {Challenge[]} those that the page offers; a link may ask for other numbers */
export const OFFERED = [{ kind: "untrained", accuracy: 80, remaining: 10 }, { kind: "any", accuracy: 80, remaining: 2 }, { kind: "paint" }];

/**
 * @param {Challenge | null} challenge
 * @returns {string | null}
 */
export function writeChallenge(challenge) {
  if (!challenge || challenge.kind === "paint") return challenge && challenge.kind;
  return `${challenge.kind}-${challenge.accuracy}-${challenge.remaining}`;
}

/**
 * @param {string} text
 * @returns {Challenge | null} null for what is no challenge
 */
export function readChallenge(text) {
  if (text === "paint") return { kind: "paint" };
  const parts = /^(any|untrained)-(\d{1,2}(?:\.\d)?)-(\d{1,3}(?:\.\d{1,2})?)$/.exec(text);
  if (!parts) return null;
  const [accuracy, remaining] = [Number(parts[2]), Number(parts[3])];
  return accuracy > 0 && remaining > 0 && remaining <= 100 ? { kind: /** @type {"any" | "untrained"} */ (parts[1]), accuracy, remaining } : null;
}

/**
 * @param {Challenge} challenge
 * @param {Answer} answer
 * @param {number} other accuracy of what a painted region is to beat
 * @param {number} images that accuracies are measured on
 */
export function isMet(challenge, { accuracy, remaining, trained, painted }, other, images) {
  if (challenge.kind === "paint") return painted && !trained && accuracy > other && differ(accuracy, other, images);
  if (challenge.kind === "untrained" && trained) return false;
  return 100 * accuracy > challenge.accuracy && 100 * remaining < challenge.remaining;
}
