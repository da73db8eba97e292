// Timeline: one coordinate of the latents of all movies over time, with its posterior.

import { SvgContext, csv, saveText } from "temporem/figures";
import { PLOT, axes, bringBack, extent, keep, prepare, redraw, scale, tokens } from "temporem/draw";

const MOST_MOVIES = 300; // that are drawn behind the one that is shown
const BAND = 2; // standard deviations on each side
const HTML = `<div class="row"><label>coordinate <select></select></label>
  <span class="take"><button class="svg" type="button" title="Save this plot">SVG</button><button class="csv"
    type="button" title="Save the path of this movie">CSV</button></span></div>
<canvas class="plot" aria-label="Latents over time"></canvas>
<p class="hint soft"></p>`;

export class Timeline {
  constructor(root, player) {
    this.root = root;
    this.player = player;
    root.innerHTML = HTML;
    this.canvas = root.querySelector("canvas");
    this.select = root.querySelector("select");
    this.select.onchange = () => this.draw();
    root.querySelector(".svg").onclick = () => saveText(this.svg(), "image/svg+xml", "timeline.svg");
    root.querySelector(".csv").onclick = () => saveText(csv(this.table()), "text/csv", "timeline.csv");
    redraw(this.canvas, () => this.draw());
    player.addEventListener("frame", () => this.drawOver());
    this.canvas.onpointerdown = (event) => this._seek(event);
    this.canvas.onpointermove = (event) => event.buttons && this._seek(event);
  }

  show(latents) {
    this.latents = latents;
    this.select.replaceChildren(...latents.columns.map(({ name }) => new Option(name)));
    this.select.value = latents.q > 1 ? "PC1" : "z1";
    const band = latents.columns[0].sd ? ` Band: ± ${BAND} posterior standard deviations.` : "";
    const rings = latents.columns[0].predicted
      ? " Rings: frames that the movie lacks, predicted from those around them."
      : "";
    this.root.querySelector(".hint").textContent =
      `Other movies are faint.${band}${rings} Click to go to a frame.`;
    this.draw();
  }

  draw() {
    if (!this.latents || !this.canvas.clientWidth) return;
    const { context, width, height } = prepare(this.canvas);
    const { values } = this.latents.column(this.select.value);
    this.x = scale(extent(this.latents.time), PLOT.left, width - PLOT.right);
    this.y = scale(extent(values), height - PLOT.bottom, PLOT.top);
    this._all(context, width, height);
    this.base = keep(this.canvas);
    this.drawOver();
  }

  // The plot as SVG, as it is seen.
  svg() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const context = new SvgContext(width, height, tokens().ground);
    this._all(context, width, height);
    this._over(context);
    return context.document();
  }

  // The path of the movie that is shown, or of all if a path through the latents is.
  table() {
    const { movies } = this.player.about;
    const all = this.latents.table(movies);
    const { clip } = this.player;
    if (clip.kind !== "movie") return all;
    const table = Object.fromEntries(
      Object.entries(all).map(([name, values]) => [name, clip.rows.map((row) => values[row])]),
    );
    const lacking = this.latents.predictedOf(clip.id);
    return lacking.length ? this._withPredicted(table, lacking) : table;
  }

  // A table of a movie, with rows for the frames that it lacks.
  _withPredicted(table, lacking) {
    const known = { movie: () => table.movie[0], place: ({ place }) => place + 1 };
    known.seconds_since_first = ({ time }) => time;
    for (const { name, predicted } of this.latents.columns) {
      known[name] = ({ index }) => predicted.values[index];
      known[`${name}, sd`] = ({ index }) => predicted.sd[index];
    }
    const all = { ...table, predicted: table.movie.map(() => "no") };
    known.predicted = () => "yes";
    return Object.fromEntries(
      Object.entries(all).map(([name, values]) => [
        name,
        [...values, ...lacking.map((one) => known[name]?.(one) ?? "")],
      ]),
    );
  }

  // Frames of the movie that is shown, and those that it lacks, in order of time.
  _points(movie, own, { values, sd, predicted }) {
    const { time } = this.latents;
    const seen = own.map((row) => ({ time: time[row], value: values[row], sd: sd?.[row] }));
    const lacking = this.latents.predictedOf(movie).map(({ index, time }) => ({
      time,
      value: predicted?.values[index],
      sd: predicted?.sd[index],
      lacking: true,
    }));
    return [...seen, ...(predicted ? lacking : [])].sort((a, b) => a.time - b.time);
  }

  // Axes and the paths of all movies.
  _all(context, width, height) {
    const { rows } = this.latents;
    const { values, name } = this.latents.column(this.select.value);
    axes(context, this.x, this.y, [this.latents.timeColumn.name, name], { width, height });
    context.strokeStyle = tokens().soft;
    context.globalAlpha = Math.max(0.12, Math.min(0.4, 12 / rows.length));
    const step = Math.ceil(rows.length / MOST_MOVIES);
    rows.filter((_, i) => i % step === 0).forEach((movie) => this._line(context, movie, values));
    context.globalAlpha = 1;
  }

  _line(context, movie, values) {
    context.beginPath();
    for (const row of movie) context.lineTo(this.x(this.latents.time[row]), this.y(values[row]));
    context.stroke();
  }

  drawOver() {
    if (this.base) this._over(bringBack(this.canvas, this.base));
  }

  // The movie that is shown, its posterior and its frame.
  _over(context) {
    const height = this.canvas.clientHeight;
    const { time } = this.latents;
    const column = this.latents.column(this.select.value);
    const { values, sd } = column;
    const { mark, ink, ground } = tokens();
    const { clip, frame } = this.player;
    if (clip?.kind !== "movie") return;
    const own = clip.rows;
    const points = this._points(clip.id, own, column);
    if (sd) {
      context.globalAlpha = 0.2;
      context.fillStyle = mark;
      context.beginPath();
      const edge = ({ time, value, sd }, sign) =>
        context.lineTo(this.x(time), this.y(value + sign * BAND * sd));
      points.forEach((point) => edge(point, 1));
      [...points].reverse().forEach((point) => edge(point, -1));
      context.fill();
      context.globalAlpha = 1;
    }
    context.strokeStyle = mark;
    context.lineWidth = 2;
    this._line(context, own, values);
    context.fillStyle = ground;
    context.lineWidth = 1.5;
    for (const point of points.filter(({ lacking }) => lacking)) {
      context.beginPath();
      context.arc(this.x(point.time), this.y(point.value), 3.5, 0, 7);
      context.fill();
      context.stroke();
    }
    const now = Math.round(this.x(time[own[frame]])) + 0.5;
    context.strokeStyle = ink;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(now, PLOT.top);
    context.lineTo(now, height - PLOT.bottom);
    context.stroke();
    context.beginPath();
    context.arc(now, this.y(values[own[frame]]), 4.5, 0, 7);
    context.fillStyle = mark;
    context.fill();
    context.strokeStyle = ground;
    context.stroke();
  }

  _seek(event) {
    const { clip } = this.player;
    if (clip?.kind !== "movie" || !this.x) return;
    const wanted = this.x.back(event.offsetX);
    const away = clip.rows.map((row) => Math.abs(this.latents.time[row] - wanted));
    this.player.pause();
    this.player.seek(away.indexOf(Math.min(...away)));
  }
}
