// The map of the dashboard, over MapLibre GL JS. Streamlit calls `mount` whenever the data changed;
// the first call makes a `Dashboard`, later ones hand it what is new, part by part.
//
// Texts from data reach the page through textContent or a canvas only.

const SVG = "http://www.w3.org/2000/svg"
const EMPTY = { type: "FeatureCollection", features: [] }
const EARTH_M = 6371008.8
const VIEW_DELAY_MS = 600
const KEY_DELAY_MS = 500
const WEDGE_PX = 34
const PITCH_DEG = 55

const dashboards = new WeakMap()

export function mount(component) {
  const parent = component.parentElement
  let dashboard = dashboards.get(parent)
  if (!dashboard) {
    dashboard = new Dashboard(parent, component)
    dashboards.set(parent, dashboard)
  }
  const turn = dashboard.update(component)
  // A call that a later one overtook is cleaned up too: only the last one may end the map.
  return () => {
    if (turn === dashboard.turn) {
      dashboards.delete(parent)
      dashboard.destroy()
    }
  }
}

// ---------------------------------------------------------------------------------------- themes

const LIGHT = {
  dark: false,
  land: "#f5f3ef",
  landUse: "#efece6",
  green: "#dfe9d8",
  water: "#c5dbe7",
  waterLine: "#b3cddc",
  street: "#ffffff",
  main: "#fffaf0",
  casing: "#d8d2c8",
  mainCasing: "#cfc3ac",
  path: "#cfc8bc",
  rail: "#c6c0b6",
  building: "#d9d3ca",
  buildingLine: "#b9b1a5",
  buildingOpacity: 0.8,
  wall: "#dcd7cf",
  wallOpacity: 0.9,
  name: "#4c4740",
  nameHalo: "rgba(255,255,255,.92)",
  parkName: "#4d6b45",
  waterName: "#3f6b86",
  frame: "#8d867b",
  accent: "#1f6f8b",
}

const DARK = {
  dark: true,
  land: "#161c21",
  landUse: "#1a2127",
  green: "#1b2b24",
  water: "#0d1a24",
  waterLine: "#1b2f3d",
  street: "#323d46",
  main: "#44515c",
  casing: "#0f1418",
  mainCasing: "#0c1013",
  path: "#2c363e",
  rail: "#3a444c",
  building: "#262f37",
  buildingLine: "#3a4650",
  buildingOpacity: 0.8,
  wall: "#4a5762",
  wallOpacity: 0.92,
  name: "#d5dee5",
  nameHalo: "rgba(13,18,22,.92)",
  parkName: "#8fb39a",
  waterName: "#7fa9c2",
  frame: "#64717b",
  accent: "#4fb3d1",
}

function themeOf(host) {
  const style = getComputedStyle(host)
  const accent = style.getPropertyValue("--st-primary-color").trim()
  const base = luminance(style.getPropertyValue("--st-background-color")) < 0.4 ? DARK : LIGHT
  return {
    ...base,
    accent: accent || base.accent,
    font: style.getPropertyValue("--st-font").trim() || "system-ui, sans-serif",
  }
}

function luminance(text) {
  const canvas = new OffscreenCanvas(1, 1)
  const pen = canvas.getContext("2d")
  pen.fillStyle = "#ffffff"
  pen.fillStyle = text.trim() || "#ffffff"
  pen.fillRect(0, 0, 1, 1)
  const [r, g, b] = pen.getImageData(0, 0, 1, 1).data
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255
}

// ---------------------------------------------------------------------------------------- layers

const byZoom = (...stops) => ["interpolate", ["exponential", 1.6], ["zoom"], ...stops]
const isKind = (...kinds) => ["match", ["get", "kind"], kinds, true, false]
const rank = ["coalesce", ["get", "rank"], 3]

// Widths in pixels by rank; the casing is a little wider.
function streetWidth(extra) {
  const of = (main, second, third, fourth) =>
    ["match", rank, 1, main + extra, 2, second + extra, 3, third + extra, fourth + extra]
  return byZoom(
    11, of(1.1, 0.7, 0.3, 0.1),
    14, of(3.4, 2.4, 1.5, 0.6),
    16, of(8.5, 7, 5, 2.4),
    19, of(34, 28, 21, 11),
  )
}

const lineStyle = { "line-cap": "round", "line-join": "round" }

function groundLayers(theme) {
  const source = "background"
  const polygons = ["==", ["geometry-type"], "Polygon"]
  return [
    { id: "land", type: "background", paint: { "background-color": theme.land } },
    {
      id: "land-use", source, type: "fill", filter: ["all", isKind("land_use"), polygons],
      paint: { "fill-color": theme.landUse },
    },
    {
      id: "green", source, type: "fill", filter: ["all", isKind("green"), polygons],
      paint: { "fill-color": theme.green },
    },
    {
      id: "water", source, type: "fill", filter: ["all", isKind("water"), polygons],
      paint: { "fill-color": theme.water },
    },
    {
      id: "water-line", source, type: "line", filter: isKind("water"),
      paint: { "line-color": theme.waterLine, "line-width": byZoom(12, 0.4, 17, 1.4) },
    },
    {
      id: "path", source, type: "line", filter: isKind("path"), minzoom: 14, layout: lineStyle,
      paint: {
        "line-color": theme.path,
        "line-width": byZoom(14, 0.5, 16, 1, 19, 3.5),
        "line-dasharray": [2.2, 2],
      },
    },
    {
      id: "street-casing", source, type: "line", filter: isKind("street"),
      layout: { ...lineStyle, "line-sort-key": ["-", 5, rank] },
      paint: {
        "line-color": ["match", rank, 1, theme.mainCasing, theme.casing],
        "line-width": streetWidth(1.6),
        "line-opacity": byZoom(12, 0.4, 14, 1),
      },
    },
    {
      id: "street", source, type: "line", filter: isKind("street"),
      layout: { ...lineStyle, "line-sort-key": ["-", 5, rank] },
      paint: {
        "line-color": ["match", rank, 1, theme.main, theme.street],
        "line-width": streetWidth(0),
      },
    },
    {
      id: "rail", source, type: "line", filter: isKind("rail"),
      paint: { "line-color": theme.rail, "line-width": byZoom(11, 0.4, 14, 0.8, 17, 1.6) },
    },
    {
      id: "rail-sleepers", source, type: "line", filter: isKind("rail"), minzoom: 15,
      paint: {
        "line-color": theme.rail,
        "line-width": byZoom(15, 3.5, 18, 8),
        "line-dasharray": [0.25, 2.5],
      },
    },
  ]
}

function buildingLayers(theme, threeD) {
  const source = "buildings"
  const show = (shown) => ({ visibility: shown ? "visible" : "none" })
  return [
    {
      id: "building", source, type: "fill", minzoom: 12, layout: show(!threeD),
      paint: { "fill-color": theme.building, "fill-opacity": theme.buildingOpacity },
    },
    {
      id: "building-line", source, type: "line", minzoom: 14, layout: show(!threeD),
      paint: {
        "line-color": theme.buildingLine,
        "line-width": byZoom(14, 0.3, 17, 0.9),
        "line-opacity": byZoom(14, 0.2, 16, 0.9),
      },
    },
    {
      id: "building-3d", source, type: "fill-extrusion", minzoom: 12, layout: show(threeD),
      paint: {
        "fill-extrusion-color": theme.wall,
        "fill-extrusion-height": ["coalesce", ["get", "height_m"], 6],
        "fill-extrusion-base": ["coalesce", ["get", "base_m"], 0],
        "fill-extrusion-opacity": theme.wallOpacity,
        "fill-extrusion-vertical-gradient": true,
      },
    },
  ]
}

function topLayers(theme) {
  const tone = theme.dark ? "dark" : "light"
  return [
    {
      id: "frame", source: "frame", type: "line",
      paint: {
        "line-color": theme.frame, "line-width": 1, "line-opacity": 0.7,
        "line-dasharray": [4, 3],
      },
    },
    {
      id: "names", source: "names", type: "symbol", minzoom: 12.5,
      filter: [
        "step", ["zoom"], ["<=", rank, 1], 14, ["<=", rank, 2], 14.8, ["<=", rank, 3], 15.8, true,
      ],
      layout: {
        "symbol-placement": "line",
        "symbol-spacing": 280,
        "symbol-sort-key": rank,
        "icon-image": ["concat", `name|${tone}|`, ["get", "role"], "|", ["get", "name"]],
        "icon-size": byZoom(13, 0.86, 16, 0.96, 19, 1.3),
        "icon-padding": 6,
        "icon-keep-upright": true,
        "icon-rotation-alignment": "map",
        "icon-pitch-alignment": "viewport",
      },
    },
    {
      id: "place-names", source: "background", type: "symbol", minzoom: 14.5,
      filter: [
        "all", isKind("green", "water"), ["has", "name"], ["==", ["geometry-type"], "Polygon"],
      ],
      layout: {
        "icon-image": ["concat", `name|${tone}|`, ["get", "kind"], "|", ["get", "name"]],
        "icon-size": byZoom(14, 0.86, 18, 1.05),
        "icon-padding": 14,
      },
    },
    {
      id: "areas", source: "areas", type: "fill",
      paint: {
        "fill-color": ["get", "color"],
        "fill-opacity": ["case", ["boolean", ["feature-state", "hover"], false], 0.34, 0.16],
      },
    },
    {
      id: "areas-line", source: "areas", type: "line",
      paint: { "line-color": ["get", "color"], "line-width": 1.6 },
    },
    {
      id: "points", source: "points", type: "circle",
      paint: {
        "circle-radius": byZoom(11, 1.6, 14, 3.2, 17, 6.5),
        "circle-color": "#888888",
        "circle-stroke-color": theme.dark ? "#0d1216" : "#ffffff",
        "circle-stroke-width": byZoom(12, 0.2, 15, 1),
        "circle-stroke-opacity": 0.85,
      },
    },
    {
      id: "box", source: "box", type: "fill",
      paint: { "fill-color": theme.accent, "fill-opacity": 0.12 },
    },
    {
      id: "box-line", source: "box", type: "line",
      paint: { "line-color": theme.accent, "line-width": 2, "line-dasharray": [3, 1.5] },
    },
    {
      id: "wedges", source: "wedges", type: "symbol",
      layout: {
        "icon-image": ["get", "image"],
        "icon-rotate": ["get", "azimuth_deg"],
        "icon-size": byZoom(11, 0.5, 13, 0.75, 15, 1, 18, 1.35),
        "icon-rotation-alignment": "map",
        "icon-pitch-alignment": "map",
        "icon-allow-overlap": true,
        "icon-ignore-placement": true,
        "symbol-sort-key": ["get", "order"],
      },
      paint: { "icon-opacity": ["get", "opacity"] },
    },
  ]
}

// ---------------------------------------------------------------------------------------- images

function canvasImage(width, height, draw) {
  const ratio = 2
  const canvas = new OffscreenCanvas(Math.ceil(width) * ratio, Math.ceil(height) * ratio)
  const pen = canvas.getContext("2d")
  pen.scale(ratio, ratio)
  draw(pen)
  return [pen.getImageData(0, 0, canvas.width, canvas.height), { pixelRatio: ratio }]
}

// MapLibre asks for images by name when a layer first needs them; our names say what to draw.
function imageOf(id, theme) {
  const [what, a, b, ...rest] = id.split("|")
  if (what === "name") return nameImage(rest.join("|"), b, a === "dark" ? DARK : LIGHT, theme.font)
  if (what === "wedge") return wedgeImage(a, b === "chosen")
  if (what === "ring") return ringImage(a, b === "chosen")
  return null
}

function nameImage(text, role, theme, family) {
  const size = role === "1" ? 13 : 12
  const color = { green: theme.parkName, water: theme.waterName }[role] ?? theme.name
  const font = `${role === "1" ? 600 : 500} ${size}px ${family}`
  const pen = new OffscreenCanvas(1, 1).getContext("2d")
  pen.font = font
  pen.letterSpacing = "0.2px"
  const halo = 3
  const width = Math.min(pen.measureText(text).width, 400) + 2 * halo
  return canvasImage(width, size + 2 * halo + 3, (draw) => {
    draw.font = font
    draw.letterSpacing = "0.2px"
    draw.textBaseline = "middle"
    draw.lineJoin = "round"
    draw.lineWidth = halo
    draw.strokeStyle = theme.nameHalo
    draw.fillStyle = color
    const y = (size + 2 * halo + 3) / 2
    draw.strokeText(text, halo, y, 400)
    draw.fillText(text, halo, y, 400)
  })
}

const HALF_WEDGE = (32 * Math.PI) / 180

function wedgeImage(color, chosen) {
  const side = 2 * WEDGE_PX + 8
  return canvasImage(side, side, (pen) => {
    const c = side / 2
    const radius = chosen ? WEDGE_PX + 1 : WEDGE_PX - 4
    const up = -Math.PI / 2
    pen.beginPath()
    pen.moveTo(c, c)
    pen.arc(c, c, radius, up - HALF_WEDGE, up + HALF_WEDGE)
    pen.closePath()
    pen.shadowColor = "rgba(0,0,0,.35)"
    pen.shadowBlur = 4
    pen.fillStyle = color
    pen.globalAlpha = 0.94
    pen.fill()
    pen.shadowColor = "transparent"
    pen.globalAlpha = 1
    pen.lineJoin = "round"
    pen.lineWidth = chosen ? 2.4 : 1.4
    pen.strokeStyle = "#ffffff"
    pen.stroke()
  })
}

function ringImage(color, chosen) {
  const side = 2 * WEDGE_PX + 8
  return canvasImage(side, side, (pen) => {
    const c = side / 2
    const circle = (radius, width, style) => {
      pen.beginPath()
      pen.arc(c, c, radius, 0, 2 * Math.PI)
      pen.lineWidth = width
      pen.strokeStyle = style
      pen.stroke()
    }
    pen.shadowColor = "rgba(0,0,0,.35)"
    pen.shadowBlur = 4
    circle(19, chosen ? 9.5 : 8, "#ffffff")
    pen.shadowColor = "transparent"
    circle(19, chosen ? 6.5 : 5, color)
  })
}

// --------------------------------------------------------------------------------------- names

// OpenStreetMap cuts a street into many short ways. For its name we join them, straighten what is
// nearly straight, cut where it bends, and drop the second carriageway.
const nameLines = new Map()

function namesOf(url) {
  if (!nameLines.has(url)) nameLines.set(url, fetchNames(url).catch(() => EMPTY))
  return nameLines.get(url)
}

async function fetchNames(url) {
  const answer = await fetch(url)
  if (!answer.ok) return EMPTY
  const streets = new Map()
  for (const { properties: of, geometry } of (await answer.json()).features) {
    if (of.kind !== "street" || !of.name) continue
    const lines = geometry.type === "MultiLineString" ? geometry.coordinates : [geometry.coordinates]
    const street = streets.get(of.name) ?? { name: of.name, rank: 9, lines: [] }
    street.rank = Math.min(street.rank, of.rank ?? 3)
    street.lines.push(...lines.map((line) => line.slice()))
    streets.set(of.name, street)
  }
  const features = []
  for (const street of streets.values()) {
    for (const line of apart(joined(street.lines).flatMap(straightRuns))) {
      features.push({
        type: "Feature",
        properties: { name: street.name, rank: street.rank, role: street.rank === 1 ? "1" : "2" },
        geometry: { type: "LineString", coordinates: line },
      })
    }
  }
  return { type: "FeatureCollection", features }
}

const samePoint = (a, b) => a[0] === b[0] && a[1] === b[1]

function joined(lines) {
  const open = lines.filter((line) => line.length > 1)
  const whole = []
  while (open.length) {
    let line = open.pop()
    for (let found = true; found; ) {
      found = false
      for (let i = 0; i < open.length; i++) {
        const other = open[i]
        const [first, last] = [line[0], line.at(-1)]
        if (samePoint(last, other[0])) line = [...line, ...other.slice(1)]
        else if (samePoint(last, other.at(-1))) line = [...line, ...other.toReversed().slice(1)]
        else if (samePoint(first, other.at(-1))) line = [...other, ...line.slice(1)]
        else if (samePoint(first, other[0])) line = [...other.toReversed(), ...line.slice(1)]
        else continue
        open.splice(i, 1)
        found = true
        break
      }
    }
    whole.push(line)
  }
  return whole
}

function metres(from, to) {
  const north = ((to[1] - from[1]) * Math.PI * EARTH_M) / 180
  const east = ((to[0] - from[0]) * Math.PI * EARTH_M * Math.cos((from[1] * Math.PI) / 180)) / 180
  return [east, north]
}

const distance = (a, b) => Math.hypot(...metres(a, b))

function simplified(line, tolerance) {
  if (line.length < 3) return line
  const [ex, ey] = metres(line[0], line.at(-1))
  const length = Math.hypot(ex, ey)
  let worst = 0
  let at = 0
  for (let i = 1; i < line.length - 1; i++) {
    const [x, y] = metres(line[0], line[i])
    const off = length > 1 ? Math.abs(x * ey - y * ex) / length : Math.hypot(x, y)
    if (off > worst) [worst, at] = [off, i]
  }
  if (worst <= tolerance) return [line[0], line.at(-1)]
  const before = simplified(line.slice(0, at + 1), tolerance)
  return [...before.slice(0, -1), ...simplified(line.slice(at), tolerance)]
}

function straightRuns(line) {
  const points = simplified(line, 4)
  const runs = []
  let run = [points[0]]
  for (let i = 1; i < points.length; i++) {
    run.push(points[i])
    const next = points[i + 1]
    if (!next) break
    const [ax, ay] = metres(points[i - 1], points[i])
    const [bx, by] = metres(points[i], next)
    const turn = Math.abs(Math.atan2(ax * by - ay * bx, ax * bx + ay * by))
    if (turn > 0.3) {
      runs.push(run)
      run = [points[i]]
    }
  }
  return [...runs, run].filter((r) => r.length > 1)
}

function apart(runs) {
  const lengthOf = (run) => run.slice(1).reduce((sum, p, i) => sum + distance(run[i], p), 0)
  const sorted = runs.map((run) => [lengthOf(run), run]).sort((a, b) => b[0] - a[0])
  const kept = []
  for (const [length, run] of sorted) {
    if (length < 20) continue
    const middle = along(run, length / 2)
    if (kept.some(([other, len]) => nearestOn(other, middle) < 30 && len >= length)) continue
    kept.push([run, length])
  }
  return kept.map(([run]) => run)
}

function along(run, way) {
  let left = way
  for (let i = 1; i < run.length; i++) {
    const step = distance(run[i - 1], run[i])
    if (step >= left) {
      const t = step ? left / step : 0
      return [0, 1].map((k) => run[i - 1][k] + t * (run[i][k] - run[i - 1][k]))
    }
    left -= step
  }
  return run.at(-1)
}

function nearestOn(run, point) {
  let best = Infinity
  for (let i = 1; i < run.length; i++) {
    const [bx, by] = metres(run[i - 1], run[i])
    const [px, py] = metres(run[i - 1], point)
    const t = Math.max(0, Math.min(1, (px * bx + py * by) / (bx * bx + by * by || 1)))
    best = Math.min(best, Math.hypot(px - t * bx, py - t * by))
  }
  return best
}

// ------------------------------------------------------------------------------------------ dom

function element(tag, className, text) {
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

function icon(name) {
  const picture = document.createElementNS(SVG, "svg")
  picture.setAttribute("viewBox", "0 0 16 16")
  picture.setAttribute("aria-hidden", "true")
  const path = document.createElementNS(SVG, "path")
  path.setAttribute("d", ICONS[name])
  picture.append(path)
  return picture
}

function button(label, content, action) {
  const made = element("button", "rf-button")
  made.type = "button"
  made.title = label
  made.setAttribute("aria-label", label)
  made.append(content)
  made.addEventListener("click", action)
  return made
}

const minus = (text) => String(text).replaceAll("-", "−")
const degrees = (value, positive, negative) =>
  `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`
const place = ({ lng, lat }) => `${degrees(lat, "N", "S")}  ${degrees(lng, "E", "W")}`
const rectangle = ([w, s, e, n]) => [[[w, s], [e, s], [e, n], [w, n], [w, s]]]
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

function ownUrl(url) {
  const whole = url.startsWith("/") ? location.origin + url : url
  if (!whole.startsWith(`${location.origin}/`)) throw new Error("only our own host is asked")
  return whole
}

// A link or script that is loaded once a page, or once a shadow root.
function loaded(into, tag, attributes) {
  return new Promise((resolve, reject) => {
    const made = Object.assign(document.createElement(tag), attributes)
    made.addEventListener("load", resolve)
    made.addEventListener("error", () => reject(new Error("a file of the map did not load")))
    into.append(made)
  })
}

let library = null
function loadLibrary(url) {
  library ??= globalThis.maplibregl
    ? Promise.resolve()
    : loaded(document.head, "script", { src: ownUrl(url) }).catch((error) => {
        library = null
        throw error
      })
  return library
}

function hasWebGL() {
  const canvas = document.createElement("canvas")
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"))
}

// ------------------------------------------------------------------------------------ dashboard

class Dashboard {
  constructor(parent, component) {
    this.turn = 0
    this.serial = 0
    this.panes = []
    this.timers = {}
    this.host = parent.host ?? parent
    this.data = component.data
    this.mode = component.data.mode
    this.pin = component.data.pin
    this.threeD = component.data.three_d
    this.theme = themeOf(this.host)
    this.root = element("section", "rf-map")
    this.root.style.visibility = "hidden"
    this.root.dataset.ready = "false"
    this.stage = element("div", "rf-stage")
    this.root.append(this.stage)
    parent.append(this.root)
    this.ending = new AbortController()
    this.started = this.start(parent).catch((error) => this.tell("The map did not open", error.message))
  }

  async start(parent) {
    const { lib } = this.data
    this.size()
    await Promise.all([
      loaded(parent, "link", { rel: "stylesheet", href: ownUrl(lib.maplibre_css) }),
      loaded(parent, "link", { rel: "stylesheet", href: ownUrl(lib.map_css) }),
      loadLibrary(lib.maplibre_js),
    ])
    // Street names are drawn on a canvas, which does not wait for a font.
    const { font } = this.theme
    await Promise.allSettled([500, 600].map((weight) => document.fonts.load(`${weight} 12px ${font}`)))
    if (this.ending.signal.aborted) return
    this.root.style.visibility = ""
    if (!hasWebGL()) {
      this.tell(
        "The map needs WebGL",
        "This browser does not offer it. Turn on hardware acceleration in the browser's settings, " +
          "update the graphics driver, or open this page in another browser.",
      )
      return
    }
    this.furnish()
    this.watch()
    this.open = true
    this.show({})
  }

  tell(title, text) {
    this.root.style.visibility = ""
    const card = element("div", "rf-message")
    card.setAttribute("role", "alert")
    card.append(element("strong", "", title), element("p", "", text))
    this.root.replaceChildren(card)
    this.root.dataset.ready = "error"
  }

  // Streamlit has new data.
  update(component) {
    this.component = component
    this.turn += 1
    const before = this.data
    this.data = component.data
    if (!same(before.mode, this.data.mode) || before.seen !== this.data.seen) this.mode = this.data.mode
    if (!same(before.pin, this.data.pin)) this.pin = this.data.pin
    if (this.open) this.show(before)
    else this.size()
    return this.turn
  }

  size() {
    const { height } = this.data
    this.root.style.height = typeof height === "number" ? `${height}px` : height
    this.root.dataset.key = this.data.key
    this.root.setAttribute("aria-label", this.data.label)
  }

  show(before) {
    this.size()
    const { overlays, background, look_at: lookAt } = this.data
    const wanted = Math.max(1, overlays.length)
    this.stage.dataset.panes = wanted
    while (this.panes.length > wanted) this.panes.pop().destroy()
    while (this.panes.length < wanted) this.panes.push(new Pane(this, this.panes.length))
    this.attribution.replaceChildren(...attributionOf(background?.attribution))
    this.showMode()
    for (const pane of this.panes) pane.show()
    if (!before.key) return
    if (background && !same(before.background?.bounds, background.bounds)) this.fit()
    if (lookAt && !same(before.look_at, lookAt)) this.lookAt(lookAt)
  }

  get first() {
    return this.panes[0]
  }

  // What lies over the map.
  furnish() {
    this.bar = element("div", "rf-progress")
    this.controls = element("div", "rf-controls")
    this.controls.setAttribute("role", "group")
    this.controls.setAttribute("aria-label", "Map controls")
    const group = (...buttons) => {
      const made = element("div", "rf-group")
      made.append(...buttons)
      this.controls.append(made)
    }
    this.north = button("Turn north up", icon("compass"), () => this.first.map.easeTo({ bearing: 0 }))
    this.tilt = button("3D buildings", element("span", "", "3D"), () => this.setThreeD(!this.threeD))
    this.full = button("Full screen", icon("full"), () => this.toggleFull())
    group(
      button("Zoom in", icon("plus"), () => this.first.map.zoomIn()),
      button("Zoom out", icon("minus"), () => this.first.map.zoomOut()),
    )
    group(this.tilt, this.north)
    group(button("Show the whole area", icon("fit"), () => this.fit()), this.full)
    this.hint = element("div", "rf-hint")
    this.hint.setAttribute("role", "status")
    this.readout = element("div", "rf-readout")
    this.where = element("span", "rf-where")
    this.scale = element("span", "rf-scale")
    this.readout.append(this.scale, this.where)
    this.attribution = element("div", "rf-attribution")
    this.tip = element("div", "rf-tip")
    this.tip.hidden = true
    this.root.append(
      this.bar, this.hint, this.controls, this.readout, this.attribution, this.tip,
    )
    this.tilt.setAttribute("aria-pressed", String(this.threeD))
  }

  watch() {
    const { signal } = this.ending
    // Streamlit puts another class, with the theme's variables, on an element above us.
    this.observer = new MutationObserver(() => this.retheme())
    for (let up = this.host.parentElement, n = 0; up && n < 4; up = up.parentElement, n++) {
      this.observer.observe(up, { attributes: true, attributeFilter: ["class", "style"] })
    }
    this.observer.observe(document.head, { childList: true })
    document.addEventListener("fullscreenchange", () => this.showFull(), { signal })
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && (this.mode === "place" || this.mode === "box")) {
        this.mode = "inspect"
        this.showMode()
        this.emit("cancel")
      }
    }, { signal })
  }

  retheme() {
    const theme = themeOf(this.host)
    if (same(theme, this.theme)) return
    this.theme = theme
    for (const pane of this.panes) pane.retheme()
  }

  emit(kind, detail = {}) {
    this.serial = Math.max(this.serial + 1, Date.now())
    this.component.setTriggerValue("event", { kind, serial: this.serial, ...detail })
  }

  later(name, delay, action) {
    clearTimeout(this.timers[name])
    this.timers[name] = setTimeout(action, delay)
  }

  // ---- camera

  opening() {
    const { background } = this.data
    const camera = this.data.camera ?? this.data.look_at
    const pitch = this.threeD ? PITCH_DEG : 0
    if (this.panes.length) return this.first.camera()
    if (camera) {
      return {
        center: [camera.lon, camera.lat], zoom: camera.zoom, bearing: camera.bearing,
        pitch: camera.pitch || pitch,
      }
    }
    if (background) {
      const [w, s, e, n] = background.bounds
      return { bounds: [[w, s], [e, n]], fitBoundsOptions: { padding: 24 }, pitch }
    }
    return { center: [0, 20], zoom: 1.5, pitch: 0 }
  }

  fit() {
    const { background } = this.data
    if (!background) return
    const [w, s, e, n] = background.bounds
    const { map } = this.first
    map.fitBounds([[w, s], [e, n]], { padding: 24, bearing: map.getBearing(), pitch: map.getPitch() })
  }

  lookAt({ lon, lat, zoom, bearing, pitch }) {
    this.first.map.flyTo({ center: [lon, lat], zoom, bearing, pitch, speed: 1.6 })
  }

  setThreeD(on) {
    this.threeD = on
    this.tilt.setAttribute("aria-pressed", String(on))
    for (const pane of this.panes) pane.showThreeD()
    this.first.map.easeTo({ pitch: on ? PITCH_DEG : 0, duration: 700 })
  }

  moved(from) {
    if (this.syncing) return
    this.syncing = true
    const camera = from.camera()
    for (const pane of this.panes) if (pane !== from && pane.map) pane.map.jumpTo(camera)
    this.syncing = false
    this.showScale()
    const turned = Math.abs(camera.bearing) > 0.5
    this.north.hidden = !turned
    this.north.firstChild.style.transform = `rotate(${-camera.bearing}deg)`
    this.tip.hidden = true
  }

  report() {
    if (!this.data.report_view || !this.first?.map) return
    const { center, zoom, bearing, pitch } = this.first.camera()
    const view = {
      lon: +center[0].toFixed(6), lat: +center[1].toFixed(6), zoom: +zoom.toFixed(2),
      bearing: +bearing.toFixed(1), pitch: +pitch.toFixed(1),
    }
    const news = this.reported && !same(view, this.reported)
    this.reported = view
    if (news) this.component.setStateValue("view", view)
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.root.requestFullscreen?.().catch(() => {})
  }

  showFull() {
    const full = Boolean(this.root.getRootNode().fullscreenElement)
    this.full.replaceChildren(icon(full ? "small" : "full"))
    this.full.title = full ? "Leave full screen" : "Full screen"
    this.full.setAttribute("aria-label", this.full.title)
  }

  // ---- what is told

  showMode() {
    const own = {
      place: "Click the map to place a site · Esc ends",
      box: "Drag a rectangle · Esc ends",
    }
    const text = this.mode === this.data.mode ? this.data.hint ?? own[this.mode] : own[this.mode]
    this.hint.textContent = text ?? ""
    this.hint.hidden = !text
    this.root.dataset.mode = this.mode
    for (const pane of this.panes) pane.showMode()
  }

  showScale() {
    const { map } = this.first
    const y = map.getContainer().clientHeight / 2
    const far = map.unproject([100, y]).distanceTo(map.unproject([0, y]))
    const power = 10 ** Math.floor(Math.log10(far))
    const nice = [5, 2, 1].find((step) => step * power <= far) * power
    this.scale.style.width = `${(100 * nice) / far}px`
    this.scale.textContent = nice >= 1000 ? `${nice / 1000} km` : `${nice} m`
  }

  showWhere(from, lngLat) {
    this.where.textContent = lngLat ? place(lngLat) : ""
    for (const pane of this.panes) pane.showGhost(pane === from ? null : lngLat)
  }

  showTip(pane, point, lines) {
    this.tip.hidden = !lines
    if (!lines) return
    this.tip.replaceChildren(...lines.map((line, i) => element("div", i ? "" : "rf-tip-title", line)))
    const box = pane.element.getBoundingClientRect()
    const root = this.root.getBoundingClientRect()
    const x = Math.min(box.left - root.left + point.x + 14, root.width - this.tip.offsetWidth - 8)
    const y = Math.min(box.top - root.top + point.y + 14, root.height - this.tip.offsetHeight - 8)
    this.tip.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`
  }

  settle() {
    const busy = this.panes.some((pane) => pane.busy)
    this.bar.classList.toggle("rf-busy", busy)
    this.root.dataset.overlay = this.first?.current?.url ?? ""
    this.root.dataset.ready = String(this.panes.every((pane) => pane.ready) && !busy)
  }

  destroy() {
    this.ending.abort()
    this.observer?.disconnect()
    for (const timer of Object.values(this.timers)) clearTimeout(timer)
    for (const pane of this.panes.splice(0)) pane.destroy()
    this.root.remove()
  }
}

function attributionOf(text) {
  if (!text) return []
  if (!text.includes("OpenStreetMap")) return [text]
  const link = element("a", "", text)
  link.href = "https://www.openstreetmap.org/copyright"
  link.target = "_blank"
  link.rel = "noopener noreferrer"
  return [link]
}

// ----------------------------------------------------------------------------------------- pane

// One map; two of them stand side by side when radio maps are compared.
class Pane {
  constructor(dashboard, index) {
    this.dashboard = dashboard
    this.index = index
    this.shown = {}
    this.sites = new Map()
    this.overlays = 0
    this.ready = false
    this.element = element("div", "rf-pane")
    this.canvas = element("div", "rf-canvas")
    this.title = element("div", "rf-title")
    this.title.hidden = true
    this.legend = element("div", "rf-legend")
    this.legend.hidden = true
    this.cross = element("div", "rf-cross")
    this.ghost = element("div", "rf-ghost")
    this.ghost.hidden = true
    this.element.append(this.canvas, this.ghost, this.cross, this.title, this.legend)
    dashboard.stage.append(this.element)
    this.legend.classList.toggle("rf-folded", this.element.clientWidth < 420)
    this.map = this.makeMap()
    window.__rfMaps ??= {}
    this.name = dashboard.data.key + (index ? `:${index}` : "")
    window.__rfMaps[this.name] = this.map
  }

  makeMap() {
    const { theme, threeD, data } = this.dashboard
    const source = (value = EMPTY, more = {}) => ({ type: "geojson", data: value, ...more })
    const map = new maplibregl.Map({
      container: this.canvas,
      style: {
        version: 8,
        sources: {
          background: source(EMPTY, { tolerance: 0.2 }),
          buildings: source(EMPTY, { tolerance: 0.1 }),
          names: source(EMPTY, { tolerance: 0 }),
          frame: source(), areas: source(EMPTY, { generateId: true }), points: source(), box: source(), wedges: source(),
        },
        layers: [...groundLayers(theme), ...buildingLayers(theme, threeD), ...topLayers(theme)],
        light: { anchor: "viewport", position: [1.3, 210, 35], intensity: theme.dark ? 0.22 : 0.32 },
        transition: { duration: 0, delay: 0 },
      },
      ...this.dashboard.opening(),
      attributionControl: false,
      minZoom: 1,
      maxZoom: 20,
      maxPitch: 70,
      fadeDuration: 150,
      renderWorldCopies: false,
      clickTolerance: 4,
      boxZoom: false,
    })
    map.getCanvas().setAttribute("aria-label", `${data.label}: arrows move, plus and minus zoom, Enter clicks the middle`)
    map.on("styleimagemissing", ({ id }) => {
      const image = imageOf(id, this.dashboard.theme)
      if (image && !map.hasImage(id)) map.addImage(id, ...image)
    })
    map.on("error", () => {}) // A tile that is missing is no news: `settleSoon` goes on without it.
    map.on("load", () => {
      this.styled = true
      this.show()
      this.dashboard.moved(this)
    })
    map.on("render", () => this.promote())
    map.on("idle", () => {
      this.ready = this.styled
      if (this.index === 0 && !this.dashboard.reported) this.dashboard.report()
      this.dashboard.settle()
    })
    map.on("move", () => this.dashboard.moved(this))
    map.on("moveend", () => {
      if (this.index === 0) this.dashboard.later("view", VIEW_DELAY_MS, () => this.dashboard.report())
    })
    map.on("click", (event) => this.clicked(event))
    map.on("mousemove", (event) => this.hovered(event))
    map.on("mouseout", () => {
      this.dashboard.showWhere(null, null)
      this.dashboard.showTip(this, null, null)
    })
    this.listenForKeys(map)
    this.listenForBoxes(map)
    return map
  }

  camera() {
    const { lng, lat } = this.map.getCenter()
    return {
      center: [lng, lat], zoom: this.map.getZoom(),
      bearing: this.map.getBearing(), pitch: this.map.getPitch(),
    }
  }

  // Show what changed of the data.
  show() {
    if (!this.styled) return
    const { data } = this.dashboard
    const parts = {
      background: data.background,
      overlay: data.overlays[this.index] ?? null,
      sites: [data.sites, data.selected, data.seen],
      points: data.points,
      areas: data.areas,
      box: data.box,
      pin: this.dashboard.pin,
    }
    for (const [name, value] of Object.entries(parts)) {
      const text = JSON.stringify(value)
      if (this.shown[name] === text) continue
      this.shown[name] = text
      this.ready = false
      this[`${name}Changed`](value)
    }
    this.showLegend()
    this.showMode()
    this.dashboard.settle()
    this.map.triggerRepaint()
    if (!this.ready) this.settleSoon()
  }

  // MapLibre draws no frame, and tells nothing, when the last tile that it waits for fails.
  settleSoon() {
    this.dashboard.later(`settle${this.index}`, 300, () => {
      if (!this.map) return
      this.promote()
      if (this.pending || !this.map.loaded()) return this.settleSoon()
      this.ready = true
      return this.dashboard.settle()
    })
  }

  source(name, features) {
    this.map.getSource(name).setData({ type: "FeatureCollection", features })
  }

  backgroundChanged(value) {
    const of = (url) => (url ? ownUrl(url) : EMPTY)
    const background = of(value?.background_url)
    this.map.getSource("background").setData(background)
    this.map.getSource("buildings").setData(of(value?.buildings_url))
    this.source("frame", value
      ? [{ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: rectangle(value.bounds)[0] } }]
      : [])
    this.map.getSource("names").setData(EMPTY)
    if (!value) return
    namesOf(background).then((names) => {
      const now = this.dashboard.data.background
      if (this.map && now && of(now.background_url) === background) this.map.getSource("names").setData(names)
    })
  }

  retheme() {
    const { theme, threeD } = this.dashboard
    if (!this.styled) return
    for (const layer of [...groundLayers(theme), ...buildingLayers(theme, threeD), ...topLayers(theme)]) {
      for (const [name, value] of Object.entries(layer.paint ?? {})) {
        this.map.setPaintProperty(layer.id, name, value)
      }
      const image = layer.layout?.["icon-image"]
      if (image) this.map.setLayoutProperty(layer.id, "icon-image", image)
    }
    this.pointsChanged(this.dashboard.data.points)
  }

  showThreeD() {
    if (!this.styled) return
    const { theme, threeD } = this.dashboard
    for (const { id, layout } of buildingLayers(theme, threeD)) {
      this.map.setLayoutProperty(id, "visibility", layout.visibility)
    }
  }

  // ---- the radio map

  // A new one is loaded unseen, under the same roof, and takes the old one's place when it is whole.
  overlayChanged(value) {
    this.title.textContent = value?.title ?? ""
    this.title.hidden = !value?.title || this.dashboard.data.overlays.length < 2
    if (!value) {
      this.drop(this.pending)
      this.drop(this.current)
      this.pending = this.current = null
      return
    }
    const key = JSON.stringify([value.url, value.bounds])
    if (this.opacityGiven !== value.opacity) {
      this.opacityGiven = this.opacity = value.opacity
      this.showOpacity()
    }
    if (key === (this.pending ?? this.current)?.key) return
    this.drop(this.pending)
    this.pending = null
    if (key === this.current?.key) return
    this.overlays += 1
    const id = `overlay-${this.overlays}`
    this.map.addSource(id, {
      type: "raster",
      tiles: [ownUrl(value.url)],
      tileSize: 512,
      maxzoom: 17,
      ...(value.bounds ? { bounds: value.bounds } : {}),
    })
    this.map.addLayer({
      id, source: id, type: "raster",
      paint: { "raster-opacity": 0, "raster-resampling": "nearest", "raster-fade-duration": 0 },
    }, "building")
    this.pending = { id, key, url: value.url }
  }

  get busy() {
    return Boolean(this.pending)
  }

  promote() {
    if (!this.pending || !this.map.isSourceLoaded(this.pending.id)) return
    const old = this.current
    this.current = this.pending
    this.pending = null
    this.showOpacity()
    this.drop(old)
    this.dashboard.settle()
  }

  drop(overlay) {
    if (!overlay || !this.map.getLayer(overlay.id)) return
    this.map.removeLayer(overlay.id)
    this.map.removeSource(overlay.id)
  }

  showOpacity() {
    if (this.current) this.map.setPaintProperty(this.current.id, "raster-opacity", this.opacity)
    if (this.slider) this.slider.value = String(Math.round(100 * this.opacity))
  }

  // ---- legend

  showLegend() {
    const { data } = this.dashboard
    const overlay = data.overlays[this.index]
    const legend = overlay?.legend ?? (this.index === 0 ? data.points?.legend : null)
    const text = JSON.stringify([legend, Boolean(overlay)])
    if (this.shown.legend === text) return
    this.shown.legend = text
    this.slider = null
    this.legend.hidden = !legend && !overlay
    this.legend.replaceChildren()
    if (this.legend.hidden) return
    const body = element("div", "rf-legend-body")
    const head = button("", icon("chevron"), () => {
      const open = this.legend.classList.toggle("rf-folded")
      head.setAttribute("aria-expanded", String(!open))
    })
    head.className = "rf-legend-head"
    head.removeAttribute("aria-label")
    head.title = "Fold or unfold"
    head.setAttribute("aria-expanded", String(!this.legend.classList.contains("rf-folded")))
    const title = element("span", "rf-legend-title", legend?.title ?? overlay?.title ?? "Map")
    if (legend?.unit) title.append(element("span", "rf-unit", legend.unit))
    head.prepend(title)
    if (legend) body.append(legend.scale.kind === "classes" ? classesOf(legend) : scaleOf(legend))
    if (legend?.comment) body.append(element("p", "rf-comment", legend.comment))
    if (overlay) body.append(this.opacityRow())
    this.legend.append(head, body)
  }

  opacityRow() {
    const row = element("label", "rf-opacity")
    this.slider = Object.assign(element("input"), { type: "range", min: "0", max: "100", step: "1" })
    this.slider.value = String(Math.round(100 * this.opacity))
    this.slider.addEventListener("input", () => {
      this.opacity = Number(this.slider.value) / 100
      this.showOpacity()
    })
    row.append(element("span", "", "Opacity"), this.slider)
    return row
  }

  // ---- sites

  sitesChanged([sites]) {
    const names = new Set(sites.map((site) => site.name))
    for (const [name, marker] of this.sites) {
      if (names.has(name)) continue
      marker.remove()
      this.sites.delete(name)
    }
    for (const site of sites) {
      const marker = this.sites.get(site.name)
      if (marker) marker.show(site)
      else this.sites.set(site.name, new Site(this, site))
    }
    this.drawWedges()
  }

  drawWedges() {
    const [chosenSite, chosenSector] = this.dashboard.data.selected ?? []
    const features = []
    for (const { site, lngLat } of this.sites.values()) {
      for (const sector of site.sectors) {
        const chosen = site.name === chosenSite && (!chosenSector || sector.name === chosenSector)
        const shape = sector.omnidirectional ? "ring" : "wedge"
        features.push({
          type: "Feature",
          properties: {
            image: `${shape}|${sector.color}|${chosen ? "chosen" : ""}`,
            azimuth_deg: sector.azimuth_deg,
            order: chosen ? 1 : 0,
            opacity: chosenSite && site.name === chosenSite && !chosen ? 0.6 : 1,
          },
          geometry: { type: "Point", coordinates: [lngLat.lng, lngLat.lat] },
        })
      }
    }
    this.source("wedges", features)
  }

  // The sector whose wedge lies under a point of the screen.
  sectorAt(point, lngLat) {
    const zoom = this.map.getZoom()
    const reach = WEDGE_PX * Math.min(1.35, Math.max(0.5, 0.75 + (zoom - 13) / 8))
    let found = null
    for (const { site, lngLat: at } of this.sites.values()) {
      const pixel = this.map.project(at)
      const off = Math.hypot(pixel.x - point.x, pixel.y - point.y)
      if (off > reach || off >= (found?.off ?? Infinity)) continue
      const [east, north] = metres([at.lng, at.lat], [lngLat.lng, lngLat.lat])
      const bearing = (Math.atan2(east, north) * 180) / Math.PI
      const apartFrom = (sector) =>
        sector.omnidirectional ? 0 : Math.abs(((bearing - sector.azimuth_deg + 540) % 360) - 180)
      const [sector] = site.sectors
        .filter((one) => apartFrom(one) <= 34)
        .sort((a, b) => apartFrom(a) - apartFrom(b))
      if (sector) found = { site, sector, off }
    }
    return found
  }

  // ---- points, areas, box, pin

  pointsChanged(value) {
    const source = this.map.getSource("points")
    if (!value) {
      source.setData(EMPTY)
      this.pointsUrl = null
      return
    }
    if (this.pointsUrl !== value.url) source.setData(ownUrl(value.url))
    this.pointsUrl = value.url
    const [low, high] = value.range
    const last = Math.max(1, value.colors.length - 1)
    const stops = value.colors.flatMap((color, i) => [low + ((high - low || 1) * i) / last, color])
    const number = ["get", value.value]
    this.map.setPaintProperty("points", "circle-color", [
      "case", ["==", ["typeof", number], "number"],
      ["interpolate", ["linear"], ["number", number, low], ...stops], "#888888",
    ])
  }

  areasChanged(areas) {
    this.source("areas", areas.map((area) => ({
      type: "Feature",
      properties: { id: area.id, label: area.label, detail: area.detail, color: area.color },
      geometry: { type: "Polygon", coordinates: rectangle(area.bounds) },
    })))
  }

  boxChanged(bounds) {
    this.source("box", bounds
      ? [{ type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: rectangle(bounds) } }]
      : [])
  }

  pinChanged(pin) {
    if (!pin) {
      this.pinMarker?.remove()
      this.pinMarker = null
      return
    }
    if (!this.pinMarker) {
      const made = element("div", "rf-pin")
      const shape = document.createElementNS(SVG, "svg")
      shape.setAttribute("viewBox", "0 0 24 32")
      const path = document.createElementNS(SVG, "path")
      path.setAttribute("d", "M12 1C5.9 1 1 5.8 1 11.8 1 19.8 12 31 12 31s11-11.2 11-19.2C23 5.8 18.1 1 12 1z")
      const dot = document.createElementNS(SVG, "circle")
      for (const [name, value] of [["cx", 12], ["cy", 12], ["r", 4]]) dot.setAttribute(name, value)
      shape.append(path, dot)
      made.append(shape)
      this.pinMarker = new maplibregl.Marker({ element: made, anchor: "bottom", subpixelPositioning: true })
        .setLngLat(pin)
        .addTo(this.map)
      made.setAttribute("aria-label", "Inspected point")
    }
    this.pinMarker.setLngLat(pin)
  }

  // ---- what people do

  clicked({ originalEvent, point, lngLat }) {
    if (originalEvent && originalEvent.target !== this.map.getCanvas()) return
    const { dashboard } = this
    const at = { lon: lngLat.lng, lat: lngLat.lat, pane: this.index }
    if (dashboard.mode === "place") return dashboard.emit("place", at)
    if (dashboard.mode === "box") return undefined
    const sector = this.sectorAt(point, lngLat)
    if (sector) {
      return dashboard.emit("sector", { site: sector.site.name, sector: sector.sector.name, pane: this.index })
    }
    const [area] = this.map.queryRenderedFeatures(point, { layers: ["areas"] })
    if (area) return dashboard.emit("area", { area: area.properties.id, ...at })
    if (dashboard.mode !== "inspect") return undefined
    dashboard.pin = [lngLat.lng, lngLat.lat]
    for (const pane of dashboard.panes) {
      pane.shown.pin = JSON.stringify(dashboard.pin)
      pane.pinChanged(dashboard.pin)
    }
    return dashboard.emit("click", at)
  }

  hovered({ point, lngLat, originalEvent }) {
    this.dashboard.showWhere(this, lngLat)
    if (!this.styled || originalEvent.target !== this.map.getCanvas()) return
    if (this.dashboard.mode === "place" || this.dashboard.mode === "box") return
    const lines = this.under(point, lngLat)
    this.dashboard.showTip(this, point, lines)
    this.map.getCanvas().style.cursor = lines ? "pointer" : ""
  }

  // The lines of the tooltip.
  under(point, lngLat) {
    const found = this.sectorAt(point, lngLat)
    if (found) {
      const { site, sector } = found
      const facing = sector.omnidirectional ? "all around" : `${Math.round(sector.azimuth_deg)}°`
      return [`${site.name} / ${sector.name}`, facing]
    }
    const near = [[point.x - 3, point.y - 3], [point.x + 3, point.y + 3]]
    const [one] = this.map.queryRenderedFeatures(near, { layers: ["points"] })
    if (one) {
      return Object.entries(this.dashboard.data.points?.tooltip ?? {})
        .filter(([name]) => one.properties[name] !== undefined && one.properties[name] !== null)
        .map(([name, label]) => `${label}: ${shortly(one.properties[name])}`)
    }
    const [area] = this.map.queryRenderedFeatures(point, { layers: ["areas"] })
    this.highlight(area?.id)
    if (area) return [area.properties.label, ...area.properties.detail.split("\n").filter(Boolean)]
    return null
  }

  highlight(id) {
    if (this.lit === id) return
    if (this.lit !== undefined) this.map.setFeatureState({ source: "areas", id: this.lit }, { hover: false })
    if (id !== undefined) this.map.setFeatureState({ source: "areas", id }, { hover: true })
    this.lit = id
  }

  showMode() {
    const { mode } = this.dashboard
    this.canvas.dataset.mode = mode
    const able = (handler, on) => (on ? handler.enable() : handler.disable())
    able(this.map.dragPan, mode !== "box")
    able(this.map.touchZoomRotate, mode !== "box")
    if (mode === "place" || mode === "box") this.map.getCanvas().style.cursor = ""
  }

  showGhost(lngLat) {
    this.ghost.hidden = !lngLat
    if (!lngLat || !this.map) return
    const { x, y } = this.map.project(lngLat)
    this.ghost.style.transform = `translate(${x}px, ${y}px)`
  }

  listenForKeys(map) {
    const canvas = map.getCanvas()
    canvas.addEventListener("focus", () => {
      this.element.classList.toggle("rf-keys", canvas.matches(":focus-visible"))
    })
    canvas.addEventListener("blur", () => this.element.classList.remove("rf-keys"))
    canvas.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return
      event.preventDefault()
      const lngLat = map.getCenter()
      this.clicked({ point: map.project(lngLat), lngLat })
    })
  }

  listenForBoxes(map) {
    const surface = map.getCanvasContainer()
    let start = null
    const at = (event) => {
      const frame = surface.getBoundingClientRect()
      return map.unproject([event.clientX - frame.left, event.clientY - frame.top])
    }
    const bounds = (a, b) => [
      Math.min(a.lng, b.lng), Math.min(a.lat, b.lat), Math.max(a.lng, b.lng), Math.max(a.lat, b.lat),
    ]
    surface.addEventListener("pointerdown", (event) => {
      if (this.dashboard.mode !== "box" || event.button !== 0) return
      start = { lngLat: at(event), x: event.clientX, y: event.clientY }
      surface.setPointerCapture(event.pointerId)
    })
    surface.addEventListener("pointermove", (event) => {
      if (start) this.boxChanged(bounds(start.lngLat, at(event)))
    })
    surface.addEventListener("pointerup", (event) => {
      if (!start) return
      const drawn = bounds(start.lngLat, at(event))
      const large = Math.hypot(event.clientX - start.x, event.clientY - start.y) > 6
      start = null
      if (large) {
        this.shown.box = JSON.stringify(drawn)
        this.dashboard.emit("box", { bounds: drawn, pane: this.index })
      } else this.boxChanged(this.dashboard.data.box)
    })
    surface.addEventListener("pointercancel", () => {
      if (start) this.boxChanged(this.dashboard.data.box)
      start = null
    })
  }

  destroy() {
    if (window.__rfMaps?.[this.name] === this.map) delete window.__rfMaps[this.name]
    this.map.remove()
    this.map = null
    this.element.remove()
  }
}

const shortly = (value) =>
  typeof value === "number" ? minus(Number.isInteger(value) ? value : value.toFixed(1)) : String(value)

function scaleOf({ scale }) {
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

function classesOf({ scale }) {
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

// ----------------------------------------------------------------------------------------- site

// The handle of a site: it is dragged, moved by arrow keys, and chosen.
class Site {
  constructor(pane, site) {
    this.pane = pane
    this.button = element("button", "rf-site")
    this.button.type = "button"
    this.name = element("span", "rf-site-name")
    this.button.append(element("span", "rf-site-dot"), this.name)
    this.marker = new maplibregl.Marker({ element: this.button, subpixelPositioning: true })
    this.marker.setLngLat([site.lon, site.lat]).addTo(pane.map)
    this.listen()
    this.show(site)
  }

  get lngLat() {
    return this.marker.getLngLat()
  }

  show(site) {
    this.site = site
    const chosen = this.pane.dashboard.data.selected?.[0] === site.name
    this.button.dataset.site = site.name
    this.name.textContent = site.name
    this.button.classList.toggle("rf-chosen", chosen)
    this.button.classList.toggle("rf-movable", site.movable)
    this.button.setAttribute("aria-pressed", String(chosen))
    const keys = site.movable ? "; arrow keys move it by 5 m, with Shift by 25 m" : ""
    const count = site.sectors.length
    this.button.setAttribute(
      "aria-label", `Site ${site.name}, ${count} ${count === 1 ? "sector" : "sectors"}${keys}`,
    )
    if (!this.drag && !this.nudged) this.marker.setLngLat([site.lon, site.lat])
  }

  moveTo(lngLat) {
    for (const pane of this.pane.dashboard.panes) {
      pane.sites.get(this.site.name)?.marker.setLngLat(lngLat)
      pane.drawWedges()
    }
    this.pane.dashboard.showWhere(this.pane, this.lngLat)
  }

  moved() {
    this.nudged = false
    this.pane.dashboard.emit("move", { site: this.site.name, lon: this.lngLat.lng, lat: this.lngLat.lat })
  }

  choose() {
    this.pane.dashboard.emit("site", { site: this.site.name, pane: this.pane.index })
  }

  listen() {
    const { button: handle } = this
    const { map } = this.pane
    // The map shall not pan, or be clicked, under a site.
    for (const name of ["mousedown", "touchstart", "click", "dblclick"]) {
      handle.addEventListener(name, (event) => event.stopPropagation())
    }
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return
      const { x, y } = map.project(this.lngLat)
      const { clientX, clientY } = event
      this.drag = { clientX, clientY, dx: x - clientX, dy: y - clientY, far: false }
      handle.setPointerCapture(event.pointerId)
    })
    handle.addEventListener("pointermove", ({ clientX, clientY }) => {
      const { drag } = this
      if (!drag || !this.site.movable) return
      drag.far ||= Math.hypot(clientX - drag.clientX, clientY - drag.clientY) > 3
      if (!drag.far) return
      handle.classList.add("rf-dragged")
      this.moveTo(map.unproject([clientX + drag.dx, clientY + drag.dy]))
    })
    const letGo = () => {
      const { drag } = this
      handle.classList.remove("rf-dragged")
      this.drag = null
      return drag
    }
    handle.addEventListener("pointerup", () => {
      const drag = letGo()
      if (drag?.far) this.moved()
      else if (drag) this.choose()
    })
    handle.addEventListener("pointercancel", () => {
      if (letGo()?.far) this.moveTo([this.site.lon, this.site.lat])
    })
    handle.addEventListener("keydown", (event) => this.keyed(event))
  }

  keyed(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      event.stopPropagation()
      this.choose()
      return
    }
    const way = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key]
    if (!way) return
    event.preventDefault()
    event.stopPropagation()
    if (!this.site.movable) return
    const step = event.shiftKey ? 25 : 5
    const { lng, lat } = this.lngLat
    const [east, north] = metres([lng, lat], [lng + 1, lat + 1])
    this.nudged = true
    this.moveTo([lng + (way[0] * step) / east, lat + (way[1] * step) / north])
    this.pane.dashboard.later(`site:${this.site.name}`, KEY_DELAY_MS, () => this.moved())
  }

  remove() {
    this.marker.remove()
  }
}
