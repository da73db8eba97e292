// The page of temporem view: the player, and what stands beside it.

import { Player } from "temporem/player";
import { ServerData } from "temporem/server";

const player = new Player(document.querySelector("#player"), new ServerData(), document);
window.temporem = { player }; // for tests and for the curious
try {
  await player.start();
  document.body.dataset.ready = "true";
} catch (error) {
  player.say(error.message);
}
