// Data of the page from the server that it came from.

export class ServerData {
  async describe() {
    this.about ??= await json("describe");
    return this.about;
  }

  movie(index) {
    return json("movie", { movie: index });
  }

  async fetchMesh(panel, clip, frame, level, look) {
    const answer = await ask("mesh", { panel, [clip.kind]: clip.id, frame, level, ...look });
    return answer.arrayBuffer();
  }
}

export async function json(what, query = {}) {
  return (await ask(what, query)).json();
}

export async function ask(what, query = {}, options = {}) {
  const answer = await fetch(`./${what}?${new URLSearchParams(query)}`, options).catch(() => {
    throw new Error("the server has ended; start temporem view again");
  });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({ error: answer.statusText }));
    throw new Error(said.error);
  }
  return answer;
}
