"use strict";
// Sort a table by a column, up and then down; what has no number comes last, as text.
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, {numeric: true});
}
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const th = button.parentElement, heads = [...th.parentElement.children];
    const body = th.closest("table").tBodies[0], place = heads.indexOf(th);
    const up = th.getAttribute("aria-sort") !== "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map(row => {
      const cell = row.children[place];
      return {row, key: "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent};
    });
    const numbers = rows.some(x => typeof x.key === "number");
    const last = x => numbers && typeof x.key !== "number" ? 1 : 0;
    rows.sort((a, b) => last(a) - last(b) || (up ? 1 : -1) * compare(a.key, b.key));
    body.append(...rows.map(x => x.row));
  });
}
