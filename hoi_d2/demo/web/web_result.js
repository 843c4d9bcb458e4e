// Runs once in the result of the web page (`element`); its content is replaced at each change.
// The pair of a row is seen while the row is pointed at or has the focus, and as long as it is chosen.
let chosen = null, pointed = null;

const rows = () => [...element.querySelectorAll("tr[data-key]")];

function show() {
  if (!rows().some(row => row.dataset.key === chosen)) chosen = null;
  const seen = rows().find(row => row.dataset.key === (pointed ?? chosen));
  for (const row of rows()) row.setAttribute("aria-selected", String(row.dataset.key === chosen));
  for (const pair of element.querySelectorAll("[data-pair]"))
    pair.classList.toggle("shown", pair.dataset.pair === seen?.dataset.of);
}

function point(event) {
  pointed = event.target.closest?.("tr[data-key]")?.dataset.key ?? null;
  show();
}

function leave() {
  pointed = null;
  show();
}

function choose(row) {
  chosen = chosen === row.dataset.key ? null : row.dataset.key;
  leave(); // a row that is let go is dark at once, though the pointer is still there
}

async function saveImage(link) {
  const shown = element.querySelector("#image img").src; // too long for the address of a link
  const address = URL.createObjectURL(await (await fetch(shown)).blob());
  Object.assign(document.createElement("a"), { href: address, download: link.download }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

element.addEventListener("mouseover", point);
element.addEventListener("mouseleave", leave);
element.addEventListener("focusin", event => { if (event.target.matches(":focus-visible")) point(event); });
element.addEventListener("focusout", leave);
element.addEventListener("click", event => {
  const row = event.target.closest("tr[data-key]"), save = event.target.closest("#save");
  if (save) { event.preventDefault(); saveImage(save); }
  if (row) choose(row);
});
element.addEventListener("keydown", event => {
  const row = event.target.closest("tr[data-key]");
  if (row && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(row); }
  if (event.key === "Escape") { chosen = null; leave(); }
});
watch("value", () => { pointed = null; show(); });
