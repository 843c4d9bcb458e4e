// Runs a gallery page's script on a stand-in for the browser's document, makes choices, and prints
// what the page then shows. Usage: node run_page.js PAGE.html '[["verb", "ride"], ...]'
"use strict";
const fs = require("fs");
const page = fs.readFileSync(process.argv[2], "utf8");
const data = page.match(/<script type="application\/json" id="data">([\s\S]*?)<\/script>/)[1];
const script = page.match(/<script>([\s\S]*?)<\/script>/)[1];

class Element {
  constructor(tag) { this.tag = tag; this.children = []; this.textContent = ""; this.className = ""; this.chosen = ""; }
  append(...nodes) { this.children.push(...nodes); }
  replaceChildren(...nodes) { this.children = nodes; }
  get value() { return this.tag === "select" ? this.chosen : this.own; }
  set value(v) {
    if (this.tag !== "select") { this.own = v; return; }
    this.chosen = this.children.some(option => option.value === v) ? v : "";
  }
  all(tag) { return this.children.flatMap(c => (c.tag === tag ? [c] : []).concat(c.all ? c.all(tag) : [])); }
}

const byId = {};
for (const id of ["data", "filters", "images", "count", "report"]) byId[id] = new Element("div");
byId.data.textContent = data;
const location = { hash: "" };
const document = { getElementById: id => byId[id], createElement: tag => new Element(tag) };
new Function("document", "location", "window", script)(document, location, {});

const view = () => ({
  count: byId.count.textContent,
  images: byId.images.all("img").map(i => i.src),
  captions: byId.images.all("span").map(s => s.textContent + (s.className ? ` [${s.className}]` : "")),
  hash: location.hash,
});
const labels = byId.filters.all("label");
const shown = {
  filters: labels.map(l => l.textContent.trim()),
  options: labels.map(l => l.all("option").map(o => o.textContent)),
  figures: byId.report.all("img").map(i => i.src),
  table: byId.report.all("tr").map(r => r.children.map(c => c.textContent)),
  views: [view()],
};
for (const [name, value] of JSON.parse(process.argv[3])) {
  if (name === "click") byId.report.all("th").find(h => h.textContent === value).onclick();
  else if (name === "reset") byId.filters.all("button")[0].onclick();
  else {
    const select = labels.find(l => l.textContent.trim() === name).children[0];
    select.value = value;
    select.onchange();
  }
  shown.views.push(view());
}
shown.sorted = byId.report.all("tr").map(r => r.children.map(c => c.textContent));
console.log(JSON.stringify(shown));
