"use strict";
// The panel beside the spectrum. Text is only ever set as textContent, so that nothing in a file can
// become part of the page.

const $ = (id) => document.getElementById(id);

function element(tag, text, settings = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, settings);
}

function fill(id, ...children) {
  $(id).replaceChildren(...children);
}

function decimals(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function showLabel(label) {
  for (const button of document.querySelectorAll("[data-class]")) {
    button.classList.toggle("on", label.spectype === button.dataset.class);
  }
  for (const button of document.querySelectorAll("[data-quality]")) {
    button.classList.toggle("on", label.quality === Number(button.dataset.quality));
  }
  for (const button of document.querySelectorAll("[data-mark]")) {
    const mark = button.dataset.mark;
    button.classList.toggle("on", mark === "bal" ? label.bal : label.issues.includes(mark));
  }
  $("noguess").classList.toggle("on", label.noGuess);
  $("own").textContent = decimals(label.z, 4);
  if (document.activeElement !== $("comment")) $("comment").value = label.comment;
  const open = [
    label.spectype === null && "class", label.z === null && "redshift",
    label.quality === null && "quality",
  ].filter(Boolean);
  const finished = isFinished(label);
  $("state").textContent = finished ? "✓ finished" : `needs ${open.join(", ")}`;
  $("state").classList.toggle("finished", finished);
}

function showEnsemble(ensemble, plots) {
  $("ensemble").hidden = !ensemble;
  if (!ensemble) return;
  const names = [["not", "no quasar"], ["low", "z < 2.1"], ["high", "z ≥ 2.1"]];
  fill("shares", ...names.map(([kind, name], k) => {
    const share = ensemble.shares[k] || 0;
    const span = element("span", "", { className: kind, title: name });
    span.style.flex = `${share} 0 0px`;
    span.hidden = share === 0;
    return span;
  }));
  fill("legend", ...names.map(([kind, name], k) => {
    const entry = element("span", "");
    const share = `${name} ${Math.round(100 * (ensemble.shares[k] || 0))} %`;
    entry.append(element("i", "", { className: kind }), share);
    return entry;
  }));
  const lines = ensemble.lines.filter(([, confidence]) => confidence >= 0.5)
    .sort((a, b) => b[1] - a[1]).slice(0, 3)
    .map(([name, confidence, z]) => `${name} ${confidence.toFixed(2)} (z ${decimals(z, 3)})`);
  fill("answer",
    element("div", `z = ${decimals(ensemble.z, 4)}, spread ${decimals(ensemble.spread, 4)}`),
    element("div", lines.length ? lines.join(" · ") : "no line above 0.5", { className: "faint" }));
  $("members").hidden = !ensemble.members;
  if (ensemble.members) plots.showMembers(ensemble.members);
}

function showRedrock(redrock) {
  $("redrock").hidden = !redrock;
  if (!redrock) return;
  const warning = redrock.zwarn ? `, ZWARN ${redrock.zwarn}` : "";
  $("redrockAnswer").textContent = `${redrock.spectype} at z = ${decimals(redrock.z, 4)}, ` +
    `Δχ² ${decimals(redrock.deltachi2, 1)}${warning}`;
}

function showTarget(target, neighbours, reason, goTo) {
  const bands = ["g", "r", "z"].map((band, k) => `${band} ${decimals(target.mag[k], 2)}`);
  const snr = plots.arms.map((arm, k) => `${arm} ${decimals(target.snr[k], 1)}`);
  const facts = Object.entries(target.facts).filter(([name]) => name !== "FILE" && name !== "ROW");
  const children = [
    element("div", target.id, { style: "font-weight: bold" }),
    element("div", `magnitude ${bands.join("  ")}`),
    element("div", `signal-to-noise ${snr.join("  ")}`),
  ];
  if (target.ra !== null && target.dec !== null) {
    const position = element("div", `${target.ra.toFixed(5)} ${target.dec.toFixed(5)} `);
    const at = `ra=${target.ra}&dec=${target.dec}&mark=${target.ra},${target.dec}`;
    position.append(element("a", "Legacy Survey", {
      href: `https://www.legacysurvey.org/viewer?${at}&layer=ls-dr9&zoom=16`,
      target: "_blank", rel: "noopener noreferrer",
    }));
    children.push(position);
  }
  children.push(element("div", facts.map(([k, v]) => `${k} ${v}`).join(" · "), { className: "faint" }));
  const file = `${target.facts.FILE}, row ${target.facts.ROW}`;
  children.push(element("div", file.split("/").at(-1), { className: "faint", title: file }));
  fill("facts", ...children);
  const links = neighbours.slice(0, 8).map((place) => {
    const link = element("a", String(place + 1), { href: "#" });
    link.onclick = (event) => { event.preventDefault(); goTo(place); };
    return link;
  });
  const more = neighbours.length > 8 ? [element("span", `and ${neighbours.length - 8} others`)] : [];
  const cell = target.bmu === null ? [] : [element("span",
    neighbours.length ? `same SOM cell (${target.bmu}): ` : `alone in SOM cell ${target.bmu}`)];
  fill("neighbours", ...cell, ...links, ...more);
  $("reason").textContent = reason ? `Selected because: ${reason}` : "";
}
