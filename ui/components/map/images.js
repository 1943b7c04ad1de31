// Images that MapLibre asks for by name: the names of streets, wedges and rings of sectors.
// No glyphs are fetched, and no icons.

import { DARK, LIGHT } from "./style.js"

export const WEDGE_PX = 34

function canvasImage(width, height, draw) {
  const ratio = 2
  const canvas = new OffscreenCanvas(Math.ceil(width) * ratio, Math.ceil(height) * ratio)
  const pen = canvas.getContext("2d")
  pen.scale(ratio, ratio)
  draw(pen)
  return [pen.getImageData(0, 0, canvas.width, canvas.height), { pixelRatio: ratio }]
}

// MapLibre asks for images by name when a layer first needs them; our names say what to draw.
export function imageOf(id, theme) {
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
