"use strict";
// `ast: true` makes Vega interpret its expressions, so that the page's policy can forbid eval.
(() => {
  const specifications = JSON.parse(document.getElementById("figure-specifications").textContent);
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true } };
  for (const [identity, specification] of Object.entries(specifications)) {
    const place = document.getElementById(identity);
    vegaEmbed(place, specification, options).catch((error) => {
      place.textContent = `This figure could not be drawn (${error.message}); its data is in the table below.`;
    });
  }
})();
