"use strict";
// Labels as CSV in the columns of prospect's pages, which its merging scripts read. A blank VI_z or
// VI_spectype would mean "agrees with Redrock" there, so both are always written.

const COLUMNS = [
  "TARGETID", "EXPID", "NIGHT", "TILEID", "Spec_version", "Redrock_version", "Template_version",
  "Redrock_spectype", "Redrock_z", "Redrock_deltachi2", "VI_scanner", "VI_quality", "VI_issue",
  "VI_z", "VI_spectype", "VI_comment",
];
const NEEDED = ["TARGETID", "VI_scanner", "VI_quality", "VI_z", "VI_spectype"];
const SPECTYPES = ["QSO", "GALAXY", "STAR"];
const BAL_COMMENT = "Broad absorption line quasar (BAL)";
const NO_GUESS_COMMENT = "No guess possible";
const NO_GUESS_CLASS = "UNKNOWN";
const MISSING = "-1"; // prospect's mark for an unknown number

// prospect's VI_z has six characters.
function redshiftText(z) {
  return z.toFixed(z < 0 || z >= 10 ? 3 : 4);
}

// Text that neither ends a field or a line nor is a formula for a spreadsheet.
function safeText(text) {
  const plain = text.replaceAll(",", ";").replaceAll('"', "'").replace(/\s+/g, " ").trim();
  return /^[=+\-@]/.test(plain) ? `'${plain}` : plain;
}

function row(target, label, inspector) {
  const { facts, redrock } = target;
  const comment = [label.bal && BAL_COMMENT, label.noGuess && NO_GUESS_COMMENT, label.comment];
  return [
    target.id, facts.EXPID || MISSING, facts.NIGHT || MISSING, facts.TILEID || MISSING,
    MISSING, MISSING, MISSING,
    redrock ? safeText(redrock.spectype) : "",
    redrock ? redshiftText(redrock.z) : MISSING,
    redrock && redrock.deltachi2 !== null ? redrock.deltachi2.toFixed(2) : MISSING,
    safeText(inspector),
    String(label.noGuess ? 0 : label.quality),
    label.issues,
    label.noGuess ? MISSING : redshiftText(label.z),
    label.noGuess ? NO_GUESS_CLASS : label.spectype,
    safeText(comment.filter(Boolean).join(" ")),
  ];
}

function writeTable(targets, labels) {
  const finished = targets.filter((target) => isFinished(labels.get(target.id)));
  const rows = finished.map((target) => row(target, labels.get(target.id), labels.inspector));
  return [COLUMNS, ...rows].map((fields) => fields.join(",") + "\n").join("");
}

// Fields of a CSV, whether quoted or not, as lists of strings.
function parseCsv(text) {
  const rows = [[]];
  const field = /("(?:[^"]|"")*"|[^",\n]*)(,|\n|$)/y;
  text = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  while (field.lastIndex < text.length) {
    const found = field.exec(text);
    if (!found) throw new Error(`line ${rows.length} has a quote that is not closed`);
    const value = found[1].startsWith('"') ? found[1].slice(1, -1).replaceAll('""', '"') : found[1];
    rows.at(-1).push(value.trim());
    if (found[2] === "\n") rows.push([]);
    if (found[2] === "") break;
    if (found[2] === "," && field.lastIndex === text.length) rows.at(-1).push("");
  }
  return rows.filter((fields) => fields.length > 1 || fields[0]);
}

// Labels by target, from the text of a CSV; an Error with one sentence if anything is wrong.
function readTable(text, known, inspector) {
  const [header = [], ...rows] = parseCsv(text);
  const missing = NEEDED.filter((name) => !header.includes(name));
  if (missing.length) throw new Error(`it has no column ${missing.join(", ")}`);
  const labels = {};
  rows.forEach((fields, k) => {
    const where = `row ${k + 1}`;
    if (fields.length !== header.length) {
      throw new Error(`${where} has ${fields.length} fields and the header ${header.length}`);
    }
    const value = Object.fromEntries(header.map((name, i) => [name, fields[i]]));
    const target = value.TARGETID;
    if (!known.has(target)) throw new Error(`${where}: ${target} is not in this selection`);
    if (target in labels) throw new Error(`${where}: ${target} is there twice`);
    if (value.VI_scanner && value.VI_scanner !== safeText(inspector)) {
      throw new Error(`${where} is by ${value.VI_scanner}, and you are ${inspector}`);
    }
    if (value.VI_quality !== MISSING && value.VI_quality !== "") {
      labels[target] = readLabel(value, where);
    }
  });
  return labels;
}

function readLabel(value, where) {
  const quality = Number(value.VI_quality);
  if (![0, 1, 2, 3, 4].includes(quality)) {
    throw new Error(`${where}: VI_quality ${value.VI_quality} is not 0, 1, 2, 3 or 4`);
  }
  let comment = (value.VI_comment || "").replace(/^'(?=[=+\-@])/, "");
  const bal = comment.includes(BAL_COMMENT);
  const noGuess = value.VI_spectype === NO_GUESS_CLASS && quality === 0;
  for (const standard of [BAL_COMMENT, NO_GUESS_COMMENT]) comment = comment.replace(standard, "");
  const common = { ...NO_LABEL, quality, bal, comment: comment.trim() };
  common.issues = [..."RCS"].filter((x) => (value.VI_issue || "").includes(x)).join("");
  if (noGuess) return { ...common, noGuess, quality: null };
  const spectype = (value.VI_spectype || value.Redrock_spectype || "").toUpperCase();
  const text = value.VI_z || value.Redrock_z || "";
  if (!SPECTYPES.includes(spectype)) {
    throw new Error(`${where}: the class ${spectype || "(blank)"} is not ${SPECTYPES.join(", ")}`);
  }
  const z = readRedshift(text);
  if (z === null) throw new Error(`${where}: the redshift ${text || "(blank)"} is not a number`);
  return { ...common, spectype, z, zFrom: "file" };
}

// A redshift above -1; null for anything else, such as "2,1".
function readRedshift(text) {
  const z = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? Number(text) : NaN;
  return z > -0.99 && z < 20 ? z : null;
}
