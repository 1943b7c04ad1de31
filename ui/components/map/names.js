// OpenStreetMap cuts a street into many short ways. For its name we join them, straighten what is
// nearly straight, cut where it bends, and drop the second carriageway.

import { EMPTY, feature, metres } from "./geo.js"

const nameLines = new Map()

export function namesOf(url) {
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
      const about = { name: street.name, rank: street.rank, role: street.rank === 1 ? "1" : "2" }
      features.push(feature({ type: "LineString", coordinates: line }, about))
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
