/** The text of a transform: which lines have findings, and the one that is there first. */
import type { FindingShape } from '../../api/index.ts'

export const firstCode = `import pandas as pd
import numpy as np

def process(df):
    # The mean of a value and the two before it
    df['rolling_mean'] = df['valor'].rolling(window=3).mean()

    # Rows without one are left out
    df = df.dropna()

    df['timestamp'] = pd.Timestamp.now()
    return df
`

/** A stretch of one line, marked or not. */
export interface Stretch {
  readonly text: string
  readonly finding: FindingShape | undefined
}

/** The lines cut where findings begin and end, so that each can be marked where it stands. Findings count characters, texts UTF-16 units. */
export function markedLines(code: string, findings: readonly FindingShape[]): Stretch[][] {
  return code.split('\n').map((line, i) => {
    const letters = [...line]
    const here = findings
      .filter((finding) => finding.line <= i + 1 && finding.end_line >= i + 1)
      .map((finding) => ({
        finding,
        from: finding.line === i + 1 ? finding.col : 0,
        to: finding.end_line === i + 1 ? Math.max(finding.end_col, finding.line === i + 1 ? finding.col + 1 : 1) : letters.length,
      }))
      .toSorted((a, b) => a.from - b.from)
    const parts: Stretch[] = []
    let at = 0
    for (const { finding, from, to } of here) {
      const begin = Math.max(at, from)
      if (Math.min(to, letters.length) <= begin) continue
      if (begin > at) parts.push({ text: letters.slice(at, begin).join(''), finding: undefined })
      parts.push({ text: letters.slice(begin, to).join(''), finding })
      at = to
    }
    if (at < letters.length || parts.length === 0) parts.push({ text: letters.slice(at).join(''), finding: undefined })
    return parts
  })
}

/** Where a line begins in the text, for the caret. */
export function startOfLine(code: string, line: number): number {
  let at = 0
  for (let i = 1; i < line; i++) {
    const next = code.indexOf('\n', at)
    if (next < 0) return code.length
    at = next + 1
  }
  return at
}
