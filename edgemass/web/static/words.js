"use strict";
// Elements and texts of the device page.

function element(tag, options = {}, ...children) {
  const { dataset, ...properties } = options;
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, dataset ?? {});
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function number(value, digits = 0) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (Math.abs(value) >= 1000 && step < units.length - 1) { value /= 1000; step += 1; }
  return `${value.toFixed(step && Math.abs(value) < 100 ? 1 : 0)} ${units[step]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function clock(time) {
  const at = new Date(time);
  const today = at.toDateString() === new Date().toDateString();
  return today ? at.toLocaleTimeString() : at.toLocaleString();
}

function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : `${Math.round(ratio * 100)} %`;
}
