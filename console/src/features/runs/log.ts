/** What is kept of a log that is followed: the newest lines, in the order of their times, never more than so many. */
import type { LogList } from '../../api/types.ts'

export type LogLine = LogList['items'][number] & { readonly key: string }
export type Level = LogLine['level']
export type KeptLog = { readonly lines: readonly LogLine[]; readonly dropped: number; readonly counts: Readonly<Record<Level, number>> }

const mostLines = 20_000
export const noLog: KeptLog = { lines: [], dropped: 0, counts: { debug: 0, info: 0, warn: 0, error: 0 } }

let made = 0

export function addLines(before: KeptLog, items: LogList['items'], most = mostLines): KeptLog {
  if (items.length === 0) return before
  const fresh = items.map((line) => ({ ...line, key: `l${made++}` })).toSorted((a, b) => a.at - b.at)
  const merged = inOrder(before.lines, fresh)
  const counts = { ...before.counts }
  for (const { level } of fresh) counts[level]++
  const over = Math.max(0, merged.length - most)
  return { lines: over === 0 ? merged : merged.slice(over), dropped: before.dropped + over, counts }
}

/** Tasks write side by side: what comes late is put where it belongs, and most comes at the end. */
function inOrder(old: readonly LogLine[], fresh: readonly LogLine[]): LogLine[] {
  const first = fresh[0]?.at ?? 0
  let from = old.length
  while (from > 0 && (old[from - 1]?.at ?? 0) > first) from--
  if (from === old.length) return [...old, ...fresh]
  return [...old.slice(0, from), ...[...old.slice(from), ...fresh].toSorted((a, b) => a.at - b.at)]
}

const ranks: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/** At least this level, with this text in it, whatever its case. */
export function shownLines(lines: readonly LogLine[], least: Level, q: string): readonly LogLine[] {
  const wanted = q.trim().toLowerCase()
  if (least === 'debug' && wanted === '') return lines
  return lines.filter(({ level, text }) => ranks[level] >= ranks[least] && (wanted === '' || text.toLowerCase().includes(wanted)))
}

/** A text in parts, those that were looked for at the odd places. */
export function marked(text: string, q: string): string[] {
  const wanted = q.trim().toLowerCase()
  if (wanted === '') return [text]
  const parts: string[] = []
  const lower = text.toLowerCase()
  // Letters that change their length with their case would put the marks elsewhere.
  if (lower.length !== text.length) return [text]
  let from = 0
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), text.slice(at, at + wanted.length))
    from = at + wanted.length
  }
  return [...parts, text.slice(from)]
}

/** A text in parts, addresses of the web at the odd places; what ends a sentence or closes a bracket behind one is not of it. */
export const linked = (text: string): string[] => text.split(/(https?:\/\/[^\s<>"'`]*[^\s<>"'`.,:;!?)\]}])/)
