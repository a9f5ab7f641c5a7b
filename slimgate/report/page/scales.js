/** The width of the charts in pixels: that of their place, so that their text is as large on a phone. */
let WIDTH = 900;
const widthOf = (host) => Math.min(1400, Math.max(320, host.clientWidth || 900));

/** Draws again when the window has become wider or narrower. */
function whenResized(host, draw) {
  let drawn = widthOf(host);
  new ResizeObserver(() => {
    if (Math.abs(widthOf(host) - drawn) < 8) return;
    drawn = widthOf(host);
    draw();
  }).observe(host);
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element with attributes and children. */
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Values from low to high onto places from start to end; ticks at round values. */
function linear(low, high, start, end) {
  const at = (value) => start + ((value - low) / (high - low || 1)) * (end - start);
  const rough = (high - low || 1) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9) + 1e-12; k += 1) {
    ticks.push(Number((k * step).toPrecision(12)));
  }
  return { at, ticks, low, high };
}

/** The same for ratios: equal factors are equally far apart. */
function logarithmic(low, high, start, end) {
  const inner = linear(Math.log(low), Math.log(high), start, end);
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of [1, 1.5, 2, 3, 5, 7]) all.push(Number((factor * 10 ** power).toPrecision(3)));
  }
  let ticks = all.filter((value) => value >= low && value <= high);
  if (ticks.length > 8) ticks = ticks.filter((value) => /^[0.]*[125]/.test(String(value)) && !/^[0.]*15/.test(String(value)));
  if (ticks.length < 2) ticks = linear(low, high, start, end).ticks;
  return { at: (value) => inner.at(Math.log(value)), ticks, low, high };
}

/** Numbers of an axis without needless zeros. */
const tickText = (value) => Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 4 });
