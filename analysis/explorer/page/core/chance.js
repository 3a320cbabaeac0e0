/** What chance alone explains of an accuracy. */

/** Half the width of the range in which 95 of 100 accuracies lie that differ by chance alone, in standard errors. */
export const SURE = 1.96;

/**
 * The standard error of an accuracy.
 * @param {number} accuracy
 * @param {number} images that it is measured on
 */
export const standardError = (accuracy, images) => Math.sqrt((accuracy * (1 - accuracy)) / images);

/**
 * Whether two accuracies on as many images differ by more than chance alone explains.
 * @param {number} one
 * @param {number} other
 * @param {number} images
 */
export function differ(one, other, images) {
  return Math.abs(one - other) > SURE * Math.hypot(standardError(one, images), standardError(other, images));
}
