// Reads a log over HTTP while it grows: stagecall.followLog(url, view, {signal, onState}).
//
// The log is one response that ends when the log does. When the connection drops before, the rest is asked for with
// `Range: bytes=N-`, N being what the view has already, after a pause that grows from try to try. `onState` is called with
// {state, offset, retryIn (seconds) | null, error | null}; the states are "connecting", "following", "waiting", "ended",
// "failed" (the server said something final) and "lost" (TRIES attempts in a row brought nothing; call again to go on).
// Resolves to the last state; "stopped" after `signal`.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  const TRIES = 12;
  const FIRST_PAUSE = 0.25; // seconds, doubled from try to try
  const LONGEST_PAUSE = 10;
  const BREATH_MS = 8; // after so much work the browser may draw
  const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

  class Final extends Error {}

  const TEXTS = {
    connecting: () => "connecting",
    following: () => "following",
    waiting: ({ retryIn }) => `connection lost, trying again in ${retryIn.toFixed(retryIn < 1 ? 1 : 0)} s`,
    ended: () => "complete",
    failed: ({ error }) => `cannot be read: ${error.message}`,
    lost: () => "connection lost",
    stopped: () => "",
  };

  class Follower {
    constructor(url, view, { signal, onState }) {
      this.url = url;
      this.view = view;
      this.signal = signal;
      this.onState = onState;
      this.drawn = performance.now();
    }

    tell(state, { retryIn = null, error = null } = {}) {
      const told = { state, offset: this.view.size, retryIn, error };
      this.view.setStatus(TEXTS[state](told));
      this.onState?.(told);
      return state;
    }

    async run() {
      for (let failures = 0; failures < TRIES; ) {
        const before = this.view.size;
        try {
          this.tell("connecting");
          await this.read();
          await this.view.end();
          return this.tell("ended");
        } catch (error) {
          if (this.signal?.aborted) return this.tell("stopped");
          if (error instanceof Final) return this.tell("failed", { error });
          failures = this.view.size > before ? 1 : failures + 1;
          await this.pause(failures, error);
          if (this.signal?.aborted) return this.tell("stopped");
        }
      }
      return this.tell("lost");
    }

    // Read one response to its end. Raises: what fetch raises when the connection drops; Final.
    async read() {
      const offset = this.view.size;
      const headers = offset > 0 ? { Range: `bytes=${offset}-` } : {};
      const response = await fetch(this.url, { headers, signal: this.signal, cache: "no-store" });
      const skipped = this.check(response, offset);
      if (skipped === null) return;
      this.tell("following");
      await this.take(response.body.getReader(), skipped);
    }

    // How many bytes of a response the view has already; null if the log has ended and the view has all.
    check({ status, statusText, headers }, offset) {
      if (status === 200) return offset;
      const range = headers.get("Content-Range") ?? "";
      if (status === 206) {
        if (range !== "" && !range.startsWith(`bytes ${offset}-`)) throw new Final(`asked for ${offset}-, got ${range}`);
        return 0;
      }
      if (status === 416 && range === `bytes */${offset}`) return null;
      if (PASSING.has(status)) throw new Error(`${status} ${statusText}`);
      throw new Final(`${status} ${statusText}`.trim());
    }

    async take(reader, skipped) {
      for (;;) {
        const { done, value } = await reader.read();
        if (done && skipped > 0) throw new Final("it is shorter than what was read of it before");
        if (done) return;
        const rest = value.subarray(Math.min(skipped, value.length));
        skipped -= value.length - rest.length;
        if (rest.length > 0) await this.view.append(rest);
        if (performance.now() - this.drawn > BREATH_MS) {
          await new Promise((resolve) => stagecall.later(resolve));
          this.drawn = performance.now();
        }
      }
    }

    // Wait before trying again; shorter if the network comes back.
    async pause(failures, error) {
      const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1));
      const retryIn = longest * (0.5 + Math.random() / 2); // many pages must not come back at once
      this.tell("waiting", { retryIn, error });
      const over = new AbortController();
      await new Promise((resolve) => {
        const { signal } = over;
        setTimeout(resolve, 1000 * retryIn);
        addEventListener("online", resolve, { signal });
        this.signal?.addEventListener("abort", resolve, { signal });
      });
      over.abort();
    }
  }

  stagecall.followLog = (url, view, options = {}) => new Follower(url, view, options).run();
})();
