/** How lines look beside their colour, on the page and in saved pictures: none is told by its colour alone. */

/** @type {Record<string, readonly number[]>} lengths of dashes and gaps, in pixels; the colour has the same name */
export const DASHES = {
  present: [],
  random: [2, 4],
  "pin-1": [9, 3],
  "pin-2": [9, 3, 2, 3],
  "pin-3": [5, 3],
  "pin-4": [12, 4],
  "pin-5": [4, 2],
  bundled: [1, 3],
};
