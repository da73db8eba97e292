// Drawing of plots: colours of the page, axes, and a canvas that is sharp on every screen.

export function tokens() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ground", "ink", "soft", "line", "tint", "mark"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// A context whose unit is a pixel of the page.
export function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = Math.min(window.devicePixelRatio, 2);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, 'Liberation Sans', sans-serif";
  return { context, width, height };
}

// What is drawn now, to be brought back before something else is drawn on top.
export function keep(canvas) {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

export function bringBack(canvas, copy) {
  const context = canvas.getContext("2d");
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "copy";
  context.drawImage(copy, 0, 0);
  context.restore();
  return context;
}

// Draw again when the size of a canvas or the colours of the page change.
export function redraw(canvas, draw) {
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value; // never true of what is not known, NaN
    if (value > high) high = value;
  }
  return low < high ? [low, high] : [low - 0.5, low + 0.5];
}

// A scale from values to pixels that leaves a margin at both ends.
export function scale([low, high], from, to) {
  const margin = 0.05 * (high - low);
  const [a, b] = [low - margin, high + margin];
  const to_pixel = (value) => from + ((value - a) / (b - a)) * (to - from);
  to_pixel.back = (pixel) => a + ((pixel - from) / (to - from)) * (b - a);
  to_pixel.range = [a, b];
  return to_pixel;
}

export function ticks([low, high], most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((v) => v * power).find((v) => v >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(i * step);
  return { found, word: (value) => String(Number(value.toPrecision(3))) };
}

export const PLOT = { left: 44, right: 10, top: 10, bottom: 34 };

// Grid, numbers and names of two axes.
export function axes(context, x, y, names, { width, height }) {
  const colours = tokens();
  context.strokeStyle = colours.line;
  context.fillStyle = colours.soft;
  context.lineWidth = 1;
  const across = ticks(x.range, Math.max(2, width / 90));
  const along = ticks(y.range, Math.max(2, height / 60));
  context.beginPath();
  context.textAlign = "center";
  for (const value of across.found) {
    const at = Math.round(x(value)) + 0.5;
    context.moveTo(at, PLOT.top);
    context.lineTo(at, height - PLOT.bottom);
    context.fillText(across.word(value), at, height - PLOT.bottom + 14);
  }
  context.textAlign = "right";
  for (const value of along.found) {
    const at = Math.round(y(value)) + 0.5;
    context.moveTo(PLOT.left, at);
    context.lineTo(width - PLOT.right, at);
    context.fillText(along.word(value), PLOT.left - 5, at + 4);
  }
  context.stroke();
  context.fillStyle = colours.ink;
  context.textAlign = "center";
  context.fillText(names[0], (PLOT.left + width - PLOT.right) / 2, height - 4);
  context.save();
  context.translate(11, (PLOT.top + height - PLOT.bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(names[1], 0, 0);
  context.restore();
}
