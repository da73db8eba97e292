// Data of a player inside a page from a disk: everything is in the page.

import { unpack } from "temporem/mesh";
import { Player } from "temporem/player";

class EmbeddedData {
  constructor(data) {
    this.data = data;
  }

  async describe() {
    return this.data.about;
  }

  async movie(index) {
    return this.data.movies[index];
  }

  async fetchMesh(panel, clip, frame, level) {
    const { start, step } = this.data.about.panels[panel].level;
    const text = this.data.meshes[`${panel}/${clip.id}/${frame}/${Math.round((level - start) / step)}`];
    if (!text) throw new Error("this level is not in the page");
    return unpack(text);
  }
}

// Start the player of an element, whose data lie beside it.
export async function start(name) {
  const data = JSON.parse(document.getElementById(`${name}-data`).textContent);
  const root = document.getElementById(name);
  const player = new Player(root, new EmbeddedData(data));
  root.player = player;
  try {
    await player.start();
    player.chooseMovies(data.about.movies);
  } catch (error) {
    player.say(error.message);
  }
}
