"use strict";
// Fills the figures that BokehJS draws (qnal/inspection/figures.py).

class Plots {
  constructor(lines, arms) {
    this.lines = lines;
    this.arms = arms;
    this.sigma = 5;
  }

  async draw(figures) {
    for (const [name, item] of Object.entries(figures)) {
      await Bokeh.embed.embed_item(item, name);
    }
    this.models = (name) => {
      for (const doc of Bokeh.documents) {
        const found = doc.get_model_by_name(name);
        if (found) return found;
      }
      throw new Error(`no model ${name}`);
    };
    this.plot = this.models("spectrum");
    this.rest = this.plot.extra_x_ranges instanceof Map
      ? this.plot.extra_x_ranges.get("rest") : this.plot.extra_x_ranges.rest;
    this.plot.x_range.on_change([this.plot.x_range.properties.start,
      this.plot.x_range.properties.end], () => this.#followRest());
  }

  show(spectrum) {
    this.spectrum = spectrum;
    this.smooth(this.sigma);
    this.#showEdges();
    this.zoomOut();
  }

  smooth(sigma) {
    this.sigma = sigma;
    for (const camera of this.arms) {
      const { wave, flux, noise } = this.spectrum[camera];
      const values = smoothed(flux, noise, sigma);
      this.models(camera).data = { wave, flux: sigma ? flux : flux.map(() => NaN), noise, smooth: values };
    }
  }

  showNoise(visible) {
    for (const camera of this.arms) this.models(`noise_${camera}`).visible = visible;
  }

  showLines(visible) {
    for (const name of ["emission", "absorption"]) {
      for (const part of ["lines", "labels"]) this.models(`${name}_${part}`).visible = visible;
    }
  }

  setRedshift(z) {
    this.z = z;
    const [first, last] = this.#extent();
    for (const [name, emission] of [["emission", true], ["absorption", false]]) {
      const seen = this.lines.filter(([, rest, kind]) =>
        kind === emission && rest * (1 + z) >= first && rest * (1 + z) <= last);
      this.models(name).data = {
        wave: seen.map(([, rest]) => rest * (1 + z)),
        label: seen.map(([label]) => label),
        // Neighbouring labels are at different heights.
        share: seen.map((_, k) => (emission ? 0.96 : 0.06) - (emission ? 1 : -1) * 0.04 * (k % 3)),
      };
    }
    this.#followRest();
    this.models("shown").location = z; // a dotted line in the members' histogram
  }

  zoomOut() {
    const [first, last] = this.#extent();
    const values = this.#wellMeasured().sort((a, b) => a - b);
    const at = (share) => values[Math.floor(share * (values.length - 1))] ?? 0;
    // Shows emission lines whole, but no residual that is much higher than all the rest.
    const low = Math.min(0, at(0.005));
    const high = Math.max(1e-3, Math.min(at(1), 25 * Math.max(at(0.9), 0)) || at(0.995));
    const margin = high - low;
    setRange(this.plot.x_range, first, last);
    setRange(this.plot.y_range, low - 0.08 * margin, high + 0.28 * margin);
  }

  showMembers(members) {
    const values = (members || []).filter(([z]) => Number.isFinite(z));
    const last = Math.max(1, ...values.map(([z]) => z)) * 1.05;
    const first = Math.min(0, ...values.map(([z]) => z));
    const bins = 50, width = (last - first) / bins;
    const counts = [new Array(bins).fill(0), new Array(bins).fill(0)];
    for (const [z, quasar] of values) {
      counts[quasar][Math.min(bins - 1, Math.floor((z - first) / width))]++;
    }
    const left = counts[0].map((_, k) => first + k * width);
    const right = left.map((value) => value + width);
    const total = counts[1].map((count, k) => count + counts[0][k]);
    this.models("quasar").data = { left, right, bottom: counts[1].map(() => 0), top: counts[1] };
    this.models("other").data = { left, right, bottom: counts[1], top: total };
    const plot = this.models("members");
    setRange(plot.x_range, first, last);
    setRange(plot.y_range, 0, Math.max(1, ...total) * 1.15);
  }

  // The smoothed flux of all pixels but the noisiest tenth of each camera.
  #wellMeasured() {
    return this.arms.flatMap((camera) => {
      const { flux, noise } = this.spectrum[camera];
      const known = noise.filter((value) => value > 0).sort();
      const limit = known[Math.floor(0.9 * (known.length - 1))];
      const values = smoothed(flux, noise, Math.max(this.sigma, 5));
      return [...values.filter((value, k) => Number.isFinite(value) && noise[k] <= limit)];
    });
  }

  // Where one camera ends and the next begins.
  #showEdges() {
    const edges = [];
    for (const [k, camera] of this.arms.entries()) {
      const { wave } = this.spectrum[camera];
      if (k > 0) edges.push([wave[0], `${camera} →`]);
      if (k < this.arms.length - 1) edges.push([wave[wave.length - 1], `← ${camera}`]);
    }
    this.models("edges").data = {
      wave: edges.map(([wave]) => wave),
      label: edges.map(([, label]) => label),
      share: edges.map((_, k) => 0.015 + 0.04 * (k % 2)),
    };
  }

  #extent() {
    return [this.spectrum[this.arms[0]].wave[0], this.spectrum[this.arms.at(-1)].wave.at(-1)];
  }

  #followRest() {
    const { start, end } = this.plot.x_range;
    this.rest.setv({ start: start / (1 + (this.z || 0)), end: end / (1 + (this.z || 0)) });
  }
}

function setRange(range, start, end) {
  range.setv({ start, end, reset_start: start, reset_end: end });
}

// Gaussian smoothing weighted by the inverse variance; pixels without data stay without.
function smoothed(flux, noise, sigma) {
  if (!sigma) return flux;
  const reach = Math.ceil(3 * sigma);
  const kernel = Array.from({ length: 2 * reach + 1 },
    (_, k) => Math.exp(-0.5 * ((k - reach) / sigma) ** 2));
  const weights = noise.map((value) => (value > 0 ? 1 / (value * value) : 0));
  return flux.map((value, at) => {
    if (!(weights[at] > 0)) return NaN;
    let sum = 0, weight = 0;
    const last = Math.min(flux.length - 1, at + reach);
    for (let k = Math.max(0, at - reach); k <= last; k++) {
      if (weights[k] > 0) {
        const w = weights[k] * kernel[k - at + reach];
        sum += w * flux[k];
        weight += w;
      }
    }
    return sum / weight;
  });
}
