/**
 * Records as objects: one JSON file each, under a name made of its fields. A file costs some thousand times what a row of a table
 * costs, so it is for readers who need files. The same record always makes the same bytes under the same name, so a delivery that comes
 * again changes nothing.
 */
import { invalid, LagoaError, type Log } from '../base/index.ts'
import type { Objects } from '../storage/index.ts'
import type { KeptObjects, Stream } from './declare.ts'
import { checkForm, keptRecords, nameOf, parseTemplate, type Template } from './kept.ts'
import type { Sink } from './sink.ts'

export interface ObjectsPlan {
  readonly bucket: string
  readonly template: Template
  /** `bucket/folder` below which all of them lie. */
  readonly place: string
  readonly option: KeptObjects<Stream['schema']>
}

/** How many are written side by side. */
const PARALLEL = 16

/** Checks the declaration; null when the stream keeps no objects. */
export function planObjects(stream: Stream): ObjectsPlan | null {
  const { objects, partitions = 1, key } = stream.options
  if (!objects) return null
  checkForm(stream, 'objects', objects)
  const template = parseTemplate(stream, 'objects', objects.key, objects)
  if (!/^[^/{}]+$/.test(objects.bucket) || objects.key.startsWith('/'))
    throw invalid('streams.objects_place', `Stream ${stream.name}: objects are to lie at ${objects.bucket}/${objects.key}`, {
      hint: "Write objects: { bucket: 'air-quality', key: 'processed/{date}_{time}.json' }, for example.",
    })
  if (template.length === 1)
    throw invalid('streams.objects_key', `Stream ${stream.name}: objects.key names no field, so every record would replace the one before`, {
      hint: "Name the fields that tell records apart, as in 'processed/{date}_{time}.json'.",
    })
  if (partitions > 1 && (key === undefined || !template.some((part, index) => index % 2 === 1 && part === key)))
    throw invalid(
      'streams.objects_order',
      `Stream ${stream.name}: with several partitions only records of one key keep their order, so objects.key must name it`,
      {
        hint: `Put {${key ?? 'key'}} into objects.key, or set partitions: 1.`,
      },
    )
  const folder = (template[0] ?? '').split('/').slice(0, -1)
  return { bucket: objects.bucket, template, place: [objects.bucket, ...folder].join('/'), option: objects }
}

export function objectsSink(stream: Stream, plan: ObjectsPlan, objects: Objects, logger: Log): Sink {
  return {
    name: 'objects',
    kind: 'objects',
    pace: { records: 1_000, ms: 200 },
    async deliver({ batches, partition }, signal) {
      // Of several records with one name the last stands: it alone is written.
      const files = new Map<string, string>()
      let unnamed = 0
      for (const batch of batches) {
        for (const { fields } of keptRecords(stream, plan.option, batch, false)) {
          const name = nameOf(plan.template, fields)
          if (name === null) unnamed++
          else files.set(`${plan.bucket}/${name}`, JSON.stringify(fields))
        }
      }
      const queue = [...files]
      const write = async (): Promise<void> => {
        for (let next = queue.pop(); next; next = queue.pop()) {
          signal.throwIfAborted()
          const [path, text] = next
          try {
            await objects.put(path, Buffer.from(text))
          } catch (error) {
            // What a sender wrote makes no path: it must not hold up the others.
            if (!(error instanceof LagoaError) || error.code !== 'storage.bad_path') throw error
            unnamed++
          }
        }
      }
      const results = await Promise.allSettled(Array.from({ length: PARALLEL }, write))
      const failed = results.find((result) => result.status === 'rejected')
      if (failed) throw failed.reason
      if (unnamed > 0) logger.warn('stream.objects_unnamed', { stream: stream.name, partition, records: unnamed })
    },
  }
}
