// The index: every run with its state and how long it took, as they change; filtered by text and state.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const PORTION = 200;
  /** More runs than these are not kept: a page may stay open for weeks. */
  const MOST = 20_000;
  const GROUPS = { all: "All", running: "Running", completed: "Completed", failed: "Failed", exception: "Exception" };
  const $ = (id) => document.getElementById(id);

  class IndexPage {
    constructor() {
      this.runs = new Map();
      this.rows = new Map();
      this.most = PORTION;
      this.stream = new page.Stream("runs/events", ["run", "runs"]);
      this.connection = new page.Connection($("connection"), () => this.stream.again());
      const asked = new URLSearchParams(location.search);
      $("filter").value = asked.get("q") ?? "";
      this.state = Object.hasOwn(GROUPS, asked.get("state") ?? "") ? asked.get("state") : "all";
      this.counts = new Map(Object.entries(GROUPS).map(([state, word]) => [state, chip(state, word, state === this.state)]));
    }

    start() {
      this.stream.on("run", (run) => this.take(run));
      this.stream.on("runs", (runs) => runs.forEach((run) => this.take(run)));
      this.stream.on("connection", (state) => this.connected(state));
      $("filter").addEventListener("input", () => this.narrow());
      document.forms[0].addEventListener("submit", (event) => event.preventDefault());
      $("states").addEventListener("change", (event) => {
        this.state = event.target.value;
        this.narrow();
      });
      $("more").addEventListener("click", () => {
        this.most += PORTION;
        this.want();
      });
      document.addEventListener("keydown", (event) => this.pressed(event));
      setInterval(() => this.connection.state === "open" && this.passing(), 1000);
      document.addEventListener("visibilitychange", () => this.want());
      this.stream.open();
    }

    take(run) {
      const key = `${run.taskId}/${run.runId}`;
      this.runs.delete(key); // so that those that changed last stand last
      this.runs.set(key, { ...run, key, heard: performance.now() });
      if (this.runs.size > MOST) this.forget(firstOver(this.runs));
      this.want();
    }

    forget(run) {
      if (!run) return;
      this.runs.delete(run.key);
      this.rows.get(run.key)?.element.remove();
      this.rows.delete(run.key);
    }

    connected(state) {
      this.connection.show(state);
      document.documentElement.classList.toggle("stale", state.state === "lost");
      if (state.state === "open") this.heard = true;
      this.want();
    }

    narrow() {
      this.most = PORTION;
      const asked = new URLSearchParams();
      if ($("filter").value) asked.set("q", $("filter").value);
      if (this.state !== "all") asked.set("state", this.state);
      history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
      this.want();
    }

    pressed(event) {
      if (event.key === "/" && event.target !== $("filter") && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        $("filter").focus();
      }
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const links = [...$("rows").querySelectorAll("a")];
      const here = links.indexOf(document.activeElement);
      if (!step || (here < 0 && event.target !== $("filter"))) return;
      const next = here < 0 ? (step > 0 ? links[0] : null) : (links[here + step] ?? (here + step < 0 ? $("filter") : null));
      if (next) {
        event.preventDefault();
        next.focus();
      }
    }

    want() {
      if (!this.wanted && !document.hidden) {
        this.wanted = requestAnimationFrame(() => {
          this.wanted = 0;
          this.show();
        });
      }
    }

    show() {
      const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
      const said = (run) => `${run.label} ${run.taskId} ${run.reason ?? ""} ${run.stage}`.toLowerCase();
      const matching = [...this.runs.values()].filter((run) => words.every((word) => said(run).includes(word)));
      for (const [state, count] of this.counts) page.say(count, String(matching.filter((run) => state === "all" || run.state === state).length));
      const found = matching.filter((run) => this.state === "all" || run.state === this.state);
      found.sort((one, other) => (one.started === other.started ? other.runId - one.runId : one.started < other.started ? 1 : -1));
      this.place(found.slice(0, this.most).map((run) => this.row(run)));
      $("none").hidden = found.length > 0;
      const filtered = this.runs.size > 0 ? "No run is like that." : "No runs yet. They appear here as they begin.";
      page.say($("none"), this.heard ? filtered : "Waiting for the list of runs.");
      const all = page.count(this.runs.size, "run");
      page.say($("count"), !this.heard ? "" : found.length === this.runs.size ? all : `${found.length.toLocaleString("en")} of ${all}`);
      $("more").hidden = found.length <= this.most;
      page.say($("more"), `Show ${Math.min(PORTION, found.length - this.most)} more`);
    }

    place(rows) {
      const body = $("rows");
      const wanted = new Set(rows);
      for (const row of [...body.children]) if (!wanted.has(row)) row.remove();
      rows.forEach((row, index) => {
        if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
      });
    }

    row(run) {
      const row = this.rows.get(run.key) ?? this.newRow(run);
      const { parts } = row;
      page.badge(parts.state, run.state === "running" && run.stage === "pending" ? "pending" : run.state, run.reason);
      page.say(parts.label, page.line(run.label || run.taskId, 200));
      page.say(parts.stage, run.state === "running" ? page.line(run.stage, 60) : "");
      page.say(parts.time, this.took(run));
      return row.element;
    }

    newRow(run) {
      const parts = {
        state: page.element("span"),
        label: page.element("a", { href: run.url, dir: "auto" }),
        stage: page.element("td", { class: "of-stage" }),
        time: page.element("td", { class: "of-time" }),
      };
      const name = page.element("td", { class: "of-name" }, parts.label, page.element("span", { class: "ids" }, `${run.taskId} / ${run.runId}`));
      const started = page.element("td", { class: "of-start" }, page.instant(run.started));
      const element = page.element("tr", {}, page.element("td", { class: "of-state" }, parts.state), name, parts.stage, started, parts.time);
      const row = { element, parts };
      this.rows.set(run.key, row);
      return row;
    }

    /** Let the times of the runs under way go on. */
    passing() {
      for (const [key, { parts }] of this.rows) {
        const run = this.runs.get(key);
        if (run.state === "running") page.say(parts.time, this.took(run));
      }
    }

    took(run) {
      if (run.state !== "running") return page.duration(run.seconds);
      const since = this.connection.state === "open" ? (performance.now() - run.heard) / 1000 : 0;
      return page.duration(Math.floor(run.seconds + since), true).replace(".0", "");
    }
  }

  /** Return the run that is over and changed longest ago. */
  function firstOver(runs) {
    for (const run of runs.values()) if (run.state !== "running") return run;
    return null;
  }

  function chip(state, word, checked) {
    const count = page.element("b", {}, "0");
    const input = page.element("input", { type: "radio", name: "state", value: state, checked });
    $("states").append(page.element("label", { class: "chip" }, input, page.element("span", {}, word, count)));
    return count;
  }

  page.indexPage = new IndexPage();
  page.indexPage.start();
}
