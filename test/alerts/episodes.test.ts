import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { advance, FALSE, TRUE, UNKNOWN, type Episode, type EpisodeRule, type Reading } from '../../src/alerts/index.ts'

interface Found {
  readonly startedAt: number
  readonly firedAt: number
  readonly endedAt: number | null
  readonly matched: number
}

function run(rule: EpisodeRule, readings: readonly Reading[]): { readonly found: Found[]; readonly last: Episode | null } {
  const found: Found[] = []
  let episode: Episode | null = null
  readings.forEach((reading) => {
    const step = advance(rule, episode, reading, () => `at ${reading.at}`)
    const { matched = 0, since = 0 } = step.episode ?? {}
    const open = found.at(-1)
    if (step.event === 'fired') found.push({ startedAt: since, firedAt: reading.at, endedAt: null, matched })
    else if (step.event === 'ended' && open) found.splice(-1, 1, { ...open, endedAt: reading.at })
    else if (step.episode?.phase === 'firing' && open) found.splice(-1, 1, { ...open, matched })
    episode = step.episode
  })
  return { found, last: episode }
}

/** Finds the same episodes by looking over the whole history, for readings in time order. */
function wholeHistory(rule: EpisodeRule, readings: readonly Reading[]): Found[] {
  const found: Found[] = []
  const ends = (r: Reading): boolean => (rule.hasClear ? r.clear === TRUE : r.when === FALSE)
  let from = 0
  for (;;) {
    const first = readings.findIndex((r, i) => i >= from && r.when === TRUE)
    if (first < 0) return found
    const startedAt = readings[first]?.at ?? 0
    const broken = readings.findIndex((r, i) => i > first && r.when === FALSE)
    const run = broken < 0 ? readings.length : broken
    const fires = readings.findIndex(
      (r, i) => i >= first && i < run && r.when === TRUE && r.at - startedAt >= rule.holdMs && matches(readings, first, i) >= rule.readings,
    )
    if (fires < 0) {
      from = run
      continue
    }
    const end = readings.findIndex((r, i) => i > fires && ends(r))
    const upTo = end < 0 ? readings.length : end
    found.push({ startedAt, firedAt: readings[fires]?.at ?? 0, endedAt: readings[end]?.at ?? null, matched: matches(readings, first, upTo - 1) })
    if (end < 0) return found
    from = end + 1
  }
}

function matches(readings: readonly Reading[], from: number, to: number): number {
  return readings.slice(from, to + 1).filter((r) => r.when === TRUE).length
}

const anyRule: fc.Arbitrary<EpisodeRule> = fc.record({ readings: fc.integer({ min: 1, max: 4 }), holdMs: fc.constantFrom(0, 0, 3, 7), hasClear: fc.boolean() })
const truth = fc.constantFrom(FALSE, TRUE, TRUE, UNKNOWN)
const inOrder: fc.Arbitrary<Reading[]> = fc
  .array(fc.record({ when: truth, clear: truth, step: fc.constantFrom(0, 1, 1, 2) }), { maxLength: 60 })
  .map((readings) => {
    let at = 100
    return readings.map(({ when, clear, step }) => ({ when, clear, at: (at += step) }))
  })

describe('an episode', () => {
  it('is what a look over the whole history finds', () => {
    fc.assert(
      fc.property(anyRule, inOrder, (rule, readings) => {
        expect(run(rule, readings).found).toEqual(wholeHistory(rule, readings))
      }),
      { numRuns: 2_000 },
    )
  })

  it('does not change by readings that come late', () => {
    const late = fc.array(fc.record({ when: truth, clear: truth, at: fc.integer({ min: 0, max: 99 }), place: fc.nat(60) }))
    fc.assert(
      fc.property(anyRule, inOrder, late, (rule, readings, lates) => {
        // A fingerprint that has matched remembers; before that there is nothing to be late for.
        const first = readings.findIndex((r) => r.when === TRUE)
        const mixed = readings.flatMap((reading, i) => [reading, ...(first >= 0 && i >= first ? lates.filter(({ place }) => place === i) : [])])
        expect(run(rule, mixed)).toEqual(run(rule, readings))
      }),
      { numRuns: 1_000 },
    )
  })

  it('neither fires, ends nor starts over by unknown readings', () => {
    const rule: EpisodeRule = { readings: 2, holdMs: 0, hasClear: false }
    const at = (when: number, time: number): Reading => ({ when, clear: UNKNOWN, at: time })
    expect(run(rule, [at(TRUE, 1), at(UNKNOWN, 2), at(TRUE, 3), at(UNKNOWN, 4), at(TRUE, 5), at(FALSE, 6)]).found).toEqual([
      { startedAt: 1, firedAt: 3, endedAt: 6, matched: 3 },
    ])
  })

  it('counts a duration in event time, from the first matching reading', () => {
    const rule: EpisodeRule = { readings: 1, holdMs: 10, hasClear: false }
    const readings = [0, 5, 9, 10, 12].map((at): Reading => ({ when: TRUE, clear: UNKNOWN, at }))
    expect(run(rule, readings).found).toEqual([{ startedAt: 0, firedAt: 10, endedAt: null, matched: 5 }])
  })
})
