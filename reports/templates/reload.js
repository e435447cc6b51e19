"use strict";
// A page of a study that runs loads itself again, and stays where its reader was: at the same place, with the same folds open.
(() => {
  const every = Number(document.documentElement.dataset.reload);
  if (!every) return;
  const key = `reload:${location.pathname}`;
  const folds = () => [...document.querySelectorAll("details")];
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(key));
    sessionStorage.removeItem(key);
  } catch {
    // A browser may keep nothing of a page that lies on a disk.
  }
  if (kept) {
    history.scrollRestoration = "manual";
    folds().forEach((fold, place) => {
      fold.open = kept.open.includes(place);
    });
    const back = () => scrollTo(0, kept.top);
    back();
    // Charts that are drawn later push down what is below them.
    const watch = new ResizeObserver(back);
    watch.observe(document.body);
    const leave = () => watch.disconnect();
    for (const event of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(event, leave, { once: true, passive: true });
    setTimeout(leave, 3000);
  }
  setTimeout(() => {
    try {
      const open = folds().flatMap((fold, place) => (fold.open ? [place] : []));
      sessionStorage.setItem(key, JSON.stringify({ top: scrollY, open }));
    } catch {
      // Then it begins at its top.
    }
    location.reload();
  }, every * 1000);
})();
