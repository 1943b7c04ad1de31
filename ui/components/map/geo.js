// Small geometry.

const EARTH_M = 6371008.8
export const EMPTY = { type: "FeatureCollection", features: [] }

// East and north of a point from another.
export function metres(from, to) {
  const north = ((to[1] - from[1]) * Math.PI * EARTH_M) / 180
  const east = ((to[0] - from[0]) * Math.PI * EARTH_M * Math.cos((from[1] * Math.PI) / 180)) / 180
  return [east, north]
}

export const feature = (geometry, properties = {}) => ({ type: "Feature", properties, geometry })

export const rectangle = ([w, s, e, n]) => ({
  type: "Polygon",
  coordinates: [[[w, s], [e, s], [e, n], [w, n], [w, s]]],
})
