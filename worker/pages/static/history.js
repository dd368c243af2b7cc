// What the events of one trace say about its run, in the shape that is drawn: as lifecycle/diagram/history.py, but growing.
//
// A trace may break off anywhere and its texts may come from anyone: a time that is no time or goes back counts as the
// time before it, an unknown outcome counts as failed.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const OUTCOMES = new Set(["ok", "failed", "timeout", "cancelled", "abandoned"]);
  const BAD = new Set(["failed", "timeout", "abandoned", "lost"]);
  const WORDS = { open: "under way", refused: "says failed", lost: "lost with its process" };
  /** More messages than this are counted, not kept: a page must not grow for as long as something repeats itself. */
  const MOST_NOTES = 500;

  /** One hook, engine call or step; `plugin` is null for the engine's and the run's own, `end` null until it returns. */
  class Call {
    constructor(id, stage, plugin, name, start) {
      Object.assign(this, { id, stage, plugin, name, start, end: null, outcome: null, error: null, value: null });
    }

    /** How it went, in a word that is its CSS class too. */
    get tone() {
      if (this.outcome === null) return "open";
      return this.outcome === "ok" && this.value === false ? "refused" : this.outcome;
    }

    get bad() {
      return BAD.has(this.outcome);
    }

    get word() {
      return WORDS[this.tone] ?? this.tone;
    }

    seconds(now) {
      return Math.max(0, (this.end ?? now) - this.start);
    }
  }

  /** The run's time in one stage; `end` is null for the one it is in. */
  class Visit {
    constructor(stage, start) {
      Object.assign(this, { stage, start, end: null, calls: [], problems: 0, aborts: [] });
    }

    get bad() {
      return this.problems > 0 || this.calls.some((call) => call.bad);
    }

    /** Whether a hook said in it that the task failed, which is no fault of the hook. */
    get refused() {
      return this.calls.some((call) => call.tone === "refused");
    }

    seconds(now) {
      return Math.max(0, (this.end ?? now) - this.start);
    }
  }

  class History {
    constructor() {
      Object.assign(this, { taskId: "", runId: null, lifecycle: "", plugins: [], visits: [], moves: [], now: 0 });
      Object.assign(this, { state: null, reason: null, cause: null, over: false, logBytes: null, created: null });
      this.calls = [];
      this.artifacts = new Map();
      this.notes = [];
      this.moreNotes = 0;
      /** Grows with every event, for who draws only what is new. */
      this.version = 0;
      this.open = [];
    }

    /** The stage the run is in, or was in last. */
    get stage() {
      return this.visits.at(-1)?.stage ?? null;
    }

    /** The calls that said that the task failed. */
    get refusals() {
      return this.calls.filter((call) => call.tone === "refused");
    }

    /** The stage the run is in; null once it is over. */
    get current() {
      return this.over ? null : this.stage;
    }

    take(event) {
      const time = Number(event.time);
      if (time > this.now && time < Infinity) this.now = time;
      if (!this.visits.length) this.visits.push(new Visit(text(event.source ?? event.stage), this.now));
      this.version += 1;
      page.own(TAKES, text(event.kind))?.call(this, event, this.visits.at(-1));
    }

    note(event, tone, told) {
      if (this.notes.length >= MOST_NOTES) this.moreNotes += 1;
      else this.notes.push({ time: this.now, stage: text(event.stage), plugin: optional(event.plugin), tone, told });
    }
  }

  const TAKES = {
    run(event) {
      this.taskId = text(event.task_id);
      this.runId = event.run_id ?? null;
      this.lifecycle = text(event.lifecycle);
      this.created = optional(event.created);
      const plugins = Array.isArray(event.plugins) ? event.plugins : [];
      this.plugins = [...new Set(plugins.map((plugin) => text(plugin?.name ?? plugin)))];
    },
    move(event, visit) {
      visit.end = this.now;
      this.moves.push([text(event.source), text(event.stage)]);
      this.visits.push(new Visit(text(event.stage), this.now));
    },
    call(event, visit) {
      const call = new Call(this.calls.length, visit.stage, optional(event.plugin), text(event.call), this.now);
      this.calls.push(call);
      this.open.push(call);
      visit.calls.push(call);
      if (call.plugin !== null && !this.plugins.includes(call.plugin)) this.plugins.push(call.plugin);
    },
    return(event) {
      const plugin = optional(event.plugin);
      const place = this.open.findIndex((call) => call.plugin === plugin && call.name === text(event.call));
      if (place < 0) return;
      const [call] = this.open.splice(place, 1);
      call.end = this.now;
      call.outcome = OUTCOMES.has(event.outcome ?? "ok") ? (event.outcome ?? "ok") : "failed";
      call.error = optional(event.error);
      call.value = event.value ?? null;
    },
    "not-created"(event) {
      this.note(event, "warn", `takes no part: ${text(event.why)}`);
    },
    "log-closed"(event) {
      this.logBytes = event.bytes;
    },
    "late-log"(event) {
      this.note(event, "late", text(event.text));
    },
    abort(event, visit) {
      if (event.accepted !== false) visit.aborts.push([this.now, text(event.reason)]);
      this.note(event, "bad", `the run was aborted: ${text(event.reason)}${event.accepted === false ? ", too late to decide" : ""}`);
    },
    error(event, visit) {
      visit.problems += 1;
      const said = text(event.message);
      const incident = event.incident && !said.includes(text(event.incident)) ? ` (incident ${text(event.incident)})` : "";
      const kind = text(event.severity ?? "error").replaceAll("_", "-").toLowerCase();
      this.note(event, event.counted === false ? "warn" : "bad", `${kind} error: ${said}${incident}`);
    },
    outcome(event) {
      if (event.final === false) return;
      this.state = optional(event.state);
      this.reason = optional(event.reason);
      this.cause = optional(event.cause);
    },
    report(event) {
      if ((event.outcome ?? "ok") !== "ok") {
        this.note(event, "warn", `reporting the resolution: ${text(event.outcome)} ${text(event.error)}`);
      }
    },
    artifact(event) {
      const name = text(event.name);
      this.artifacts.set(name, {
        name,
        storage: text(event.storage),
        contentType: optional(event.content_type),
        contentEncoding: optional(event.content_encoding),
        expires: optional(event.expires),
        reason: optional(event.reason),
        url: optional(event.url),
        target: optional(event.target),
        bytes: typeof event.bytes === "number" ? event.bytes : null,
        sha256: optional(event.sha256),
      });
    },
    recovered(event) {
      for (const call of this.open.splice(0)) Object.assign(call, { end: this.now, outcome: "lost" });
      this.over = false;
      this.note(event, "bad", "the process that had the run died; another one ends the run");
    },
    observer(event) {
      this.note(event, "warn", `an observer of the run raised and was removed: ${text(event.error)}`);
    },
    late(event) {
      this.note(event, "late", `${text(event.call)} came back after it had been abandoned`);
    },
    end(_event, visit) {
      this.over = true;
      visit.end = this.now;
    },
  };

  function text(value) {
    return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "");
  }

  function optional(value) {
    return value === null || value === undefined ? null : text(value);
  }

  page.History = History;
}
