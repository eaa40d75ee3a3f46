"use strict";
// Sorts tables, opens and closes the query lists, and leaves out of the tab order what does not scroll.
// Without it the page is complete: the tables stand in their own order and every list can be opened by hand.
(() => {
  const said = document.getElementById("said");

  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));

  // Cells without a value (BM25 has no dimension) stay at the end, whichever way the column is sorted.
  const sort = (table, column, numeric, down) => {
    const value = (row) => row.cells[column].dataset.value;
    const rows = Array.from(table.tBodies[0].rows);
    const filled = rows.filter((row) => value(row) !== undefined);
    filled.sort((a, b) => compare(value(a), value(b), numeric) * (down ? -1 : 1));
    table.tBodies[0].append(...filled, ...rows.filter((row) => value(row) === undefined));
  };

  const makeSortable = (table) => {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const numeric = head.dataset.sort === "number";
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const down = before ? before === "ascending" : numeric; // numbers begin with the largest
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, numeric, down);
        said.textContent = `Sorted by ${button.textContent.trim()}, ${down ? "descending" : "ascending"}`;
      });
    });
  };

  const watchScroll = () => {
    const boxes = document.querySelectorAll(".scroll");
    const update = () => boxes.forEach((box) => {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
    const observer = new ResizeObserver(update);
    boxes.forEach((box) => observer.observe(box));
    update();
  };

  const addOpenAll = (group) => {
    const lists = Array.from(group.querySelectorAll(".change"));
    if (lists.length < 2) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "all";
    const allOpen = () => lists.every((entry) => entry.open);
    const label = () => { button.textContent = allOpen() ? "Close all" : "Open all"; };
    button.addEventListener("click", () => {
      const open = !allOpen();
      lists.forEach((entry) => { entry.open = open; });
      label();
    });
    lists.forEach((entry) => entry.addEventListener("toggle", label));
    label();
    group.querySelector("h3").after(button);
  };

  // Paper cannot be opened: print all queries and numbers, then put everything back as it was.
  const printWhole = () => {
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = Array.from(document.querySelectorAll(".fold:not([open]), .change:not([open]), .numbers:not([open])"));
      closed.forEach((entry) => { entry.open = true; });
    });
    addEventListener("afterprint", () => closed.forEach((entry) => { entry.open = false; }));
  };

  // A link to a folded part opens it; some browsers do so by themselves.
  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    const fold = target?.closest(".fold:not([open])");
    if (!fold) return;
    fold.open = true;
    target.scrollIntoView();
  };

  addEventListener("hashchange", openTarget);
  openTarget();
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll(".changes").forEach(addOpenAll);
  watchScroll();
  printWhole();
})();
