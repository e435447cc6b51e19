"use strict";
// `ast: true` makes Vega interpret its expressions, so that the page's policy can forbid eval.
// Text that was packed by gzip, in base64.
const unpacked = (packed) => {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
(async () => {
  const places = [...document.querySelectorAll(".chart")];
  // Vega and the specifications are packed, which halves the page. The policy allows the unpacked script by its hash.
  let specifications;
  try {
    specifications = JSON.parse(await unpacked(document.getElementById("figure-specifications").textContent));
    const bundle = document.createElement("script");
    bundle.textContent = await unpacked(document.getElementById("vega-bundle").textContent);
    document.head.append(bundle);
  } catch (error) {
    for (const place of places) {
      place.removeAttribute("role");
      place.textContent = `This figure could not be drawn (${error.message}; it takes a browser of 2023 or later); its data is in the table below.`;
    }
    return;
  }
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true } };
  const phone = matchMedia("(max-width: 840px)");
  // A chart in a closed fold has no width of its own yet: it is drawn as wide as what holds the fold, and again when that opens.
  const draw = (place) => {
    const narrow = phone.matches ? specifications[`${place.id}@narrow`] : undefined;
    const specification = { ...(narrow ?? specifications[place.id]) };
    let around = place;
    while (!around.clientWidth && around.parentElement) around = around.parentElement;
    if (around !== place && specification.width === "container") specification.width = Math.max(260, Math.min(620, around.clientWidth - 60));
    return embedWithKeys(place, specification, options).then(
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
  };
  for (const place of places) draw(place);
  phone.addEventListener("change", () => {
    for (const place of places) if (`${place.id}@narrow` in specifications) draw(place);
  });
  const hidden = new Set(places.filter((place) => !place.clientWidth));
  const shown = () => {
    for (const place of hidden) {
      if (!place.clientWidth) continue;
      hidden.delete(place);
      draw(place);
    }
  };
  document.addEventListener("toggle", shown, true);
  document.addEventListener("change", shown);
})();
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button[data-packed]");
  if (!button) return;
  const file = document.createElement("a");
  file.href = URL.createObjectURL(new Blob([await unpacked(button.dataset.packed)], { type: "text/csv" }));
  file.download = button.dataset.name;
  file.click();
});
(() => {
  // On paper nothing can be opened: what is folded is printed, the figures' data are not (their charts are).
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const item of opened) item.open = true;
  });
  addEventListener("afterprint", () => {
    for (const item of opened) item.open = false;
  });
})();
