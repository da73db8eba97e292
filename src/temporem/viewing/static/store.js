// Meshes that were fetched, on the graphics processor; the least recently shown go first.

import { decodeMesh } from "temporem/mesh";
import { makeGeometry } from "temporem/stage";

const MOST_BYTES = 2 ** 28;
const AT_A_TIME = 2; // requests

export class MeshStore extends EventTarget {
  // fetchMesh(panel, clip, frame, level, look) → bytes; inUse(geometry) → it is on the screen.
  constructor(fetchMesh, inUse) {
    super();
    this.fetchMesh = fetchMesh;
    this.inUse = inUse;
    this.kept = new Map(); // key → {geometry, bytes, …}, least recently used first
    this.asked = new Set();
    this.failed = new Set();
    this.bytes = 0;
    this.wanted = () => []; // what is wanted, the most urgent first
  }

  static key({ panel, clip, frame, level, look }) {
    return [panel, clip.kind, clip.id, frame, level, ...Object.values(look)].join("/");
  }

  has(wish) {
    return this.kept.has(MeshStore.key(wish));
  }

  take(wish) {
    const key = MeshStore.key(wish);
    const entry = this.kept.get(key);
    if (entry) {
      this.kept.delete(key);
      this.kept.set(key, entry);
    }
    return entry;
  }

  // A long movie leaves no room for more levels.
  get roomy() {
    return this.bytes < MOST_BYTES / 2;
  }

  fetchAhead() {
    if (this.asked.size >= AT_A_TIME) return;
    for (const wish of this.wanted()) {
      const key = MeshStore.key(wish);
      if (this.kept.has(key) || this.asked.has(key) || this.failed.has(key)) continue;
      this._fetch(key, wish);
      if (this.asked.size >= AT_A_TIME) return;
    }
  }

  async _fetch(key, wish) {
    this.asked.add(key);
    let fault = null;
    try {
      const bytes = await this.fetchMesh(wish.panel, wish.clip, wish.frame, wish.level, wish.look);
      this._keep(key, decodeMesh(bytes));
    } catch (error) {
      this.failed.add(key);
      fault = error;
    }
    this.asked.delete(key);
    this.dispatchEvent(new CustomEvent("came", { detail: { ...wish, fault } }));
    this.fetchAhead();
  }

  _keep(key, mesh) {
    const { vertices, triangles, bytes } = mesh;
    this.kept.set(key, { geometry: makeGeometry(mesh), vertices, triangles, bytes });
    this.bytes += bytes;
    for (const [old, entry] of this.kept) {
      if (this.bytes <= MOST_BYTES || old === key) break;
      if (this.inUse(entry.geometry)) continue;
      entry.geometry.dispose();
      this.kept.delete(old);
      this.bytes -= entry.bytes;
    }
  }
}
