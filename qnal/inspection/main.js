"use strict";
// Ties the parts together: which target is shown, what a key does.

const KEYS = [
  ["→ j", "next target", ["ArrowRight", "j"], () => go(place + 1)],
  ["← k", "previous target", ["ArrowLeft", "k"], () => go(place - 1)],
  ["↵ u", "next target without a finished label", ["Enter", "u"], () => goUnseen()],
  ["0 … 4", "quality", ["0", "1", "2", "3", "4"], (key) => change({ quality: Number(key), noGuess: false })],
  ["q g s", "class: quasar, galaxy, star", ["q", "g", "s"], (key) => setClass({ q: "QSO", g: "GALAXY", s: "STAR" }[key])],
  ["a", "accept the ensemble's class and redshift", ["a"], () => acceptEnsemble()],
  ["r", "accept Redrock's class and redshift", ["r"], () => acceptRedrock()],
  ["z", "type a redshift; Enter takes it, Esc leaves it", ["z"], () => focusOn("z")],
  ["[ ]", "step the redshift; with shift ten times as far", ["[", "]", "{", "}"], (key) => stepRedshift(key)],
  ["v", "take the redshift shown", ["v"], () => takeRedshift()],
  ["b", "broad absorption lines (BAL)", ["b"], () => toggleBal()],
  ["R C S", "issue: bad redshift, class (of Redrock), bad spectrum", ["R", "C", "S"], (key) => toggleIssue(key)],
  ["n", "no guess possible", ["n"], () => toggleNoGuess()],
  ["c", "comment; Enter or Esc leaves it", ["c"], () => focusOn("comment")],
  ["ctrl z", "undo", [], () => undo()],
  ["m M", "more, less smoothing", ["m", "M"], (key) => setSmoothing(plots.sigma + (key === "m" ? 1 : -1))],
  ["o l", "noise, lines on or off", ["o", "l"], (key) => toggleBox(key === "o" ? "noise" : "lines")],
  ["x", "whole spectrum", ["x"], () => plots.zoomOut()],
  ["d", "save the labels as CSV", ["d"], () => saveTable()],
  ["?", "this list", ["?"], () => $("keys").showModal()],
];

let settings, targets, grids, plots, labels;
let place = 0; // of the target shown
let shown = 0; // redshift of the lines
let ready = Promise.resolve(); // the spectrum of the target shown is drawn
const current = () => targets[place];

async function start() {
  [settings, targets] = await Promise.all([unpackedJson("settings"), unpackedJson("targets")]);
  grids = await Promise.all((await unpackedJson("grids")).map(async (grid) => {
    const waves = await Promise.all(Object.values(grid).map(unpackedWave));
    return Object.fromEntries(Object.keys(grid).map((camera, k) => [camera, waves[k]]));
  }));
  plots = new Plots(settings.lines, settings.arms);
  await plots.draw(settings.figures);
  $("title").textContent = settings.parts > 1
    ? `${settings.title}, part ${settings.part} of ${settings.parts}` : settings.title;
  $("blind").hidden = !settings.blind;
  fill("keyTable", ...KEYS.map(([keys, meaning]) => {
    const line = element("tr", "");
    line.append(element("td", keys), element("td", meaning));
    return line;
  }));
  connect();
  $("smooth").value = plots.sigma;
  $("sigma").textContent = `${plots.sigma} px`;
  $("noise").checked = $("lines").checked = true;
  $("name").value = localStorage.getItem("qnal/inspector") || "";
  $("who").showModal();
  document.documentElement.dataset.ready = "name";
}

async function begin() {
  const name = $("name").value.trim();
  localStorage.setItem("qnal/inspector", name);
  labels = new Labels(settings.selection, name, localStorage, (sentence) => say(sentence, true));
  $("inspector").textContent = name;
  // The file may hold fewer targets than one of the same selection that was opened before.
  await go(Math.min(labels.place(settings.part), targets.length - 1));
  document.documentElement.dataset.ready = "labels";
}

// Shows a target. Nothing of the one before stays: not its redshift, zoom or unfinished input.
async function go(to) {
  if (to < 0 || to >= targets.length) {
    say(to < 0 ? "This is the first target." : "This is the last target.");
    return;
  }
  document.activeElement.blur();
  place = to;
  labels.setPlace(settings.part, place);
  say("");
  const target = current();
  const label = labels.get(target.id);
  const suggestions = [label.z, target.ensemble && target.ensemble.z, target.redrock && target.redrock.z];
  const z = suggestions.find((value) => value !== null && value !== undefined) ?? 0;
  refresh();
  ready = unpackedSpectrum(place, grids[target.grid]);
  const spectrum = await ready;
  if (current() !== target) return; // another key was faster
  plots.show(spectrum);
  showRedshift(z);
  document.documentElement.dataset.drawn = target.id;
}

function refresh() {
  const target = current();
  const label = labels.get(target.id);
  showLabel(label);
  showEnsemble(target.ensemble, plots);
  showRedrock(target.redrock);
  const neighbours = target.bmu === null ? []
    : targets.flatMap((other, k) => (other.bmu === target.bmu && k !== place ? [k] : []));
  showTarget(target, neighbours, isFinished(label) ? target.reason : null, go);
  const done = targets.filter((t) => isFinished(labels.get(t.id))).length;
  $("place").textContent = `target ${place + 1} of ${targets.length}`;
  $("done").textContent = `${done} labelled`;
  $("bar").style.width = `${(100 * done) / targets.length}%`;
}

function goUnseen() {
  for (let k = 1; k <= targets.length; k++) {
    const next = (place + k) % targets.length;
    if (!isFinished(labels.get(targets[next].id))) return go(next);
  }
  say("Every target has a finished label. Press d to save them as CSV.");
}

function change(changes, undoable = true) {
  const { id } = current();
  labels.set({ [id]: { ...labels.get(id), ...changes } }, undoable);
  refresh();
}

function setClass(spectype) {
  const label = labels.get(current().id);
  const changes = { spectype, noGuess: false };
  // A star has redshift 0 unless another one was taken.
  if (spectype === "STAR" && label.z === null) Object.assign(changes, { z: 0, zFrom: "star" });
  if (spectype !== "STAR" && label.zFrom === "star") Object.assign(changes, { z: null, zFrom: null });
  change(changes);
}

function acceptEnsemble() {
  const { ensemble } = current();
  if (!ensemble || ensemble.z === null) return say("The ensemble's redshift is not known here.", true);
  const [not, low, high] = ensemble.shares;
  if (!(low + high > not)) {
    return say("Most members say no quasar, which is not a class; choose star or galaxy.", true);
  }
  change({ spectype: "QSO", z: ensemble.z, zFrom: "ensemble", noGuess: false });
  showRedshift(ensemble.z);
}

function acceptRedrock() {
  const { redrock } = current();
  if (!redrock) return say("Redrock's redshift is not known here.", true);
  if (!SPECTYPES.includes(redrock.spectype)) return say("Redrock gives no class.", true);
  change({ spectype: redrock.spectype, z: redrock.z, zFrom: "Redrock", noGuess: false });
  showRedshift(redrock.z);
}

function takeRedshift() {
  change({ z: Number(shown.toFixed(5)), zFrom: "own", noGuess: false });
}

function toggleBal() {
  change({ bal: !labels.get(current().id).bal, noGuess: false });
}

function toggleIssue(letter) {
  const { issues } = labels.get(current().id);
  change({ issues: [..."RCS"].filter((x) => issues.includes(x) !== (x === letter)).join("") });
}

function toggleNoGuess() {
  const { noGuess, issues, comment } = labels.get(current().id);
  change({ ...NO_LABEL, issues, comment, noGuess: !noGuess });
}

function undo() {
  const changed = labels.undo();
  if (!changed.length) return say("There is nothing to undo.");
  const back = targets.findIndex((target) => changed.includes(target.id));
  go(back < 0 ? place : back);
  say("Undone.");
}

function showRedshift(z) {
  shown = z;
  if (document.activeElement !== $("z")) $("z").value = z.toFixed(4);
  $("z").classList.remove("wrong");
  plots.setRedshift(z);
}

function stepRedshift(key) {
  const step = { "[": -1, "]": 1, "{": -10, "}": 10 }[key] * 0.0005 * (1 + shown);
  showRedshift(Math.max(-0.01, shown + step));
}

function setSmoothing(sigma) {
  const value = Math.max(0, Math.min(20, sigma));
  $("smooth").value = value;
  $("sigma").textContent = `${value} px`;
  plots.smooth(value);
}

function toggleBox(name) {
  $(name).checked = !$(name).checked;
  $(name).onchange();
}

function focusOn(id) {
  $(id).focus();
  $(id).select();
}

function say(sentence, isError = false) {
  $("message").textContent = sentence;
  $("message").classList.toggle("error", isError);
}

function saveTable() {
  const text = writeTable(targets, labels);
  const part = settings.parts > 1 ? `-${settings.part}` : "";
  const link = element("a", "", { download: `desi-vi_${settings.title}${part}_${labels.inspector}.csv` });
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
  const rows = text.split("\n").length - 2;
  const begun = targets.filter((t) => labels.memory.has(t.id) && !isFinished(labels.get(t.id))).length;
  const left = begun ? ` ${begun} unfinished labels are not in it.` : "";
  say(`Saved ${rows} labels of ${targets.length} targets.${left}`);
}

async function readFile(file) {
  const known = new Set([...targets.map((target) => target.id), ...settings.elsewhere]);
  try {
    const found = readTable(await file.text(), known, labels.inspector);
    const replaced = Object.keys(found).filter((target) => labels.memory.has(target)).length;
    labels.set(found);
    await go(place);
    say(`Read ${Object.keys(found).length} labels, which replace ${replaced}; ctrl z undoes this.`);
  } catch (error) {
    say(`${file.name} was not read: ${error.message}. Nothing has changed.`, true);
  }
}

function press(event) {
  if (!labels || $("who").open || $("keys").open || event.altKey || event.metaKey) return;
  const typing = event.target.matches("#z, #comment");
  if (event.ctrlKey) {
    if (event.key === "z" && !typing) { event.preventDefault(); undo(); }
    return;
  }
  if (typing) return typed(event);
  const found = KEYS.find(([, , keys]) => keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  found[3](event.key);
}

function typed(event) {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  event.preventDefault();
  const takes = event.target.id === "z" && event.key === "Enter";
  if (takes && readRedshift($("z").value) === null) {
    return say(`${$("z").value} is not a redshift; write it like 2.1.`, true);
  }
  event.target.blur();
  if (takes) takeRedshift();
}

function connect() {
  const on = (id, act) => { $(id).onclick = (event) => { event.currentTarget.blur(); act(); }; };
  document.addEventListener("keydown", press);
  for (const button of document.querySelectorAll("[data-class]")) {
    button.onclick = () => { button.blur(); setClass(button.dataset.class); };
  }
  for (const button of document.querySelectorAll("[data-quality]")) {
    button.onclick = () => { button.blur(); change({ quality: Number(button.dataset.quality), noGuess: false }); };
  }
  for (const button of document.querySelectorAll("[data-mark]")) {
    const { mark } = button.dataset;
    button.onclick = () => { button.blur(); mark === "bal" ? toggleBal() : toggleIssue(mark); };
  }
  on("noguess", toggleNoGuess); on("take", takeRedshift); on("undo", undo);
  on("acceptEnsemble", acceptEnsemble); on("acceptRedrock", acceptRedrock);
  on("previous", () => go(place - 1)); on("next", () => go(place + 1)); on("unseen", goUnseen);
  on("zoom", () => plots.zoomOut()); on("export", saveTable); on("import", () => $("file").click());
  on("help", () => $("keys").showModal());
  $("who").onclose = () => begin();
  $("who").oncancel = (event) => event.preventDefault();
  $("file").onchange = () => { const [file] = $("file").files; $("file").value = ""; if (file) readFile(file); };
  $("smooth").oninput = () => setSmoothing(Number($("smooth").value));
  $("smooth").onchange = () => $("smooth").blur();
  $("noise").onchange = () => { plots.showNoise($("noise").checked); $("noise").blur(); };
  $("lines").onchange = () => { plots.showLines($("lines").checked); $("lines").blur(); };
  $("z").oninput = () => {
    const z = readRedshift($("z").value);
    if (z !== null) showRedshift(z);
    $("z").classList.toggle("wrong", z === null);
  };
  $("z").onblur = () => { $("z").value = shown.toFixed(4); $("z").classList.remove("wrong"); };
  let first = true; // the first letter of an edit is the step that undo takes back
  $("comment").onfocus = () => { first = true; };
  $("comment").oninput = () => { change({ comment: $("comment").value }, first); first = false; };
  window.addEventListener("storage", (event) => {
    if (labels && event.key && event.key.startsWith(`${labels.prefix}label/`)) { labels.reload(); refresh(); }
  });
}

start().catch((error) => {
  say(`This page cannot be shown here (${error.message}); it needs a browser of 2023 or later.`, true);
  throw error;
});
