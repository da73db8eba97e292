// Clusters of the latents: a volume of each, and the frames in their colours.

import { unpack } from "temporem/latents";
import { json } from "temporem/server";

const NUMBERS = ["no", 2, 3, 4, 5, 6];

export class Clusters {
  // root: an empty element; scatter: whose frames are coloured.
  constructor(root, player, scatter) {
    this.root = root;
    this.player = player;
    this.scatter = scatter;
    root.innerHTML = `<div class="row"><label><select></select> clusters</label></div>
      <div class="strip"></div>`;
    this.select = root.querySelector("select");
    this.select.replaceChildren(...NUMBERS.map((number) => new Option(number)));
    this.select.onchange = () => this.choose();
    player.addEventListener("frame", () => this._mark());
  }

  show(latents) {
    this.latents = latents;
    this.select.value = NUMBERS[0];
    this.clip = null;
    this._strip([]);
  }

  async choose() {
    const { latents, player } = this;
    const k = Number(this.select.value);
    if (Number.isNaN(k)) {
      this.scatter.showClusters(null);
      this._strip([]);
      if (player.clip.id === this.clip?.id) await player.openMovie(0);
      return;
    }
    try {
      const found = await json("clusters", { panel: latents.panel, k });
      if (this.latents !== latents || Number(this.select.value) !== k) return;
      const label = unpack(found.label, Uint32Array);
      this.scatter.showClusters({ label, nearest: found.nearest });
      this.clip = { kind: "path", id: found.id, name: "clusters", labels: found.labels, times: null };
      this._strip(found.pictures, found.sizes);
      const n = found.sizes.length;
      if (n < k) this.scatter.hint(`The frames have only ${n} different latents.`);
    } catch (error) {
      this.scatter.hint(error.message);
    }
  }

  _strip(pictures, sizes = []) {
    const { classes } = this.player.about.colours;
    const buttons = pictures.map((picture, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `Show the volume of cluster ${i + 1}`;
      button.style.borderColor = classes[i % classes.length];
      const image = Object.assign(new Image(), { src: `data:image/png;base64,${picture}`, alt: "" });
      button.append(image, `${i + 1}: ${sizes[i]} frames`);
      button.onclick = () => this._open(i);
      return button;
    });
    this.root.querySelector(".strip").replaceChildren(...buttons);
    this._mark();
  }

  _open(i) {
    const { player } = this;
    player.pause();
    if (player.clip.id === this.clip.id) player.seek(i);
    else player.open({ ...this.clip, only: this.latents.panel }, i);
  }

  _mark() {
    const shown = this.clip && this.player.clip?.id === this.clip.id ? this.player.frame : -1;
    [...this.root.querySelector(".strip").children].forEach((button, i) =>
      button.classList.toggle("shown", i === shown),
    );
  }
}
