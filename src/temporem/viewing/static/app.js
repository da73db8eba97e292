// The page of temporem view: the player, and what stands beside it.

import { loadLatents } from "temporem/latents";
import { MovieTable } from "temporem/movies";
import { Pictures } from "temporem/pictures";
import { Player } from "temporem/player";
import { Scatter } from "temporem/scatter";
import { ServerData, json } from "temporem/server";
import { Timeline } from "temporem/timeline";

const find = (name) => document.querySelector(name);
const player = new Player(find("#player"), new ServerData(), document);
const app = { player };
window.temporem = app; // for tests and for the curious

async function start() {
  addButton("MRC", "Save the volume of the first run", saveVolume);
  await player.start();
  const { panels, movies, colours } = player.about;
  app.table = new MovieTable(find("#movies .body"), player, movies);
  app.table.addEventListener("pick", goTo);
  app.pictures = new Pictures(find("#frame .body"), player);
  app.scatter = new Scatter(find("#latents .body"), player, colours);
  app.scatter.addEventListener("pick", goTo);
  app.timeline = new Timeline(find("#timeline .body"), player);
  fillRuns(panels);
  player.addEventListener("frame", () => showCommands());
  player.addEventListener("level", () => showCommands());
  find("#commands").addEventListener("toggle", () => showCommands());
  await chooseRun();
}

// Runs to choose from, for what shows one run.
function fillRuns(panels) {
  const runs = panels.map((panel, i) => ({ ...panel, i })).filter((panel) => panel.images);
  find("#run").replaceChildren(...runs.map(({ name, i }) => new Option(name, i)));
  find("#of").hidden = runs.length < 2;
  find("#run").onchange = () => chooseRun();
  find("#frame").hidden = runs.length === 0;
}

async function chooseRun() {
  const panel = find("#run").value === "" ? null : Number(find("#run").value);
  const has = panel !== null && player.about.panels[panel].latents;
  for (const name of ["#latents", "#timeline"]) find(name).hidden = !has;
  if (panel === null) return;
  app.pictures.panel = panel;
  app.pictures.show();
  if (!has) return;
  const latents = await loadLatents(panel);
  app.scatter.show(latents);
  app.timeline.show(latents);
  app.table.show(latents);
}

async function goTo({ detail: { movie, frame } }) {
  if (player.clip.kind !== "movie" || player.clip.id !== movie) await player.openMovie(movie);
  player.pause();
  player.seek(frame);
}

function addButton(name, title, act) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: name, title, onclick: act });
  button.className = name.toLowerCase();
  find("#player .more").append(button);
}

function here() {
  const { clip, frame } = player;
  return { panel: clip.only ?? 0, [clip.kind]: clip.id, frame };
}

function saveVolume() {
  const link = document.createElement("a");
  link.href = `./volume.mrc?${new URLSearchParams(here())}`;
  link.download = "";
  link.click();
}

async function showCommands() {
  if (!find("#commands").open || player.playing) return;
  const level = player.levelOf(player.clip.only ?? 0);
  const found = await json("commands", { ...here(), level });
  const lines = Object.entries(found).flatMap(([what, command]) => {
    const [name, text] = [document.createElement("dt"), document.createElement("dd")];
    name.textContent = what;
    text.append(Object.assign(document.createElement("code"), { textContent: command }));
    return [name, text];
  });
  find("#commands dl").replaceChildren(...lines);
}

try {
  await start();
  document.body.dataset.ready = "true";
} catch (error) {
  player.say(error.message);
}
