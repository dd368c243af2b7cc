// The controls above a log: search, follow, first error, wrap, download. They know nothing of the log itself.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  function made(name, className, attributes = {}) {
    const element = document.createElement(name);
    element.className = className;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  function button(text, title, onPress, className = "") {
    const element = made("button", `log-button ${className}`, { type: "button", title });
    element.textContent = text;
    // What is no word has its title as its name.
    if (!/^[A-Z][a-z]{2,}( [a-z]+)*$/.test(text)) element.setAttribute("aria-label", title);
    element.addEventListener("click", onPress);
    return element;
  }

  // A button that is pressed or not.
  function toggle(text, title, onChange, className) {
    const element = button(text, title, () => onChange(element.getAttribute("aria-pressed") !== "true"), className);
    element.setAttribute("aria-pressed", "false");
    return element;
  }

  class LogToolbar {
    // `actions`: onSearch(text, {ignoreCase, expression}), onStep(1 or -1), onLeave(), onFollow(bool), onError(),
    // onWrap(bool), onDownload(event).
    constructor(actions, label) {
      this.actions = actions;
      this.matchCase = false;
      this.expression = false;
      this.element = made("div", "log-toolbar", { role: "group", "aria-label": `${label}: controls` });
      this.element.append(this.searchPart(), this.viewPart());
    }

    searchPart() {
      const part = made("div", "log-search", { role: "search" });
      const box = made("div", "log-box");
      this.input = made("input", "log-input", {
        type: "search", placeholder: "Search", "aria-label": "Search in the log", title: "Search ( / )",
        autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      });
      this.input.addEventListener("input", () => this.changed());
      this.input.addEventListener("keydown", (event) => this.onKey(event));
      this.count = made("span", "log-count");
      this.caseToggle = toggle("Aa", "Match case", (on) => this.setCase(on), "log-inside");
      this.expressionToggle = toggle(".*", "Regular expression", (on) => this.setExpression(on), "log-inside");
      box.append(this.input, this.count, this.caseToggle, this.expressionToggle);
      this.previous = button("↑", "Previous match (N)", () => this.actions.onStep(-1), "log-arrow");
      this.next = button("↓", "Next match (n)", () => this.actions.onStep(1), "log-arrow");
      part.append(box, this.previous, this.next);
      return part;
    }

    viewPart() {
      const part = made("div", "log-actions");
      this.follow = toggle("Follow", "Show what comes as it comes (f)", this.actions.onFollow, "log-follow");
      this.error = button("First error", "Go to the first error (e)", this.actions.onError, "log-first-error");
      this.errors = made("span", "log-badge");
      this.error.append(this.errors);
      this.wrap = toggle("Wrap", "Wrap long lines (w)", this.actions.onWrap, "");
      this.download = made("a", "log-button", { title: "Download the log as it was written", href: "#", download: "task.log" });
      this.download.textContent = "Download";
      this.download.addEventListener("click", this.actions.onDownload);
      part.append(this.follow, this.error, this.wrap, this.download);
      return part;
    }

    onKey(event) {
      if (event.key === "Enter") this.actions.onStep(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") {
        this.input.value = "";
        this.changed();
        this.actions.onLeave();
      } else return;
      event.preventDefault();
    }

    changed() {
      this.actions.onSearch(this.input.value, { ignoreCase: !this.matchCase, expression: this.expression });
    }

    setCase(on) {
      this.matchCase = on;
      this.caseToggle.setAttribute("aria-pressed", String(on));
      this.changed();
    }

    setExpression(on) {
      this.expression = on;
      this.expressionToggle.setAttribute("aria-pressed", String(on));
      this.changed();
    }

    showCount(text, invalid = false) {
      if (this.count.textContent !== text) this.count.textContent = text;
      this.count.title = text;
      this.count.classList.toggle("log-invalid", invalid);
      this.input.setAttribute("aria-invalid", String(invalid));
    }

    // A log that has ended has nothing to follow: the button still leads to its end.
    showFollow(on, live) {
      const name = live ? "Follow" : "Last line";
      if (this.follow.textContent !== name) this.follow.textContent = name;
      this.follow.title = live ? "Show what comes as it comes (f)" : "Go to the end (f)";
      this.follow.classList.toggle("log-live", live);
      if (live) this.follow.setAttribute("aria-pressed", String(on));
      else this.follow.removeAttribute("aria-pressed");
    }

    showErrors(count, done) {
      this.error.disabled = count === 0 && done;
      this.errors.textContent = count > 0 ? count.toLocaleString("en") : "";
    }
  }

  stagecall.LogToolbar = LogToolbar;
})();
