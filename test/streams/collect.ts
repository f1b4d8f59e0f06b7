/** Everything that a source gives, in batches of changing size. */
import type { Source, SourceBatch } from '../../src/streams/index.ts'

export interface Collected {
  readonly values: string[]
  readonly keys: (string | null)[]
  readonly broken: { readonly line: number; readonly reason: string; readonly text: string }[]
  blank: number
  sequence: number
}

/** With `restarts` the source is read anew after each batch, from where that batch ended, as after a crash. */
export async function collect(source: Source, sizes: readonly number[], restarts: boolean = false): Promise<Collected> {
  const all: Collected = { values: [], keys: [], broken: [], blank: 0, sequence: 0 }
  let resume: { sequence: number; note: SourceBatch['note'] } | null = null
  for (let turn = 0; ; turn++) {
    let hasEnded = true
    for await (const batch of source.read({
      resume,
      batch: sizes[turn % sizes.length] ?? 1,
      rate: Number.POSITIVE_INFINITY,
      signal: new AbortController().signal,
    })) {
      all.values.push(...batch.values)
      all.keys.push(...(batch.keys ?? batch.values.map(() => null)))
      for (const { line, reason, bytes } of batch.broken ?? [])
        if (line > (all.broken.at(-1)?.line ?? 0)) all.broken.push({ line, reason, text: Buffer.from(bytes).toString('latin1') })
      all.blank = batch.blank ?? 0
      all.sequence = batch.sequence
      if (restarts && batch.values.length > 0) {
        resume = { sequence: batch.sequence, note: JSON.parse(JSON.stringify(batch.note)) as SourceBatch['note'] }
        hasEnded = false
        break
      }
    }
    if (hasEnded) return all
  }
}
