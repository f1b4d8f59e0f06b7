/** Streams in the words of the catalogue, with what is kept of them: the live cache and the dead letters. */
import { assetId, type Asset, type AssetColumn, type Described, type Edge, type UsePart } from '../catalog/index.ts'
import type { Schema } from '../base/index.ts'
import { deadLetterTopic, LETTER_SCHEMA } from './dead-letters.ts'
import type { Live, Stream } from './declare.ts'
import { livesOf } from './live.ts'

export function describeStreams(streams: readonly Stream[]): Described {
  const parts = streams.map(describeStream)
  return { assets: parts.flatMap(({ assets }) => assets), edges: parts.flatMap(({ edges }) => edges) }
}

function describeStream({ name, schema, options }: Stream): Described {
  const { description, owner, tags = [], key, eventTime } = options
  const id = assetId('stream', name)
  const columns = columnsOf(schema)
  const owned = { ...(owner === undefined ? {} : { owner }), tags }
  const letters: Asset = {
    ...owned,
    id: assetId('dead_letters', deadLetterTopic(name)),
    kind: 'dead_letters',
    name: deadLetterTopic(name),
    description: `Records of ${name} that could not be read, with the reason`,
    columns: columnsOf(LETTER_SCHEMA),
    partOf: id,
  }
  // Called as its keys are, so that the stream's name means the stream.
  const caches = livesOf({ options }).map((live): { readonly live: Live<Stream['schema']>; readonly asset: Asset } => {
    const keys = live.key ?? `${name}:{${live.by}}`
    const about = `The newest record of ${name} for each ${live.by}`
    // In a shape of its own its fields are known to its function alone.
    const shape = live.as ? { columns: [], unknown: 'a function gives it its shape' } : { columns }
    return { live, asset: { ...owned, id: assetId('live', keys), kind: 'live', name: keys, description: about, partOf: id, ...shape } }
  })
  const used = (column: string, asset: string, part: UsePart): Edge => ({ from: { asset: id, column }, to: { asset }, how: 'used', use: { part } })
  return {
    assets: [
      { ...owned, id, kind: 'stream', name, ...(description === undefined ? {} : { description }), columns },
      letters,
      ...caches.map(({ asset }) => asset),
    ],
    edges: [
      ...(key === undefined ? [] : [used(key, id, 'key')]),
      ...(eventTime === undefined ? [] : [used(eventTime, id, 'event_time')]),
      { from: { asset: id }, to: { asset: letters.id }, how: 'read' },
      ...caches.flatMap(({ live, asset: kept }): Edge[] => [
        { from: { asset: id }, to: { asset: kept.id }, how: live.as ? 'unknown' : 'read' },
        ...kept.columns.map(({ name: column }): Edge => ({ from: { asset: id, column }, to: { asset: kept.id, column }, how: 'copied', passed: true })),
        ...keyFields(live, schema).map((column) => used(column, kept.id, 'live_key')),
      ]),
    ],
  }
}

const columnsOf = (schema: Schema): AssetColumn[] =>
  Object.entries(schema).map(([column, field]) => ({
    name: column,
    type: field.type,
    ...(field.description === undefined ? {} : { description: field.description }),
    ...(field.unitText === undefined ? {} : { unit: field.unitText }),
  }))

/** The fields that make a key of the live cache. */
function keyFields({ by, key = '', only = {} }: Live<Stream['schema']>, schema: Stream['schema']): string[] {
  const named = [...key.matchAll(/\{([^}]*)\}/g)].map((match) => match[1] ?? '')
  return [...new Set([by, ...Object.keys(only), ...named])].filter((field) => Object.hasOwn(schema, field))
}
