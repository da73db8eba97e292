// The player: surfaces of the frames of a movie, one panel a run, all in step.
//
// It takes its data from an object with three functions, so that a page from a disk plays too:
//   describe()                          → {panels, movies, view}
//   movie(index)                        → {name, rows, numbers, times or null}
//   fetchMesh(panel, clip, frame, level, look) → bytes of a mesh (viewing/meshes.py)
// A clip is {kind: "movie", id: index} or {kind: "path", id: name}. Levels are in σ. A look holds what
// else makes a mesh, one for each panel: the page of a server has colours and masks to choose from.

import { Clock } from "temporem/clock";
import { decodeMesh } from "temporem/mesh";
import { MOVING, STILL, Stage, makeGeometry } from "temporem/stage";
import { MeshStore } from "temporem/store";

const NEIGHBOURS = 2; // levels above and below that are fetched ahead
const BAR = 0.3; // longest scale bar, of a panel

const HTML = `
<div class="stage"><canvas tabindex="-1" aria-label="Surfaces of the volumes"></canvas>
  <div class="names"></div>
  <div class="corner bar"><span></span><i></i></div>
  <div class="corner key"><span>still</span><i></i><span>changes</span></div>
  <p class="said" role="status"></p></div>
<div class="controls">
  <button class="play" type="button" title="Play or pause (space)" aria-label="Play"></button>
  <label class="track"><input class="frame" type="range" min="0" value="0" step="1"
    aria-label="Frame"><i class="ready"></i></label>
  <output class="when"></output>
</div>
<div class="controls more">
  <label>level <input class="level" type="range" aria-label="Level"><output></output></label>
  <label>cut <input class="cut" type="range" min="0" max="1" step="0.01" value="0"
    aria-label="Cut away what is in front"></label>
  <label>speed <select class="speed" aria-label="Speed"></select></label>
  <label><input class="loop" type="checkbox" checked> loop</label>
  <label><input class="colour" type="checkbox" checked> colour changes</label>
  <button class="reset" type="button" title="Turn back to the first view">reset view</button>
  <button class="png" type="button" title="Save the picture">PNG</button>
</div>`;

export class Player extends EventTarget {
  // root: an empty element. keys: where keys are heard; root itself if a page has other uses.
  constructor(root, data, keys = root) {
    super();
    this.root = root;
    this.data = data;
    root.classList.add("player");
    root.tabIndex = 0;
    root.innerHTML = HTML;
    this.clip = null;
    this.looks = []; // of every panel
    this.playing = false;
    this._listen(keys);
  }

  get(name) {
    return this.root.querySelector(name);
  }

  async start(movie = 0) {
    this.say("measuring …");
    this.about = await this.data.describe();
    const { panels, view } = this.about;
    this.level = panels[0].level.start;
    this.stage = new Stage(this.get("canvas"), panels.length, view);
    this.stage.addEventListener("drawn", () => this._drawBar());
    this.stage.addEventListener("resized", () => this._placeNames());
    const onScreen = (geometry) => this.stage.surfaces.some((one) => one.surface.geometry === geometry);
    this.store = new MeshStore((...wish) => this.data.fetchMesh(...wish), onScreen);
    this.store.wanted = () => this._wishes();
    this.store.addEventListener("came", ({ detail }) => this._came(detail));
    this.root.style.setProperty("--panels", panels.length);
    this.root.style.setProperty("--still", css(STILL));
    this.root.style.setProperty("--moving", css(MOVING));
    for (const panel of panels) {
      const name = document.createElement("div");
      name.innerHTML = "<b></b> <span></span> <span class='note'></span>";
      name.firstChild.textContent = panel.kind === "truth" ? "truth" : panel.name;
      this.get(".names").append(name);
    }
    const slider = this.get(".level");
    const { low, high, step } = panels[0].level;
    // The first level is on the slider's grid.
    const [min, max] = [low, high].map((end) => this.level + Math.trunc((end - this.level) / step) * step);
    Object.assign(slider, { min, max, step });
    slider.parentElement.hidden = min === max;
    slider.value = this.level;
    await this.openMovie(movie);
  }

  async openMovie(index) {
    const movie = await this.data.movie(index);
    this.open({
      kind: "movie",
      id: index,
      name: movie.name,
      rows: movie.rows,
      times: movie.times,
      labels: movie.numbers.map((number) => `frame ${number}`),
      only: null, // all panels
    });
  }

  // Let the viewer choose among movies, where nothing else on the page does.
  chooseMovies(movies) {
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", "Movie");
    choice.append(...movies.map(({ name }, index) => new Option(name, index)));
    choice.onchange = () => this.openMovie(Number(choice.value));
    choice.hidden = movies.length < 2;
    this.get(".more").prepend(choice);
  }

  // Show a clip; `only` is the panel that a path belongs to.
  open(clip, frame = 0) {
    this.clip = clip;
    this.frames = clip.labels.length;
    this.clock = new Clock(clip.times, this.frames);
    this.get(".frame").max = this.frames - 1;
    this._fillSpeeds();
    this._placeNames();
    this.seek(frame);
    this._fetchAhead();
    this.dispatchEvent(new Event("clip"));
  }

  get frame() {
    return this.clock.frame;
  }

  seek(frame) {
    this.clock.seek(frame);
    this._show();
  }

  step(by) {
    this.pause();
    this.seek((this.frame + by + this.frames) % this.frames);
  }

  play() {
    if (this.playing || !this.clip) return;
    if (this.frame === this.frames - 1) this.clock.seek(0);
    this.playing = true;
    this._last = performance.now();
    this._button();
    requestAnimationFrame((now) => this._tick(now));
  }

  pause() {
    const stops = this.playing;
    this.playing = false;
    this._button();
    if (stops) this.dispatchEvent(new Event("pause"));
  }

  setLevel(level) {
    this.level = level;
    this.get(".level").value = level;
    this._show();
    this._fetchAhead();
    this.dispatchEvent(new Event("level"));
  }

  setLooks(looks) {
    this.looks = looks;
    this._show();
    this._fetchAhead();
  }

  // Level of a panel: as far above its own first level as that of the first panel.
  levelOf(panel, level = this.level) {
    const [first, own] = [this.about.panels[0].level, this.about.panels[panel].level];
    const steps = Math.round((level / first.start - 1) * (own.start / own.step) + 1e-9);
    return Math.max(own.start + steps * own.step, own.step / 2);
  }

  // Show a mesh that belongs to no clip, such as that of a latent under the pointer.
  preview(panel, bytes) {
    const geometry = makeGeometry(decodeMesh(bytes));
    this._forget = this._forget ?? [];
    this._forget.push(geometry);
    while (this._forget.length > 2) this._forget.shift().dispose();
    this.stage.show(panel, geometry);
  }

  say(text) {
    this.get(".said").textContent = text;
  }

  _panels() {
    const all = this.about.panels.map((_, i) => i);
    return this.clip.only === null ? all : [this.clip.only];
  }

  _wish(panel, frame, level = this.level) {
    const look = this.looks[panel] ?? {};
    return { panel, clip: this.clip, frame, level: this.levelOf(panel, level), look };
  }

  _show() {
    const frame = this.frame;
    let waiting = false;
    for (const panel of this.about.panels.map((_, i) => i)) {
      if (!this._panels().includes(panel)) {
        this.stage.show(panel, null);
        continue;
      }
      const kept = this.store.take(this._wish(panel, frame));
      if (kept) this.stage.show(panel, kept.geometry);
      else waiting = true;
    }
    this.shown = waiting ? this.shown : frame;
    if (waiting) this._fetchAhead();
    this.get(".frame").value = frame;
    this.get(".when").textContent = this._when(frame);
    this.get(".level").nextElementSibling.textContent = `${this.level.toFixed(2)} σ`;
    this._placeLevels();
    if (frame !== this._told || this.clip !== this._toldClip) {
      [this._told, this._toldClip] = [frame, this.clip];
      this.dispatchEvent(new Event("frame"));
    }
    return !waiting;
  }

  _when(frame) {
    const label = `${this.clip.labels[frame]} of ${this.frames}`;
    const time = this.clock.measured ? `${short(this.clip.times[frame])} s · ` : "";
    return `${this.clip.name} · ${time}${label}`;
  }

  _tick(now) {
    if (!this.playing) return;
    const seconds = Math.min((now - this._last) / 1000, 0.25);
    this._last = now;
    const before = this.clock.now;
    const goesOn = this.clock.advance(seconds * this.speed, this.get(".loop").checked);
    if (!this._show()) this.clock.now = before; // wait for a mesh that is not here yet
    else if (!goesOn) this.pause();
    requestAnimationFrame((then) => this._tick(then));
  }

  // Say how much is here, and fetch what is needed soon.
  _fetchAhead() {
    if (!this.clip || !this.stage) return;
    const here = (frame) => this._panels().every((panel) => this.store.has(this._wish(panel, frame)));
    let ready = 0;
    for (let frame = 0; frame < this.frames; frame += 1) ready += here(frame) ? 1 : 0;
    this.get(".ready").style.width = `${(100 * ready) / this.frames}%`;
    this.get(".ready").hidden = ready === this.frames;
    this.store.fetchAhead();
  }

  // This frame, the rest of the clip, then neighbouring levels of this frame.
  *_wishes() {
    for (let i = 0; i < this.frames; i += 1) {
      for (const panel of this._panels()) yield this._wish(panel, (this.frame + i) % this.frames);
    }
    if (!this.store.roomy || this.playing) return;
    const { min, max, step } = this.get(".level");
    for (let by = 1; by <= NEIGHBOURS; by += 1) {
      for (const level of [this.level + by * step, this.level - by * step]) {
        if (level < Number(min) || level > Number(max)) continue;
        for (const panel of this._panels()) yield this._wish(panel, this.frame, level);
      }
    }
  }

  _came({ clip, frame, fault }) {
    this.say(fault ? fault.message : "");
    if (this.clip === clip && this.frame === frame) this._show();
    this._fetchAhead();
  }

  _fillSpeeds() {
    const { values, best } = this.clock.speeds();
    const kept = values.includes(this.speed) ? this.speed : best;
    const word = (v) => (this.clock.measured ? `${short(v)} × real time` : `${short(v)} frames/s`);
    this.get(".speed").replaceChildren(...values.map((v) => new Option(word(v), v)));
    this.get(".speed").value = kept;
    this.speed = kept;
  }

  _placeNames() {
    if (!this.stage) return;
    const { columns } = this.stage;
    const rows = Math.ceil(this.about.panels.length / columns);
    [...this.get(".names").children].forEach((name, i) => {
      name.style.left = `${(100 * (i % columns)) / columns}%`;
      name.style.top = `${(100 * Math.floor(i / columns)) / rows}%`;
      name.style.maxWidth = `${100 / columns}%`;
      name.classList.toggle("off", this.clip !== null && !this._panels().includes(i));
    });
  }

  _placeLevels() {
    [...this.get(".names").children].forEach((name, i) => {
      const side = this.about.panels[i].dark ? ", dark side" : "";
      name.children[1].textContent = `${this.levelOf(i).toFixed(2)} σ${side}`;
    });
  }

  _drawBar() {
    const bar = this.get(".bar");
    const longest = (BAR * this.stage.width * this.stage.scale) / this.stage.columns;
    const power = 10 ** Math.floor(Math.log10(longest));
    const length = [5, 2, 1].map((v) => v * power).find((v) => v <= longest * (1 + 1e-9));
    bar.lastChild.style.width = `${length / this.stage.scale}px`;
    bar.firstChild.textContent = length >= 100 ? `${length / 10} nm` : `${short(length)} Å`;
  }

  _button() {
    const button = this.get(".play");
    button.classList.toggle("playing", this.playing);
    button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }

  _listen(keys) {
    const on = (name, event, act) => this.get(name).addEventListener(event, act);
    on(".play", "click", () => (this.playing ? this.pause() : this.play()));
    on(".frame", "input", (event) => {
      this.pause();
      this.seek(Number(event.target.value));
    });
    on(".level", "input", (event) => this.setLevel(Number(event.target.value)));
    on(".cut", "input", (event) => (this.stage.cut = Number(event.target.value)));
    on(".speed", "change", (event) => (this.speed = Number(event.target.value)));
    on(".colour", "change", (event) => {
      this.stage.colouring = event.target.checked;
      this.get(".key").hidden = !event.target.checked;
    });
    on(".reset", "click", () => this.stage.reset());
    on(".png", "click", () => this.savePicture());
    keys.addEventListener("keydown", (event) => this._key_pressed(event));
  }

  _key_pressed(event) {
    if (!this.clip || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    const typing = at.matches?.("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (typing || (event.key === " " && at.matches?.("button, summary, a, [type=checkbox]"))) return;
    const { step } = this.about.panels[0].level;
    const acts = {
      " ": () => (this.playing ? this.pause() : this.play()),
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      Home: () => this.seek(0),
      End: () => this.seek(this.frames - 1),
      "+": () => this._changeLevel(step),
      "-": () => this._changeLevel(-step),
    };
    const other = at.matches?.("[type=range]") && !at.matches(".frame") && event.key !== " ";
    if (!acts[event.key] || other) return;
    event.preventDefault();
    acts[event.key]();
  }

  _changeLevel(by) {
    const { min, max } = this.get(".level");
    this.setLevel(Math.min(Number(max), Math.max(Number(min), this.level + by)));
  }

  async savePicture() {
    const ground = getComputedStyle(this.get(".stage")).backgroundColor;
    const name = `${this.clip.name ?? this.clip.kind}_${this.clip.labels[this.frame]}`;
    save(await this.stage.png(ground), `${name.replace(/[^\w.-]+/g, "_")}.png`);
  }
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function css(colour) {
  return `rgb(${colour.map((part) => Math.round(255 * part)).join(" ")})`;
}

export function short(value) {
  return String(Number(value.toPrecision(4)));
}
