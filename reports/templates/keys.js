"use strict";
// Legends by keyboard: a row of buttons below a chart, seen when one has the focus, does what a click in its legend does.
const embedWithKeys = (() => {
  const legendParameter = (specification) => {
    const found = [];
    const walk = (part) => {
      for (const one of part.params ?? []) if (one.bind === "legend") found.push({ name: one.name, field: one.select.fields[0] });
      for (const layer of part.layer ?? []) walk(layer);
    };
    walk(specification);
    return found[0];
  };
  const labels = (svg) => [...svg.querySelectorAll(".role-legend-label text")].map((one) => one.textContent);
  const addKeys = (place, view, { name, field }) => {
    const old = place.nextElementSibling;
    if (old?.classList.contains("keys")) old.remove();
    const signal = `${name}_${field}_legend`;
    // A series may be named twice, beside its colour and beside its shape.
    const names = [...new Set(labels(place))];
    if (names.length < 2) return;
    const row = document.createElement("div");
    row.className = "keys";
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "Series to bring forward");
    let chosen = null;
    for (const text of names) {
      const key = document.createElement("button");
      key.type = "button";
      key.textContent = text;
      key.setAttribute("aria-pressed", "false");
      key.addEventListener("click", () => {
        chosen = chosen === text ? null : text;
        view.signal(signal, chosen).runAsync();
        for (const one of row.children) one.setAttribute("aria-pressed", String(one.textContent === chosen));
      });
      row.append(key);
    }
    place.after(row);
  };
  return (place, specification, options) =>
    vegaEmbed(place, specification, options).then((made) => {
      const parameter = legendParameter(specification);
      if (parameter) addKeys(place, made.view, parameter);
      return made;
    });
})();
