// The time line: a row for the engine and each plugin, a bar for each call, a column for each stage, as it grows.
//
// A task may run for hours and its hooks for microseconds, so time runs evenly only within a stage: every column is wide
// enough to be read, and the room that is left is shared out by how long the stages took. Stages that may still come have
// their columns from the beginning, so that nothing jumps when the run enters them.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const HEAD = 44;
  const LANE = 20;
  const BAR = 14;
  const GAP = 6;
  const FOOT = 8;
  const NARROWEST = 54;
  const WIDEST = 140;
  const SPARE = 30;
  const HINT = "Point at a bar, or walk through them with the arrow keys.";
  const LEGEND = ["ok", "refused", "open", "failed", "timeout", "cancelled", "abandoned", "lost"];
  const WORDS = { open: "under way", refused: "says failed" };

  class TimeLine {
    constructor(view) {
      this.names = page.element("div", { class: "tl-names", "aria-hidden": "true" });
      this.grid = page.drawn("g");
      this.rows = page.drawn("g");
      this.svg = page.drawn("svg", { class: "tl", role: "group", "aria-label": "Calls, one bar each" }, this.grid, this.rows);
      this.scroll = page.element("div", { class: "tl-scroll", role: "region", "aria-label": "Time line, scrollable", tabindex: 0 }, this.svg);
      this.detail = page.element("p", { class: "tl-detail" }, HINT);
      this.legend = page.element("ul", { class: "tl-legend", "aria-label": "Colours of the bars" });
      this.table = new Table();
      const frame = page.element("div", { class: "tl-frame" }, this.names, this.scroll);
      view.append(frame, page.element("div", { class: "tl-foot" }, this.detail, this.legend), this.table.details);
      this.bars = new Map();
      this.columns = new Map();
      this.order = [];
      this.active = null;
      this.width = 600;
      this.listen();
    }

    listen() {
      const describe = (event) => this.describe(event.target.closest?.("[data-call]"));
      for (const kind of ["pointerover", "focusin"]) this.svg.addEventListener(kind, describe);
      this.svg.addEventListener("pointerleave", () => this.describe(document.activeElement?.closest?.("[data-call]")));
      this.svg.addEventListener("focusout", () => this.describe(null));
      this.svg.addEventListener("keydown", (event) => this.walk(event));
      new ResizeObserver(([entry]) => {
        this.width = entry.contentRect.width;
        if (this.last) this.show(...this.last);
      }).observe(this.scroll);
    }

    /** Draw `history` as it is at `now`, in seconds; `ahead` names the stages that may still come. */
    show(history, now, ahead) {
      this.last = [history, now, ahead];
      const rows = rowsOf(history);
      const columns = this.columnsOf(history, now, ahead);
      const height = HEAD + rows.reduce((sum, row) => sum + row.height, 0) + FOOT;
      const width = columns.at(-1) ? columns.at(-1).x + columns.at(-1).width : this.width;
      set(this.svg, { width, height, viewBox: `0 0 ${width} ${height}` });
      this.drawColumns(columns, history, now, height);
      this.drawRows(rows, columns, history, now);
      this.drawLegend(history);
      this.table.show(history, now);
      this.follow(columns, history);
    }

    /** Bring the stage that the run has just entered into view, unless the reader has scrolled somewhere else. */
    follow(columns, history) {
      const column = columns[history.visits.length - 1];
      if (!column || this.followed === history.visits.length || history.over) return;
      const stayed = this.followed === undefined || Math.abs(this.scroll.scrollLeft - this.left) < 2;
      this.followed = history.visits.length;
      if (stayed) this.scroll.scrollLeft = Math.max(0, column.x + column.width - this.scroll.clientWidth);
      this.left = this.scroll.scrollLeft;
    }

    columnsOf(history, now, ahead) {
      const parts = [...history.visits.map((visit) => ({ visit, stage: visit.stage })), ...ahead.map((stage) => ({ stage }))];
      const least = parts.map(({ stage }) => Math.min(Math.max(NARROWEST, stage.length * 6.9 + 15), WIDEST));
      const spare = Math.max(SPARE, this.width - least.reduce((sum, width) => sum + width, 0));
      const whole = history.visits.reduce((sum, visit) => sum + visit.seconds(now), 0) || 1;
      let x = 0;
      return parts.map(({ visit, stage }, index) => {
        const width = least[index] + (visit ? (spare * visit.seconds(now)) / whole : 0);
        const column = { visit, stage, x, width, start: visit?.start ?? Infinity, end: visit ? (visit.end ?? now) : Infinity };
        x += width;
        return column;
      });
    }

    drawColumns(columns, history, now, height) {
      const seen = new Set();
      columns.forEach((column, index) => {
        const key = `${index} ${column.stage}`;
        seen.add(key);
        const parts = this.columns.get(key) ?? this.newColumn(key, column.stage);
        const state = !column.visit ? "ahead" : column.visit === history.visits.at(-1) && !history.over ? "current" : "entered";
        parts.group.setAttribute("class", `column-${state}`);
        set(parts.back, { x: column.x, width: column.width, height });
        set(parts.line, { x1: column.x + 0.5, x2: column.x + 0.5, y2: height });
        set(parts.name, { x: column.x + 7 });
        set(parts.took, { x: column.x + 7 });
        const took = column.visit ? page.duration(column.visit.seconds(now), column.visit.end === null && !history.over) : "";
        page.say(parts.took, took);
        const aborts = column.visit?.aborts.map(([time]) => place(column, time)) ?? [];
        set(parts.abort, { d: aborts.map((x) => `M${x},${HEAD - 8}V${height}`).join("") });
      });
      for (const [key, parts] of this.columns) {
        if (!seen.has(key)) {
          parts.group.remove();
          this.columns.delete(key);
        }
      }
    }

    newColumn(key, stage) {
      const parts = {
        back: page.drawn("rect", { class: "column", y: 0 }),
        line: page.drawn("line", { class: "grid", y1: 0 }),
        name: page.drawn("text", { class: "stagename", y: 17 }, page.line(stage, 20)),
        took: page.drawn("text", { class: "took", y: 33 }),
        abort: page.drawn("path", { class: "abort" }),
      };
      parts.group = page.drawn("g", { "data-column": stage }, ...Object.values(parts));
      this.grid.append(parts.group);
      this.columns.set(key, parts);
      return parts;
    }

    drawRows(rows, columns, history, now) {
      const names = rows.map((row) => row.name).join("\n");
      if (this.drawnNames !== names || this.names.childElementCount !== rows.length) {
        this.drawnNames = names;
        this.names.replaceChildren(...rows.map((row) => page.element("span", { title: row.name }, page.element("bdi", {}, page.line(row.name, 60)))));
      }
      for (const call of history.calls.slice(this.order.length)) this.newBar(call);
      let y = HEAD;
      rows.forEach((row, index) => {
        this.names.children[index].style.height = `${row.height}px`;
        row.lanes.forEach((lane, place) => {
          for (const call of lane) this.drawBar(call, y + place * LANE, columns, history, now);
        });
        y += row.height;
      });
    }

    drawBar(call, y, columns, history, now) {
      const bar = this.bars.get(call.id);
      const end = call.end ?? now;
      const began = columns.find((column) => column.stage === call.stage && call.start <= column.end) ?? columns[0];
      const ended = columns.find((column) => column.visit && end <= column.end && column.x >= began.x) ?? began;
      const left = Math.min(place(began, call.start) + 1, ended.x + ended.width - 5);
      const width = Math.max(place(ended, end) - left - 1, 4);
      set(bar.rect, { class: `bar ${call.tone}`, x: left, y: y + (LANE - BAR) / 2, width });
      set(bar.text, { x: left + 5, y: y + LANE / 2 + 3.5 });
      const name = call.name.replace(/^dispose:/, "");
      page.say(bar.text, name.length * 6.1 + 10 < width ? name : "");
      const key = `${call.tone} ${call.error}`;
      if (bar.key !== key) {
        bar.key = key;
        bar.group.setAttribute("aria-label", page.clean(sentence(call, now)));
      }
      if (bar.group === this.active) page.say(this.detail, sentence(call, now));
    }

    newBar(call) {
      const bar = { rect: page.drawn("rect", { height: BAR, rx: 3.5 }), text: page.drawn("text", { class: "onbar" }) };
      const first = this.bars.size === 0;
      bar.group = page.drawn("g", { "data-call": call.id, role: "img", tabindex: first ? 0 : -1 }, bar.rect, bar.text);
      bar.call = call;
      this.rows.append(bar.group);
      this.bars.set(call.id, bar);
      this.order.push(bar);
    }

    drawLegend(history) {
      const tones = LEGEND.filter((tone) => history.calls.some((call) => call.tone === tone));
      if (this.tones === tones.join()) return;
      this.tones = tones.join();
      this.legend.replaceChildren(...tones.map((tone) => page.element("li", { class: tone }, WORDS[tone] ?? tone)));
    }

    describe(group) {
      this.active = group ?? null;
      const bar = group && this.bars.get(Number(group.dataset.call));
      page.say(this.detail, bar ? sentence(bar.call, this.last[1]) : HINT);
      this.detail.classList.toggle("bad", Boolean(bar?.call.bad));
    }

    /** The arrow keys go from bar to bar, in the order in which the calls began. */
    walk(event) {
      const here = this.order.findIndex((bar) => bar.group === event.target);
      const to = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: this.order.length - 1 }[event.key];
      if (to === undefined || here < 0) return;
      event.preventDefault();
      const bar = this.order[Math.min(Math.max(to, 0), this.order.length - 1)];
      for (const other of this.order) other.group.setAttribute("tabindex", other === bar ? 0 : -1);
      bar.group.focus();
      const { left, right } = bar.rect.getBoundingClientRect();
      const room = this.scroll.getBoundingClientRect();
      if (left < room.left || right > room.right) this.scroll.scrollLeft += (left + right) / 2 - (room.left + room.right) / 2;
    }
  }

  /** The same in words, for who wants to read or copy it; filled while it is open. */
  class Table {
    constructor() {
      this.body = page.element("table", { class: "calls" });
      const wide = page.element("div", { class: "wide", role: "region", "aria-label": "Stages and calls", tabindex: 0 }, this.body);
      this.details = page.element("details", { class: "more" }, page.element("summary", {}, "As a table"), wide);
      this.details.addEventListener("toggle", () => this.last && this.show(...this.last));
    }

    show(history, now) {
      this.last = [history, now];
      if (!this.details.open || this.version === history.version) return;
      this.version = history.version;
      const head = ["Stage, plugin and call", "Start", "Time", "Outcome"].map((name) => page.element("th", { scope: "col" }, name));
      const bodies = history.visits.map((visit) => page.element("tbody", {}, stageRow(visit, now), ...visit.calls.map((call) => callRow(call, now))));
      this.body.replaceChildren(page.element("thead", {}, page.element("tr", {}, ...head)), ...bodies);
    }
  }

  function stageRow(visit, now) {
    const name = page.element("th", { scope: "rowgroup" }, page.line(visit.stage, 100));
    const cells = [page.duration(visit.start), page.duration(visit.seconds(now)), visit.end === null ? "under way" : ""];
    return page.element("tr", { class: "of-stage" }, name, ...cells.map((cell) => page.element("td", {}, cell)));
  }

  function callRow(call, now) {
    const name = page.element("td", {}, page.element("bdi", {}, page.line(call.plugin ?? "engine", 100)), " ", page.element("code", {}, page.line(call.name, 100)));
    if (call.error) name.append(page.element("p", { class: "error" }, page.line(call.error, 2000)));
    const cells = [page.duration(call.start), page.duration(call.seconds(now))].map((cell) => page.element("td", {}, cell));
    return page.element("tr", {}, name, ...cells, page.element("td", { class: `tone ${call.tone}` }, call.word));
  }

  function rowsOf(history) {
    const rows = new Map([["engine", []], ...history.plugins.map((name) => [`plugin ${name}`, []])]);
    for (const call of history.calls) rows.get(call.plugin === null ? "engine" : `plugin ${call.plugin}`).push(call);
    return [...rows].map(([key, calls]) => {
      const lanes = lanesOf(calls);
      const name = key === "engine" ? "engine" : key.slice("plugin ".length);
      return { name, lanes, height: Math.max(lanes.length, 1) * LANE + GAP };
    });
  }

  /** Return the calls in lanes, so that those at the same time stand apart. */
  function lanesOf(calls) {
    const lanes = [];
    for (const call of calls) {
      const free = lanes.find((lane) => lane.at(-1).end !== null && lane.at(-1).end <= call.start);
      if (free) free.push(call);
      else lanes.push([call]);
    }
    return lanes;
  }

  /** Return the place of a time in a column, at the nearer edge if it is not of its stage. */
  function place(column, time) {
    const whole = column.end - column.start;
    const share = whole > 0 ? (time - column.start) / whole : Number(time > column.end);
    return column.x + column.width * Math.min(Math.max(share, 0), 1);
  }

  function sentence(call, now) {
    const who = call.plugin === null ? "engine" : page.line(call.plugin, 60);
    const told = `${page.line(call.stage, 60)} · ${who} · ${page.line(call.name, 60)} · ${call.word} · ${page.duration(call.seconds(now), call.end === null)}`;
    return call.error ? `${told} · ${page.line(call.error, 300)}` : told;
  }

  function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      const text = typeof value === "number" ? String(Math.round(value * 100) / 100) : value;
      if (element.getAttribute(name) !== text) element.setAttribute(name, text);
    }
  }

  page.TimeLine = TimeLine;
}
