// The map of the dashboard, over MapLibre GL JS. Streamlit calls `mount` whenever the data changed;
// the first call makes a `Dashboard`, later ones hand it what is new, part by part.

import { button, element, hasWebGL, icon, loaded, loadLibrary, ownUrl, place, same } from "./dom.js"
import { Pane } from "./pane.js"
import { themeOf } from "./style.js"

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
