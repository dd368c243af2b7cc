// Elements made from hostile text, and how durations, sizes and instants read.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const SVG = "http://www.w3.org/2000/svg";
  const IMAGES = /^image\/(png|jpeg|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon)$/;
  // Controls, lone surrogates, and what turns the line around: the same as in the pictures (lifecycle/diagram/markup.py).
  const FORBIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]|\p{Surrogate}/gu;

  /** Return `text` with every character that must not reach the page replaced. */
  page.clean = (text) => String(text ?? "").replace(FORBIDDEN, "\ufffd");

  /** Return `text` on one line of at most `most` characters. */
  page.line = (text, most = 400) => {
    const line = page.clean(String(text ?? "").slice(0, 4 * most).replace(/\s+/gu, " ").trim());
    return line.length > most ? `${line.slice(0, most - 1).trimEnd()}…` : line;
  };

  function filled(made, attributes, content) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, page.clean(value));
    }
    for (const part of content) {
      if (part !== null && part !== undefined) made.append(part instanceof Node ? part : page.clean(part));
    }
    return made;
  }

  /** Return what stands in a table under a name from anywhere; nothing for names that every object has. */
  page.own = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

  /** Return an HTML element; attributes that are null or false are left out, text is never read as markup. */
  page.element = (tag, attributes = {}, ...content) => filled(document.createElement(tag), attributes, content);

  /** Return an SVG element. */
  page.drawn = (tag, attributes = {}, ...content) => filled(document.createElementNS(SVG, tag), attributes, content);

  /** Set an element's text if it is another: what did not change is not announced, selected text stays selected. */
  page.say = (element, text) => {
    const wanted = page.clean(text);
    if (element.textContent !== wanted) element.textContent = wanted;
  };

  /** Return a duration as people read it, as the pictures do; while it grows, without digits that only flicker. */
  page.duration = (seconds, growing = false) => {
    if (seconds >= 59.95) {
      const whole = growing ? Math.floor(seconds) : Math.round(seconds);
      const minutes = Math.floor(whole / 60);
      if (minutes < 60) return `${minutes} min ${whole % 60} s`;
      return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    }
    if (growing) return `${Math.max(0, seconds).toFixed(1)} s`;
    if (seconds < 0.0000995) return `${(seconds * 1e6).toFixed(0)} µs`;
    if (seconds < 0.00995) return `${(seconds * 1000).toFixed(1)} ms`;
    if (seconds < 0.9995) return `${(seconds * 1000).toFixed(0)} ms`;
    return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  };

  /** Return a size as people read it, in powers of 1024. */
  page.bytes = (count) => {
    if (typeof count !== "number" || !(count >= 0)) return "";
    if (count < 1024) return `${count} B`;
    let value = count;
    let unit = -1;
    while (value >= 1023.5 && unit < 4) {
      value /= 1024;
      unit += 1;
    }
    return `${value.toFixed(value < 9.95 ? 1 : 0)} ${["KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
  };

  /** Return a count of things: "1 artifact", "2,000 artifacts". */
  page.count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

  /** Return a <time> of an ISO instant in the reader's time zone; null for what is no instant. */
  page.instant = (iso) => {
    const date = new Date(iso);
    if (Number.isNaN(date.getTime())) return null;
    const two = (number) => String(number).padStart(2, "0");
    const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
    return page.element("time", { datetime: date.toISOString(), title: date.toISOString() }, `${day} ${clock}`);
  };

  /** Return whether an artifact is a picture that a browser draws and that can hold no script. */
  page.isImage = (artifact) => IMAGES.test(String(artifact.contentType ?? "").split(";")[0].trim().toLowerCase());

  /** Return the text of bytes; what is not UTF-8 in them is replaced. */
  page.decoded = (bytes) => new TextDecoder().decode(bytes);

  /** The states of runs: what they are called, and the sign that tells them apart without colour. */
  page.STATES = {
    connecting: { word: "connecting", sign: "" },
    pending: { word: "pending", sign: "" },
    running: { word: "running", sign: "" },
    completed: { word: "completed", sign: "✓" },
    failed: { word: "failed", sign: "✕" },
    exception: { word: "exception", sign: "!" },
    unresolved: { word: "never resolved", sign: "?" },
    missing: { word: "not found", sign: "?" },
  };

  /** Make `element` a badge of a state; `more` follows the word: a reason. */
  page.badge = (element, state, more) => {
    const { word, sign } = page.own(page.STATES, state) ?? { word: page.line(state, 40), sign: "?" };
    const text = more ? `${word}: ${page.line(more, 80)}` : word;
    if (element.dataset.state === state && element.dataset.text === text) return element;
    element.dataset.state = state;
    element.dataset.text = text;
    element.classList.add("state");
    element.replaceChildren(page.element("span", { class: "sign", "aria-hidden": "true" }, sign), page.element("span", { class: "word", title: text }, text));
    return element;
  };
}
