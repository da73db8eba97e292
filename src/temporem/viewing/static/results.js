// Results of the runs in tabs beside the timeline: sentences and figures that the report has too.

import { saveText, standalone, themed } from "temporem/figures";
import { json } from "temporem/server";

export class Results {
  // root: the section with the tabs; the timeline is the first tab, if there is one.
  constructor(root, titles) {
    this.root = root;
    this.titles = titles;
    this.list = root.querySelector("[role=tablist]");
    this.body = root.querySelector(".results");
    this.kept = new Map();
    this.chosen = null;
    for (const [name, title] of Object.entries(titles)) this._add(name, title);
    this.list.onkeydown = (event) => this._key(event);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this._draw());
  }

  get tabs() {
    return [...this.list.children].filter((tab) => !tab.hidden);
  }

  // Show or hide the timeline, which only runs with latents have.
  offerTimeline(has) {
    this.list.querySelector("[data-name=timeline]").hidden = !has;
    if (this.chosen === null || (this.chosen === "timeline" && !has)) this.choose(this.tabs[0]?.dataset.name);
    this.root.hidden = this.tabs.length === 0;
  }

  _add(name, title) {
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", textContent: title });
    tab.setAttribute("role", "tab");
    tab.dataset.name = name;
    this.list.append(tab);
  }

  async choose(name) {
    if (!name) return;
    this.chosen = name;
    for (const tab of this.list.children) {
      const own = tab.dataset.name === name;
      tab.setAttribute("aria-selected", own);
      tab.tabIndex = own ? 0 : -1;
      tab.onclick = () => this.choose(tab.dataset.name);
    }
    const timeline = name === "timeline";
    this.root.querySelector("#timeline").hidden = !timeline;
    this.body.hidden = timeline;
    if (timeline) return;
    if (!this.kept.has(name)) {
      this.body.replaceChildren(paragraph("Reading the run …", "soft"));
      try {
        this.kept.set(name, await json("result", { name }));
      } catch (error) {
        if (this.chosen === name) this.body.replaceChildren(paragraph(error.message, "soft"));
        return;
      }
    }
    this._draw();
  }

  _key(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.stopPropagation();
    const { tabs } = this;
    const next = tabs[(tabs.indexOf(document.activeElement) + by + tabs.length) % tabs.length];
    next.focus();
    this.choose(next.dataset.name);
  }

  _draw() {
    const found = this.kept.get(this.chosen);
    if (!found) return;
    const parts = found.words.map(({ title, texts, claim }) => {
      if (claim) return paragraph(texts[0], `verdict claim-${claim}`);
      const block = document.createElement("div");
      if (title) block.append(Object.assign(document.createElement("b"), { textContent: title }));
      block.append(...texts.map((text) => paragraph(text)));
      return block;
    });
    const figures = document.createElement("div");
    figures.className = "pair";
    figures.append(...found.figures.map((figure) => draw(figure)));
    const empty = parts.length + found.figures.length === 0;
    if (empty) parts.push(paragraph("There is nothing to show here yet.", "soft"));
    if (found.command) {
      const line = paragraph(empty ? "This makes it: " : "Next: ");
      line.append(Object.assign(document.createElement("code"), { textContent: found.command }));
      parts.push(line);
    }
    this.body.replaceChildren(...parts, figures);
    if (found.note) this.body.append(paragraph(found.note, "soft"));
  }
}

function draw({ svg, label, width, caption, name, csv }) {
  const figure = document.createElement("figure");
  const image = Object.assign(new Image(), { src: themed(svg), alt: label });
  image.style.maxWidth = `${width}px`;
  const words = document.createElement("figcaption");
  words.textContent = `${caption} `;
  const take = document.createElement("span");
  take.className = "take";
  take.append(button("SVG", () => saveText(standalone(svg), "image/svg+xml", `${name}.svg`)));
  if (csv) take.append(button("CSV", () => saveText(csv, "text/csv", `${name}.csv`)));
  words.append(take);
  figure.append(image, words);
  return figure;
}

function paragraph(text, kind = "") {
  return Object.assign(document.createElement("p"), { textContent: text, className: kind });
}

function button(text, act) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, title: `Save as ${text}`, onclick: act });
  return made;
}
