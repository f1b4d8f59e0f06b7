/** How a stream is doing, in one word, and the order of the list. */
import type { StreamShape } from '../../api/types.ts'
import type { StreamSort } from '../../app/search.ts'
import type { Tone } from '../../ui/parts.tsx'

export type StreamState = 'away' | 'source' | 'sink' | 'behind' | 'flowing' | 'quiet' | 'ended'

export const stateTone: Readonly<Record<StreamState, Tone>> = {
  away: 'bad',
  source: 'bad',
  sink: 'bad',
  behind: 'warn',
  flowing: 'ok',
  quiet: 'ok',
  ended: 'off',
}

/** A sink that has this many records before it, and more than this many seconds of them, is behind. */
const BEHIND_RECORDS = 1_000
const BEHIND_SECONDS = 10

export function streamState(stream: StreamShape): StreamState {
  if (stream.problem !== undefined) return 'away'
  if (stream.source?.state === 'failed') return 'source'
  if (stream.sinks.some(({ state }) => state === 'retrying')) return 'sink'
  if (slowest(stream).lag > Math.max(BEHIND_RECORDS, BEHIND_SECONDS * stream.perSecond)) return 'behind'
  if (stream.perSecond > 0) return 'flowing'
  return stream.source?.state === 'ended' ? 'ended' : 'quiet'
}

export const isBad = (stream: StreamShape): boolean => stateTone[streamState(stream)] === 'bad'

/** The sink that has most before it. */
export function slowest({ sinks }: StreamShape): { readonly name: string; readonly lag: number } {
  return sinks.reduce<{ readonly name: string; readonly lag: number }>((most, sink) => (sink.lag > most.lag ? sink : most), { name: '', lag: 0 })
}

/** What is wrong, as the server says it. */
export function problemOf(stream: StreamShape): { readonly title: string; readonly hint?: string | undefined } | undefined {
  if (stream.problem !== undefined) return { title: stream.problem.message, hint: stream.problem.hint }
  if (stream.source?.state === 'failed') return { title: stream.source.error ?? '' }
  const sink = stream.sinks.find(({ state }) => state === 'retrying')
  return sink && { title: sink.error ?? sink.name }
}

const amounts: Readonly<Record<Exclude<StreamSort, 'name'>, (stream: StreamShape) => number>> = {
  perSecond: ({ perSecond }) => perSecond,
  records: ({ records }) => records,
  partitions: ({ partitions }) => partitions.length,
  lag: (stream) => slowest(stream).lag,
  deadLetters: ({ deadLetters }) => deadLetters ?? -1,
}

/** Those whose name or description has the text; without an order the ones in trouble come first. */
export function shownStreams(
  streams: readonly StreamShape[],
  { q = '', sort, desc = false }: { q?: string | undefined; sort?: StreamSort | undefined; desc?: boolean | undefined },
  compare: (a: string, b: string) => number,
): StreamShape[] {
  const wanted = q.trim().toLowerCase()
  const found = streams.filter(({ name, description = '' }) => `${name}\n${description}`.toLowerCase().includes(wanted))
  const byName = (a: StreamShape, b: StreamShape): number => compare(a.name, b.name)
  if (sort === undefined) return found.toSorted((a, b) => Number(isBad(b)) - Number(isBad(a)) || byName(a, b))
  const order = sort === 'name' ? byName : (a: StreamShape, b: StreamShape) => amounts[sort](a) - amounts[sort](b) || byName(a, b)
  return found.toSorted((a, b) => (desc ? -order(a, b) : order(a, b)))
}
