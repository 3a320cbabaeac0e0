/** Numbers as people write them in the page's language. */

import { language } from "./language.js";

/**
 * A fraction in percent: 16.8%, 1.23%. A fraction that is not 0 never reads 0%.
 * @param {number} fraction
 * @returns {string}
 */
export function percent(fraction) {
  const value = 100 * fraction;
  const sign = language === "de" ? "\u00a0%" : "%";
  if (value === 0) return `0${sign}`;
  if (value < 0.01) return `${language === "de" ? "unter" : "under"} ${fixed(0.01, 2)}${sign}`;
  return `${value >= 99.95 ? "100" : fixed(value, value >= 1 ? 1 : 2)}${sign}`;
}

/** @type {(number: number) => string} 266,200 */
export const count = (number) => number.toLocaleString(language);

/** @type {(number: number, digits: number) => string} 0.145 */
export const fixed = (number, digits) => decimal(number.toFixed(digits));

/** @type {(number: number, digits: number) => string} 0.097, to so many digits that count */
export const precise = (number, digits) => decimal(number.toPrecision(digits));

/** @type {(text: string) => string} */
const decimal = (text) => (language === "de" ? text.replace(".", ",") : text);
