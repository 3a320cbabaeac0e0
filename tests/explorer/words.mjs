// The page's words in all languages, for digits and for other images: every text by its name; a function says 'function'.
// node words.mjs PAGE SITE < questions.json > answers.json; the questions are subjects, the answer a table for each language.
import { readFileSync } from "node:fs";

const [page] = process.argv.slice(2);
const { LANGUAGES } = await import(`${page}/words/index.js`);
const { readChallenge, writeChallenge, isMet } = await import(`${page}/core/challenge.js`);

const listed = (value, name = "") => {
  if (typeof value === "function") return [[name, "function"]];
  if (typeof value === "string") return [[name, value]];
  return Object.entries(value).flatMap(([key, each]) => listed(each, name ? `${name}.${key}` : key));
};
const answers = {
  words: (subject) => Object.fromEntries(Object.entries(LANGUAGES).map(([code, table]) => [code, Object.fromEntries(listed(table(subject)))])),
  challenge: (text) => writeChallenge(readChallenge(text)),
  met: ([text, answer, other, images]) => isMet(readChallenge(text), answer, other, images),
};
const questions = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(questions.map(([name, argument]) => answers[name](argument))));
