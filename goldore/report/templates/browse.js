(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("browse-data").textContent);
  const section = document.getElementById("browse");
  const form = section.querySelector("form");
  const grid = section.querySelector(".grid");
  const status = section.querySelector("[role=status]");
  const more = section.querySelector(".more");
  const card = document.getElementById("card");
  const STEP = 60;
  const places = new Map(data.position.map((position, place) => [position, place]));
  let chosen = [], visible = 0, pinned = null;

  const text = (tag, content, name) => {
    const node = document.createElement(tag);
    node.textContent = content;
    if (name) node.className = name;
    return node;
  };
  const number = (value) => value === null ? "-" : Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(1) : String(value);
  const className = (label) => data.classes[label] === String(label) ? String(label) : `${label} ${data.classes[label]}`;

  const tile = (place, size) => {
    const node = text("span", data.sheet ? "" : `#${data.position[place]}`, "tile");
    if (data.sheet) {
      const { side, columns, rows, uri } = data.sheet;
      node.style.backgroundImage = `url(${uri})`;
      node.style.backgroundSize = `${columns * size}px ${rows * size}px`;
      node.style.backgroundPosition = `-${(place % columns) * size}px -${Math.floor(place / columns) * size}px`;
      node.style.imageRendering = side < size ? "pixelated" : "auto";
    }
    node.style.width = node.style.height = `${size}px`;
    return node;
  };

  const fill = (name, options) => {
    const select = form.elements[name];
    for (const [value, label] of options) {
      const option = text("option", label);
      option.value = value;
      select.append(option);
    }
    select.closest("label").hidden = options.length === 0;
  };
  fill("label", data.classes.map((_, label) => [label, className(label)]));
  fill("by", [...data.scores.map((score, at) => [at, score.name]), ["position", "position"]]);
  fill("kept", data.kept.flatMap((each, at) => [[`${at} 1`, `kept by ${each.name}, ${each.rule}`], [`${at} 0`, `dropped by ${each.name}, ${each.rule}`]]));
  fill("prediction", data.predicted ? [["right", "right"], ["wrong", "wrong"]] : []);
  fill("only", [
    ...(data.doubted && data.doubted.some(Boolean) ? [["doubted", "likely wrong labels"]] : []),
    ...(data.equal && data.equal.some((each) => each.length) ? [["equal", "equal images"]] : []),
  ]);

  const key = (place) => {
    const by = form.elements.by.value;
    return by === "position" ? data.position[place] : data.scores[by].values[place];
  };
  const matches = (place) => {
    const { label, kept, prediction, only, search } = form.elements;
    if (label.value !== "" && data.label[place] !== Number(label.value)) return false;
    if (kept.value) {
      const [at, is] = kept.value.split(" ").map(Number);
      if (data.kept[at].is[place] !== is) return false;
    }
    if (prediction.value && (data.predicted[place] === data.label[place]) !== (prediction.value === "right")) return false;
    if (only.value === "doubted" && !data.doubted[place]) return false;
    if (only.value === "equal" && !data.equal[place].length) return false;
    const wanted = search.value.trim().toLowerCase();
    if (!wanted) return true;
    if (wanted.startsWith("#") || !data.path) return String(data.position[place]) === wanted.replace("#", "");
    return String(data.position[place]) === wanted || data.path[place].toLowerCase().includes(wanted);
  };

  const show = (place) => {
    card.replaceChildren();
    const rows = document.createElement("dl");
    const row = (name, value) => rows.append(text("dt", name), text("dd", value));
    row("position", `#${data.position[place]}`);
    row("class", className(data.label[place]));
    if (data.path) row("file", data.path[place]);
    if (data.predicted) {
      const share = data.share[place] === null ? "" : ` by ${Math.round(100 * data.share[place])}% of the trials`;
      const how = data.predicted[place] === data.label[place] ? "right" : "wrong";
      row("predicted", `${className(data.predicted[place])}${share} (${how})`);
    }
    for (const score of data.scores) {
      const error = score.errors[place];
      row(score.name, `${number(score.values[place])}${error === null ? "" : ` \u00b1 ${number(error)}`} ${score.unit}`);
    }
    for (const each of data.kept) row(each.name, `${each.is[place] ? "kept" : "dropped"} (${each.rule})`);
    if (data.doubted && data.doubted[place]) row("label", "likely to be wrong");
    if (data.equal && data.equal[place].length) row("equal to", data.equal[place].map((at) => `#${at}`).join(", "));
    const close = text("button", "\u00d7", "close");
    close.type = "button";
    close.setAttribute("aria-label", "close");
    close.addEventListener("click", hide);
    if (data.sheet) card.append(tile(place, 128));
    card.append(rows, close);
    card.hidden = false;
  };
  const hide = () => { card.hidden = true; pinned = null; };
  const watch = (node, place) => {
    node.addEventListener("mouseenter", () => { if (pinned === null) show(place); });
    node.addEventListener("mouseleave", () => { if (pinned === null) card.hidden = true; });
    node.addEventListener("focus", () => { if (pinned === null) show(place); });
    node.addEventListener("click", () => { if (pinned === place) hide(); else { pinned = place; show(place); } });
  };

  const extend = () => {
    for (const place of chosen.slice(visible, visible + STEP)) {
      const button = text("button", "", "one");
      button.type = "button";
      button.dataset.position = data.position[place];
      button.setAttribute("aria-label", `sample ${data.position[place]} of class ${className(data.label[place])}`);
      const by = form.elements.by.value;
      button.append(tile(place, 56), text("small", by === "position" ? `#${data.position[place]}` : number(key(place))));
      watch(button, place);
      grid.append(button);
    }
    visible = Math.min(visible + STEP, chosen.length);
    more.hidden = visible >= chosen.length;
    status.textContent = `${chosen.length.toLocaleString("en")} of ${data.position.length.toLocaleString("en")} samples, ${visible.toLocaleString("en")} shown`;
  };
  const refresh = () => {
    const sign = form.elements.order.value === "lowest" ? 1 : -1;
    chosen = [...data.position.keys()].filter(matches);
    chosen.sort((one, two) => {
      const [a, b] = [key(one), key(two)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a - b) || one - two;
    });
    visible = 0;
    grid.replaceChildren();
    extend();
  };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", extend);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  for (const node of document.querySelectorAll("[data-sample]")) {
    const place = places.get(Number(node.dataset.sample));
    if (place !== undefined) { node.tabIndex = 0; watch(node, place); }
  }

  const value = (row, column) => {
    const cell = row.cells[column] ? row.cells[column].textContent.trim() : "";
    const found = parseFloat(cell.replace(/,/g, ""));
    return Number.isNaN(found) ? cell : found;
  };
  for (const head of document.querySelectorAll("thead th")) {
    head.tabIndex = 0;
    head.classList.add("sorts");
    const sort = () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const body = head.closest("table").tBodies[0];
      const rows = [...body.rows];
      rows.sort((one, two) => {
        const [a, b] = [value(one, head.cellIndex), value(two, head.cellIndex)];
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return rising ? order : -order;
      });
      body.append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  }
  for (const node of document.querySelectorAll(".scripted")) node.hidden = false;
  refresh();
})();
