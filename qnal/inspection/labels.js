"use strict";
// The labels of one inspector, kept in the browser's storage at every change. Pages opened from disk
// share one storage, so its keys name the selection and the inspector.

const NO_LABEL = {
  quality: null, spectype: null, z: null, zFrom: null,
  bal: false, issues: "", comment: "", noGuess: false,
};
const UNDO_STEPS = 500;

function isFinished(label) {
  return label.noGuess || (label.quality !== null && label.spectype !== null && label.z !== null);
}

class Labels {
  constructor(selection, inspector, storage, onFailure) {
    this.prefix = `qnal/${selection}/${inspector}/`;
    this.inspector = inspector;
    this.storage = storage;
    this.onFailure = onFailure;
    this.memory = new Map();
    this.reload();
  }

  // Reads all labels again, for instance after another tab has changed some.
  reload() {
    this.memory.clear();
    const start = `${this.prefix}label/`;
    for (let k = 0; k < this.storage.length; k++) {
      const key = this.storage.key(k);
      if (key.startsWith(start)) {
        const label = JSON.parse(this.storage.getItem(key));
        this.memory.set(key.slice(start.length), { ...NO_LABEL, ...label });
      }
    }
    this.steps = JSON.parse(this.storage.getItem(`${this.prefix}undo`) || "[]");
  }

  get(target) {
    return this.memory.get(target) || NO_LABEL;
  }

  // Changes labels, by target; null removes one. All changes of a call are one step of undo.
  set(changes, undoable = true) {
    const before = {};
    for (const target of Object.keys(changes)) before[target] = this.memory.get(target) || null;
    for (const [target, label] of Object.entries(changes)) this.#write(target, label);
    if (undoable) {
      this.steps.push(before);
      this.steps.splice(0, this.steps.length - UNDO_STEPS);
      this.#store("undo", JSON.stringify(this.steps));
    }
  }

  // Takes the last step back; returns its targets.
  undo() {
    const before = this.steps.pop();
    if (!before) return [];
    this.set(before, false);
    this.#store("undo", JSON.stringify(this.steps));
    return Object.keys(before);
  }

  place(part) {
    return Number(this.storage.getItem(`${this.prefix}place/${part}`) || 0);
  }

  setPlace(part, place) {
    this.#store(`place/${part}`, String(place));
  }

  #write(target, label) {
    if (label === null) {
      this.memory.delete(target);
      this.storage.removeItem(`${this.prefix}label/${target}`);
    } else {
      this.memory.set(target, label);
      this.#store(`label/${target}`, JSON.stringify(label));
    }
  }

  #store(key, text) {
    try {
      this.storage.setItem(this.prefix + key, text);
    } catch (error) {
      this.onFailure(`Not stored: the browser refuses (${error.name}). Save the CSV now.`);
    }
  }
}
