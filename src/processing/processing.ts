/**
 * Processing: a user's function `process(df)` over one data set of the object store, which gives one Parquet file there. The sandbox is
 * opened when the first job comes, since most projects have none and its Python takes memory; until then nothing of it runs.
 */
import { basename, extname } from 'node:path'
import { invalid, missing, newId, unavailable, type LagoaError } from '../base/index.ts'
import type { Finding, JobLimits, JobResult, Sandbox } from '../sandbox/index.ts'
import type { Objects } from '../storage/index.ts'

export interface Processing {
  run(request: ProcessRequest, signal: AbortSignal): Promise<Processed>
  validate(code: string): Promise<readonly Finding[]>
  close(): Promise<void>
}

export interface ProcessRequest {
  /** `bucket/path/file.csv`. */
  readonly dataset: string
  readonly code: string
  /** Absent: the most that is allowed. */
  readonly timeoutMs?: number | undefined
  readonly memoryBytes?: number | undefined
}

export interface Processed {
  readonly id: string
  /** `bucket/key` of the result; null when there is none. */
  readonly parquet: string | null
  readonly seconds: number
  readonly result: JobResult
}

export interface ProcessingOptions {
  readonly objects: Objects
  readonly open: () => Promise<Sandbox>
  readonly most: JobLimits
}

const FORMATS: Readonly<Record<string, 'csv' | 'json' | 'parquet'>> = {
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.json': 'json',
  '.jsonl': 'json',
  '.ndjson': 'json',
  '.parquet': 'parquet',
}

/** Asked of one user for another there would be a tenant each; until there are users, all are one. */
const TENANT = 'default'

export function openProcessing({ objects, open, most }: ProcessingOptions): Processing {
  let opening: Promise<Sandbox> | null = null

  async function sandbox(): Promise<Sandbox> {
    opening ??= open()
    let opened: Sandbox
    try {
      opened = await opening
    } catch (error) {
      opening = null
      throw error
    }
    const { state } = opened
    if (state.ready) return opened
    // What is missing may be mended meanwhile: the next request looks again.
    opening = null
    await opened.close()
    throw unavailable(state.code, state.message, { hint: state.hint })
  }

  return {
    async run({ dataset, code, timeoutMs = most.wallMs, memoryBytes = most.memoryBytes }, signal) {
      const began = performance.now()
      const format = formatOf(dataset)
      refuseMore('timeout', timeoutMs / 1000, most.wallMs / 1000, 'seconds')
      refuseMore('max_memory', memoryBytes / 2 ** 20, most.memoryBytes / 2 ** 20, 'MB')
      const release = objects.hold()
      try {
        const info = await objects.head(dataset)
        if (!info) throw missing('process.no_dataset', `There is no data set ${dataset}`, { hint: 'dataset_path is bucket/path/file.csv in the object store.' })
        const walls = await sandbox()
        const id = newId()
        const parquet = `processed/${id}.parquet`
        const staged = await objects.stage(parquet)
        try {
          const result = await walls.run(
            {
              tenant: TENANT,
              code,
              input: { path: await objects.localFile(dataset), format, key: `${dataset} ${info.size} ${info.modified}` },
              output: staged.file,
              limits: { ...most, wallMs: timeoutMs, cpuMs: timeoutMs, memoryBytes },
            },
            { signal },
          )
          if (result.status === 'success') await staged.publish()
          return { id, parquet: result.status === 'success' ? parquet : null, seconds: Math.round(performance.now() - began) / 1000, result }
        } finally {
          await staged.discard()
        }
      } finally {
        release()
      }
    },
    async validate(code) {
      return (await sandbox()).validate(code)
    },
    async close() {
      const opened = await opening?.catch(() => null)
      await opened?.close()
    },
  }
}

function formatOf(dataset: string): 'csv' | 'json' | 'parquet' {
  const name = basename(dataset).replace(/\.(gz|zst)$/i, '')
  const format = FORMATS[extname(name).toLowerCase()]
  if (format === undefined || !dataset.includes('/'))
    throw invalid('process.dataset_path', `"${dataset}" is no data set that can be read`, {
      hint: 'Write bucket/path/file with the ending .csv, .json, .jsonl or .parquet, also with .gz or .zst behind it.',
    })
  return format
}

function refuseMore(name: string, asked: number, allowed: number, unit: string): LagoaError | undefined {
  if (asked <= allowed) return undefined
  throw invalid('process.limit', `${name} is ${asked} ${unit}; ${allowed} is the most here`, {
    hint: `Ask for less, or raise sandbox.${name === 'timeout' ? 'timeout' : 'memory'} in the configuration.`,
  })
}
