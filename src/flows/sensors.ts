/** What sensors mostly wait for, to be given as their `until`. Each answers what it found, which is then the task's output. */
import { invalid } from '../base/index.ts'
import type { TaskContext } from './context.ts'
import type { Followed } from './declare.ts'
import type { Json } from './engine/words.ts'

/** A value, or how it follows from what the task takes. */
type Given<I, T> = T | ((input: I, ctx: TaskContext) => T)
type Look<I, T> = (input: I, ctx: TaskContext) => Promise<T | undefined>

const RECORDS = 1_000
const ZONED = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*(?:Z|[+-]\d\d:?\d\d)$/i

export const until = {
  /** An object of the store, by its path; with `*` at the end the first whose path begins so. */
  object<I>(path: Given<I, string>): Look<I, { path: string; size: number; modified: number }> {
    return async (input, ctx) => {
      const wanted = valueOf(path, input, ctx)
      const isPrefix = wanted.endsWith('*')
      const prefix = isPrefix ? wanted.slice(0, -1) : wanted
      for await (const { path: found, size, modified } of ctx.objects.list(prefix)) if (isPrefix || found === wanted) return { path: found, size, modified }
      return undefined
    }
  },

  /** A table that has rows, or is at this version or past it. Answers its version. */
  version<I>(table: Followed & { readonly kind: 'table' }, least: Given<I, number> = 0): Look<I, number> {
    return async (input, ctx) => {
      const version = await ctx.position({ kind: 'table', name: table.name })
      return typeof version === 'number' && version >= valueOf(least, input, ctx) ? version : undefined
    }
  },

  /** A record of a stream that this holds for, among the newest thousand of each partition, as it was sent. */
  record<I>(
    stream: Followed & { readonly kind: 'stream' },
    matches: (record: Readonly<Record<string, Json>>, input: I) => boolean,
  ): Look<I, Readonly<Record<string, Json>>> {
    return async (input, ctx) => {
      const ends = await ctx.position({ kind: 'stream', name: stream.name })
      for (let partition = 0; partition < (Array.isArray(ends) ? ends.length : 0); partition++)
        for (const record of await ctx.records(stream.name, { limit: RECORDS, partition })) if (isObject(record) && matches(record, input)) return record
      return undefined
    }
  },

  /** A moment: epoch milliseconds, or ISO text with its zone. Answers it in epoch milliseconds. */
  time<I>(at: Given<I, string | number>): Look<I, number> {
    if (typeof at !== 'function') momentOf(at)
    return async (input, ctx) => {
      const moment = momentOf(valueOf(at, input, ctx))
      return ctx.now() >= moment ? moment : undefined
    }
  },
}

function valueOf<I, T extends string | number>(given: Given<I, T>, input: I, ctx: TaskContext): T {
  return typeof given === 'function' ? given(input, ctx) : given
}

function momentOf(at: string | number): number {
  const moment = typeof at === 'number' ? at : ZONED.test(at) ? Date.parse(at) : Number.NaN
  if (Number.isFinite(moment)) return moment
  throw invalid('flows.until_time', `${JSON.stringify(at)} is no moment to wait for`, {
    hint: "Write ISO text with its zone, such as '2026-03-28T12:00:00-03:00', or epoch milliseconds.",
  })
}

const isObject = (value: Json): value is { readonly [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value)
