// Elements, texts and files of the page. Texts from data reach it through textContent only.

const SVG = "http://www.w3.org/2000/svg"

export function element(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

const ICONS = {
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  compass: "M8 2l3 6H5zM8 14l-3-6h6z",
  full: "M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5l-4.5 4.5M2.5 13.5L7 9",
  small: "M13.5 6.5h-4v-4M2.5 9.5h4v4M9.5 6.5L14 2M6.5 9.5L2 14",
  chevron: "M4 6l4 4 4-4",
}

function drawn(tag, attributes, ...inside) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...inside)
  return made
}

export function icon(name) {
  const path = drawn("path", { d: ICONS[name] })
  return drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path)
}

export function pinPicture() {
  return drawn(
    "svg", { viewBox: "0 0 24 32", "aria-hidden": "true" },
    drawn("path", { d: "M12 1C5.9 1 1 5.8 1 11.8 1 19.8 12 31 12 31s11-11.2 11-19.2C23 5.8 18.1 1 12 1z" }),
    drawn("circle", { cx: 12, cy: 12, r: 4 }),
  )
}

export function button(label, content, action) {
  const made = element("button", "rf-button")
  made.type = "button"
  made.title = label
  made.setAttribute("aria-label", label)
  made.append(content)
  made.addEventListener("click", action)
  return made
}

export const minus = (text) => String(text).replaceAll("-", "−")
const degrees = (value, positive, negative) =>
  `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`
export const place = ({ lng, lat }) => `${degrees(lat, "N", "S")}  ${degrees(lng, "E", "W")}`
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

export function ownUrl(url) {
  const whole = url.startsWith("/") ? location.origin + url : url
  if (!whole.startsWith(`${location.origin}/`)) throw new Error("only our own host is asked")
  return whole
}

// A link or script that is loaded once a page, or once a shadow root.
export function loaded(into, tag, attributes) {
  return new Promise((resolve, reject) => {
    const made = Object.assign(document.createElement(tag), attributes)
    made.addEventListener("load", resolve)
    made.addEventListener("error", () => reject(new Error("a file of the map did not load")))
    into.append(made)
  })
}

let library = null
export function loadLibrary(url) {
  library ??= globalThis.maplibregl
    ? Promise.resolve()
    : loaded(document.head, "script", { src: ownUrl(url) }).catch((error) => {
        library = null
        throw error
      })
  return library
}

export function hasWebGL() {
  const canvas = document.createElement("canvas")
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"))
}

export const shortly = (value) =>
  typeof value === "number" ? minus(Number.isInteger(value) ? value : value.toFixed(1)) : String(value)
