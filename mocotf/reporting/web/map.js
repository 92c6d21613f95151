// The map: points that become pictures where there is room for them. Of each map the page has an
// <script type="application/json"> with
//   steps: of the layouts, rising; places: of each step x and y of each picture, in [0, 1];
//   near: of each step the pictures nearest to each, by the features, not by the map;
//   labels, given: of each picture the place of its class, and of the one it is taken for, in
//   names and colours; files: their names;
//   sheet: id of the <img> of all pictures, `columns` in a row, `tile` pixels each.
const RADII = [2, 3.4], ROOM = 30, LARGEST = 64, EDGE = 40, ZOOMS = [0.8, 60];

class FeatureMap {
  constructor(block) {
    const find = selector => block.querySelector(selector);
    Object.assign(this, JSON.parse(find('script').textContent));
    this.block = block;
    this.canvas = find('.stage canvas');
    this.pen = this.canvas.getContext('2d');
    this.hint = find('.hint');
    this.panel = { picked: find('.picked'), near: find('.near'), chosen: find('.chosen') };
    this.sheetImage = document.getElementById(this.sheet);
    this.now = this.places.at(-1);
    this.span = [0, 1].map(axis => {
      const all = this.places.flat().map(place => place[axis]);
      return all.reduce((a, b) => Math.max(a, b)) - all.reduce((a, b) => Math.min(a, b)) + 1e-3;
    });
    this.step = this.steps.length - 1;
    this.shown = this.labels.map(() => true);
    this.count = this.labels.length;
    this.radius = Math.max(RADII[0], RADII[1] * Math.min(1, Math.sqrt(1000 / this.count)));
    this.picked = null;
    this.chosen = new Set();
    this.home();
    this.pointer();
    this.keys();
    this.buttons(find);
    const drawn = () => this.draw();
    this.sheetImage.decode().then(drawn);
    new ResizeObserver(drawn).observe(this.canvas);
    addEventListener('theme', drawn);
  }

  // ---- Where things are

  home() { this.zoom = 1; this.centre = [0.5, 0.5]; }

  get size() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }

  get scale() {
    return Math.min(...this.size.map((s, i) => Math.max(s - 2 * EDGE, s / 2) / this.span[i])) * this.zoom;
  }

  at(i) {
    const [width, height] = this.size, [x, y] = this.now[i];
    return [width / 2 + (x - this.centre[0]) * this.scale, height / 2 + (y - this.centre[1]) * this.scale];
  }

  // Side of a picture on the screen; 0 where points have no room to be pictures.
  get side() {
    const room = this.scale * Math.sqrt(this.span[0] * this.span[1] / this.count);
    return room < ROOM ? 0 : Math.min(LARGEST, 0.8 * room);
  }

  zoomBy(factor, x = this.size[0] / 2, y = this.size[1] / 2) {
    const zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], this.zoom * factor));
    const [width, height] = this.size, kept = (1 - this.zoom / zoom) / this.scale;
    this.centre[0] += (x - width / 2) * kept;
    this.centre[1] += (y - height / 2) * kept;
    this.zoom = zoom;
    this.draw();
  }

  pan(x, y) {
    this.centre[0] -= x / this.scale;
    this.centre[1] -= y / this.scale;
    this.draw();
  }

  // The picture that is drawn last at a place of the screen; null where there is none.
  under(x, y) {
    const reach = Math.max(9, this.side / 2);
    let best = null, nearest = reach;
    for (let i = 0; i < this.count; i += 1) {
      if (!this.shown[i]) continue;
      const [a, b] = this.at(i);
      const far = Math.max(Math.abs(a - x), Math.abs(b - y));
      if (far <= nearest) { best = i; nearest = far; }
    }
    return best;
  }

  // ---- Drawing

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    const { pen, canvas, side } = this, [width, height] = this.size, style = getComputedStyle(canvas);
    const fine = Math.max(devicePixelRatio, 1.5);
    canvas.width = Math.round(width * fine);
    canvas.height = Math.round(height * fine);
    pen.scale(fine, fine);
    const near = new Set(this.picked === null ? [] : this.near[this.step][this.picked]);
    const order = [...this.labels.keys()].filter(i => this.shown[i]);
    const weight = i => (i === this.picked ? 2 : near.has(i) ? 1 : 0);
    order.sort((a, b) => weight(a) - weight(b));
    this.visible = [];
    for (const i of order) {
      const [x, y] = this.at(i), margin = side / 2 + this.radius;
      if (x < -margin || y < -margin || x > width + margin || y > height + margin) continue;
      this.visible.push(i);
      const loud = weight(i) || this.chosen.has(i);
      const faded = (near.size || this.chosen.size) && !loud;
      pen.globalAlpha = faded ? 0.3 : 0.92;
      const colour = this.colours[this.labels[i]];
      const edge = loud ? style.accentColor : style.color;
      if (side) this.drawPicture(pen, i, x - side / 2, y - side / 2, side, faded ? null : colour);
      else {
        pen.beginPath();
        pen.arc(x, y, loud ? 1.6 * this.radius : this.radius, 0, 7);
        pen.fillStyle = colour;
        pen.fill();
      }
      if (loud || (!faded && this.labels[i] !== this.given[i])) {
        pen.strokeStyle = edge;
        pen.lineWidth = loud ? 2.5 : side ? 1.2 : 0.35 * this.radius;
        if (side) pen.strokeRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4);
        else pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    if (!side) this.drawNames(pen, style);
    if (this.lasso) this.drawLasso(pen, style);
  }

  drawPicture(pen, i, x, y, side, colour) {
    const from = this.tile, column = i % this.columns, row = Math.floor(i / this.columns);
    if (colour) {
      pen.fillStyle = colour;
      pen.fillRect(x - 2, y - 2, side + 4, side + 4);
    }
    pen.imageSmoothingEnabled = side < 2 * from;
    pen.drawImage(this.sheetImage, column * from, row * from, from, from, x, y, side, side);
  }

  // Names stand at the picture in the middle of their class, the largest classes first; those without
  // room are in the legend.
  drawNames(pen, style) {
    const members = new Map();
    this.labels.forEach((label, i) => {
      if (!this.shown[i]) return;
      if (!members.has(label)) members.set(label, []);
      members.get(label).push(this.at(i));
    });
    const middle = values => values.sort((a, b) => a - b)[values.length >> 1], taken = [];
    pen.font = `600 12px ${style.fontFamily}`;
    pen.textAlign = 'center';
    pen.lineJoin = 'round';
    pen.lineWidth = 4;
    pen.strokeStyle = style.backgroundColor;
    pen.fillStyle = style.color;
    for (const [label, all] of [...members].sort((a, b) => b[1].length - a[1].length)) {
      const name = this.names[label];
      const [a, b] = [0, 1].map(axis => middle(all.map(p => p[axis])));
      const far = p => Math.hypot(p[0] - a, p[1] - b), [width, height] = this.size;
      const at = all.reduce((best, p) => (far(p) < far(best) ? p : best));
      const half = pen.measureText(name).width / 2 + 3;
      const inside = at.every((p, axis) => p >= 0 && p <= this.size[axis]);
      const x = Math.min(Math.max(at[0], half), width - half);
      const y = Math.min(Math.max(at[1], 14), height - 6);
      const box = [x - half, y - 13, x + half, y + 5];
      const clear = b => b[2] < box[0] || b[0] > box[2] || b[3] < box[1] || b[1] > box[3];
      if (!name || !inside || !taken.every(clear)) continue;
      taken.push(box);
      pen.strokeText(name, x, y);
      pen.fillText(name, x, y);
    }
  }

  drawLasso(pen, style) {
    pen.beginPath();
    for (const [x, y] of this.lasso) pen.lineTo(x, y);
    pen.strokeStyle = style.accentColor;
    pen.lineWidth = 2;
    pen.setLineDash([5, 4]);
    pen.stroke();
    pen.setLineDash([]);
  }

  // Returns a canvas with one picture.
  picture(i, side) {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 2 * side;
    this.drawPicture(canvas.getContext('2d'), i, 0, 0, 2 * side);
    return canvas;
  }

  // What is to be said of a picture.
  told(i) {
    const [own, given] = [this.names[this.labels[i]], this.names[this.given[i]]];
    return [this.files[i], own + (own === given ? '' : `, taken for ${given}`)].filter(Boolean);
  }

  // ---- Asking

  pick(i) {
    this.picked = i;
    const { picked, near } = this.panel;
    picked.hidden = near.hidden = i === null;
    if (i !== null) {
      const text = document.createElement('p');
      text.textContent = this.told(i).join('\n');
      picked.replaceChildren(this.picture(i, 84), text);
      near.replaceChildren(...this.near[this.step][i].map(other => {
        const button = document.createElement('button');
        button.type = 'button';
        button.title = this.told(other).join('\n');
        button.setAttribute('aria-label', `Neighbour: ${this.told(other).join(', ')}`);
        button.append(this.picture(other, 64));
        button.addEventListener('click', () => this.pick(other));
        return button;
      }));
    }
    this.block.querySelector('.how').hidden = i !== null;
    this.draw();
  }

  choose(chosen) {
    this.chosen = new Set(chosen);
    const { chosen: box } = this.panel;
    box.hidden = !chosen.length;
    box.querySelector('h4').textContent = `${chosen.length.toLocaleString('en')} chosen`;
    box.querySelector('textarea').value = chosen.map(i => this.files[i]).join('\n');
    this.draw();
  }

  // Whether a place is within the lasso: a ray from it crosses the line an odd number of times.
  within([x, y]) {
    return this.lasso.reduce((inside, [a, b], i) => {
      const [c, d] = this.lasso.at(i - 1);
      return (b > y) !== (d > y) && x < (c - a) * (y - b) / (d - b) + a ? !inside : inside;
    }, false);
  }

  point(x, y) {
    const i = this.under(x, y), { hint } = this;
    hint.hidden = i === null;
    if (i === null) return;
    hint.replaceChildren(this.picture(i, 64), this.told(i).join('\n'));
    hint.firstChild.style.width = '96px';
    const [width] = this.size;
    hint.style.left = `${Math.min(x + 12, Math.max(0, width - hint.offsetWidth))}px`;
    hint.style.top = `${y + 14}px`;
  }

  pointer() {
    const { canvas } = this, fingers = new Map();
    const place = event => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let moved = 0;
    canvas.addEventListener('wheel', event => {
      event.preventDefault();
      this.zoomBy(1.0018 ** -event.deltaY, ...place(event));
    }, { passive: false });
    canvas.addEventListener('pointerdown', event => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, place(event));
      moved = 0;
      this.hint.hidden = true;
      if (this.lassoing || event.shiftKey) this.lasso = [place(event)];
    });
    canvas.addEventListener('pointermove', event => {
      const to = place(event), from = fingers.get(event.pointerId);
      if (!from) { this.point(...to); return; }
      const by = [to[0] - from[0], to[1] - from[1]];
      moved += Math.hypot(...by);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      const apart = point => Math.hypot(point[0] - other[0], point[1] - other[1]);
      if (other) this.zoomBy(apart(to) / apart(from), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
      else if (this.lasso) { this.lasso.push(to); this.draw(); } else this.pan(...by);
      fingers.set(event.pointerId, to);
    });
    const end = event => {
      if (!fingers.delete(event.pointerId)) return;
      if (this.lasso && moved > 4) {
        this.choose([...this.labels.keys()].filter(i => this.shown[i] && this.within(this.at(i))));
      } else if (moved <= 4) this.pick(this.under(...place(event)));
      this.lasso = null;
      this.draw();
    };
    canvas.addEventListener('pointerup', end);
    canvas.addEventListener('pointercancel', end);
    canvas.addEventListener('pointerleave', () => { this.hint.hidden = true; });
  }

  keys() {
    this.canvas.addEventListener('keydown', event => {
      const next = by => {
        const all = [...this.labels.keys()].filter(i => this.shown[i]), from = all.indexOf(this.picked);
        if (all.length) this.pick(all.at((from < 0 && by < 0 ? 0 : from + by) % all.length));
      };
      const does = {
        '+': () => this.zoomBy(1.4), '=': () => this.zoomBy(1.4), '-': () => this.zoomBy(1 / 1.4),
        '0': () => { this.home(); this.draw(); }, n: () => next(1), p: () => next(-1),
        ArrowLeft: () => this.pan(50, 0), ArrowRight: () => this.pan(-50, 0),
        ArrowUp: () => this.pan(0, 50), ArrowDown: () => this.pan(0, -50),
        Escape: () => { this.choose([]); this.pick(null); },
      }[event.key];
      if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      does();
    });
  }

  buttons(find) {
    const on = (selector, what, type = 'click') => find(selector)?.addEventListener(type, what);
    on('.in', () => this.zoomBy(1.6));
    on('.out', () => this.zoomBy(1 / 1.6));
    on('.all', () => { this.home(); this.draw(); });
    on('.lassos', event => {
      this.lassoing = !this.lassoing;
      event.target.setAttribute('aria-pressed', this.lassoing);
      this.canvas.classList.toggle('lasso', this.lassoing);
    });
    on('.seen', () => this.choose(this.visible.filter(i => {
      const [x, y] = this.at(i), [width, height] = this.size;
      return x >= 0 && y >= 0 && x <= width && y <= height;
    }).sort((a, b) => a - b)));
    on('.save', () => {
      const link = document.createElement('a');
      const url = URL.createObjectURL(new Blob([`${find('textarea').value}\n`], { type: 'text/plain' }));
      Object.assign(link, { href: url, download: 'files.txt' });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    });
    on('.steps', event => this.go(+event.target.value), 'input');
    const boxes = [...this.block.querySelectorAll('.classes input')];
    const filter = () => {
      const wanted = new Set(boxes.filter(box => box.checked).map(box => +box.value));
      this.shown = this.labels.map(label => wanted.has(label));
      this.draw();
    };
    for (const box of boxes) box.addEventListener('change', filter);
    const tick = checked => () => { for (const box of boxes) box.checked = checked; filter(); };
    on('.every', tick(true));
    on('.none', tick(false));
  }

  // Goes to the layout of another step; what moves is seen moving, unless the reader wants that not.
  go(step) {
    const from = this.now, to = this.places[step], start = performance.now();
    const lasts = matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 350;
    this.step = step;
    this.block.querySelector('output').textContent = this.steps[step].toLocaleString('en');
    const move = time => {
      if (this.step !== step) return; // there was another wish meanwhile
      const t = lasts ? Math.min(1, Math.max(0, (time - start) / lasts)) : 1;
      this.now = t < 1 ? to.map(([x, y], i) => [
        from[i][0] + t * (x - from[i][0]), from[i][1] + t * (y - from[i][1]),
      ]) : to;
      this.drawNow();
      if (t < 1) requestAnimationFrame(move);
    };
    if (this.picked !== null) this.pick(this.picked);
    requestAnimationFrame(move);
  }
}

for (const block of document.querySelectorAll('.map')) block.explorer = new FeatureMap(block);
