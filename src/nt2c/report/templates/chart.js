const COLOURS = ["#0f8aa6", "#d07a1e", "#7b61c9", "#4c9a52"];
const DECADES = 6; // of a logarithmic axis at most; a line that falls further leaves the chart
const SVG = new DOMParser().parseFromString("<svg></svg>", "text/html").body.firstChild.namespaceURI;
function svgNode(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return node;
}
// Values and the words for them, with as many decimals as the step needs.
function niceTicks(low, high) {
  const raw = (high - low) / 4 || 1, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * unit >= raw) * unit;
  const ticks = [], decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-6; t += step) ticks.push([t, t.toFixed(decimals)]);
  return ticks;
}
function drawChart(figure, chart) {
  const width = 460, height = 280, left = 58, right = 12, top = 10, bottom = 40;
  const kept = chart.curves.map((c) => c.x.map((x, i) => [x, c.y[i]]).filter((p) => !chart.log || p[1] > 0));
  const points = kept.flat();
  if (!points.length) return;
  const scale = (v) => (chart.log ? Math.log10(v) : v);
  const xs = points.map((p) => p[0]), ys = points.map((p) => scale(p[1]));
  const x0 = Math.min(...xs), x1 = Math.max(...xs);
  let y1 = Math.max(...ys), y0 = Math.min(...ys);
  if (chart.log) { y1 = Math.ceil(y1); y0 = Math.max(Math.floor(y0), y1 - DECADES); }
  if (y0 === y1) { y0 -= 1; y1 += 1; }
  const px = (x) => left + ((x - x0) / (x1 - x0 || 1)) * (width - left - right);
  const py = (y) => top + ((y1 - y) / (y1 - y0)) * (height - top - bottom);
  const svg = svgNode("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": chart.title || chart.y_label });
  const decades = () => Array.from({ length: y1 - y0 + 1 }, (_, i) => [y0 + i, Number((10 ** (y0 + i)).toPrecision(3)).toString()]);
  for (const [t, words] of chart.log ? decades() : niceTicks(y0, y1)) {
    svg.append(svgNode("line", { class: "grid", x1: left, x2: width - right, y1: py(t), y2: py(t) }));
    svg.append(svgNode("text", { x: left - 6, y: py(t) + 4, "text-anchor": "end" }, words));
  }
  for (const [t, words] of niceTicks(x0, x1)) {
    svg.append(svgNode("text", { x: px(t), y: height - bottom + 16, "text-anchor": "middle" }, words));
  }
  svg.append(svgNode("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, chart.x_label));
  svg.append(svgNode("text", { transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, chart.y_label));
  // Its border cuts the lines.
  const plot = svgNode("svg", { x: left, y: top, width: width - left - right, height: height - top - bottom, viewBox: `${left} ${top} ${width - left - right} ${height - top - bottom}` });
  svg.append(plot);
  const legend = document.createElement("div");
  legend.className = "legend";
  chart.curves.forEach((curve, i) => {
    const path = kept[i].map((p, j) => `${j ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(scale(p[1])).toFixed(1)}`).join("");
    const colour = COLOURS[i % COLOURS.length];
    plot.append(svgNode("path", { class: "line", d: path, stroke: colour, "stroke-dasharray": curve.dashed ? "5 4" : "none" }));
    const entry = document.createElement("span"), mark = document.createElement("i");
    mark.style.borderTopColor = colour;
    mark.style.borderTopStyle = curve.dashed ? "dashed" : "solid";
    entry.append(mark, curve.name);
    legend.append(entry);
  });
  figure.append(svg, legend);
}
for (const figure of document.querySelectorAll("figure.chart")) {
  drawChart(figure, JSON.parse(figure.querySelector("script").textContent));
}
