// The frame as observed, as the run predicts it, and what is left.

import { json } from "temporem/server";

const NAMES = ["observed", "predicted", "residual"];

export class Pictures {
  constructor(root, player) {
    this.root = root;
    this.player = player;
    this.panel = null;
    const row = document.createElement("div");
    row.className = "frames";
    for (const name of NAMES) {
      const figure = document.createElement("figure");
      const image = document.createElement("img");
      image.alt = `${name} frame`;
      image.className = name;
      const words = document.createElement("figcaption");
      words.textContent = name;
      figure.append(image, words);
      row.append(figure);
    }
    const hint = document.createElement("p");
    hint.className = "hint soft";
    root.append(row, hint);
    player.addEventListener("frame", () => this.show());
  }

  // Fetch the pictures of the newest frame; one at a time.
  async show() {
    if (this.panel === null || this.busy) return;
    this.busy = true;
    while (this.shown !== this._key()) {
      const { clip, frame } = this.player;
      const key = this._key();
      try {
        if (clip.kind !== "movie") throw new Error("A path has no observed frames.");
        this._fill(await json("pictures", { panel: this.panel, movie: clip.id, frame }));
      } catch (error) {
        this._empty(error.message);
      }
      this.shown = key;
    }
    this.busy = false;
  }

  _key() {
    const { clip, frame } = this.player;
    return clip.kind === "movie" ? `${this.panel}/${clip.id}/${frame}` : clip.id;
  }

  _fill(found) {
    this.root.classList.remove("empty");
    for (const name of NAMES) {
      this.root.querySelector(`.${name}`).src = `data:image/png;base64,${found[name]}`;
    }
    const factor = Number(found.contrast.toPrecision(2));
    this.root.querySelector(".hint").textContent =
      `Correlation within the window: ${found.correlation.toFixed(2)}. ` +
      `The prediction is shown with ${factor} × the contrast.`;
  }

  _empty(text) {
    this.root.classList.add("empty");
    for (const name of NAMES) this.root.querySelector(`.${name}`).removeAttribute("src");
    this.root.querySelector(".hint").textContent = text;
  }
}
