/* Filters and sorts the table of findings by variations. Without this script it is whole. */
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector(".holds-matrix");
  const form = document.querySelector(".holds-filter");
  if (!table || !form) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const order = ["reversed", "open", "weaker", "holds", "not reached", "not measured"];

  const filter = () => {
    const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.cells[0].textContent.toLowerCase();
      const kept =
        words.every((word) => text.includes(word)) &&
        (!form.chapter.value || row.dataset.chapter === form.chapter.value) &&
        (!form.state.value || row.dataset.states.split(" ").includes(form.state.value));
      row.hidden = !kept;
      shown += kept;
    }
    form.shown.value = `${shown} of ${rows.length}`;
  };

  const sortBy = (column) => {
    const rank = (row) => (column ? order.indexOf(row.cells[column].dataset.state) : 0);
    const sorted = rows.slice().sort((a, b) => rank(a) - rank(b) || rows.indexOf(a) - rows.indexOf(b));
    body.append(...sorted);
  };

  Array.from(table.tHead.rows[0].cells).forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    button.addEventListener("click", () => sortBy(column));
    cell.append(button);
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
});
