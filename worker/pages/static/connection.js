// How the line to the worker stands: shown while it is not as it should be, and for a moment when it is again.
"use strict";
{
  const page = (globalThis.stagecall ??= {});

  class Connection {
    constructor(element, again) {
      this.element = element;
      this.state = "connecting";
      this.text = page.element("span");
      this.button = page.element("button", { type: "button", class: "quiet", hidden: true }, "Try now");
      this.button.addEventListener("click", again);
      element.append(this.text, this.button);
      this.show({ state: "connecting" });
    }

    show({ state }) {
      const before = this.state;
      this.state = state;
      const again = state === "open" && before === "lost";
      const told = {
        connecting: "",
        open: again ? "Connected again" : "Live",
        lost: "Connection lost; what is shown may be old. Trying again",
        ended: "",
        missing: "",
        static: "",
      };
      this.element.dataset.state = again ? "again" : state;
      page.say(this.text, told[state] ?? "");
      this.button.hidden = state !== "lost";
      clearTimeout(this.timer);
      if (again) this.timer = setTimeout(() => this.state === "open" && this.show({ state }), 4000);
    }
  }

  page.Connection = Connection;
}
