const DATA = JSON.parse(document.getElementById("data").textContent);
const PICTURES = document.getElementById("pictures").firstChild;
const AT_ONCE = 48, PRINTED = 12;
const id = (name) => document.getElementById(name);
function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}
{
  let offset = 0;
  DATA.items.forEach((item, index) => {
    item.index = index;
    item.at = item.pictures.map((length) => { const start = offset; offset += length; return start; });
  });
}
const address = (item, i) => "data:image/webp;base64," + PICTURES.substringData(item.at[i], item.pictures[i]);
const load = (box, item) => box.querySelectorAll("img").forEach((image, i) => (image.src = address(item, i)));
// Only what is near the window, or would be printed, holds a decoded picture.
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) load(target, DATA.items[target.dataset.index]);
    else target.querySelectorAll("img").forEach((image) => image.removeAttribute("src"));
  }
}, { rootMargin: "400px" });

function comparison(item) {
  const box = element("div", "compare" + (item.pictures.length === 1 ? " single" : ""));
  box.dataset.index = item.index;
  box.style.setProperty("--aspect", item.aspect);
  ["raw", "denoised"].slice(0, item.pictures.length).forEach((label, i) => {
    const image = element("img", i ? "after" : "before");
    image.alt = `${item.name}, ${label}`;
    image.draggable = false;
    box.append(image);
  });
  const overlay = (name, shapes) => {
    if (!shapes.length) return;
    const svg = svgNode("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", class: name });
    svg.append(...shapes);
    box.append(svg);
  };
  overlay("frames", item.frames.map(([x, y, width, height]) => svgNode("rect", { x, y, width, height })));
  // From green for the surest pick to red for one of a tenth of noise.
  const hue = (q) => 120 * (1 - Math.min(1, q / 0.1));
  overlay("picks", (item.picks ?? []).map(([cx, cy, rx, ry, q]) => {
    const ring = svgNode("ellipse", { cx, cy, rx, ry, stroke: `hsl(${hue(q)} 90% 55%)` });
    ring.append(Object.assign(svgNode("title", {}), { textContent: `q ${q}` }));
    return ring;
  }));
  const slider = element("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, value: 50 });
  slider.setAttribute("aria-label", `${item.name}: where raw ends and denoised begins`);
  slider.addEventListener("input", () => box.style.setProperty("--at", slider.value + "%"));
  box.append(slider);
  return box;
}
const UNIT = "× noise variance";
const contrast = (item) => `${item.contrast < 0.01 ? "under 0.01" : Number(item.contrast.toPrecision(2))} ${UNIT}`;
function chips(item) {
  const line = element("div");
  for (const key of item.hints) line.append(element("span", "chip", DATA.hints[key]));
  if (item.status === "failed" || item.status === "unreadable") line.append(element("span", "chip bad", item.status));
  return line;
}
function card(item, place) {
  const printed = place < PRINTED;
  const box = element("section", printed ? "card" : "card unprinted"), text = element("div", "text");
  const name = element("button", "name", item.name);
  name.type = "button";
  name.title = item.name;
  name.addEventListener("click", () => open(item));
  if (item.pictures.length) {
    const compare = comparison(item);
    box.append(compare);
    if (printed) load(compare, item);
    else observer.observe(compare);
  }
  text.append(name);
  if (item.contrast != null) text.append(element("span", "", `contrast ${contrast(item)}`));
  if (item.picks) text.append(element("span", "", ` · ${item.picks.length} picks`));
  text.append(chips(item));
  for (const note of item.notes) text.append(element("p", "", note));
  box.append(text);
  return box;
}

const FILTERS = { all: ["all", () => true], hinted: ["with any hint", (i) => i.hints.length], failed: ["failed or unreadable", (i) => ["failed", "unreadable"].includes(i.status)] };
for (const key in DATA.hints) FILTERS[key] = [`hint: ${DATA.hints[key]}`, (i) => i.hints.includes(key)];
if (DATA.items.some((i) => i.frames && i.frames.length)) FILTERS.framed = ["with noise windows", (i) => i.frames && i.frames.length];
else id("frames").parentElement.hidden = true;
const PICKED = DATA.items.some((i) => i.picks);
if (!PICKED) id("picks").parentElement.hidden = true;
else FILTERS.unpicked = ["without picks", (i) => i.picks && !i.picks.length];
for (const item of DATA.items) item.picked = item.picks ? item.picks.length : null;
const by = (key, sign) => (a, b) => ((a[key] ?? sign * Infinity) - (b[key] ?? sign * Infinity)) * sign || a.index - b.index;
const SORTS = {
  order: ["order of the list", (a, b) => a.index - b.index],
  name: ["name", (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)],
  low: ["contrast, lowest first", by("contrast", 1)],
  high: ["contrast, highest first", by("contrast", -1)],
  dark: ["dark patches, most first", by("dark", -1)],
  direction: ["directional power, most first", by("direction", -1)],
  ...(PICKED && { fewest: ["picks, fewest first", by("picked", 1)], most: ["picks, most first", by("picked", -1)] }),
  hints: ["hints, most first", (a, b) => b.hints.length - a.hints.length || a.index - b.index],
};
for (const [select, choices] of [["filter", FILTERS], ["sort", SORTS]]) {
  for (const key in choices) {
    const count = select === "filter" ? DATA.items.filter(choices[key][1]).length : 1;
    if (count) id(select).append(new Option(choices[key][0] + (select === "filter" ? ` (${count})` : ""), key));
  }
}
let chosen = [], shown = 0;
function more() {
  const next = chosen.slice(shown, shown + AT_ONCE);
  id("cards").append(...next.map((item, i) => card(item, shown + i)));
  shown += next.length;
  id("more").hidden = shown >= chosen.length;
}
function update() {
  const text = id("search").value.toLowerCase(), wanted = FILTERS[id("filter").value][1];
  chosen = DATA.items.filter((item) => wanted(item) && item.name.toLowerCase().includes(text));
  chosen.sort(SORTS[id("sort").value][1]);
  observer.disconnect();
  id("cards").replaceChildren();
  shown = 0;
  id("count").textContent = `${chosen.length} of ${DATA.items.length}`;
  id("paper").textContent = chosen.length > PRINTED ? `On paper only the first ${PRINTED}, in the order and choice of the screen.` : "";
  more();
}
for (const [name, event] of [["search", "input"], ["filter", "change"], ["sort", "change"]]) id(name).addEventListener(event, update);
id("frames").addEventListener("change", () => document.body.classList.toggle("windows", id("frames").checked));
id("picks").addEventListener("change", () => document.body.classList.toggle("picked", id("picks").checked));
id("more").addEventListener("click", more);
new IntersectionObserver((entries) => { if (entries[0].isIntersecting) more(); }, { rootMargin: "600px" }).observe(id("more"));

let current = null;
function open(item) {
  current = item;
  id("detail-name").textContent = item.name;
  const body = id("detail-body"), split = element("div", "split"), figures = element("div");
  body.replaceChildren(chips(item), split);
  if (item.pictures.length) {
    const large = comparison(item);
    load(large, item);
    split.append(large);
    const rows = [["size", item.about], ["contrast, 20 to 200 A", item.contrast == null ? "not denoised" : contrast(item)], ["dark area", `${(100 * item.dark).toFixed(2)} %`], ["directional power", `${(100 * item.direction).toFixed(1)} %`], ["noise windows", item.frames.length || "none"], ...(item.picks ? [["picks", item.picks.length]] : [])];
    const table = element("table", "figures");
    for (const [name, value] of rows) {
      const row = table.insertRow();
      row.insertCell().textContent = name;
      row.insertCell().textContent = value;
    }
    const chart = element("figure", "chart");
    const curves = [["raw", item.raw], ["denoised", item.denoised], ...Object.entries(DATA.curves)]
      .filter(([, y]) => y.length)
      .map(([name, y]) => ({ name, x: DATA.frequency, y, dashed: name === "synthesized" }));
    chart.append(element("figcaption", "", "radial power"));
    drawChart(chart, { curves, x_label: "spatial frequency, 1/A", y_label: "power, 1 is white noise", log: true });
    figures.append(table, chart);
    split.append(figures);
  }
  for (const note of item.notes) body.append(element("p", "note", note));
  if (!id("detail").open) id("detail").showModal();
}
function step(by) {
  const at = chosen.indexOf(current) + by;
  if (at >= 0 && at < chosen.length) open(chosen[at]);
}
id("close").addEventListener("click", () => id("detail").close());
id("previous").addEventListener("click", () => step(-1));
id("next").addEventListener("click", () => step(1));
id("detail").addEventListener("keydown", (event) => {
  if (event.target.type === "range") return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
update();
