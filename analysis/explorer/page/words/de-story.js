/** The story in German: the first view, the terms, the tour, the article. */

import { count, fixed, percent } from "./numbers.js";

/** @typedef {import("./index.js").Subject} Subject */

/** @type {(now: number, before: number) => string} */
const change = (now, before) => {
  const points = Math.abs(100 * (now - before));
  if (points < 5) return "etwa so viele wie vorher";
  return `${fixed(points, 0)} Punkte ${now > before ? "mehr" : "weniger"} als vorher`;
};

/** @param {Subject} subject */
export function story({ digits, names, sizes, dataset }) {
  const things = digits ? "Ziffern" : "Bilder";
  const written = digits ? "handgeschriebenen Ziffern" : `Bildern aus ${dataset}`;
  const weights = sizes.slice(1).reduce((sum, outputs, at) => sum + sizes[at] * outputs, 0);
  const classes = sizes[sizes.length - 1];
  const guessing = 100 / classes;
  const howMany = [`etwa ${fixed(guessing, 0)}, wie beim Raten`, "etwa 40", "mehr als 60"];
  const hidden = sizes.slice(1, -1).map((size, at) => (at ? `diese speisen ${count(size)} weitere` : `${count(sizes[0])} Pixel speisen ${count(size)} verborgene Einheiten`)).join(", ");
  return {
    terms: {
      weight: ["Gewicht", "Eine Zahl auf der Verbindung zweier Einheiten. Training ändert Gewichte; hier bleiben sie, wie sie gezogen wurden, solange Sie nicht trainieren."],
      mask: ["Maske", "Eine Wahl für jedes Gewicht: behalten oder entfernen. Hier wird ein entferntes Gewicht null oder bleibt auf seinem Anfangswert."],
      criterion: ["Kriterium", "Die Regel, die Gewichte danach ordnet, wo sie begannen und wo sie endeten. Die Maske behält die ersten in dieser Ordnung."],
      supermask: ["Supermaske", "Eine Maske, die ein untrainiertes Netz treffsicher macht: Trainiert ist nichts als die Wahl der Gewichte."],
      rewind: ["zurücksetzen", "Behaltene Gewichte auf die Werte vor dem Training setzen und von dort neu trainieren."],
      sign: ["Vorzeichen", "Ob ein Gewicht positiv oder negativ ist: ob sein Eingang für oder gegen die Einheit spricht, die er speist."],
    },

    story: {
      told: ["Ein Netz wird zufällig gezogen und nicht trainiert.", "Eine Kopie davon wird trainiert.", "Aus der Kopie nehmen wir nur eines: welche Gewichte bleiben."],
      untrained: ["Ein untrainiertes Netz erkennt ", digits ? " der handgeschriebenen Ziffern." : ` der Bilder aus ${dataset}.`],
      trained: ["Das Netz, das Sie hier trainieren, erkennt ", "."],
      learned: ["Ein untrainiertes Netz unter der Maske, die Sie hier lernen, erkennt ", "."],
      best: "Beste Supermaske zeigen",
      ask: "Ziehen Sie den Regler „Verbleibende Gewichte“ und achten Sie auf die Zahl.",
      terms: "Was diese Wörter bedeuten:",
      status: (/** @type {number} */ remaining, /** @type {number} */ accuracy) => `${percent(remaining)} der Gewichte bleiben. Treffer: ${percent(accuracy)}.`,
      precision: (/** @type {number} */ images, /** @type {number} */ half) => `Gemessen an ${count(images)} Testbildern; das ist auf ±${fixed(100 * half, 1)} Punkte genau.`,
    },

    tour: {
      step: (/** @type {number} */ step, /** @type {number} */ all) => `Schritt ${step} von ${all}`,
      back: "Zurück",
      end: "Führung beenden",
      reveal: "Auflösen",
      next: "Nächste Frage",
      last: "Selbst erkunden",
      computing: "Wird berechnet …",
      right: "Richtig. ",
      wrong: (/** @type {string} */ option) => `Die Antwort: ${option}. `,
      changed: "Sie haben das Netz seit der Frage verändert; die Antwort gilt dem Netz der Frage.",
      again: "Dieses Netz wieder zeigen",
      steps: {
        whole: (/** @type {number} */ all) => ({
          title: "Ein Netz, das niemand trainiert hat",
          setup: `Seine ${count(all)} Gewichte wurden zufällig gezogen, und alle bleiben.`,
          question: `Wie viele von 100 ${written} erkennt es?`,
          options: howMany,
          answer: (/** @type {number} */ now) => `Es erkennt ${percent(now)}. Raten ergibt ${fixed(guessing, 0)} %.`,
        }),
        random: (/** @type {string} */ left) => ({
          title: "Zufällig entfernen",
          setup: `Jetzt bleiben nur ${left} der Gewichte, zufällig gewählt. Die anderen werden null.`,
          question: `Erkennt es jetzt mehr ${things}?`,
          options: ["viel mehr", "etwa gleich viele", "viel weniger"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `Jetzt ${percent(now)}, mit allen Gewichten ${percent(before)}. Entfernen allein genügt nicht: Es kommt darauf an, welche Gewichte gehen.`,
        }),
        large: (/** @type {string} */ left) => ({
          title: "Das Training fragen, welche Gewichte bleiben",
          setup: `Trainieren Sie eine Kopie. Behalten Sie die ${left} der Gewichte, die in der Kopie groß endeten, aber mit den zufälligen Werten, mit denen sie begannen. Kein trainierter Wert wird benutzt.`,
          question: `Wie viele von 100 ${digits ? "Ziffern" : "Bildern"} erkennt es?`,
          options: howMany,
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}: ${change(now, before)}, bei der zufälligen Maske. Schon die Wahl der Gewichte enthält einiges von dem, was das Training fand.`,
        }),
        small: {
          title: "Und wenn die kleinen Gewichte bleiben?",
          setup: "Gleich viele Gewichte, aber die, die am kleinsten endeten.",
          question: `Wie viele von 100 ${digits ? "Ziffern" : "Bildern"} erkennt es?`,
          options: howMany,
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}, gegen ${percent(before)} mit den großen. Training bewegt zur Null, was das Netz nicht braucht; nur dies zu behalten hilft nicht.`,
        },
        constants: {
          title: "Die Werte wegwerfen",
          setup: "Behalten Sie Gewichte, die groß endeten und ihr Vorzeichen behielten. Ersetzen Sie jedes durch eine Konstante je Schicht, + oder −, wie das Gewicht begann. Von den Werten bleiben nur die Vorzeichen.",
          question: `Wie viele von 100 ${digits ? "Ziffern" : "Bildern"} erkennt es?`,
          options: howMany,
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}: ${change(now, before)}, mit „groß am Ende“ auf Anfangswerten. Die richtigen Gewichte, ihre eigenen Vorzeichen, eine Konstante, sonst Nullen: Das ist eine Supermaske.`,
        },
        signs: {
          title: "Kommt es auf Vorzeichen an?",
          setup: "Dieselbe Maske und dieselbe Konstante, aber jedes Vorzeichen ist jetzt zufällig + oder −.",
          question: "Was bleibt von der Treffsicherheit?",
          options: ["alles oder fast alles", "ein Teil", "kaum mehr als beim Raten"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}. Mit den Vorzeichen, mit denen die Gewichte begannen, waren es ${percent(before)}: dieselbe Maske, dieselbe Konstante.`,
        },
        zeros: {
          title: "Kommt es auf Nullen an?",
          setup: "Die Vorzeichen sind zurück. Aber entfernte Gewichte sind nicht mehr null: Sie bleiben auf ihren Anfangswerten.",
          question: `Erkennt es mehr ${things} als mit Nullen?`,
          options: ["mehr", "etwa gleich viele", "weniger"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)}, gegen ${percent(before)} mit Nullen. ${now < before ? "Für Gewichte, die das Training nicht brauchte, ist null der bessere Wert." : "In diesem Netz sind es nicht die Nullen, die helfen."}`,
        },
        rounds: (/** @type {string} */ left) => ({
          title: "In einem Zug oder Runde um Runde?",
          setup: `Jetzt bleiben nur ${left} der Gewichte. Eine Maske entsteht in einem Zug, aus einem Training. Die andere entsteht in Runden: trainieren, einige Gewichte entfernen, zurücksetzen, neu trainieren. Beide werden auf die Anfangswerte gelegt.`,
          question: "Welche Maske macht das bessere untrainierte Netz?",
          options: ["die aus Runden", "kein klarer Unterschied", "die aus einem Zug"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `In Runden: ${percent(now)}; in einem Zug: ${percent(before)}. Runden sind zum Weitertrainieren gemacht, und dort lohnen sie sich: siehe „Runden des Entfernens“.`,
        }),
        train: (/** @type {string} */ left) => ({
          title: "Selbst trainieren",
          setup: `„Auflösen“ trainiert dieses Netz in Ihrem Browser, behält die ${left} der Gewichte, die am größten enden, setzt sie auf ihren Anfang zurück und trainiert neu. Achten Sie darauf, wie die Wolke ihre Diagonale verlässt.`,
          question: "Wie gut wird das kleine Netz?",
          options: ["besser als das ganze", "etwa gleich gut", "schlechter"],
          answer: (/** @type {number} */ now, /** @type {number} */ before) => `${percent(now)} mit ${left} der Gewichte, ${percent(before)} mit allen. Ein kleines Netz, das beginnt, wo das große begann, und ebenso gut lernt, heißt Gewinnlos.`,
        }),
        learn: {
          title: "Die Maske selbst lernen",
          setup: "Jetzt wird kein Gewicht trainiert. Jedes ist eine Konstante mit seinem eigenen Vorzeichen und bleibt mit einer Wahrscheinlichkeit, die bei einem Halb beginnt. „Auflösen“ trainiert nur die Wahrscheinlichkeiten.",
          question: `Wie viele von 100 ${digits ? "Ziffern" : "Bildern"} erkennt es, nachdem es die Trainingsbilder dreimal gesehen hat?`,
          options: [`etwa ${fixed(guessing, 0)}, wie beim Raten`, "etwa 50", "mehr als 80"],
          answer: (/** @type {number} */ now) => `${percent(now)}, und kein Gewicht hat sich bewegt. Eine Maske zu wählen ist eine Art zu trainieren. ${digits ? "Zeichnen Sie unten selbst eine Ziffer." : ""}`,
        },
      },
    },

    article: {
      title: "Worum es geht",
      parts: [
        [
          "Ein Netz und seine Kopie",
          `Ein neuronales Netz, das ${things} erkennt, ist eine lange Liste von Zahlen, seinen Gewichten. Dieses hat ${count(weights)}: ${hidden}, und die speisen ${classes} Ausgänge, einen für jede ${digits ? "Ziffer" : "Klasse"}. Der größte Ausgang ist die Antwort. Vor dem Training werden die Gewichte zufällig gezogen, und das Netz rät. Training ändert jedes Gewicht ein wenig, viele Male, bis die meisten Antworten stimmen.`,
          `Hier geschieht etwas anderes. Ein Netz wird gezogen, und eine Kopie davon wird trainiert. Dann werden die trainierten Gewichte weggeworfen. Aufgehoben wird ein Bit je Gewicht: bleiben oder gehen. Diese Liste von Bits ist die Maske, und die Regel, die sie daraus macht, wo jedes Gewicht begann und wo es endete, ist das Kriterium. Legt man die Maske auf das untrainierte Netz, dessen Gewichte niemand angerührt hat, so erkennt es die meisten ${things}. Eine solche Maske heißt Supermaske.`,
        ],
        [
          "Warum Nullen",
          "Ein entferntes Gewicht muss irgendeinen Wert haben. Üblich ist null, und das sieht nach bloßer Bequemlichkeit aus. Das ist es nicht: Bleiben entfernte Gewichte auf ihren Anfangswerten, so sinkt die Treffsicherheit. Das Kriterium erklärt es. „Groß am Ende“ entfernt Gewichte, die nahe null endeten; setzt man sie auf null, so bewegt man sie dorthin, wohin das Training sie ohnehin brachte. Maskieren tut einen Teil dessen, was Training tut. Setzt man Gewichte auf null, die das Training von der Null wegbewegte, ist nichts gewonnen. Probieren Sie es: Behalten Sie die Gewichte, die am kleinsten endeten.",
        ],
        [
          "Warum Vorzeichen",
          "Wie viel liegt an den Werten der behaltenen Gewichte? Ersetzt man alle einer Schicht durch eine Konstante, jede mit dem Vorzeichen, mit dem ihr Gewicht begann, so ist das Netz etwa ebenso gut, oft besser. Zieht man nur die Vorzeichen neu, so rät es wieder. Das Vorzeichen trägt also das meiste von dem, was der Anfangswert eines Gewichts zu sagen hat: ob ein Eingang für eine Einheit spricht oder gegen sie. Deshalb ist auf Konstanten auch ein Kriterium gut, das nur Gewichte behält, die ihr Vorzeichen nicht wechselten: Ein Gewicht, das mit dem anderen Vorzeichen endete, lässt man besser weg, als es mit dem falschen zu behalten.",
        ],
        [
          "Zurücksetzen und Lose",
          "Masken wurden zuerst gemacht, um neu zu trainieren. Trainieren, die kleinsten Gewichte entfernen, die anderen auf ihren Anfang zurücksetzen, neu trainieren: Das ist der Algorithmus der Lotterielose. Mit einem Zehntel der Gewichte erreicht das Netz oft die Treffsicherheit des ganzen; dasselbe kleine Netz mit anderem zufälligem Anfang erreicht sie nicht. Frankle und Carbin nannten ein solches kleines Netz ein Gewinnlos. Zhou und andere fragten dann, was daran gewinnt: die Maske, die Werte oder die Vorzeichen. Die Regler dieser Seite stellen ihre Fragen. Unter „Hier trainieren“ können Sie beides selbst tun und auch eine Maske unmittelbar lernen, durch Gradientenabstieg auf der Wahrscheinlichkeit, mit der jedes Gewicht bleibt.",
        ],
        [
          "Was nicht behauptet wird",
          `Untrainierte Netze können von sich aus nichts: Die Maske wird mit Hilfe eines Trainings gefunden oder selbst trainiert. ${count(weights)} Bits gut zu wählen ist auch Lernen. Es gilt auch nicht für jedes Netz: Gezeigt wird ein kleines, voll verbundenes auf kleinen Bildern. Und nicht jeder Unterschied ist echt. Eine Trefferquote auf ${count(1000)} Bildern ist auf einen Punkt oder zwei genau, und ein anderer zufälliger Anfang ergibt eine andere Zahl. Sehen Sie also auf das Band, auf die dünnen Linien der anderen Startwerte und auf die Worte „kein klarer Unterschied“, ehe Sie einem glauben. Alle Zahlen hier berechnet Ihr Browser aus diesem Netz; keine ist aus einem Aufsatz abgeschrieben.`,
        ],
      ],
      sources: "Quellen",
      papers: [
        ["Frankle und Carbin 2019, The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", "https://arxiv.org/abs/1803.03635"],
        ["Zhou, Lan, Liu und Yosinski 2019, Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", "https://arxiv.org/abs/1905.01067"],
        ["Ramanujan und andere 2020, What's Hidden in a Randomly Weighted Neural Network?", "https://arxiv.org/abs/1911.13299"],
        ...(digits ? [["Die Ziffern: LeCun, Bottou, Bengio und Haffner 1998, Gradient-based learning applied to document recognition (MNIST)", "https://doi.org/10.1109/5.726791"]] : []),
        ["Das Werkzeug, das diese Seite gemacht hat: supermask. Seine Version steht unten; seine Dokumentation sagt, wie jede Zahl entsteht", ""],
      ],
    },

    classes: names.length ? `Klassen: ${names.map((name, at) => `${at} ${name}`).join(" · ")}.` : "",
  };
}
