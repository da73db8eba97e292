// The page of temporem view: the player, and what stands beside it.

import { Clusters } from "temporem/clusters";
import { csv, saveText } from "temporem/figures";
import { loadLatents } from "temporem/latents";
import { Looks } from "temporem/looks";
import { MovieTable } from "temporem/movies";
import { Pictures } from "temporem/pictures";
import { Player } from "temporem/player";
import { Results } from "temporem/results";
import { Scatter } from "temporem/scatter";
import { ServerData, json } from "temporem/server";
import { Takeaway } from "temporem/takeaway";
import { Timeline } from "temporem/timeline";

const find = (name) => document.querySelector(name);
const player = new Player(find("#player"), new ServerData(), document);
const app = { player };
window.temporem = app; // for tests and for the curious

async function start() {
  app.takeaway = new Takeaway(player);
  await player.start();
  const { panels, movies, colours, results } = player.about;
  app.looks = new Looks(player, panels);
  app.table = new MovieTable(find("#movies .body"), player, movies);
  app.table.addEventListener("pick", goTo);
  find("#movies .csv").onclick = () => saveText(csv(app.table.table()), "text/csv", "movies.csv");
  app.pictures = new Pictures(find("#frame .body"), player);
  app.scatter = new Scatter(find("#latents .body"), player, colours);
  app.scatter.addEventListener("pick", goTo);
  app.clusters = new Clusters(find("#latents .clusters"), player, app.scatter);
  app.timeline = new Timeline(find("#timeline"), player);
  app.results = new Results(find("#results"), results);
  fillRuns(panels);
  sayHowFar(panels);
  for (const what of ["frame", "level", "pause"]) player.addEventListener(what, () => showCommands());
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

// Say which runs are still training.
function sayHowFar(panels) {
  const lines = panels.filter(({ so_far }) => so_far);
  find("#so-far").hidden = lines.length === 0;
  find("#so-far").textContent = lines.map(({ name, so_far }) => `${name}. ${so_far}`).join(" ");
}

async function chooseRun() {
  const panel = find("#run").value === "" ? null : Number(find("#run").value);
  const has = panel !== null && player.about.panels[panel].latents;
  find("#latents").hidden = !has;
  app.results.offerTimeline(has);
  if (panel === null) return;
  app.pictures.panel = panel;
  app.pictures.show();
  if (!has) return;
  const latents = await loadLatents(panel);
  app.scatter.show(latents);
  app.clusters.show(latents);
  app.timeline.show(latents);
  app.table.show(latents);
}

async function goTo({ detail: { movie, frame } }) {
  if (player.clip.kind !== "movie" || player.clip.id !== movie) await player.openMovie(movie);
  player.pause();
  player.seek(frame);
}

async function showCommands() {
  if (!find("#commands").open || player.playing) return;
  const level = player.levelOf(player.clip.only ?? 0);
  const asked = { ...app.takeaway.here, level };
  app.commandsOf = asked;
  const found = await json("commands", asked);
  if (app.commandsOf !== asked) return; // something else is seen by now
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
