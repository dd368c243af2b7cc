// The state diagram: lights the stage the run is in, and the edges it took, in the outline that the page holds.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  const PADDING = 12;
  const STATES = ["entered", "current", "failed", "refused", "skipped"];

  class Diagram {
    /** `figure` holds the outline, if the worker could draw it; the same in words goes below it. */
    constructor(figure) {
      this.figure = figure;
      this.svg = figure.querySelector("svg");
      this.cards = new Map();
      this.edges = new Map();
      for (const edge of figure.querySelectorAll("[data-edge]")) this.edges.set(edge.dataset.edge, edge);
      for (const card of figure.querySelectorAll("[data-stage]")) this.prepare(card);
      this.items = new Map();
      this.list = page.element("ol", { class: this.svg ? "unseen" : "stage-list", "aria-label": "Stages" });
      for (const name of this.cards.keys()) this.item(name);
      figure.append(this.list);
      this.moves = 0;
    }

    prepare(card) {
      const box = card.querySelector(".box");
      const name = card.querySelector("text.name");
      const [x, y, width, height] = ["x", "y", "width", "height"].map((side) => Number(box.getAttribute(side)));
      const halo = { x: x - 3, y: y - 3, width: width + 6, height: height + 6, rx: Number(box.getAttribute("rx")) + 3 };
      card.prepend(page.drawn("rect", { class: "halo", ...halo }));
      const right = x + width - PADDING;
      const baseline = name.getAttribute("y");
      const took = page.drawn("text", { class: "took", x: right, y: baseline });
      const middle = y + height / 2;
      const sign = page.drawn("path", { class: "sign", d: `M${x - 4},${middle - 4}l8,8m0,-8l-8,8` });
      card.append(took, page.drawn("circle", { class: "coin", cx: x, cy: middle, r: 8 }), sign);
      this.cards.set(card.dataset.name, { card, took, id: card.dataset.stage, role: roleOf(card) });
    }

    item(name) {
      const told = page.element("span");
      this.items.set(name, told);
      this.list.append(page.element("li", {}, page.element("bdi", {}, name), told));
      return told;
    }

    /** The names of the stages that may still come, from where the run is: along the edges of the main path. */
    ahead(history) {
      const names = new Map([...this.cards].map(([name, card]) => [card.id, name]));
      const next = new Map();
      for (const [key, edge] of this.edges) {
        const [source, target] = key.split(" ");
        if (edge.classList.contains("main")) next.set(names.get(source), names.get(target));
      }
      const found = [];
      const first = [...this.cards].find(([, card]) => card.role === "initial")?.[0];
      let name = history.stage === null ? first : next.get(history.stage);
      if (history.stage === null && first !== undefined) found.push(first), (name = next.get(first));
      while (name !== undefined && !found.includes(name)) {
        found.push(name);
        name = next.get(name);
      }
      return history.over ? [] : found;
    }

    /** What a stage is for, as its card's title says it; empty where there is no card. */
    told(stage) {
      return this.cards.get(stage)?.card.querySelector("title")?.textContent ?? "";
    }

    show(history, now) {
      const visits = new Map(history.visits.map((visit) => [visit.stage, visit]));
      for (const [name, { card, took }] of this.cards) {
        const visit = visits.get(name);
        this.mark(card, stateOf(visit, history));
        page.say(took, visit ? page.duration(visit.seconds(now), visit.end === null) : "");
      }
      for (const { stage } of history.visits) if (!this.items.has(stage)) this.item(stage);
      for (const [name, told] of this.items) page.say(told, `: ${words(visits.get(name), history, now)}`);
      for (const [source, target] of history.moves.slice(this.moves)) this.take(source, target);
      this.moves = history.moves.length;
    }

    mark(card, state) {
      if (card.dataset.state === state) return;
      card.dataset.state = state;
      for (const known of STATES) card.classList.toggle(known, known === state);
    }

    /** Mark the edge of a move; to an exception stage it may lead over a branch and the trunk. */
    take(source, target) {
      this.svg?.classList.add("run");
      const [from, to] = [this.cards.get(source)?.id, this.cards.get(target)?.id];
      const direct = this.edges.get(`${from} ${to}`);
      if (direct) {
        direct.classList.add("taken");
        return;
      }
      let joint = `${from}/${to}`;
      this.edges.get(`${from} ${joint}`)?.classList.add("taken");
      for (let steps = this.edges.size; steps > 0 && joint !== to; steps -= 1) {
        const trunk = [...this.edges].find(([key, edge]) => key.startsWith(`${joint} `) && edge.classList.contains("trunk"));
        if (!trunk) return;
        trunk[1].classList.add("taken");
        joint = trunk[0].slice(joint.length + 1);
      }
    }
  }

  function roleOf(card) {
    return ["initial", "main", "aside", "final"].find((role) => card.classList.contains(role)) ?? "unknown";
  }

  function stateOf(visit, history) {
    if (!visit) return history.over ? "skipped" : "";
    if (visit === history.visits.at(-1) && !history.over) return "current";
    if (visit.bad) return "failed";
    return visit.refused ? "refused" : "entered";
  }

  function words(visit, history, now) {
    if (!visit) return history.over ? "not entered" : "not yet entered";
    if (visit.end === null) return "the run is here";
    const how = visit.bad ? "went wrong, " : visit.refused ? "said that the task failed, " : "";
    return `${how}took ${page.duration(visit.seconds(now))}`;
  }

  page.Diagram = Diagram;
}
