// What a legend shows: a scale of colours, or classes.

import { element, minus } from "./dom.js"

export function scaleOf({ scale }) {
  const made = element("div", "rf-ramp")
  const colors = element("div", "rf-colors")
  colors.style.background = `linear-gradient(to right, ${scale.colors.join(", ")})`
  const ticks = element("div", "rf-ticks")
  const [low, high] = scale.range
  for (const value of scale.ticks ?? scale.range) {
    const share = (value - low) / (high - low || 1)
    if (share < -0.001 || share > 1.001) continue
    const tick = element("span", "", minus(value))
    tick.style.left = `${100 * share}%`
    ticks.append(tick)
  }
  made.append(colors, ticks)
  return made
}

export function classesOf({ scale }) {
  const made = element("ul", "rf-classes")
  for (const { label, color } of scale.items) {
    const item = element("li")
    const patch = element("span", "rf-patch")
    patch.style.background = color
    item.append(patch, element("span", "", label))
    made.append(item)
  }
  return made
}
