/** Numbers as people write them. */

/**
 * A fraction in percent: 16.8%, 1.23%. A fraction that is not 0 never reads 0%.
 * @param {number} fraction
 * @returns {string}
 */
export function percent(fraction) {
  const value = 100 * fraction;
  if (value === 0) return "0%";
  if (value < 0.01) return "under 0.01%";
  return `${value >= 99.95 ? "100" : value >= 1 ? value.toFixed(1) : value.toFixed(2)}%`;
}

/** @type {(number: number) => string} 266,200 */
export const count = (number) => number.toLocaleString("en");
