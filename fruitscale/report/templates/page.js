"use strict";
// What a page does: gives its figures their colours and its photos their places, and answers to the reader.
// Labels and paths go into the page as text only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const picture = (number) => `data:image/jpeg;base64,${data.thumbs[number]}`;

  for (const image of document.querySelectorAll("img[data-thumb]")) image.src = picture(Number(image.dataset.thumb));

  // ---- figures

  const plots = new Map();

  function paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (role) => style.getPropertyValue(`--${role}`).trim();
    for (const {model: plot} of plots.values()) {
      for (const model of plot.references()) paintModel(model, colour);
    }
  }

  function paintModel(model, colour) {
    if (model.type.endsWith("Axis")) {
      model.setv({axis_label_text_color: colour("muted"), major_label_text_color: colour("muted"), axis_line_color: colour("line")});
    } else if (model.type === "Grid") {
      model.grid_line_color = colour("grid");
    } else if (model.tags?.includes("tones")) {
      model.palette = model.palette.map((_, tone) => colour(`tone-${tone}`));
    } else if (model.type === "GlyphRenderer" && model.name) {
      dye(model.glyph, colour(model.name));
    } else if (model.tags?.[0]) {
      dye(model, colour(model.tags[0]));
    }
  }

  function dye(model, colour) {
    if (model.type === "Label") model.background_fill_color = getComputedStyle(document.body).backgroundColor;
    for (const property of ["line_color", "fill_color", "text_color"]) if (property in model) model[property] = colour;
  }

  dark.addEventListener("change", paint);
  addEventListener("beforeprint", () => { document.documentElement.dataset.print = ""; paint(); });
  addEventListener("afterprint", () => { delete document.documentElement.dataset.print; paint(); });

  async function draw() {
    Bokeh.set_log_level("warn");
    for (const [id, item] of Object.entries(data.figures)) {
      const views = await Bokeh.embed.embed_item(item, id);
      plots.set(id, [...views.roots][0]);
    }
    if (plots.has("scatter")) explore(plots.get("scatter"));
    paint();
    document.documentElement.dataset.ready = "yes";
  }

  // ---- the scatter: two components, zoom, labels, and the photo under the pointer

  function explore(view) {
    const plot = view.model, box = byId("scatter");
    const visible = new Array(data.labels.length).fill(true);
    const source = [...plot.references()].find((model) => model.name === "points");
    const shown = [...plot.references()].find((model) => model.name === "shown");
    const {x_range, y_range} = plot;
    if (innerWidth < 600) plot.height = 400;
    const choices = [byId("across"), byId("up")];
    const axes = [plot.below[0], plot.left[0]];

    const name = (number) => `Component ${number + 1} (${(100 * data.shares[number]).toFixed(1)}% of the variance)`;
    choices.forEach((choice, at) => {
      data.shares.forEach((_, number) => choice.add(new Option(`Component ${number + 1}`, number)));
      choice.value = Math.min(at, data.shares.length - 1);
      choice.addEventListener("change", move);
    });

    function move() {
      const [across, up] = choices.map((choice) => Number(choice.value));
      const columns = source.data instanceof Map ? Object.fromEntries(source.data) : source.data;
      source.data = {...columns, x: source.get(`c${across}`), y: source.get(`c${up}`)};
      axes[0].axis_label = name(across);
      axes[1].axis_label = name(up);
      reset();
    }

    function reset() {
      [[x_range, source.get("x")], [y_range, source.get("y")]].forEach(([range, values]) => {
        let low = Infinity, high = -Infinity;
        for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
        if (low > high) [low, high] = [0, 1]; // no photo is left
        const margin = (high - low || 1) * 0.05;
        range.setv({start: low - margin, end: high + margin});
      });
    }

    function zoom(factor) {
      for (const range of [x_range, y_range]) {
        const middle = (range.start + range.end) / 2, half = (range.end - range.start) / 2 / factor;
        range.setv({start: middle - half, end: middle + half});
      }
    }

    function pan(across, up) {
      [[x_range, across], [y_range, up]].forEach(([range, part]) => {
        const step = (range.end - range.start) * part;
        range.setv({start: range.start + step, end: range.end + step});
      });
    }

    byId("zoom-in").addEventListener("click", () => zoom(1.4));
    byId("zoom-out").addEventListener("click", () => zoom(1 / 1.4));
    byId("reset").addEventListener("click", reset);
    const keys = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowDown: [0, -0.1], ArrowUp: [0, 0.1]};
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (keys[event.key]) pan(...keys[event.key]);
      else if (event.key === "+" || event.key === "=") zoom(1.4);
      else if (event.key === "-") zoom(1 / 1.4);
      else if (event.key === "0") reset();
      else return;
      event.preventDefault();
    });

    // The wheel and the finger scroll the page until the figure is asked for.
    const take = (on) => plot.toolbar.tools.forEach((tool) => {
      if (tool.type === "PanTool" || tool.type === "WheelZoomTool") tool.active = on;
    });
    box.addEventListener("pointerdown", () => { box.focus({preventScroll: true}); });
    box.addEventListener("focusin", () => take(true));
    box.addEventListener("focusout", (event) => { if (!box.contains(event.relatedTarget)) take(false); });

    pointAtPhotos(view, source, visible);
    listLabels(source, shown, visible);
    move();
  }

  const REACH = {mouse: 10, pen: 14, touch: 24};
  const TOGETHER = 4;

  function pointAtPhotos(view, source, visible) {
    const tip = byId("tip"), box = byId("scatter");
    const hide = () => { tip.hidden = true; };
    let at = [0, 0];

    // The points within reach of the pointer, in pixels; the nearest one first.
    function under({clientX, clientY, pointerType}) {
      const {x, y} = view.canvas_view.el.getBoundingClientRect(), {x_scale, y_scale, bbox} = view.frame;
      const sx = clientX - x, sy = clientY - y, reach = REACH[pointerType] ?? REACH.mouse;
      if (!bbox.contains(sx, sy)) return [];
      const across = x_scale.v_compute(source.get("x")), up = y_scale.v_compute(source.get("y"));
      const near = [];
      data.points.label.forEach((label, point) => {
        const away = Math.hypot(across[point] - sx, up[point] - sy);
        if (away <= reach && visible[label]) near.push({point, away});
      });
      near.sort((a, b) => a.away - b.away);
      return near.filter(({away}) => away <= near[0].away + TOGETHER).map(({point}) => point);
    }

    function look(event) {
      at = [event.clientX, event.clientY];
      const points = under(event);
      tip.hidden = !points.length;
      if (points.length) fill(points[0], points.length);
    }

    box.addEventListener("pointermove", (event) => { if (!event.buttons) look(event); });
    box.addEventListener("pointerup", (event) => { if (event.pointerType !== "mouse") look(event); });
    box.addEventListener("pointerdown", hide);
    box.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    addEventListener("pointerdown", (event) => { if (!box.contains(event.target)) hide(); });
    addEventListener("scroll", hide, {passive: true});
    addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

    function fill(point, count) {
      const row = document.createElement("div");
      row.className = "row";
      const number = data.points.thumb[point];
      if (number >= 0) {
        const image = document.createElement("img");
        image.src = picture(number);
        image.alt = "";
        row.append(image);
      }
      const words = document.createElement("div"), label = document.createElement("strong"), path = document.createElement("span");
      label.textContent = data.labels[data.points.label[point]];
      path.textContent = data.points.path?.[point] ?? "";
      words.append(label, path);
      if (count > 1) {
        const more = document.createElement("span");
        more.textContent = ` (and ${count - 1} more here)`;
        words.append(more);
      }
      row.append(words);
      tip.replaceChildren(row);
      tip.dataset.point = point;
      place();
    }

    function place() {
      const {width, height} = tip.getBoundingClientRect();
      const left = at[0] + 16 + width < innerWidth ? at[0] + 16 : Math.max(8, at[0] - 16 - width);
      const top = at[1] + 16 + height < innerHeight ? at[1] + 16 : Math.max(8, at[1] - 16 - height);
      tip.style.left = `${left}px`;
      tip.style.top = `${top}px`;
    }
  }

  function listLabels(source, shown, visible) {
    const list = byId("label-list");
    if (!list) return;
    const rows = data.labels.map((label, number) => {
      const row = document.createElement("li"), line = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      const name = document.createElement("span"), count = document.createElement("span");
      name.className = "name";
      name.textContent = label;
      count.className = "count";
      count.textContent = data.counts[number].toLocaleString("en");
      line.append(box, swatch(...data.looks[number]), name, count);
      row.append(line);
      box.addEventListener("change", () => { visible[number] = box.checked; show(); });
      line.addEventListener("pointerenter", () => emphasise(number));
      line.addEventListener("pointerleave", () => emphasise(-1));
      box.addEventListener("focus", () => { if (box.matches(":focus-visible")) emphasise(number); });
      box.addEventListener("blur", () => emphasise(-1));
      return {row, box, text: label.toLocaleLowerCase()};
    });
    list.append(...rows.map(({row}) => row));

    function show() {
      shown.booleans = data.points.label.map((label) => visible[label]);
      const count = visible.filter(Boolean).length;
      byId("label-count").textContent = `${count} of ${visible.length} shown`;
    }

    function emphasise(number) {
      const indices = [];
      if (number >= 0 && visible[number]) data.points.label.forEach((label, i) => { if (label === number) indices.push(i); });
      source.selected.indices = indices;
    }

    function check(on) {
      rows.forEach(({row, box}, number) => { if (!row.hidden) { box.checked = on; visible[number] = on; } });
      show();
    }

    byId("all").addEventListener("click", () => check(true));
    byId("none").addEventListener("click", () => check(false));
    byId("label-search").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLocaleLowerCase();
      for (const {row, text} of rows) row.hidden = !text.includes(wanted);
    });
    show();
  }

  // ---- the look of a label: its colour and its shape, as in the figure

  const SHAPES = {
    circle: "M7 1.5a5.5 5.5 0 1 0 .01 0z",
    square: "M2 2h10v10H2z",
    triangle: "M7 1.5 13 12H1z",
    inverted_triangle: "M7 12.5 1 2h12z",
    diamond: "M7 0.5 11.5 7 7 13.5 2.5 7z",
    star: "M7 .8l1.7 4.1 4.5.4-3.4 2.9 1 4.3L7 10.2l-3.8 2.3 1-4.3L.8 5.3l4.5-.4z",
    plus: "M5 1h4v4h4v4H9v4H5V9H1V5h4z",
    hex: "M7 1l5.2 3v6L7 13l-5.2-3V4z",
    square_pin: "M1 1q6 3 12 0q-3 6 0 12q-6-3-12 0q3-6 0-12z",
    triangle_pin: "M7 .8q1.2 6.6 6 10.9q-6-2.2-12 0Q5.8 7.4 7 .8z",
  };

  for (const svg of document.querySelectorAll("svg[data-shape]")) svg.append(outline(svg.dataset.shape, false));

  function swatch(tone, shape, hollow) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 14 14");
    svg.setAttribute("aria-hidden", "true");
    svg.style.color = `var(--tone-${tone})`;
    svg.append(outline(shape, hollow));
    return svg;
  }

  function outline(shape, hollow) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", SHAPES[shape]);
    path.setAttribute("fill", "currentColor");
    path.setAttribute("fill-opacity", hollow ? "0.05" : "0.8");
    path.setAttribute("stroke", "currentColor");
    return path;
  }

  if (Object.keys(data.figures).length) draw();
})();
