"use strict";
// `ast: true` makes Vega interpret its expressions, so that the page's policy can forbid eval.
(() => {
  const specifications = JSON.parse(document.getElementById("figure-specifications").textContent);
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true } };
  for (const [identity, specification] of Object.entries(specifications)) {
    const place = document.getElementById(identity);
    vegaEmbed(place, specification, options).then(
      // The place is one image with a text, which Vega has turned into a document of marks to be read out one by one, without names.
      () => {
        place.setAttribute("role", "img");
        place.removeAttribute("aria-roledescription");
        place.querySelector("svg")?.setAttribute("aria-hidden", "true");
      },
      (error) => {
        place.removeAttribute("role");
        place.textContent = `This figure could not be drawn (${error.message}); its data is in the table below.`;
      },
    );
  }
  // On paper nothing can be opened: the checks are printed, the figures' data are not (their charts are).
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open]):not(.data)")];
    for (const item of opened) item.open = true;
  });
  addEventListener("afterprint", () => {
    for (const item of opened) item.open = false;
  });
})();
