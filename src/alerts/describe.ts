/** Rules in the words of the catalogue: what of a record each part of a rule reads, and the queues that it tells. */
import type { Schema } from '../base/index.ts'
import { assetId, type Asset, type Described, type Edge, type UsePart } from '../catalog/index.ts'
import { fieldsOf } from './cel/expression.ts'
import { compileRule } from './compile.ts'
import type { Alert } from './declare.ts'

export function describeAlerts(alerts: readonly Alert[]): Described {
  const parts = alerts.map(describeAlert)
  return { assets: parts.flatMap(({ assets }) => assets), edges: parts.flatMap(({ edges }) => edges) }
}

function describeAlert(alert: Alert): Described {
  const { name, options } = alert
  const { stream, when, clear, by, routes } = compileRule(alert)
  const id = assetId('alert', name)
  const source = assetId('stream', stream.name)
  const queues = routes.map((route): Asset => ({
    id: assetId('queue', route.name),
    kind: 'queue',
    name: route.name,
    description: 'Alerts as messages',
    tags: [],
    columns: [],
  }))
  const used = (columns: readonly string[], part: UsePart): Edge[] =>
    columns.map((column) => ({ from: { asset: source, column }, to: { asset: id }, how: 'used', use: { part } }))
  return {
    assets: [
      {
        id,
        kind: 'alert',
        name,
        ...(options.description === undefined ? {} : { description: options.description }),
        ...(options.owner === undefined ? {} : { owner: options.owner }),
        tags: options.tags ?? [],
        columns: [],
      },
      ...queues,
    ],
    edges: [
      { from: { asset: source }, to: { asset: id }, how: 'read' },
      ...used(fieldsOf(when), 'when'),
      ...used(clear ? fieldsOf(clear) : [], 'clear'),
      ...used(by === null ? [] : [by], 'by'),
      ...used(messageFields(options.message ?? '', stream.schema), 'message'),
      ...queues.map((queue): Edge => ({ from: { asset: id }, to: { asset: queue.id }, how: 'read' })),
    ],
  }
}

/** `{key}` and `{rule}` are fields only where the stream has fields of these names. */
const messageFields = (message: string, schema: Schema): string[] =>
  [...new Set([...message.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1] ?? ''))].filter((name) => Object.hasOwn(schema, name))
