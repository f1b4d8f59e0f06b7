/** The catalogue: assets, what they are made of, and what a change to one of them touches. Pure; the rooms above describe, faces ask. */
export {
  ASSET_KINDS,
  assetId,
  KIND_WORDS,
  placeText,
  type Asset,
  type AssetColumn,
  type AssetKind,
  type Described,
  type Edge,
  type How,
  type Place,
  type Use,
  type UsePart,
} from './asset.ts'
export { createGraph, findAsset, findColumn, findPlace, type Graph } from './graph.ts'
export { searchAssets, type AssetFilter, type Found } from './search.ts'
export { lineage, type Direction, type LineageAnswer, type LineageNode, type LineageOptions } from './lineage.ts'
export { EFFECTS, impact, type Effect, type ImpactAnswer, type ImpactItem } from './impact.ts'
