// Narrows long tables down by a word and by what happened. Everything it shows is text.
"use strict";
(() => {
  const KINDS = [["A", "added"], ["C", "changed"], ["D", "removed"]];

  const made = (tag, attributes, text) => {
    const it = document.createElement(tag);
    for (const key in attributes) it.setAttribute(key, attributes[key]);
    if (text !== undefined) it.textContent = text;
    return it;
  };

  class Narrowed {
    constructor(box, number) {
      this.rows = [...box.querySelectorAll("tbody tr")].map((row) => ({
        row, text: row.textContent.toLowerCase(), kind: row.querySelector(".kind").className.slice(-1),
      }));
      this.readout = box.querySelector(".readout");
      this.off = new Set();
      const tools = box.querySelector(".tools");
      const label = made("label", { for: `search${number}` }, "Search");
      this.search = made("input", { id: `search${number}`, type: "search", spellcheck: "false" });
      this.search.addEventListener("input", () => this.show());
      this.search.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { this.search.value = ""; this.show(); }
      });
      tools.append(label, this.search);
      for (const [kind, word] of KINDS) {
        const count = this.rows.filter((each) => each.kind === kind).length;
        if (count) tools.append(this.toggle(kind, `${count.toLocaleString("en")} ${word}`));
      }
      tools.hidden = false;
      this.show();
    }

    toggle(kind, words) {
      const button = made("button", { type: "button", "aria-pressed": "true" }, words);
      button.addEventListener("click", () => {
        if (!this.off.delete(kind)) this.off.add(kind);
        button.setAttribute("aria-pressed", String(!this.off.has(kind)));
        this.show();
      });
      return button;
    }

    show() {
      const wanted = this.search.value.toLowerCase();
      let shown = 0;
      for (const each of this.rows) {
        const fits = !this.off.has(each.kind) && each.text.includes(wanted);
        each.row.hidden = !fits;
        shown += fits;
      }
      this.readout.textContent = `${shown.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} shown`;
    }
  }

  document.querySelectorAll(".narrowed").forEach((box, number) => new Narrowed(box, number));
})();
