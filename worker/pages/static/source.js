// Where a page gets its facts from: the worker while it serves, or the data in the page once it is a file.
//
// From the worker they come as server-sent events of `events`: unnamed ones are the trace's, as run.json has them. Named:
//   run          first of all, and again after each new connection: the run's line in the index, {label, started, state,
//                seconds, ...}; `seconds` are the run's until now, so that clocks that differ do no harm
//   progress     of uploads: {filesDone, bytesDone, underWay: [{name, bytesDone, bytesTotal}]}
//   end          the summary below; nothing follows
// In a static file they stand in <script type="application/json" id="stagecall-data">, as one object:
//   trace        the document of run.json: {version, started, events}
//   summary      what `event: end` carries: the object that --json prints, with "explanation" (a list of lines)
//   label        the heading of the page
//   log          {data, head, bytes, omitted, lines}: `data` is base64 of the gzip of the log's bytes; where a part in the
//                middle was left out, `head` is the offset at which it is missing, `omitted` how many bytes it had, and
//                `lines` how many line ends, null if that is not known
//   artifacts    {name: relative address of the file}
//   previews     {name: {text, cut} | {image: "data:..."} | {none: why there is none, a key of NO_PREVIEW}}
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const NO_PREVIEW = { binary: "it is not text", large: "it is too large for this page", gone: "the file was not there" };
  const RETRY = [500, 1000, 2000, 4000, 8000, 15000];

  /** Lets others listen to what happens: `on(name, listener)`, `emit(name, value)`. */
  class Listeners {
    constructor() {
      this.listeners = new Map();
    }

    on(name, listener) {
      const known = this.listeners.get(name) ?? [];
      this.listeners.set(name, [...known, listener]);
      return this;
    }

    emit(name, value) {
      for (const listener of this.listeners.get(name) ?? []) listener(value);
    }
  }

  /** Server-sent events that outlive their connection: closed ones are opened again, later and later. */
  class Stream extends Listeners {
    constructor(url, names) {
      super();
      this.url = url;
      this.names = names;
      this.attempt = 0;
      this.over = false;
      addEventListener("online", () => this.again());
      addEventListener("pagehide", () => this.source?.close());
      addEventListener("pageshow", (event) => event.persisted && !this.over && this.open());
    }

    open() {
      clearTimeout(this.timer);
      this.source?.close();
      const source = (this.source = new EventSource(this.url));
      source.onopen = () => {
        this.attempt = 0;
        this.emit("connection", { state: "open" });
      };
      source.onerror = () => this.source === source && !this.over && this.lost();
      for (const name of this.names) {
        source.addEventListener(name, (event) => {
          const value = parsed(event.data);
          if (value !== undefined) this.emit(name, value);
        });
      }
    }

    /** Try again at once instead of waiting. */
    again() {
      if (!this.over && this.source?.readyState !== EventSource.OPEN) this.open();
    }

    close() {
      this.over = true;
      clearTimeout(this.timer);
      this.source?.close();
    }

    async lost() {
      this.source.close();
      clearTimeout(this.timer);
      const wait = RETRY[Math.min(this.attempt++, RETRY.length - 1)];
      this.timer = setTimeout(() => this.open(), wait);
      this.emit("connection", { state: "lost", until: performance.now() + wait });
      const status = await statusOf(this.url);
      if ((status === 404 || status === 410) && !this.over && this.source.readyState !== EventSource.OPEN) {
        this.close();
        this.emit("connection", { state: "missing" });
      }
    }
  }

  /** A run that a worker serves: emits `event`, `run`, `progress`, `end`, `connection`. */
  class LiveRun extends Listeners {
    constructor() {
      super();
      this.live = true;
      this.next = 0;
      this.stream = new Stream("events", ["message", "run", "progress", "end"]);
      this.stream.on("message", (event) => this.take(event));
      this.stream.on("run", (run) => this.emit("run", run));
      this.stream.on("progress", (progress) => this.emit("progress", progress));
      this.stream.on("connection", (state) => this.emit("connection", state));
      this.stream.on("end", (summary) => {
        this.stream.close();
        this.emit("connection", { state: "ended" });
        this.emit("end", summary);
      });
    }

    start() {
      this.stream.open();
    }

    again() {
      this.stream.again();
    }

    /** After a new connection events may come twice. */
    take(event) {
      if (typeof event.seq !== "number" || event.seq < this.next) return;
      this.next = event.seq + 1;
      this.emit("event", event);
    }

    followLog(view, options) {
      return page.followLog("log", view, options);
    }

    artifactAddress(name) {
      return `artifacts/${name.split("/").map(encodeURIComponent).join("/")}`;
    }

    /** Return {text, cut} of a text, {image} of a picture. Raises: Error that says what became of it. */
    async preview(artifact) {
      const address = this.artifactAddress(artifact.name);
      if (page.isImage(artifact)) return { image: address };
      const response = await fetch(`${address}?preview`);
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const bytes = new Uint8Array(await response.arrayBuffer());
      return { text: page.decoded(bytes), cut: artifact.bytes > bytes.length && bytes.length >= 65536 };
    }
  }

  /** A run that is over, told by the page's own data. */
  class StaticRun extends Listeners {
    constructor(data) {
      super();
      this.live = false;
      this.data = data;
    }

    start() {
      const { trace, summary, label } = this.data;
      this.emit("connection", { state: "static" });
      this.emit("run", { label, started: trace.started });
      for (const event of trace.events) this.emit("event", event);
      this.emit("end", summary);
    }

    again() {}

    async followLog(view, { onState } = {}) {
      const log = this.data.log;
      if (log?.data) {
        const packed = Uint8Array.from(atob(log.data), (character) => character.charCodeAt(0));
        const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
        const whole = new Uint8Array(await new Response(stream).arrayBuffer());
        const head = whole.subarray(0, log.omitted ? log.head : whole.length);
        await view.append(head);
        if (log.omitted) await leaveOut(view, log, head.at(-1) === 10);
        view.append(whole.subarray(head.length));
      }
      view.end();
      onState?.({ state: "ended" });
    }

    artifactAddress(name) {
      return Object.hasOwn(this.data.artifacts ?? {}, name) ? this.data.artifacts[name] : null;
    }

    async preview(artifact) {
      const known = this.data.previews ?? {};
      const preview = page.own(known, artifact.name) ?? { none: "" };
      if ("none" in preview) throw new Error(page.own(NO_PREVIEW, preview.none) ?? "this page has no room for more of them");
      return preview;
    }
  }

  /** Say in a line of its own what is missing in the middle; the lines after it keep their numbers where they are known. */
  async function leaveOut(view, { omitted, lines }, whole) {
    const told = `[stagecall] ${page.bytes(omitted)} of the log are not in this page\n`;
    await view.append(new TextEncoder().encode(whole ? told : `\n${told}`));
    view.leaveOut({ lines: Math.max(0, (lines ?? 0) - (whole ? 1 : 2)), bytes: omitted });
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** Return the status that the server gives to whoever asks for `url`, 0 if it cannot be reached. */
  async function statusOf(url) {
    const control = new AbortController();
    try {
      const response = await fetch(url, { signal: control.signal, headers: { Accept: "text/event-stream" } });
      return response.status;
    } catch {
      return 0;
    } finally {
      control.abort();
    }
  }

  /** Return what the page is to show: the data in it, else the run that it is served for. */
  page.openRun = () => {
    const data = document.getElementById("stagecall-data");
    return data ? new StaticRun(JSON.parse(data.textContent)) : new LiveRun();
  };

  page.Stream = Stream;
}
