// Latents of all frames of a run: columns of numbers, and the way from a place back to a latent.

import { json } from "temporem/server";

export async function loadLatents(panel) {
  return new Latents(panel, await json("latents", { panel }));
}

export class Latents {
  constructor(panel, sent) {
    this.panel = panel;
    this.movie = unpack(sent.movie, Uint32Array);
    this.place = unpack(sent.place, Uint32Array);
    this.mean = sent.mean;
    this.q = sent.mean.length;
    this.state = sent.state;
    this.scores = sent.scores; // of every movie, or null
    this.heldOut = new Set(sent.held_out);
    this.rows = []; // of every movie, in order of time
    this.movie.forEach((movie, row) => ((this.rows[movie] ??= [])[this.place[row]] = row));
    this.measured = sent.times !== null;
    this.time = Float32Array.from(this.movie, (movie, row) =>
      this.measured ? sent.times[row] - sent.times[this.rows[movie][0]] : this.place[row],
    );
    this.scored = this.scores && Float32Array.from(this.movie, (movie) => this.scores[movie] ?? NaN);
    const { predicted } = sent;
    this.columns = sent.names.map((name, i) => ({
      name,
      values: unpack(sent.values[i], Float32Array),
      sd: sent.deviations && unpack(sent.deviations[i], Float32Array),
      predicted: predicted && {
        values: unpack(predicted.values[i], Float32Array),
        sd: unpack(predicted.deviations[i], Float32Array),
      },
      direction: sent.directions[i],
      offset: sent.offsets[i],
    }));
    this._readPredicted(predicted);
    this.timeColumn = {
      name: this.measured ? "time (s)" : "frame",
      values: this.time,
      sd: null,
      direction: null,
    };
  }

  // Frames that a movie lacks: index in the predicted values, and time. None for most runs.
  predictedOf(movie) {
    return (this.lacking[movie] ??= []);
  }

  _readPredicted(sent) {
    this.lacking = [];
    if (!sent) return;
    const place = unpack(sent.place, Float32Array);
    const seconds = this.measured && unpack(sent.seconds, Float32Array);
    unpack(sent.movie, Uint32Array).forEach((movie, index) => {
      const time = (seconds || place)[index];
      this.predictedOf(movie).push({ index, time, place: place[index] });
    });
  }

  get all() {
    return [...this.columns, this.timeColumn];
  }

  column(name) {
    return this.all.find((column) => column.name === name);
  }

  // The latent nearest to the mean whose columns have some values.
  latentAt(columns, values) {
    const kept = columns.map((column, i) => ({ column, value: values[i] }));
    const real = kept.filter(({ column }) => column.direction !== null);
    const away = real.map(
      ({ column, value }) => value - column.offset - dot(column.direction, this.mean),
    );
    const [a, b] = real.map(({ column }) => column.direction);
    const z = [...this.mean];
    if (real.length === 0) return z;
    if (real.length === 1 || a.every((value, i) => value === b[i])) {
      return z.map((value, i) => value + (a[i] * away[0]) / dot(a, a));
    }
    const [aa, ab, bb] = [dot(a, a), dot(a, b), dot(b, b)];
    const det = aa * bb - ab * ab;
    if (Math.abs(det) < 1e-9) return z.map((value, i) => value + (a[i] * away[0]) / aa);
    const u = (bb * away[0] - ab * away[1]) / det;
    const v = (aa * away[1] - ab * away[0]) / det;
    return z.map((value, i) => value + u * a[i] + v * b[i]);
  }

  // Columns of all frames for a file.
  table(movies) {
    const found = { movie: Array.from(this.movie, (movie) => movies[movie].name) };
    found.place = Array.from(this.place, (place) => place + 1);
    if (this.measured) found.seconds_since_first = this.time;
    for (const { name, values, sd } of this.columns) {
      found[name] = values;
      if (sd) found[`${name}, sd`] = sd;
    }
    if (this.state) found[`true ${this.state.name}`] = this.state.values;
    if (this.scores) found["score of the movie, nats per frame"] = this.scored;
    return found;
  }

  // How far the latents of a movie spread, in standard deviations of those of all frames.
  motionOf(movie) {
    const own = this.columns.slice(0, this.q);
    this.spread ??= own.map(({ values }) => variance(values));
    const total = this.spread.reduce((sum, value) => sum + value, 0);
    const inside = own.map(({ values }) => variance(this.rows[movie].map((row) => values[row])));
    return Math.sqrt(inside.reduce((sum, value) => sum + value, 0) / Math.max(total, 1e-30));
  }
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function variance(values) {
  let [sum, squares] = [0, 0];
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (const value of values) squares += (value - mean) ** 2;
  return squares / values.length;
}

export function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}
