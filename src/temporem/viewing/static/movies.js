// Table of all movies, which sorts by any column; a click opens a movie.

const MOST_ROWS = 1000;
const LIKELIHOOD =
  "Likelihood: nats per frame beyond one volume for all frames, by a model that has not seen the movie.";
const HTML = `<div class="scroll"><table><thead><tr></tr></thead><tbody></tbody></table></div>
<p class="hint soft"></p>`;

export class MovieTable extends EventTarget {
  constructor(root, player, movies) {
    super();
    this.root = root;
    this.player = player;
    root.innerHTML = HTML;
    this.rows = movies.map(({ name, frames }, index) => ({ index, name, frames }));
    this.columns = [
      { key: "name", title: "movie", word: (value) => value },
      { key: "frames", title: "frames", word: String },
    ];
    this.key = null;
    this.ascending = true;
    player.addEventListener("clip", () => this._mark());
    this.draw();
  }

  show(latents) {
    for (const row of this.rows) {
      const own = latents.rows[row.index];
      row.duration = latents.time[own.at(-1)];
      row.motion = latents.motionOf(row.index);
      row.score = latents.scores?.[row.index] ?? null;
      row.held = latents.heldOut.has(own[0]) ? "yes" : "";
    }
    const few = (value) => String(Number(value.toPrecision(3)));
    this.columns = [
      ...this.columns.slice(0, 2),
      ...(latents.measured ? [{ key: "duration", title: "seconds", word: few }] : []),
      { key: "motion", title: "motion", word: (value) => value.toFixed(2) },
      ...(latents.scores ? [{ key: "score", title: "likelihood", word: signed }] : []),
      ...(latents.heldOut.size ? [{ key: "held", title: "held out", word: String }] : []),
    ];
    this.root.querySelector(".hint").textContent =
      "Motion: how far the latents of a movie spread, where those of all frames have 1." +
      (latents.scores ? ` ${LIKELIHOOD}` : "");
    this.draw();
  }

  sort(key) {
    this.ascending = this.key === key ? !this.ascending : key === "name";
    this.key = key;
    const sign = this.ascending ? 1 : -1;
    const natural = new Intl.Collator("en", { numeric: true });
    this.rows.sort((a, b) =>
      typeof a[key] === "string"
        ? sign * natural.compare(a[key], b[key])
        : (a[key] === null) - (b[key] === null) || sign * (a[key] - b[key]), // unknown ones last
    );
    this.draw();
  }

  // The table as columns for a file.
  table() {
    return Object.fromEntries(
      this.columns.map(({ key, title }) => [title, this.rows.map((row) => row[key] ?? "")]),
    );
  }

  draw() {
    const head = this.columns.map(({ key, title }) => {
      const cell = document.createElement("th");
      const button = document.createElement("button");
      button.type = "button";
      const arrow = this.ascending ? " ↑" : " ↓";
      button.textContent = title + (this.key === key ? arrow : "");
      button.onclick = () => this.sort(key);
      cell.append(button);
      return cell;
    });
    this.root.querySelector("thead tr").replaceChildren(...head);
    const lines = this.rows.slice(0, MOST_ROWS).map((row) => {
      const line = document.createElement("tr");
      line.dataset.movie = row.index;
      line.onclick = () =>
        this.dispatchEvent(new CustomEvent("pick", { detail: { movie: row.index, frame: 0 } }));
      line.append(...this.columns.map(({ key, word }) => this._cell(key, word(row[key]))));
      return line;
    });
    this.root.querySelector("tbody").replaceChildren(...lines);
    this._mark();
  }

  _cell(key, text) {
    const cell = document.createElement("td");
    if (key === "name") {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      cell.append(button);
    } else cell.textContent = text;
    return cell;
  }

  _mark() {
    const { clip } = this.player;
    for (const line of this.root.querySelectorAll("tbody tr")) {
      const shown = clip?.kind === "movie" && Number(line.dataset.movie) === clip.id;
      line.classList.toggle("shown", shown);
      if (shown) this._uncover(line);
    }
  }

  // Scroll the table, and not the page, until a line is seen.
  _uncover(line) {
    const box = this.root.querySelector(".scroll");
    const head = this.root.querySelector("thead").offsetHeight;
    const [top, bottom] = [line.offsetTop - head, line.offsetTop + line.offsetHeight];
    if (top < box.scrollTop) box.scrollTop = top;
    if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
  }
}

function signed(value) {
  if (value === null) return "";
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}
