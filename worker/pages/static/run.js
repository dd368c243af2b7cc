// The page of one run: takes what its source tells and has the parts of the page show it, live or from the file.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const CALM = matchMedia("(prefers-reduced-motion: reduce)");
  /** Milliseconds between two drawings while only time goes by. */
  const TICK = 200;
  const $ = (id) => document.getElementById(id);
  const ICON = { running: "#d08a1d", pending: "#8a96a8", completed: "#1f9d5c", failed: "#d63a46", exception: "#d63a46" };

  class RunPage {
    constructor(source) {
      this.source = source;
      this.history = new page.History();
      this.diagram = new page.Diagram($("diagram"));
      this.timeLine = new page.TimeLine($("timeline-view"));
      this.artifacts = new page.Artifacts($("artifacts-view"), $("artifacts-note"), source);
      this.story = new page.Story($("story-view"), $("story-note"));
      this.clock = new Clock();
      this.connection = new page.Connection($("connection"), () => source.again());
      this.announcer = new Announcer($("announcement"));
      this.drawn = 0;
      this.tick = this.tick.bind(this);
    }

    start() {
      const { source } = this;
      $("first-error").addEventListener("click", () => {
        $("log").scrollIntoView();
        this.log.firstError();
      });
      source.on("event", (event) => {
        this.history.take(event);
        this.clock.heard(this.history.now);
        this.want();
      });
      source.on("run", (run) => this.about(run));
      source.on("progress", (progress) => this.artifacts.progress(progress));
      source.on("connection", (state) => this.connected(state));
      source.on("end", (summary) => this.ended(summary));
      if (!source.live) for (const link of document.querySelectorAll(".crumbs a, .crumbs [aria-hidden]")) link.remove();
      this.followLog();
      this.followReader();
      source.start();
      this.show();
      setInterval(() => !this.history.over && this.clock.runs && this.want(), CALM.matches ? 1000 : TICK);
      document.addEventListener("visibilitychange", () => this.want());
    }

    followLog() {
      const download = this.source.live ? "log" : null;
      this.log ??= new page.LogView($("log-view"), { label: "Log of the task", download, onErrors: () => this.want() });
      this.source.followLog(this.log, { onState: ({ state }) => (this.logState = state) });
    }

    /** Mark the part of the page that the reader is at, in the list of parts. */
    followReader() {
      const links = new Map([...document.querySelectorAll(".sections a")].map((link) => [link.hash.slice(1), link]));
      const seen = new Set();
      const look = (entries) => {
        for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
        const here = [...links.keys()].find((id) => seen.has(id) && id !== "stages") ?? [...seen][0];
        for (const [id, link] of links) link.toggleAttribute("aria-current", id === here);
        links.get(here)?.setAttribute("aria-current", "true");
      };
      const observer = new IntersectionObserver(look, { rootMargin: "-20% 0px -60% 0px" });
      for (const id of links.keys()) observer.observe($(id));
    }

    about(run) {
      if (run.label) this.label = page.line(run.label, 200);
      if (run.started) this.started = run.started;
      if (run.state === "running" && typeof run.seconds === "number") this.clock.set(run.seconds);
      this.want();
    }

    connected(state) {
      this.connection.show(state);
      this.clock.runs = state.state === "open" || (this.clock.runs && state.state === "connecting");
      this.missing = state.state === "missing";
      if (state.state === "open" && this.logState === "lost") this.followLog();
      document.documentElement.classList.toggle("stale", state.state === "lost");
      this.want();
    }

    ended(summary) {
      this.summary = summary;
      this.clock.runs = false;
      this.artifacts.progress(null);
      this.want();
    }

    /** Draw before the next frame, once, however much happened. */
    want() {
      if (!this.wanted && !document.hidden) this.wanted = requestAnimationFrame(this.tick);
    }

    tick() {
      this.wanted = 0;
      this.show();
    }

    show() {
      const { history } = this;
      const now = history.over || !this.source.live ? history.now : this.clock.now();
      this.diagram.show(history, now);
      this.timeLine.show(history, now, this.diagram.ahead(history));
      this.artifacts.show(history);
      this.showHead(now);
      this.story.show(history, this.summary?.explanation);
      this.showFacts();
      this.announcer.tell(history);
    }

    /** The state of the run in a word. */
    state() {
      const { history } = this;
      if (this.missing && !history.visits.length) return "missing";
      if (!history.visits.length) return this.connection.state === "open" ? "pending" : "connecting";
      if (history.state !== null) return history.state;
      if (history.over || !this.source.live) return "unresolved";
      return history.stage === "pending" ? "pending" : "running";
    }

    showHead(now) {
      const { history } = this;
      const state = this.state();
      page.badge($("state"), state, history.reason);
      const started = history.visits.length > 0;
      page.say($("elapsed"), started ? page.duration(now, !history.over && this.source.live) : "");
      page.say($("summary"), this.told(state));
      $("summary").dataset.state = state;
      const heading = this.label ?? (history.taskId ? `Task ${history.taskId}` : "A run");
      page.say($("heading"), heading);
      page.say($("crumb-task"), history.taskId ? `${history.taskId} / ${history.runId}` : "");
      const stage = state === "running" ? history.stage : page.own(page.STATES, state)?.word ?? page.line(state, 40);
      const title = `${stage} · ${heading}`;
      if (document.title !== title) document.title = title;
      this.showLeads(state);
      this.showIcon(state);
    }

    /** Where to look next: the line of the log that tells what went wrong, if one does, and the files. */
    showLeads(state) {
      const error = state === "failed" || state === "exception" ? this.log.errorFound : null;
      $("first-error").hidden = error === null;
      if (error !== null) {
        const [name, text] = $("first-error").children;
        page.say(name, `First error in the log, line ${error.line.toLocaleString("en")}`);
        page.say(text, page.line(error.text, 300));
      }
      page.say($("stored"), this.artifacts.told());
    }

    /** What there is to know, in a sentence or two. */
    told(state) {
      const { history } = this;
      if (state === "missing") return "No run is known at this address: it may have been long ago, or its worker was started anew.";
      if (!history.visits.length) return "Waiting for the first event.";
      if (this.summary?.explanation) return page.gist(this.summary.explanation, history);
      if (history.cause) return page.line(history.cause, 400);
      if (history.over) return "The run is over.";
      const plugins = [...new Set(history.open.map((call) => call.plugin).filter((plugin) => plugin !== null))];
      const under = plugins.length ? ` Under way: ${plugins.slice(0, 5).map((plugin) => page.line(plugin, 60)).join(", ")}.` : "";
      return `${this.diagram.told(history.stage) || `In ${page.line(history.stage, 60)}`}.${under}`;
    }

    showIcon(state) {
      if (this.icon === state) return;
      this.icon = state;
      const colour = page.own(ICON, state) ?? "#8a96a8";
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.5" fill="${colour}"/></svg>`;
      document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    }

    showFacts() {
      const { history } = this;
      const key = [history.taskId, this.started, history.logBytes, history.plugins.length, history.over].join();
      if (this.facts === key) return;
      this.facts = key;
      const fact = (name, value) => value && page.element("div", {}, page.element("dt", {}, name), page.element("dd", {}, value));
      const trace = this.source.live && page.element("a", { href: "run.json" }, "run.json");
      const facts = [
        fact("Task", history.taskId && page.element("code", {}, history.taskId)),
        fact("Run", history.runId === null ? null : String(history.runId)),
        fact("Started", this.started && page.instant(this.started)),
        fact("Lifecycle", page.line(history.lifecycle, 60)),
        fact("Plugins", page.line(history.plugins.join(", "), 400)),
        fact("Log", history.logBytes === null ? null : page.bytes(history.logBytes)),
        fact("Trace", trace),
      ];
      $("facts").replaceChildren(...facts.filter(Boolean));
    }
  }

  /** The seconds since the run was created, by the worker's clock as far as it was heard of. */
  class Clock {
    constructor() {
      this.runs = false;
      this.at = null;
    }

    set(seconds) {
      this.at = { seconds, since: performance.now() };
    }

    /** An event of that time has come: it is at least as late. */
    heard(seconds) {
      if (this.at === null || seconds > this.now()) this.set(seconds);
      this.last = Math.max(this.last ?? 0, this.now());
    }

    now() {
      if (this.at === null) return 0;
      if (!this.runs) return Math.max(this.last ?? 0, this.at.seconds);
      this.last = Math.max(this.last ?? 0, this.at.seconds + (performance.now() - this.at.since) / 1000);
      return this.last;
    }
  }

  /** Tells the stage and the resolution to who cannot see them; not each of several that pass within a moment. */
  class Announcer {
    constructor(element) {
      this.element = element;
      this.told = null;
    }

    tell(history) {
      const text = history.state !== null ? `The run is over: ${history.state}${history.reason ? `, ${history.reason}` : ""}.` : history.stage && `Stage ${history.stage}.`;
      if (!text || text === this.told) return;
      this.told = text;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => page.say(this.element, text), 400);
    }
  }

  page.runPage = new RunPage(page.openRun());
  page.runPage.start();
}
