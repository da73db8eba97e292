// What is taken away from the player: the volume as a file, and what is seen as a movie.

import { ask } from "temporem/server";
import { save } from "temporem/player";

const BUTTONS = {
  MP4: "Save this movie or path, from this side, as a movie",
  GIF: "Save this movie or path, from this side, as an animated picture",
  MRC: "Save the volume of the first panel",
};

export class Takeaway {
  constructor(player) {
    this.player = player;
    const all = document.createElement("span");
    all.className = "saves";
    player.get(".more").append(all);
    all.append(player.get(".png"));
    for (const [name, title] of Object.entries(BUTTONS)) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: name, title });
      button.className = name.toLowerCase();
      button.onclick = () => (name === "MRC" ? this._volume() : this._movie(name.toLowerCase()));
      all.append(button);
    }
  }

  // Which volume is shown, for the server.
  get here() {
    const { clip, frame } = this.player;
    return { panel: clip.only ?? 0, [clip.kind]: clip.id, frame };
  }

  _volume() {
    const link = document.createElement("a");
    link.href = `./volume.mrc?${new URLSearchParams(this.here)}`;
    link.download = "";
    link.click();
  }

  // The server draws it, as temporem export does; it takes some tenths of a second a volume.
  async _movie(kind) {
    const { player } = this;
    const { clip, clock, stage } = player;
    const panels = clip.only === null ? player.about.panels.map((_, i) => i) : [clip.only];
    player.pause();
    const buttons = [".mp4", ".gif"].map((name) => player.get(name));
    buttons.forEach((button) => (button.disabled = true));
    player.say(`Drawing ${player.frames} volumes …`);
    try {
      const answer = await ask(`movie.${kind}`, {
        panel: clip.only ?? 0,
        [clip.kind]: clip.id,
        levels: panels.map((panel) => player.levelOf(panel)),
        masks: panels.map((panel) => player.looks[panel]?.mask ?? 0),
        plain: !stage.colouring,
        camera: stage.camera12.map((value) => value.toPrecision(7)),
        speed: player.speed / clock.interval,
      });
      const name = String(clip.name).replace(/[^\w.-]+/g, "_");
      save(await answer.blob(), `${name}.${kind}`);
      player.say("");
    } catch (error) {
      player.say(error.message);
    }
    buttons.forEach((button) => (button.disabled = false));
  }
}
