// The handle of a site: it is dragged, moved by arrow keys, and chosen.

import { element } from "./dom.js"
import { metres } from "./geo.js"

const KEY_DELAY_MS = 500
const WAYS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }

export class Site {
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
    const { lng, lat } = this.lngLat
    this.pane.dashboard.emit("move", { site: this.site.name, lon: lng, lat })
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
    const way = WAYS[event.key]
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
