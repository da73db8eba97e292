// Colour and mask of the surfaces: one choice for all panels; each panel shows what its run knows.

import { json } from "temporem/server";

const MOTION = "motion";
const PLAIN = "nothing";

export class Looks {
  // panels: as described by the server, with the names of their colours and masks.
  constructor(player, panels) {
    this.player = player;
    this.panels = panels;
    const more = player.get(".more");
    const names = (key) => [...new Set(panels.flatMap((panel) => panel[key]))];
    this.colour = select("colour", [MOTION, ...names("colours"), PLAIN]);
    this.mask = select("mask", ["none", ...names("masks")]);
    this.mask.parentElement.hidden = names("masks").length === 0;
    more.querySelector(".colour").parentElement.replaceWith(this.colour.parentElement);
    this.colour.parentElement.after(this.mask.parentElement);
    this.colour.onchange = () => this.apply();
    this.mask.onchange = () => this.apply();
    this.hint = document.createElement("p");
    this.hint.className = "hint soft";
    this.hint.hidden = true;
    more.after(this.hint);
  }

  async apply() {
    const { player, panels } = this;
    const name = this.colour.value;
    const known = panels.map(({ colours }) => colours.indexOf(name) + 1); // 0 for motion
    const uncertain = name !== MOTION && name !== PLAIN;
    player.stage.colouring = name !== PLAIN;
    player.get(".key").hidden = name === PLAIN;
    const [low, high] = player.get(".key").querySelectorAll("span");
    [low.textContent, high.textContent] = uncertain ? ["certain", "uncertain"] : ["still", "changes"];
    panels.forEach((_, i) => player.stage.colourPanel(i, !uncertain || known[i] > 0));
    player.setLooks(
      panels.map(({ masks }, i) => ({
        colour: uncertain ? known[i] : 0,
        mask: masks.indexOf(this.mask.value) + 1,
      })),
    );
    let notes = panels.map(() => null);
    if (uncertain) {
      player.say("measuring …");
      const ask = (i) => (known[i] ? json("colour", { panel: i, colour: known[i] }) : null);
      try {
        notes = await Promise.all(panels.map((_, i) => ask(i)));
        player.say("");
      } catch (error) {
        player.say(error.message);
      }
    }
    if (this.colour.value !== name) return;
    [...player.get(".names").children].forEach((one, i) => {
      const note = notes[i] ? `· full colour at ${notes[i].full}` : uncertain ? "· not known" : "";
      one.querySelector(".note").textContent = note;
    });
    this.hint.textContent = notes.find(Boolean)?.words ?? "";
    this.hint.hidden = !this.hint.textContent;
  }
}

function select(name, values) {
  const label = document.createElement("label");
  const choice = document.createElement("select");
  choice.className = `of-${name}`;
  choice.append(...values.map((value) => new Option(value)));
  label.append(`${name} `, choice);
  return choice;
}
