// How the map is drawn: two themes, and the layers in their colours.

export const LIGHT = {
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

export const DARK = {
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

export function themeOf(host) {
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

export function buildingLayers(theme, threeD) {
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
        "circle-stroke-width": byZoom(13.5, 0, 16, 1),
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

export const allLayers = (theme, threeD) =>
  [...groundLayers(theme), ...buildingLayers(theme, threeD), ...topLayers(theme)]
