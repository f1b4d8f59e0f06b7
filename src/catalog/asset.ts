/**
 * The words of the catalogue: assets, their columns, and edges that tell what is made of what. Each product room describes its own
 * assets in these words; the catalogue knows no room.
 */

/** In the order in which lists show them. */
export const ASSET_KINDS = ['stream', 'files', 'table', 'task', 'alert', 'queue', 'live', 'dead_letters'] as const
export type AssetKind = (typeof ASSET_KINDS)[number]

/** The kind as people read it. */
export const KIND_WORDS: Readonly<Record<AssetKind, string>> = {
  stream: 'stream',
  files: 'files',
  table: 'table',
  task: 'task',
  alert: 'alert',
  queue: 'queue',
  live: 'live cache',
  dead_letters: 'dead letters',
}

export interface Asset {
  /** `kind:name`, such as `table:silver.readings`. */
  readonly id: string
  readonly kind: AssetKind
  readonly name: string
  readonly description?: string
  readonly owner?: string
  readonly tags: readonly string[]
  readonly columns: readonly AssetColumn[]
  /** The asset that it belongs to and goes with: a quarantine's table, a live cache's stream. */
  readonly partOf?: string
  /** Why it is not known of which columns it is made; its inputs then count as a whole. */
  readonly unknown?: string
}

export interface AssetColumn {
  readonly name: string
  readonly type?: string
  readonly description?: string
  readonly unit?: string
  readonly tags?: readonly string[]
}

/** A column, or without one the asset as a whole: its rows. */
export interface Place {
  readonly asset: string
  readonly column?: string
}

export type How =
  /** A value taken as it is, or made of it. Both ends are columns. */
  | 'copied'
  | 'computed'
  /** The column decides which rows the other asset has. */
  | 'filtered'
  | 'joined'
  | 'grouped'
  | 'ordered'
  /** A definition names the column and would not stand without it: see `use`. */
  | 'used'
  /** An asset gets its rows from the other. */
  | 'read'
  /** Made of it, by which columns is not known. */
  | 'unknown'

/** What of a definition uses a column. */
export interface Use {
  readonly part: UsePart
  /** The name of an expectation. */
  readonly name?: string
}
export type UsePart =
  | 'sql'
  | 'columns'
  | 'merge'
  | 'partition'
  | 'window'
  | 'window_source'
  | 'expectation'
  | 'key'
  | 'event_time'
  | 'live_key'
  | 'when'
  | 'clear'
  | 'by'
  | 'message'

export interface Edge {
  readonly from: Place
  readonly to: Place
  readonly how: How
  readonly use?: Use
  /** The column is there only because all columns were taken along: it goes when the other goes, and nothing breaks by that. */
  readonly passed?: boolean
}

/** What one room tells of its part of the graph. */
export interface Described {
  readonly assets: readonly Asset[]
  readonly edges: readonly Edge[]
}

export const assetId = (kind: AssetKind, name: string): string => `${kind}:${name}`

export const placeText = ({ asset, column }: Place): string => {
  const name = asset.slice(asset.indexOf(':') + 1)
  return column === undefined ? name : `${name}.${column}`
}
