// Figures as SVG: those of the report in the colours of the page, and plots of the page recorded.

import { tokens } from "temporem/draw";
import { save } from "temporem/player";

const INK = "#1f2937"; // as in report/theme.py
const NAMESPACE = "http://www.w3.org/2000/svg";

export function saveText(text, type, name) {
  save(new Blob([text], { type }), name);
}

// A figure of the report as a file of its own: dark ink on white.
export function standalone(svg) {
  const begin = svg.indexOf(">") + 1;
  const ground = '<rect width="100%" height="100%" fill="#ffffff"/>';
  return (svg.slice(0, begin) + ground + svg.slice(begin)).replaceAll("currentColor", INK);
}

// The address of a figure in the colours of the page. It is an image, because the page's policy
// allows no styles inside the page itself.
export function themed(svg) {
  const text = svg.replaceAll("currentColor", tokens().ink);
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

// A drawing context that writes SVG: what the plots of this page use of a canvas, and no more.
export class SvgContext {
  constructor(width, height, ground) {
    this.parts = [];
    this.size = [width, height];
    this.ground = ground;
    this.state = { matrix: "", strokeStyle: "#000", fillStyle: "#000", lineWidth: 1 };
    Object.assign(this.state, { globalAlpha: 1, textAlign: "start", path: "" });
    this.stack = [];
    for (const name of Object.keys(this.state)) {
      Object.defineProperty(this, name, {
        get: () => this.state[name],
        set: (value) => (this.state[name] = value),
      });
    }
  }

  save() {
    this.stack.push({ ...this.state });
  }

  restore() {
    this.state = this.stack.pop();
  }

  translate(x, y) {
    this.matrix += `translate(${x} ${y})`;
  }

  rotate(angle) {
    this.matrix += `rotate(${(angle * 180) / Math.PI})`;
  }

  beginPath() {
    this.path = "";
  }

  moveTo(x, y) {
    this.path += `M${short(x)} ${short(y)}`;
  }

  lineTo(x, y) {
    this.path += `${this.path ? "L" : "M"}${short(x)} ${short(y)}`;
  }

  closePath() {
    this.path += "Z";
  }

  // Only whole circles are drawn.
  arc(x, y, r) {
    this.path += `M${short(x + r)} ${short(y)}a${r} ${r} 0 1 0 ${-2 * r} 0a${r} ${r} 0 1 0 ${2 * r} 0Z`;
  }

  stroke() {
    this._add(`<path d="${this.path}" fill="none" stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}"`);
  }

  fill() {
    this._add(`<path d="${this.path}" fill="${this.fillStyle}"`);
  }

  fillText(text, x, y) {
    const anchor = { center: "middle", right: "end" }[this.textAlign] ?? "start";
    const safe = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    this._add(`<text x="${short(x)}" y="${short(y)}" text-anchor="${anchor}" fill="${this.fillStyle}"`, `>${safe}</text>`);
  }

  _add(begin, end = "/>") {
    const alpha = this.globalAlpha < 1 ? ` opacity="${this.globalAlpha}"` : "";
    const turned = this.matrix ? ` transform="${this.matrix}"` : "";
    this.parts.push(begin + alpha + turned + end);
  }

  document() {
    const [width, height] = this.size;
    return (
      `<svg xmlns="${NAMESPACE}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
      `font-family="Liberation Sans, Arial, sans-serif" font-size="12">` +
      `<rect width="100%" height="100%" fill="${this.ground}"/>${this.parts.join("\n")}</svg>`
    );
  }
}

function short(value) {
  return Number(value.toFixed(2));
}

// Columns {name: values} as the text of a CSV file.
export function csv(columns) {
  const names = Object.keys(columns);
  const formula = (value) => typeof value === "string" && /^[=+@\t\r-]/.test(value) && Number.isNaN(Number(value));
  const cell = (value) => (formula(value) ? `'${value}` : Number.isNaN(value) ? "" : value);
  const quoted = (value) => (/[",\n]/.test(cell(value)) ? `"${cell(value).replaceAll('"', '""')}"` : cell(value));
  const n = columns[names[0]].length;
  const lines = Array.from({ length: n }, (_, i) => names.map((name) => quoted(columns[name][i])));
  return [names.map(quoted), ...lines].map((line) => line.join(",")).join("\n") + "\n";
}
