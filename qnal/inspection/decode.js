"use strict";
// Data of the page: base64 of gzip, in script blocks that are not run (qnal/inspection/packed.py).

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function block(name) {
  return document.getElementById(name).textContent;
}

async function unpackedJson(name) {
  return JSON.parse(new TextDecoder().decode(await unpacked(block(name))));
}

async function unpackedWave(text) {
  const bytes = await unpacked(text);
  return new Float32Array(bytes.buffer, 0, bytes.length / 4);
}

// IEEE 754 half precision: 1 sign bit, 5 bits of exponent, 10 of fraction.
function half(word) {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 31;
  const fraction = word & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const HALF = Float32Array.from({ length: 65536 }, (_, word) => half(word));

// Flux and noise of each camera, by the lengths of the cameras' wavelengths.
async function unpackedSpectrum(place, waves) {
  const bytes = await unpacked(block(`spectrum${place}`));
  const words = bytes.length / 2;
  const values = new Float32Array(words);
  for (let k = 0; k < words; k++) values[k] = HALF[(bytes[k] << 8) | bytes[words + k]];
  const spectrum = {};
  let start = 0;
  for (const [camera, wave] of Object.entries(waves)) {
    const end = start + wave.length;
    spectrum[camera] = {
      wave,
      flux: values.subarray(start, end),
      noise: values.subarray(words / 2 + start, words / 2 + end),
    };
    start = end;
  }
  return spectrum;
}
