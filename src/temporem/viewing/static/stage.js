// The picture: surfaces side by side in one canvas, all seen by one camera.

import {
  BufferGeometry,
  DoubleSide,
  FrontSide,
  InterleavedBuffer,
  InterleavedBufferAttribute,
  BufferAttribute,
  LinearSRGBColorSpace,
  Matrix4,
  Mesh,
  OrthographicCamera,
  Scene,
  ShaderMaterial,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/controls";

const VERTEX = `
attribute float amplitude;
varying vec3 turned;
varying float depth;
varying float moves;
void main() {
  vec4 place = modelViewMatrix * vec4(position, 1.0);
  turned = normalMatrix * normal;
  depth = place.z;
  moves = amplitude;
  gl_Position = projectionMatrix * place;
}`;

// Light from the upper left and from the sky, with a soft highlight, as in report/render.py.
const FRAGMENT = `
uniform vec3 still;
uniform vec3 moving;
uniform float coloured;
uniform float cut;
uniform float middle;
uniform float reach;
varying vec3 turned;
varying float depth;
varying float moves;
const vec3 light = vec3(-0.4479, 0.6470, 0.6171);
const vec3 halfway = vec3(-0.2491, 0.3598, 0.8992);
void main() {
#ifdef CUT
  if (depth > cut) discard;
#endif
  vec3 colour = mix(still, moving, coloured * moves);
  float behind = clamp((middle - depth) / reach, -1.0, 1.0);
#ifdef CUT
  if (!gl_FrontFacing) {
    gl_FragColor = vec4(colour * (0.52 - 0.1 * behind), 1.0);
    return;
  }
#endif
  vec3 n = normalize(turned);
  float lit = 0.54 + 0.18 * (0.5 + 0.5 * n.y) + 0.54 * max(dot(n, light), 0.0);
  float outline = 1.0 - 0.35 * pow(1.0 - max(n.z, 0.0), 3.0);
  vec3 shown = colour * lit + 0.16 * pow(max(dot(n, halfway), 0.0), 24.0);
  gl_FragColor = vec4(shown * outline * (0.94 - 0.11 * behind), 1.0);
}`;

export const STILL = [0.62, 0.69, 0.77]; // as in report/render.py
export const MOVING = [0.93, 0.56, 0.1];

export function makeGeometry(mesh) {
  const geometry = new BufferGeometry();
  const places = new InterleavedBuffer(mesh.places, 4);
  const normals = new InterleavedBuffer(mesh.normals, 4);
  geometry.setAttribute("position", new InterleavedBufferAttribute(places, 3, 0));
  geometry.setAttribute("amplitude", new InterleavedBufferAttribute(places, 1, 3, true));
  geometry.setAttribute("normal", new InterleavedBufferAttribute(normals, 3, 0, true));
  geometry.setIndex(new BufferAttribute(mesh.index, 1));
  geometry.userData = { origin: mesh.origin, step: mesh.step };
  return geometry;
}

// Drawing on the processor: a picture that takes longer than SLOW is drawn coarser while it moves.
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const [SLOW, FAST] = [25, 10]; // ms
const COARSEST = 0.4; // of the pixels along an edge
const FINE = 2; // at rest, which smooths edges
const REST = 200; // ms without motion until then

function drawsOnProcessor() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const name = gl?.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL;
  return name !== undefined && SOFTWARE.test(gl.getParameter(name));
}

export class Stage extends EventTarget {
  // view: {rotation, centre, extent}, as report/camera.py has them; lengths in Å.
  constructor(canvas, panels, view) {
    super();
    this.canvas = canvas;
    this.software = drawsOnProcessor();
    this.quality = 1; // while it moves, of the pixels along an edge
    this.renderer = new WebGLRenderer({ canvas, antialias: !this.software, alpha: true });
    this.renderer.outputColorSpace = LinearSRGBColorSpace; // colours are written as they are
    this.renderer.setScissorTest(true);
    this.uniforms = {
      still: { value: new Vector3(...STILL) },
      moving: { value: new Vector3(...MOVING) },
      coloured: { value: 1 },
      cut: { value: 1e9 },
      middle: { value: 0 },
      reach: { value: 1 },
    };
    this.material = new ShaderMaterial({
      uniforms: this.uniforms,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
    });
    this.nothing = new BufferGeometry();
    // The same, without colours: for panels of which nothing is known.
    this.plain = new ShaderMaterial({
      uniforms: { ...this.uniforms, coloured: { value: 0 } },
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
    });
    this.surfaces = Array.from({ length: panels }, () => {
      const surface = new Mesh(this.nothing, this.material);
      surface.frustumCulled = false;
      const scene = new Scene();
      scene.add(surface);
      return { scene, surface };
    });
    this.extent = view.extent; // Å across the shorter side
    this.camera = new OrthographicCamera();
    this._place(view);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.target.copy(this.target);
    this.controls.minZoom = 0.2;
    this.controls.maxZoom = 20;
    this.controls.update();
    this.controls.saveState();
    this.controls.addEventListener("change", () => this.invalidate());
    this.cutDepth = 0; // 0 keeps all, 1 cuts everything away
    this.columns = panels;
    this.drawn = 0; // pictures so far
    this.dirty = false;
    this._observer = new ResizeObserver(() => this._resize());
    this._observer.observe(canvas.parentElement);
    this._resize();
  }

  show(panel, geometry) {
    const { surface } = this.surfaces[panel];
    if (surface.geometry === (geometry ?? this.nothing)) return;
    surface.geometry = geometry ?? this.nothing;
    if (geometry) {
      surface.position.setScalar(geometry.userData.origin);
      surface.scale.setScalar(geometry.userData.step);
    }
    this.invalidate();
  }

  set colouring(on) {
    this.uniforms.coloured.value = on ? 1 : 0;
    this.invalidate();
  }

  get colouring() {
    return this.uniforms.coloured.value > 0;
  }

  colourPanel(panel, on) {
    this.surfaces[panel].surface.material = on ? this.material : this.plain;
    this.invalidate();
  }

  // The inside is drawn only where a cut opens it.
  set cut(share) {
    if (share > 0 !== this.cutDepth > 0) {
      for (const material of [this.material, this.plain]) {
        material.defines = share > 0 ? { CUT: 1 } : {};
        material.side = share > 0 ? DoubleSide : FrontSide;
        material.needsUpdate = true;
      }
    }
    this.cutDepth = share;
    this.invalidate();
  }

  reset() {
    this.controls.reset();
  }

  invalidate() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => this._drawInMotion());
  }

  _drawInMotion() {
    if (!this.software) return this.draw();
    const started = performance.now();
    this.draw(this.quality);
    const gl = this.renderer.getContext();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits for the picture
    const took = performance.now() - started;
    if (took > SLOW) this.quality = Math.max(COARSEST, 0.8 * this.quality);
    if (took < FAST) this.quality = Math.min(1, this.quality / 0.8);
    clearTimeout(this._sharpen);
    this._sharpen = setTimeout(() => this.draw(FINE), REST);
  }

  draw(quality = 1) {
    this.dirty = false;
    const { width, height, columns } = this;
    if (!width || !height) return;
    const ratio = Math.min(quality * window.devicePixelRatio, 2);
    if (ratio !== this.renderer.getPixelRatio()) this.renderer.setPixelRatio(ratio);
    const distance = this.camera.position.distanceTo(this.controls.target);
    const reach = this.extent * 0.6;
    this.uniforms.middle.value = -distance;
    this.uniforms.reach.value = reach;
    this.uniforms.cut.value = this.cutDepth ? -distance + reach * (1 - 2 * this.cutDepth) : 1e9;
    const rows = Math.ceil(this.surfaces.length / columns);
    const [w, h] = [width / columns, height / rows];
    this.surfaces.forEach(({ scene }, i) => {
      const left = (i % columns) * w;
      const bottom = height - (Math.floor(i / columns) + 1) * h;
      this.renderer.setViewport(left, bottom, w, h);
      this.renderer.setScissor(left, bottom, w, h);
      this.renderer.render(scene, this.camera);
    });
    this.drawn += 1;
    this.dispatchEvent(new Event("drawn"));
  }

  // Å in a pixel of the page.
  get scale() {
    return (this.camera.right - this.camera.left) / this.camera.zoom / (this.width / this.columns);
  }

  // What viewing/film.py takes: rotation by rows, centre (right, up) and width of the picture, Å.
  get camera12() {
    const axes = [new Vector3(), new Vector3(), new Vector3()];
    this.camera.matrixWorld.extractBasis(...axes);
    const { target } = this.controls;
    const shorter = Math.min(this.camera.right - this.camera.left, this.camera.top - this.camera.bottom);
    return [
      ...axes.flatMap((axis) => axis.toArray()),
      target.dot(axes[0]),
      target.dot(axes[1]),
      shorter / this.camera.zoom,
    ];
  }

  // The picture as a PNG on the colour of the page.
  async png(ground) {
    this.draw(this.software ? FINE : 1);
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [this.canvas.width, this.canvas.height];
    const context = copy.getContext("2d");
    context.fillStyle = ground;
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(this.canvas, 0, 0);
    return new Promise((resolve) => copy.toBlob(resolve, "image/png"));
  }

  _place(view) {
    const [right, up, towards] = view.rotation.map((row) => new Vector3(...row));
    this.target = new Vector3()
      .addScaledVector(right, view.centre[0])
      .addScaledVector(up, view.centre[1]);
    this.camera.up.copy(up);
    this.camera.position.copy(this.target).addScaledVector(towards, 4 * this.extent);
    this.camera.quaternion.setFromRotationMatrix(new Matrix4().makeBasis(right, up, towards));
    this.camera.near = this.extent;
    this.camera.far = 8 * this.extent;
  }

  _resize() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    if (!box.width || !box.height) return;
    this.width = box.width;
    this.height = box.height;
    const n = this.surfaces.length;
    const fits = (columns) => {
      const rows = Math.ceil(n / columns);
      const filled = Math.sqrt(n / (columns * rows)); // a gap looks worse than smaller pictures
      return filled * Math.min(box.width / columns, box.height / rows);
    };
    this.columns = Array.from({ length: n }, (_, i) => i + 1).reduce((a, b) =>
      fits(b) > fits(a) ? b : a,
    );
    const [w, h] = [box.width / this.columns, box.height / Math.ceil(n / this.columns)];
    const half = (1.08 * this.extent) / 2 / Math.min(w, h);
    Object.assign(this.camera, {
      left: -half * w,
      right: half * w,
      top: half * h,
      bottom: -half * h,
    });
    this.camera.updateProjectionMatrix();
    this.renderer.setSize(box.width, box.height, false);
    this.dispatchEvent(new Event("resized"));
    this.invalidate();
  }
}
