// Latent space: all frames of a run as points; pick one, lasso some, or draw a path through it.

import { SvgContext, csv, saveText } from "temporem/figures";
import { PLOT, axes, bringBack, extent, keep, prepare, redraw, scale, tokens } from "temporem/draw";
import { ask, json } from "temporem/server";
import { save } from "temporem/player";

const NEAR = 20; // pixels within which a click finds a point
const STEPS = 24; // volumes of a path
const KEY = 60; // width of the key of colours, pixels
const HTML = `
<div class="row">
  <span class="tools" role="radiogroup" aria-label="What the pointer does">
    <label><input type="radio" name="tool" value="pick" checked> pick</label>
    <label><input type="radio" name="tool" value="lasso"> lasso</label>
    <label><input type="radio" name="tool" value="path"> path</label>
  </span>
  <label>colour <select class="by"></select></label>
</div>
<canvas class="plot" aria-label="Latents of all frames"></canvas>
<div class="row"><label>x <select class="x"></select></label> <label>y <select class="y"></select></label>
  <span class="take"><button class="svg" type="button" title="Save this plot">SVG</button><button class="csv"
    type="button" title="Save the latents of all frames">CSV</button></span>
  <button class="star" type="button" hidden></button></div>
<p class="hint soft" role="status"></p>`;
const HINTS = {
  pick: "Click a point to see its movie from that frame.",
  lasso: "Draw around frames to select them.",
  path: "Draw a path; its volumes are decoded while you draw.",
};

export class Scatter extends EventTarget {
  constructor(root, player, colours) {
    super();
    this.root = root;
    this.player = player;
    this.colours = colours;
    root.innerHTML = HTML;
    this.canvas = root.querySelector("canvas");
    this.selected = null; // rows
    this.path = null; // {points, id}: values of the two columns
    this.clusters = null; // {label, nearest}: of every frame, and row of each centre
    this.stroke = []; // pixels of what is being drawn
    redraw(this.canvas, () => this.draw());
    for (const name of [".by", ".x", ".y"]) this.get(name).onchange = () => this.draw();
    root.querySelectorAll("[name=tool]").forEach((tool) => (tool.onchange = () => this.hint()));
    this.get(".star").onclick = () => this.saveSelection();
    this.get(".svg").onclick = () => saveText(this.svg(), "image/svg+xml", "latents.svg");
    this.get(".csv").onclick = () => saveText(csv(this.latents.table(player.about.movies)), "text/csv", "latents.csv");
    this.canvas.onpointerdown = (event) => this._down(event);
    this.canvas.onpointermove = (event) => this._move(event);
    this.canvas.onpointerup = (event) => this._up(event);
    player.addEventListener("frame", () => this.drawOver());
  }

  get(name) {
    return this.root.querySelector(name);
  }

  get tool() {
    return this.root.querySelector("[name=tool]:checked").value;
  }

  show(latents) {
    this.latents = latents;
    this.selected = null;
    this.path = null;
    this.clusters = null;
    const names = latents.all.map(({ name }) => name);
    for (const name of [".x", ".y"]) {
      this.get(name).replaceChildren(...names.map((one) => new Option(one)));
    }
    const plane = latents.q === 1 ? [latents.timeColumn.name, "z1"] : ["z1", "z2"];
    [this.get(".x").value, this.get(".y").value] = latents.q > 2 ? ["PC1", "PC2"] : plane;
    this._fillWays(latents.state?.name ?? "time");
    this.hint();
    this.draw();
  }

  _fillWays(chosen) {
    const { state, scored } = this.latents;
    const ways = ["time", "movie"];
    if (state) ways.push(state.name);
    if (scored) ways.push("likelihood");
    if (this.clusters) ways.push("cluster");
    this.get(".by").replaceChildren(...[...ways, "nothing"].map((one) => new Option(one)));
    this.get(".by").value = chosen;
  }

  // Colour frames by their cluster; null for none.
  showClusters(clusters) {
    this.clusters = clusters;
    this._fillWays(clusters ? "cluster" : (this.latents.state?.name ?? "time"));
    this.draw();
  }

  hint(text = HINTS[this.tool]) {
    this.get(".hint").textContent = text;
    const n = this.selected?.length ?? 0;
    this.get(".star").hidden = n === 0;
    this.get(".star").textContent = `save ${n} frames as STAR`;
  }

  get plane() {
    return [this.latents.column(this.get(".x").value), this.latents.column(this.get(".y").value)];
  }

  draw() {
    if (!this.latents || !this.canvas.clientWidth) return;
    const { context, width, height } = prepare(this.canvas);
    const [across, along] = this.plane;
    this.x = scale(extent(across.values), PLOT.left, width - PLOT.right);
    this.y = scale(extent(along.values), height - PLOT.bottom, PLOT.top);
    axes(context, this.x, this.y, [across.name, along.name], { width, height });
    this._points(context, across.values, along.values);
    this.base = keep(this.canvas);
    this.drawOver();
  }

  // The plot as SVG, as it is seen.
  svg() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const context = new SvgContext(width, height, tokens().ground);
    const [across, along] = this.plane;
    axes(context, this.x, this.y, [across.name, along.name], { width, height });
    this._points(context, across.values, along.values);
    this._current(context, across.values, along.values);
    this._strokes(context);
    return context.document();
  }

  // What changes while a movie plays or a line is drawn; the points stay.
  drawOver() {
    if (!this.base) return;
    const context = bringBack(this.canvas, this.base);
    this._current(context, ...this.plane.map(({ values }) => values));
    this._strokes(context);
  }

  _points(context, u, v) {
    const chosen = this.selected && new Set(this.selected);
    const groups = new Map();
    const radius = Math.max(1.2, Math.min(3, 60 / Math.sqrt(u.length)));
    for (let row = 0; row < u.length; row += 1) {
      const colour = this._colour(row);
      const key = chosen && !chosen.has(row) ? "faded" : colour;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(row);
    }
    const { soft } = tokens();
    for (const [key, rows] of groups) {
      context.globalAlpha = key === "faded" ? 0.25 : 0.85;
      context.fillStyle = key === "faded" ? soft : key;
      context.beginPath();
      for (const row of rows) {
        const [px, py] = [this.x(u[row]), this.y(v[row])];
        context.moveTo(px + radius, py);
        context.arc(px, py, radius, 0, 7);
      }
      context.fill();
    }
    context.globalAlpha = 1;
    this._key(context);
    if (this.get(".by").value === "cluster") this._centres(context, u, v);
  }

  // Numbers of the clusters at the frames nearest to their centres.
  _centres(context, u, v) {
    const { ink, ground } = tokens();
    context.textAlign = "center";
    this.clusters.nearest.forEach((row, i) => {
      const [px, py] = [this.x(u[row]), this.y(v[row])];
      dot(context, px, py, ground, this._colour(row), 9);
      context.fillStyle = ink;
      context.fillText(String(i + 1), px, py + 4);
    });
  }

  _colour(row) {
    const { scale: shades, classes } = this.colours;
    const by = this.get(".by").value;
    if (by === "movie") return classes[this.latents.movie[row] % classes.length];
    if (by === "cluster") return classes[this.clusters.label[row] % classes.length];
    if (by === "nothing") return classes[0];
    const values = this._shaded;
    if (Number.isNaN(values[row])) return tokens().line; // a movie that was not scored
    const [low, high] = this._rangeOf(values);
    return shades[Math.round(((values[row] - low) / (high - low)) * (shades.length - 1))];
  }

  // Numbers of all frames that colours stand for; undefined where colours are names.
  get _shaded() {
    const { time, state, scored } = this.latents;
    return { time, likelihood: scored, [state?.name]: state?.values }[this.get(".by").value];
  }

  _rangeOf(values) {
    if (this._of !== values) [this._of, this._range] = [values, extent(values)];
    return this._range;
  }

  // What the colours stand for, above the right end of the plot.
  _key(context) {
    if (!this._shaded) return;
    const { scale: shades } = this.colours;
    const [low, high] = this._rangeOf(this._shaded).map((value) => String(Number(value.toPrecision(3))));
    const timed = this.get(".by").value === "time" && this.latents.measured;
    const words = timed ? `${high} s` : high;
    const right = this.canvas.clientWidth - PLOT.right - 7 * words.length - 6;
    const step = KEY / shades.length;
    shades.forEach((shade, i) => {
      const [from, to] = [right - KEY + i * step, right - KEY + (i + 1) * step + 0.3]; // no seams
      context.fillStyle = shade;
      context.beginPath();
      for (const [x, y] of [[from, 1], [to, 1], [to, 8], [from, 8]]) context.lineTo(x, y);
      context.fill();
    });
    context.fillStyle = tokens().soft;
    context.textAlign = "right";
    context.fillText(low, right - KEY - 5, 9);
    context.fillText(words, this.canvas.clientWidth - PLOT.right, 9);
  }

  // The movie that is shown, and its frame.
  _current(context, u, v) {
    const { clip, frame } = this.player;
    if (clip?.kind !== "movie") return;
    const { ink, ground } = tokens();
    context.strokeStyle = ink;
    context.lineWidth = 1.2;
    context.beginPath();
    for (const row of clip.rows) context.lineTo(this.x(u[row]), this.y(v[row]));
    context.stroke();
    dot(context, this.x(u[clip.rows[frame]]), this.y(v[clip.rows[frame]]), ink, ground);
  }

  _strokes(context) {
    const { mark, ground } = tokens();
    context.strokeStyle = mark;
    context.lineWidth = 2;
    const points = this.stroke.length ? this.stroke : this._pathPixels();
    context.beginPath();
    for (const [px, py] of points) context.lineTo(px, py);
    if (this.stroke.length && this.tool === "lasso") context.closePath();
    context.stroke();
    if (this.player.clip?.id === this.path?.id && !this.stroke.length && points.length) {
      dot(context, ...points[this.player.frame], mark, ground);
    }
  }

  _pathPixels() {
    const same = this.path && this.path.plane.every((one, i) => one === this.plane[i].name);
    return same ? this.path.points.map(([u, v]) => [this.x(u), this.y(v)]) : [];
  }

  _down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.stroke = [[event.offsetX, event.offsetY]];
    if (this.tool === "path") this._preview();
  }

  _move(event) {
    if (!this.stroke.length || this.tool === "pick") return;
    const [x, y] = this.stroke.at(-1);
    if (Math.hypot(event.offsetX - x, event.offsetY - y) < 3) return;
    this.stroke.push([event.offsetX, event.offsetY]);
    this.drawOver();
    if (this.tool === "path") this._preview();
  }

  async _up() {
    const stroke = this.stroke;
    this.stroke = [];
    if (this.tool === "pick") this._pick(stroke[0]);
    else if (this.tool === "lasso") this._lasso(stroke);
    else await this._openPath(stroke);
    this.draw();
  }

  _pick([px, py]) {
    const [u, v] = this.plane.map(({ values }) => values);
    let [best, least] = [-1, NEAR];
    for (let row = 0; row < u.length; row += 1) {
      const away = Math.hypot(this.x(u[row]) - px, this.y(v[row]) - py);
      if (away < least) [best, least] = [row, away];
    }
    if (best < 0) return;
    const detail = { movie: this.latents.movie[best], frame: this.latents.place[best] };
    this.dispatchEvent(new CustomEvent("pick", { detail }));
  }

  _lasso(polygon) {
    const [u, v] = this.plane.map(({ values }) => values);
    const found = [];
    for (let row = 0; row < u.length; row += 1) {
      if (inside(polygon, this.x(u[row]), this.y(v[row]))) found.push(row);
    }
    this.selected = found.length ? found : null;
    this.hint(found.length ? `${found.length} frames are selected.` : "No frame is inside.");
  }

  async saveSelection() {
    const query = { panel: this.latents.panel };
    const options = { method: "POST", body: JSON.stringify(this.selected) };
    try {
      const answer = await ask("selection.star", query, options);
      const name = /filename="(.*)"/.exec(answer.headers.get("content-disposition"))[1];
      save(await answer.blob(), name);
    } catch (error) {
      this.hint(error.message);
    }
  }

  _latent([px, py]) {
    return this.latents.latentAt(this.plane, [this.x.back(px), this.y.back(py)]);
  }

  // Decode the volume under the pointer; one at a time, always the newest place.
  async _preview() {
    if (this.decoding) return;
    this.decoding = true;
    const { panel } = this.latents;
    this.player.pause();
    while (this.stroke.length && this.stroke.at(-1) !== this._seen) {
      this._seen = this.stroke.at(-1);
      const z = this._latent(this._seen).map((value) => value.toPrecision(6));
      const started = performance.now();
      try {
        const answer = await ask("mesh", { panel, z, level: this.player.levelOf(panel), ...this.player.looks[panel] });
        const bytes = await answer.arrayBuffer();
        if (this.stroke.length) this.player.preview(panel, bytes);
        this.decodeSeconds = (performance.now() - started) / 1000;
        this.decoded = (this.decoded ?? 0) + 1;
      } catch (error) {
        this.hint(error.message);
        break;
      }
    }
    this.decoding = false;
  }

  async _openPath(stroke) {
    const pixels = resample(stroke, STEPS);
    if (!pixels) return this.player.seek(this.player.frame);
    const { panel } = this.latents;
    const points = pixels.map((at) => this._latent(at).map((value) => value.toPrecision(6)));
    try {
      const path = await json("path", { panel, points: points.join(";") });
      const values = pixels.map(([px, py]) => [this.x.back(px), this.y.back(py)]);
      this.path = { id: path.id, points: values, plane: this.plane.map(({ name }) => name) };
      const clip = { kind: "path", id: path.id, name: "path", labels: path.labels, times: null };
      this.player.open({ ...clip, only: panel });
      this.player.play();
      this.hint(path.caution ?? undefined);
    } catch (error) {
      this.hint(error.message);
    }
  }
}

function dot(context, x, y, fill, edge, radius = 5) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fillStyle = fill;
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = edge;
  context.stroke();
}

// A point lies inside if a ray from it crosses the polygon an odd number of times.
export function inside(polygon, x, y) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}

// Points evenly spaced along a line; null if it has no length.
export function resample(line, n) {
  const along = [0];
  for (let i = 1; i < line.length; i += 1) {
    const [[ax, ay], [bx, by]] = [line[i - 1], line[i]];
    along.push(along[i - 1] + Math.hypot(bx - ax, by - ay));
  }
  const length = along.at(-1);
  if (length < 5) return null;
  return Array.from({ length: n }, (_, k) => {
    const at = (length * k) / (n - 1);
    let i = along.findIndex((value) => value >= at - 1e-9);
    i = i < 1 ? 1 : i;
    const share = (at - along[i - 1]) / (along[i] - along[i - 1] || 1);
    return line[i].map((value, axis) => line[i - 1][axis] + share * (value - line[i - 1][axis]));
  });
}
