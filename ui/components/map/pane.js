// One map; two of them stand side by side when radio maps are compared.

import { button, element, icon, ownUrl, pinPicture, shortly } from "./dom.js"
import { EMPTY, feature, metres, rectangle } from "./geo.js"
import { imageOf, WEDGE_PX } from "./images.js"
import { classesOf, scaleOf } from "./legend.js"
import { namesOf } from "./names.js"
import { Site } from "./site.js"
import { allLayers, buildingLayers } from "./style.js"

const VIEW_DELAY_MS = 600

export class Pane {
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
          areas: source(EMPTY, { generateId: true }),
          frame: source(),
          points: source(),
          box: source(),
          wedges: source(),
        },
        layers: allLayers(theme, threeD),
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
    const keys = "arrows move, plus and minus zoom, Enter clicks the middle"
    map.getCanvas().setAttribute("aria-label", `${data.label}: ${keys}`)
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
    map.on("sourcedata", (event) => {
      // Not a frame later: where frames are slow, that is seen.
      if (event.tile && event.sourceId === this.pending?.id) this.promote()
    })
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
    this.source("frame", value ? [feature(rectangle(value.bounds))] : [])
    this.map.getSource("names").setData(EMPTY)
    if (!value) return
    namesOf(background).then((names) => {
      const now = this.dashboard.data.background
      if (this.map && of(now?.background_url) === background) this.map.getSource("names").setData(names)
    })
  }

  retheme() {
    const { theme, threeD } = this.dashboard
    if (!this.styled) return
    for (const layer of allLayers(theme, threeD)) {
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
        features.push(feature({ type: "Point", coordinates: [lngLat.lng, lngLat.lat] }, {
          image: `${shape}|${sector.color}|${chosen ? "chosen" : ""}`,
          azimuth_deg: sector.azimuth_deg,
          order: chosen ? 1 : 0,
          opacity: chosenSite && site.name === chosenSite && !chosen ? 0.6 : 1,
        }))
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
    this.source("areas", areas.map(({ bounds, ...about }) => feature(rectangle(bounds), about)))
  }

  boxChanged(bounds) {
    this.source("box", bounds ? [feature(rectangle(bounds))] : [])
  }

  pinChanged(pin) {
    if (!pin) {
      this.pinMarker?.remove()
      this.pinMarker = null
      return
    }
    if (!this.pinMarker) {
      const made = element("div", "rf-pin")
      made.append(pinPicture())
      const options = { element: made, anchor: "bottom", subpixelPositioning: true }
      this.pinMarker = new maplibregl.Marker(options)
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
      const { site, sector: one } = sector
      return dashboard.emit("sector", { site: site.name, sector: one.name, pane: this.index })
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
    const light = (one, hover) => this.map.setFeatureState({ source: "areas", id: one }, { hover })
    if (this.lit !== undefined) light(this.lit, false)
    if (id !== undefined) light(id, true)
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
