"use strict";
// The table of videos. The document only ever holds one page of rows, so that its length costs
// nothing; columns are arrays, and `order` says which of their places are shown.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const total = data.score.length;
  const $ = (id) => document.getElementById(id);
  const numeric = new Set(["score", "num_tracks", "duration_s"]);
  const numbers = new Intl.NumberFormat("en");
  const folders = data.folder.map((place) => data.folders[place]);
  const haystack = data.name.map(
    (name, at) => `${folders[at]}${name}\n${data.video_id[at]}`.toLowerCase());
  const columns = { ...data, name: data.name.map((name) => name.toLowerCase()) };
  const cards = new Set(
    [...document.querySelectorAll(".card")].map((card) => card.id.replace("video-", "")));
  let order = Uint32Array.from({ length: total }, (_, at) => at);
  let shown = order;
  let sorted = { key: "score", down: true };
  let page = 0;

  function compare(key) {
    const column = columns[key];
    return (a, b) => {
      const [x, y] = [column[a], column[b]];
      if (x === y) return a - b;
      if (x === null || x === "") return 1; // nothing known stands last, whichever way it is sorted
      if (y === null || y === "") return -1;
      return (x < y ? -1 : 1) * (sorted.down ? -1 : 1);
    };
  }

  function sort(key) {
    const down = sorted.key === key ? !sorted.down : numeric.has(key);
    sorted = { key, down };
    order = order.slice().sort(compare(key));
    for (const button of document.querySelectorAll("#table thead button")) {
      const heading = button.parentElement;
      if (button.dataset.key === key) {
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      } else {
        heading.removeAttribute("aria-sort");
      }
    }
    filter();
  }

  function filter() {
    const text = $("search").value.trim().toLowerCase();
    const status = $("status").value;
    const least = $("least").valueAsNumber;
    shown = order.filter((at) =>
      (!text || haystack[at].includes(text)) &&
      (!status || data.status[at] === status) &&
      (Number.isNaN(least) || (data.score[at] !== null && data.score[at] >= least)));
    page = 0;
    show();
  }

  function cell(row, text, kind) {
    const made = row.insertCell();
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function nameCell(row, at) {
    const made = row.insertCell();
    const id = data.video_id[at];
    const name = document.createElement(cards.has(id) ? "a" : "span");
    if (cards.has(id)) name.href = `#video-${id}`;
    name.textContent = data.name[at];
    const folder = document.createElement("span");
    folder.className = "folder";
    folder.textContent = folders[at];
    made.append(name, folder);
    made.title = `id ${id}`;
  }

  function show() {
    const size = Number($("size").value);
    const pages = Math.max(1, Math.ceil(shown.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    const body = document.createElement("tbody");
    body.id = "rows";
    for (const at of shown.subarray(page * size, (page + 1) * size)) {
      const row = body.insertRow();
      nameCell(row, at);
      cell(row, data.score[at] === null ? "" : data.score[at].toFixed(3), "number");
      cell(row, data.error[at] ? `${data.status[at]}: ${data.error[at]}` : data.status[at]);
      cell(row, data.num_tracks[at] ?? "", "number");
      cell(row, data.duration_s[at] === null ? "" : `${data.duration_s[at].toFixed(1)} s`, "number");
      cell(row, data.label[at] ?? "");
    }
    $("rows").replaceWith(body);
    $("count").textContent = shown.length === total
      ? `${numbers.format(total)} videos`
      : `${numbers.format(shown.length)} of ${numbers.format(total)} videos`;
    $("page").textContent = `page ${numbers.format(page + 1)} of ${numbers.format(pages)}`;
    $("first").disabled = $("previous").disabled = page === 0;
    $("next").disabled = $("last").disabled = page === pages - 1;
  }

  function turn(to) {
    page = to;
    show();
  }

  for (const status of [...new Set(data.status)].sort()) $("status").add(new Option(status));
  for (const button of document.querySelectorAll("#table thead button")) {
    button.addEventListener("click", () => sort(button.dataset.key));
  }
  for (const id of ["search", "status", "least"]) $(id).addEventListener("input", filter);
  $("size").addEventListener("input", () => turn(0));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("first").addEventListener("click", () => turn(0));
  $("previous").addEventListener("click", () => turn(page - 1));
  $("next").addEventListener("click", () => turn(page + 1));
  $("last").addEventListener("click", () => turn(Infinity));
  $("heat")?.addEventListener("input", (event) =>
    document.body.classList.toggle("no-heat", !event.target.checked));
  show();
})();
