/** The words of the page's controls and results in German; the story is in de-story.js. */

import { story } from "./de-story.js";
import { count, fixed, percent } from "./numbers.js";

/** @typedef {import("./index.js").Subject} Subject */
/** @typedef {import("./en.js").Words} Words */

/** @type {(name: string) => string} a layer's name in the network */
const layer = (name) => {
  const hidden = /^hidden(\d+)$/.exec(name);
  return hidden ? `verborgene Schicht ${hidden[1]}` : name === "output" ? "Ausgabeschicht" : name;
};

/** @type {(name: string) => string} the same where there is little room */
const brief = (name) => layer(name).replace("verborgene Schicht", "verborgen").replace("Ausgabeschicht", "Ausgabe");

/** @type {(names: string[]) => string} */
const listed = (names) => names.map(layer).join(" und ");

/** @type {Record<string, {name: string, kept: string, not: string}>} short name; the weights that ...; those that do not */
const CRITERIA = {
  large_final: { name: "groß am Ende", kept: "am größten endeten", not: "" },
  small_final: { name: "klein am Ende", kept: "am kleinsten endeten", not: "" },
  large_init: { name: "groß am Anfang", kept: "am größten begannen", not: "" },
  small_init: { name: "klein am Anfang", kept: "am kleinsten begannen", not: "" },
  large_init_large_final: { name: "beides groß", kept: "groß begannen und groß endeten", not: "" },
  small_init_small_final: { name: "beides klein", kept: "klein begannen und klein endeten", not: "" },
  magnitude_increase: { name: "wuchs", kept: "am meisten wuchsen", not: "" },
  movement: { name: "bewegt", kept: "sich am weitesten bewegten", not: "" },
  random: { name: "zufällig", kept: "zufällig gezogen werden", not: "" },
  large_final_same_sign: { name: "groß, selbes Vorz.", kept: "am größten endeten, mit dem Vorzeichen vom Anfang", not: "wechselten ihr Vorzeichen" },
  large_final_diff_sign: { name: "groß, anderes Vorz.", kept: "am größten endeten, mit dem anderen Vorzeichen", not: "behielten ihr Vorzeichen" },
  magnitude_increase_same_sign: { name: "wuchs, selbes Vorz.", kept: "am meisten wuchsen und ihr Vorzeichen behielten", not: "wechselten ihr Vorzeichen" },
  magnitude_increase_diff_sign: { name: "wuchs, anderes Vorz.", kept: "am meisten wuchsen und ihr Vorzeichen wechselten", not: "behielten ihr Vorzeichen" },
  painted: { name: "selbst malen", kept: "in einem Bereich liegen, den Sie malen", not: "" },
};

/**
 * @param {Subject} subject
 * @returns {Words}
 */
export function de(subject) {
  const { digits, names } = subject;
  const things = digits ? "Ziffern" : "Bilder";
  /** @type {(label: number) => string} */
  const a = (label) => (digits ? `eine ${label}` : (names[label] ?? `Klasse ${label}`));
  return {
    ...story(subject),
    layer,
    brief,
    criteria: CRITERIA,

    page: {
      title: "Nullen, Vorzeichen und die Supermaske",
      skip: "Zu den Reglern springen",
      tools: "Seite",
      tour: "Zur Führung",
      undo: "Rückgängig",
      redo: "Wiederholen",
      reset: "Von vorn",
      share: "Link kopieren",
      shared: "Link kopiert",
      inBar: "Der Link steht in der Adresszeile",
      theme: "Farben",
      themes: { auto: "wie das System", light: "hell", dark: "dunkel" },
      words: "Sprache",
      size: "Große Schrift",
      loaded: (/** @type {number} */ share) => `Das Netz wird geladen … ${percent(share)}`,
      failed: (/** @type {string} */ why) => `Die Seite ließ sich nicht einrichten. ${why}`,
      trouble: (/** @type {string} */ why) => `Etwas ging schief, und was Sie sehen, kann veraltet sein. Laden Sie die Seite neu; ihre Adresse bewahrt Ihre Einstellungen. (${why})`,
      missing: (/** @type {string} */ name, /** @type {string} */ why) => `${name} fehlt (${why}).`,
      old: (/** @type {number} */ found, /** @type {number} */ wanted) => `Das Bündel hat Format ${found}; diese Seite liest ${wanted}. Bitte beides neu exportieren.`,
    },

    which: {
      title: "Welche Gewichte bleiben?",
      legend: "Die Maske behält die Gewichte, die …",
      formula: (/** @type {string} */ name, /** @type {string} */ formula) => name === "random" ? "zufällig: Jedes Gewicht bleibt mit derselben Wahrscheinlichkeit." : `${CRITERIA[name].name}: die höchsten ${formula.replace("if signs agree, else", "bei gleichem Vorzeichen, sonst").replace("if signs differ, else", "bei anderem Vorzeichen, sonst")}. (wi: das Gewicht am Anfang; wf: am Ende.)`,
      byRound: "Die Maske einer Runde; siehe „Runden des Entfernens“.",
      byRegion: "Die Gewichte in dem Bereich, den Sie malen, in jeder Schicht auf ihren eigenen Achsen.",
      level: "Verbleibende Gewichte",
      prune: "Entfernen bis auf",
      levelElsewhere: { round: "Die Runde bestimmt es. Wählen Sie ein Kriterium, um diesen Regler zu benutzen.", painted: "Der gemalte Bereich bestimmt es. Wählen Sie ein Kriterium, um diesen Regler zu benutzen.", learned: "Die gelernte Maske bestimmt es. Trainieren Sie etwas anderes, um diesen Regler und die Wahl unter 1 und 2 zu benutzen." },
      layers: "Gewichte:",
      brush: "Pinsel",
      paint: "malen",
      erase: "löschen",
      fill: "Alles malen",
      clear: "Leeren",
      plane: "Ebene der Anfangs- und Endgewichte",
      planeHelp: "Jede Zelle zeigt, wie viele Gewichte dort liegen: dunkler heißt mehr, blau heißt behalten. Ziehen Sie den Rand des blauen Bereichs. Mit der Tastatur: Pfeiltasten bewegen einen Zeiger, Enter setzt den Rand dorthin; beim Malen füllt oder leert die Leertaste eine Zelle.",
      initial: "Anfangsgewicht →",
      final: "↑ Endgewicht",
      now: "↑ Gewicht jetzt",
      whole: (/** @type {string} */ name, /** @type {number} */ kept, /** @type {number} */ all) => `${layer(name)}: ${count(kept)} von ${count(all)} Gewichten bleiben.`,
      near: (/** @type {string} */ name, /** @type {string} */ x, /** @type {string} */ y, /** @type {number} */ kept, /** @type {number} */ all) => `${layer(name)}, nahe (${x}; ${y}): ${count(kept)} von ${count(all)} bleiben.`,
    },

    values: {
      title: "Mit welchen Werten?",
      kept: "Behaltene Gewichte",
      choices: { initial: "Anfangswerte", constant: "± eine Konstante je Schicht", fresh: "neu gezogen", reshuffled: "Anfangswerte, vertauscht" },
      signs: "mit den Vorzeichen vom Anfang",
      pruned: "Entfernte Gewichte",
      zero: "null",
      frozen: "fest auf ihren Anfangswerten",
      flips: "Alle Vorzeichen umkehren:",
      seed: "Startwert",
      seedHint: "ein anderer zufälliger Anfang, sonst alles gleich",
    },

    reads: {
      title: "Was erkennt es?",
      axes: ["verbleibende Gewichte, %", "Treffer, %"],
      table: "Treffer auf Testbildern",
      remaining: "verbleibende Gewichte",
      help: "Ein Klick ins Diagramm geht zu so vielen Gewichten. Das Band zeigt, wie weit Zufall allein eine Trefferquote bewegt; dünne Linien sind die anderen Startwerte.",
      keep: "Diese Kurve zum Vergleich behalten",
      pins: "Zum Vergleich behaltene Kurven",
      show: "Diese zeigen",
      remove: (/** @type {string} */ name) => `${name} entfernen`,
      randomMask: "zufällige Maske",
      otherSeed: (/** @type {number} */ seed) => `Startwert ${seed}`,
      trained: "die Kopie, zu Ende trainiert",
      chance: "Zufall",
      trainedHere: "hier trainiert, Runden",
      bundled: "in Runden entfernt, jede trainiert",
      strip: `Test${things.toLowerCase()}, und wofür das Netz sie hält`,
      stripHint: "Wählen Sie ein Bild, das unten durch das Netz geht.",
      one: (/** @type {number} */ label, /** @type {number} */ found) => `${a(label)}, gehalten für ${a(found)}: ${label === found ? "richtig" : "falsch"}`,
      chart: (/** @type {string[]} */ parts) => `Treffer gegen verbleibende Gewichte. ${parts.join("; ")}. Die Zahlen stehen unten in einer Tabelle.`,
      bestAt: (/** @type {string} */ name, /** @type {number} */ accuracy, /** @type {number} */ remaining) => `${name}: höchstens ${percent(accuracy)}, bei ${percent(remaining)}`,
      at: (/** @type {number} */ remaining, /** @type {string[]} */ values) => `Bei ${percent(remaining)} der Gewichte: ${values.join("; ")}.`,
      clear: (/** @type {string} */ name) => `Kein klarer Unterschied zu: ${name}.`,
    },

    lab: {
      title: "Hier trainieren",
      text: "Der Algorithmus der Lotterielose, von Hand: trainieren, nach der Maske unter 1 entfernen, auf die Werte unter 2 zurücksetzen, neu trainieren.",
      legend: "Was trainiert wird",
      modes: { off: "nichts", weights: "die Gewichte", mask: "eine Maske" },
      maskText: "Die Gewichte ändern sich nie. Jedes bleibt mit einer Wahrscheinlichkeit, die bei einem Halb beginnt; Training bewegt die Wahrscheinlichkeiten. In der Ebene sieht man sie auf- und abwandern.",
      constants: "auf Konstanten mit Vorzeichen statt Anfangswerten",
      rescaled: "jede Schicht nach dem behaltenen Anteil umrechnen",
      train: "Trainieren",
      stop: "Anhalten",
      step: "Ein Schritt",
      prune: "Entfernen",
      rewind: "Zurücksetzen",
      round: "Eine ganze Runde",
      over: "Neu beginnen",
      starting: "Startet …",
      progress: (/** @type {number} */ round, /** @type {number} */ steps, /** @type {number} */ length) => `Runde ${round}: Schritt ${count(steps)} von ${count(length)}.`,
      learning: (/** @type {number} */ steps, /** @type {number} */ length) => `Schritt ${count(steps)} von ${count(length)}.`,
      loss: (/** @type {string} */ loss) => `Verlust ${loss}.`,
      cost: (/** @type {string} */ ms, /** @type {string} */ seconds) => `${ms} ms je Schritt, zusammen ${seconds} s.`,
      pruned: (/** @type {number} */ weights) => `${count(weights)} Gewichte entfernt. Setzen Sie die anderen zurück, oder trainieren Sie von hier aus weiter.`,
      nothing: "Nichts wurde entfernt: Die Maske unter 1 behält mindestens so viele Gewichte, wie noch da sind. Schieben Sie ihren Regler nach rechts.",
      explain: {
        weights: (/** @type {number} */ remaining, /** @type {number} */ round) => `Hier trainiert, vom zufälligen Anfang dieses Startwerts: ${percent(remaining)} der Gewichte sind übrig (Runde ${round}).`,
        mask: (/** @type {number} */ remaining) => `Hier gelernt: Die Maske behält die ${percent(remaining)} der Gewichte, deren Wahrscheinlichkeit über einem Halb liegt. Kein Gewicht wurde trainiert.`,
      },
      chart: "Verlust und Treffer dieses Trainings",
      axes: ["Treffer auf Testbildern", "Verlust auf Trainingsbildern", "Schritt"],
      chance: "↑ Wahrscheinlichkeit zu bleiben",
    },

    net: {
      title: "Das Netz sehen",
      canvas: "Das Netz: ein Bild, verborgene Einheiten und die Antwort",
      text: `${digits ? "Eine Ziffer" : "Ein Bild"} auf dem Weg durch eine Auswahl der Gewichte. Blau: positiv. Orange und gestrichelt: negativ. Blass: entfernt. Je stärker eine Linie, desto mehr gibt sie weiter.`,
      help: "Zeigen Sie auf ein Gewicht, um es in der Ebene zu finden, oder auf eine Einheit der ersten Spalte, um zu sehen, auf welche Pixel sie achtet. Ein Klick hält sie fest. Mit der Tastatur: Pfeiltasten gehen von Einheit zu Einheit, die Leertaste durch deren Gewichte, Enter hält fest.",
      unit: (/** @type {number} */ unit) => `verborgene Einheit ${unit}`,
      output: (/** @type {number} */ label) => `Ausgang für ${digits ? `die ${label}` : a(label)}`,
      edge: (/** @type {string} */ from, /** @type {string} */ to, /** @type {string} */ initial, /** @type {string} */ final, /** @type {boolean} */ kept, /** @type {string} */ value) =>
        `Gewicht: ${from} → ${to}; begann bei ${initial}, in der Ebene auf der Höhe ${final}; ${kept ? "behalten" : "entfernt"}, Wert ${value}.`,
      puts: (/** @type {string} */ name, /** @type {string} */ value, /** @type {boolean} */ field) => `${name} gibt ${value} aus.${field ? " Links: ihre Gewichte von jedem Pixel." : ""}`,
      answer: (/** @type {number} */ label, /** @type {number} */ kept, /** @type {number} */ all) => `Das Netz hält das für ${a(label)}. Von den ${count(all)} gezeichneten Gewichten bleiben ${count(kept)}.`,
    },

    own: {
      title: digits ? "Eine Ziffer zeichnen" : "Ein Bild zeichnen",
      text: "Das Netz auf dieser Seite versucht auch das zu erkennen.",
      pad: "Fläche zum Zeichnen",
      bars: `Ausgang für jede ${digits ? "Ziffer" : "Klasse"}`,
      hint: "Zeichnen Sie mit Maus, Finger oder Stift.",
      help: "Mit der Tastatur: Pfeiltasten bewegen den Stift, die Leertaste setzt ihn auf oder hebt ihn ab.",
      found: (/** @type {number} */ label) => `Das Netz hält das für ${a(label)}.`,
      clear: "Leeren",
      mine: {
        title: "Ihre Testmenge",
        text: `Heben Sie auf, was Sie zeichnen, mit der richtigen Antwort: ${digits ? "zehn eigene Ziffern" : "eigene Bilder"} sind eine kleine Testmenge. Sie bleibt in diesem Browser.`,
        label: "Das ist",
        keep: "Aufheben",
        none: "Noch nichts aufgehoben.",
        full: (/** @type {number} */ most) => `Es ist Platz für ${most}.`,
        right: (/** @type {number} */ right, /** @type {number} */ all) => `Von Ihren ${all} erkennt dieses Netz ${right} (${percent(right / all)}). Bei so wenigen zählt der Zufall: genau auf ±${fixed(196 * Math.sqrt((((right + 1) / (all + 2)) * ((all - right + 1) / (all + 2))) / all), 0)} Punkte.`,
        one: (/** @type {number} */ label, /** @type {number} */ found) => `${a(label)}, gehalten für ${a(found)}. Entfernen`,
      },
    },

    challenge: {
      title: "Aufgaben",
      text: "Wählen Sie eine Aufgabe, und benutzen Sie dann die Regler oben. Ihre besten Antworten bleiben in diesem Browser; jede ist ein Link.",
      choose: "Aufgabe",
      none: "keine",
      any: (/** @type {number} */ accuracy, /** @type {number} */ remaining) => `mehr als ${accuracy} % Treffer mit weniger als ${remaining} % der Gewichte (Training erlaubt)`,
      untrained: (/** @type {number} */ accuracy, /** @type {number} */ remaining) => `mehr als ${accuracy} % Treffer mit weniger als ${remaining} % der Gewichte, untrainiert`,
      paint: "„groß am Ende“ durch Malen schlagen, mit ebenso vielen Gewichten",
      met: "Geschafft: ",
      notYet: "Noch nicht: ",
      now: (/** @type {number} */ accuracy, /** @type {number} */ remaining) => `${percent(accuracy)} Treffer mit ${percent(remaining)} der Gewichte.`,
      untrainedOnly: "Diese Aufgabe gilt untrainierten Netzen: Wählen Sie „nichts“ unter „Hier trainieren“.",
      paintFirst: "Wählen Sie „selbst malen“ unter 1.",
      against: (/** @type {number} */ own, /** @type {number} */ other, /** @type {number} */ remaining) => `Ihr Bereich: ${percent(own)}; „groß am Ende“: ${percent(other)} mit ${percent(remaining)} der Gewichte.`,
      close: "Das ist kein klarer Unterschied.",
      link: "Diese Aufgabe als Link: kopieren Sie seine Adresse, um sie zu teilen",
      best: "Ihre besten Antworten",
      empty: "Noch keine Antwort.",
      answer: (/** @type {number} */ accuracy, /** @type {number} */ remaining, /** @type {boolean} */ trained) => `${percent(accuracy)} mit ${percent(remaining)} der Gewichte${trained ? ", hier trainiert" : ""}`,
      forget: "Diese Antworten vergessen",
    },

    seen: {
      title: "Die Maske als Bild",
      legend: "Was gezeigt wird",
      modes: { pixels: "je Pixel", unit: "eine Einheit", difference: "Unterschied" },
      map: "Karte der Gewichte der ersten Schicht über dem Bild",
      unit: "Verborgene Einheit",
      pixels: (/** @type {number} */ units, /** @type {number} */ seen, /** @type {number} */ all) => `Wie viele seiner ${units} Gewichte jeder Pixel behält: ${seen} von ${all} Pixeln erreichen das Netz noch.`,
      field: (/** @type {number} */ unit, /** @type {number} */ kept, /** @type {number} */ all) => `Die Gewichte vom Bild zur verborgenen Einheit ${unit}: ${kept} von ${all} bleiben.`,
      compare: "Behalten Sie zuerst eine Kurve (unter 3): Ihre Maske wird dann mit dieser verglichen.",
      against: (/** @type {string} */ other, /** @type {number} */ shared, /** @type {number} */ chance) => `Verglichen mit ${other}: ${percent(shared)} der Gewichte der kleineren Maske sind in beiden; Zufall allein ergäbe ${percent(chance)}.`,
      keys: {
        pixels: ["kein Gewicht behalten", "die meisten behalten"],
        unit: ["negativ", "positiv"],
        difference: ["nur dort", "nur hier"],
      },
      pixel: (/** @type {number} */ row, /** @type {number} */ column) => `Pixel in Zeile ${row}, Spalte ${column}`,
      place: (/** @type {number} */ row, /** @type {number} */ column) => `Zeile ${row}, Spalte ${column}: `,
      keptOf: (/** @type {number} */ kept, /** @type {number} */ all) => `${kept} von ${all} Gewichten bleiben.`,
      value: (/** @type {boolean} */ kept, /** @type {string} */ value) => `${kept ? "behalten" : "entfernt"}, Wert ${value}.`,
      sides: (/** @type {number} */ here, /** @type {number} */ there) => `${here} nur hier, ${there} nur dort.`,
    },

    confusion: {
      title: `Welche ${digits ? "Ziffern" : "Klassen"} es verwechselt`,
      caption: `Zeilen: die ${digits ? "Ziffer" : "Klasse"}. Spalten: wofür das Netz sie hält. Anzahlen von Testbildern.`,
      digit: digits ? "Ziffer" : "Klasse",
      right: "richtig",
      cell: (/** @type {string} */ number, /** @type {number} */ row, /** @type {number} */ column) => `${a(row)} → ${a(column)}: ${number} Bilder.`,
    },

    rounds: {
      title: "Runden des Entfernens",
      text: "Der Algorithmus der Lotterielose: trainieren, die kleinsten Gewichte entfernen, zurücksetzen, neu trainieren. Dies sind seine Masken.",
      none: "Diese Seite wurde ohne Runden gemacht. Sie können sie selbst durchlaufen: siehe „Hier trainieren“.",
      round: "Runde",
      of: (/** @type {number} */ round, /** @type {number} */ last) => `${round} von ${last}`,
      first: "Anfang",
      back: "Zurück",
      next: "Weiter",
      play: "Abspielen",
      left: (/** @type {number} */ remaining, /** @type {number} */ trained, /** @type {number} */ images) =>
        `${percent(remaining)} der Gewichte sind übrig. Nach dem Training dieser Runde: ${percent(trained)} Treffer, auf allen ${count(images)} Testbildern, beim Schritt mit dem kleinsten Validierungsverlust. (Die Linie im Diagramm ist das Ende des Trainings, auf den Bildern dieser Seite; daher der Unterschied.)`,
      here: (/** @type {number} */ untrained) => `Das untrainierte Netz unter dieser Maske, mit den Werten unter 2: ${percent(untrained)}.`,
      move: "Schieben Sie den Regler, um die Maske einer Runde auf das untrainierte Netz zu legen.",
    },

    tries: {
      title: "Was Sie versucht haben",
      caption: "Versuchte Netze, die neuesten zuerst",
      heads: ["Nr.", "Maske", "Werte", "Startwert", "verbleibend", "Treffer"],
      show: "zeigen",
      back: (/** @type {number} */ number) => `Netz ${number} wieder zeigen`,
      table: "Tabelle (CSV)",
      picture: "Bild (PNG)",
      mask: "Maske (gepackte Datei)",
      canPack: "Die Datei enthält das ganze Netz: Der Befehl „supermask evaluate“ liest sie.",
      cannotPack: "Eine solche Datei enthält Anfangswerte oder Konstanten mit Vorzeichen, sonst Nullen.",
    },

    numbers: { title: "Die Kurven als Tabelle" },

    setting: {
      painted: "gemalter Bereich",
      round: (/** @type {number} */ round) => `in Runden entfernt, Runde ${round}`,
      rounds: "in Runden entfernt",
      values: { initial: "Anfangswerte", constant: "eine Konstante", fresh: "neu gezogen", reshuffled: "vertauschte Anfangswerte" },
      ownSigns: ", eigene Vorzeichen",
      anySigns: ", zufällige Vorzeichen",
      frozen: "; entfernte auf Anfangswerten",
      flipped: (/** @type {string[]} */ names) => `; umgekehrt: ${listed(names)}`,
      seed: (/** @type {number} */ seed) => `Startwert ${seed}`,
      keptByRound: (/** @type {string} */ share, /** @type {number} */ round) => `Behalten: die ${share} der Gewichte, die Runde ${round} übrig ließ.`,
      keptByRegion: (/** @type {string} */ share) => `Behalten: die ${share} der Gewichte in dem Bereich, den Sie gemalt haben.`,
      keptAll: "Behalten: alle Gewichte.",
      keptNone: "Behalten: kein einziges Gewicht.",
      keptAtRandom: (/** @type {string} */ share) => `Behalten: ${share} der Gewichte, zufällig gezogen.`,
      keptBest: (/** @type {string} */ share, /** @type {string} */ name) => `Behalten: die ${share} der Gewichte, die ${CRITERIA[name].kept}.`,
      keptMixed: (/** @type {string} */ share, /** @type {string} */ name, /** @type {string} */ meant, /** @type {string} */ drawn) =>
        `Behalten: ${share} der Gewichte. Von allen Gewichten sind es ${meant}, die ${CRITERIA[name].kept}; die anderen ${drawn} hier behaltenen ${CRITERIA[name].not}: Das Kriterium gibt ihnen allen 0, und der Zufall hat sie gewählt.`,
      initial: "Jedes hat den Wert, mit dem es gezogen wurde.",
      constant: (/** @type {boolean} */ own) => `Jedes ist eine Konstante je Schicht, ${own ? "mit dem Vorzeichen vom Anfang" : "mit zufälligem Vorzeichen"}.`,
      fresh: (/** @type {boolean} */ own) => `Jedes wird neu gezogen${own ? ", mit dem Vorzeichen vom Anfang" : ""}.`,
      reshuffled: (/** @type {boolean} */ own) => `Ihre Werte werden vertauscht${own ? "; jedes behält das Vorzeichen vom Anfang" : ""}.`,
      zeros: "Alle anderen sind null.",
      others: "Alle anderen bleiben auf ihren Anfangswerten.",
      flips: (/** @type {string[]} */ names) => `Umgekehrt sind alle Vorzeichen: ${listed(names)}.`,
    },

    about: {
      caption: (/** @type {import("../core/bundle.js").About} */ about, /** @type {number[]} */ seeds) =>
        `${about.network} auf ${about.dataset} · Protokoll ${about.protocol}: ${about.epochs} Epochen · Startwerte ${seeds.join(", ")} · ${about.images === about.test_images ? `alle ${count(about.images)}` : `die ersten ${count(about.images)} von ${count(about.test_images)}`} Testbilder · ${about.version}`,
      text: "Nach Zhou, Lan, Liu und Yosinski 2019, „Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask“. Alle Masken, Trefferquoten und Trainings berechnet dieser Browser; nichts wird irgendwohin gesandt. Haben mehrere Klassen gleiche Ausgänge, gilt die erste. „Neu gezogen“ heißt: die Gewichte, mit denen der nächste Startwert begann.",
    },
  };
}
