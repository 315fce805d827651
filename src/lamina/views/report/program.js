// The zoomable map of bytes. Everything it shows of an image is text, never markup.
"use strict";
(() => {
  const NAME = 0, SIZE = 1, LAYER = 2, HIDDEN = 3, FILES = 4, INSIDE = 5;
  const FOLDER = -1, VERSIONS = -2;
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 560, LABEL = 17, PAD = 2, LETTER = 6.7;

  const made = (tag, attributes, text) => {
    const it = document.createElement(tag);
    for (const key in attributes) it.setAttribute(key, attributes[key]);
    if (text !== undefined) it.textContent = text;
    return it;
  };
  const drawn = (tag, attributes, text) => {
    const it = document.createElementNS(SVG, tag);
    for (const key in attributes) it.setAttribute(key, attributes[key]);
    if (text !== undefined) it.textContent = text;
    return it;
  };
  const bytes = (size) => {
    let unit = 0, value = size;
    const units = ["B", "kB", "MB", "GB", "TB"];
    while (unit < units.length - 1 && Number(value.toPrecision(3)) >= 1000) { value /= 1000; unit += 1; }
    return `${Number(value.toPrecision(3))} ${units[unit]}`;
  };
  const share = (part, whole) => {
    const percent = whole ? part * 100 / whole : 0;
    return percent && percent < 0.05 ? "<0.1 %" : `${percent ? percent.toFixed(1) : 0} %`;
  };
  const opens = (area) => area.length > INSIDE && area[NAME] !== "";
  const inside = (area) => area.slice(INSIDE).sort((a, b) => b[SIZE] - a[SIZE]);
  const files = (count) => `${count.toLocaleString("en")} ${count === 1 ? "file" : "files"}`;
  const called = (area, parent) => area[NAME] + (area[LAYER] === FOLDER ? "/" : "")
    || (parent[LAYER] === VERSIONS ? `(as of layer ${area[LAYER] + 1})` : `(${files(area[FILES])})`);
  const hidden = (area) => area[LAYER] < 0
    ? inside(area).reduce((sum, each) => sum + hidden(each), 0)
    : area[HIDDEN] ? area[SIZE] : 0;
  const fit = (text, width) => {
    const length = Math.floor(width / LETTER);
    return text.length <= length ? text : length > 3 ? text.slice(0, length - 1) + "…" : "";
  };

  // Squarified (Bruls, Huizing, van Wijk, 2000): rows along the shorter side, none made worse.
  function squarified(areas, box) {
    const whole = areas.reduce((sum, area) => sum + area[SIZE], 0);
    const placed = [];
    if (!whole) return placed;
    let { x, y, w, h } = box;
    const scale = w * h / whole;
    let at = 0;
    while (at < areas.length) {
      const side = Math.min(w, h);
      let sum = 0, worst = Infinity, end = at, largest = areas[at][SIZE] * scale;
      while (end < areas.length) {
        const next = areas[end][SIZE] * scale, total = sum + next;
        const ratio = Math.max(side * side * largest / (total * total), total * total / (side * side * next));
        if (ratio > worst) break;
        worst = ratio; sum = total; end += 1;
      }
      const thick = side ? sum / side : 0;
      let along = 0;
      for (; at < end; at += 1) {
        const long = thick ? areas[at][SIZE] * scale / thick : 0;
        placed.push([areas[at], w >= h ? { x, y: y + along, w: thick, h: long } : { x: x + along, y, w: long, h: thick }]);
        along += long;
      }
      if (w >= h) { x += thick; w -= thick; } else { y += thick; h -= thick; }
    }
    return placed;
  }

  class ByteMap {
    constructor(figure) {
      const told = JSON.parse(figure.querySelector("script").textContent);
      this.figure = figure;
      this.layers = told.layers;
      this.way = [told.root];
      this.chosen = null;
      this.canvas = figure.querySelector(".canvas");
      this.readout = figure.querySelector(".readout");
      this.crumbs = made("div", { class: "crumbs", role: "navigation", "aria-label": "Path" });
      this.tools = figure.querySelector(".tools");
      this.tools.hidden = false;
      this.tools.append(...this.keys(), this.crumbs);
      this.canvas.addEventListener("keydown", (event) => this.pressed(event));
      new ResizeObserver(() => this.resized()).observe(this.canvas.parentElement);
      this.show(false);
    }

    get folder() { return this.way[this.way.length - 1]; }

    path(way) { return "/" + way.slice(1).map((area) => area[NAME]).join("/"); }

    resized() {
      const width = this.canvas.parentElement.clientWidth;
      if (width === this.seen) return;
      const groups = [...this.canvas.querySelectorAll("g[role=button]")];
      const at = groups.indexOf(document.activeElement);
      this.draw();
      if (at >= 0) this.focus(at);
    }

    keys() {
      const sums = new Map();
      const count = (area) => area[LAYER] < 0
        ? area.slice(INSIDE).forEach(count)
        : sums.set(area[LAYER], (sums.get(area[LAYER]) || 0) + area[SIZE]);
      count(this.way[0]);
      return [...sums.keys()].sort((a, b) => a - b).map((layer) => {
        const about = this.layers[layer];
        const button = made("button", { type: "button", "aria-pressed": "false", title: `${about.name}: ${bytes(sums.get(layer))}` });
        button.append(made("span", { class: `key ${about.class}` }), `${about.name}`);
        button.addEventListener("click", () => this.choose(layer, button));
        return button;
      });
    }

    choose(layer, button) {
      this.chosen = this.chosen === layer ? null : layer;
      for (const each of this.tools.querySelectorAll("button[aria-pressed]"))
        each.setAttribute("aria-pressed", String(each === button && this.chosen !== null));
      this.draw();
    }

    show(focus) {
      this.draw();
      this.trail();
      this.tabulate();
      this.say(this.folder, this.way);
      if (focus) this.focus(0);
    }

    trail() {
      this.crumbs.replaceChildren(...this.way.map((area, number) => {
        const last = number === this.way.length - 1;
        const button = made("button", last ? { type: "button", "aria-current": "page" } : { type: "button" });
        button.append(made("bdi", {}, number ? area[NAME] : "/"));
        if (!last) button.addEventListener("click", () => { this.way.length = number + 1; this.show(true); });
        return button;
      }));
    }

    say(area, way) {
      const whole = this.way[0][SIZE], lost = hidden(area);
      const parent = way.length > 1 ? way[way.length - 2] : area;
      const path = area[NAME] || way.length === 1 ? this.path(way)
        : `${this.path(way.slice(0, -1))} ${called(area, parent)}`;
      let told = `  ${bytes(area[SIZE])}, ${share(area[SIZE], whole)}`;
      if (area[LAYER] === FOLDER) told += `, ${files(area[FILES])}`;
      if (area[LAYER] < 0) told += lost ? `, ${bytes(lost)} of it hidden` : "";
      else told += `, ${this.layers[area[LAYER]].name}${area[HIDDEN] ? ", hidden by a later layer" : ""}`;
      this.readout.replaceChildren(made("bdi", {}, path), told);
    }

    label(area) {
      const lost = hidden(area);
      return `${called(area, this.folder)}, ${bytes(area[SIZE])}, ${share(area[SIZE], this.folder[SIZE])} of this folder`
        + (lost ? `, ${bytes(lost)} hidden` : "");
    }

    draw() {
      this.seen = this.canvas.parentElement.clientWidth;
      this.width = Math.max(this.seen - 2, 280);
      const svg = drawn("svg", { viewBox: `0 0 ${this.width} ${HEIGHT}`, height: HEIGHT, role: "group",
        "aria-label": `${this.path(this.way)}: arrow keys move, Enter opens a folder, Escape leaves it` });
      this.items = squarified(inside(this.folder), { x: 0, y: 0, w: this.width, h: HEIGHT });
      this.items.forEach(([area, box], number) => {
        const group = drawn("g", { role: "button", tabindex: number ? "-1" : "0", "aria-label": this.label(area) });
        this.fill(group, area, box, [...this.way, area]);
        group.append(drawn("rect", { class: "ring", x: box.x + 2, y: box.y + 2, width: Math.max(box.w - 4, 0), height: Math.max(box.h - 4, 0) }));
        group.addEventListener("click", () => this.enter(number));
        group.addEventListener("focus", () => this.say(area, [...this.way, area]));
        svg.append(group);
      });
      this.canvas.replaceChildren(svg);
    }

    fill(group, area, box, way) {
      const small = Math.min(box.w, box.h);
      if (small < 1.5) return;
      const place = { x: box.x.toFixed(1), y: box.y.toFixed(1), width: box.w.toFixed(1), height: box.h.toFixed(1) };
      if (area[LAYER] >= 0) {
        const about = this.layers[area[LAYER]];
        const dim = this.chosen !== null && this.chosen !== area[LAYER] ? " dim" : "";
        const cell = drawn("rect", { class: `${about.class} cell${small < 7 ? " tiny" : ""}${dim}`, ...place });
        cell.addEventListener("pointerenter", () => this.say(area, way));
        group.append(cell);
        if (area[HIDDEN]) group.append(drawn("rect", { class: `lost${dim}`, fill: "url(#hatch)", ...place }));
        if (box.h > LABEL && area[NAME] && !dim) this.write(group, area[NAME], box, `${about.class} on`);
        return;
      }
      let name = area[NAME], parts = inside(area), inner = area;
      while (parts.length === 1 && parts[0][LAYER] === FOLDER) {
        [inner] = parts;
        way = [...way, inner];
        name += `/${inner[NAME]}`;
        parts = inside(inner);
      }
      const frame = drawn("rect", { class: small > 20 ? "frame" : "frame tiny", ...place });
      frame.addEventListener("pointerenter", () => this.say(inner, way));
      group.append(frame);
      const titled = name && box.w > 44 && box.h > 2 * LABEL;
      if (titled) this.write(group, `${name}  ${bytes(area[SIZE])}`, box, "folder");
      const pad = small > 60 ? PAD : small > 20 ? 1 : 0, top = titled ? LABEL : pad;
      const room = { x: box.x + pad, y: box.y + top, w: box.w - 2 * pad, h: box.h - top - pad };
      if (room.w <= 1 || room.h <= 1) return;
      for (const [child, where] of squarified(parts, room)) this.fill(group, child, where, [...way, child]);
    }

    write(group, text, box, kind) {
      const shown = fit(text, box.w - 8);
      if (shown) group.append(drawn("text", { class: kind, x: (box.x + 5).toFixed(1), y: (box.y + 13).toFixed(1) }, shown));
    }

    enter(number) {
      const area = this.items[number] && this.items[number][0];
      if (area && opens(area)) { this.way.push(area); this.show(true); }
    }

    leave() {
      if (this.way.length === 1) return;
      const left = this.way.pop();
      this.show(false);
      this.focus(Math.max(this.items.findIndex(([area]) => area === left), 0));
    }

    focus(number) {
      const groups = this.canvas.querySelectorAll("g[role=button]");
      groups.forEach((group, at) => group.setAttribute("tabindex", at === number ? "0" : "-1"));
      if (groups[number]) groups[number].focus({ preventScroll: true });
    }

    pressed(event) {
      const groups = [...this.canvas.querySelectorAll("g[role=button]")];
      const at = groups.indexOf(document.activeElement);
      const act = {
        Enter: () => this.enter(at), " ": () => this.enter(at),
        Escape: () => this.leave(), Backspace: () => this.leave(),
        Home: () => this.focus(0), End: () => this.focus(groups.length - 1),
        ArrowLeft: () => this.beside(at, -1, 0), ArrowRight: () => this.beside(at, 1, 0),
        ArrowUp: () => this.beside(at, 0, -1), ArrowDown: () => this.beside(at, 0, 1),
      }[event.key];
      if (!act || at < 0) return;
      event.preventDefault();
      act();
    }

    // The nearest area in a direction, by its middle.
    beside(at, right, down) {
      const middle = ({ x, y, w, h }) => [x + w / 2, y + h / 2];
      const [x, y] = middle(this.items[at][1]);
      let best = -1, least = Infinity;
      this.items.forEach(([, box], number) => {
        const [a, b] = middle(box), along = (a - x) * right + (b - y) * down;
        const away = along + 2 * Math.abs((a - x) * down + (b - y) * right);
        if (number !== at && along > 0.5 && away < least) { best = number; least = away; }
      });
      if (best >= 0) this.focus(best);
    }

    tabulate() {
      const table = this.figure.querySelector("table");
      table.caption.textContent = `${this.path(this.way)} by its largest parts`;
      table.tBodies[0].replaceChildren(...inside(this.folder).map((area, number) => {
        const row = made("tr", {}), name = made("th", { scope: "row" });
        if (opens(area)) {
          const button = made("button", { type: "button" });
          button.append(made("bdi", {}, called(area, this.folder)));
          button.addEventListener("click", () => {
            this.way.push(area); this.show(false);
            const next = table.querySelector("button") || table.closest("details").querySelector("summary");
            next.focus();
          });
          name.append(button);
        } else {
          name.append(made("bdi", {}, called(area, this.folder)));
        }
        row.append(name);
        for (const told of [bytes(area[SIZE]), share(area[SIZE], this.folder[SIZE]), bytes(hidden(area))])
          row.append(made("td", { class: "number" }, told));
        return row;
      }));
    }
  }

  for (const figure of document.querySelectorAll("figure.map")) new ByteMap(figure);
})();
