// Tables can be sorted by a click on a heading; without this script they stay in the order of the file.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const missing = (key) => key === "inf";
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (missing(x) || missing(y)) return missing(x) - missing(y);
        const order = isFinite(x) && isFinite(y) ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
        return descending ? -order : order;
      };
      body.append(...Array.from(body.rows).sort(compare));
    });
  });
}
