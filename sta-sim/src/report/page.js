// One line of time through all charts, under the pointer.
(() => {
  const body = document.body, end = Number(body.dataset.end), cursor = document.getElementById("cursor");
  const [left, right, width] = body.dataset.scale.split(" ").map(Number);
  body.addEventListener("pointermove", (event) => {
    const chart = event.target.closest?.("svg.chart");
    const box = chart?.getBoundingClientRect();
    const at = box && ((event.clientX - box.left) / box.width * width - left) / (right - left);
    const inside = at >= 0 && at <= 1;
    cursor.style.display = inside ? "block" : "none";
    if (!inside) return;
    cursor.style.left = event.pageX + "px";
    cursor.style.height = body.scrollHeight + "px";
    cursor.firstElementChild.textContent = (at * end).toFixed(3) + " s";
  });
})();
