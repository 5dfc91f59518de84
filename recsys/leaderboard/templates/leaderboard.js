// Sorts the table of a leaderboard, and draws its figures in the light or dark theme of the browser.
"use strict";

for (const [column, header] of document.querySelectorAll("thead th").entries()) {
  header.querySelector("button").addEventListener("click", () => {
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = document.querySelector("tbody");
    const order = row => row.cells[column].dataset.order; // undefined: no value, which is last in both directions
    const rows = [...body.rows].sort((a, b) => {
      if (order(a) === undefined || order(b) === undefined) return (order(a) === undefined) - (order(b) === undefined);
      return (order(a) - order(b)) * (descending ? -1 : 1);
    });
    body.append(...rows);
  });
}

const figures = JSON.parse(document.getElementById("figures").textContent);
const plots = document.querySelectorAll(".plot");
const isDark = matchMedia("(prefers-color-scheme: dark)");
const isTouch = matchMedia("(pointer: coarse)");

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue(name).trim();
  const axis = {
    gridcolor: color("--grid"), linecolor: color("--line"), zerolinecolor: color("--line"),
    zeroline: false, automargin: true, ticks: "outside", ticklen: 6, tickcolor: "transparent", title: { standoff: 10 },
  };
  return {
    layout: {
      paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { color: color("--text"), family: "system-ui, sans-serif", size: 13 },
      colorway: ["#5b8fc7", "#e45756", "#54a24b", "#b279a2", "#c79a2b", "#3fa7a3", "#9d755d", "#8a8f98"],
      annotationdefaults: { bgcolor: color("--page") },
      modebar: { bgcolor: "transparent", color: color("--muted"), activecolor: color("--text") },
      xaxis: axis, yaxis: axis,
    },
  };
}

function draw() {
  figures.forEach((figure, index) => {
    // A finger that drags scrolls the page; a mouse zooms.
    const layout = { ...figure.layout, template: theme(), dragmode: isTouch.matches ? false : "zoom" };
    const config = {
      responsive: true, displaylogo: false,
      // The default buttons include one that sends the figure to plotly's server.
      modeBarButtons: [["toImage", "resetScale2d"]], plotlyServerURL: "",
    };
    Plotly.react(plots[index], figure.data, layout, config);
  });
}

if (figures.length) {
  draw();
  isDark.addEventListener("change", draw);
}
