// Meshes in the format of viewing/meshes.py: views of the bytes, nothing is copied.

const MAGIC = 0x314d4d54; // "TMM1", little-endian
const HEADER_BYTES = 20;
const SHORT = 65536; // vertices that indices of two bytes count

export function decodeMesh(buffer) {
  const head = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || head.getUint32(0, true) !== MAGIC) {
    throw new Error("these bytes are no mesh");
  }
  const vertices = head.getUint32(4, true);
  const triangles = head.getUint32(8, true);
  const normalsAt = HEADER_BYTES + 8 * vertices;
  const Index = vertices <= SHORT ? Uint16Array : Uint32Array;
  return {
    vertices,
    triangles,
    origin: head.getFloat32(12, true), // Å
    step: head.getFloat32(16, true), // Å
    places: new Uint16Array(buffer, HEADER_BYTES, 4 * vertices), // x, y, z, amplitude
    normals: new Int8Array(buffer, normalsAt, 4 * vertices),
    index: new Index(buffer, normalsAt + 4 * vertices, 3 * triangles),
    bytes: buffer.byteLength,
  };
}

// The bytes of a text that viewing/embed.py wrote into a page: gzip, then base64.
export async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
